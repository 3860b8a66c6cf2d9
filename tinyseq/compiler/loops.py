"""A scan taken apart, for passes that change what goes in and out of its body."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinyseq.compiler.rewriting import standing_at, symbol
from tinyseq.graph import Graph, Leaf, Literal, Node, reach, rebuild, remake
from tinyseq.ops.scan import ScanParts, scan
from tinyseq.ops.tuples import pick
from tinyseq.tracing import AbstractTensor


@dataclass
class OpenLoop:
    """The parts of a scan, as lists to change; ``close`` makes a scan of them again."""

    like: Node
    states: list[Leaf]
    inits: list[Node]
    nexts: list[Node]
    xs: list[Leaf]
    sequences: list[Node]
    constants: list[Leaf]
    values: list[Node]
    ys: list[Node]
    length: int
    reverse: bool
    cut: int | None
    #: Whether its values are computed again for the backward pass, instead of being kept (see passes/tile.py).
    recompute: bool = False

    @staticmethod
    def open(node: Node, inputs: tuple[Node, ...]) -> OpenLoop:
        parts, attrs = ScanParts.of(node.attrs, inputs), node.attrs
        return OpenLoop(
            node,
            list(parts.states),
            list(parts.inits),
            list(parts.nexts),
            list(parts.xs),
            list(parts.sequences),
            list(parts.constants),
            list(parts.values),
            list(parts.ys),
            attrs["length"],
            attrs["reverse"],
            attrs["cut"],
            attrs.get("recompute", False),
        )

    def close(self) -> list[Node]:
        """Make a scan of the parts; return a node for each of its outputs."""
        body = Graph([*self.nexts, *self.ys], [*self.states, *self.xs, *self.constants])
        with standing_at(self.like):
            outs = scan(
                *(symbol_of(node) for node in (*self.inits, *self.sequences, *self.values)),
                body=body,
                carries=len(self.states),
                sequences=len(self.xs),
                length=self.length,
                reverse=self.reverse,
                cut=self.cut,
                **({"recompute": True} if self.recompute else {}),
            )
        return [out.node for out in outs]

    def nodes(self) -> list[Node]:
        """Return the body's nodes in topological order."""
        return reach([*self.nexts, *self.ys])

    def depends(self, on: list[Leaf]) -> set[Node]:
        """Return the body's nodes that depend on some of its inputs."""
        dependent: set[Node] = set(on)
        for node in self.nodes():
            if not dependent.isdisjoint(node.inputs):
                dependent.add(node)
        return dependent

    def replace(self, mapping: dict[Node, Node]) -> None:
        """Replace nodes of the body by others, wherever they are used."""
        new = rebuild([*self.nexts, *self.ys], lambda node, inputs: None, dict(mapping))
        self.nexts, self.ys = new[: len(self.nexts)], new[len(self.nexts) :]

    def stack(self, node: Node) -> int:
        """Make a body node an output of every step; return its place among ``ys``."""
        if node not in self.ys:
            self.ys.append(node)
        return self.ys.index(node)


def symbol_of(node: Node) -> Any:
    """A node as an input of a scan, where a Python scalar would have no dtype."""
    return AbstractTensor(node) if not isinstance(node, Literal) else symbol(node)


#: (the loop, which outputs are used) -> a node for each old output, None for those unused.
LoopPass = Callable[[OpenLoop, set[int]], list[Node | None]]


def map_loops(graph: Graph, change: LoopPass) -> Graph:
    """Apply a change to every scan of a graph, scans within bodies first."""
    used: dict[Node, set[int]] = {}
    for node in graph.nodes:
        if node.op is pick:
            used.setdefault(node.inputs[0], set()).add(node.attrs["index"])
    outputs_of: dict[Node, list[Node | None]] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is scan:
            body: Graph = node.attrs["body"]
            if any(inner.op is scan for inner in body.nodes):
                body = map_loops(body, change)
            fresh = remake(node, inputs, {**node.attrs, "body": body})
            outputs_of[node] = change(OpenLoop.open(fresh, inputs), used.get(node, set()))
            return fresh
        if node.op is pick and node.inputs[0] in outputs_of:
            return outputs_of[node.inputs[0]][node.attrs["index"]]
        return None

    return Graph(rebuild(graph.outputs, rule), graph.inputs)


def map_bodies(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """Apply a change to a graph, and to the bodies of its scans, innermost first."""

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is not scan:
            return None
        return remake(node, inputs, {**node.attrs, "body": map_bodies(node.attrs["body"], change)})

    return change(Graph(rebuild(graph.outputs, rule), graph.inputs))
