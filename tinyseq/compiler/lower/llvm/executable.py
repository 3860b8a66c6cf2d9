"""A plan bound to arrays: its native segments compiled and loaded, the rest prepared as on NumPy."""

from __future__ import annotations

import ctypes
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tinyseq.compiler.arena import Slab
from tinyseq.compiler.lower import numpy as on_numpy
from tinyseq.compiler.lower.describe import Forms
from tinyseq.compiler.lower.giving import fitting
from tinyseq.compiler.lower.llvm.kernels.loading import load
from tinyseq.compiler.lower.llvm.lowering import FORMS, lower
from tinyseq.compiler.lower.llvm.runtime.cache import cached
from tinyseq.compiler.lower.llvm.runtime.host import Library, give_back, host, key_of, object_code
from tinyseq.compiler.lower.llvm.schedule.cost import time_to_share
from tinyseq.compiler.lower.llvm.segments import write_segments
from tinyseq.compiler.lower.llvm.thread_pool import Team, pool, settle
from tinyseq.compiler.lower.partition import Partition
from tinyseq.compiler.plan import Loop, Plan, Ref
from tinyseq.errors import ShapeError, TinyseqError
from tinyseq.threads import allowed, sole_owner

#: Nanoseconds of one thread's work from which on a second one is worth waking.
_WORTH_SHARING = 150_000
#: Bytes of an array from which on it is worth not copying.
_WORTH_BORROWING = 1 << 14
#: Where an input is read from that is in no caller's array.
_OWN: Final = object()
_UNKNOWN: Final = object()


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


@dataclass
class _Native:
    """What a plan became: its pieces, the function of each segment and whether threads share it, scratch bytes."""

    lowered: Partition
    segments: list[tuple[Any, bool]]
    scratch: int
    forms: Forms


_known: weakref.WeakKeyDictionary[Plan, _Native] = weakref.WeakKeyDictionary()


def _native(plan: Plan, forms: Forms) -> _Native:
    """Lower and compile a plan, once for all executables of it by these forms."""
    native = _known.get(plan)
    if native is None or native.forms is not forms:
        lowered, of = lower(plan, forms), host()
        source, scratch, tiles = write_segments(lowered.segments, of)
        load(tiles, of)
        library = Library(cached(key_of(source, of), lambda: object_code(source, of)), of)
        arguments = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
        segments = [
            (library.function(f"segment{number}", *arguments), sum(map(time_to_share, stages)) >= _WORTH_SHARING)
            for number, stages in enumerate(lowered.segments)
        ]
        give_back()
        native = _known[plan] = _Native(lowered, segments, scratch, forms)
    return native


class _Refused(Exception):
    """Native code has met a value that it does not take."""


class _Launcher:
    """What segments of one executable run on: the addresses of its memory, and scratch memory for each thread.

    It is apart from the executable so that this does not refer to itself, and its memory goes when nobody needs it.
    """

    def __init__(self, memory: Mapping[int, Any], scratch: int, slab: Slab | None) -> None:
        self.scratch_bytes, self.slab = scratch, slab
        #: Whether threads may share segments.
        self.shares = True
        self.flight: tuple[Team, int] | None = None
        self.status = np.zeros(1, np.int64)
        #: Addresses: of the status, then of each slot.
        self.table = np.zeros(max(memory, default=-1) + 2, np.uint64)
        self.table_address: int = self.table.ctypes.data
        self.table[0] = self.status.ctypes.data
        self.memory = memory
        self.addresses = {slot: _address(place) for slot, place in memory.items()}
        #: The arrays that stand for slots: they are kept for as long.
        self.guests: dict[int, Any] = {}
        for slot in memory:
            self.use_own(slot)
        self.make_room(1)

    def use(self, slot: int, array: Any) -> None:
        """Let an array stand for a slot, for what runs from now on."""
        self.table[slot + 1] = _address(array)
        self.guests[slot] = array

    def use_own(self, slot: int) -> None:
        """Let the slot's own memory be used again."""
        self.table[slot + 1] = self.addresses[slot]
        self.guests.pop(slot, None)

    def make_room(self, threads: int) -> None:
        """Take scratch memory for so many threads."""
        allocate, size = on_numpy.aligned_zeros, self.scratch_bytes * threads
        self.scratch = allocate(size) if self.slab is None else self.slab.scratch(size, allocate)
        self.scratch_address: int = self.scratch.ctypes.data
        self.threads = threads

    def settle(self) -> None:
        """Forget what a call has left that did not come to its end."""
        settle(self)
        self.status[0] = 0

    def launch(self, function: Any, shared: bool) -> None:
        """Run a segment, on the pool's threads if it is worth it."""
        threads = allowed() if shared and self.shares else 1
        if threads > self.threads:
            self.make_room(threads)
        if threads > 1:
            pool.run(function, self, threads)
        else:
            function(self.table_address, self.scratch_address, 0, 1, None)
        if self.status[0]:
            raise _Refused


class Executable(on_numpy.Executable):
    """A plan whose instructions run natively as far as they can, on the same arrays."""

    def __init__(self, plan: Plan, slab: Slab | None = None, forms: Forms = FORMS) -> None:
        self.native_forms = forms
        super().__init__(plan, slab)
        self.find_direct(self.code.lowered)

    def prepare_all(self) -> None:
        native = self.code = _native(self.plan, self.native_forms)
        self.launcher = _Launcher(self.memory, native.scratch, self.slab)
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
        self.share_cores(native.lowered)

    def share_cores(self, lowered: Partition) -> None:
        """Decide whose the cores are while a plan runs; threads of ours and of BLAS would wait for each other.

        Measured: single calls among native functions take less where BLAS has one thread (an LSTM of 128 units with one
        product left: 10.8 ms, not 12.8), a whole loop of its products where it has all (attention: 9.6 ms, not 10.4).
        """
        self.launcher.shares = not any(isinstance(piece, Loop) for piece in lowered.pieces)
        #: Whether BLAS is to have one thread; whether NumPy is called at all.
        self.alone = bool(lowered.left and lowered.segments) and self.launcher.shares
        self.native = all(isinstance(piece, list) for piece in lowered.pieces)

    def find_direct(self, lowered: Partition) -> None:
        """Find what need not be copied: inputs that are only read, and results of the last part that it alone makes.

        Values are never changed once they are made, so a caller's array may be read in its place, and what is returned
        may be written there at once.
        """
        users = Counter(b.slot for b in self.plan.buffers)
        results = Counter(x.buffer.slot for x in self.plan.outputs if isinstance(x, Ref))
        before, after = lowered.written(0, lowered.boundary), lowered.written(lowered.boundary, len(lowered.pieces))

        def alone(x: Any) -> bool:
            whole = self.at(x, 0, 0)
            fits = whole.flags.c_contiguous and whole.nbytes == x.buffer.nbytes
            return fits and users[x.buffer.slot] == 1 and x.buffer.slot not in lowered.foreign

        kept = before | after | set(results)
        #: For each input, the slot that an array may stand for, and the array that does.
        self.borrowed = [
            ref.buffer.slot if alone(ref) and ref.buffer.slot not in kept else None for ref in self.plan.inputs.values()
        ]
        self.reading: list[Any] = [_OWN] * len(self.borrowed)
        self.small = [ref.buffer.nbytes < _WORTH_BORROWING for ref in self.plan.inputs.values()]
        #: The arrays that small inputs were copied from last.
        self.seen: list[Any] = [_OWN] * len(self.borrowed)
        #: The part all of which makes the outputs below.
        self.lending, made = (1, after - before) if after else (0, before)
        self.lent = {
            number: x.buffer.slot
            for number, x in enumerate(self.plan.outputs)
            if isinstance(x, Ref)
            and alone(x)
            and x.buffer.nbytes >= _WORTH_BORROWING
            and x.buffer.slot in made
            and results[x.buffer.slot] == 1
        }

    def run(self, part: int, numbers: Sequence[int], arrays: Sequence[Any], outputs: slice) -> list[Any]:
        """As on NumPy, but arrays are read and written where callers have them, where that is worth it."""
        launcher, reading, seen, forms = self.launcher, self.reading, self.seen, self.forms
        launcher.settle()
        for number, value in zip(numbers, arrays, strict=True):
            if value is reading[number]:
                continue
            shape, dtype = forms[number]
            if type(value) is not np.ndarray or value.dtype is not dtype or value.shape != shape:
                value = fitting(self.leaves[number], value, np.ndarray, part == 1)
            if self.small[number] and reading[number] is _OWN and value is not seen[number]:
                seen[number] = value
                self.inputs[number][...] = value
            else:
                self.take(number, value)
        given = self.lend(outputs) if part == self.lending and self.lent else {}
        try:
            self.execute(part)
        except _Refused:
            raise self.explanation(part, numbers, arrays) from None
        for number in given:
            launcher.use_own(self.lent[number])
        places = range(*outputs.indices(len(self.outputs)))
        return [given[number] if number in given else np.array(self.outputs[number]) for number in places]

    def take(self, number: int, value: Any) -> None:
        """Read an input from an array where it is, or from a copy.

        To ask for a small array's address takes longer than to copy it: one is read in its place when it comes again.
        """
        slot, reading = self.borrowed[number], self.reading
        if slot is None:
            self.inputs[number][...] = value
            return
        flags = value.flags
        again = not self.small[number] or value is self.seen[number]
        borrow = again and flags.c_contiguous and flags.aligned and value.shape == self.forms[number][0]
        if self.small[number]:
            self.seen[number] = value
        if borrow or reading[number] is not _OWN:
            reading[number] = _UNKNOWN  # where an exception ends it before it is known again
            if borrow:
                self.launcher.use(slot, value)
                reading[number] = value
                return
            self.launcher.use_own(slot)
            reading[number] = _OWN
        self.inputs[number][...] = value

    def forget(self) -> None:
        """Let go of the arrays of the last run: what was read in callers' memory has a place of its own again."""
        for slot, array in zip(self.borrowed, self.reading, strict=True):
            if array is not _OWN and slot is not None:
                self.launcher.use_own(slot)
        self.reading, self.seen = [_OWN] * len(self.borrowed), [_OWN] * len(self.borrowed)

    def explanation(self, part: int, numbers: Sequence[int], arrays: Sequence[Any]) -> Exception:
        """Return what NumPy raises at the value that was refused: it says what is wrong, and where."""
        try:
            if part == 0:
                on_numpy.Executable(self.plan).run(part, numbers, arrays, slice(0, 0))
        except TinyseqError as error:
            return error
        return ShapeError("index: an index is out of bounds for its axis")

    def lend(self, outputs: slice) -> dict[int, Any]:
        """Let results be written where they are returned."""
        wanted = range(*outputs.indices(len(self.outputs)))
        given = {number: np.empty_like(self.outputs[number]) for number in self.lent if number in wanted}
        for number, array in given.items():
            self.launcher.use(self.lent[number], array)
        return given

    def execute(self, part: int) -> None:
        if self.native:
            for function, args in self.parts[part]:
                function(*args)
        elif self.alone:
            with sole_owner():
                super().execute(part)
        else:
            super().execute(part)

    def notes(self) -> list[str]:
        lowered, of = self.code.lowered, host()
        stages = sum(len(piece) for piece in lowered.segments)
        rows = [
            "",
            f"native: {stages} stages in {len(lowered.segments)} functions for {of.cpu}, vectors of {of.vector} bytes",
        ]
        return rows + [f"left to NumPy: {instruction}  ({reason})" for instruction, reason in lowered.left]
