"""Merge, the horizontal fusion of products: those of one left operand become one, their right operands side by side.

In a body, only where the right operands do not change in the loop, for they are joined once, outside. The order of the
parts (lanes) is chosen by what consumes each: lanes whose values meet the same further ops stand next to each other, so
that ``pack`` can take them together; the input's and the state's products of one gate get the same order, because they
meet in the same sum.

The rounding contract: each product in the order in which BLAS adds up the wide one.
"""

from __future__ import annotations

from tinyseq.compiler.loops import map_bodies
from tinyseq.compiler.rewriting import standing_at, symbol
from tinyseq.graph import Dtype, Graph, Leaf, Literal, Node, rebuild
from tinyseq.ops import elementwise as ew
from tinyseq.ops import linalg
from tinyseq.ops import shape as sh


def merge(graph: Graph) -> Graph:
    """Merge products in the bodies of scans and in the graph itself."""
    return map_bodies(graph, _merge)


def _merge(graph: Graph) -> Graph:
    #: For each product that can be merged, all that are merged with it, in the order of their lanes.
    together = {product: products for products in _groups(graph) for product in products}
    if not together:
        return graph
    lanes: dict[Node, Node] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node in together and node not in lanes:
            lanes.update(_side_by_side(together[node], inputs[0]))
        return lanes.get(node)

    return Graph(rebuild(graph.outputs, rule), graph.inputs)


def _groups(graph: Graph) -> list[list[Node]]:
    """Return the products of one left operand with several right ones, in the order of their lanes."""
    groups: dict[tuple[Node, Dtype], list[Node]] = {}
    for node in graph.nodes:
        if node.op is linalg.matmul and isinstance(node.inputs[1], Leaf) and len(node.inputs[1].shape) == 2:
            groups.setdefault((node.inputs[0], node.inputs[1].dtype), []).append(node)
    users = graph.consumers()
    several = [products for products in groups.values() if len({id(p.inputs[1]) for p in products}) > 1]
    return [sorted(products, key=lambda p: lane_key(p, users)) for products in several]


def _side_by_side(products: list[Node], left: Node) -> dict[Node, Node]:
    """Return the lanes of one wide product, by the product that each stands for."""
    lanes: dict[Node, Node] = {}
    with standing_at(products[0]):
        wide = symbol(left) @ sh.concat([symbol(p.inputs[1]) for p in products], 1)
        start = 0
        for p in products:
            stop = start + p.shape[-1]
            with standing_at(p):
                key = (slice(None),) * (len(p.shape) - 1) + (slice(start, stop),)
                lanes[p] = sh.slice_(wide, key).node
            start = stop
    return lanes


def lane_key(node: Node, users: dict[Node, list[Node]]) -> tuple[str, int]:
    """Order lanes by what becomes of them: the ops that consume the sum that a product goes into, then its age."""
    root = node
    while len(after := users.get(root, [])) == 1 and after[0].op is ew.add:
        root = after[0]
    return _fate(root, users, 3), root.serial


def _fate(node: Node, users: dict[Node, list[Node]], depth: int) -> str:
    if not depth:
        return ""
    fates = []
    for user in users.get(node, []):
        factor = next((str(x.attrs["value"]) for x in user.inputs if isinstance(x, Literal)), "")
        fates.append(f"{user.op.name}{factor}({_fate(user, users, depth - 1)})")
    return ",".join(sorted(fates))
