"""A stand-in for CuPy's streams: what is asked of a stream waits in its queue, and runs as late or in as odd an order
as CUDA's rules allow.

Streams are independent but for events. The host waits for nothing unless it says so. Memory that is given back holds
rubbish from then on, whoever still wants to read it.
"""

from __future__ import annotations

import ctypes
import random
import weakref
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

RUBBISH = 0xA5


class Event:
    """Recorded when the stream comes to it; recorded anew, it means the last time."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.asked = self.came = 0

    def record(self, stream: Stream) -> None:
        self.asked += 1
        turn = self.asked
        stream.ask("record", lambda: setattr(self, "came", max(self.came, turn)))

    @property
    def done(self) -> bool:
        return self.came >= self.asked

    def synchronize(self) -> None:
        self.device.run_until(lambda: self.done)


class Stream:
    def __init__(self, device: Device, ptr: int) -> None:
        self.device, self.ptr = device, ptr
        self.queue: deque[tuple[Callable[[], bool], Callable[[], Any]]] = deque()

    def ask(self, what: str, run: Callable[[], Any]) -> None:
        self.device.asked.append((self.ptr, what))
        self.queue.append((lambda: True, run))

    def wait_event(self, event: Event) -> None:
        turn = event.asked
        self.device.asked.append((self.ptr, "wait"))
        self.queue.append((lambda: event.came >= turn, lambda: None))

    def synchronize(self) -> None:
        self.device.run_until(lambda: not self.queue)

    def ready(self) -> bool:
        return bool(self.queue) and self.queue[0][0]()


class Device:
    """Streams, and who of them comes next.

    Args:
        order: picks one of the streams that could go on; the current one has the number 0.
        eager: how many pieces of work run by themselves whenever something is asked, as if time had passed.
    """

    def __init__(self, order: Callable[[list[int]], int], eager: Callable[[], int] = lambda: 0) -> None:
        self.order, self.eager = order, eager
        self.streams = [Stream(self, 0)]
        self.asked: list[tuple[int, str]] = []
        self.pinned: dict[int, np.ndarray] = {}

    @classmethod
    def seeded(cls, seed: int) -> Device:
        rng = random.Random(seed)
        return cls(rng.choice, lambda: rng.choice((0, 0, 1, 3)))

    @property
    def current(self) -> Stream:
        return self.streams[0]

    def stream(self) -> Stream:
        self.streams.append(Stream(self, len(self.streams)))
        return self.streams[-1]

    def step(self) -> bool:
        """Run the next piece of some stream's work; return whether there was one."""
        ready = [stream.ptr for stream in self.streams if stream.ready()]
        if ready:
            self.streams[self.order(ready)].queue.popleft()[1]()
        return bool(ready)

    def run_until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            assert self.step(), "the host waits for what can never come"

    def pass_time(self) -> None:
        for _ in range(self.eager()):
            self.step()

    def memory(self, nbytes: int) -> Any:
        """Return pinned memory; its bytes stay where they are, and are rubbish when nobody holds it any more."""
        raw = np.full(nbytes, RUBBISH, np.uint8)
        self.pinned[raw.ctypes.data] = raw
        given = (ctypes.c_uint8 * nbytes).from_buffer(raw)
        weakref.finalize(given, raw.fill, RUBBISH)
        return given

    def behind(self, array: np.ndarray) -> np.ndarray:
        """Return an array's elements without holding its memory, as a copy on its way does."""
        place = array.ctypes.data
        for begin, raw in self.pinned.items():
            if begin <= place and place + array.nbytes <= begin + raw.nbytes:
                return np.ndarray(array.shape, array.dtype, raw, place - begin)
        raise AssertionError("not pinned memory: the copy would make the host wait")


class DeviceArray:
    """An array in the device's memory: NumPy's, behind queues."""

    def __init__(self, shape: Any, dtype: Any, memory: Any = None, strides: Any = None, *, device: Device) -> None:
        self.device = device
        if memory is None:
            flat = np.full(int(np.prod(shape)) * np.dtype(dtype).itemsize, RUBBISH, np.uint8)
            self.array = np.ndarray(shape, dtype, flat)
        else:
            self.array = np.ndarray(shape, dtype, memory.array, memory.offset, strides)

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)
    nbytes = property(lambda self: self.array.nbytes)

    @property
    def data(self) -> Any:
        return _Place(self.array, 0)

    def set(self, host: np.ndarray, stream: Stream) -> None:
        assert (host.shape, host.dtype) == (self.shape, self.dtype)
        assert self.array.flags.c_contiguous
        source = self.device.behind(host)
        stream.ask("send", lambda: np.copyto(self.array, source))
        self.device.pass_time()

    def get(self, out: np.ndarray, blocking: bool) -> np.ndarray:
        assert not blocking
        assert (out.shape, out.dtype) == (self.shape, self.dtype)
        target = self.device.behind(out)
        self.device.current.ask("fetch", lambda: np.copyto(target, self.array))
        self.device.pass_time()
        return out

    def copy(self) -> DeviceArray:
        made = DeviceArray(self.shape, self.dtype, device=self.device)
        self.device.current.ask("copy", lambda: np.copyto(made.array, self.array))
        self.device.pass_time()
        return made

    def now(self) -> np.ndarray:
        """Wait for the current stream and return the elements."""
        self.device.current.synchronize()
        return self.array.copy()


class _Place:
    def __init__(self, array: np.ndarray, offset: int) -> None:
        self.array, self.offset = array, offset

    def __add__(self, nbytes: int) -> _Place:
        return _Place(self.array, self.offset + nbytes)


def module(device: Device) -> Any:
    """Return CuPy's face: arrays, and what is under ``cuda``."""

    def zeros(nbytes: int, dtype: Any) -> DeviceArray:
        made = DeviceArray((nbytes,), dtype, device=device)
        device.current.ask("zeros", lambda: made.array.fill(0))
        return made

    def ndarray(shape: Any, dtype: Any, memory: Any, strides: Any) -> DeviceArray:
        return DeviceArray(shape, dtype, memory, strides, device=device)

    def array(x: np.ndarray) -> DeviceArray:
        made = DeviceArray(x.shape, x.dtype, device=device)
        held = x.copy()
        device.current.ask("array", lambda: np.copyto(made.array, held))
        return made

    cuda = SimpleNamespace(
        Stream=lambda non_blocking: device.stream() if non_blocking else None,
        Event=lambda disable_timing: Event(device) if disable_timing else None,
        get_current_stream=lambda: device.current,
        alloc_pinned_memory=device.memory,
        memory=SimpleNamespace(OutOfMemoryError=MemoryError),
    )
    return SimpleNamespace(ndarray=ndarray, zeros=zeros, array=array, uint8=np.uint8, cuda=cuda)
