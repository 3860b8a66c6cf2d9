"""Tabulate: in a loop, ``E[i] @ W`` becomes a row of the table ``E @ W``, where that is no more work for all steps.

Adds up the same terms, maybe in another order. It is for loops that choose what they look up: what is known before them
is multiplied for all steps at once as it is.
"""

from __future__ import annotations

import math
from typing import Final

from tinyseq.compiler.loops import OpenLoop, map_loops
from tinyseq.compiler.rewriting import emit
from tinyseq.graph import Graph, Node
from tinyseq.ops.linalg import matmul
from tinyseq.ops.shape import ARRAY, index_, take

#: Rows up to which a product takes as long as with one: it waits for the weights.
_FEW: Final = 4


def tabulate(graph: Graph) -> Graph:
    """Look up products in the place of what is multiplied; ``hoist`` then takes the product of the table out."""
    return map_loops(graph, _tabulate)


def _tabulate(loop: OpenLoop, used: set[int]) -> list[Node | None]:
    varying = loop.depends([*loop.states, *loop.xs])
    tables: dict[Node, Node] = {}
    for node in loop.nodes():
        if node.op is not matmul or node.inputs[0].op is not index_ or node.inputs[0].attrs["key"] != (ARRAY,):
            continue
        (table, rows), right = node.inputs[0].inputs, node.inputs[1]
        if len(table.shape) != 2 or len(right.shape) != 2 or not varying.isdisjoint((table, right)):
            continue
        if table.shape[0] <= loop.length * max(math.prod(rows.shape), _FEW):
            product = emit(node, matmul, table, right)
            tables[node] = emit(node, take, product, rows)
    loop.replace(tables)
    return list(loop.close())
