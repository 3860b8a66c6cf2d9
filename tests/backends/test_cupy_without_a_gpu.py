"""The CuPy backend where it cannot run: what is missing is said, with the line to type; `tinyseq doctor` says all."""

from __future__ import annotations

import builtins
import ctypes
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import tinyseq as ts
from support import cuda_on_host
from support.cuda_on_host import needs_compiler
from support.strict import ALLOWED
from tinyseq import backends
from tinyseq.backends import cuda
from tinyseq.backends import cupy as cupy_backend
from tinyseq.cli import main
from tinyseq.cli.doctor import EXTRAS


class OutOfMemoryError(MemoryError):
    """As CuPy's."""


def fake_cupy(**changes: Any) -> Any:
    """A module with what the backend asks of CuPy besides arrays."""
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        CUDARuntimeError=type("CUDARuntimeError", (RuntimeError,), {}),
        memGetInfo=lambda: (3 * 2**30, 80 * 2**30),
        getDeviceProperties=lambda _: {"name": b"NVIDIA Test"},
        runtimeGetVersion=lambda: 12090,
        driverGetVersion=lambda: 12080,
    )
    pool = types.SimpleNamespace(used_bytes=lambda: 70 * 2**30, total_bytes=lambda: 71 * 2**30)

    def array(*_: Any) -> Any:
        raise OutOfMemoryError("Out of memory allocating 8,000 bytes")

    made = types.ModuleType("cupy")
    made.__dict__.update(
        ndarray=type("ndarray", (), {}),
        array=array,
        zeros=array,
        uint8=np.uint8,
        __version__="14.0",
        get_default_memory_pool=lambda: pool,
        cuda=types.SimpleNamespace(
            runtime=runtime,
            memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            Device=lambda: types.SimpleNamespace(id=0),
            Stream=lambda non_blocking: types.SimpleNamespace(synchronize=lambda: None),
            get_current_stream=lambda: types.SimpleNamespace(ptr=0),
        ),
        **changes,
    )
    return made


@contextmanager
def machine(
    monkeypatch: pytest.MonkeyPatch, driver: cuda.Driver | None, wheels: dict[str, str], cupy: Any
) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(cuda, "driver", lambda: driver)
        patch.setattr(cuda, "wheels", lambda: wheels)
        patch.setattr(backends, "_loaded", {k: v for k, v in backends._loaded.items() if k != "cupy"})
        patch.setattr(backends, "_by_array_type", dict(backends._by_array_type))
        patch.setitem(sys.modules, "cupy", cupy)
        yield


def doctor() -> str:
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    ("driver", "line"),
    [
        (cuda.Driver(13000, 1), 'pip install "tinyseq[cuda13]"'),
        (cuda.Driver(12040, 2), 'pip install "tinyseq[cuda12]"'),
        (None, 'pip install "tinyseq[cuda12]" (or tinyseq[cuda13], by your driver)'),
    ],
)
def test_a_missing_wheel_is_named_as_pip_wants_it(monkeypatch: Any, driver: cuda.Driver | None, line: str) -> None:
    with machine(monkeypatch, driver, {}, None):
        with pytest.raises(ts.TinyseqError, match="not installed") as caught:
            backends.load("cupy")
        assert line in caught.value.fix
        told = doctor()
    assert f"try: {line}" in told
    assert "CuPy      not installed" in told


def test_the_doctor_tells_a_machine_without_a_gpu(monkeypatch: Any) -> None:
    with machine(monkeypatch, None, {}, None):
        told = doctor()
    assert "no NVIDIA driver" in told
    assert ts.__version__ in told
    assert np.__version__ in told
    for extra in EXTRAS:
        assert extra in told
    assert all(len(line) < 140 for line in told.splitlines())


def test_the_doctor_tells_a_machine_with_one(monkeypatch: Any) -> None:
    with machine(monkeypatch, cuda.Driver(12080, 1), {"cupy-cuda12x": "14.0"}, fake_cupy()):
        told = doctor()
    assert "supports CUDA 12.8, sees 1 device" in told
    assert "cupy-cuda12x 14.0" in told
    assert "NVIDIA Test" in told
    assert "3.0 GiB free of 80.0 GiB" in told


def test_two_wheels_at_once_are_told(monkeypatch: Any) -> None:
    both = {"cupy-cuda12x": "14.0", "cupy-cuda13x": "14.0"}
    with machine(monkeypatch, cuda.Driver(13000, 1), both, fake_cupy()):
        assert "pip uninstall cupy-cuda12x cupy-cuda13x" in doctor()


def test_missing_extras_come_with_their_line(monkeypatch: Any) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sacrebleu" else found(name))
    told = doctor()
    assert 'pip install "tinyseq[bleu]"' in told
    assert 'pip install "tinyseq[llvm]"' not in told or "llvm      missing" in told


def test_no_memory_left_is_said_in_words(monkeypatch: Any) -> None:
    backend = cupy_backend.CupyBackend(fake_cupy())
    with pytest.raises(cupy_backend.DeviceMemoryError) as caught:
        backend.from_host(np.zeros(2**20))
    assert isinstance(caught.value, MemoryError)
    assert caught.value.required == "8 MiB more"
    assert "71,680 MiB in use" in caught.value.got
    assert "batch_size" in caught.value.fix


def test_the_driver_is_asked_without_cupy(monkeypatch: Any) -> None:
    def missing(name: str) -> Any:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert cuda.driver() is None

    class Library:
        def cuDriverGetVersion(self, where: Any) -> int:
            where._obj.value = 12040
            return 0

        def cuInit(self, flags: int) -> int:
            return 0

        def cuDeviceGetCount(self, where: Any) -> int:
            where._obj.value = 2
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    assert cuda.driver() == cuda.Driver(12040, 2)
    assert str(cuda.driver()) == "CUDA 12.4"


def test_asking_loads_no_cupy(monkeypatch: Any) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        assert not name.startswith("cupy"), "cupy was imported"
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    cuda.driver()
    cuda.wheels()
    cuda.pip_line(None)


def test_cupy_has_all_that_kernels_may_use() -> None:
    """CuPy imports without a GPU; where it is installed, the wall of ``strict.py`` is no wider than CuPy."""
    cupy = pytest.importorskip("cupy", reason='CuPy is not installed: pip install "tinyseq[cuda12]"')
    assert sorted(name for name in ALLOWED if not hasattr(cupy, name)) == []
    assert hasattr(cupy.add, "reduce")
    assert hasattr(cupy.add, "at")
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)


# -- gradients of indexing ---------------------------------------------------------------------------------------------


class RowsKernel:
    """CuPy's ElementwiseKernel on the host: the same text in a loop, for float64."""

    def __init__(self, parameters: str, results: str, body: str, name: str) -> None:
        self.parameters = ", ".join([*parameters.split(", "), *results.split(", ")])
        declared = self.parameters.replace("raw ", "const ", 3).replace("raw T out", "double* out")
        declared = declared.replace("T rows", "double* rows").replace("int64 order", "long long* order")
        declared = declared.replace("int64 places", "long long* places").replace("int64 ", "long long ")
        head = f'extern "C" void {name}({declared}, long long size)'
        loop = f"{{ typedef double T; for (long long i = 0; i < size; ++i) {{ {body} }} }}"
        self.run = getattr(cuda_on_host.shim(f"{head} {loop}"), name)

    def __call__(self, rows: Any, order: Any, places: Any, count: int, width: int, out: Any, size: int) -> None:
        assert rows.dtype == out.dtype == np.float64
        assert order.dtype == places.dtype == np.int64
        given = [np.ascontiguousarray(x) for x in (rows, order, places)]
        numbers = [ctypes.c_longlong(n) for n in (count, width)]
        pointers = [ctypes.c_void_p(x.ctypes.data) for x in (*given, out)]
        self.run(*pointers[:3], *numbers, pointers[3], ctypes.c_longlong(size))


#: shape, key, shape of the updates
ADDED: list[tuple[tuple[int, ...], tuple[Any, ...], tuple[int, ...]]] = [
    ((4, 3), ([0, 3, 0, -1, 0],), (5, 3)),
    ((4, 3), (slice(None), [2, 2, 0]), (4, 3)),
    ((4, 3), ([0, 3, 0], [1, 1, -2]), (3,)),
    ((4, 3, 2), ([[0], [3]], [[1, 1]]), (2, 2, 2)),
    ((4, 3, 2), ([0, 0], slice(None), [1, 1]), (2, 3)),
    ((4, 3, 2), (slice(None), [0, 0, 2], slice(1, 2)), (4, 3, 1)),
    ((2, 4, 3, 2), (slice(None), [[0, 3]], [[1], [1]]), (2, 2, 2, 2)),
    ((3,), (1,), ()),
    ((3,), (np.zeros(0, np.int64),), (0,)),
]


@needs_compiler
@pytest.mark.parametrize(("shape", "key", "given"), ADDED, ids=str)
def test_eager_gradients_of_indexing_are_added_in_order(shape: Any, key: Any, given: Any) -> None:
    """By NumPy in the place of CuPy, whose `add.at`, which adds in any order, is not there to be asked."""
    names = ("zeros", "arange", "argsort", "int64")
    face = types.SimpleNamespace(ndarray=np.ndarray, ElementwiseKernel=RowsKernel, **{n: getattr(np, n) for n in names})
    key = tuple(part if isinstance(part, slice) else np.array(part) for part in key)
    updates = np.random.default_rng(0).normal(size=given)
    expected = np.zeros(shape)
    np.add.at(expected, key, updates)
    found = cupy_backend.CupyBackend(face).scatter_add(shape, key, updates)
    np.testing.assert_array_equal(found, expected)  # NumPy adds in order of position too
