"""Hoist: what a scan's body computes from constants alone is computed once, outside (loop-invariant code motion).

Exact: the same op on the same values.
"""

from __future__ import annotations

from tinyseq.compiler.loops import OpenLoop, map_loops
from tinyseq.compiler.rewriting import fresh_leaf
from tinyseq.graph import Graph, Literal, Node, rebuild


def hoist(graph: Graph) -> Graph:
    """Move loop-invariant nodes of every scan out of it."""
    return map_loops(graph, _hoist)


def _hoist(loop: OpenLoop, used: set[int]) -> list[Node | None]:
    varying = loop.depends([*loop.states, *loop.xs])
    nodes = loop.nodes()
    invariant = [n for n in nodes if n not in varying and n.inputs]
    # Only the last ones of each chain cross the border; what they are made of goes with them.
    crossing = [
        n
        for n in invariant
        if any(n in user.inputs for user in nodes if user in varying) or n in loop.nexts or n in loop.ys
    ]
    crossing = [n for n in crossing if not isinstance(n.dtype, tuple)]
    if crossing:
        outside: dict[Node, Node] = dict(zip(loop.constants, loop.values, strict=True))
        moved = rebuild(crossing, lambda node, inputs: node if isinstance(node, Literal) else None, outside)
        inner: dict[Node, Node] = {}
        for node, value in zip(crossing, moved, strict=True):
            leaf = fresh_leaf(node)
            loop.constants.append(leaf)
            loop.values.append(value)
            inner[node] = leaf
        loop.replace(inner)
    return list(loop.close())
