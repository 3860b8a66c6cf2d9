"""Unite, the merging of equal loops: scans of one body over the same inputs become one scan with the outputs of both.

Gradients of gradients make such twins: each derivative asks the forward loop for values of its own.
"""

from __future__ import annotations

from typing import Any

from tinyseq.compiler.loops import map_bodies
from tinyseq.compiler.rewriting import emit
from tinyseq.graph import Graph, Node, rebuild, remake
from tinyseq.ops.scan import scan
from tinyseq.ops.tuples import pick


def unite(graph: Graph) -> Graph:
    """Unite the scans of a graph, and of the bodies of its scans."""
    return map_bodies(graph, _unite)


def _unite(graph: Graph) -> Graph:
    bodies: dict[Any, list[Graph]] = {}
    for node in graph.nodes:
        if node.op is scan:
            bodies.setdefault(_inside(node), []).append(node.attrs["body"])
    made: dict[Any, Node] = {}
    places: dict[Node, tuple[Node, list[int]]] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is scan and len(bodies[_inside(node)]) > 1:
            key = (_inside(node), tuple(x.serial for x in inputs))
            body: Graph = node.attrs["body"]
            carries = node.attrs["carries"]
            if key not in made:
                shared = bodies[_inside(node)]
                ys = list(dict.fromkeys(y for b in shared for y in b.outputs[carries:]))
                united = Graph([*body.outputs[:carries], *ys], body.inputs)
                attrs = {**node.attrs, "body": united}
                made[key] = remake(node, inputs, attrs, scan.infer(*inputs, **attrs))
            outputs = made[key].attrs["body"].outputs
            places[node] = (
                made[key],
                [k if k < carries else carries + outputs[carries:].index(y) for k, y in enumerate(body.outputs)],
            )
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
