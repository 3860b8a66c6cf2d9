"""The threads that share a segment: one team for the process, each thread started when it is first needed.

A segment is one call for every thread, with the GIL released; within it threads meet at barriers only. Where the team
is at work for another thread of the program, a segment runs on its caller alone: the results are the same.

An exception may end a call between any two lines (Ctrl-C does), when some threads have their share and others do not. A
team that did not come to the end of a segment is disbanded, never used again: its threads leave the barrier they wait
at and end. They may write to the call's memory until then, so it is theirs too, and nobody else uses it before.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from functools import cache
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np

from tinyseq.compiler.lower.llvm.ir.barrier import ABANDONED, lingering
from tinyseq.compiler.lower.llvm.runtime.cache import cached
from tinyseq.compiler.lower.llvm.runtime.host import Library, host, key_of, object_code
from tinyseq.threads import Turn

#: Where in a team's integers the segments are counted.
_HANDED_OUT = 24


class Workspace(Protocol):
    """What segments run on: the addresses of a table and of scratch memory, which live as long as this does."""

    table_address: int
    scratch_address: int
    #: The team that was last sent there, and which of its segments that was.
    flight: tuple[Team, int] | None


class Team:
    """Threads that wait for segments to run their share of; for one caller at a time."""

    def __init__(self) -> None:
        self.workers: list[tuple[SimpleQueue[Any], threading.Thread]] = []
        #: How many segments were begun, and which was the last that all threads came to the end of.
        self.begun = self.ended = 0
        self.disbanded = False
        # The barrier's two integers, whether the team is disbanded, and how many segments have been handed out; each on
        # a line of the cache of its own. The threads own it too: one may look at it once more when all have gone on.
        self.words = np.zeros(32, np.int64)
        self.address = self.words.ctypes.data

    @property
    def whole(self) -> bool:
        """Whether all threads are at rest."""
        return self.begun == self.ended and not self.disbanded

    def run(self, function: Any, place: Workspace, threads: int) -> None:
        """Call ``function(table, scratch, number, threads, barrier)`` on so many threads, this one among them."""
        self.begun += 1
        place.flight = self, self.begun
        while len(self.workers) < threads - 1:
            self.start()
        table, scratch, barrier = place.table_address, place.scratch_address, self.address
        for number, (queue, _) in enumerate(self.workers[: threads - 1], 1):
            queue.put((function, (table, scratch, number, threads, barrier), place))
        self.words[_HANDED_OUT] += 1
        function(table, scratch, 0, threads, barrier)
        self.ended = self.begun

    def start(self) -> None:
        """Start one more thread."""
        queue: SimpleQueue[Any] = SimpleQueue()
        worker = threading.Thread(target=_work, args=(queue, self.words), name="tinyseq", daemon=True)
        self.workers.append((queue, worker))
        worker.start()

    def disband(self) -> None:
        """Let the threads end, whatever they wait for."""
        self.disbanded = True
        self.words[ABANDONED] = 1
        for queue, _ in self.workers:
            queue.put(None)

    def wait(self) -> None:
        """Wait until the threads of a team that is disbanded have ended."""
        for _, worker in self.workers:
            if worker.ident is not None:  # else it was not started, or does not know of any share
                worker.join()


@cache
def _linger() -> Any:
    source = lingering(host())
    library = Library(cached(key_of(source, host()), lambda: object_code(source, host())), host())
    return library.function("linger", ctypes.c_void_p, ctypes.c_int64)


def _work(queue: SimpleQueue[Any], words: Any) -> None:
    linger, handed_out = _linger(), words[_HANDED_OUT:]
    while (share := queue.get()) is not None:
        # It keeps its code loaded and its memory, also where the caller has gone on meanwhile and thrown them away.
        function, arguments, place = share
        before = int(handed_out[0])
        function(*arguments)
        del share, function, arguments, place
        linger(handed_out.ctypes.data, before)


class Pool:
    """The team of the process, for one caller at a time."""

    def __init__(self) -> None:
        self.turn = Turn()
        self.forget()

    def forget(self) -> None:
        """Start anew; threads do not outlive a fork."""
        self.team = Team()

    def run(self, function: Any, place: Workspace, threads: int) -> None:
        """Run a segment on so many threads, or on this one alone where another caller has the team."""
        if not self.turn.take(sys._getframe()):
            function(place.table_address, place.scratch_address, 0, 1, None)
            return
        try:
            if not self.team.whole:
                self.team.disband()
                self.team = Team()
            self.team.run(function, place, threads)
        finally:
            if not self.team.whole:
                self.team.disband()
            self.turn.give(sys._getframe())


def settle(place: Workspace) -> None:
    """Wait until no thread is at work on what a call that did not come to its end has left."""
    if place.flight is not None:
        team, number = place.flight
        if team.ended < number:
            team.disband()
            team.wait()
        place.flight = None


pool = Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.forget)
