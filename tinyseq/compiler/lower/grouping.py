"""Which stages run as one: applications over the same rows and columns, and a product with what is done to its result.

A group works element by element where the plan goes instruction by instruction, so two applications may join only if
they touch the same memory in the same places, or different memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar, assert_never

from tinyseq.compiler.lower.access import Access, Shape
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.stages import (
    Bundle,
    Contraction,
    Cumulation,
    Draw,
    Gathering,
    Group,
    Normalization,
    Product,
    ReductionStage,
    Repeat,
    SparseProduct,
    Stage,
    Step,
    TriangleStage,
    Work,
    reads,
    writes,
)

#: What is grouped: a loop's step, or what the plan does one after the other, loops too.
S = TypeVar("S", Step, Stage)

_MOST_LANES = 8  # of one application
LOOK_BACK = 12  # stages that another may go past
_MOST_WORKS = 96  # of one group: beyond that it only makes registers spill


class Lane(NamedTuple):
    """The columns of one lane of an access: what it reads or writes at (row, column)."""

    slot: int
    offset: int
    step: int
    flip: int
    phase: int
    rows: Shape
    column: int
    kind: str


def lanes(x: Access, width: int) -> list[Lane]:
    """Cut an access at every ``width`` columns; what is broadcast along the columns is one lane."""
    column = x.strides[-1] if x.shape[-1] > 1 else 0
    if width == 1 and x.shape[-1] == 1:
        column = SIZES[x.kind]
    count = 1 if column == 0 else max(x.shape[-1] // width, 1)
    return [
        Lane(x.slot, x.offset + lane * width * column, x.step, x.flip, x.phase, x.strides[:-1], column, x.kind)
        for lane in range(count)
    ]


def _meet(a: Lane, b: Lane, lead: Shape, width: int) -> bool:
    """Whether two lanes touch the same memory in different places of the space."""
    if a.slot != b.slot or a == b:
        return False
    if (a.step, a.flip) != (b.step, b.flip):
        return True
    if a.flip and a.phase != b.phase:
        return False
    (a0, a1), (b0, b1) = _columns(a, width), _columns(b, width)
    if a.rows == b.rows and (a1 <= b0 or b1 <= a0):
        strides = [abs(s) for s, n in zip(a.rows, lead, strict=True) if n > 1]
        if all(s >= max(a1, b1) - min(a0, b0) for s in strides):
            return False
    (a0, a1), (b0, b1) = _reach(a, lead, width), _reach(b, lead, width)
    return a0 < b1 and b0 < a1


def _columns(a: Lane, width: int) -> tuple[int, int]:
    end = a.offset + (width - 1) * a.column
    return min(a.offset, end), max(a.offset, end) + SIZES[a.kind]


def _reach(a: Lane, lead: Shape, width: int) -> tuple[int, int]:
    low, high = _columns(a, width)
    spans = [(n - 1) * s for s, n in zip(a.rows, lead, strict=True)]
    return low + sum(s for s in spans if s < 0), high + sum(s for s in spans if s > 0)


class _Open:
    """A group that may still grow."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.read: set[Lane] = set()
        self.written: set[Lane] = set()
        for work in group.works:
            self.note(work)
        if group.product:
            self.written.update(lanes(group.product.output, group.width))

    def note(self, work: Work) -> None:
        for x in work.operands:
            if isinstance(x, Access):
                self.read.update(lanes(x, self.group.width))
        self.written.update(lanes(work.output, self.group.width))

    def joined(self, work: Work) -> _Open | None:
        """Return the group with one more application, or None where it cannot join."""
        group = self.group
        widths = [x.output.shape[-1] for x in (*group.works, work)]
        if group.product:
            widths.append(group.product.output.shape[-1])
        width = math.gcd(*widths)
        if max(widths) > _MOST_LANES * width or len(group.works) >= _MOST_WORKS:
            return None
        if group.product and any(work.output.overlaps(x) for x in (group.product.left, group.product.right)):
            return None
        grown = self
        if width != group.width:
            grown = _Open(replace(group, width=width, works=list(group.works)))
            for index, other in enumerate(group.works):  # what fitted in wide lanes must fit in narrow ones
                before = _Open(replace(group, width=width, works=group.works[:index]))
                if before.conflicts(other):
                    return None
        if grown.conflicts(work):
            return None
        grown.group.works.append(work)
        grown.note(work)
        return grown

    def conflicts(self, work: Work) -> bool:
        lead, width = self.group.lead, self.group.width
        reading = {x for y in work.operands if isinstance(y, Access) for x in lanes(y, width)}
        writing = lanes(work.output, width)
        return any(_meet(r, w, lead, width) for r in reading for w in self.written) or any(
            _meet(w, other, lead, width) for w in writing for other in (*self.written, *self.read, *reading)
        )


def group(stages: Iterable[S]) -> list[S]:
    """Join stages where that changes nothing but the order in which elements are computed.

    A stage joins the last group that takes it, or goes right behind the last stage that it depends on, so that it does
    not stand between others that belong together.
    """
    done: list[_Open | S] = []
    for stage in stages:
        _settle(stage, done)
    joined: list[S] = [x.group if isinstance(x, _Open) else x for x in done]
    return joined


def _settle(stage: S, done: list[_Open | S]) -> None:
    place = len(done)
    for index in range(len(done) - 1, max(len(done) - LOOK_BACK, 0) - 1, -1):
        before = done[index]
        if isinstance(stage, Group) and isinstance(before, _Open) and before.group.lead == stage.lead:
            grown = before.joined(stage.works[0])
            if grown is not None:
                done[index] = grown
                return
        if not independent(_stage_of(before), stage):
            break
        place = index
    if isinstance(stage, Product) and not stage.batch:
        stage = Group(stage.output.shape[:1], stage.output.shape[1], product=stage)
    done.insert(place, _Open(stage) if isinstance(stage, Group) else stage)


def _stage_of(x: _Open | Stage) -> Stage:
    return x.group if isinstance(x, _Open) else x


def independent(a: Stage, b: Stage, seen: Callable[[Stage, list[Access]], list[Access]] | None = None) -> bool:
    """Whether two stages may change places; of what a stage touches, ``seen`` returns what counts."""
    if isinstance(a, Repeat) or isinstance(b, Repeat):
        return False
    (read, wrote), (reading, writing) = (
        [seen(x, accesses) if seen else accesses for accesses in (reads(x), writes(x))] for x in (a, b)
    )
    return not any(x.overlaps(y) for x in wrote for y in (*reading, *writing)) and not any(
        x.overlaps(y) for x in read for y in writing
    )


def leave_unstored(stages: Sequence[Stage], free: set[int]) -> None:
    """Mark what never has to reach memory: a buffer in ``free`` that one group alone writes and then reads.

    ``free`` are the buffers that nothing but these stages uses.
    """
    users: dict[int, set[int]] = {}
    flat = [inner for stage in stages for inner in (stage.stages if isinstance(stage, Repeat) else [stage])]
    for stage in flat:
        for x in (*reads(stage), *writes(stage)):
            users.setdefault(x.buffer, set()).add(id(stage))
    for stage in flat:
        if not isinstance(stage, Group):
            continue
        early = exposed(stage)
        for work in stage.made:
            buffer = work.output.buffer
            if buffer in free and users[buffer] == {id(stage)} and buffer not in early:
                work.stored = False


def exposed(stage: Group) -> set[int]:
    """Buffers that a group reads in places where it has not written just before."""
    known: set[Lane] = set(lanes(stage.product.output, stage.width)) if stage.product else set()
    buffers = {x.buffer for x in ((stage.product.left, stage.product.right) if stage.product else ())}
    for work in stage.works:
        for x in work.operands:
            if isinstance(x, Access) and not known.issuperset(lanes(x, stage.width)):
                buffers.add(x.buffer)
        known.update(lanes(work.output, stage.width))
    return buffers


def columns_of(part: Access, whole: Access) -> int | None:
    """Return how many bytes from the start of its rows a part of a value begins; None where it is no columns of it."""
    begin = part.offset - whole.offset
    alike = (part.step, part.flip, part.strides, part.kind) == (whole.step, whole.flip, whole.strides, whole.kind)
    inside = begin >= 0 and begin + part.shape[-1] * SIZES[part.kind] <= whole.shape[-1] * SIZES[whole.kind]
    return begin if alike and inside and part.shape[:-1] == whole.shape[:-1] else None


def split_rows(stages: Sequence[Step]) -> int:
    """Return the number of rows that a loop's stages treat each by itself, or 0 where they mix them.

    Then a thread can do all steps for some of the rows and never wait for another.
    """
    extents = {_rows(stage) for stage in stages}
    if len(extents) != 1 or (rows := extents.pop()) < 2:
        return 0
    written = {x.slot for stage in stages for x in writes(stage)}
    strides: dict[int, set[int]] = {}
    for stage in stages:
        for x in (*reads(stage), *writes(stage)):
            if x.slot in written:
                if isinstance(stage, Gathering) and x is stage.whole:
                    return 0  # any row may be read
                if x.row == 0 or x.shape[0] != rows or x.strides[0] != x.row:
                    return 0
                strides.setdefault(x.slot, set()).add(x.row)
    return rows if all(len(several) == 1 for several in strides.values()) else 0


def _rows(stage: Step) -> int:
    """The extent of the axis that a stage may be split along, 0 where its rows depend on each other."""
    match stage:
        case Group():
            return stage.lead[0]
        case ReductionStage():
            return 0 if len(stage.output.shape) < 2 or stage.reduced[0] else stage.output.shape[0]
        case Gathering():
            return 0 if stage.add else stage.part.shape[0]
        case Product() | SparseProduct() | Normalization() | Draw():
            return stage.output.shape[0] if len(stage.output.shape) > 1 else 0
        case Cumulation():
            return stage.output.shape[0] if stage.axis else 0
        case Contraction() | TriangleStage() | Bundle():
            return 0  # nobody writes them by parts of their rows
        case _:
            assert_never(stage)
