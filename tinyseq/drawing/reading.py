"""Reading a graph as a person does: what flows to what, which nodes belong to one cell at one step, which are weights.

Some nodes are recorded for the machine's sake and would only stand in the reader's way. A ``pick`` is its parent's
output, a ``stop_gradient`` is a cut on the edge it sits on, and taking apart again what was just stacked (the outputs
of one layer, on their way to the next) is no operation at all. ``read`` sees through them and keeps what they say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from tinyseq.drawing.symbols import is_weight
from tinyseq.graph import INPUT, LITERAL, Graph, Node


class Link(NamedTuple):
    """Where a value comes from, past everything that is seen through.

    ``output`` is the output taken of an op with several, or (``part``) the place in a sequence.
    """

    origin: Node
    cut: bool = False
    stacked: bool = False
    output: int | None = None
    part: bool = False


@dataclass(slots=True)
class Reading:
    """A graph as it is drawn: the nodes that show, in topological order, and what each one takes.

    ``links[node]`` holds (argument, link) pairs. ``place[node]`` is the (row, step) of a node within time steps.
    """

    nodes: list[Node]
    links: dict[Node, list[tuple[int, Link]]]
    outputs: set[Node]
    place: dict[Node, tuple[int, int]] = field(default_factory=dict)
    scopes: list[str] = field(default_factory=list)  # of each row
    directions: list[int] = field(default_factory=list)
    roles: dict[Node, str] = field(default_factory=dict)  # a leaf in a step: 'x', 'init NAME' or 'value OP'
    keys: dict[Node, Hashable] = field(default_factory=dict)  # the same op at different steps has one key
    uses: dict[Node, int] = field(default_factory=dict)
    steps: list[int] = field(default_factory=list)


def read(graph: Graph, *, depth: int | None = None, collapse: bool = False) -> Reading:
    """Read a graph.

    Args:
        graph: what was recorded.
        depth: keep only so many parts of each scope.
        collapse: see through every ``stack`` of steps too, and let a scope within a cell count as the cell's own.
    """
    links = _links(graph, collapse)
    reading = Reading(_reached(graph, links), links, set(graph.outputs))
    _rows(reading, depth, collapse)
    _keys(reading)
    _roles(reading)
    return reading


def _links(graph: Graph, collapse: bool) -> dict[Node, list[tuple[int, Link]]]:
    consumed = {parent for node in graph.nodes for parent in node.inputs}
    outputs = set(graph.outputs)
    through: dict[Node, tuple[Link, ...]] = {}
    links: dict[Node, list[tuple[int, Link]]] = {}
    apart: dict[Hashable, Node] = {}
    for node in graph.nodes:
        own: list[tuple[int, Link]] = []
        for arg, parent in enumerate(node.inputs):
            seen = through.get(parent)
            if seen is None:
                own.append((arg, Link(parent)))
            else:
                own.extend((arg, link) for link in seen)
        links[node] = own
        if node not in consumed or node in outputs:
            continue
        name = node.op.name
        part = _part(node) if name in ("pick", "slice") else None
        if part is not None:
            through[node] = _taken(part, links, apart, collapse)
        elif name == "pick":
            through[node] = (Link(node.inputs[0], output=node.attrs["index"]),)
        elif name == "stop_gradient":
            through[node] = tuple(link._replace(cut=True) for _, link in own)
        elif name in ("stack", "transpose") and collapse:
            base, _, moved = _untransposed(node, 0)
            if base.op.name == "stack" and moved:
                through[node] = tuple(link._replace(stacked=True) for _, link in links[base])
    return links


def _part(node: Node) -> tuple[Node, int, int] | None:
    """Return (sequence, axis, index) where a node is a part of a sequence: taken apart, or its own step's slice."""
    parent = node.inputs[0]
    if node.op.name == "pick":
        return (parent.inputs[0], parent.attrs["axis"], node.attrs["index"]) if parent.op.name == "unstack" else None
    key = node.attrs["key"]
    return (parent, 0, key[0]) if len(key) == 1 and key[0] == node.place.step and node.place.step is not None else None


def _untransposed(node: Node, axis: int) -> tuple[Node, int, bool]:
    """Follow an axis back through transpositions: what was transposed, the axis there, and if the others kept order.

    A ``stack`` that other transpositions follow has its parts where ``axis`` says only when it is the stacked axis.
    """
    order = list(range(len(node.shape)))
    while node.op.name == "transpose":
        axes = node.attrs["axes"]
        order = [axes[i] for i in order]
        node = node.inputs[0]
    if node.op.name == "stack":
        rest = [i for i in order if i != node.attrs["axis"]]
        return node, order[axis], rest == sorted(rest)
    return node, order[axis], [i for i in order if i != order[axis]] == sorted(set(order) - {order[axis]})


def _taken(
    part: tuple[Node, int, int],
    links: dict[Node, list[tuple[int, Link]]],
    apart: dict[Hashable, Node],
    collapse: bool,
) -> tuple[Link, ...]:
    """Where one part of a sequence comes from: what was stacked there, or the sequence itself.

    Two directions take the same sequence apart, each for itself, which one bar can show: ``apart`` keeps the first.
    """
    sequence, axis, index = part
    base, at, kept = _untransposed(sequence, axis)
    if base.op.name == "stack" and kept and at == base.attrs["axis"]:
        return tuple(link._replace(stacked=True) for arg, link in links[base] if arg == index)
    whole = apart.setdefault((base, at), base if collapse and kept else sequence)
    return (Link(whole, output=index, part=True),)


def _reached(graph: Graph, links: dict[Node, list[tuple[int, Link]]]) -> list[Node]:
    stack = list(graph.outputs)
    seen = set(stack)
    for node in stack:  # the list grows while it is walked
        for _, link in links[node]:
            if link.origin not in seen:
                seen.add(link.origin)
                stack.append(link.origin)
    return [node for node in graph.nodes if node in seen]


def cut_scope(scope: str, depth: int | None) -> str:
    """Return the first ``depth`` parts of a scope."""
    return scope if depth is None else "/".join(scope.split("/")[:depth])


def _rows(reading: Reading, depth: int | None, collapse: bool) -> None:
    """Give each application of a cell a row. One scope applied twice in a step (a shared cell) has two."""
    stepped = [
        node for node in reading.nodes if node.place.step is not None and node.op is not LITERAL and not is_weight(node)
    ]
    scopes = {cut_scope(node.place.scope, depth) for node in stepped}
    owner = {scope: _outermost(scope, scopes) if collapse else scope for scope in scopes}
    rows: dict[tuple[str, int], int] = {}
    walks: dict[str, tuple[int, set[int]]] = {}  # a scope -> which application, and the steps it has been at
    now: dict[str, int] = {}
    for node in stepped:
        step = node.place.step
        assert step is not None
        top = owner[cut_scope(node.place.scope, depth)]
        nth, been = walks.setdefault(top, (0, set()))
        if now.get(top) != step and step in been and depth is None:  # back at a step it had left: applied once more
            walks[top] = nth, been = nth + 1, set()
        now[top] = step
        been.add(step)
        row = rows.setdefault((top, nth), len(rows))
        reading.place[node] = row, step
    reading.scopes = [scope for scope, _ in rows]
    reading.steps = sorted({step for _, step in reading.place.values()})
    lean = [0] * len(rows)
    for node in stepped:
        row, step = reading.place[node]
        for _, link in reading.links[node]:
            before = reading.place.get(link.origin)
            if before is not None and before[0] == row:
                lean[row] += (step > before[1]) - (step < before[1])
    reading.directions = [-1 if score < 0 else 1 for score in lean]


def _outermost(scope: str, scopes: set[str]) -> str:
    parts = scope.split("/")
    for length in range(1, len(parts)):
        top = "/".join(parts[:length])
        if top in scopes:
            return top
    return scope


def _keys(reading: Reading) -> None:
    count: dict[Hashable, int] = defaultdict(int)
    for node in reading.nodes:
        place = reading.place.get(node)
        if place is not None and node.op is not INPUT:
            base = (node.op.name, node.source)
            nth = count[place, base]
            count[place, base] += 1
            reading.keys[node] = (*base, nth)


def _roles(reading: Reading) -> None:
    """Tell a leaf x_t from an initial state: the state is where the same op, a step later, takes a carried value."""
    carried: dict[Hashable, str] = {}
    computed: dict[Hashable, str] = {}
    leaves: list[tuple[Node, Hashable, int, int]] = []
    for node in reading.nodes:
        place = reading.place.get(node)
        key = reading.keys.get(node)
        for arg, link in reading.links[node]:
            origin = link.origin
            if is_weight(origin):
                reading.uses[origin] = reading.uses.get(origin, 0) + 1
            if place is None:
                continue
            before = reading.place.get(origin)
            if before is None or origin.op is INPUT:
                if origin.op is INPUT and not is_weight(origin):
                    leaves.append((origin, key, arg, place[0]))
            elif before[0] == place[0] and before[1] != place[1]:
                carried.setdefault((place[0], key, arg), origin.name or "s")
            elif before[0] == place[0]:
                computed.setdefault((place[0], key, arg), origin.op.name)
    for leaf, key, arg, row in leaves:
        name = carried.get((row, key, arg))
        if name is not None:
            reading.roles[leaf] = f"init {name}"
        elif leaf in reading.place:
            # An eager pass records nothing before the first tracked value: what is an op elsewhere is a leaf here.
            op = computed.get((row, key, arg))
            reading.roles.setdefault(leaf, "x" if op is None else f"value {op}")
            reading.keys.setdefault(leaf, ("leaf", key, arg))
