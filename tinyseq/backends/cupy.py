"""The CuPy backend: the same kernels on a CUDA device."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tinyseq.backends.base import Array
from tinyseq.errors import BackendError


class CupyBackend:
    """Arrays in device memory, kernels by CuPy."""

    name: ClassVar[str] = "cupy"
    lowering: ClassVar[str] = "numpy"  # of what is on the host; compiled functions refuse the device's arrays so far

    def __init__(self, cupy: Any) -> None:
        self.xp = cupy
        self.array_type: type = cupy.ndarray

    def from_host(self, array: np.ndarray[Any, Any]) -> Array:
        return self.xp.asarray(array)

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        host: np.ndarray[Any, Any] = self.xp.asnumpy(array)
        return host

    def erf(self, x: Array) -> Array:
        from cupyx.scipy.special import erf

        return erf(x)

    def scatter_add(self, shape: tuple[int, ...], key: Any, updates: Array) -> Array:
        out = self.xp.zeros(shape, dtype=updates.dtype)
        self.xp.add.at(out, key, updates)
        return out

    def memory(self) -> dict[str, int]:
        pool = self.xp.get_default_memory_pool()
        return {"used_bytes": pool.used_bytes(), "reserved_bytes": pool.total_bytes()}

    def describe(self) -> dict[str, str]:
        device = self.xp.cuda.runtime.getDeviceProperties(self.xp.cuda.Device().id)["name"].decode()
        return {"backend": "cupy", "cupy": self.xp.__version__, "device": device}


def create() -> CupyBackend:
    """Return the backend.

    Raises:
        BackendError: CuPy is not installed, or finds no driver or device.
    """
    wheels = 'pip install "tinyseq[cuda12]" (or tinyseq[cuda13], by your driver), or use backend numpy'
    try:
        import cupy
    except ImportError as error:
        raise BackendError(
            "the cupy backend is not installed", required="the package cupy", got=str(error), fix=wheels
        ) from None
    try:
        devices = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise BackendError(
            "the cupy backend finds no CUDA device",
            required="an NVIDIA GPU and its driver",
            got=str(error),
            fix="check `nvidia-smi`, or use backend numpy",
        ) from None
    if not devices:
        raise BackendError("the cupy backend finds no CUDA device", got="0 devices", fix="use backend numpy")
    return CupyBackend(cupy)
