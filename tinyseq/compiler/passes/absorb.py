"""Absorb, the folding of projections back into a loop's product, where it carries them for less than the way round it.

``h @ W + a_t`` in a loop, with ``a_t = x_t @ V + b`` of all steps before it, becomes ``[h, x_t, 1] @ [W; V; b]``. On a
CPU one product with a longer left operand costs hardly more than the one that is there, while the long way costs a pass
over (time, batch, features) to store the products of all steps, one to add the bias, and one in the loop to add them
up. The planner keeps [h, x_t, 1] in one buffer, where the parts are written in place, so nothing is joined in the loop.
(On a GPU, where a step's time is latency, the loop's product is better kept short.)

The rounding contract: bias and both products are summed in BLAS's order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from tinyseq.compiler.loops import OpenLoop, map_loops
from tinyseq.compiler.rewriting import fixed, standing_at, symbol
from tinyseq.graph import Graph, Leaf, Node
from tinyseq.ops import elementwise as ew
from tinyseq.ops import linalg
from tinyseq.ops import shape as sh

#: The longest ``x`` that is taken back: a longer one costs more in the loop, at a loop's rate of FLOPs, than it saves.
LONGEST = 1024


def absorb(graph: Graph) -> Graph:
    """Take input projections and biases back into the products of every scan."""
    return map_loops(graph, _absorb)


class _Affine(NamedTuple):
    """``x @ weights + bias`` for all steps: the parts, or None for those that are not there."""

    x: Node | None
    weights: Node | None
    bias: Node | None


def _absorb(loop: OpenLoop, used: set[int]) -> list[Node | None]:
    nodes = loop.nodes()
    uses = Counter([*loop.nexts, *loop.ys, *(parent for node in nodes for parent in node.inputs)])
    outside: dict[Node, Node] = dict(zip((*loop.xs, *loop.constants), (*loop.sequences, *loop.values), strict=True))
    changed: dict[Node, Node] = {}
    for node in nodes:
        for product, added in (node.inputs, node.inputs[::-1]) if node.op is ew.add else ():
            affine = _affine(outside.get(added), added in loop.xs)
            fits = product.shape == node.shape and uses[added] == 1
            if affine and fits and _carries(product, outside, uses) and _alike(node, product, affine):
                changed[node] = _join(loop, node, product, affine, outside[product.inputs[1]])
                break
    if changed:
        loop.replace(changed)
    return list(loop.close())


def _carries(product: Node, outside: dict[Node, Node], uses: Mapping[Node, int]) -> bool:
    """Whether a node is a product of several rows, or one, by a matrix from outside that nothing else reads."""
    if product.op is not linalg.matmul or uses[product] != 1 or product.inputs[1] not in outside:
        return False
    left = product.inputs[0]
    given = isinstance(left, Leaf) or not isinstance(left.op, sh.Structural)  # so that it can be written in place
    return given and left not in outside and len(left.shape) == 2


def _alike(node: Node, product: Node, affine: _Affine) -> bool:
    """Whether all that is to be summed up is of one dtype, in which each product was computed before, and of as many
    rows: one row of x may stand beside several of the state.
    """
    parts = (*product.inputs, *(x for x in affine if x is not None))
    rows = affine.x is None or affine.x.shape[1] == product.shape[0]
    return rows and all(x.dtype == node.dtype for x in parts)


def _affine(value: Node | None, in_time: bool) -> _Affine | None:
    """Take apart what a loop is given: x @ weights + bias of all steps, one of the two, or a bias alone."""
    if value is None or isinstance(value.dtype, tuple):
        return None
    if not in_time:
        return _Affine(None, None, value) if len(value.shape) == 1 else None
    bias = None
    if value.op is ew.add:
        for product, added in (value.inputs, value.inputs[::-1]):
            if len(added.shape) == 1 and product.shape == value.shape:
                value, bias = product, added
                break
    if value.op is not linalg.matmul or len(value.shape) != 3:
        return None
    x, weights = value.inputs
    return _Affine(x, weights, bias) if len(weights.shape) == 2 and x.shape[-1] <= LONGEST else None


def _join(loop: OpenLoop, node: Node, product: Node, affine: _Affine, weights: Node) -> Node:
    left = product.inputs[0]
    rows, dtype = left.shape[0], product.dtype
    parts, matrices = [left], [weights]
    if affine.x is not None and affine.weights is not None:
        parts.append(_leaf_for(loop.xs, loop.sequences, affine.x, affine.x.shape[1:], node))
        matrices.append(affine.weights)
    if affine.bias is not None:
        with standing_at(node):
            ones: Any = sh.broadcast_to(fixed((1.0,), dtype), (rows, 1))
            row: Any = sh.reshape(symbol(affine.bias), (1, product.shape[1]))
        parts.append(_leaf_for(loop.constants, loop.values, ones.node, (rows, 1), node))
        matrices.append(row.node)
    with standing_at(product):
        joined: Any = sh.concat([symbol(matrix) for matrix in matrices], 0)
        matrix = _leaf_for(loop.constants, loop.values, joined.node, joined.shape, product)
        wide: Any = sh.concat([symbol(part) for part in parts], 1) @ symbol(matrix)
    wide.node.name = node.name
    return wide.node  # type: ignore[no-any-return]


def _leaf_for(leaves: list[Leaf], values: list[Node], value: Node, shape: tuple[int, ...], like: Node) -> Leaf:
    """Return the body's leaf for a value from outside, a new one where there is none yet."""
    if value in values:
        return leaves[values.index(value)]
    with standing_at(like):
        leaf = Leaf(shape, value.dtype, True, value.name)
    leaf.place = like.place
    leaves.append(leaf)
    values.append(value)
    return leaf
