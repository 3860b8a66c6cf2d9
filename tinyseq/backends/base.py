"""The protocol of a backend: arrays, the few kernels that array modules do not share, memory, and random numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

Array = Any  # numpy.ndarray, cupy.ndarray, ...
Xp = Any  # the array module: numpy, cupy
Shape = tuple[int, ...]


@runtime_checkable
class Backend(Protocol):
    """Where arrays live and kernels run.

    ``xp`` is the array module that kernels are written against. The methods are what differs between such modules.
    """

    name: ClassVar[str]
    #: Which of the compiler's targets makes plans that run on this backend's arrays.
    target: ClassVar[str]
    #: Whether a call of a kernel returns before it has run, so that the host may go on with something else.
    asynchronous: ClassVar[bool]
    xp: Xp
    array_type: type

    def from_host(self, array: np.ndarray[Any, Any]) -> Array:
        """Copy a NumPy array to where this backend computes."""

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        """Return a NumPy array of the same values; on a CPU backend it is the same memory."""

    def fetch(self, array: Array) -> Callable[[], np.ndarray[Any, Any]]:
        """Begin to bring an array to the host, as it is when all that was begun has run; return what waits for it.

        Unlike ``to_host``, it does not wait for what is begun afterwards.
        """

    def allocate(self, nbytes: int) -> Array:
        """Return so many bytes, as a flat array of uint8, all 0."""

    def view(self, memory: Array, offset: int, shape: Shape, strides: Shape, dtype: np.dtype[Any]) -> Array:
        """Return elements of flat bytes as an array, with no copy: the first at ``offset``, ``strides`` in bytes."""

    def erf(self, x: Array) -> Array:
        """The error function, element by element."""

    def scatter_add(self, shape: tuple[int, ...], key: Any, updates: Array) -> Array:
        """Return zeros of ``shape`` with ``updates`` added at the index ``key``; repeated indices accumulate."""

    def memory(self) -> dict[str, int]:
        """Bytes in use and at the peak, as far as the backend knows."""

    def describe(self) -> dict[str, str]:
        """Library, version and device, for a run's record."""
