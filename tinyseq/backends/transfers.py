"""Copies between the host and a CUDA device while it computes: through pinned memory, on streams, by events."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from tinyseq.backends.base import Array

#: The largest array that is staged, in bytes; and how many as large as the largest so far a set has room for, so that
#: those of a batch lie in one or two.
LARGEST, ROOM = 1 << 24, 4
#: Bytes of a set at first.
_FIRST = 1 << 20
#: Where an array may begin.
_ALIGNMENT = 256


class _Set:
    """Memory that arrays pass through, as much on the host as on the device, and what tells that it is free again."""

    def __init__(self, cuda: Any, device: Array) -> None:
        self.host, self.device = cuda.alloc_pinned_memory(device.nbytes), device
        #: After the last copy from host to device.
        self.sent = cuda.Event(disable_timing=True)
        #: After the last copy out of the device's memory, for each stream that has made one.
        self.taken: dict[int, Any] = {}


class Transfers:
    """What is on its way between the host and the device.

    An array travels to the device on a stream of its own, while the current stream computes what it was given before;
    only what is asked of the current stream afterwards waits for it. It goes through one of two sets of memory, which
    are used in turn: one is filled while what is in the other may still be read. The array that results is an ordinary
    one of the current stream, so that its memory is managed as that of any other.

    Args:
        cupy: the array module.
        allocate: (bytes) -> a flat array of uint8 on the device.
        view: (memory, offset, shape, strides, dtype) -> the array that lies there.
    """

    def __init__(self, cupy: Any, allocate: Callable[[int], Array], view: Callable[..., Array]) -> None:
        self.cupy, self.allocate, self.view = cupy, allocate, view
        #: Made with the first sets: whoever only asks what a machine has needs none.
        self._stream: Any = None
        self._sets: list[_Set] = []
        self._size = self._used = 0
        self._fetched: deque[tuple[Any, np.ndarray[Any, Any]]] = deque()
        self._lock = threading.Lock()

    def send(self, array: np.ndarray[Any, Any]) -> Array:
        """Copy an array of at most ``LARGEST`` bytes to the device.

        Raises:
            DeviceMemoryError: there is no room on the device for the sets.
        """
        with self._lock:
            computing = self.cupy.cuda.get_current_stream()
            begin = self._reserve(array.nbytes, computing)
            through = self._sets[0]
            host = np.ndarray(array.shape, array.dtype, through.host, begin)
            host[...] = array
            device = self.view(through.device, begin, host.shape, host.strides, host.dtype)
            device.set(host, self._stream)
            through.sent.record(self._stream)
            computing.wait_event(through.sent)
            result = device.copy()
            if computing.ptr not in through.taken:
                through.taken[computing.ptr] = self._event()
            through.taken[computing.ptr].record(computing)
            return result

    def _reserve(self, nbytes: int, computing: Any) -> int:
        """Return where so many bytes are free in the first set, which may be the other one from now on."""
        if nbytes * ROOM > self._size:
            for one in self._sets:  # what is on its way leaves the memory that is given back
                for taken in one.taken.values():
                    taken.synchronize()
            size = max(_FIRST, 1 << (nbytes * ROOM - 1).bit_length())
            self._sets = [_Set(self.cupy.cuda, self.allocate(size)) for _ in range(2)]
            self._size = size
            self._stream = self._stream or self.cupy.cuda.Stream(non_blocking=True)
            for one in self._sets:  # what the current stream has done with this memory comes first
                one.taken[computing.ptr] = self._event()
                one.taken[computing.ptr].record(computing)
            self._begin()
        elif self._used + nbytes > self._size:
            self._sets.reverse()
            self._begin()
        begin = self._used
        self._used += -(-nbytes // _ALIGNMENT) * _ALIGNMENT
        return begin

    def _begin(self) -> None:
        """Wait until the first set is free: the host for its half, the stream for that of the device."""
        self._used = 0
        self._sets[0].sent.synchronize()
        for taken in self._sets[0].taken.values():
            self._stream.wait_event(taken)

    def fetch(self, array: Array) -> Callable[[], np.ndarray[Any, Any]]:
        """Begin to copy an array to the host, when the current stream is so far; return what waits for it."""
        stream, done = self.cupy.cuda.get_current_stream(), self._event()
        memory = self.cupy.cuda.alloc_pinned_memory(max(array.nbytes, 1))
        host = np.ndarray(array.shape, array.dtype, memory)
        array.get(out=host, blocking=False)
        done.record(stream)
        with self._lock:
            # Held until it is there, whether or not anybody waits: memory given back early would be written to.
            self._fetched.append((done, host))
            while self._fetched and self._fetched[0][0].done:
                self._fetched.popleft()

        def wait() -> np.ndarray[Any, Any]:
            done.synchronize()
            return host

        return wait

    def _event(self) -> Any:
        return self.cupy.cuda.Event(disable_timing=True)
