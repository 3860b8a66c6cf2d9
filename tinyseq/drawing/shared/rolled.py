"""A rolled graph as it is drawn: the body of each loop once, with delay edges from what a step makes to what it takes.

A loop's inside is another graph, which no wire could enter. Here a copy of each body stands among the other nodes, and
marks say what the loop said: ``each`` is x_t, one step of a sequence, ``delay`` is s_{t-1}, ``last`` the state after
the last step, ``every`` the outputs of all steps. ``analysis`` sees through the marks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from tinyseq.graph import Graph, Literal, Node, Place, here, rebuild
from tinyseq.ops.scan import ScanParts


class _Mark:
    """The op of a node that is only there to be seen through."""

    formula = ""
    differentiable = False

    def __init__(self, name: str) -> None:
        self.name = name

    def infer(self, *inputs: Any, **attrs: Any) -> Any:
        return inputs[0].shape, inputs[0].dtype


EACH: Final = _Mark("each")
DELAY: Final = _Mark("delay")
LAST: Final = _Mark("last")
EVERY: Final = _Mark("every")
#: A value that the forward pass has kept, in a picture of the backward pass.
STORED: Final = _Mark("stored")


@dataclass(frozen=True, slots=True)
class RolledLoop:
    """One loop: where it was recorded, how long it is, which way it runs."""

    scope: str
    length: int
    reverse: bool
    cut: int | None


@dataclass(slots=True)
class Rolled:
    """A graph with each loop's body in it once. ``delays[mark]`` is the node whose value the mark has a step later."""

    graph: Graph
    outputs: tuple[Node, ...] = ()
    loops: list[RolledLoop] = field(default_factory=list)
    delays: dict[Node, Node] = field(default_factory=dict)
    loop_of: dict[Node, int] = field(default_factory=dict)
    copy_of: dict[Node, Node] = field(default_factory=dict)  # a body's own node -> the node that stands for it here


def is_rolled(graph: Graph) -> bool:
    """Return whether a graph has loops."""
    return any("body" in node.attrs for node in graph.nodes)


def roll(graph: Graph) -> Rolled:
    """Put the body of each loop, and of each loop within it, among the nodes around it."""
    rolled = Rolled(graph)
    known: dict[Node, Node] = {}
    outputs = _inline(list(graph.outputs), known, rolled, None)
    # What only the next step reads is not on the way to any output, but belongs to the circle.
    rolled.graph = Graph([*outputs, *rolled.delays.values()], graph.inputs)
    rolled.outputs = tuple(outputs)
    rolled.copy_of = known
    return rolled


def _inline(outputs: list[Node], known: dict[Node, Node], rolled: Rolled, loop: int | None) -> list[Node]:
    results: dict[Node, list[Node]] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if "body" in node.attrs:
            results[node] = _body(node, inputs, known, rolled)
            return node
        if node.inputs and node.inputs[0] in results:
            return results[node.inputs[0]][node.attrs["index"]]
        if loop is None or isinstance(node, Literal):
            return None
        fresh = Node(node.op, inputs, node.attrs, node.shape, node.dtype, node.source)
        fresh.name = node.name
        fresh.place = Place(node.place.scope, 0)
        rolled.loop_of[fresh] = loop
        return fresh

    return rebuild(outputs, rule, known)


def _body(node: Node, inputs: tuple[Node, ...], known: dict[Node, Node], rolled: Rolled) -> list[Node]:
    body: Graph = node.attrs["body"]
    parts = ScanParts.of(node.attrs, inputs)
    number = len(rolled.loops)
    rolled.loops.append(RolledLoop(node.place.scope, node.attrs["length"], node.attrs["reverse"], node.attrs["cut"]))
    delays = [_mark(DELAY, outer, leaf, number, rolled) for leaf, outer in zip(parts.states, parts.inits, strict=True)]
    slices = [_mark(EACH, outer, leaf, number, rolled) for leaf, outer in zip(parts.xs, parts.sequences, strict=True)]
    inner = dict(zip(body.inputs, [*delays, *slices, *parts.values], strict=True))
    outputs = _inline(list(body.outputs), inner, rolled, number)
    known.update(inner)
    for mark, state in zip(delays, outputs, strict=False):
        rolled.delays[mark] = state
        mark.name = mark.name or state.name
    ends = [
        _mark(LAST if index < len(delays) else EVERY, output, node, None, rolled)
        for index, output in enumerate(outputs)
    ]
    for mark, shape in zip(ends, node.shape, strict=True):
        mark.shape = shape  # of all steps, as those outside the loop take it
    return ends


def _mark(op: _Mark, value: Node, like: Node, loop: int | None, rolled: Rolled) -> Node:
    outer, here.place = here.place, Place(like.place.scope, None if loop is None else 0)
    try:
        mark = Node(op, (value,), {}, value.shape, value.dtype, like.source)
    finally:
        here.place = outer
    if loop is not None:
        mark.shape, mark.name = like.shape, like.name
        rolled.loop_of[mark] = loop
    return mark
