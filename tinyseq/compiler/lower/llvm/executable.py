"""A plan bound to arrays, its native segments compiled and the rest prepared as on NumPy."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyseq.compiler.lower import numpy as on_numpy
from tinyseq.compiler.lower.llvm.host import Library, host, object_code
from tinyseq.compiler.lower.llvm.lowering import Lowered, lower
from tinyseq.compiler.lower.llvm.segments import write_segments
from tinyseq.compiler.lower.llvm.threads import pool
from tinyseq.compiler.plan import Plan


@dataclass
class Native:
    """What a plan was lowered to: its pieces, and the loaded functions of its segments."""

    lowered: Lowered
    functions: list[Any]
    scratch: int


def native(plan: Plan) -> Native:
    lowered = lower(plan)
    of = host()
    source, scratch = write_segments(lowered.segments, of)
    library = Library(object_code(source, of), of)
    arguments = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    functions = [library.function(f"segment{n}", *arguments) for n in range(len(lowered.segments))]
    made = Native(lowered, functions, scratch)
    made.library = library
    return made


class Executable(on_numpy.Executable):
    def prepare_all(self) -> None:
        made = getattr(self.plan, "native", None)
        if made is None:
            made = self.plan.native = native(self.plan)
        self.native = made
        self.status = np.zeros(1, np.int64)
        self.threads = pool.threads
        self.scratch = on_numpy.aligned_zeros(made.scratch * self.threads)
        slots = max(self.memory, default=-1) + 1
        self.table = np.zeros(slots + 1, np.uint64)
        self.table[0] = self.status.ctypes.data
        for slot, memory in self.memory.items():
            self.table[slot + 1] = memory.ctypes.data
        segments = iter(made.functions)
        for position, piece in enumerate(made.lowered.pieces):
            if position == made.lowered.boundary:
                self.boundary = len(self.calls)
            if isinstance(piece, list):
                self.calls.append((self.launch, (next(segments),)))
            else:
                self.prepare_whole(piece)
        if made.lowered.boundary == len(made.lowered.pieces):
            self.boundary = len(self.calls)

    def launch(self, function: Any) -> None:
        pool.run(function, self.table.ctypes.data, self.scratch.ctypes.data, min(self.threads, pool.threads))
        if self.status[0]:
            self.status[0] = 0
            raise IndexError("an index is out of bounds")
