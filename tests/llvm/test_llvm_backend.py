"""The backend by name, its threads, and the object code on disk."""

from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import tinyseq as ts
from support.native import shared_by
from tinyseq import backends, threads
from tinyseq.backends import llvm as backend
from tinyseq.compiler.lower.llvm.runtime import cache
from tinyseq.errors import BackendError, DataError
from tinyseq.threads import blas_threads


def test_arrays_are_numpys() -> None:
    with ts.backend("llvm") as chosen:
        x = ts.tensor([1.0])
    assert chosen.name == "llvm"
    assert isinstance(x.numpy(), np.ndarray)
    assert (x + ts.tensor([2.0])).item() == 3.0  # one made on each backend
    assert backends.of(x.value) is backends.load("numpy")
    assert {"llvmlite", "backend"} <= chosen.describe().keys()


def test_auto_prefers_it_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_preference", tuple(name for name in backends._preference if name != "cupy"))
    monkeypatch.delenv(backends.VARIABLE)
    assert backends.load("auto").name == "llvm"


def test_without_llvmlite_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "llvmlite" else real(name))
    with pytest.raises(BackendError, match=r'pip install "tinyseq\[llvm\]"'):
        backend.create()


def test_an_llvmlite_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "version", lambda name: "0.47.0")
    with pytest.raises(BackendError, match=r"0\.48 or later(.|\n)*0\.47\.0"):
        backend.create()


def test_one_function_compiles_for_each_backend() -> None:
    fast = ts.compile(lambda x: ts.tanh(x) * 2.0)
    x = ts.tensor(np.linspace(-2, 2, 9))
    native = []
    for name in ("llvm", "numpy"):
        with ts.backend(name):
            fast(x)
            native.append(bool(fast.entry_of_last_call().take().notes()))
    assert native == [True, False]


# -- threads -----------------------------------------------------------------------------------------------------------


def test_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYSEQ_NUM_THREADS", raising=False)
    everything = threads.available()
    assert 1 <= everything <= (os.cpu_count() or 1)
    monkeypatch.setenv("TINYSEQ_NUM_THREADS", "1")
    assert threads.available() == 1
    monkeypatch.setenv("TINYSEQ_NUM_THREADS", "many")
    with pytest.raises(DataError, match="TINYSEQ_NUM_THREADS"):
        threads.available()
    monkeypatch.setattr(threads, "available", lambda: 8)
    with blas_threads(2):  # a config's `threads`
        assert threads.allowed() == 2
    assert threads.allowed() == 8


def test_calls_from_several_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One has the pool, the others run alone; all get the same."""
    rng = np.random.default_rng(0)
    x, w = ts.tensor(rng.normal(size=(40, 30))), ts.tensor(rng.normal(size=(30, 50)))
    fast = ts.compile(lambda x: ts.tanh(x @ w).sum(0))
    with shared_by(monkeypatch, 2):
        expected = fast(x).numpy()

        def call(_: int) -> np.ndarray:
            with ts.backend("llvm"):
                return fast(x).numpy()

        with ThreadPoolExecutor(4) as several:
            for got in several.map(call, range(200)):
                np.testing.assert_array_equal(got, expected)


def test_code_stays_while_another_thread_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller may be done, and throw the function away, before the other threads have left it."""
    x = ts.tensor(np.ones((4, 4)))
    with shared_by(monkeypatch, 4):
        for n in range(40):
            assert ts.compile(lambda x, n=n: x * float(n) + 1.0)(x).numpy()[0, 0] == n + 1.0


def test_an_executable_goes_with_the_last_reference() -> None:
    """Without waiting for the garbage collector: its buffers are large."""
    with ts.backend("llvm"):
        fast = ts.compile(lambda x: ts.tanh(x) * 2.0)
        fast(ts.ones(3))
        executable = weakref.ref(fast.entry_of_last_call().take())
        gc.disable()
        try:
            assert executable() is None
        finally:
            gc.enable()


def test_the_gil_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a native segment runs, another Python thread gets on."""
    x = ts.tensor(np.ones((1200, 1200)))
    fast = ts.compile(lambda x: x @ x @ x @ x)
    ticks = 0
    done = threading.Event()

    def count() -> None:
        nonlocal ticks
        while not done.is_set():
            ticks += 1
            time.sleep(0)

    with shared_by(monkeypatch, 1):
        fast(x)
        other = threading.Thread(target=count)
        other.start()
        before = ticks
        function, arguments = fast.entry_of_last_call().take().calls[-1]
        function(*arguments)
        during = ticks - before
        done.set()
        other.join()
    assert during > 10


def test_native_code_has_one_thread_beside_a_loop_of_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h = ts.tanh(ts.einsum("ij,jk->ik", x, h))
        return h, h

    with shared_by(monkeypatch, 2):
        fast = ts.compile(lambda x: ts.unroll(step, x, x[:, 0])[0] * 2.0)
        x = ts.tensor(np.ones((4, 3, 4)))
        fast(x)
        assert not fast.entry_of_last_call().take().launcher.shares


@pytest.mark.parametrize("rows", [1, 4])
def test_threads_share_a_loop_only_if_it_has_rows_for_them(rows: int) -> None:
    """Others would but wait for the one that runs it."""
    with ts.backend("llvm"), ts.no_grad():
        layer = ts.nn.LSTM(4, 64)
        fast = ts.compile(layer)
        fast(ts.zeros(rows, 500, 4))
        shared = [shared for _, shared in fast.entry_of_last_call().take().code.segments]
    assert shared == [rows > 1]


@pytest.mark.parametrize("count", [1, 2])
def test_blas_has_one_thread_beside_native_code(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a plan runs that leaves single calls to NumPy: two owners of the cores would wait for each other."""
    seen: list[list[int]] = []
    einsum = np.einsum

    def spied(*args: Any, **options: Any) -> Any:
        seen.append([library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"])
        return einsum(*args, **options)

    with ts.backend("llvm"), threadpool_limits(2, "blas"), shared_by(monkeypatch, count):
        fast = ts.compile(lambda x: ts.tanh(ts.einsum("ij,jk->ik", x, x)) * 2.0)
        x = ts.tensor(np.eye(20))
        fast(x)
        monkeypatch.setattr(np, "einsum", spied)
        fast(x)
        after = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
    assert seen == [[1 if count > 1 else 2] * len(after)]
    assert set(after) == {2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_pool_after_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = ts.compile(lambda x: ts.tanh(x @ x))
    x = ts.tensor(np.eye(20))
    with shared_by(monkeypatch, 2):
        expected = fast(x).numpy()
        child = os.fork()
        if child == 0:
            same = np.array_equal(fast(x).numpy(), expected)
            os._exit(0 if same else 1)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


# -- object code on disk -----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TINYSEQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_is_made_once_is_read_from_then_on(folder: Path) -> None:
    made = []

    def make() -> bytes:
        made.append(1)
        return b"code"

    assert [cache.cached("key", make) for _ in range(3)] == [b"code"] * 3
    assert cache.cached("another", make) == b"code"
    assert len(made) == 2
    assert len(list(folder.glob("*.o"))) == 2
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_made_anew(folder: Path, damage: str) -> None:
    cache.cached("key", lambda: b"the code")
    (path,) = folder.glob("*.o")
    content = path.read_bytes()
    path.write_bytes({"cut": content[:-3], "changed": content[:-1] + b"?", "empty": b""}[damage])
    assert cache.cached("key", lambda: b"made anew") == b"made anew"
    assert cache.cached("key", lambda: b"not needed") == b"made anew"


def test_code_in_anothers_place_is_made_anew(folder: Path) -> None:
    """Its bytes are whole; run as the other's, it would end the process."""
    for key in ("a", "b"):
        cache.cached(key, lambda key=key: key.encode())
    one, two = folder.glob("*.o")
    contents = one.read_bytes(), two.read_bytes()
    one.write_bytes(contents[1])
    two.write_bytes(contents[0])
    assert [cache.cached(key, lambda key=key: key.encode()) for key in ("a", "b")] == [b"a", b"b"]


@pytest.mark.skipif(os.name != "posix", reason="permissions and pipes are POSIX")
@pytest.mark.parametrize("what", ["pipe", "folder", "others may write", "another's"])
def test_only_a_file_of_ones_own_is_read(folder: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.cached("key", lambda: b"code")
    (path,) = folder.glob("*.o")
    if what == "others may write":
        path.chmod(0o666)
    elif what == "another's":
        real = os.fstat
        monkeypatch.setattr(
            cache.os, "fstat", lambda handle: os.stat_result([*real(handle)[:4], 54321, *real(handle)[5:10]])
        )
    else:
        path.unlink()
        os.mkfifo(path) if what == "pipe" else path.mkdir()
    assert cache.cached("key", lambda: b"made anew") == b"made anew"


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o722])
def test_a_folder_that_others_can_write_is_not_used(folder: Path, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    folder.mkdir()
    folder.chmod(mode)
    assert [cache.cached("key", lambda: b"code") for _ in range(3)] == [b"code"] * 3
    assert list(folder.iterdir()) == []
    assert caplog.text.count("other users can change that folder") == 1


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
def test_the_users_own_folder_is_made_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYSEQ_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(cache.sys, "platform", "linux")
    (tmp_path / "tinyseq").mkdir()
    (tmp_path / "tinyseq").chmod(0o775)
    cache.cached("key", lambda: b"code")
    assert (tmp_path / "tinyseq").stat().st_mode & 0o777 == 0o755
    assert cache.cached("key", lambda: b"not needed") == b"code"


HOMELESS = """
import os, pwd
os.environ.pop("HOME", None)
def nobody(*arguments):
    raise KeyError("no such user")
pwd.getpwuid = nobody
import numpy as np, tinyseq as ts
with ts.backend("llvm"):
    fast = ts.compile(lambda x: ts.tanh(x) * 2.0)
    found = fast(ts.tensor(np.ones((64, 64))))
print(found.numpy()[0, 0])
"""


@pytest.mark.skipif(os.name != "posix", reason="users of POSIX")
def test_without_a_home_it_runs(tmp_path: Path) -> None:
    """As a container does with ``--user 54321``."""
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "TINYSEQ_CACHE")}
    environment.pop("XDG_CACHE_HOME", None)
    done = subprocess.run(
        [sys.executable, "-c", HOMELESS], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert float(done.stdout) == pytest.approx(2.0 * np.tanh(1.0)), done.stderr


def test_many_writers_at_once(folder: Path) -> None:
    """Whoever reads gets the whole of some writer's file."""
    with ThreadPoolExecutor(8) as several:
        found = list(
            several.map(lambda n: cache.cached(f"key{n % 3}", lambda: bytes([65 + n % 3]) * 100_000), range(90))
        )
    assert all(found[n] == bytes([65 + n % 3]) * 100_000 for n in range(90))
    assert len(list(folder.iterdir())) == 3


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("TINYSEQ_CACHE", str(tmp_path / "file" / "cache"))
    assert cache.cached("key", lambda: b"code") == b"code"
    monkeypatch.setenv("TINYSEQ_CACHE", "")
    assert cache.folder() is None
    assert cache.cached("key", lambda: b"code") == b"code"


def test_old_files_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MOST", 3)
    for n in range(6):
        cache.cached(str(n), lambda: b"code")
    assert len(list(folder.glob("*.o"))) == 3


def test_a_plan_from_the_cache_computes_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tinyseq.compiler.lower.llvm import executable

    x = ts.tensor(np.linspace(-1, 1, 12).reshape(3, 4))
    with ts.backend("llvm"):
        first = ts.compile(lambda x: ts.exp(x) @ x.T)(x).numpy()
        monkeypatch.setattr(executable, "object_code", lambda *_: pytest.fail("compiled again"))
        again = ts.compile(lambda x: ts.exp(x) @ x.T)(x).numpy()
    np.testing.assert_array_equal(again, first)
