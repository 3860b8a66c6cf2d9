"""A plan bound to arrays: its native segments compiled and loaded, the rest prepared as on NumPy."""

from __future__ import annotations

import ctypes
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from tinyseq.compiler.lower import numpy as on_numpy
from tinyseq.compiler.lower.llvm.cache import cached
from tinyseq.compiler.lower.llvm.cost import time_of
from tinyseq.compiler.lower.llvm.host import Library, host, key_of, object_code
from tinyseq.compiler.lower.llvm.kernels import load
from tinyseq.compiler.lower.llvm.lowering import Lowered, lower
from tinyseq.compiler.lower.llvm.segments import write_segments
from tinyseq.compiler.lower.llvm.threads import limited, pool, sole_owner
from tinyseq.compiler.plan import Loop, Plan, Ref
from tinyseq.graph import Leaf

#: Nanoseconds of one thread's work from which on a second one is worth waking.
_WORTH_SHARING = 150_000
#: Bytes of an array from which on it is worth not copying.
_WORTH_BORROWING = 1 << 14


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
            self.use(slot, place)
        self.make_room(1)

    def use(self, slot: int, array: Any) -> None:
        """Let an array stand for a slot, for what runs from now on."""
        self.table[slot + 1] = array.__array_interface__["data"][0]

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
        self.launcher = _Launcher(self.memory, native.scratch)
        segments = iter(native.segments)
        for position, piece in enumerate(native.lowered.pieces):
            if position == native.lowered.boundary:
                self.boundary = len(self.calls)
            if isinstance(piece, list):
                self.calls.append((self.launcher.launch, next(segments)))
            else:
                self.prepare_whole(piece)
        if native.lowered.boundary == len(native.lowered.pieces):
            self.boundary = len(self.calls)
        self.find_direct(native.lowered)
        self.owned = _owner(native.lowered)

    def find_direct(self, lowered: Lowered) -> None:
        """Find what need not be copied: inputs that are only read, and results of the last part that it alone makes.

        Values are never changed once they are made, so a caller's array may be read in its place, and what is returned
        may be written there at once.
        """
        users = Counter(b.slot for b in self.plan.buffers)
        results = Counter(x.buffer.slot for x in self.plan.outputs if isinstance(x, Ref))
        before, after = lowered.written(0, lowered.boundary), lowered.written(lowered.boundary, len(lowered.pieces))

        def alone(x: Any) -> bool:
            buffer = x.buffer
            whole = self.at(x, 0, 0)
            fits = whole.flags.c_contiguous and whole.nbytes == buffer.nbytes >= _WORTH_BORROWING
            return fits and users[buffer.slot] == 1 and buffer.slot not in lowered.foreign

        refs = {leaf: ref for leaf, ref in self.plan.inputs.items() if alone(ref)}
        #: What those inputs are read from now; it is kept for as long.
        self.reading: dict[Leaf, Any] = {}
        kept = before | after | set(results)
        self.borrowed = {leaf: ref.buffer.slot for leaf, ref in refs.items() if ref.buffer.slot not in kept}
        #: The call from which on all of the part is run that makes them.
        self.lending, made = (self.boundary, after - before) if after else (0, before)
        self.lent = {
            number: x.buffer.slot
            for number, x in enumerate(self.plan.outputs)
            if isinstance(x, Ref) and alone(x) and x.buffer.slot in made and results[x.buffer.slot] == 1
        }

    def run(self, values: Mapping[Leaf, Any], start: int, stop: int, outputs: slice) -> list[Any]:
        """As on NumPy, but large arrays are read and written where callers have them."""
        rest = {}
        for leaf, value in values.items():
            slot = self.borrowed.get(leaf)
            if slot is None:
                rest[leaf] = value
            elif value is not self.reading.get(leaf):
                fits = value.flags.c_contiguous and value.flags.aligned and value.dtype == self.inputs[leaf].dtype
                self.reading[leaf] = value if fits else self.memory[slot]
                self.launcher.use(slot, self.reading[leaf])
                if not fits:
                    rest[leaf] = value
        places = range(*outputs.indices(len(self.outputs)))
        given: dict[int, Any] = {}
        if (start, stop) == (self.lending, len(self.calls)) and start < stop:
            given = {number: np.empty_like(self.outputs[number]) for number in places if number in self.lent}
        for number, array in given.items():
            self.launcher.use(self.lent[number], array)
        self.execute(rest, start, stop)
        return [given[number] if number in given else np.array(self.outputs[number]) for number in places]

    def execute(self, values: Mapping[Leaf, Any], start: int, stop: int) -> None:
        with self.owned():
            super().execute(values, start, stop)

    def notes(self) -> list[str]:
        lowered, of = _native(self.plan).lowered, host()
        stages = sum(len(piece) for piece in lowered.segments)
        rows = [
            "",
            f"native: {stages} stages in {len(lowered.segments)} functions for {of.cpu}, vectors of {of.vector} bytes",
        ]
        return rows + [f"left to NumPy: {instruction}  ({reason})" for instruction, reason in lowered.left]


def _owner(lowered: Lowered) -> Callable[[], AbstractContextManager[None]]:
    """Decide whose the cores are while a plan runs; threads of ours and of BLAS would wait for each other.

    Measured: single calls among native functions take less where BLAS has one thread (an LSTM of 128 units with one
    product left: 10.8 ms, not 12.8), a whole loop of its products where it has all (attention: 9.6 ms, not 10.4).
    """
    if any(isinstance(piece, Loop) for piece in lowered.pieces):
        return partial(limited, 1)
    return sole_owner if lowered.left and lowered.segments else nullcontext
