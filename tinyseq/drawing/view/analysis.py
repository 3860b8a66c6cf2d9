"""The analysis of a graph, read as a person does: what flows to what, what is one cell at one step, what are weights.

Some nodes are recorded for the machine's sake and would only stand in the reader's way. A ``pick`` is its parent's
output, a ``stop_gradient`` is a cut on the edge it sits on, a ``within`` only refuses labels or lengths, and taking
apart again what was just stacked (the outputs of one layer, on their way to the next) is no operation at all.
``analyze`` sees through them and keeps what they say.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tinyseq.drawing.shared.labels import called, is_weight
from tinyseq.drawing.shared.rolled import EACH, EVERY, LAST, STORED, Rolled, RolledLoop
from tinyseq.graph import INPUT, LITERAL, Graph, Node


class Link(NamedTuple):
    """Where a value comes from, past everything that is seen through.

    ``output`` is the output taken of an op with several, or (``part``) the place in a sequence. In a loop a value comes
    from the step before (``delay``, under the state's ``name``), or from outside before the first (``first``); out of
    it comes the state after the ``last`` step.
    """

    origin: Node
    cut: bool = False
    stacked: bool = False
    output: int | None = None
    part: bool = False
    delay: bool = False
    first: bool = False
    last: bool = False
    name: str = ""


@dataclass(slots=True)
class Analysis:
    """The analysis of a graph: the nodes that show, in topological order, and what each one takes.

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
    loops: list[RolledLoop] = field(default_factory=list)
    loop_of_row: list[int | None] = field(default_factory=list)


def analyze(
    graph: Graph,
    *,
    depth: int | None = None,
    collapse: bool = False,
    folded: Sequence[str] = (),
    rolled: Rolled | None = None,
) -> Analysis:
    """Return the analysis of a graph.

    Args:
        graph: what was recorded.
        depth: keep only so many parts of each scope.
        collapse: see through every ``stack`` of steps and every ``reshape`` and ``transpose`` too, and let a scope
            within a cell count as the cell's own.
        folded: scopes that are drawn as one box, with everything under them.
        rolled: the same graph with the bodies of its loops in it once, which is analyzed instead.
    """
    graph = graph if rolled is None else rolled.graph
    links = _links(graph, collapse, {} if rolled is None else rolled.delays)
    if rolled is not None:
        _close(links, rolled)
    shown = _shown(graph.outputs)
    analysis = Analysis(_reached(graph, shown, links), links, set(shown))
    if rolled is not None:
        analysis.loops = rolled.loops
        analysis.outputs = {link.origin for node in _shown(rolled.outputs) for link in _through(node, links)}
    _rows(analysis, Trim(depth, tuple(folded)), collapse, {} if rolled is None else rolled.loop_of)
    _keys(analysis)
    _roles(analysis)
    return analysis


def is_check(node: Node) -> bool:
    """Return whether a node only refuses values: what passes it is what came."""
    return node.op.name == "within"


def _shown(outputs: Sequence[Node]) -> Sequence[Node]:
    """Return the outputs but for checks: those whose values nothing reads are outputs for the compiler's sake alone."""
    return [node for node in outputs if not is_check(node)] or outputs


def _through(node: Node, links: dict[Node, list[tuple[int, Link]]]) -> list[Link]:
    return [Link(node)] if node.op not in (LAST, EVERY) else [link for _, link in links[node]]


def _close(links: dict[Node, list[tuple[int, Link]]], rolled: Rolled) -> None:
    """Lead what takes s_{t-1} to where s_t is made, and to what s is before the first step."""

    def state(mark: Node) -> list[Link]:
        new, name = rolled.delays[mark], called(mark.name) or "s"
        cut = rolled.loops[rolled.loop_of[mark]].cut is not None
        origins = [link for _, link in links[new]] if new.op in (EACH, LAST, EVERY) else [Link(new)]
        return [link._replace(delay=True, cut=cut, name=name) for link in origins]

    for node, own in links.items():
        closed: list[tuple[int, Link]] = []
        for arg, link in own:
            if link.origin not in rolled.delays:
                closed.append((arg, link))
                continue
            mark = link.origin
            states = [each for each in state(mark) if each.origin not in rolled.delays]
            if rolled.loop_of.get(node) != rolled.loop_of[mark]:  # the states before each step, on their way elsewhere
                closed += [(arg, each._replace(delay=False, cut=link.cut)) for each in states]
                continue
            closed += [(arg, each) for each in states]
            closed += [(arg, each._replace(first=True, name=called(mark.name) or "s")) for _, each in links[mark]]
        links[node] = closed


class Trim(NamedTuple):
    """How scopes are cut short: to ``depth`` parts, and at each of the ``folded`` ones."""

    depth: int | None = None
    folded: tuple[str, ...] = ()

    def __call__(self, scope: str) -> str:
        whole = self.within(scope)
        scope = scope if whole is None else whole
        return scope if self.depth is None else "/".join(scope.split("/")[: self.depth])

    def within(self, scope: str) -> str | None:
        """Return the folded scope that this one is, or is under; None where there is none."""
        return next((each for each in self.folded if scope == each or scope.startswith(each + "/")), None)


def _links(graph: Graph, collapse: bool, delays: Container[Node]) -> dict[Node, list[tuple[int, Link]]]:
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
        if node.op is EACH:
            through[node] = tuple(link._replace(part=True, output=0) for _, link in own)
        elif node.op is EVERY:
            through[node] = tuple(link._replace(stacked=True) for _, link in own)
        elif node.op is LAST:
            through[node] = tuple(link._replace(last=True) for _, link in own)
        elif is_check(node):
            through[node] = tuple(link for _, link in own)
            continue
        if node not in consumed or node in outputs or node.op in (EACH, EVERY, LAST) or node in delays:
            continue
        name = node.op.name
        part = _part(node) if name in ("pick", "slice") else None
        if part is not None:
            through[node] = _taken(part, links, apart, collapse)
        elif name == "pick":
            through[node] = (Link(node.inputs[0], output=node.attrs["index"]),)
        elif name == "stop_gradient":
            through[node] = tuple(link._replace(cut=True) for _, link in own)
        elif name in ("stack", "transpose", "reshape") and collapse:
            base, _, moved = _untransposed(node, 0)
            if base.op.name == "stack" and moved:
                through[node] = tuple(link._replace(stacked=True) for _, link in links[base])
            elif name != "stack":  # the same numbers in another order are no step that a reader looks for
                through[node] = tuple(link for _, link in own)
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
    base, at, in_order = _untransposed(sequence, axis)
    if base.op.name == "stack" and in_order and at == base.attrs["axis"]:
        return tuple(link._replace(stacked=True) for arg, link in links[base] if arg == index)
    whole = apart.setdefault((base, at), base if collapse and in_order else sequence)
    return (Link(whole, output=index, part=True),)


def _reached(graph: Graph, outputs: Sequence[Node], links: dict[Node, list[tuple[int, Link]]]) -> list[Node]:
    stack = list(outputs)
    seen = set(stack)
    for node in stack:  # the list grows while it is walked
        for _, link in links[node]:
            if link.origin not in seen:
                seen.add(link.origin)
                stack.append(link.origin)
    return [node for node in graph.nodes if node in seen]


def _rows(analysis: Analysis, trim: Trim, collapse: bool, loop_of: dict[Node, int]) -> None:
    """Give each application of a cell a row. One scope applied twice in a step (a shared cell) has two.

    At op level all of a loop's body is one row, whatever cells it has.
    """
    stepped = [
        node
        for node in analysis.nodes
        if node.place.step is not None and node.op not in (LITERAL, STORED) and not is_weight(node)
    ]
    scopes = {trim(node.place.scope) for node in stepped}
    owner = {scope: _outermost(scope, scopes) if collapse else scope for scope in scopes}
    rows: dict[tuple[str, int | None, int], int] = {}
    walks: dict[str, tuple[int, set[int]]] = {}  # a scope -> which application, and the steps it has been at
    now: dict[str, int] = {}
    for node in stepped:
        step, loop = node.place.step, loop_of.get(node)
        assert step is not None
        top = owner[trim(node.place.scope)]
        if loop is not None:
            key = (top if collapse else analysis.loops[loop].scope, loop, 0)
            analysis.place[node] = rows.setdefault(key, len(rows)), step
            continue
        nth, been = walks.setdefault(top, (0, set()))
        again = now.get(top) != step and step in been  # back at a step it had left: applied once more
        if again and trim.depth is None:
            walks[top] = nth, been = nth + 1, set()
        now[top] = step
        been.add(step)
        row = rows.setdefault((top, None, nth), len(rows))
        analysis.place[node] = row, step
    analysis.scopes = [scope for scope, _, _ in rows]
    analysis.loop_of_row = [loop for _, loop, _ in rows]
    analysis.steps = sorted({step for _, step in analysis.place.values()})
    lean = [0] * len(rows)
    for node in stepped:
        row, step = analysis.place[node]
        for _, link in analysis.links[node]:
            before = analysis.place.get(link.origin)
            if before is not None and before[0] == row:
                lean[row] += (step > before[1]) - (step < before[1])
    backwards = {
        row for row, loop in enumerate(analysis.loop_of_row) if loop is not None and analysis.loops[loop].reverse
    }
    analysis.directions = [-1 if score < 0 or row in backwards else 1 for row, score in enumerate(lean)]


def _outermost(scope: str, scopes: set[str]) -> str:
    parts = scope.split("/")
    for length in range(1, len(parts)):
        top = "/".join(parts[:length])
        if top in scopes:
            return top
    return scope


def _keys(analysis: Analysis) -> None:
    count: dict[Hashable, int] = defaultdict(int)
    for node in analysis.nodes:
        place = analysis.place.get(node)
        if place is not None and node.op is not INPUT:
            base = (node.op.name, node.source)
            nth = count[place, base]
            count[place, base] += 1
            analysis.keys[node] = (*base, nth)


def _roles(analysis: Analysis) -> None:
    """Tell a leaf x_t from an initial state: the state is where the same op, a step later, takes a carried value."""
    carried: dict[Hashable, str] = {}
    computed: dict[Hashable, str] = {}
    leaves: list[tuple[Node, Hashable, int, int]] = []
    for node in analysis.nodes:
        place = analysis.place.get(node)
        key = analysis.keys.get(node)
        for arg, link in analysis.links[node]:
            origin = link.origin
            loop = None if place is None else analysis.loop_of_row[place[0]]
            if is_weight(origin):
                times = 1 if loop is None else analysis.loops[loop].length
                analysis.uses[origin] = analysis.uses.get(origin, 0) + times
            if place is None:
                continue
            if link.first and origin.op is INPUT and not is_weight(origin):
                analysis.roles[origin] = f"init {link.name}"
                continue
            before = analysis.place.get(origin)
            if before is None or origin.op is INPUT:
                if origin.op is INPUT and not is_weight(origin):
                    leaves.append((origin, key, arg, place[0]))
            elif before[0] == place[0] and before[1] != place[1]:
                carried.setdefault((place[0], key, arg), called(origin.name) or "s")
            elif before[0] == place[0]:
                computed.setdefault((place[0], key, arg), origin.op.name)
    for leaf, key, arg, row in leaves:
        name = carried.get((row, key, arg))
        if name is not None:
            analysis.roles[leaf] = f"init {name}"
        elif leaf in analysis.place:
            # An eager pass records nothing before the first tracked value: what is an op elsewhere is a leaf here.
            op = computed.get((row, key, arg))
            analysis.roles.setdefault(leaf, "x" if op is None else f"value {op}")
            analysis.keys.setdefault(leaf, ("leaf", key, arg))
