"""The nodes of a graph, sorted into the items of a picture, and from them the view model."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

from tinyseq.drawing.shared.labels import (
    called,
    census,
    details,
    dtype_text,
    flops,
    is_discrete,
    is_weight,
    lanes_of,
    shape_text,
    symbol,
)
from tinyseq.drawing.shared.rolled import STORED
from tinyseq.drawing.shared.subject import Subject
from tinyseq.drawing.shared.text import plural, subscript
from tinyseq.drawing.shared.view import (
    NO_GRADIENT,
    Change,
    Details,
    Edge,
    Facts,
    Item,
    Kind,
    Row,
    Scale,
    View,
    Weight,
    Weights,
)
from tinyseq.drawing.view.analysis import Analysis, Link, Trim
from tinyseq.drawing.view.budget import Choice
from tinyseq.drawing.view.scopes import module_depth, phases, upstream_modules
from tinyseq.graph import INPUT, LITERAL, Node


@dataclass(slots=True)
class _Group:
    """Nodes that become one item. ``leaving`` are those that others take something from."""

    kind: Kind
    scope: str
    nodes: list[Node] = field(default_factory=list)
    row: int | None = None
    column: int | None = None
    step: int | None = None
    name: str = ""
    leaving: dict[Node, None] = field(default_factory=dict)


class Groups:
    """The nodes of an analysis, sorted into the items of one choice."""

    def __init__(self, analysis: Analysis, choice: Choice, subject: Subject, folded: Sequence[str] = ()) -> None:
        self.analysis, self.choice, self.subject = analysis, choice, subject
        self.trim = Trim(choice.depth, tuple(folded))
        self.column_of: dict[int, int] = {}
        shown = {column.step: index for index, column in enumerate(choice.columns) if column.step is not None}
        here = 0
        for step in analysis.steps:  # a hidden step belongs to the fold column that follows the last shown one
            self.column_of[step] = shown.get(step, here)
            here = shown[step] + 1 if step in shown else here
        self.groups: dict[Hashable, _Group] = {}
        self.of: dict[Node, _Group] = {}
        self.lanes = lanes_of(analysis.nodes) if subject.packed else {}
        if choice.level == "model":
            self.trim = Trim(module_depth(analysis), tuple(folded))
            self.upstream = upstream_modules(analysis, self.trim)
        else:
            self.phase = phases(analysis, self.trim) if choice.level == "cell" or folded else {}
        for node in analysis.nodes:
            self._sort(node)

    def __len__(self) -> int:
        return len(self.groups)

    def _sort(self, node: Node) -> None:
        """Put a node into its group: itself, the cell it is part of, the fold that hides it, or none."""
        if node.op is LITERAL or node.op is STORED or is_weight(node):
            return
        keyed = self._of_model(node) if self.choice.level == "model" else self._of_cell(node)
        if keyed is not None:
            group = self.groups.setdefault(*keyed)
            group.nodes.append(node)
            self.of[node] = group

    def _of_model(self, node: Node) -> tuple[Hashable, _Group] | None:
        if node.op is INPUT:
            named = node.name and not self.analysis.roles.get(node, "").startswith("init ")
            return (node, _Group("input", node.place.scope)) if named else None
        scope = self.trim(node.place.scope)
        key = ("module", scope, None if scope else self.upstream[node])
        group = self.groups.get(key) or _Group("group", scope)
        if node in self.analysis.place and scope:
            group.kind = "cell"
        return key, group

    def _of_cell(self, node: Node) -> tuple[Hashable, _Group] | None:
        analysis, choice = self.analysis, self.choice
        scope = self.trim(node.place.scope)
        place = analysis.place.get(node)
        role = analysis.roles.get(node, "")
        whole = choice.level == "cell" or self.trim.within(node.place.scope) is not None
        if role.startswith("init "):
            if place is not None and choice.columns[self.column_of[place[1]]].hidden:
                return self._fold(place)
            row = None if place is None else place[0]
            return node, _Group("initial", scope, row=row, step=node.step, name=role.removeprefix("init "))
        if place is not None:
            row, step = place
            column = self.column_of[step]
            if choice.columns[column].hidden:
                return self._fold(place)
            if role:
                return node, _Group("input", scope, row=row, column=column, step=step, name=role)
            if not whole:
                return node, _Group("op", scope, row=row, column=column, step=step)
            part = scope if choice.level == "op" else ""
            return ("cell", row, column, part), _Group(
                "cell", part or analysis.scopes[row], row=row, column=column, step=step
            )
        if node.op is INPUT:
            if not node.name and whole:
                return None  # an unnamed constant is the business of the group that takes it
            return node, _Group("input" if node.name else "constant", scope)
        return (("group", scope, self.phase[node]), _Group("group", scope)) if whole else (node, _Group("op", scope))

    def _fold(self, place: tuple[int, int]) -> tuple[Hashable, _Group]:
        row, column = place[0], self.column_of[place[1]]
        return ("fold", row, column), _Group("fold", self.analysis.scopes[row], row=row, column=column)

    # -- the view ------------------------------------------------------------------------------------------------------

    def view(self, title: str, ops: int) -> View:
        """Make the view model."""
        analysis = self.analysis
        ids = {id(group): number for number, group in enumerate(self.groups.values())}
        model = self.choice.level == "model"
        rows = [] if model else [self._row(number) for number in range(len(analysis.scopes))]
        below: dict[int, int] = {}  # a row -> the row of the leaves that feed it
        tags: dict[int, dict[str, None]] = defaultdict(dict)
        users: dict[Node, dict[int, None]] = defaultdict(dict)
        edges: dict[Hashable, Edge] = {}
        loops: dict[int, dict[str, None]] = defaultdict(dict)
        labelled: dict[tuple[int, str], int] = {}
        for node in analysis.nodes:
            group = self.of.get(node)
            if group is None:
                continue
            target = ids[id(group)]
            for _, link in analysis.links[node]:
                origin = link.origin
                if origin.op is LITERAL:
                    tags[target][f"{origin.attrs['value']:g}"] = None
                    continue
                if origin.op is STORED:
                    tags[target][origin.name or ""] = None
                    continue
                if is_weight(origin):
                    users[origin][target] = None
                    tags[target][origin.name or "w"] = None
                    continue
                taken = self.of.get(origin)
                if taken is None:
                    continue
                edge = self._edge(link, node, ids[id(taken)], target)
                if taken is group and not edge.delay and not (model and edge.state):
                    continue
                taken.leaving[origin] = None
                if model:
                    if edge.delay or (edge.state and taken is group):
                        loops[target][edge.name or "s"] = None
                        continue
                    edge = replace(edge, label="", name="", state=False)
                if not edge.state and "fold" in (taken.kind, group.kind):
                    edge = replace(edge, label="", name="")  # one wire for all the steps that are hidden
                if analysis.loops and not edge.state and edge.label:
                    told = edge.source, edge.label  # once is enough for a value that many things take
                    edge = edge if labelled.setdefault(told, target) == target else replace(edge, label="")
                edges.setdefault((edge.source, edge.target, edge.label, edge.cut, edge.delay), edge)
        for number, names in loops.items():
            name = ", ".join(names)
            edges[number, "loop"] = Edge(number, number, name, True, name=name, delay=True)
        items = []
        for group in self.groups.values():
            row = group.row
            if group.kind == "input" and row is not None:
                if row not in below:
                    below[row] = len(rows)
                    rows.append(Row(analysis.scopes[row], "x", analysis.directions[row], row))
                group.row = below[row]
            items.append(self._item(group, ids[id(group)], tuple(tags[ids[id(group)]])))
        weights = self._weights(users, {ids[id(group)]: group for group in self.groups.values()})
        wires = tuple(edges.values())
        return View(
            title,
            self.choice.level,
            tuple(items),
            wires,
            weights,
            tuple(rows),
            self.choice.columns,
            (*self.choice.notes, *self.subject.notes),
            ops,
            self._scale(items, wires),
            bool(analysis.loops),
        )

    def _row(self, number: int) -> Row:
        analysis = self.analysis
        scope = analysis.scopes[number]
        label = _label(scope)
        if analysis.loop_of_row[number] is not None:
            label = f"{label}, {self._order(number)}"
        return Row(scope, label, analysis.directions[number])

    def _order(self, row: int) -> str:
        """The steps of a loop, in the order they are done."""
        number = self.analysis.loop_of_row[row]
        assert number is not None
        loop = self.analysis.loops[number]
        last = loop.length - 1
        return "t = 0" if last < 1 else f"t = {last} … 0" if loop.reverse else f"t = 0 … {last}"

    def _at(self, step: int | None) -> str:
        if self.analysis.loops:
            return "ₜ"
        return "" if step is None else subscript(step)

    def _edge(self, link: Link, node: Node, source: int, target: int) -> Edge:
        """Name what flows: a carried state by its own name, an output of a cell y_t, a part of a sequence x_t."""
        origin = link.origin
        norm = None if self.subject.gradients is None or link.cut else self.subject.gradients.get(origin)
        if link.delay:
            return Edge(source, target, link.name, True, link.cut, link.name, True, norm, is_discrete(origin))
        before, after = self.analysis.place.get(origin), self.analysis.place.get(node)
        name = label = ""
        state = before is not None and after is not None and before[1] != after[1] and not link.stacked
        role = self.analysis.roles.get(origin, "")
        if link.first:
            state, name = True, link.name
            label = "" if role.startswith("init ") else f"{name} init"
        elif link.name:
            label = f"{link.name}ₜ₋₁"
        elif role.startswith("init "):
            state, name = True, role.removeprefix("init ")
        elif before is not None and origin.op is not INPUT:
            name = called(origin.name)
            if link.stacked or (after is None and node.op.name == "stack"):
                name = "y"
            if link.last:
                label = f"{name}_T" if name else ""
            elif after is None or after[0] != before[0] or after[1] != before[1]:
                label = name + self._at(before[1]) if name else ""
        elif after is not None and link.part and link.output == after[1]:
            # A mask is taken apart into steps as x is, and is no part of it.
            label = "" if getattr(origin.dtype, "kind", "") == "b" else "x" + self._at(after[1])
        elif link.output is not None and (origin.op is not INPUT or link.part):
            label = f"[{link.output}]"
        if origin in self.subject.labels and (state or label):
            label = self.subject.labels[origin]
            name = label.rstrip("₀₁₂₃₄₅₆₇₈₉")
            if origin in self.subject.sums and self.choice.level != "op":
                name = label = "∂weights"
        return Edge(source, target, label, state, link.cut, name, False, norm, is_discrete(origin))

    def _item(self, group: _Group, number: int, tags: tuple[str, ...]) -> Item:
        nodes, analysis, gradients = group.nodes, self.analysis, self.subject.gradients
        first, last = nodes[0], nodes[-1]
        column, kind = group.column, group.kind
        output = any(node in analysis.outputs for node in nodes)
        detail, known = shape_text(last.shape), details(last, value=self.subject.values.get(last, ""))
        key: Hashable = analysis.keys.get(first) if kind in ("op", "input") else kind
        if kind == "op":
            label = symbol(first.op.name)
            if self.lanes.get(first, 1) > 1:
                known = replace(known, more=(("packed", f"{self.lanes[first]} ops of the same kind, side by side"),))
        elif kind == "initial":
            label = f"{group.name} init"
            known = replace(known, more=(("what", f"the state {group.name} before the first step"),))
        elif group.name.startswith("value "):
            label, detail = symbol(group.name.removeprefix("value ")), f"{detail} no grad"
            what = "a value computed before recording began: no gradient flows through it"
            known = replace(known, more=(("what", what),))
        elif kind in ("input", "constant"):
            label = first.name or ("x" + self._at(group.step) if group.step is not None else "const")
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
            if kind == "cell" and group.row is not None and analysis.loop_of_row[group.row] is not None:
                detail = f"{detail}, {self._order(group.row)}"
            if self.choice.level == "model":
                detail = plural(known.parameters, "parameter") if known.parameters else plural(len(ops), "op")
            if self.choice.level == "op" and kind == "cell":
                key = (kind, group.scope)
        leaving = self._leaving(group)
        if all(map(is_discrete, leaving)):
            known = replace(known, discrete=True)
        if gradients is not None:
            known = replace(known, gradient=self._norm(leaving), measured=True)
            if kind not in ("initial", "fold", "constant") and not known.discrete:
                detail = NO_GRADIENT if known.gradient is None else f"‖∂‖ {known.gradient:.2g}"
        elif known.value:
            detail = known.value
        return Item(
            number, kind, label, detail, tags if kind == "op" else (), known, group.scope, group.step,
            group.row, column, key, len(nodes), output, self._change(nodes), self.lanes.get(first, 1),
            tuple(node.serial for node in nodes),
        )  # fmt: skip

    def _leaving(self, group: _Group) -> list[Node]:
        """The nodes of a group whose values others take, or that are results."""
        leaving = [*group.leaving, *(node for node in group.nodes if node in self.analysis.outputs)]
        return list(dict.fromkeys(leaving)) or group.nodes[-1:]

    def _norm(self, leaving: list[Node]) -> float | None:
        """The norm of the gradient with respect to all that leaves a group, taken as one vector."""
        assert self.subject.gradients is not None
        norms = [self.subject.gradients[node] for node in leaving if node in self.subject.gradients]
        return math.hypot(*norms) if norms else None

    def _change(self, nodes: list[Node]) -> Change:
        changes = {self.subject.changes.get(node, "") for node in nodes}
        return "new" if "new" in changes else "rewired" if "rewired" in changes else ""

    def _scale(self, items: list[Item], edges: tuple[Edge, ...]) -> Scale | None:
        """The range of the norms that show. Where they are all but equal, a decade around them."""
        shown = [*(item.details.gradient for item in items), *(edge.gradient for edge in edges)]
        norms = [norm for norm in shown if norm and math.isfinite(norm)]
        if not norms:
            return None
        low, high = min(norms), max(norms)
        return Scale(low, high) if high > 1.01 * low else Scale(low / 10**0.5, high * 10**0.5)

    def _weights(self, users: dict[Node, dict[int, None]], groups: dict[int, _Group]) -> tuple[Weights, ...]:
        """Group the parameters by the row, or the scope outside steps, that is the first to use them."""
        panels: dict[tuple[str, int | None], tuple[list[Weight], dict[int, None]]] = {}
        gradients = self.subject.gradients
        for node in self.analysis.nodes:
            if node not in users:
                continue
            first = groups[next(iter(users[node]))]
            weights, by = panels.setdefault((first.scope, first.row), ([], {}))
            weights.append(
                Weight(
                    node.name or "w", shape_text(node.shape), dtype_text(node.dtype), math.prod(node.shape),
                    self.analysis.uses[node], None if gradients is None else gradients.get(node), gradients is not None,
                )
            )  # fmt: skip
            by.update(users[node])
        return tuple(Weights(scope, tuple(weights), tuple(by), row) for (scope, row), (weights, by) in panels.items())


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
