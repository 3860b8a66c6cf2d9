"""Accumulate, the reduction of a loop to a contraction: a state that only sums becomes one product over time and batch.

``dW += h_t^T @ dg_t`` in a loop of T small products is, written at once, [h_1; ...; h_T]^T [dg_1; ...; dg_T]: the same
sum as one large product, after the loop.

The rounding contract: the terms are summed in BLAS's order, and to zeros at the beginning nothing is added.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tinyseq.compiler.loops import OpenLoop, map_loops
from tinyseq.compiler.rewriting import standing_at, symbol
from tinyseq.graph import Graph, Leaf, Node
from tinyseq.ops import elementwise as ew
from tinyseq.ops import linalg
from tinyseq.ops import shape as sh

_LETTERS = "abcdefghijklm"


def accumulate(graph: Graph) -> Graph:
    """Take sums over time out of every scan."""
    return map_loops(graph, _accumulate)


def _accumulate(loop: OpenLoop, used: set[int]) -> list[Node | None]:
    carries, length = len(loop.states), loop.length
    nodes = loop.nodes()
    outputs = [*loop.nexts, *loop.ys]
    uses = Counter([*outputs, *(parent for node in nodes for parent in node.inputs)])
    varying = loop.depends([*loop.states, *loop.xs])
    sums: dict[
        int, list[tuple[Node, tuple[int, ...]]]
    ] = {}  # state -> (contribution, places among ys of what it needs)
    old_ys = len(loop.ys)
    for k, (leaf, after) in enumerate(zip(loop.states, loop.nexts, strict=True)):
        terms = _terms(leaf, after, uses)
        if terms is None or not all(_is_sum(term, varying) for term in terms):
            continue
        sums[k] = [(term, tuple(loop.stack(x) for x in _ingredients(term))) for term in terms]
    if not sums:
        return list(loop.close())
    kept = [k for k in range(carries) if k not in sums]
    inits, like = list(loop.inits), loop.like
    loop.states = [loop.states[k] for k in kept]
    loop.inits = [loop.inits[k] for k in kept]
    loop.nexts = [loop.nexts[k] for k in kept]
    outs = loop.close()
    results: list[Node | None] = [None] * carries + list(outs[len(kept) : len(kept) + old_ys])
    for position, k in enumerate(kept):
        results[k] = outs[position]
    with standing_at(like):
        for k, parts in sums.items():
            # A gradient's sum begins with zeros, which no one else adds: -0.0 stays what it is.
            total: Any = None if inits[k].op is sh.zeros_like else symbol(inits[k])
            for term, places in parts:
                with standing_at(term):
                    whole = _whole(term, [symbol(outs[len(kept) + j]) for j in places], length)
                    total = whole if total is None else total + whole
            results[k] = total.node
    return results


def _terms(leaf: Leaf, after: Node, uses: Mapping[Node, int]) -> list[Node] | None:
    """Return what is added to a state in each step, or None where it is not a mere sum, or read before the end."""
    terms, stack, arrived = [], [after], False
    while stack:
        node = stack.pop()
        if node is leaf:
            arrived = uses[leaf] == 1
        elif node.op is ew.add and node.shape == leaf.shape and _mentions(node, leaf):
            if uses[node] > 1:
                return None
            stack.extend(node.inputs)
        else:
            terms.append(node)
    return terms if arrived else None


def _mentions(node: Node, leaf: Leaf) -> bool:
    while node.op is ew.add:
        if leaf in node.inputs:
            return True
        node = next((x for x in node.inputs if x.op is ew.add), leaf)
    return False


def _is_sum(term: Node, varying: set[Node]) -> bool:
    if term.op is sh.sum_to:
        return True
    if term.op is linalg.matmul:
        a, b = term.inputs
        return len(a.shape) == len(b.shape) >= 2 and a in varying and b in varying
    return False


def _ingredients(term: Node) -> list[Node]:
    return [x.inputs[0] if _is_flip(x) else x for x in term.inputs]


def _is_flip(node: Node) -> bool:
    """Whether a node only exchanges its last two axes: the contraction reads its input instead."""
    if node.op is not sh.transpose:
        return False
    axes, rank = node.attrs["axes"], len(node.shape)
    return bool(axes == (*range(rank - 2), rank - 1, rank - 2))


def _whole(term: Node, stacks: list[Any], length: int) -> Any:
    """The sum over time of a term, from its stacked ingredients."""
    if term.op is sh.sum_to:
        return sh.sum_to(stacks[0], term.shape)
    a, b = term.inputs
    rank = len(a.shape)
    if rank == 2 and _is_flip(a) and not _is_flip(b):
        rows = length * a.shape[1]
        return sh.reshape(stacks[0], (rows, a.shape[0])).T @ sh.reshape(stacks[1], (rows, b.shape[1]))
    batch = _LETTERS[: rank - 2]
    left = f"t{batch}" + ("km" if _is_flip(a) else "mk")
    right = f"t{batch}" + ("nk" if _is_flip(b) else "kn")
    return linalg.einsum(f"{left},{right}->{batch}mn", *stacks)
