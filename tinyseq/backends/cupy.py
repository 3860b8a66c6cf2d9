"""The CuPy backend: the same kernels on a CUDA device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any, ClassVar

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


class CupyBackend:
    """Arrays in device memory, kernels by CuPy."""

    name: ClassVar[str] = "cupy"
    lowering: ClassVar[str] = "cupy"
    asynchronous: ClassVar[bool] = True

    def __init__(self, cupy: Any) -> None:
        self.xp = cupy
        self.array_type: type = cupy.ndarray

    @cached_property
    def transfers(self) -> Transfers:
        """What is on its way between the host and the device."""
        return Transfers(self.xp, self.allocate, self.view)

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
        out = self.xp.zeros(shape, dtype=updates.dtype)
        self.xp.add.at(out, key, updates)
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
