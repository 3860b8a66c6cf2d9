"""A cell over time: full, truncated, reversed, and masked by lengths."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from tinyseq import trees
from tinyseq.creation import tensor
from tinyseq.errors import DataError, DtypeError, ShapeError
from tinyseq.graph import Graph, Leaf, Literal, Node, at_step, here, reach, scope, substitute
from tinyseq.masks import LengthsLike, align, check_lengths
from tinyseq.modes import is_tracing
from tinyseq.ops.elementwise import maximum, stop_gradient, where
from tinyseq.ops.scan import scan
from tinyseq.ops.shape import reshape, stack, swapaxes, take, unstack
from tinyseq.random import generator
from tinyseq.tensors import Tensor
from tinyseq.tracing import AbstractTensor, node_of

Step = Callable[[Any, Any], tuple[Any, Any]]


@dataclass
class Unrolled:
    """A call of ``unroll`` as it went: the cell, its scope, and for each step (x_t, s_{t-1}, y_t, s_t)."""

    cell: Any
    scope: str
    steps: dict[int, tuple[Any, Any, Any, Any]] = field(default_factory=dict)


class _Default(threading.local):
    """What ``truncate`` is where it is not given, and who watches."""

    truncate: int | None = None
    watched: list[Unrolled] | None = None


_default: Final = _Default()


@contextmanager
def watching() -> Iterator[list[Unrolled]]:
    """Gather what each eager ``unroll`` inside does, in the order of the calls."""
    outer, _default.watched = _default.watched, []
    try:
        yield _default.watched
    finally:
        _default.watched = outer


@contextmanager
def truncating(every: int | None) -> Iterator[None]:
    """Let each ``unroll`` inside that does not say ``truncate`` itself cut the gradient every so many steps."""
    outer, _default.truncate = _default.truncate, every
    try:
        yield
    finally:
        _default.truncate = outer


def unroll(
    cell: Any,
    xs: Any,
    state: Any = None,
    *,
    lengths: LengthsLike | None = None,
    truncate: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Apply a cell at every time step: ``y_t, s_t = cell.step(x_t, s_{t-1})``.

    Args:
        cell: an ``nn.Cell``, or any function ``(x, state) -> (y, state)``.
        xs: (batch, time, ...), or nested tuples and dicts of such tensors.
        state: s_0; by default the cell's ``initial_state(batch)``.
        lengths: (batch,), how many steps of each row are real. Past them outputs are 0 and the state stays as it is, so
            padding changes nothing; with ``reverse`` each row starts at its own last real step.
        truncate: cut the gradient every so many steps (truncated BPTT): a ``stop_gradient`` node on the state. With
            ``lengths`` each row counts its own steps.
        reverse: run from the last step to the first; outputs stay in the order of time.

    Returns:
        ys (batch, time, ...), in the structure of y_t, and the last state.

    Raises:
        ShapeError: no batch and time axes, or parts that differ in them.
        DataError: a length below 0 or over the number of steps; ``truncate`` below 1.
    """
    parts = [x for _, x in trees.leaves(xs)]
    if not parts or any(len(x.shape) < 2 for x in parts) or len({x.shape[:2] for x in parts}) > 1:
        raise ShapeError(
            "unroll: not a sequence",
            required="(batch, time, ...), the same batch and time everywhere",
            got=", ".join(str(x.shape) for x in parts) or "nothing",
        )
    batch, time = parts[0].shape[:2]
    if time == 0:
        raise ShapeError("unroll: no time steps", required="time >= 1", got=str(parts[0].shape))
    truncate = _default.truncate if truncate is None else truncate
    if truncate is not None and truncate < 1:
        raise DataError("unroll: truncate", required="at least 1 step", got=str(truncate))
    step: Step = getattr(cell, "step", cell)
    if state is None:
        make = getattr(cell, "initial_state", None)
        if make is None:
            raise DataError("unroll: a function has no initial state", required="state=...", got="None")
        state = make(batch)
    counts: Any = None
    real, masks = None, None
    if lengths is not None:
        ready = check_lengths(lengths, time, batch)
        counts, real = ready
        if isinstance(counts, Tensor) and not is_tracing():
            counts = counts.numpy()
        masks = unstack(real, 1)
        # Padding may hold anything: 0 instead of it, or a NaN there would reach the weights' gradient as 0 * NaN.
        parts = [where(_align(real, x), x, x.dtype.type(0).item()) for x in parts]
    clock = here.place.clock  # the step of a loop around this one, whose own body is a graph of a single step
    if clock is None:
        generator.advance()
        if is_tracing():
            return _rolled(cell, step, xs, parts, state, counts, real, truncate, reverse)
    starts: Any = None
    if truncate and isinstance(counts, Tensor):
        starts = unstack(_all_chunk_starts(time, counts, truncate, reverse), 0)
    columns = [unstack(x, 1) for x in parts]
    ys: list[Any] = []
    name = getattr(cell, "name", "")
    with scope(name):
        seen = None
        if _default.watched is not None:
            _default.watched.append(seen := Unrolled(cell, here.place.scope))
        for t in range(time - 1, -1, -1) if reverse else range(time):
            with at_step(t, None if clock is None else clock * time + t):
                if starts is not None:
                    state = _cut_some(state, starts[t])
                elif truncate:
                    state = _cut(state, _chunk_starts(t, time, counts, truncate, reverse))
                column = iter(columns)
                x = trees.map_leaves(lambda _, column=column, t=t: next(column)[t], xs)
                y, new = step(x, state)
                if masks is not None:
                    y = trees.map_leaves(lambda y, t=t: where(_align(masks[t], y), y, y.dtype.type(0).item()), y)
                    new = trees.map_leaves(lambda n, old, t=t: where(_align(masks[t], n), n, old), new, state)
                for path, part in trees.leaves(new):
                    if (
                        isinstance(part, Tensor)
                        and part._node is not None
                        and part._node.name is None
                        and part.requires_grad
                    ):
                        part._node.name = path or "h"
                if seen is not None:
                    seen.steps[t] = x, state, y, new
                state = new
                ys.append(y)
        if reverse:
            ys.reverse()
        return trees.map_leaves(lambda *steps: stack(steps, 1), ys[0], *ys[1:]), state


def _rolled(
    cell: Any,
    step: Step,
    xs: Any,
    parts: list[Any],
    state: Any,
    counts: np.ndarray[Any, Any] | Tensor | None,
    real: Tensor | None,
    truncate: int | None,
    reverse: bool,
) -> tuple[Any, Any]:
    """Record one scan, its body traced once, instead of a copy of the cell for each time step."""
    for path, part in trees.leaves(state):
        if not isinstance(part, Tensor):
            raise DtypeError(
                f"unroll, compiled: the state {path or 'h'} is no tensor",
                required="a tensor, whose shape and dtype stay the same from step to step",
                got=repr(part),
                fix="ts.zeros(batch, ...) in the initial state",
            )
    time = parts[0].shape[1]
    sequences = [swapaxes(x, 0, 1) for x in parts]
    if real is not None:
        sequences.append(swapaxes(real, 0, 1))
    if truncate and counts is not None:  # rows come to their cuts at different steps
        sequences.append(_all_chunk_starts(time, counts, truncate, reverse))
    sequences.append(tensor(np.arange(time)))  # the clock, for random draws; dropped where there are none
    with scope(getattr(cell, "name", "")):
        old = trees.map_leaves(lambda s: AbstractTensor(Leaf(s.shape, s.dtype, True, passing=True)), state)
        for path, part in trees.leaves(old):
            part.node.name = path or "h"
        slices = [AbstractTensor(Leaf(s.shape[1:], s.dtype, s.requires_grad, "x", passing=True)) for s in sequences]
        start = slices[-1].node.serial + 1
        column = iter(slices)
        entering = old
        if truncate and counts is not None:
            cut = slices[-2]
            entering = trees.map_leaves(lambda s: where(_align(cut, s), stop_gradient(s), s), old)
        with at_step(None, slices[-1]):
            y, new = step(trees.map_leaves(lambda _: next(column), xs), entering)
        if real is not None:
            mask = slices[len(parts)]
            y = trees.map_leaves(lambda y: where(_align(mask, y), y, y.dtype.type(0).item()), y)
            new = trees.map_leaves(lambda n, o: where(_align(mask, n), n, o), new, entering)
        new = trees.map_leaves(lambda n, _: n, new, old)  # refuses a state of another structure
        carried = [node_of(n) for _, n in trees.leaves(new)]
        for (path, _), node in zip(trees.leaves(new), carried, strict=True):
            if node.name is None:
                node.name = path or "h"
        outputs = [*carried, *(node_of(y) for _, y in trees.leaves(y))]
        own = [x.node for _, x in trees.leaves(old)] + [x.node for x in slices]
        outside = [n for n in reach(outputs, stop=lambda n: n.serial < start) if _is_outside(n, own, start)]
        inner: dict[Node, Node] = {n: Leaf(n.shape, n.dtype, True, n.name) for n in outside}
        body = Graph(substitute(outputs, inner), [*own, *inner.values()])
        results = scan(
            *(s for _, s in trees.leaves(state)),
            *sequences,
            *(AbstractTensor(n) for n in outside),
            body=body,
            carries=len(carried),
            sequences=len(sequences),
            length=time,
            reverse=reverse,
            cut=truncate if counts is None else None,
        )
    finals, stacked = iter(results[: len(carried)]), iter(results[len(carried) :])
    last = trees.map_leaves(lambda _: next(finals), new)
    return trees.map_leaves(lambda _: swapaxes(next(stacked), 0, 1), y), last


def _is_outside(node: Node, own: list[Node], start: int) -> bool:
    """Whether a node that a step uses comes from outside of it: made before, or a weight."""
    return not isinstance(node, Literal) and node not in own and (node.serial < start or isinstance(node, Leaf))


def _chunk_starts(
    t: int, time: int, counts: np.ndarray[Any, Any] | None, truncate: int, reverse: bool
) -> np.ndarray[Any, Any]:
    """Return which rows start a new chunk of ``truncate`` steps at step t, counted from each row's own first step.

    Without lengths all rows are alike, and the answer is of shape (1,).
    """
    ends = np.array([time]) if counts is None else counts
    own = ends - 1 - t if reverse else np.where(t < ends, t, 0)  # how far each row has come
    return np.asarray((own > 0) & (own % truncate == 0))


def _all_chunk_starts(time: int, counts: np.ndarray[Any, Any] | Tensor, truncate: int, reverse: bool) -> Tensor:
    """Return ``_chunk_starts`` of every step, (time, batch), for lengths that may be known only when the graph runs."""
    if not isinstance(counts, Tensor):
        return tensor(np.stack([_chunk_starts(t, time, counts, truncate, reverse) for t in range(time)]))
    steps = np.arange(time + 1)
    starts = tensor((steps > 0) & (steps % truncate == 0))
    ends, t = reshape(counts, (1, -1)), tensor(steps[:-1, np.newaxis])
    own = ends - 1 - t if reverse else where(t < ends, t, 0)
    found: Tensor = take(starts, maximum(own, 0))
    return found


def _cut(state: Any, rows: np.ndarray[Any, Any]) -> Any:
    """Stop the gradient through the state of the rows that have come to a cut.

    Rows count their own steps, so padding moves no cut: a row that is over, or has not begun, is not cut.
    """
    if not rows.any():
        return state
    if rows.all():
        return trees.map_leaves(stop_gradient, state)
    return _cut_some(state, tensor(rows))


def _cut_some(state: Any, mask: Tensor) -> Any:
    return trees.map_leaves(lambda s: where(_align(mask, s), stop_gradient(s), s), state)


def _align(mask: Tensor, value: Tensor) -> Tensor:
    return align(mask, value, "unroll with lengths: a state or output without the batch first")
