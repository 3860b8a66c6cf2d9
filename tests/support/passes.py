"""Single passes, shown by graphs as text: what one does to a graph (``acts``), and what it leaves alone (``stays``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from textwrap import dedent, indent
from typing import Any

import numpy as np

import tinyseq as ts
from tinyseq.graph import Graph, Leaf, Literal, Node, signature
from tinyseq.ops.scan import scan


def acts(change: Callable[[Graph], Graph], graph: Graph, before: str, after: str) -> None:
    """Assert what a pass makes of a graph."""
    changed = change(graph)
    assert text(graph) == unindented(before)
    assert text(changed.verify()) == unindented(after)


def stays(change: Callable[[Graph], Graph], graph: Graph, given: str) -> None:
    """Assert that a pass has nothing to do in a graph."""
    acts(change, graph, given, given)


def zeros(*shape: int, dtype: Any = np.float32) -> ts.Tensor:
    return ts.Tensor(np.zeros(shape, dtype))


def loop(step: Callable[..., Any], **options: Any) -> Graph:
    """Four steps of one row: ``step`` gets x of three features, h of two units, the weights w (h's) and v (x's), a bias
    b, and returns what ``ts.unroll`` wants."""
    given = zeros(1, 4, 3), zeros(1, 2), zeros(2, 2), zeros(3, 2), zeros(2)
    return ts.trace(lambda x, h, w, v, b: ts.unroll(lambda x, h: step(x, h, w, v, b), x, h, **options), *given)


def text(graph: Graph) -> str:
    """A graph a line each: what has a name of its own by that, numbers where they are read, the body of a scan below it
    and indented. The order is that of what is needed, so that equal graphs are equal texts, however they came about."""
    nodes = [node for node in _in_order(graph) if not isinstance(node, Literal)]
    leaves = [node for node in nodes if isinstance(node, Leaf) and (node.name or "").isidentifier()]
    count = Counter(leaf.name for leaf in leaves)
    names: dict[Node, str] = {leaf: str(leaf.name) for leaf in leaves if count[leaf.name] == 1}
    names |= {node: f"%{index}" for index, node in enumerate(node for node in nodes if node not in names)}

    def called(node: Node) -> str:
        return names[node] if node in names else str(node.attrs["value"])

    rows = [_row(node, names[node], ", ".join(map(called, node.inputs))) for node in nodes]
    return "\n".join([*rows, f"return {', '.join(map(called, graph.outputs))}"])


def _in_order(graph: Graph) -> list[Node]:
    """The graph's inputs that it needs, and then each node right before the first that needs it."""
    needed = set(graph.nodes)
    order = dict.fromkeys(node for node in graph.inputs if node in needed)

    def visit(node: Node) -> None:
        if node not in order:
            for parent in node.inputs:
                visit(parent)
            order[node] = None

    for output in graph.outputs:
        visit(output)
    return list(order)


def _row(node: Node, name: str, inputs: str) -> str:
    if node.op is scan:
        return f"{name} = {_scan(node, inputs)}"
    if isinstance(node, Leaf):
        return f"{name} : {signature(node)}"
    attrs = "".join(f" {key}={_short(value)}" for key, value in node.attrs.items())
    return f"{name} = {node.op.name}({inputs}){attrs} : {signature(node)}"


def _scan(node: Node, inputs: str) -> str:
    attrs = node.attrs
    kind = f"{attrs['carries']} carried, {attrs['sequences']} sequences, {attrs['length']} steps"
    kind += ", backwards" if attrs["reverse"] else ""
    kind += f", cut every {attrs['cut']}" if attrs["cut"] else ""
    kind += ", to be computed again" if attrs.get("recompute") else ""
    return f"scan({inputs}) {kind}\n{indent(text(attrs['body']), '    ')}"


def _short(value: Any) -> str:
    """A key as it is written between brackets."""
    if isinstance(value, slice):
        step = f":{value.step}" if value.step is not None else ""
        return f"{'' if value.start is None else value.start}:{'' if value.stop is None else value.stop}{step}"
    return f"[{','.join(map(_short, value))}]" if isinstance(value, tuple) else str(value)


def unindented(block: str) -> str:
    """A text written within a test's indentation."""
    return dedent(block.rstrip()).strip()
