"""Linearise: the proof, from a loop's body alone, that a carry is affine in itself: s' = A_t s + b_t.

The proof follows the carry through the body. Sums keep it affine; so do products with what does not depend on it, and a
choice that does not; what else is applied to it ends the proof, at that node. Carries that depend on each other are
looked at together. What a factor is says of which kind A_t is: a number for each row or matrix (scalar), one for each
unit (diagonal), the diagonals of a few carries that mix (block diagonal), or a matrix (dense).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyseq.compiler.loops import OpenLoop
from tinyseq.graph import Graph, Leaf, Literal, Node, reach
from tinyseq.ops import elementwise as ew
from tinyseq.ops import linalg
from tinyseq.ops import shape as sh
from tinyseq.ops.reduce import sum_
from tinyseq.ops.scan import scan

#: The kinds of A_t, each a case of those after it.
KINDS = ("identity", "scalar", "diagonal", "dense")
#: Ops that pass each element on as it is, and those that move or add up elements.
_AS_IT_IS = {ew.add, ew.sub, ew.neg, ew.stop_gradient, ew.identity}
_MOVING = {
    sh.reshape, sh.transpose, sh.broadcast_to, sh.sum_to, sh.flip, sh.concat, sh.stack, sh.slice_, sh.unslice,
    sh.pad, sh.tril, sh.triu, sum_,
}  # fmt: skip


@dataclass(frozen=True)
class Carry:
    """What is known of a carry: its name, its kind ("nonlinear" where the proof failed), and the node that ended it."""

    name: str
    kind: str
    ended_at: Node | None = None

    def __str__(self) -> str:
        if self.ended_at is not None:
            return f"{self.name}: nonlinear ({self.ended_at.where})"
        return f"{self.name}: affine ({self.kind})"


def linearise(graph: Graph) -> list[Carry]:
    """Return what is known of each carry of each loop of a graph, loops within loops included."""
    carried: list[Carry] = []
    graphs = [graph]
    while graphs:
        for node in graphs.pop().nodes:
            if node.op is scan:
                carried += carries(OpenLoop.open(node, node.inputs))
                graphs.append(node.attrs["body"])
    return carried


def carries(loop: OpenLoop) -> list[Carry]:
    """Return what is known of each carry of a loop."""
    needs = [{k for k, s in enumerate(loop.states) if s in set(reach([after]))} for after in loop.nexts]
    for _ in needs:  # the closure: what a carry depends on, in however many steps
        needs = [own.union(*(needs[k] for k in own)) for own in needs]
    return [
        _prove(loop, j, [k for k in range(len(needs)) if k == j or (j in needs[k] and k in needs[j])])
        for j in range(len(needs))
    ]


def _prove(loop: OpenLoop, j: int, together: Sequence[int]) -> Carry:
    name = loop.states[j].name or f"carry {j}"
    own = [loop.states[k] for k in together]
    worst = 0
    for k in together:
        kinds, ended = _kinds(loop.nexts[k], own)
        if ended is not None:
            return Carry(name, "nonlinear", ended)
        worst = max(worst, kinds)
    mixed = len(together) > 1 and worst < KINDS.index("dense")
    return Carry(name, f"block diagonal, {len(together)} carries" if mixed else KINDS[worst])


def _kinds(root: Node, own: list[Leaf]) -> tuple[int, Node | None]:
    """Return the kind in which a node depends on some leaves, and the first node that is not affine in them."""
    tied: dict[Node, int] = dict.fromkeys(own, 0)
    for node in reach([root]):
        if node in tied or all(x not in tied for x in node.inputs):
            continue
        kind = _step(node, tied)
        if kind is None:
            return 0, node
        tied[node] = max(kind, *(tied[x] for x in node.inputs if x in tied))
    return tied.get(root, 0), None


def _step(node: Node, tied: dict[Node, int]) -> int | None:
    """Return the kind of A of one node that reads what is tied to the carries; None where it is not affine in it."""
    places = [i for i, x in enumerate(node.inputs) if x in tied]
    if node.op in _AS_IT_IS:
        # What grows by broadcasting is no longer each element by itself.
        return 0 if all(node.inputs[i].shape == node.shape for i in places) else 3
    if node.op is ew.mul and len(places) == 1:
        return _factor(node, node.inputs[1 - places[0]], places[0])
    if node.op is ew.div and places == [0]:
        return _factor(node, node.inputs[1], 0)
    if node.op is ew.where and 0 not in places:
        return _factor(node, node.inputs[0], places[0])
    if node.op in _MOVING or (node.op in (linalg.matmul, linalg.einsum) and len(places) == 1):
        return 3
    return None


def _factor(node: Node, factor: Node, place: int) -> int:
    """Return the kind of the multiplication by a factor: one number a row or a matrix, or more."""
    if node.inputs[place].shape != node.shape:
        return 3
    if isinstance(factor, Literal):
        return 1
    rank = len(node.shape)
    aligned = ((1,) * rank + tuple(factor.shape))[-rank:]
    return 1 if set(aligned[max(1, rank - 2) :]) <= {1} else 2
