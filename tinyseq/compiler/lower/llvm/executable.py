"""A plan bound to arrays: its native segments compiled and loaded, the rest prepared as on NumPy."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
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


class _Launcher:
    """What segments of one executable run on: the addresses of its memory, and scratch memory for each thread.

    It is apart from the executable so that this does not refer to itself, and its memory goes when nobody needs it.
    """

    def __init__(self, memory: Mapping[int, Any], scratch: int) -> None:
        self.memory, self.scratch_bytes = memory, scratch
        self.status = np.zeros(1, np.int64)
        #: Addresses: of the status, then of each slot.
        self.table = np.zeros(max(memory, default=-1) + 2, np.uint64)
        self.table[0] = self.status.ctypes.data
        for slot, place in memory.items():
            self.table[slot + 1] = place.ctypes.data
        self.make_room(1)

    def make_room(self, threads: int) -> None:
        """Take scratch memory for so many threads."""
        self.threads, self.scratch = threads, on_numpy.aligned_zeros(self.scratch_bytes * threads)

    def launch(self, function: Any, shared: bool) -> None:
        """Run a segment, on the pool's threads if it is worth it."""
        threads = pool.threads if shared else 1
        if threads > self.threads:
            self.make_room(threads)
        pool.run(function, self.table.ctypes.data, self.scratch.ctypes.data, threads)
        if self.status[0]:
            self.status[0] = 0
            raise IndexError("an index is out of bounds for its axis")


class Executable(on_numpy.Executable):
    """A plan whose instructions run natively as far as they can, on the same arrays."""

    for_blas: ClassVar[bool] = False

    def prepare_all(self) -> None:
        native = _native(self.plan)
        launcher = _Launcher(self.memory, native.scratch)
        segments = iter(native.segments)
        for position, piece in enumerate(native.lowered.pieces):
            if position == native.lowered.boundary:
                self.boundary = len(self.calls)
            if isinstance(piece, list):
                self.calls.append((launcher.launch, next(segments)))
            else:
                self.prepare_whole(piece)
        if native.lowered.boundary == len(native.lowered.pieces):
            self.boundary = len(self.calls)

    def notes(self) -> list[str]:
        lowered, of = _native(self.plan).lowered, host()
        stages = sum(len(piece) for piece in lowered.segments)
        rows = [
            "",
            f"native: {stages} stages in {len(lowered.segments)} functions for {of.cpu}, vectors of {of.vector} bytes",
        ]
        return rows + [f"left to NumPy: {instruction}  ({reason})" for instruction, reason in lowered.left]
