"""Layout: in which order the axes of a value lie in memory.

A loop that multiplies rows (batch, features) by weights keeps its values with the features first: then a gate of a
wide product is one stretch of memory, and BLAS takes W^T h^T, whose long side comes first, 10-20 % faster than h W
(OpenBLAS 0.3.31, batches of 32 and 64). Stacks of such values over time lie (features, time, batch) where a product
contracts them, so that time and batch are one axis to it, and (time, features, batch) where they are only read again
step by step. Outside of loops a value lies as what it is computed from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyseq.compiler.scheduling import VIEWS
from tinyseq.graph import Graph, Node
from tinyseq.ops.linalg import einsum, matmul
from tinyseq.ops.scan import ScanParts, scan
from tinyseq.ops.shape import concat, transpose
from tinyseq.ops.tuples import pick

Order = tuple[int, ...]

#: Of a value in a loop, and of its stack over time: contracted later, or only read.
COLUMNS, CONTRACTED, STACKED = (1, 0), (2, 0, 1), (0, 2, 1)

#: The elements of a loop's matrices from which on BLAS gains more than it costs to write stacks in short stretches.
WORTH_TURNING = 1 << 16


class Layout:
    """What a graph's loops ask of the values that go into and come out of them: nothing, values lie as written."""

    def __init__(self, graph: Graph) -> None:
        #: The loops that keep features before rows.
        self.columns: set[Node] = set()
        #: The orders that loops want of values outside.
        self.wanted: dict[Node, Order] = {}

    def factors(self, loop: Node) -> set[Node]:
        """Return the inputs of a loop's body that are to lie well for products."""
        return set()

    def stack(self, loop: Node, indices: Sequence[int]) -> Order:
        """Return the order for the stack of a loop's value, known to the outside by the outputs ``indices``."""
        return ()


class FeaturesFirst(Layout):
    """As BLAS likes it: loops that multiply rows by large matrices keep features before rows."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.users = graph.consumers()
        self.columns = {node for node in graph.nodes if node.op is scan and _multiplies_rows(node)}
        for node in self.columns:
            for x in ScanParts.of(node.attrs, node.inputs).sequences:
                if len(x.shape) == 3:
                    self._want(x, CONTRACTED)
            factors = factors_of(node)
            for leaf, x in zip(node.attrs["body"].inputs, node.inputs, strict=True):
                if leaf in factors:
                    self._want(x, COLUMNS)

    def _want(self, node: Node, order: Order) -> None:
        asked = [(node, order)]
        while asked:
            node, order = asked.pop()
            if node in self.wanted or not node.inputs:
                continue
            self.wanted[node] = order
            if node.op is transpose:
                asked.append((node.inputs[0], tuple(node.attrs["axes"][axis] for axis in order)))
            elif node.op is matmul:
                last = len(order) - 1
                if last > 1 and len(node.inputs[0].shape) == last + 1:  # its rows are to be one axis
                    asked.append((node.inputs[0], (*(axis for axis in order if axis != last), last)))
            elif node.op is not concat:
                asked += [(parent, order) for parent in node.inputs if parent.shape == node.shape]

    def factors(self, loop: Node) -> set[Node]:
        return factors_of(loop)

    def stack(self, loop: Node, indices: Sequence[int]) -> Order:
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


def factors_of(loop: Node) -> set[Node]:
    """Return the inputs of a loop's body that are matrices from outside, by which it multiplies."""
    body: Graph = loop.attrs["body"]
    steady = ScanParts.of(loop.attrs, loop.inputs).constants
    right = {node.inputs[1] for node in body.nodes if node.op is matmul}
    return {leaf for leaf in steady if leaf in right and len(leaf.shape) == 2}


def _multiplies_rows(loop: Node) -> bool:
    """Whether a loop's values are rows, several of them, that are multiplied by matrices from outside."""
    body: Graph = loop.attrs["body"]
    factors = factors_of(loop)
    products = [node for node in body.nodes if node.op is matmul and node.inputs[1] in factors]
    flat = all(len(node.shape) <= 2 for node in body.nodes if not isinstance(node.dtype, tuple))
    several = any(node.shape[0] > 1 for node in products if len(node.shape) == 2)
    return flat and several and sum(math.prod(leaf.shape) for leaf in factors) >= WORTH_TURNING


def padded(steps: int, value: Node, order: Order) -> int:
    """Return how many steps to take memory for: one more, where features would lie a multiple of 2 KiB apart and so
    compete for the same lines of the cache.
    """
    return steps + (order == CONTRACTED and steps * value.shape[0] * value.dtype.itemsize % 2048 == 0)


def aligned(value: Node) -> int:
    """Return how many features to take memory for, so that each row begins with a line of the cache."""
    line: int = 64 // value.dtype.itemsize
    return int(-(-value.shape[-1] // line)) * line if math.prod(value.shape[:-1]) > 1 else value.shape[-1]


def order_in_memory(array: Any) -> Order:
    """Return an array's axes by stride, the longest first."""
    return tuple(int(axis) for axis in np.argsort([-abs(stride) for stride in array.strides], kind="stable"))
