"""Products before a loop go into it where only one group of it reads them, some rows in each step.

The passes take them out, for one large product beats many small ones. Here small ones lose nothing, the loop has a tile
of the same columns at hand, and what they make need not go through memory: for the inputs of four gates over a hundred
steps that is more than the caches hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Final

from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.grouping import columns_of
from tinyseq.compiler.lower.llvm.kernels.matmul import lies_still, tile_of
from tinyseq.compiler.lower.llvm.runtime.host import Host
from tinyseq.compiler.lower.stages import Group, Repeat, Stage, reads, writes

#: Rows of a step from which on its tiles are high enough, on some threads too.
_ROWS: Final = 16


def move_in(pieces: Sequence[Sequence[Stage]], free: set[int], host: Host) -> list[list[Stage]]:
    """Move what can be moved; ``free`` are the buffers that nothing but these stages uses."""
    every = [x for piece in pieces for x in piece]
    readers = [x for stage in every for x in reads(stage)]
    lowest = min([x.slot for stage in every for x in (*reads(stage), *writes(stage))], default=0)
    names = count(1 - lowest)
    moved = []
    for piece in pieces:
        stages = list(piece)
        for loop in [x for x in piece if isinstance(x, Repeat) and x.rows >= _ROWS]:
            for group in loop.stages:
                if isinstance(group, Group) and group.product and lies_still(group.product.right, loop):
                    for made in [x for x in stages if isinstance(x, Group) and x.product]:
                        _try(stages, made, loop, group, free, readers, names, host)
        moved.append(stages)
    return moved


def _try(
    stages: list[Stage], made: Group, loop: Repeat, group: Group, free: set[int], readers: Sequence[Access],
    names: Iterator[int], host: Host,
) -> None:  # fmt: skip
    """Move one group before a loop into one of its groups, if it can be; the first is then no stage any more."""
    assert made.product is not None
    # It must have one result, which memory need not hold and this group alone reads.
    begin, end = _place(stages, made), _place(stages, loop)
    stored = [x.output for x in made.made if x.stored]
    wanted = [x for work in group.works for x in work.operands if isinstance(x, Access)]
    (result,) = stored if len(stored) == 1 else (None,)
    wanted = [x for x in wanted if result and x.buffer == result.buffer]
    if begin > end or not result or result.buffer not in free or not wanted or len(made.lead) != 1:
        return
    if len(wanted) != sum(x.buffer == result.buffer for x in readers):
        return
    # The group computes rows (time, batch); a step of the loop reads some of them, which must be as many rows of it,
    # equally far apart, in each step, and columns that its own lanes take one for one.
    step = _Step(result, wanted[0], made, names)
    whole = replace(step.of(result), slot=result.slot, buffer=result.buffer)
    if not step.fits or any(columns_of(x, whole) is None for x in wanted):
        return
    if any(x.output.shape[1] % group.width for x in made.made):
        return
    # What it reads must be the same in memory by the time of each step, and the right operand laid out before the loop.
    between = {x.slot for stage in stages[begin + 1 : end + 1] for x in _stored(stage)}
    if any(x.slot in between for x in reads(made) if not step.renamed(x)) or not lies_still(made.product.right, loop):
        return
    # Both products then share registers: what is moved must be computed in tiles of the same rows and vectors.
    as_here = replace(made, width=group.width)
    if tile_of(host, as_here) != tile_of(host, group):
        return
    # It goes in as a further product, and what is done to it comes before the group's own work, which then finds it in
    # registers.
    left, output = step.of(made.product.left), step.of(made.product.output)
    product = replace(made.product, left=left, output=output, stored=False)
    works = [
        replace(w, operands=[step.of(x) for x in w.operands], output=step.of(w.output), stored=False)
        for w in made.works
    ]
    group.others.append(product)
    group.works = works + [replace(w, operands=[step.read(x, result) for x in w.operands]) for w in group.works]
    del stages[begin]


class _Step:
    """Turns the accesses of a group over all steps into those of one: what it makes lies under slots of no memory."""

    def __init__(self, result: Access, wanted: Access, made: Group, names: Iterator[int]) -> None:
        row = result.strides[0]
        self.rows = wanted.shape[0]
        begin = wanted.offset - result.offset
        #: In rows of the group: the first that is wanted, from a row of the step to the next, from a step to the next.
        self.first, self.apart, self.step = begin // row, wanted.strides[0] // row, wanted.step // row
        self.fits = begin >= 0 and not wanted.flip and not wanted.strides[0] % row and not wanted.step % row
        self.slots = {x.output.buffer: -next(names) for x in made.made}

    def renamed(self, x: Access) -> bool:
        return x.buffer in self.slots

    def of(self, x: Any) -> Any:
        if not isinstance(x, Access):
            return x
        row = x.strides[0]
        step = replace(
            x,
            offset=x.offset + self.first * row,
            step=self.step * row,
            shape=(self.rows, x.shape[1]),
            strides=(self.apart * row, x.strides[1]),
            row=0,
        )
        return replace(step, buffer=-1, slot=self.slots[x.buffer]) if self.renamed(x) else step

    def read(self, x: Any, result: Access) -> Any:
        """An operand in the loop, which may be columns of the result."""
        if not isinstance(x, Access) or x.buffer != result.buffer:
            return x
        return replace(x, buffer=-1, slot=self.slots[x.buffer])


def _place(stages: Sequence[Stage], wanted: Stage) -> int:
    return next(place for place, stage in enumerate(stages) if stage is wanted)


def _stored(stage: Stage) -> list[Access]:
    """What a stage writes to memory."""
    inner = stage.stages if isinstance(stage, Repeat) else [stage]
    return [y for x in inner for y in ([w.output for w in x.made if w.stored] if isinstance(x, Group) else writes(x))]
