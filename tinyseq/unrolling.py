"""A cell over time: full, truncated, reversed, and masked by lengths."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from tinyseq import trees
from tinyseq.creation import tensor
from tinyseq.errors import DataError, DtypeError, ShapeError
from tinyseq.graph import Graph, Leaf, Literal, Node, at_step, here, reach, scope, substitute
from tinyseq.masks import LengthsLike, align, check_lengths
from tinyseq.modes import is_tracing, looked_at, mode
from tinyseq.ops.elementwise import maximum, stop_gradient, where
from tinyseq.ops.scan import scan
from tinyseq.ops.shape import reshape, stack, swapaxes, take, unstack
from tinyseq.random import generator
from tinyseq.tensors import Tensor
from tinyseq.tracing import AbstractTensor, node_of

Step = Callable[[Any, Any], tuple[Any, Any]]
X = TypeVar("X", contravariant=True)
S = TypeVar("S")
Y = TypeVar("Y", covariant=True)


class Stepping(Protocol[X, S, Y]):
    """What has the step of a cell."""

    def step(self, x: X, state: S, /) -> tuple[Y, S]: ...


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
    cell: Stepping[X, S, Y] | Callable[[X, S], tuple[Y, S]],
    xs: X,
    state: S | None = None,
    *,
    lengths: LengthsLike | None = None,
    truncate: int | None = None,
    reverse: bool = False,
) -> tuple[Y, S]:
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

    As ``jax.lax.scan``, ``torch.nn.LSTM.forward``.

    >>> ys, last = ts.unroll(lambda x, s: (s + x, s + x), ts.tensor([[1.0, 2.0, 3.0]]), ts.zeros(1))
    >>> ys, last
    (tensor([[1., 3., 6.]]), tensor([6.]))
    """
    parts = [x for _, x in trees.leaves(xs)]
    batch, time = _extent(parts)
    truncate = looked_at(lambda: _default.truncate) if truncate is None else truncate
    if truncate is not None and truncate < 1:
        raise DataError("unroll: truncate", required="at least 1 step", got=str(truncate))
    state = _initial_state(cell, batch) if state is None else state
    steps = _Steps(cell, xs, parts, time, truncate, reverse)
    if lengths is not None:
        steps.mask(*check_lengths(lengths, time, batch))
    clock = here.place.clock  # the step of a loop around this one, whose own body is a graph of a single step
    if clock is None:
        generator.advance()
        if is_tracing():
            return _rolled(steps, state)
    return _eager(steps, state, clock)


# -- inputs ------------------------------------------------------------------------------------------------------------


def _extent(parts: list[Any]) -> tuple[int, int]:
    """Return how many rows and time steps the sequences have."""
    if not parts or any(len(x.shape) < 2 for x in parts) or len({x.shape[:2] for x in parts}) > 1:
        raise ShapeError(
            "unroll: not a sequence",
            required="(batch, time, ...), the same batch and time everywhere",
            got=", ".join(str(x.shape) for x in parts) or "nothing",
        )
    batch, time = parts[0].shape[:2]
    if time == 0:
        raise ShapeError("unroll: no time steps", required="time >= 1", got=str(parts[0].shape))
    return batch, time


def _initial_state(cell: Any, batch: int) -> Any:
    make = getattr(cell, "initial_state", None)
    if make is None:
        raise DataError("unroll: a function has no initial state", required="state=...", got="None")
    return make(batch)


@dataclass
class _Steps:
    """The steps of a cell over sequences: what each is given, which rows of it are real, where the gradient is cut."""

    cell: Any
    xs: Any
    #: The leaves of ``xs``, (batch, time, ...).
    parts: list[Any]
    time: int
    truncate: int | None
    reverse: bool
    #: Only with lengths: how many steps of each row are real, the same as a mask (batch, time), and its columns.
    counts: np.ndarray[Any, Any] | Tensor | None = None
    real: Tensor | None = None
    masks: Any = None

    def __post_init__(self) -> None:
        self.step: Step = getattr(self.cell, "step", self.cell)
        self.name: str = getattr(self.cell, "name", "")

    def mask(self, counts: Any, real: Tensor) -> None:
        """Let padding change nothing."""
        self.counts = counts.numpy() if isinstance(counts, Tensor) and not is_tracing() else counts
        self.real, self.masks = real, unstack(real, 1)
        # Padding may hold anything: 0 instead of it, or a NaN there would reach the weights' gradient as 0 * NaN.
        self.parts = [where(_align(real, x), x, x.dtype.type(0).item()) for x in self.parts]

    def cuts(self) -> Any:
        """Return the rows that enter each step with a cut gradient; None where nothing is cut."""
        if not self.truncate:
            return None
        starts = self.chunk_starts()
        return unstack(starts, 0) if isinstance(starts, Tensor) else starts

    def chunk_starts(self) -> Any:
        """Return which rows start a new chunk of ``truncate`` steps at each step, counted from their own first one.

        (time, batch), a tensor where the lengths are known only when the graph runs; (time, 1) without lengths, where
        all rows are alike.
        """
        assert self.truncate is not None
        steps = np.arange(self.time + 1)
        starts: Any = (steps > 0) & (steps % self.truncate == 0)
        t: Any = steps[:-1, np.newaxis]
        if isinstance(self.counts, Tensor):
            starts, t = tensor(starts), tensor(t)
        ends = reshape(np.array([self.time]) if self.counts is None else self.counts, (1, -1))
        come = ends - 1 - t if self.reverse else where(t < ends, t, 0)  # how far each row has come
        return take(starts, maximum(come, 0))


def _masked(mask: Tensor, y: Any, new: Any, old: Any) -> tuple[Any, Any]:
    """Return 0 for the outputs of rows that are not real, and their state as it was."""
    y = trees.map_leaves(lambda y: where(_align(mask, y), y, y.dtype.type(0).item()), y)
    return y, trees.map_leaves(lambda n, o: where(_align(mask, n), n, o), new, old)


# -- step by step ------------------------------------------------------------------------------------------------------


def _eager(steps: _Steps, state: Any, clock: Any) -> tuple[Any, Any]:
    """Apply the cell at one step after the other; ``clock`` is the step of a loop around them."""
    time, cuts = steps.time, steps.cuts()
    columns = [unstack(x, 1) for x in steps.parts]
    ys: list[Any] = []
    with scope(steps.name):
        seen = _watched(steps.cell)
        for t in range(time - 1, -1, -1) if steps.reverse else range(time):
            with at_step(t, None if clock is None else clock * time + t):
                if cuts is not None:
                    state = _cut(state, cuts[t])
                column = iter(columns)
                x = trees.map_leaves(lambda _, column=column, t=t: next(column)[t], steps.xs)
                y, new = trees.output_and_state(steps.step(x, state), steps.step)
                if steps.masks is not None:
                    y, new = _masked(steps.masks[t], y, new, state)
                _name_states(new)
                if seen is not None:
                    seen.steps[t] = x, state, y, new
                state = new
                ys.append(y)
        if steps.reverse:
            ys.reverse()
        return trees.map_leaves(lambda *steps: stack(steps, 1), ys[0], *ys[1:]), state


def _watched(cell: Any) -> Unrolled | None:
    """Return where to note each step, if somebody watches."""
    if _default.watched is None:
        return None
    seen = Unrolled(cell, here.place.scope)
    _default.watched.append(seen)
    return seen


def _name_states(state: Any) -> None:
    """Give the values of a new state that have a history, and no name yet, the names of its parts."""
    for path, part in trees.leaves(state):
        if isinstance(part, Tensor) and part.requires_grad and part._node is not None and part._node.name is None:
            part._node.name = path or "h"


# -- as a loop ---------------------------------------------------------------------------------------------------------


def _rolled(steps: _Steps, state: Any) -> tuple[Any, Any]:
    """Record one scan, its body traced once, instead of a copy of the cell for each time step."""
    _require_tensors(state)
    own_cuts = bool(steps.truncate) and steps.counts is not None  # rows come to their cuts at different steps
    sequences = [swapaxes(x, 0, 1) for x in steps.parts]
    if steps.real is not None:
        sequences.append(swapaxes(steps.real, 0, 1))
    if own_cuts:
        starts = steps.chunk_starts()
        sequences.append(starts if isinstance(starts, Tensor) else tensor(starts))
    sequences.append(tensor(np.arange(steps.time)))  # the clock, for random draws; dropped where there are none
    with scope(steps.name):
        old = trees.map_leaves(lambda s: AbstractTensor(Leaf(s.shape, s.dtype, True, passing=True)), state)
        for path, part in trees.leaves(old):
            part.node.name = path or "h"
        slices = [AbstractTensor(Leaf(s.shape[1:], s.dtype, s.requires_grad, "x", passing=True)) for s in sequences]
        tracing = mode.tracing
        assert tracing is not None
        outer, tracing.checks = tracing.checks, []
        with tracing.observe(steps.step):
            y, new = _traced_step(steps, old, slices, own_cuts)
        checks, tracing.checks = tracing.checks, outer
        carried = [node_of(n) for _, n in trees.leaves(new)]
        for (path, _), node in zip(trees.leaves(new), carried, strict=True):
            if node.name is None:
                node.name = path or "h"
        own = [x.node for _, x in trees.leaves(old)] + [x.node for x in slices]
        outputs = [*carried, *(node_of(y) for _, y in trees.leaves(y))]
        reached = set(reach(outputs))  # a check that nothing reads is read after the loop
        body, outside = _closed([*outputs, *(node for node in checks if node not in reached)], own)
        results = scan(
            *(s for _, s in trees.leaves(state)),
            *sequences,
            *(AbstractTensor(n) for n in outside),
            body=body,
            carries=len(carried),
            sequences=len(sequences),
            length=steps.time,
            reverse=steps.reverse,
            cut=None if own_cuts else steps.truncate,
        )
    finals, stacked = iter(results[: len(carried)]), iter(results[len(carried) :])
    last = trees.map_leaves(lambda _: next(finals), new)
    ys = trees.map_leaves(lambda _: swapaxes(next(stacked), 0, 1), y)
    tracing.checks += [node_of(x) for x in stacked]
    return ys, last


def _require_tensors(state: Any) -> None:
    for path, part in trees.leaves(state):
        if not isinstance(part, Tensor):
            raise DtypeError(
                f"unroll, compiled: the state {path or 'h'} is no tensor",
                required="a tensor, whose shape and dtype stay the same from step to step",
                got=repr(part),
                fix="ts.zeros(batch, ...) in the initial state",
            )


def _traced_step(steps: _Steps, old: Any, slices: list[AbstractTensor], own_cuts: bool) -> tuple[Any, Any]:
    """Trace the cell on a step of each sequence: the parts of x, then the mask and the cuts, if any, and the clock."""
    entering = _cut(old, slices[-2]) if own_cuts else old
    column = iter(slices)
    with at_step(None, slices[-1]):
        returned = steps.step(trees.map_leaves(lambda _: next(column), steps.xs), entering)
        y, new = trees.output_and_state(returned, steps.step)
    if steps.real is not None:
        y, new = _masked(slices[len(steps.parts)], y, new, entering)
    return y, trees.map_leaves(lambda n, _: n, new, old)  # refuses a state of another structure


def _closed(outputs: list[Node], own: list[Node]) -> tuple[Graph, list[Node]]:
    """Return a loop's body, whose first inputs are ``own``, and what it takes from outside, one more input for each."""
    start = own[-1].serial + 1
    outside = [n for n in reach(outputs, stop=lambda n: n.serial < start) if _is_outside(n, own, start)]
    inner: dict[Node, Node] = {n: Leaf(n.shape, n.dtype, True, n.name) for n in outside}
    return Graph(substitute(outputs, inner), [*own, *inner.values()]), outside


def _is_outside(node: Node, own: list[Node], start: int) -> bool:
    """Whether a node that a step uses comes from outside of it: made before, or a weight."""
    return not isinstance(node, Literal) and node not in own and (node.serial < start or isinstance(node, Leaf))


# -- cuts -----------------------------------------------------------------------------------------------------------


def _cut(state: Any, rows: np.ndarray[Any, Any] | Tensor) -> Any:
    """Stop the gradient through the state of the rows that have come to a cut.

    Rows count their own steps, so padding moves no cut: a row that is over, or has not begun, is not cut.
    """
    if not isinstance(rows, Tensor):
        if not rows.any():
            return state
        if rows.all():
            return trees.map_leaves(stop_gradient, state)
        rows = tensor(rows)
    return trees.map_leaves(lambda s: where(_align(rows, s), stop_gradient(s), s), state)


def _align(mask: Tensor, value: Tensor) -> Tensor:
    return align(mask, value, "unroll with lengths: a state or output without the batch first")
