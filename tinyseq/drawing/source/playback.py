"""The backward pass as steps that can be played: what arrives at a node, its local derivatives, what goes on.

The order and the arithmetic are the engine's own sweep (``autodiff.backpropagate``), watched from the outside; nothing
is differentiated a second way. A graph that holds no values (traced, or freed by ``backward()``) plays without norms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from tinyseq.autodiff import FREED, Operands, backpropagate, saved_operands
from tinyseq.drawing.shared.formulas import arguments, derivative
from tinyseq.drawing.shared.labels import shape_text
from tinyseq.graph import Graph, Leaf, Node, rebuild, remake
from tinyseq.markers import gradient
from tinyseq.ops.base import module_of
from tinyseq.ops.elementwise import cast
from tinyseq.ops.scan import evaluate
from tinyseq.ops.shape import sum_to
from tinyseq.ops.tuples import pick

#: Tensors of at most so many numbers are told number by number.
MOST_NUMBERS: Final = 16


@dataclass(frozen=True, slots=True)
class Amount:
    """A gradient: its norm over all elements, its shape, and its numbers where they are few."""

    norm: float
    shape: str
    values: Any = None


@dataclass(frozen=True, slots=True)
class GradientFlow:
    """What goes on to one input: ``item`` is the drawn thing it comes to, if it is one; ``name`` says what it is."""

    argument: str
    derivative: str
    item: int | None
    name: str
    amount: Amount | None = None


@dataclass(frozen=True, slots=True)
class PlaybackStep:
    """One node's turn in the backward pass. ``arriving`` is None where no gradient is known, which is not 0."""

    item: int
    op: str
    arriving: Amount | None
    flows: tuple[GradientFlow, ...]


@dataclass(frozen=True, slots=True)
class Playback:
    """The steps in the order in which the engine takes them, and each weight's whole gradient at the end."""

    steps: tuple[PlaybackStep, ...]
    weights: tuple[tuple[str, Amount | None], ...]
    note: str


class _MetaGradient(NamedTuple):
    """A gradient of which only the form is known."""

    shape: Any
    dtype: Any

    def __add__(self, other: Any) -> _MetaGradient:
        return self


class _Turn(NamedTuple):
    node: Node
    needed: tuple[bool, ...]


Watch = Callable[[Node, Any, list[Any]], None]


def play(graph: Graph, items: Mapping[Node, int], input_values: Mapping[Node, Any] | None = None) -> Playback | None:
    """Return the backward pass of a graph's loss; None where no gradient reaches a weight.

    The loss is the first scalar float output, or else the sum of the first float output.

    Args:
        graph: a graph without loops.
        items: the drawn thing that stands for a node.
        input_values: the values of the inputs of a traced graph; an eager graph has kept what it needs.
    """
    floats = [node for node in graph.outputs if not isinstance(node.dtype, tuple) and node.dtype.kind == "f"]
    loss = next((node for node in floats if node.shape == ()), floats[0] if floats else None)
    if loss is None:
        return None
    turns = _order(loss)
    # A gradient within a traced function has no rule yet: the compiler works it out.
    if not turns or any(turn.node.op is gradient for turn in turns):
        return None
    operands = _computed(graph, input_values) if input_values else saved_operands
    measured = _Measured(loss, operands) if input_values or all(_has_values(turn.node) for turn in turns) else None
    steps = tuple(_step(turn, items, measured) for turn in turns if turn.node in items)
    leaves = dict.fromkeys(
        parent
        for turn in turns
        for parent, needed in zip(turn.node.inputs, turn.needed, strict=True)
        if needed and isinstance(parent, Leaf)
    )
    totals = tuple((leaf.name or "w", measured.total(leaf) if measured else None) for leaf in leaves)
    of = "" if loss.shape == () else "The gradient is that of the sum of the output. "
    if measured is None:
        freed = any(turn.node.args is FREED for turn in turns)
        why = "backward() has freed the values; retain_graph=True keeps them" if freed else "the graph holds no values"
        return Playback(steps, totals, f"{of}No norms: {why}.")
    return Playback(steps, totals, of.strip())


def _rules(graph_nodes: Sequence[Node], rule: Any) -> dict[Any, Any]:
    return {node.op: rule for node in graph_nodes}


def _order(loss: Node) -> list[_Turn]:
    """Let the engine sweep a copy without values: which nodes have a turn, in which order, for which inputs."""
    copies: dict[Node, Node] = {}
    (copy,) = rebuild([loss], lambda node, inputs: remake(node, inputs, node.attrs) if inputs else node, copies)
    original = {new: old for old, new in copies.items()}
    turns: list[_Turn] = []

    def rule(node: Node, g: Any, needed: Sequence[bool]) -> list[Any]:
        turns.append(_Turn(original[node], tuple(needed)))
        return [_MetaGradient(x.shape, x.dtype) if need else None for x, need in zip(node.inputs, needed, strict=True)]

    seed = {copy: _MetaGradient(loss.shape, loss.dtype)}
    backpropagate(seed, None, retain=True, rules=_rules(list(original), rule))
    return turns


def _has_values(node: Node) -> bool:
    op: Any = node.op
    return (
        node.args is not FREED
        and not (op.reads_inputs and node.args is None)
        and not (op.reads_output and node.out is None)
    )


def _computed(graph: Graph, input_values: Mapping[Node, Any]) -> Operands:
    """Compute every value of a traced graph, for the rules to read."""
    known = {node: _on_host(value) for node, value in input_values.items()}
    evaluate(graph.nodes, known, np)
    return lambda node: ([known[parent] for parent in node.inputs], known[node])


class _Measured:
    """The sweep with values: the amount that arrives at each node, and the amount that goes to each input."""

    def __init__(self, loss: Node, operands: Operands) -> None:
        self.arriving: dict[Node, Amount] = {}
        self.going: dict[tuple[Node, int], Amount] = {}
        self.marked: set[Node | tuple[Node, int]] = set()
        xp = _module(loss, operands)
        gradients = _sweep(loss, xp.ones(loss.shape, loss.dtype), operands, self._note)
        # A slice passes zeros on for what it left out. A NaN sent the same way tells them from gradients that are 0:
        # no product swallows it, so what stays free of it was not reached.
        marks = _sweep(loss, xp.full(loss.shape, np.nan, loss.dtype), operands, self._mark)
        self.weights = {leaf: amount(g) for leaf, g in gradients.items() if _is_nan(marks.get(leaf))}

    def _note(self, node: Node, g: Any, parts: list[Any]) -> None:
        self.arriving[node] = amount(g)
        for index, part in enumerate(parts):
            if part is not None:
                self.going[node, index] = amount(part)

    def _mark(self, node: Node, g: Any, parts: list[Any]) -> None:
        if _is_nan(g):
            self.marked.add(node)
        self.marked.update((node, index) for index, part in enumerate(parts) if _is_nan(part))

    def reaching(self, node: Node) -> Amount | None:
        """What arrives at a node; None where nothing does."""
        return self.arriving.get(node) if node in self.marked else None

    def leaving(self, node: Node, index: int) -> Amount | None:
        """What goes on to an input; None where nothing does."""
        return self.going.get((node, index)) if (node, index) in self.marked else None

    def total(self, leaf: Node) -> Amount | None:
        """A weight's whole gradient."""
        return self.weights.get(leaf)


def _sweep(loss: Node, seed: Any, operands: Operands, watch: Watch) -> dict[Node, Any]:
    """Run the engine's sweep on arrays, and show each node's turn to ``watch``."""
    graph = Graph([loss])

    def rule(node: Node, g: Any, needed: Sequence[bool]) -> list[Any]:
        args, out = operands(node)
        op: Any = node.op
        if op.joint is not None:
            gradients = op.joint(node, g, needed)
        else:
            gradients = [op.vjp(i, g, out, *args, **node.attrs) if need else None for i, need in enumerate(needed)]
        parts = [
            None if part is None else cast(sum_to(part, parent.shape), parent.dtype)
            for part, parent in zip(gradients, node.inputs, strict=True)
        ]
        watch(node, g, parts)
        return parts

    with np.errstate(all="ignore"):
        return backpropagate({loss: seed}, None, retain=True, rules=_rules(graph.nodes, rule))


def _module(loss: Node, operands: Operands) -> Any:
    """The array module that the values are of."""
    nodes = (node for node in Graph([loss]).nodes if node.inputs and node.args is not FREED)
    arrays = (x for node in nodes for x in operands(node)[0] if hasattr(x, "ndim") and not isinstance(x, Node))
    return module_of(list(itertools.islice(arrays, 1)))


def _on_host(x: Any) -> Any:
    return np.asarray(x.get() if hasattr(x, "get") else x)


def _arrays(g: Any) -> list[np.ndarray[Any, Any]]:
    """A gradient's arrays on the host: one, or those of an op with several outputs that have a gradient."""
    return [_on_host(x) for x in (g if isinstance(g, list | tuple) else [g]) if x is not None]


def _is_nan(g: Any) -> bool:
    return g is not None and any(np.isnan(x).any() for x in _arrays(g))


def amount(g: Any) -> Amount:
    """Measure a gradient."""
    arrays = _arrays(g)
    norm = math.sqrt(sum(float(np.sum(np.square(x, dtype=np.float64))) for x in arrays))
    if len(arrays) != 1:
        return Amount(norm, f"{len(arrays)} outputs")
    (x,) = arrays
    return Amount(norm, shape_text(x.shape), x.tolist() if x.size <= MOST_NUMBERS else None)


def _step(turn: _Turn, items: Mapping[Node, int], measured: _Measured | None) -> PlaybackStep:
    node = turn.node
    names = arguments(node)
    flows = []
    for index, (parent, needed) in enumerate(zip(node.inputs, turn.needed, strict=True)):
        if needed:
            item, name = _destination(parent, items)
            going = None if measured is None else measured.leaving(node, index)
            flows.append(GradientFlow(names[index], derivative(node, index), item, name, going))
    arriving = None if measured is None else measured.reaching(node)
    return PlaybackStep(items[node], node.op.name, arriving, tuple(flows))


def _destination(node: Node, items: Mapping[Node, int]) -> tuple[int | None, str]:
    """What a gradient comes to, past what is not drawn: outputs that are picked, sequences that are taken apart."""
    while node not in items and (node.op is pick or node.op.name in ("unstack", "transpose")):
        node = node.inputs[0]
    if isinstance(node, Leaf):
        return None, node.name or "w"
    return items.get(node), node.name or node.op.name
