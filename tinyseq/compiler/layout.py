"""Layout: in which order the axes of a value lie in memory.

A loop that multiplies rows (batch, features) by weights keeps its values with the features first: then a gate of a
wide product is one stretch of memory, and BLAS takes W^T h^T, whose long side comes first, 10-20 % faster than h W
(OpenBLAS 0.3.31, batches of 32 and 64). Stacks of such values over time lie (features, time, batch) where a product
contracts them, so that time and batch are one axis to it, and (time, features, batch) where they are only read again
step by step. Outside of loops a value lies as what it is computed from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyseq.autodiff import pick
from tinyseq.compiler.scheduling import VIEWS
from tinyseq.graph import Graph, Node
from tinyseq.ops.elementwise import Elementwise
from tinyseq.ops.linalg import einsum, matmul
from tinyseq.ops.scan import scan
from tinyseq.ops.shape import transpose

Order = tuple[int, ...]

#: Of a value in a loop, and of its stack over time: contracted later, or only read.
COLUMNS, CONTRACTED, STACKED = (1, 0), (2, 0, 1), (0, 2, 1)


class Layout:
    """What a graph's loops ask of the values that go into and come out of them."""

    def __init__(self, graph: Graph) -> None:
        self.users = graph.consumers()
        self.columns = {node for node in graph.nodes if node.op is scan and _multiplies_rows(node)}
        self.wanted: dict[Node, Order] = {}
        for node in self.columns:
            carries, sequences = node.attrs["carries"], node.attrs["sequences"]
            for x in node.inputs[carries : carries + sequences]:
                if len(x.shape) == 3:
                    self._want(x, CONTRACTED)

    def _want(self, node: Node, order: Order) -> None:
        asked = [(node, order)]
        while asked:
            node, order = asked.pop()
            if node in self.wanted or not node.inputs:
                continue
            self.wanted[node] = order
            if node.op is transpose:
                asked.append((node.inputs[0], tuple(node.attrs["axes"][axis] for axis in order)))
            elif isinstance(node.op, Elementwise):
                asked += [(parent, order) for parent in node.inputs if parent.shape == node.shape]

    def stack(self, loop: Node, indices: Sequence[int]) -> Order:
        """Return the order for the stack of a loop's value, known to the outside by the outputs ``indices``."""
        if loop not in self.columns:
            return ()
        seen = [user for user in self.users[loop] if user.op is pick and user.attrs["index"] in indices]
        while seen:
            node = seen.pop()
            if node.op in (matmul, einsum):
                return CONTRACTED
            if node.op is pick or node.op in VIEWS:
                seen += self.users[node]
        return STACKED


def _multiplies_rows(loop: Node) -> bool:
    """Whether a loop's values are rows, several of them, that are multiplied by matrices from outside."""
    body: Graph = loop.attrs["body"]
    steady = set(body.inputs[loop.attrs["carries"] + loop.attrs["sequences"] :])
    products = [node for node in body.nodes if node.op is matmul and node.inputs[1] in steady]
    flat = all(len(node.shape) <= 2 for node in body.nodes if not isinstance(node.dtype, tuple))
    return flat and any(node.shape[0] > 1 for node in products if len(node.shape) == 2)


def order_in_memory(array: Any) -> Order:
    """Return an array's axes by stride, the longest first."""
    return tuple(int(axis) for axis in np.argsort([-abs(stride) for stride in array.strides], kind="stable"))
