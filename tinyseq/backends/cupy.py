"""The CuPy backend: the same kernels on a CUDA device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, Final

import numpy as np

from tinyseq.backends import cuda
from tinyseq.backends.base import Array, Shape
from tinyseq.backends.transfers import LARGEST, Transfers
from tinyseq.errors import BackendError, TinyseqError


class DeviceMemoryError(TinyseqError, MemoryError):
    """The device's memory is full."""

    def __init__(self, nbytes: int, memory: dict[str, int], got: str) -> None:
        used, total = memory.get("used_bytes", 0), memory.get("total_bytes", 0)
        super().__init__(
            "the GPU's memory is full",
            required=f"{nbytes / 2**20:,.0f} MiB more",
            got=f"{got} ({used / 2**20:,.0f} MiB in use here, of {total / 2**20:,.0f} MiB)",
            fix="a smaller batch_size, shorter bptt, ts.compile(f, recompute=True), or end other programs on the GPU",
        )


#: Parameters, results, body and name of the kernel that adds up neighbouring rows of one place: CuPy keeps it.
_ADD_ROWS: Final = (
    "raw T rows, raw int64 order, raw int64 places, int64 count, int64 width",
    "raw T out",
    """
    const long long first = i / width, column = i % width;
    if (first == 0 || places[first - 1] != places[first]) {
      T total = 0;
      for (long long r = first; r < count && places[r] == places[first]; ++r) total += rows[order[r] * width + column];
      out[places[first] * width + column] = total;
    }
    """,
    "tinyseq_add_rows",
)


class CupyBackend:
    """Arrays in device memory, kernels by CuPy."""

    name: ClassVar[str] = "cupy"
    target: ClassVar[str] = "cupy"
    asynchronous: ClassVar[bool] = True

    def __init__(self, cupy: Any) -> None:
        self.xp = cupy
        self.array_type: type = cupy.ndarray
        #: What is on its way between the host and the device.
        self.transfers = Transfers(cupy, self.allocate, self.view)

    def from_host(self, array: np.ndarray[Any, Any]) -> Array:
        with self._room(array.nbytes):
            if 0 < array.nbytes <= LARGEST:
                with suppress(DeviceMemoryError):
                    return self.transfers.send(array)
            # No batch, for which as much pinned memory would be too much; or the device is all but full.
            return self.xp.array(array)

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        host: np.ndarray[Any, Any] = self.xp.asnumpy(array)
        return host

    def fetch(self, array: Array) -> Callable[[], np.ndarray[Any, Any]]:
        return self.transfers.fetch(array)

    def allocate(self, nbytes: int) -> Array:
        with self._room(nbytes):
            return self.xp.zeros(nbytes, self.xp.uint8)

    @contextmanager
    def _room(self, nbytes: int) -> Iterator[None]:
        """Say in words that the device's memory is full; it is a MemoryError still."""
        try:
            yield
        except self.xp.cuda.memory.OutOfMemoryError as error:
            raise DeviceMemoryError(nbytes, self.memory(), str(error)) from None

    def view(self, memory: Array, offset: int, shape: Shape, strides: Shape, dtype: np.dtype[Any]) -> Array:
        return self.xp.ndarray(shape, dtype, memory.data + offset, strides)

    def erf(self, x: Array) -> Array:
        from cupyx.scipy.special import erf

        return erf(x)

    def scatter_add(self, shape: tuple[int, ...], key: Any, updates: Array) -> Array:
        # CuPy's own `add.at` adds in any order; here rows are sorted by where they go, and added up in order.
        xp = self.xp
        out = xp.zeros(shape, dtype=updates.dtype)
        if not updates.size or not out.size:
            return out
        arrays = [part for part in key if hasattr(part, "shape")]
        first = next((i for i, part in enumerate(key) if hasattr(part, "shape")), 0)
        last = first + len(arrays)
        others = [*key[:first], *key[last:]]
        if not arrays or any(not isinstance(part, slice) or part != slice(None) for part in others):
            places = xp.arange(out.size).reshape(shape)[key].reshape(-1)  # each element is a row of its own
            return self._rows(out.size, places, updates.reshape(-1, 1)).reshape(shape)
        before, indexed, after = shape[:first], shape[first:last], shape[last:]
        places = 0
        for array, extent in zip(arrays, indexed, strict=True):
            places = places * extent + array.astype(xp.int64) % extent
        outer, inner = math.prod(before), math.prod(after)
        rows = updates.reshape(outer, places.size, inner).transpose(1, 0, 2).reshape(places.size, outer * inner)
        summed = self._rows(math.prod(indexed), places.reshape(-1), rows)
        return summed.reshape(-1, outer, inner).transpose(1, 0, 2).reshape(shape)

    def _rows(self, count: int, places: Array, rows: Array) -> Array:
        """Return ``count`` rows, of those given the sums by place."""
        xp = self.xp
        order = xp.argsort(places * len(places) + xp.arange(len(places)))  # all different: the sort need not be stable
        out = xp.zeros((count, rows.shape[1]), dtype=rows.dtype)
        add = xp.ElementwiseKernel(*_ADD_ROWS)
        add(rows, order, places[order], len(places), rows.shape[1], out, size=rows.size)
        return out

    def memory(self) -> dict[str, int]:
        pool = self.xp.get_default_memory_pool()
        free, total = self.xp.cuda.runtime.memGetInfo()
        return {
            "used_bytes": pool.used_bytes(),
            "reserved_bytes": pool.total_bytes(),
            "free_bytes": free,
            "total_bytes": total,
        }

    def describe(self) -> dict[str, str]:
        device = self.xp.cuda.runtime.getDeviceProperties(self.xp.cuda.Device().id)["name"].decode()
        runtime, driver = self.xp.cuda.runtime.runtimeGetVersion(), self.xp.cuda.runtime.driverGetVersion()
        return {
            "backend": "cupy",
            "cupy": self.xp.__version__,
            "device": device,
            "cuda_runtime": str(runtime),
            "cuda_driver": str(driver),
        }


def create() -> CupyBackend:
    """Return the backend.

    Raises:
        BackendError: CuPy is not installed, or finds no driver or device.
    """
    driver = cuda.driver()
    try:
        import cupy
    except ImportError as error:
        raise BackendError(
            "the cupy backend is not installed",
            required="the package cupy",
            got=str(error),
            fix=f"{cuda.pip_line(driver)}, or use backend numpy",
        ) from None
    try:
        devices = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(
            "the cupy backend finds no CUDA device",
            required="an NVIDIA GPU and its driver",
            got=str(error),
            fix="`tinyseq doctor` says what is there; or use backend numpy",
        ) from None
    if not devices:
        raise BackendError("the cupy backend finds no CUDA device", got="0 devices", fix="use backend numpy")
    return CupyBackend(cupy)
