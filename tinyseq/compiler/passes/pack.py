"""Pack: equal element-wise ops on lanes that lie side by side become one op on the wide value.

Superword-level parallelism (Larsen and Amarasinghe 2000), with a lane as wide as a gate: a wide value enters, its lanes
are slices; where neighbouring lanes go through the same op with operands that are lanes of another wide value, equal
scalars, loop constants, or values that can be computed side by side, one op does for all of them. What remains
different stays a slice. Exact: each element is computed as before.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tinyseq.compiler.loops import map_bodies
from tinyseq.compiler.passes.simplify import lane
from tinyseq.compiler.rewriting import standing_at, symbol
from tinyseq.graph import Graph, Leaf, Literal, Node, reach, rebuild
from tinyseq.ops import shape as sh
from tinyseq.ops.elementwise import Elementwise

#: Where a lane starts and stops on the last axis, and the slice.
_Lane = tuple[int, int, Node]


def pack(graph: Graph) -> Graph:
    """Pack the bodies of scans, and the graph itself, until nothing more can be joined."""
    return map_bodies(graph, _pack)


def _pack(graph: Graph) -> Graph:
    while True:
        group = _find(graph)
        if group is None:
            return graph
        graph = _apply(graph, *group)


def _find(graph: Graph) -> tuple[list[Node], list[list[Node]]] | None:
    """Return neighbouring nodes that can be joined, and for each operand its lanes."""
    users = graph.consumers()
    for lanes in _lanes(graph):
        for first in range(len(lanes)):
            for signature, start in _uses(lanes[first][2], users):
                run = _run(lanes[first:], signature, start, users)
                if len(run) > 1:
                    return run, [list(column) for column in zip(*(node.inputs for node in run), strict=True)]
    return None


def _lanes(graph: Graph) -> list[list[_Lane]]:
    """Return the lanes of each wide value, from the first to the last."""
    lanes: dict[Node, list[_Lane]] = {}
    for node in graph.nodes:
        place = lane(node) if node.op is sh.slice_ else None
        if place is not None and place[0] == len(node.shape) - 1:
            lanes.setdefault(node.inputs[0], []).append((place[1], place[2], node))
    return [sorted(parts, key=lambda part: part[:2]) for parts in lanes.values()]


def _run(lanes: list[_Lane], signature: Any, start: Node, users: dict[Node, list[Node]]) -> list[Node]:
    """Return the nodes that can be joined with a use of the first lane: uses of those right beside it, in a row."""
    run, position = [start], lanes[0][1]
    for begin, end, part in lanes[1:]:
        if begin != position:
            continue
        following = next((n for s, n in _uses(part, users) if s == signature and n not in run), None)
        if following is None or not _joinable(longer := [*run, following], users) or _entwined(longer):
            break
        run, position = longer, end
    return run


def _uses(part: Node, users: dict[Node, list[Node]]) -> list[tuple[Any, Node]]:
    """Return element-wise ops that a lane goes into, with what must be the same among neighbours."""
    uses = []
    for user in users.get(part, []):
        if isinstance(user.op, Elementwise) and user.shape == part.shape:
            position = user.inputs.index(part)
            uses.append(((user.op.name, position, str(sorted(user.attrs.items()))), user))
    return uses


def _entwined(run: list[Node]) -> bool:
    """Whether one of some nodes is computed from another, so that they cannot be done at once."""
    first = min(node.serial for node in run)
    inputs = [x for node in run for x in node.inputs]
    return not set(run).isdisjoint(reach(inputs, stop=lambda node: node.serial < first))


def _joinable(run: list[Node], users: dict[Node, list[Node]]) -> bool:
    widths = [node.shape[-1] for node in run]
    return all(_joins(column, widths, users) for column in zip(*(node.inputs for node in run), strict=True))


def _joins(parts: tuple[Node, ...], widths: list[int], users: dict[Node, list[Node]]) -> bool:
    """Whether operands stand side by side already, are one scalar, can be joined outside of the loop, or written so."""
    if all(isinstance(x, Literal) for x in parts):
        return len({repr(x.attrs["value"]) for x in parts}) == 1  # 0.0 and -0.0 are two
    if [x.shape[-1:] for x in parts] != [(width,) for width in widths]:
        return False  # one number that is broadcast over a lane cannot stand beside another
    if all(isinstance(x, Leaf) and len(x.shape) == 1 for x in parts):
        return len({x.dtype for x in parts}) == 1
    if all(isinstance(x.op, Elementwise) and len(users[x]) == 1 for x in parts):
        shapes = {x.shape[:-1] for x in parts}
        return len({x.dtype for x in parts}) == len(shapes) == 1 and shapes != {()}
    if not all(x.op is sh.slice_ for x in parts) or len({x.inputs[0] for x in parts}) > 1:
        return False
    places = [lane(x) for x in parts]
    if any(place is None or place[0] != len(x.shape) - 1 for place, x in zip(places, parts, strict=True)):
        return False
    return all(a[2] == b[1] for a, b in pairwise(places))  # type: ignore[index]


def _apply(graph: Graph, run: list[Node], columns: list[list[Node]]) -> Graph:
    lanes: dict[Node, Node] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        return lanes.get(node)

    with standing_at(run[0]):
        wide = run[0].op(*(_joined(column) for column in columns), **run[0].attrs)  # type: ignore[operator]
    start = 0
    for node in run:
        with standing_at(node):
            stop = start + node.shape[-1]
            key = (slice(None),) * (len(node.shape) - 1) + (slice(start, stop),)
            lanes[node] = sh.slice_(wide, key).node
            start = stop
    known: dict[Node, Node] = dict(lanes)
    return Graph(rebuild(graph.outputs, rule, known), graph.inputs)


def _joined(parts: list[Node]) -> Any:
    if isinstance(parts[0], Literal):
        return symbol(parts[0])
    if parts[0].op is not sh.slice_:
        return sh.concat([symbol(x) for x in parts], len(parts[0].shape) - 1)
    source = symbol(parts[0].inputs[0])
    axis = len(source.shape) - 1
    start, stop = lane(parts[0])[1], lane(parts[-1])[2]  # type: ignore[index]
    return (
        source
        if (start, stop) == (0, source.shape[-1])
        else sh.slice_(source, (slice(None),) * axis + (slice(start, stop),))
    )
