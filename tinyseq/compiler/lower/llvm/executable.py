"""A plan bound to arrays: its native segments compiled and loaded, the rest prepared as on NumPy."""

from __future__ import annotations

import ctypes
import weakref
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from tinyseq.compiler.lower import numpy as on_numpy
from tinyseq.compiler.lower.llvm.cache import cached
from tinyseq.compiler.lower.llvm.cost import time_of
from tinyseq.compiler.lower.llvm.host import Library, host, key_of, object_code
from tinyseq.compiler.lower.llvm.kernels import load
from tinyseq.compiler.lower.llvm.lowering import Lowered, lower
from tinyseq.compiler.lower.llvm.segments import write_segments
from tinyseq.compiler.lower.llvm.threads import pool
from tinyseq.compiler.plan import Plan

#: Nanoseconds of one thread's work from which on a second one is worth waking.
_WORTH_SHARING = 150_000


@dataclass
class _Native:
    """What a plan became: its pieces, the function of each segment and whether threads share it, scratch bytes."""

    lowered: Lowered
    segments: list[tuple[Any, bool]]
    scratch: int


_known: weakref.WeakKeyDictionary[Plan, _Native] = weakref.WeakKeyDictionary()


def _native(plan: Plan) -> _Native:
    """Lower and compile a plan, once for all executables of it."""
    found = _known.get(plan)
    if found is None:
        lowered, of = lower(plan), host()
        source, scratch, tiles = write_segments(lowered.segments, of)
        load(tiles, of)
        library = Library(cached(key_of(source, of), lambda: object_code(source, of)), of)
        arguments = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
        segments = [
            (library.function(f"segment{number}", *arguments), sum(map(time_of, stages)) >= _WORTH_SHARING)
            for number, stages in enumerate(lowered.segments)
        ]
        found = _known[plan] = _Native(lowered, segments, scratch)
    return found


class Executable(on_numpy.Executable):
    """A plan whose instructions run natively as far as they can, on the same arrays."""

    for_blas: ClassVar[bool] = False

    def prepare_all(self) -> None:
        self.native = _native(self.plan)
        self.make_room(1)
        self.status = np.zeros(1, np.int64)
        #: Addresses: of the status, then of each slot.
        self.table = np.zeros(max(self.memory, default=-1) + 2, np.uint64)
        self.table[0] = self.status.ctypes.data
        for slot, memory in self.memory.items():
            self.table[slot + 1] = memory.ctypes.data
        segments = iter(self.native.segments)
        lowered = self.native.lowered
        for position, piece in enumerate(lowered.pieces):
            if position == lowered.boundary:
                self.boundary = len(self.calls)
            if isinstance(piece, list):
                self.calls.append((self.launch, next(segments)))
            else:
                self.prepare_whole(piece)
        if lowered.boundary == len(lowered.pieces):
            self.boundary = len(self.calls)

    def make_room(self, threads: int) -> None:
        """Take scratch memory for so many threads."""
        self.threads, self.scratch = threads, on_numpy.aligned_zeros(self.native.scratch * threads)

    def launch(self, function: Any, shared: bool) -> None:
        """Run a segment, on the pool's threads if it is worth it."""
        threads = pool.threads if shared else 1
        if threads > self.threads:
            self.make_room(threads)
        pool.run(function, self.table.ctypes.data, self.scratch.ctypes.data, threads)
        if self.status[0]:
            self.status[0] = 0
            raise IndexError("an index is out of bounds for its axis")

    def notes(self) -> list[str]:
        lowered, of = self.native.lowered, host()
        stages = sum(len(piece) for piece in lowered.segments)
        rows = [
            "",
            f"native: {stages} stages in {len(lowered.segments)} functions for {of.cpu}, vectors of {of.vector} bytes",
        ]
        return rows + [f"left to NumPy: {instruction}  ({reason})" for instruction, reason in lowered.left]
