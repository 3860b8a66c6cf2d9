"""Expand: bring gates to one form, so that those that differ only in squashing can share a kernel.

sigmoid(x) becomes 0.5 tanh(0.5 x) + 0.5 (the eager kernel's own form), products with ``concat`` become sums of products
with the parts, and factors move through sums and products into the weights. Sums are put in order: products first, then
vectors (biases), then the rest, so that what all gates have in common is added up alike.

The rounding contract: sums and products of the same terms in another order. They are of one dtype, for a sum in a
smaller one would lose digits; and a factor that moves is at most 1 in size and no smaller than 1/1024, for another one
might make infinities, or zeros, of terms whose sum is neither.
"""

from __future__ import annotations

from collections.abc import Callable

from tinyseq.compiler.loops import map_bodies
from tinyseq.compiler.passes.simplify import simplify
from tinyseq.compiler.rewriting import emit, standing_at, symbol
from tinyseq.graph import Graph, Leaf, Literal, Node, literal, rebuild
from tinyseq.ops import elementwise as ew
from tinyseq.ops import linalg
from tinyseq.ops import shape as sh


def expand(graph: Graph) -> Graph:
    """Rewrite the bodies of scans, and the graph itself, into the common form."""
    for change in (_squash_and_split, _order_sums, _move_factors):
        graph = simplify(map_bodies(graph, change))
    return graph


def _squash_and_split(graph: Graph) -> Graph:
    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is ew.sigmoid:
            return emit(node, lambda x: ew.tanh(x * 0.5) * 0.5 + 0.5, *inputs)
        if node.op is linalg.matmul and inputs[0].op is sh.concat and len(inputs[1].shape) == 2:
            joined, weight = inputs
            alike = all(x.dtype == node.dtype for x in (weight, *joined.inputs))
            if alike and joined.attrs["axis"] == len(joined.shape) - 1:
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


def _order_sums(graph: Graph) -> Graph:
    users = graph.consumers()
    outputs = set(graph.outputs)

    def inner(node: Node) -> bool:
        """Whether a sum is but a part of another sum."""
        after = users.get(node, ())
        return len(after) == 1 and after[0].op is ew.add and after[0].shape == node.shape and node not in outputs

    def terms(node: Node) -> list[Node]:
        factors, stack = [], [node]
        while stack:
            x = stack.pop()
            if x.op is ew.add and (x is node or (inner(x) and x.shape == node.shape)):
                stack.extend(reversed(x.inputs))
            else:
                factors.append(x)
        return factors

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is not ew.add or inner(node) or any(isinstance(x, Literal) for x in node.inputs):
            return None
        old = terms(node)
        ordered = sorted(old, key=_rank)
        if ordered == old or len({x.dtype for x in old}) > 1:
            return None
        total = new[ordered[0]]
        for x in ordered[1:]:
            total = emit(node, ew.add, total, new[x])
        return total if total.shape == node.shape else None

    new: dict[Node, Node] = {}
    return Graph(rebuild(graph.outputs, rule, new), graph.inputs)


def _rank(term: Node) -> int:
    return 0 if term.op is linalg.matmul else 1 if len(term.shape) == 1 else 2


def _move_factors(graph: Graph) -> Graph:
    while (moved := _move_factors_once(graph)).outputs != graph.outputs:
        graph = moved
    return graph


def _moves(factor: Node) -> bool:
    """Whether a factor is harmless wherever it stands (see the contract above)."""
    return bool(2**-10 <= abs(factor.attrs["value"]) <= 1)


def _move_factors_once(graph: Graph) -> Graph:
    users, outputs = graph.consumers(), set(graph.outputs)

    def may_scale(node: Node) -> bool:
        """Whether nothing else reads a value, and its operands have its dtype."""
        alone = len(users.get(node, ())) <= 1 and node not in outputs
        return alone and all(x.dtype == node.dtype for x in node.inputs)

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is ew.mul and node.dtype.kind == "f" and node.dtype.itemsize > 2:
            for x, old, other in ((inputs[0], node.inputs[0], inputs[1]), (inputs[1], node.inputs[1], inputs[0])):
                if isinstance(other, Literal) and x is old and x.dtype == node.dtype and _moves(other):
                    return _scaled(x, other.attrs["value"], may_scale)
        return None

    return Graph(rebuild(graph.outputs, rule), graph.inputs)


def _scaled(root: Node, factor: float, may_scale: Callable[[Node], bool]) -> Node | None:
    """Return factor * root with the factor moved to where it costs nothing, through sums to their terms; or None."""
    if not may_scale(root):
        return None
    if not _is_sum(root):
        return _scaled_weight(root, factor)
    new: dict[Node, Node] = {}
    # A term of a sum, and the sum; or, after its terms, None and the sum.
    todo: list[tuple[Node | None, Node]] = [(root, root)]
    while todo:
        node, total = todo.pop()
        if node is None:
            new[total] = emit(total, ew.add, *(new[x] for x in total.inputs))
        elif may_scale(node) and _is_sum(node):
            todo += [(None, node), *((x, node) for x in reversed(node.inputs))]
        else:
            moved = _scaled_weight(node, factor) if may_scale(node) else None
            new[node] = moved or emit(total, ew.mul, node, literal(factor))
    return new[root]


def _is_sum(node: Node) -> bool:
    return node.op is ew.add and not any(isinstance(x, Literal) for x in node.inputs)


def _scaled_weight(node: Node, factor: float) -> Node | None:
    """Return factor * node with the factor moved into a weight; None where it has none."""
    if node.op is linalg.matmul and len(node.inputs[1].shape) == 2:
        left, right = node.inputs
        return emit(node, linalg.matmul, left, emit(node, ew.mul, right, literal(factor)))
    if node.op is ew.mul:
        for weight, other in (node.inputs, node.inputs[::-1]):  # a vector of weights, one a unit
            if isinstance(weight, Leaf) and len(weight.shape) == 1 < len(node.shape):
                return emit(node, ew.mul, emit(node, ew.mul, weight, literal(factor)), other)
    return None
