"""Choosing what to show: the level, the window of steps, and what to fold when a picture would have too many nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tinyseq.drawing.shared.text import plural
from tinyseq.drawing.shared.view import Column
from tinyseq.errors import DataError

#: More columns than this do not fit a slide; longer sequences are drawn as first, second, ..., last.
MOST_COLUMNS = {"op": 5, "cell": 9, "model": 9}


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to draw: ``columns`` in order of time, ``depth`` parts of each scope, and the notes that own up to it."""

    level: str
    columns: tuple[Column, ...]
    depth: int | None = None
    notes: tuple[str, ...] = ()


def window(steps: Sequence[int], asked: tuple[int, int] | None) -> list[int]:
    """Return the time steps that were asked for, of those there are.

    Raises:
        DataError: the window is malformed, or holds no step of the graph.
    """
    if asked is None:
        return list(steps)
    form = "two integers (first, end), the end not included"
    if len(asked) != 2 or not all(isinstance(bound, int) for bound in asked):
        raise DataError("draw: steps", required=form, got=repr(asked))
    chosen = [step for step in steps if asked[0] <= step < asked[1]]
    if not chosen:
        there = f"the graph has steps {steps[0]} to {steps[-1]}" if steps else "the graph has no time steps"
        raise DataError("draw: no time step in this window", required=form, got=f"{asked}; {there}")
    return chosen


def columns_of(steps: Sequence[int], shown: Sequence[int]) -> tuple[Column, ...]:
    """Return a column for each shown step, and one for each run of hidden steps before, between and after them."""
    keep = set(shown)
    columns: list[Column] = []
    hidden = 0
    for step in steps:
        if step not in keep:
            hidden += 1
            continue
        if hidden:
            columns.append(Column(plural(hidden, "step"), None, hidden))
            hidden = 0
        columns.append(Column(f"t = {step}", step))
    if hidden:
        columns.append(Column(plural(hidden, "step"), None, hidden))
    return tuple(columns)


def choices(
    level: str, steps: Sequence[int], asked: tuple[int, int] | None, budget: int | None, ops: int
) -> Iterator[Choice]:
    """Yield the ways to draw, the fullest first; the caller takes the first that is within its budget."""
    chosen = window(steps, asked)
    ends = list(dict.fromkeys([*chosen[:2], *chosen[-1:]]))
    few = f"steps {', '.join(map(str, ends[:-1]))}, …, {ends[-1]} of {plural(len(steps), 'step')} shown" if ends else ""
    if level == "model":
        yield Choice(level, ())
        return
    if budget is None:
        yield Choice(level, columns_of(steps, chosen))
        return
    over = f"{plural(ops, 'op')} are more than the budget of {budget}"
    for each in dict.fromkeys((level, "cell")):
        folded = (f"folded to cell level: {over}",) if each != level else ()
        if asked is not None or len(chosen) <= MOST_COLUMNS[each]:
            yield Choice(each, columns_of(steps, chosen), None, folded)
        if len(chosen) > 3 and (each == "cell" or ops <= budget):
            yield Choice(each, columns_of(steps, ends), None, (*folded, few))
    last = columns_of(steps, ends)
    notes = (f"folded to cell level: {over}", *([few] if len(chosen) > 3 else []))
    for depth in (2, 1, 0):
        yield Choice("cell", last, depth, (*notes, f"scopes folded to {plural(depth, 'part')}: {over}"))
