"""What the tests of single passes share: graphs as text."""

from __future__ import annotations

from textwrap import dedent, indent
from typing import Any

from tinyseq.graph import Graph, Leaf, Literal, Node, signature
from tinyseq.ops.scan import scan


def text(graph: Graph) -> str:
    """A graph a line each, numbers where they are read; the body of a scan stands below it, indented."""
    nodes = [node for node in graph.nodes if not isinstance(node, Literal)]
    names = {node: f"%{index}" for index, node in enumerate(nodes)}

    def called(node: Node) -> str:
        return names[node] if node in names else str(node.attrs["value"])

    rows = [f"{names[node]} = {_right(node, ', '.join(map(called, node.inputs)))}" for node in nodes]
    return "\n".join([*rows, f"return {', '.join(map(called, graph.outputs))}"])


def _right(node: Node, inputs: str) -> str:
    if node.op is scan:
        return _scan(node, inputs)
    if isinstance(node, Leaf):
        return f"{node.name or 'given'} : {signature(node)}"
    attrs = "".join(f" {key}={_short(value)}" for key, value in node.attrs.items())
    return f"{node.op.name}({inputs}){attrs} : {signature(node)}"


def _scan(node: Node, inputs: str) -> str:
    attrs = node.attrs
    kind = f"{attrs['carries']} carried, {attrs['sequences']} sequences, {attrs['length']} steps"
    return f"scan({inputs}) {kind}{', backwards' if attrs['reverse'] else ''}\n{indent(text(attrs['body']), '    ')}"


def _short(value: Any) -> str:
    """A key as it is written between brackets."""
    if isinstance(value, slice):
        step = f":{value.step}" if value.step is not None else ""
        return f"{'' if value.start is None else value.start}:{'' if value.stop is None else value.stop}{step}"
    return f"[{','.join(map(_short, value))}]" if isinstance(value, tuple) else str(value)


def unindented(block: str) -> str:
    """A text written within a test's indentation."""
    return dedent(block.rstrip()).strip()
