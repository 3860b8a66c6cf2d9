"""From a graph to the view model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from tinyseq.drawing.folding import Choice, choices
from tinyseq.drawing.reading import Link, Reading, cut_scope, read
from tinyseq.drawing.symbols import census, details, dtype_text, flops, is_weight, shape_text, symbol
from tinyseq.drawing.text import plural, subscript
from tinyseq.drawing.view import Details, Edge, Facts, Item, Kind, Row, View, Weight, Weights
from tinyseq.errors import DataError, did_you_mean
from tinyseq.graph import INPUT, LITERAL, Graph, Node

#: How many nodes a picture may have before it folds by itself.
BUDGET = 400


def build(
    graph: Graph,
    *,
    level: str = "op",
    steps: tuple[int, int] | None = None,
    budget: int | None = BUDGET,
    title: str | None = None,
) -> View:
    """Return what a picture of the graph shows.

    Args:
        graph: the graph; a rolled one is unrolled.
        level: "op", every operation; or "cell", one box for each scope and time step.
        steps: (first, end): show only these time steps, the end not included.
        budget: the most nodes to show; over it the picture folds, and says so. None: never fold.
        title: a heading.

    Raises:
        DataError: an unknown level, or a window without steps.
    """
    if level not in ("op", "cell"):
        raise DataError("draw: unknown level", got=repr(level), fix=did_you_mean(str(level), ("op", "cell")))
    if any("body" in node.attrs for node in graph.nodes):
        graph = graph.unroll()
    readings: dict[tuple[str, int | None], Reading] = {}

    def reading(level: str, depth: int | None) -> Reading:
        if (level, depth) not in readings:
            readings[level, depth] = read(graph, depth=depth, collapse=level == "cell")
        return readings[level, depth]

    ops = sum(node.op is not INPUT and node.op is not LITERAL for node in graph.nodes)
    result: View | None = None
    for choice in choices(level, reading(level, None).steps, steps, budget, ops):
        groups = _Groups(reading(choice.level, choice.depth), choice)
        if budget is None or len(groups) <= budget:
            return groups.view(title or "", ops)
        result = None if len(groups) > 4 * max(budget, 100) else groups.view(title or "", ops)
    # Nothing is small enough: a graph with very many leaves. The last way is the most folded.
    return result or groups.view(title or "", ops)


@dataclass(slots=True)
class _Group:
    """Nodes that become one item."""

    kind: Kind
    scope: str
    nodes: list[Node] = field(default_factory=list)
    row: int | None = None
    column: int | None = None
    step: int | None = None
    name: str = ""


class _Groups:
    """The nodes of a reading, sorted into the items of one choice."""

    def __init__(self, reading: Reading, choice: Choice) -> None:
        self.reading, self.choice = reading, choice
        self.column_of: dict[int, int] = {}
        shown = {column.step: index for index, column in enumerate(choice.columns) if column.step is not None}
        here = 0
        for step in reading.steps:  # a hidden step belongs to the fold column that follows the last shown one
            self.column_of[step] = shown.get(step, here)
            here = shown[step] + 1 if step in shown else here
        self.groups: dict[Hashable, _Group] = {}
        self.of: dict[Node, _Group] = {}
        self.phase = _phases(reading, choice.depth) if choice.level == "cell" else {}
        for node in reading.nodes:
            self._sort(node)

    def __len__(self) -> int:
        return len(self.groups)

    def _sort(self, node: Node) -> None:
        """Put a node into its group: itself, the cell it is part of, the fold that hides it, or none."""
        if node.op is LITERAL or is_weight(node):
            return
        reading, choice = self.reading, self.choice
        scope = cut_scope(node.place.scope, choice.depth)
        place = reading.place.get(node)
        role = reading.roles.get(node, "")
        if role.startswith("init "):
            name = role.removeprefix("init ")
            key: Hashable = node
            group = _Group("initial", scope, row=None if place is None else place[0], step=node.step, name=name)
            if place is not None and choice.columns[self.column_of[place[1]]].hidden:
                key, group = self._fold(place)
        elif place is not None:
            row, step = place
            column = self.column_of[step]
            if choice.columns[column].hidden:
                key, group = self._fold(place)
            elif role:
                key, group = node, _Group("input", scope, row=row, column=column, step=step, name=role)
            elif choice.level == "cell":
                key = ("cell", row, column)
                group = _Group("cell", reading.scopes[row], row=row, column=column, step=step)
            else:
                key, group = node, _Group("op", scope, row=row, column=column, step=step)
        elif node.op is INPUT:
            if not node.name and choice.level == "cell":
                return  # an unnamed constant is the business of the group that takes it
            key, group = node, _Group("input" if node.name else "constant", scope)
        elif choice.level == "cell":
            key, group = ("group", scope, self.phase[node]), _Group("group", scope)
        else:
            key, group = node, _Group("op", scope)
        group = self.groups.setdefault(key, group)
        group.nodes.append(node)
        self.of[node] = group

    def _fold(self, place: tuple[int, int]) -> tuple[Hashable, _Group]:
        row, column = place[0], self.column_of[place[1]]
        return ("fold", row, column), _Group("fold", self.reading.scopes[row], row=row, column=column)

    # -- the view ------------------------------------------------------------------------------------------------------

    def view(self, title: str, ops: int) -> View:
        """Make the view model."""
        reading = self.reading
        ids = {id(group): number for number, group in enumerate(self.groups.values())}
        rows = [
            Row(scope, _label(scope), direction)
            for scope, direction in zip(reading.scopes, reading.directions, strict=True)
        ]
        below: dict[int, int] = {}  # a row -> the row of the leaves that feed it
        tags: dict[int, dict[str, None]] = defaultdict(dict)
        users: dict[Node, dict[int, None]] = defaultdict(dict)
        edges: dict[Hashable, Edge] = {}
        for node in reading.nodes:
            group = self.of.get(node)
            if group is None:
                continue
            target = ids[id(group)]
            for _, link in reading.links[node]:
                origin = link.origin
                if origin.op is LITERAL:
                    tags[target][f"{origin.attrs['value']:g}"] = None
                elif is_weight(origin):
                    users[origin][target] = None
                    tags[target][origin.name or "w"] = None
                elif (taken := self.of.get(origin)) is not None and taken is not group:
                    edge = self._edge(link, node, ids[id(taken)], target)
                    if not edge.state and "fold" in (taken.kind, group.kind):
                        edge = replace(edge, label="", name="")  # one wire for all the steps that are hidden
                    edges.setdefault((edge.source, edge.target, edge.label, edge.cut), edge)
        items = []
        for group in self.groups.values():
            row = group.row
            if group.kind == "input" and row is not None:
                if row not in below:
                    below[row] = len(rows)
                    rows.append(Row(reading.scopes[row], "x", reading.directions[row], row))
                group.row = below[row]
            items.append(self._item(group, ids[id(group)], tuple(tags[ids[id(group)]])))
        return View(
            title,
            self.choice.level,
            tuple(items),
            tuple(edges.values()),
            self._weights(users, {ids[id(group)]: group for group in self.groups.values()}),
            tuple(rows),
            self.choice.columns,
            self.choice.notes,
            ops,
        )

    def _edge(self, link: Link, node: Node, source: int, target: int) -> Edge:
        """Name what flows: a carried state by its own name, an output of a cell y_t, a part of a sequence x_t."""
        origin = link.origin
        before, after = self.reading.place.get(origin), self.reading.place.get(node)
        name = label = ""
        state = before is not None and after is not None and before[1] != after[1]
        role = self.reading.roles.get(origin, "")
        if role.startswith("init "):
            state, name = True, role.removeprefix("init ")
        elif before is not None and origin.op is not INPUT:
            name = origin.name or ""
            if link.stacked or (after is None and node.op.name == "stack"):
                name = "y"
            if after is None or after[0] != before[0] or after[1] != before[1]:
                label = name + subscript(before[1]) if name else ""
        elif after is not None and link.part and link.output == after[1]:
            label = "x" + subscript(after[1])
        elif link.output is not None and (origin.op is not INPUT or link.part):
            label = f"[{link.output}]"
        return Edge(source, target, label, state, link.cut, name)

    def _item(self, group: _Group, number: int, tags: tuple[str, ...]) -> Item:
        nodes, reading = group.nodes, self.reading
        first, last = nodes[0], nodes[-1]
        column, kind = group.column, group.kind
        output = any(node in reading.outputs for node in nodes)
        detail, known = shape_text(last.shape), details(last)
        key: Hashable = reading.keys.get(first) if kind in ("op", "input") else kind
        if kind == "op":
            label = symbol(first.op.name)
        elif kind == "initial":
            label = f"{group.name} init"
            known = replace(known, more=(("what", f"the state {group.name} before the first step"),))
        elif group.name.startswith("value "):
            label, detail = symbol(group.name.removeprefix("value ")), f"{detail} no grad"
            known = replace(
                known, more=(("what", "a value computed before recording began: no gradient flows through it"),)
            )
        elif kind in ("input", "constant"):
            label = first.name or ("x" + subscript(group.step) if group.step is not None else "const")
            key = key or number
        elif kind == "fold":
            assert column is not None
            hidden = self.choice.columns[column].hidden
            label, detail = "⋯", plural(hidden, "step")
            known = _collapsed(group, nodes, (("hidden", f"{plural(hidden, 'step')}, {plural(len(nodes), 'op')}"),))
        else:
            label = _label(group.scope)
            if kind == "group":
                label = _group_label(group, output, bool(tags))
            ops = [node.op.name for node in nodes if node.op is not INPUT]
            known = _collapsed(group, nodes, (("ops", census(ops)),))
            detail = plural(len(ops), "op") if kind == "cell" else f"{plural(len(ops), 'op')} → {detail}"
        return Item(
            number, kind, label, detail, tags if kind == "op" else (), known, group.scope, group.step,
            group.row, column, key, len(nodes), output, nodes=tuple(node.serial for node in nodes),
        )  # fmt: skip

    def _weights(self, users: dict[Node, dict[int, None]], groups: dict[int, _Group]) -> tuple[Weights, ...]:
        """Group the parameters by the row, or the scope outside steps, that is the first to use them."""
        panels: dict[tuple[str, int | None], tuple[list[Weight], dict[int, None]]] = {}
        for node in self.reading.nodes:
            if node not in users:
                continue
            first = groups[next(iter(users[node]))]
            weights, by = panels.setdefault((first.scope, first.row), ([], {}))
            size = math.prod(node.shape)
            dtype = dtype_text(node.dtype)
            weights.append(Weight(node.name or "w", shape_text(node.shape), dtype, size, self.reading.uses[node]))
            by.update(users[node])
        return tuple(Weights(scope, tuple(weights), tuple(by), row) for (scope, row), (weights, by) in panels.items())


def _phases(reading: Reading, depth: int | None) -> dict[Node, int]:
    """Count, for each node, how many times its inputs' paths changed scope: it keeps groups outside steps acyclic."""
    phase: dict[Node, int] = {}
    for node in reading.nodes:
        mine = _home(node, reading, depth)
        best = 0
        for _, (origin, *_) in reading.links[node]:
            if origin.op is INPUT or origin.op is LITERAL:
                continue
            best = max(best, phase[origin] + (_home(origin, reading, depth) != mine))
        phase[node] = best
    return phase


def _home(node: Node, reading: Reading, depth: int | None) -> Hashable:
    place = reading.place.get(node)
    return cut_scope(node.place.scope, depth) if place is None else place[0]


def _label(scope: str) -> str:
    return scope.rsplit("/", 1)[-1] or "step"


def _group_label(group: _Group, output: bool, learned: bool) -> str:
    """The scope's own name where it holds weights or much; else what the ops are; ``loss`` for the number returned."""
    names = list(dict.fromkeys(symbol(node.op.name) for node in group.nodes))
    if group.scope and (learned or len(names) > 3):
        return _label(group.scope)
    if output and group.nodes[-1].shape == ():
        return "loss"
    return " · ".join(names if len(names) <= 3 else [names[0], "…", names[-1]])


def _collapsed(group: _Group, nodes: list[Node], more: Facts) -> Details:
    """What is known of nodes that one box stands for: sums, and what comes out of it."""
    results = ", ".join(f"{node.name} {shape_text(node.shape)}" for node in nodes if node.name and node.op is not INPUT)
    weights = {parent for node in nodes for parent in node.inputs if is_weight(parent)}
    return Details(
        shape=shape_text(nodes[-1].shape),
        dtype=dtype_text(nodes[-1].dtype),
        parameters=sum(math.prod(weight.shape) for weight in weights),
        flops=sum(map(flops, nodes)),
        source=details(next((node for node in nodes if node.source), nodes[0])).source,
        scope=group.scope,
        step=group.step,
        more=(*more, *((("carries", results[:200]),) if results else ())),
    )
