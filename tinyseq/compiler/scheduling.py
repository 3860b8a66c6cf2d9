"""The order of a plan's instructions: which decides how many large values are alive at a time."""

from __future__ import annotations

import math
from typing import Any, Final

from tinyseq.compiler.rewriting import again
from tinyseq.graph import Graph, Node
from tinyseq.ops import shape as sh
from tinyseq.ops.tuples import pick

#: Ops that a plan makes views of.
VIEWS: Final[set[Any]] = {sh.reshape, sh.transpose, sh.slice_, sh.broadcast_to, again}


def schedule(graph: Graph) -> list[Node]:
    """Return the nodes in an order that keeps few large values alive at a time.

    Each node comes just before the first that needs it, but one that makes less than it reads (a weight gradient from
    the values of all steps) comes as soon as it can, so that what it reads may go.
    """
    users = graph.consumers()
    given = {node for node in graph.nodes if not node.inputs}
    for node in graph.nodes:  # a view of an input is at hand at any time, and made when it is needed
        if node.op in VIEWS and node.inputs[0] in given:
            given.add(node)
    order: list[Node] = []
    done: set[Node] = set()

    def emit(node: Node) -> None:
        ready = [node]
        while ready:
            node = ready.pop()
            if node in done:
                continue
            late = [parent for parent in node.inputs if parent not in done]
            if late:  # views of inputs
                ready += [node, *late]
                continue
            done.add(node)
            order.append(node)
            if node not in given:
                for user in dict.fromkeys(users[node]):
                    at_hand = all(parent in done or parent in given for parent in user.inputs)
                    if at_hand and (user.op in VIEWS or _shrinks(user)):
                        ready.append(user)

    for output in graph.outputs:
        stack = [output]
        while stack:
            node = stack[-1]
            missing = [parent for parent in node.inputs if parent not in done]
            if missing:
                stack.extend(reversed(missing))
            else:
                stack.pop()
                if node not in done:
                    emit(node)
    return order


def _shrinks(node: Node) -> bool:
    if node.op is pick:
        return True
    if isinstance(node.dtype, tuple):
        return False
    made = [x for x in node.inputs if x.inputs and not isinstance(x.dtype, tuple)]
    return bool(made) and _bytes(node) < sum(map(_bytes, made))


def _bytes(node: Node) -> int:
    return int(math.prod(node.shape) * node.dtype.itemsize)
