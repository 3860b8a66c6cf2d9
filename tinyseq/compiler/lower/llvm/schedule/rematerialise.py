"""Values that a loop keeps for another are computed again there where that is cheaper than to keep them.

A gate σ(x) = ½ tanh(½x) + ½ is two operations on tanh(½x). Where the backward loop reads both from memory, the second
need neither be written nor read: in a step that moves more than it computes, that is a third of the traffic saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Final

from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.grouping import columns_of, exposed
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.stages import Argument, Group, Repeat, Stage, Work, reads

#: What is computed again, a few in a row at most.
_CHEAP: Final = {"add", "sub", "mul", "neg"}
_MOST: Final = 3


def recompute(stages: Sequence[Stage], free: set[int]) -> None:
    """Replace what groups of other loops read by works of their own; ``free`` are the buffers that need not be kept."""
    groups = [(loop, x) for loop in stages if isinstance(loop, Repeat) for x in loop.stages if isinstance(x, Group)]
    names = count(1)
    for loop, group in groups:
        for work in group.works:
            buffer = work.output.buffer
            recipe = _recipe(work, group) if buffer in free and work.stored and work.output.step else None
            if recipe is None or buffer in exposed(group):
                continue
            readers = [x for stage in _flat(stages) if stage is not group for x in reads(stage) if x.buffer == buffer]
            others = [other for where, other in groups if where is not loop and _reads_well(other, work, recipe)]
            if readers and len(readers) == sum(len(_reading(other, buffer)) for other in others):
                for other in others:
                    _insert(other, work, recipe, names)
                work.stored = False


def _flat(stages: Sequence[Stage]) -> Iterator[Stage]:
    for stage in stages:
        yield from stage.stages if isinstance(stage, Repeat) else [stage]


def _recipe(work: Work, group: Group) -> list[Work] | None:
    """Return the works that make a value of what is kept anyway, in order; None where that is not cheap."""
    recipe: list[Work] = []
    wanted = [work]
    while wanted:
        now = wanted.pop()
        if now.name not in _CHEAP or now.output.shape != work.output.shape or len(recipe) == _MOST:
            return None
        recipe.insert(0, now)
        for x in now.operands:
            if not isinstance(x, Access):
                continue
            maker = next((w for w in group.works if w.output == x), None)
            if maker is not None and not maker.stored:
                wanted.append(maker)
            elif not x.step or x.strides[-1] != SIZES[x.kind]:
                return None
    return recipe


def _sources(recipe: Sequence[Work]) -> list[Access]:
    made = {work.output for work in recipe}
    return [x for work in recipe for x in work.operands if isinstance(x, Access) and x not in made]


def _reading(group: Group, buffer: int) -> list[Access]:
    return [x for x in reads(group) if x.buffer == buffer]


def _reads_well(other: Group, work: Work, recipe: Sequence[Work]) -> bool:
    """Whether a group reads the value in works only, columns of it, and all that it is made of as well."""
    mine = [x for w in other.works for x in w.operands if isinstance(x, Access) and x.buffer == work.output.buffer]
    known = {x.buffer for w in other.works for x in w.operands if isinstance(x, Access)}
    fits = all(columns_of(x, work.output) is not None for x in mine)
    return (
        bool(mine)
        and fits
        and len(mine) == len(_reading(other, work.output.buffer))
        and all(x.buffer in known and not any(w.output.slot == x.slot for w in other.made) for x in _sources(recipe))
    )


def _insert(other: Group, work: Work, recipe: Sequence[Work], names: Iterator[int]) -> None:
    """Put the recipe before the first reader of each part; the parts stay in registers, under slots of no memory."""
    made: dict[int, Access] = {}
    works: list[Work] = []
    for reader in other.works:
        operands: list[Argument] = []
        for x in reader.operands:
            begin = columns_of(x, work.output) if isinstance(x, Access) and x.buffer == work.output.buffer else None
            if begin is None or not isinstance(x, Access):
                operands.append(x)
                continue
            if begin not in made or made[begin].shape != x.shape:
                parts: dict[Access, Access] = {}
                for step in recipe:
                    output = replace(step.output, buffer=-1, slot=-next(names), offset=0, step=0, flip=0, shape=x.shape)
                    given = [_part(y, begin, x, parts) for y in step.operands]
                    works.append(Work(step.name, step.kind, given, output, step.attrs, stored=False))
                    parts[step.output] = output
                made[begin] = parts[work.output]
            operands.append(made[begin])
        works.append(replace(reader, operands=operands))
    other.works = works


def _part(y: Argument, begin: int, like: Access, parts: dict[Access, Access]) -> Argument:
    if not isinstance(y, Access):
        return y
    return parts[y] if y in parts else replace(y, offset=y.offset + begin, shape=like.shape)
