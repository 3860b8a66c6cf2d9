"""The threads that share a segment: one pool for the process, each thread started when it is first needed.

A segment is one call for every thread, with the GIL released; within it threads meet at barriers only. Where the pool
is at work for another thread of the program, a segment runs on its caller alone: the results are the same.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import Any

import numpy as np

from tinyseq.compiler.lower.llvm.cache import cached
from tinyseq.compiler.lower.llvm.host import Library, host, key_of, object_code
from tinyseq.compiler.lower.llvm.waiting import lingering
from tinyseq.errors import DataError

#: Where in the pool's integers the segments are counted.
_HANDED_OUT = 24


def available() -> int:
    """Return the cores that this process may use, or TINYSEQ_NUM_THREADS where that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = os.environ.get("TINYSEQ_NUM_THREADS", "")
    if wanted and not (wanted.isdecimal() and int(wanted)):
        raise DataError("TINYSEQ_NUM_THREADS is no number of threads", required="1, 2, ...", got=repr(wanted))
    return min(cores, int(wanted)) if wanted else cores


class Pool:
    """Threads that wait for segments to run their share of."""

    def __init__(self) -> None:
        self.limit: int | None = None
        self._forget()

    def _forget(self) -> None:
        """Start anew; the threads do not outlive a fork."""
        self.queues: list[SimpleQueue[Any]] = []
        self.busy = threading.Lock()
        # Never freed: a thread may look at it once more when the others have gone on. The barrier's two integers, and
        # how many segments have been handed out; each on a line of the cache of its own.
        self.barrier = np.zeros(32, np.int64)
        self.library: Library | None = None

    @property
    def threads(self) -> int:
        """How many threads a segment may use."""
        return available() if self.limit is None else min(self.limit, available())

    def run(self, function: Any, table: int, scratch: int, threads: int) -> None:
        """Call ``function(table, scratch, number, threads, barrier)`` on so many threads, this one among them."""
        place = self.barrier.ctypes.data
        if threads < 2 or not self.busy.acquire(blocking=False):
            function(table, scratch, 0, 1, place)
            return
        try:
            while len(self.queues) < threads - 1:
                self.queues.append(self.start())
            for number, queue in enumerate(self.queues[: threads - 1], 1):
                queue.put((function, (table, scratch, number, threads, place)))
            self.barrier[_HANDED_OUT] += 1
            function(table, scratch, 0, threads, place)
        finally:
            self.busy.release()

    def start(self) -> SimpleQueue[Any]:
        """Start a thread; return the queue that it takes segments from."""
        if self.library is None:
            source = lingering(host())
            self.library = Library(cached(key_of(source, host()), lambda: object_code(source, host())), host())
        linger = self.library.function("linger", ctypes.c_void_p, ctypes.c_int64)
        queue: SimpleQueue[Any] = SimpleQueue()
        handed_out = self.barrier[_HANDED_OUT:]

        def work() -> None:
            while True:
                # It keeps its code loaded, also where the caller has gone on meanwhile and thrown it away.
                function, arguments = queue.get()
                before = int(handed_out[0])
                function(*arguments)
                linger(handed_out.ctypes.data, before)

        threading.Thread(target=work, name="tinyseq", daemon=True).start()
        return queue


pool = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool._forget)


@cache
def _blas() -> Any:
    """Return a control of BLAS's own threads; to find its library takes milliseconds."""
    return importlib.import_module("threadpoolctl").ThreadpoolController().select(user_api="blas")


@contextmanager
def sole_owner() -> Iterator[None]:
    """Keep BLAS to its caller's thread inside the ``with`` block: its own would spin on the cores that segments use."""
    if pool.threads < 2:
        yield
        return
    with _blas().limit(limits=1):
        yield


@contextmanager
def limited(count: int | None) -> Iterator[None]:
    """Let segments use so many threads at most inside the ``with`` block; None leaves it as it is."""
    before, pool.limit = pool.limit, pool.limit if count is None else count
    try:
        yield
    finally:
        pool.limit = before
