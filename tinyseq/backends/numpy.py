"""The NumPy backend: the reference."""

from __future__ import annotations

import functools
import math
import platform
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from tinyseq.backends.base import Array, Shape


class NumpyBackend:
    """Arrays in host memory, kernels by NumPy."""

    name: ClassVar[str] = "numpy"
    target: ClassVar[str] = "numpy"
    asynchronous: ClassVar[bool] = False

    def __init__(self) -> None:
        self.xp = np
        self.array_type: type = np.ndarray

    def from_host(self, array: np.ndarray[Any, Any]) -> Array:
        return np.array(array)

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        return np.asarray(array)

    def fetch(self, array: Array) -> Callable[[], np.ndarray[Any, Any]]:
        return lambda: self.to_host(array)

    def allocate(self, nbytes: int) -> Array:
        return np.zeros(nbytes, np.uint8)

    def view(self, memory: Array, offset: int, shape: Shape, strides: Shape, dtype: np.dtype[Any]) -> Array:
        return np.ndarray(shape, dtype, memory, offset, strides)

    def erf(self, x: Array) -> Array:
        return _erf(np.asarray(x))

    def scatter_add(self, shape: tuple[int, ...], key: Any, updates: Array) -> Array:
        out = np.zeros(shape, dtype=updates.dtype)
        if out[key].shape != updates.shape:
            raise ValueError("NumPy would broadcast them, and nobody else does")
        np.add.at(out, key, updates)
        return out

    def memory(self) -> dict[str, int]:
        try:
            import resource
        except ImportError:  # Windows
            return {}
        unit = 1 if platform.system() == "Darwin" else 1024  # macOS counts ru_maxrss in bytes, Linux in KiB
        return {"peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}

    def describe(self) -> dict[str, str]:
        return {"backend": "numpy", "numpy": np.__version__, "device": platform.machine() or "cpu"}


@functools.cache
def _erfcx_series(degree: int) -> np.ndarray[Any, Any]:
    """Chebyshev coefficients of exp(x^2) erfc(x) on x >= 0, in t = (x - 2) / (x + 2) (Schonfelder 1978)."""

    def scaled(t: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        x = 2.0 * (1.0 + t) / (1.0 - t)
        # Beyond 5 the product would meet underflow; the continued fraction has converged there.
        return np.array([math.exp(v * v) * math.erfc(v) if v < 5.0 else _erfcx_tail(v) for v in x])

    return np.polynomial.chebyshev.chebinterpolate(scaled, degree)


def _erfcx_tail(x: float) -> float:
    fraction = 0.0
    for k in range(60, 0, -1):
        fraction = k / 2.0 / (x + fraction)
    return 1.0 / (math.sqrt(math.pi) * (x + fraction))


def _erf(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """NumPy has no erf: 1 - exp(-x^2) p(t), and a Taylor series near zero, where that difference cancels."""
    size = np.abs(np.where(np.isnan(x), 0.0, x))
    size = np.minimum(size, np.asarray(6.5, dtype=x.dtype))  # erf(6.5) rounds to 1
    t = (size - 2.0) / (size + 2.0)
    series = _erfcx_series(28 if x.itemsize > 4 else 12).astype(x.dtype)
    large = 1.0 - np.exp(-size * size) * np.polynomial.chebyshev.chebval(t, series)
    square = size * size
    taylor = np.zeros_like(size)
    for n in range(14 if x.itemsize > 4 else 8, -1, -1):
        taylor = taylor * square + (-1.0) ** n / (math.factorial(n) * (2 * n + 1))
    small = 2.0 / math.sqrt(math.pi) * size * taylor
    y = np.copysign(np.where(size < 0.7, small, large), x)
    return np.where(np.isnan(x), x, y).astype(x.dtype)


def create() -> NumpyBackend:
    """Return the backend (the entry point that the registry calls)."""
    return NumpyBackend()
