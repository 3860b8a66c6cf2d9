"""The threads that share a segment: one pool for the process, each thread started when it is first needed.

A segment is one call for every thread, with the GIL released; within it threads meet at barriers only. Where the pool
is at work for another thread of the program, a segment runs on its caller alone: the results are the same.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import numpy as np

from tinyseq.errors import DataError


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
        # Never freed: a thread may look at it once more when the others have gone on.
        self.barrier = np.zeros(16, np.int64)

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
                self.queues.append(_start())
            for number, queue in enumerate(self.queues[: threads - 1], 1):
                queue.put((function, (table, scratch, number, threads, place)))
            function(table, scratch, 0, threads, place)
        finally:
            self.busy.release()


def _start() -> SimpleQueue[Any]:
    queue: SimpleQueue[Any] = SimpleQueue()

    def work() -> None:
        while True:
            function, arguments = queue.get()
            function(*arguments)

    threading.Thread(target=work, name="tinyseq", daemon=True).start()
    return queue


pool = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool._forget)


@contextmanager
def limited(count: int | None) -> Iterator[None]:
    """Let segments use so many threads at most inside the ``with`` block; None leaves it as it is."""
    before, pool.limit = pool.limit, pool.limit if count is None else count
    try:
        yield
    finally:
        pool.limit = before
