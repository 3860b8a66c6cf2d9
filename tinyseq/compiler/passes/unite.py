"""Unite, the merging of equal loops: scans of one body over the same inputs become one scan with the outputs of both.

Gradients of gradients make such twins: each derivative asks the forward loop for values of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyseq.compiler.loops import map_bodies
from tinyseq.compiler.rewriting import emit
from tinyseq.graph import Graph, Node, rebuild, remake
from tinyseq.ops.scan import ScanParts, scan
from tinyseq.ops.tuples import pick


def unite(graph: Graph) -> Graph:
    """Unite the scans of a graph, and of the bodies of its scans."""
    return map_bodies(graph, _unite)


def _unite(graph: Graph) -> Graph:
    twins: dict[Any, list[Sequence[Node]]] = {}  # of loops of one body: what each of them stacks
    for node in graph.nodes:
        if node.op is scan:
            twins.setdefault(_inside(node), []).append(ScanParts.of(node.attrs, node.inputs).ys)
    made: dict[Any, Node] = {}
    places: dict[Node, tuple[Node, list[int]]] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is scan and len(twins[_inside(node)]) > 1:
            key = (_inside(node), tuple(x.serial for x in inputs))
            parts = ScanParts.of(node.attrs, inputs)
            if key not in made:
                ys = list(dict.fromkeys(y for stacked in twins[_inside(node)] for y in stacked))
                attrs = {**node.attrs, "body": Graph([*parts.nexts, *ys], node.attrs["body"].inputs)}
                made[key] = remake(node, inputs, attrs, scan.infer(*inputs, **attrs))
            ys = list(ScanParts.of(made[key].attrs, inputs).ys)
            states = len(parts.nexts)
            places[node] = made[key], [*range(states), *(states + ys.index(y) for y in parts.ys)]
            return made[key]
        if node.op is pick and node.inputs[0] in places:
            whole, index = places[node.inputs[0]]
            return emit(node, pick, whole, index=index[node.attrs["index"]])
        return None

    return Graph(rebuild(graph.outputs, rule), graph.inputs)


def _inside(node: Node) -> Any:
    """Bodies made from one another share their leaves, which no other body has."""
    attrs = node.attrs
    return tuple(leaf.serial for leaf in attrs["body"].inputs), attrs["reverse"], attrs["cut"], attrs["length"]
