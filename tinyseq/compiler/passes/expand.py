"""Expand: bring gates to one form, so that those that differ only in squashing can share a kernel.

sigmoid(x) becomes 0.5 tanh(0.5 x) + 0.5 (the eager kernel's own form), products with ``concat`` become sums of products
with the parts, and factors move through sums and products into the weights. Sums are put in order: what does not change
in the loop first, then what does not depend on the state, then the rest.

The rounding contract: sums and products of the same terms in another order.
"""

from __future__ import annotations

from tinyseq.compiler.loops import map_bodies
from tinyseq.compiler.passes.simplify import simplify
from tinyseq.compiler.rewriting import emit, standing_at, symbol
from tinyseq.graph import Graph, Literal, Node, literal, rebuild
from tinyseq.ops import elementwise as ew
from tinyseq.ops import linalg
from tinyseq.ops import shape as sh


def expand(graph: Graph) -> Graph:
    """Rewrite the bodies of scans, and the graph itself, into the common form."""
    return simplify(map_bodies(simplify(map_bodies(graph, _squash_and_split)), _move_factors))


def _squash_and_split(graph: Graph) -> Graph:
    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is ew.sigmoid:
            return emit(node, lambda x: ew.tanh(x * 0.5) * 0.5 + 0.5, *inputs)
        if node.op is linalg.matmul and inputs[0].op is sh.concat and len(inputs[1].shape) == 2:
            joined, weight = inputs
            if joined.attrs["axis"] == len(joined.shape) - 1:
                return _split(node, joined.inputs, weight)
        return None

    return Graph(rebuild(graph.outputs, rule), graph.inputs)


def _split(node: Node, parts: tuple[Node, ...], weight: Node) -> Node:
    """[a, b] W = a W[:n] + b W[n:]."""
    with standing_at(node):
        total, start = None, 0
        for part in parts:
            stop = start + part.shape[-1]
            product = symbol(part) @ sh.slice_(symbol(weight), (slice(start, stop),))
            total = product if total is None else total + product
            start = stop
    return total.node  # type: ignore[union-attr,no-any-return]


def _move_factors(graph: Graph) -> Graph:
    users = graph.consumers()
    outputs = set(graph.outputs)

    def scaled(node: Node, factor: float) -> Node | None:
        """Return factor * node with the factor moved to where it costs nothing, or None."""
        if len(users.get(node, ())) > 1 or node in outputs or node.dtype.kind != "f":
            return None
        if node.op is ew.add and not any(isinstance(x, Literal) for x in node.inputs):
            sides = [scaled(x, factor) or emit(node, ew.mul, x, literal(factor)) for x in node.inputs]
            return emit(node, ew.add, *sides)
        if node.op is linalg.matmul and len(node.inputs[1].shape) == 2:
            left, right = node.inputs
            return emit(node, linalg.matmul, left, emit(node, ew.mul, right, literal(factor)))
        return None

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is ew.mul and node.dtype.kind == "f":
            for x, old, other in ((inputs[0], node.inputs[0], inputs[1]), (inputs[1], node.inputs[1], inputs[0])):
                if isinstance(other, Literal) and x is old:
                    return scaled(x, other.attrs["value"])
        return None

    return Graph(rebuild(graph.outputs, rule), graph.inputs)
