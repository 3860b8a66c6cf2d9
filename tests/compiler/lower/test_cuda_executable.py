"""The device's executable on a stand-in for CuPy: what is launched when, what is captured, what is replayed.

The stand-in keeps the rules that matter: while a stream is captured nothing runs, it is noted; CuPy's own kernels and
transfers are refused then; a graph runs what was noted, with the addresses of then.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support import cuda_on_host, strict
from support.cells import Case, registered
from support.checking import assert_close, run
from support.cuda_on_host import needs_compiler
from support.device_training import Steps
from support.side_by_side import side_by_side, wait
from tinyseq import backends
from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.cupy import cublas, executable
from tinyseq.compiler.lower.cupy.gemm import gemms
from tinyseq.compiler.lower.stages import Product
from tinyseq.errors import BackendError

pytestmark = needs_compiler


class Device:
    """What was done, and what is being captured."""

    def __init__(self) -> None:
        self.captured: list[Callable[[], Any]] | None = None
        self.launched = self.replayed = self.modules = 0

    def do(self, what: Callable[[], Any]) -> None:
        self.launched += 1
        if self.captured is None:
            what()
        else:
            self.captured.append(what)


class Module(strict._Module):
    """CuPy's face, on the host."""

    __version__ = "stand-in"

    def __init__(self, device: Device) -> None:
        self.device = device
        self.cuda = types.SimpleNamespace(
            runtime=types.SimpleNamespace(
                getDeviceCount=lambda: 1, runtimeGetVersion=lambda: 12000, CUDARuntimeError=RuntimeError
            ),
            memory=types.SimpleNamespace(OutOfMemoryError=MemoryError),
            get_current_stream=lambda: Stream(device, 0),
            Stream=lambda non_blocking: Stream(device, 7),
            Event=lambda disable_timing: types.SimpleNamespace(record=lambda stream: None, synchronize=lambda: None),
            alloc_pinned_memory=bytearray,
            Device=lambda: types.SimpleNamespace(
                compute_capability="80",
                attributes={"MaxSharedMemoryPerBlockOptin": 163 << 10, "MultiProcessorCount": 108},
            ),
        )

    def __getattr__(self, name: str) -> Any:
        assert self.device.captured is None, f"CuPy's {name} while a stream is captured"
        return super().__getattr__(name)

    def asnumpy(self, x: strict.DeviceArray) -> np.ndarray:
        return x.get()

    def RawModule(self, code: str, options: tuple[str, ...], backend: str) -> Any:
        assert self.device.captured is None
        self.device.modules += 1
        return types.SimpleNamespace(get_function=lambda name: self.function(cuda_on_host.shim(code), name))

    def function(self, library: ctypes.CDLL, name: str) -> Callable[..., None]:
        def launch(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...], shared_mem: int) -> None:
            assert shared_mem == 0, "beyond what sm_80 gives"
            *addresses, t, turn = arguments
            assert all(type(x) is np.uint64 for x in addresses)
            assert type(t) is type(turn) is np.int32
            given = list(map(int, addresses))
            self.device.do(lambda: cuda_on_host.run(library, name, given, (int(t), int(turn)), grid[0], block[0]))

        return launch


class Stream:
    """Does at once what it is asked for; ``tests/backends/streams.py`` is a stand-in that does not."""

    def __init__(self, device: Device, ptr: int) -> None:
        self.device, self.ptr = device, ptr

    def wait_event(self, event: Any) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def begin_capture(self) -> None:
        assert self.device.captured is None
        self.device.captured = []

    def end_capture(self) -> Any:
        noted, self.device.captured = self.device.captured, None
        assert noted

        def launch() -> None:
            self.device.replayed += 1
            for what in noted:
                what()

        return types.SimpleNamespace(launch=launch)


class Blas(cuda_on_host.Blas):
    def __init__(self, device: Device) -> None:
        super().__init__()
        self.device = device

    def cublasGemmEx(self, *arguments: Any) -> int:
        self.device.do(lambda: super(Blas, self).cublasGemmEx(*arguments))
        return 0


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()
    module = Module(made)
    blas = Blas(made)
    monkeypatch.setattr(backends, "_loaded", {k: v for k, v in backends._loaded.items() if k not in ("cupy", "strict")})
    monkeypatch.setattr(backends, "_by_array_type", dict(backends._by_array_type))
    backends._by_array_type.pop(strict.DeviceArray, None)
    monkeypatch.setattr(executable, "_handles", {})
    monkeypatch.setattr(executable, "library", lambda version: blas)
    special = types.SimpleNamespace(erf=strict.StrictBackend().erf)
    faces = {"cupy": module, "cupy.cuda": types.SimpleNamespace(cublas=None), "cupyx.scipy.special": special}
    for name, face in faces.items():
        monkeypatch.setitem(sys.modules, name, face)
    made.blas = blas  # type: ignore[attr-defined]
    return made


def eagerly(case: Case) -> Any:
    return run(case.fn, case)


def test_first_launched_then_captured_then_replayed(device: Device) -> None:
    expected = eagerly(registered("lstm"))
    with ts.backend("cupy"):
        case = registered("lstm")
        fast = ts.compile(case.fn)
        counted = []
        for _ in range(4):
            before = device.launched, device.replayed
            for got, wanted in zip(run(fast, case), expected, strict=True):
                assert_close(got, wanted, "on the stand-in")
            counted.append((device.launched - before[0], device.replayed - before[1]))
        (found,) = fast.entry_of_last_call().idle
    launches = sum(found.lowered.counts()[key] for key in ("kernels", "products"))
    copies = 4  # in and out, forward and backward
    # A forward and a backward piece: every launch, then every launch noted and two graphs, then two graphs.
    assert counted == [(launches + copies, 0), (launches + copies, 2), (copies, 2), (copies, 2)]
    assert device.modules == 1
    assert found.capture_seconds > 0.0
    assert f"{found.lowered.counts()['kernels']} kernels" in found.notes()[1]


def test_what_cupy_computes_itself_stands_between_graphs(device: Device) -> None:
    def fn(x: Any) -> Any:
        return ts.tanh(ts.cast(x * 3.0, np.int64) * 0.1 + x)

    x = np.linspace(-2, 2, 12).reshape(3, 4)
    expected = fn(ts.tensor(x)).numpy()
    with ts.backend("cupy"), ts.no_grad():
        fast = ts.compile(fn)
        for _ in range(3):
            np.testing.assert_allclose(fast(ts.tensor(x)).numpy(), expected, rtol=1e-12)
        (found,) = fast.entry_of_last_call().idle
    assert [reason for _, reason in found.lowered.left] == ["cast of f8 to i8"]
    assert device.replayed == 4  # before it and after it, twice


def test_two_calls_before_a_backward_have_their_own_graphs(device: Device) -> None:
    with ts.backend("cupy"):
        case = registered("gru")
        fast = ts.compile(case.fn)
        for _ in range(3):
            first, second = (fast(*case.args)[0].sum() for _ in range(2))
            second.backward()
            one = [p.grad.numpy() for p in case.tensors()]
            first.backward()
            both = [p.grad.numpy() for p in case.tensors()]
            for p in case.tensors():
                p.grad = None
            for a, b in zip(one, both, strict=True):
                np.testing.assert_allclose(2 * a, b, rtol=1e-12)


def test_a_training_step_moves_its_weights_by_two_kernels(device: Device) -> None:
    def moved(backend: str) -> list[np.ndarray]:
        with ts.backend(backend):
            steps, x = Steps(), ts.tensor(np.ones(1))
            for _ in range(4):
                before = device.launched
                steps.fast(x)
            counted.append(device.launched - before)
            return steps.values()

    counted: list[int] = []
    for got, wanted in zip(moved("cupy"), moved("numpy"), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert counted == [2, 0], "all else is replayed"


def test_the_workspace_is_given_after_every_change_of_stream(device: Device) -> None:
    """Setting a stream takes a workspace away; without one, cuBLAS would allocate during capture."""
    with ts.backend("cupy"):
        case = registered("rnn")
        fast = ts.compile(case.fn)
        for _ in range(3):
            run(fast, case)
    calls = device.blas.calls  # type: ignore[attr-defined]
    assert calls
    assert calls == ["stream", "workspace"] * (len(calls) // 2)


def test_threads_send_their_products_one_after_the_other(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """They share a handle: with another stream set in between, a product would be left out of a graph."""
    events: list[tuple[int, str]] = []
    first, second = threading.Event(), threading.Event()
    use, multiply = cublas.Handle.use, cublas.Handle.multiply

    def using(self: cublas.Handle, *args: Any) -> None:
        use(self, *args)
        events.append((threading.get_ident(), "use"))
        if not first.is_set():
            first.set()
            second.wait(0.2)  # until the other one is here too, which it must not be
        second.set()

    def multiplying(self: cublas.Handle, *args: Any) -> None:
        events.append((threading.get_ident(), "multiply"))
        multiply(self, *args)

    def product() -> np.ndarray:
        with ts.backend("cupy"):
            return ts.compile(lambda x, w: x @ w)(*given).numpy()

    def after() -> np.ndarray:
        wait(first)
        return product()

    with ts.backend("cupy"):
        given = [ts.tensor(np.eye(3), dtype=np.float32) for _ in range(2)]
    monkeypatch.setattr(cublas.Handle, "use", using)
    monkeypatch.setattr(cublas.Handle, "multiply", multiplying)
    for found in side_by_side(product, after):
        np.testing.assert_array_equal(found, np.eye(3))
    assert [what for _, what in events] == ["use", "multiply"] * 2
    assert len({thread for thread, _ in events}) == 2
    assert events[0][0] == events[1][0]


def test_precision_is_part_of_the_key_and_reaches_cublas(device: Device) -> None:
    with ts.backend("cupy") as backend:
        x, w = (ts.tensor(np.ones((3, 3)), dtype=np.float32) for _ in range(2))
        fast = ts.compile(lambda x, w: x @ w)
        fast(x, w)
        computing = device.blas.computing  # type: ignore[attr-defined]
        assert computing == {68}  # CUBLAS_COMPUTE_32F
        with ts.backend("cupy", precision="tf32"):
            fast(x, w)
            assert computing == {68, 77}  # and CUBLAS_COMPUTE_32F_FAST_TF32
            assert "tf32" in fast.entry_of_last_call().idle[0].notes()[1]
        assert backend.name == "cupy"
        assert backends.precision() == "fp32"
    with pytest.raises(BackendError, match="precision") as caught, ts.backend("numpy", precision="tf23"):
        pass
    assert "tf32" in caught.value.fix


def test_a_refusal_of_cublas_is_told() -> None:
    class Refusing(cuda_on_host.Blas):
        def cublasGemmEx(self, *_: Any) -> int:
            return 7  # CUBLAS_STATUS_INVALID_VALUE

    handle = cublas.Handle(Refusing(), backends.load("numpy"), "fp32")
    access = Access(0, 0, 0, 0, 0, 0, (2, 2), (8, 4), "f4", 8)
    (gemm,) = gemms(Product(access, access, access))
    with pytest.raises(BackendError, match="cublasGemmEx failed") as caught:
        handle.multiply(gemm, 0, 0, 0)
    assert "status 7" in caught.value.got


# -- products ----------------------------------------------------------------------------------------------------------


def laid(shape: tuple[int, ...], order: tuple[int, ...], slot: int, pad: int = 0) -> tuple[Access, np.ndarray]:
    """An access of axes that lie in an order, the fastest last with ``pad`` elements behind; and its memory."""
    extents = [shape[axis] for axis in order]
    extents[-1] += pad
    memory = np.random.default_rng(slot).normal(size=extents)
    view = memory[..., : shape[order[-1]]].transpose(np.argsort(order))
    return Access(slot, slot, 0, 0, 0, 0, view.shape, view.strides, "f8", 0), view


@pytest.mark.parametrize("pad", [0, 3])
@pytest.mark.parametrize("extents", [(4, 3, 5), (1, 3, 5), (4, 1, 5), (4, 3, 1), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=str)
def test_products_of_matrices_however_they_lie(batch: tuple[int, ...], extents: tuple[int, ...], pad: int) -> None:
    m, n, k = extents
    lead = tuple(range(len(batch)))
    rows, turned = (*lead, len(lead), len(lead) + 1), (*lead, len(lead) + 1, len(lead))
    handle = cublas.Handle(cuda_on_host.Blas(), backends.load("numpy"), "fp32")
    for left_order in (rows, turned):
        for right_order in (rows, turned):
            for out_order in (rows, turned):
                left, a = laid((*batch, m, k), left_order, 0, pad)
                right, b = laid((*batch, k, n), right_order, 1, pad)
                output, c = laid((*batch, m, n), out_order, 2, pad)
                found = gemms(Product(left, right, output))
                assert found
                places = {0: a.ctypes.data, 1: b.ctypes.data, 2: c.ctypes.data}
                for gemm in found:
                    handle.multiply(gemm, *(places[x.slot] + x.offset for x in (gemm.a, gemm.b, gemm.c)))
                np.testing.assert_allclose(c, a @ b, rtol=1e-12)


def test_heads_take_a_call_for_each_and_pieces_none() -> None:
    batch, heads, time, width = 5, 2, 3, 4
    swapped = laid((batch, heads, time, width), (0, 2, 1, 3), 0)[0]  # as (batch, time, heads x width) is cut into heads
    turned = laid((batch, heads, width, time), (0, 3, 1, 2), 1)[0]
    output = laid((batch, heads, time, time), (0, 1, 2, 3), 2)[0]
    found = gemms(Product(swapped, turned, output))
    assert [gemm.batch for gemm in found] == [batch] * heads
    in_pieces = Access(0, 0, 0, 0, 0, 0, (3, 3), (48, 16), "f8", 0)  # every other column
    whole = laid((3, 3), (0, 1), 1)[0]
    assert gemms(Product(in_pieces, whole, whole)) == []
    assert gemms(Product(whole, whole, in_pieces)) == []
