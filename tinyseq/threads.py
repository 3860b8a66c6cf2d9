"""Whose the cores are: how many threads native code and BLAS may use, while calls that ask for it are at work.

Limits live side by side and end in any order: the least of those that live holds, and with the last one BLAS has as
many threads again as before the first. A limit lives no longer than the frame that asked for it, whatever ended that.

A run limits both alike. The products of one time step are small. Shared among threads they gain little on an idle
machine, and on a busy one the threads wait for each other in spin loops: on two cores with other work, an LSTM of 128
units trained at 1,300 tokens a second with two threads and at 25,000 with one. The number of threads can also change
the last bits of a product, so a fixed number is part of "same config, same numbers".
"""

from __future__ import annotations

import importlib
import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import FrameType
from typing import Any, Final

from tinyseq.errors import DataError


def available() -> int:
    """Return the cores that this process may use, or TINYSEQ_NUM_THREADS where that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("TINYSEQ_NUM_THREADS", "")
    if wanted and not (wanted.isdecimal() and int(wanted)):
        raise DataError("TINYSEQ_NUM_THREADS is no number of threads", required="1, 2, ...", got=repr(wanted))
    return min(cores, int(wanted)) if wanted else cores


class Turn:
    """What one call at a time has: the first in a queue of the frames that asked for it.

    A frame that no thread runs any more does not count. So an exception may end a call at any place, between taking the
    turn and giving it back too, and the turn is free; of a lock one could not know.
    """

    def __init__(self) -> None:
        self._queue: list[FrameType] = []

    def take(self, frame: FrameType) -> bool:
        """Give a running call the turn, unless another one has it; say which."""
        queue = self._queue
        queue.append(frame)
        while (first := queue[0]) is not frame:
            if _runs(first):
                self.give(frame)
                return False
            self.give(first)
        return True

    def give(self, frame: FrameType) -> None:
        """Take a call out of the queue."""
        with suppress(ValueError):  # another call may have seen that this one had ended
            self._queue.remove(frame)


def _runs(frame: FrameType) -> bool:
    """Whether a frame is on the stack of some thread."""
    for top in sys._current_frames().values():
        here: FrameType | None = top
        while here is not None:
            if here is frame:
                return True
            here = here.f_back
    return False


class _Holder:
    """Is held by the frame that asked for a limit, and by nothing else."""


#: The limits that live: the threads of native code and of BLAS.
_limits: dict[object, tuple[int | None, int | None]] = {}


def allowed() -> int:
    """Return how many threads native code may use now."""
    return min([available(), *(native for native, _ in list(_limits.values()) if native is not None)])


@contextmanager
def limited(native: int | None = None, blas: int | None = None) -> Iterator[None]:
    """Let native code and BLAS use so many threads at most inside the ``with`` block; None leaves them as they are."""
    key, holder = object(), _Holder()
    unended = weakref.ref(holder, lambda _: _end(key))
    try:
        _limits[key] = native, blas
        _blas.settle()
        yield
    finally:
        _end(key)
        del unended


@contextmanager
def blas_threads(count: int | None) -> Iterator[None]:
    """Limit BLAS, and the compiler's own threads, to so many inside the ``with`` block; None changes nothing."""
    if count is not None:
        blas_libraries.cache_clear()  # a run takes milliseconds to begin: it looks for what was loaded since
    with limited(native=count, blas=count):
        yield


@contextmanager
def sole_owner() -> Iterator[None]:
    """Keep BLAS to its caller's thread inside the ``with`` block: its own would spin on the cores that segments use."""
    with limited(blas=1 if allowed() > 1 else None):
        yield


def _end(key: object) -> None:
    _limits.pop(key, None)
    _blas.settle()


@cache
def blas_libraries() -> list[Any]:
    """Return a control of each BLAS that is loaded; to find them takes milliseconds."""
    try:
        controller = importlib.import_module("threadpoolctl").ThreadpoolController()
    except ModuleNotFoundError:  # in a browser, where NumPy comes alone and computes on one thread
        return []
    libraries: list[Any] = controller.select(user_api="blas").lib_controllers
    return libraries


def in_use() -> list[int]:
    """Return the threads of each pool that is loaded."""
    return [pool["num_threads"] for pool in importlib.import_module("threadpoolctl").threadpool_info()]


class _Blas:
    """What is in force for BLAS, which knows one number a library only."""

    _UNKNOWN: Final = -1

    def __init__(self) -> None:
        self.turn = Turn()
        #: The limit in force, None where BLAS has what it had; unknown from the first library on until the last is set.
        self.limit: int | None = None
        self.before: list[tuple[Any, int]] = []

    def settle(self) -> None:
        """Bring what is in force to the least limit that lives.

        Where another call is at it, that looks once more when it is done.
        """
        while (wanted := min((n for _, n in list(_limits.values()) if n is not None), default=None)) != self.limit:
            if not self.turn.take(sys._getframe()):
                return
            try:
                self.apply(wanted)
            finally:
                self.turn.give(sys._getframe())

    def apply(self, wanted: int | None) -> None:
        if not self.before:
            self.before = [(library, library.num_threads) for library in blas_libraries()]
        self.limit = self._UNKNOWN
        for library, count in self.before:
            library.set_num_threads(count if wanted is None else wanted)
        self.limit = wanted
        if wanted is None:
            self.before = []


_blas = _Blas()
