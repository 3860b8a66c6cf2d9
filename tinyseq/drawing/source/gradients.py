"""Norms of gradients, for every value on the way from the loss; and the backward pass as a graph of its own.

What no gradient reaches has no norm: behind a cut, beside the path to the loss, or before any backward pass. It is left
out, never set to 0.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyseq.autodiff import backpropagate, saved_operands
from tinyseq.compiler.rewriting import symbol
from tinyseq.drawing.shared.labels import called, stored_name
from tinyseq.drawing.shared.rolled import STORED
from tinyseq.drawing.shared.text import BACKWARD, marked, subscript
from tinyseq.errors import DataError, GraphError
from tinyseq.graph import INPUT, Graph, Leaf, Literal, Node, Place, here, reach
from tinyseq.ops.base import module_of
from tinyseq.ops.scan import evaluate
from tinyseq.tracing import AbstractTensor


def norm(value: Any) -> float:
    """Return the Euclidean norm of an array, or of several as one vector."""
    parts = [part for part in (value if isinstance(value, list | tuple) else [value]) if part is not None]
    return math.hypot(*(float(np.linalg.norm(np.asarray(_on_host(part), dtype=np.float64))) for part in parts))


def _on_host(array: Any) -> Any:
    return array.get() if hasattr(array, "get") else array


def tied(nodes: Sequence[Node]) -> set[Node]:
    """Return the nodes that a gradient flows through on its way to a leaf that requires one."""
    tracked: set[Node] = set()
    for node in nodes:
        if (node.op is INPUT and isinstance(node, Leaf) and node.requires_grad) or (
            node.op.differentiable and not tracked.isdisjoint(node.inputs)
        ):
            tracked.add(node)
    return tracked


def of_recorded(graph: Graph) -> tuple[dict[Node, float], str]:
    """Return the norms for an eager graph, and what to say where there are none.

    The sweep reads what the forward pass saved and leaves it; ``grad`` of no leaf changes. Where an earlier backward
    pass has freed the graph, only the leaves have gradients still: those that ``backward()`` added up.
    """
    try:
        return _sweep(graph.nodes, graph.outputs, None), ""
    except GraphError:
        left = {node: node.grad for node in graph.nodes if isinstance(node, Leaf) and node.grad is not None}
        note = "backward() has freed the graph: only weights have gradients (backward(retain_graph=True) keeps all)"
        return {leaf: norm(value.value) for leaf, value in left.items()}, note


def of_values(graph: Graph, values: Mapping[Node, Any]) -> dict[Node, float]:
    """Return the norms for a traced graph without loops, from the values of its inputs."""
    known: dict[Node, Any] = {node: np.asarray(value) for node, value in values.items()}
    evaluate(graph.nodes, known, np)
    return _sweep(graph.nodes, graph.outputs, known)


def _saved(nodes: Sequence[Node]) -> list[Any]:
    """An array that a forward pass has kept, or none."""
    for node in nodes:
        values = [node.out, *(node.args if isinstance(node.args, list) else ())]
        array = next((x for x in values if hasattr(x, "shape")), None)
        if array is not None:
            return [array]
    return []


def _sweep(nodes: Sequence[Node], outputs: Sequence[Node], known: Mapping[Node, Any] | None) -> dict[Node, float]:
    tracked = tied(nodes)
    xp = module_of(_saved(nodes)) if known is None else np  # where the values are, the gradients are worked out
    seeds = {node: xp.ones(node.shape, node.dtype) for node in outputs if node in tracked and node.dtype.kind == "f"}
    if not seeds:
        return {}
    targets = list(tracked)

    def at_hand(node: Node) -> tuple[Sequence[Any], Any]:
        return saved_operands(node) if known is None else ([known[parent] for parent in node.inputs], known[node])

    with np.errstate(all="ignore"):
        gradients = backpropagate(seeds, targets, at_hand, retain=True)
        return {node: norm(value) for node, value in gradients.items()}


@dataclass(frozen=True, slots=True)
class Backward:
    """The backward pass: its graph, what the gradients that flow in it are called, and which are sums for a weight.

    ``stored`` tells the forward node whose value a leaf of the graph stands for; the outputs are the gradients of
    ``weights``, in their order.
    """

    graph: Graph
    labels: dict[Node, str]
    sums: set[Node]
    stored: dict[Node, Node]
    weights: tuple[Leaf, ...]


def backward_of(graph: Graph) -> Backward:
    """Return the backward pass of a graph without loops, as a graph by itself.

    Values of the forward pass are leaves in it (``rolled.STORED``). Scopes keep their names behind a ∂, and each
    gradient stands at the time step whose op it is worked out for.

    Raises:
        DataError: no gradient flows here.
    """
    tracked = tied(graph.nodes)
    seeds = {node: Leaf(node.shape, node.dtype, name="∂L/∂L") for node in graph.outputs if node in tracked}
    seeds = {node: leaf for node, leaf in seeds.items() if node.dtype.kind == "f"}
    weights = [node for node in graph.nodes if isinstance(node, Leaf) and node in tracked]
    if not seeds or not weights:
        raise DataError(
            "draw: there is no backward pass",
            required="a result that depends on a tensor with requires_grad=True",
            fix="x.requires_grad = True, or a module's parameters",
        )
    arriving = {node: AbstractTensor(seed) for node, seed in seeds.items()}
    outer = here.place, here.source
    try:
        swept = backpropagate(arriving, list(tracked), _symbols, retain=True)
    finally:
        here.place, here.source = outer
    gradients = {node: value.node for node, value in swept.items() if not isinstance(value, list)}
    copies = _apart([gradients[leaf] for leaf in weights if leaf in gradients], set(graph.nodes))
    reached = tuple(leaf for leaf in weights if leaf in gradients)
    forward = set(graph.nodes)
    stored = {copy: node for node, copy in copies.items() if node in forward}
    outputs = [copies[gradients[leaf]] for leaf in reached]
    return Backward(Graph(outputs), *_names(gradients, weights, copies), stored, reached)


def _symbols(node: Node) -> tuple[Sequence[Any], Any]:
    here.place, here.source = node.place, node.source
    return [symbol(parent) for parent in node.inputs], AbstractTensor(node)


def _apart(outputs: Sequence[Node], forward: Container[Node]) -> dict[Node, Node]:
    """Copy the backward nodes to scopes of their own, and put stored values in the place of the forward ones."""
    copies: dict[Node, Node] = {}
    places: dict[tuple[str, int | None], Place] = {}
    for node in reach(outputs, stop=forward.__contains__):
        if isinstance(node, Literal) or (isinstance(node, Leaf) and node not in forward):
            copies[node] = node
            continue
        stored = node in forward
        inputs = () if stored else tuple(copies[parent] for parent in node.inputs)
        copies[node] = fresh = Node(
            STORED if stored else node.op,
            inputs,
            {} if stored else node.attrs,
            node.shape,
            node.dtype,
            node.source,
        )
        scope = marked(node.place.scope)
        fresh.place = places.setdefault((scope, node.place.step), Place(scope, node.place.step))
        fresh.name = (called(node.name) or stored_name(node)) if stored else node.name
    return copies


def _names(
    gradients: dict[Node, Node], weights: Sequence[Leaf], copies: dict[Node, Node]
) -> tuple[dict[Node, str], set[Node]]:
    """What flows is called after what it is the gradient of, the parts of a sum too; and which are weights' own."""
    labels: dict[Node, str] = {}
    sums: set[Node] = set()
    learned = set(weights)
    for node, gradient in sorted(gradients.items(), key=lambda pair: pair[0] not in learned):
        if gradient not in copies or not (node.name or node in learned):
            continue
        at = "" if node.place.step is None or node in learned else subscript(node.place.step)
        stack = [copies[gradient]]
        while stack:
            total = stack.pop()
            if total in labels:
                continue
            labels[total] = f"{BACKWARD}{called(node.name) or 'w'}{at}"
            if node in learned:
                sums.add(total)
            if total.op.name == "add":
                stack += [part for part in total.inputs if part.shape == total.shape]
    return labels, sums
