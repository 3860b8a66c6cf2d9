"""Tile, gradient checkpointing: a scan becomes a row of shorter ones, whose values the backward pass computes again.

Kept for the gradient are only the states between tiles, and the values of the one tile that is being differentiated:
with tiles of √T steps, memory for intermediate values grows as √T, for one more forward pass (Chen et al. 2016,
"Training deep nets with sublinear memory cost"). Tiles are cut before anything is hoisted, so that hoisted buffers are
a tile's.
"""

from __future__ import annotations

import math
from typing import Any

from tinyseq.compiler.rewriting import standing_at, symbol
from tinyseq.graph import Graph, Node, rebuild
from tinyseq.ops import shape as sh
from tinyseq.ops.elementwise import stop_gradient
from tinyseq.ops.scan import ScanParts, scan
from tinyseq.ops.tuples import pick


def tile(graph: Graph, steps: int | None = None) -> Graph:
    """Cut every scan of a graph into tiles of ``steps`` time steps, by default about √T."""
    outputs_of: dict[Node, list[Node]] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is scan:
            length = _tile_length(node, steps)
            if length < node.attrs["length"]:
                outputs_of[node] = _tiled(node, inputs, length)
            return node if node in outputs_of else None
        if node.op is pick and node.inputs[0] in outputs_of:
            return outputs_of[node.inputs[0]][node.attrs["index"]]
        return None

    return Graph(rebuild(graph.outputs, rule), graph.inputs)


def _tile_length(node: Node, steps: int | None) -> int:
    """A divisor of T near the wanted length, so that tiles share buffers, and a multiple of the truncation."""
    total, unit = node.attrs["length"], node.attrs["cut"] or 1
    wanted = steps or math.isqrt(total)
    length = max(unit, wanted - wanted % unit)
    near = [n for n in range(max(unit, length // 2), min(total, 2 * length) + 1) if total % n == 0 and n % unit == 0]
    return min(near, key=lambda n: abs(n - length)) if near else length


def _tiled(node: Node, inputs: tuple[Node, ...], length: int) -> list[Node]:
    attrs = node.attrs
    given, carries, total = ScanParts.of(attrs, inputs), attrs["carries"], attrs["length"]
    states: list[Any] = [symbol(x) for x in given.inits]
    constants = [symbol(x) for x in given.values]
    starts = list(range(0, total, length))
    if attrs["reverse"]:
        # Tiles begin where the loop does, at the end, so that truncation counts from there.
        starts = [max(total - (k + 1) * length, 0) for k in range(len(starts))]
    parts: list[list[Any]] = []
    with standing_at(node):
        stop = total
        for count, start in enumerate(starts):
            end = stop if attrs["reverse"] else min(start + length, total)
            stop = start
            if count and attrs["cut"]:
                states = [stop_gradient(s) for s in states]
            xs = [sh.slice_(symbol(x), (slice(start, end),)) for x in given.sequences]
            changed = {**attrs, "length": end - start, "recompute": True}
            outs = scan(*states, *xs, *constants, **changed)
            states, ys = list(outs[:carries]), list(outs[carries:])
            parts.append(ys)
        if attrs["reverse"]:
            parts.reverse()
        stacked = [sh.concat(list(ys), 0) for ys in zip(*parts, strict=True)]
    return [x.node for x in (*states, *stacked)]
