"""The view as Graphviz DOT: clusters by cell and time step, states along the ranks, weights in a cluster of their own.

Every label goes through ``_label``: Graphviz reads backslashes, entities and angle brackets in labels, and none of them
may come from a name.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from functools import lru_cache
from typing import Any

import graphviz

from tinyseq.drawing.shared.palette import LIGHT
from tinyseq.drawing.shared.style import DELAY, caption, detail_of, stroke_of, style_of
from tinyseq.drawing.shared.text import clean, plural
from tinyseq.drawing.shared.view import Edge, Facts, Item, View, in_words


def to_dot(view: View) -> str:
    """Return the view as DOT source."""
    graph = graphviz.Digraph("tinyseq")
    graph.attr("graph", rankdir="BT", newrank="true", compound="true", fontname="Helvetica", fontsize="11",
               nodesep="0.25", ranksep="0.35", bgcolor="white", tooltip=_label(clean(view.summary())))  # fmt: skip
    caption = "\n".join(clean(line) for line in (view.title, *view.notes) if line)
    if caption:
        graph.attr("graph", label=_label(caption, lines=True), labelloc="t", labeljust="l")
    graph.attr("node", fontname="Helvetica", fontsize="11", shape="box", style="filled,rounded", margin="0.09,0.05",
               fillcolor=LIGHT["op"].fill, color=LIGHT["op"].line, fontcolor=LIGHT["op"].text,
               height="0.3", width="0.4")  # fmt: skip
    graph.attr("edge", fontname="Helvetica-Oblique", fontsize="10", arrowsize="0.6", color=LIGHT["page"].line)
    clusters: dict[tuple[int, int], list[Item]] = defaultdict(list)
    for item in view.items:
        if view.level == "op" and item.row is not None and item.column is not None and item.kind == "op":
            clusters[item.column, item.row].append(item)
        else:
            _node(graph, view, item)
    for (column, row), items in sorted(clusters.items()):
        with graph.subgraph(name=f"cluster_{column}_{row}") as cell:
            label = view.rows[row].label
            label = label if view.rolled else f"{label}, {view.columns[column].label}"
            cell.attr(label=_label(clean(label, 60)), style="rounded,filled", fillcolor=LIGHT["frame"].fill,
                      color=LIGHT["frame"].line, fontcolor=LIGHT["frame"].text)  # fmt: skip
            for item in items:
                _node(cell, view, item)
    _ranks(graph, view, clusters)
    if view.weights:
        _weights(graph, view)
    for edge in view.edges:
        _edge(graph, view, edge, view.item(edge.source).kind == "initial")
    return str(graph.source)


def _node(graph: Any, view: View, item: Item) -> None:
    style = style_of(view, item)
    ink = style.ink or LIGHT[style.kind]
    text, detail = caption(item), detail_of(item)
    if item.kind == "instruction":
        text, detail = clean(item.label, 80), ""
    attrs = {"tooltip": _tip(item.facts)}
    if style.kind != "op" or style.ink is not None:  # the defaults are an op's: there are thousands of them
        attrs.update(fillcolor=ink.fill, color=ink.line, fontcolor=ink.text)
    if style.dashed:
        attrs["style"] = "dashed,rounded" if style.ink is None else "dashed,filled,rounded"
    if style.line > 1:
        attrs["penwidth"] = f"{style.line:g}"
    if style.behind:
        attrs["peripheries"] = "2"
    graph.node(f"n{item.id}", _label(f"{text}\n{detail}" if detail else text, lines=True), **attrs)


def _ranks(graph: Any, view: View, clusters: dict[tuple[int, int], list[Item]]) -> None:
    """Keep the cells of a row side by side, in the order of time, and each row above the one before.

    At op level an op that every step has (one key) holds the clusters of a row in line.
    """
    rows: dict[int, list[Item]] = defaultdict(list)
    for item in view.items:
        if item.row is not None and item.column is not None and not (view.level == "op" and item.kind == "input"):
            rows[item.row].append(item)
    for row in {row for _, row in clusters}:
        keys = [{item.key for item in items} for (_, of), items in clusters.items() if of == row]
        common = set[object]().union(*keys).intersection(*keys)
        key = next((item.key for item in rows[row] if item.key in common), None)
        rows[row] = [item for item in rows[row] if item.key == key and key is not None]
    last: list[Item] = []
    for row, items in sorted(rows.items()):
        items.sort(key=lambda item: item.column or 0)
        with graph.subgraph() as line:
            line.attr(rank="same")
            for item in items:
                line.node(f"n{item.id}")
        for one, other in itertools.pairwise(items):
            graph.edge(f"n{one.id}", f"n{other.id}", style="invis", weight="10")
        if not items:
            continue
        if last and view.rows[row].inputs_of is None and view.level == "cell":
            graph.edge(f"n{last[0].id}", f"n{items[0].id}", style="invis")
        last = items if view.rows[row].inputs_of is None else last


def _weights(graph: Any, view: View) -> None:
    ink = LIGHT["weight"]
    with graph.subgraph(name="cluster_weights") as panel:
        panel.attr(label="weights (shared)", style="rounded", color=ink.line, fontcolor=ink.text)
        for number, group in enumerate(view.weights):
            rows = [clean(group.scope or "(top)", 60)]
            rows += [f"{clean(weight.name, 40)} {weight.shape} used {weight.uses}×" for weight in group.weights[:16]]
            rows += ["…"] if len(group.weights) > 16 else []
            rows.append(plural(group.size, "parameter"))
            panel.node(f"w{number}", _label("\n".join(rows), lines=True), fillcolor=ink.fill, color=ink.line,
                       fontcolor=ink.text, fontsize="10", tooltip="weights, drawn once")  # fmt: skip
    for number, group in enumerate(view.weights):
        graph.edge(
            f"w{number}", f"n{group.users[0]}", style="dotted", color=ink.line, arrowhead="none", tooltip="weights"
        )


def _edge(graph: Any, view: View, edge: Edge, initial: bool) -> None:
    attrs = {}
    label = f"{DELAY} {edge.label}" if edge.delay else edge.label
    if label:
        attrs["label"] = _label(clean(label, 30))
    if edge.state or edge.cut:
        ink = LIGHT["cut" if edge.cut else "state"]
        attrs.update(color=ink.line, fontcolor=ink.text, penwidth="1.8")
    if view.scale is not None and not edge.cut:
        stroke = stroke_of(view, edge)
        attrs.update(color=stroke.colour or LIGHT[stroke.kind].line, penwidth=f"{stroke.width:.2f}")
        attrs["tooltip"] = _label(clean(in_words(edge.gradient, edge.name or "y", edge.discrete)))
    if edge.state and not initial:
        # Time runs sideways: a state lifts nothing. Its label stands beside it, because Graphviz loses edges between
        # nodes of one rank when their labels claim room.
        attrs["constraint"] = "false"
    if edge.cut:
        # The cut: dashes, a crossbar where the gradient would enter, and the word.
        attrs.update(style="dashed", dir="both", arrowtail="teetee")
        attrs["label"] = _label(f"{clean(edge.label, 30)} cut ∂".strip())
        attrs["tooltip"] = "the gradient is cut here (stop_gradient)"
    if edge.state and not initial and "label" in attrs and edge.source != edge.target:
        attrs["xlabel"] = attrs.pop("label")
    graph.edge(f"n{edge.source}", f"n{edge.target}", **attrs)


def _tip(facts: Facts) -> str:
    return _label("\n".join(f"{clean(key)}: {clean(value)}" for key, value in facts), lines=True)


@lru_cache(maxsize=20_000)
def _label(text: str, lines: bool = False) -> str:
    """Return text that Graphviz shows as it is: no escapes, no entities, no HTML labels."""
    parts = text.split("\n") if lines else [text.replace("\n", " ")]
    safe = "\\n".join(graphviz.escape(part.replace("&", "&amp;")) for part in parts)
    result: str = graphviz.nohtml(safe)
    return result
