"""Norms of gradients, for every value on the way from the loss; and the backward pass as a graph of its own.

What no gradient reaches has no norm: behind a cut, beside the path to the loss, or before any backward pass. It is left
out, never set to 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinyseq.autodiff import backpropagate, pick
from tinyseq.errors import DataError
from tinyseq.graph import INPUT, Graph, Leaf, Node, Place, here
from tinyseq.ops.scan import evaluate
from tinyseq.tensors import AbstractTensor

#: What marks the scopes of the backward pass.
BACKWARD = "∂"


def norm(value: Any) -> float:
    """Return the Euclidean norm of an array, or of several as one vector."""
    parts = [part for part in (value if isinstance(value, list | tuple) else [value]) if part is not None]
    return math.hypot(*(float(np.linalg.norm(np.asarray(_on_host(part), dtype=np.float64))) for part in parts))


def _on_host(array: Any) -> Any:
    return array.get() if hasattr(array, "get") else array


def tied(nodes: Sequence[Node]) -> set[Node]:
    """Return the nodes that a gradient flows through on its way to a leaf that requires one."""
    found: set[Node] = set()
    for node in nodes:
        if (node.op is INPUT and isinstance(node, Leaf) and node.requires_grad) or (
            node.op.differentiable and not found.isdisjoint(node.inputs)
        ):
            found.add(node)
    return found


def of_recorded(graph: Graph) -> tuple[dict[Node, float], str]:
    """Return the norms for an eager graph, and what to say where there are none.

    The sweep reads what the forward pass saved and leaves it; ``grad`` of no leaf changes. Where an earlier backward
    pass has freed the graph, only the leaves have gradients still: those that ``backward()`` added up.
    """
    from tinyseq.errors import GraphError

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


def _sweep(nodes: Sequence[Node], outputs: Sequence[Node], known: Mapping[Node, Any] | None) -> dict[Node, float]:
    wanted = tied(nodes)
    seeds = {node: np.ones(node.shape, node.dtype) for node in outputs if node in wanted and node.dtype.kind == "f"}
    if not seeds:
        return {}
    norms = _Norms(wanted)
    if known is None:
        found = backpropagate(seeds, norms.wanted, retain=True)
    else:
        found = backpropagate(
            seeds, norms.wanted, lambda node: ([known[parent] for parent in node.inputs], known[node]), retain=True
        )
    return {node: norm(value) for node, value in found.items()}
