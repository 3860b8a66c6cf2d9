"""Simplify: equal nodes become one, literals are folded, and operations that change nothing go.

The rounding contract: only identities that are exact in floating point (x * 1, x + 0, reshapes, double transposes) and
sums of disjoint parts (0 + x is x).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyseq.compiler.loops import map_bodies
from tinyseq.compiler.rewriting import again, emit, standing_at, symbol
from tinyseq.graph import Graph, Leaf, Literal, Node, clone, literal, rebuild
from tinyseq.ops import elementwise as ew
from tinyseq.ops import shape as sh
from tinyseq.ops.scan import scan
from tinyseq.ops.tuples import pick


def simplify(graph: Graph) -> Graph:
    """Apply the identities and merge equal nodes, in the graph and in the bodies of its scans."""
    return map_bodies(graph, _simplify)


def _simplify(graph: Graph) -> Graph:
    seen: dict[Any, Node] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node:
        if isinstance(node, Leaf | Literal):
            return node
        simpler = _identity(clone(node, inputs))
        key = _key(simpler)
        if key is None:
            return simpler
        return seen.setdefault(key, simpler)

    return Graph(rebuild(graph.outputs, rule), graph.inputs)


def _key(node: Node) -> Any:
    """What makes two nodes compute the same; None where that cannot be told."""
    if isinstance(node, Leaf | Literal) or node.op in (scan, again):
        return None
    # By its text: 0.0 and -0.0 are equal, and yet not the same; NaN is not even equal to itself.
    inputs = tuple(repr(n.attrs["value"]) if isinstance(n, Literal) else n.serial for n in node.inputs)
    return node.op.name, inputs, tuple((k, _frozen(v)) for k, v in sorted(node.attrs.items()))


def _frozen(value: Any) -> Any:
    if isinstance(value, slice):
        return "slice", value.start, value.stop, value.step
    if isinstance(value, tuple | list):
        return tuple(_frozen(part) for part in value)
    return str(value) if isinstance(value, np.dtype) else value


def _value(node: Node) -> float | None:
    return float(node.attrs["value"]) if isinstance(node, Literal) else None


def _fits(x: Node, node: Node) -> bool:
    return x.shape == node.shape and x.dtype == node.dtype and not isinstance(x, Literal)


def _identity(node: Node) -> Node:
    """Return a simpler node that computes the same, or the node itself."""
    op, inputs = node.op, node.inputs
    if op is ew.identity:
        return inputs[0]
    if op is ew.add:
        for x, other in (inputs, inputs[::-1]):
            if (_value(other) == 0.0 or other.op is sh.zeros_like) and _fits(x, node):
                return x
        joined = _joined_parts(node)
        if joined is not None:
            return joined
    if op is ew.sub and _value(inputs[1]) == 0.0 and _fits(inputs[0], node):
        return inputs[0]
    if op is ew.mul:
        for x, other in (inputs, inputs[::-1]):
            if _value(other) == 1.0 and _fits(x, node):
                return x
        folded = _scaled_twice(node)
        if folded is not None:
            return folded
    if op is ew.neg and inputs[0].op is ew.neg:
        return inputs[0].inputs[0]
    if op is ew.where and inputs[1] is inputs[2] and _fits(inputs[1], node):
        return inputs[1]
    if op is ew.cast and inputs[0].dtype == node.dtype:
        return inputs[0]
    if op is sh.reshape:
        if inputs[0].shape == node.shape:
            return inputs[0]
        if inputs[0].op is sh.reshape:
            return emit(node, lambda x: sh.reshape(x, node.shape), inputs[0].inputs[0])
    if op is sh.transpose:
        axes = node.attrs["axes"]
        if axes == tuple(range(len(axes))):
            return inputs[0]
        if inputs[0].op is sh.transpose:
            inner = inputs[0].attrs["axes"]
            return _identity(_transposed(node, inputs[0].inputs[0], tuple(inner[i] for i in axes)))
    if op in (sh.broadcast_to, sh.sum_to) and inputs[0].shape == node.shape:
        return inputs[0]
    if op is sh.slice_ and _is_whole(node.attrs["key"], inputs[0].shape):
        return inputs[0]
    if op is sh.slice_ and inputs[0].op is sh.concat:
        return _slice_of_concat(node)
    if op is pick and inputs[0].op in (sh.split, sh.unstack):
        return _part(node)
    if op is sh.concat and len(inputs) == 1:
        return inputs[0]
    return node


def _transposed(like: Node, x: Node, axes: tuple[int, ...]) -> Node:
    with standing_at(like):
        return sh.transpose(symbol(x), *axes).node  # type: ignore[no-any-return]


def _scaled_twice(node: Node) -> Node | None:
    """(x * a) * b = x * (a b): powers of two are exact, and others differ by one rounding."""
    if node.dtype.kind != "f":
        return None
    for x, other in (node.inputs, node.inputs[::-1]):
        b = _value(other)
        if b is None or x.op is not ew.mul or x.dtype != node.dtype:
            continue
        for y, inner in (x.inputs, x.inputs[::-1]):
            a = _value(inner)
            if a is not None and not isinstance(y, Literal):
                return emit(node, ew.mul, y, literal(a * b))
    return None


def _part(node: Node) -> Node:
    """One part of a split is a slice."""
    whole, index = node.inputs[0], node.attrs["index"]
    axis, key = whole.attrs["axis"], index
    if whole.op is sh.split:
        start = sum(whole.attrs["sizes"][:index])
        key = slice(start, start + whole.attrs["sizes"][index])
    return emit(node, sh.slice_, whole.inputs[0], key=(*(slice(None),) * axis, key))


def _is_whole(key: Any, shape: tuple[int, ...]) -> bool:
    return len(key) <= len(shape) and all(
        isinstance(part, slice) and part.indices(extent) == (0, extent, 1)
        for part, extent in zip(key, shape, strict=False)
    )


def lane(node: Node) -> tuple[int, int, int] | None:
    """Return (axis, start, stop) of a slice or unslice that takes one range of one axis; None for any other key."""
    shape = node.inputs[0].shape if node.op is sh.slice_ else node.shape
    ranges = []
    key = node.attrs["key"]
    if len(key) > len(shape):
        return None
    for axis, part in enumerate(key):
        if not isinstance(part, slice):
            return None
        start, stop, step = part.indices(shape[axis])
        if step != 1:
            return None
        if (start, stop) != (0, shape[axis]):
            ranges.append((axis, start, stop))
    return ranges[0] if len(ranges) == 1 else None


def _slice_of_concat(node: Node) -> Node:
    joined = node.inputs[0]
    place = lane(node)
    if place is None or place[0] != joined.attrs["axis"]:
        return node
    start = 0
    for part in joined.inputs:
        stop = start + part.shape[place[0]]
        if (start, stop) == place[1:]:
            return part if part.dtype == node.dtype else node
        start = stop
    return node


def _joined_parts(node: Node) -> Node | None:
    """A sum of parts placed side by side in zeros is their concatenation."""
    parts: list[tuple[int, int, int, Node]] = []
    stack = list(node.inputs)
    while stack:
        x = stack.pop()
        if x.op is ew.add and x.shape == node.shape:
            stack.extend(x.inputs)
            continue
        place = lane(x) if x.op is sh.unslice else None
        if place is None:
            return None
        parts.append((*place, x.inputs[0]))
    parts.sort(key=lambda part: part[:3])
    axis = parts[0][0]
    position = 0
    for a, start, stop, _ in parts:
        if a != axis or start != position:
            return None
        position = stop
    if position != node.shape[axis]:
        return None
    return _concatenated(node, [x for *_, x in parts], axis)


def _concatenated(like: Node, parts: list[Node], axis: int) -> Node:
    with standing_at(like):
        return sh.concat([symbol(x) for x in parts], axis).node  # type: ignore[no-any-return]
