"""Simplify: equal nodes become one, and operations that change nothing go.

``RULES`` says for each op what may stand in its place. Each rule is a small function whose docstring gives its algebra
and its contract: an exact one gives the same bits for every value (-0.0, infinities, NaN, integers that wrap), one that
rounds says by how much it may differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tinyseq.compiler.loops import map_bodies
from tinyseq.compiler.rewriting import again, emit, standing_at, symbol
from tinyseq.graph import Graph, Leaf, Literal, Node, clone, literal, rebuild
from tinyseq.ops import elementwise as ew
from tinyseq.ops import shape as sh
from tinyseq.ops.scan import scan
from tinyseq.ops.tuples import pick


@dataclass(frozen=True)
class RewriteRule:
    """What may stand in the place of a node (None where the rule does not apply), and whether it has the same bits."""

    apply: Callable[[Node], Node | None]
    exact: bool

    def __repr__(self) -> str:
        return f"<rule {self.apply.__name__}, {'exact' if self.exact else 'rounds'}>"


def exact(apply: Callable[[Node], Node | None]) -> RewriteRule:
    """Mark a rule whose results have the same bits."""
    return RewriteRule(apply, exact=True)


def rounds(apply: Callable[[Node], Node | None]) -> RewriteRule:
    """Mark a rule whose results may differ by what its docstring says."""
    return RewriteRule(apply, exact=False)


def simplify(graph: Graph) -> Graph:
    """Apply the rules and merge equal nodes, in the graph and in the bodies of its scans."""
    return map_bodies(graph, _simplify)


def _simplify(graph: Graph) -> Graph:
    seen: dict[Any, Node] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node:
        if isinstance(node, _GIVEN):
            return node
        simpler = simplest(clone(node, inputs))
        key = _key(simpler)
        if key is None:
            return simpler
        return seen.setdefault(key, simpler)

    return Graph(rebuild(graph.outputs, rule), graph.inputs)


def simplest(node: Node) -> Node:
    """Return what is left of a node when no rule for its op applies any more."""
    for rule in RULES.get(node.op, ()):
        simpler = rule.apply(node)
        if simpler is not None:
            return simplest(simpler)
    return node


# -- equal nodes -------------------------------------------------------------------------------------------------------


_GIVEN: Final = (Leaf, Literal)


def _key(node: Node) -> Any:
    """What makes two nodes compute the same; None where that cannot be told."""
    if isinstance(node, _GIVEN) or node.op in (scan, again):
        return None
    inputs = tuple([_frozen(n.attrs["value"]) if isinstance(n, Literal) else n.serial for n in node.inputs])
    return node.op.name, inputs, tuple([(k, _frozen(v)) for k, v in sorted(node.attrs.items())])


def _frozen(value: Any) -> Any:
    """A value as a part of a key. Numbers by their text: 0.0 and -0.0, 1 and True are equal, and yet not the same."""
    if isinstance(value, _NUMBERS):
        return repr(value)
    if isinstance(value, _SEVERAL):
        return tuple([_frozen(part) for part in value])
    if isinstance(value, slice):
        return "slice", _frozen(value.start), _frozen(value.stop), _frozen(value.step)
    return value.str if isinstance(value, np.dtype) else value


_NUMBERS: Final = (bool, int, float)
_SEVERAL: Final = (tuple, list)


# -- arithmetic --------------------------------------------------------------------------------------------------------


def _number(node: Node) -> float | None:
    return node.attrs["value"] if isinstance(node, Literal) else None


def _fits(x: Node, node: Node) -> bool:
    return x.shape == node.shape and x.dtype == node.dtype and not isinstance(x, Literal)


def _sides(node: Node) -> tuple[tuple[Node, Node], tuple[Node, Node]]:
    a, b = node.inputs
    return (a, b), (b, a)


def _is_zero(node: Node, dtype: np.dtype[Any], negative: bool) -> bool:
    """Whether a number is zero, and of that sign where a dtype tells the signs apart."""
    value = _number(node)
    return value is not None and value == 0 and (dtype.kind != "f" or str(value).startswith("-") == negative)


@exact
def plus_nothing(node: Node) -> Node | None:
    """x + (-0.0) = x, and of integers x + 0 = x; not x + 0.0, which is 0.0 for x = -0.0. Exact."""
    for x, other in _sides(node):
        nothing = _is_zero(other, node.dtype, negative=True)
        if (nothing or (other.op is sh.zeros_like and node.dtype.kind != "f")) and _fits(x, node):
            return x
    return None


@rounds
def sum_of_parts(node: Node) -> Node | None:
    """[a, 0] + [0, b] = [a, b], as the gradients of slices add up. Rounds: -0.0 stays, which 0.0 added makes 0.0."""
    parts = _placed(node)
    if parts is None:
        return None
    parts.sort(key=lambda part: part[:3])
    axis, position = parts[0][0], 0
    for other, start, stop, _ in parts:
        if other != axis or start != position:
            return None
        position = stop
    return _concatenated(node, [x for *_, x in parts], axis) if position == node.shape[axis] else None


def _placed(node: Node) -> list[tuple[int, int, int, Node]] | None:
    """The terms of a sum as (axis, start, stop, part) where each is a part among zeros."""
    parts, stack = [], list(node.inputs)
    while stack:
        x = stack.pop()
        if x.op is ew.add and x.shape == node.shape:
            stack.extend(x.inputs)
            continue
        place = lane(x) if x.op is sh.unslice else None
        if place is None:
            return None
        parts.append((*place, x.inputs[0]))
    return parts


def _concatenated(like: Node, parts: list[Node], axis: int) -> Node:
    with standing_at(like):
        return sh.concat([symbol(x) for x in parts], axis).node  # type: ignore[no-any-return]


@exact
def minus_nothing(node: Node) -> Node | None:
    """x - 0.0 = x, of -0.0 too; not x - (-0.0), which is 0.0 for x = -0.0. Exact."""
    x, other = node.inputs
    return x if _is_zero(other, node.dtype, negative=False) and _fits(x, node) else None


@exact
def times_one(node: Node) -> Node | None:
    """x * 1 = x. Exact."""
    return next((x for x, other in _sides(node) if _number(other) == 1 and _fits(x, node)), None)


@rounds
def scaled_twice(node: Node) -> Node | None:
    """(x a) b = x (a b), of floats. Rounds once instead of twice; by powers of two that is the same,
    where nothing falls below the smallest ordinary number.

    Only where a and b are both at least 1 in size, or both at most 1, and a b is an ordinary number: else x a might
    overflow, or vanish, where x (a b) does not.
    """
    for x, other in _sides(node) if node.dtype.kind == "f" else ():
        b = _number(other)
        if b is None or x.op is not ew.mul or x.dtype != node.dtype:
            continue
        for y, inner in _sides(x):
            a = _number(inner)
            if a is not None and not isinstance(y, Literal) and _alike(a, b, node.dtype):
                return emit(node, ew.mul, y, literal(float(a) * float(b)))
    return None


def _alike(a: float, b: float, dtype: np.dtype[Any]) -> bool:
    limits = np.finfo(dtype)
    one_way = (abs(a) >= 1) == (abs(b) >= 1) or 1 in (abs(a), abs(b))
    return one_way and bool(limits.tiny <= abs(float(a) * float(b)) <= limits.max)


@exact
def negated_twice(node: Node) -> Node | None:
    """-(-x) = x, of integers that wrap too. Exact."""
    return node.inputs[0].inputs[0] if node.inputs[0].op is ew.neg else None


@exact
def either_way(node: Node) -> Node | None:
    """Where c, x, else x = x. Exact."""
    _, a, b = node.inputs
    return a if a is b and _fits(a, node) else None


# -- structure ---------------------------------------------------------------------------------------------------------


@exact
def unchanged(node: Node) -> Node | None:
    """The input of what gives it back: a cast to its own dtype, a reshape to its own shape, ... Exact."""
    return node.inputs[0] if _fits(node.inputs[0], node) else None


@exact
def reshaped_twice(node: Node) -> Node | None:
    """A reshape of a reshape is one. Exact."""
    inner = node.inputs[0]
    return emit(node, lambda x: sh.reshape(x, node.shape), inner.inputs[0]) if inner.op is sh.reshape else None


@exact
def in_order(node: Node) -> Node | None:
    """A transpose that leaves the axes in order is its input. Exact."""
    axes = node.attrs["axes"]
    return node.inputs[0] if axes == tuple(range(len(axes))) else None


@exact
def transposed_twice(node: Node) -> Node | None:
    """A transpose of a transpose is one. Exact."""
    inner = node.inputs[0]
    if inner.op is not sh.transpose:
        return None
    axes = tuple(inner.attrs["axes"][axis] for axis in node.attrs["axes"])
    with standing_at(node):
        return sh.transpose(symbol(inner.inputs[0]), *axes).node  # type: ignore[no-any-return]


@exact
def whole_slice(node: Node) -> Node | None:
    """x[:] = x. Exact."""
    key, shape = node.attrs["key"], node.inputs[0].shape
    whole = len(key) <= len(shape) and all(
        isinstance(part, slice) and part.indices(extent) == (0, extent, 1)
        for part, extent in zip(key, shape, strict=False)
    )
    return node.inputs[0] if whole else None


@exact
def slice_of_joined(node: Node) -> Node | None:
    """[a, b][:len(a)] = a, where the parts have one dtype. Exact."""
    joined = node.inputs[0]
    place = lane(node) if joined.op is sh.concat else None
    if place is None or place[0] != joined.attrs["axis"]:
        return None
    start = 0
    for part in joined.inputs:
        stop = start + part.shape[place[0]]
        if (start, stop) == place[1:]:
            return part if part.dtype == node.dtype else None
        start = stop
    return None


@exact
def one_part(node: Node) -> Node | None:
    """One part of what was split or unstacked is a slice. Exact."""
    whole, index = node.inputs[0], node.attrs["index"]
    if whole.op not in (sh.split, sh.unstack):
        return None
    axis, key = whole.attrs["axis"], index
    if whole.op is sh.split:
        start = sum(whole.attrs["sizes"][:index])
        key = slice(start, start + whole.attrs["sizes"][index])
    return emit(node, sh.slice_, whole.inputs[0], key=(*(slice(None),) * axis, key))


@exact
def joined_alone(node: Node) -> Node | None:
    """[a] = a. Exact."""
    return node.inputs[0] if len(node.inputs) == 1 else None


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


#: What may stand in the place of a node, by its op; the first rule that applies is taken.
RULES: Final[dict[Any, tuple[RewriteRule, ...]]] = {
    ew.identity: (unchanged,),
    ew.add: (plus_nothing, sum_of_parts),
    ew.sub: (minus_nothing,),
    ew.mul: (times_one, scaled_twice),
    ew.neg: (negated_twice,),
    ew.where: (either_way,),
    ew.cast: (unchanged,),
    sh.reshape: (unchanged, reshaped_twice),
    sh.transpose: (in_order, transposed_twice),
    sh.broadcast_to: (unchanged,),
    sh.sum_to: (unchanged,),
    sh.slice_: (whole_slice, slice_of_joined),
    sh.concat: (joined_alone,),
    pick: (one_part,),
}
