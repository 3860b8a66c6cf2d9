"""Reverse-mode differentiation: one sweep over the nodes, last to first.

The sweep (``backpropagate``) knows neither arrays nor tensors. It asks ``operands`` for the values that a node's
gradient rule reads, calls the rule, and adds what comes back to the inputs' gradients. With arrays that is the eager
backward pass; with tensors the rules' own ops are recorded, and the gradient is a graph that can be drawn, compiled
and differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from tinyseq.errors import GraphError
from tinyseq.graph import Leaf, Node, reach
from tinyseq.ops.base import Value
from tinyseq.ops.elementwise import cast
from tinyseq.ops.shape import sum_to
from tinyseq.ops.tuples import pick

#: (node, gradient of each output, which inputs need one) -> gradient of each input: the rule of an op with a body.
JointRule = Callable[[Node, list[Value], Sequence[bool]], list[Value]]
Operands = Callable[[Node], tuple[Sequence[Value], Value]]


class _Freed:
    """Marks a node whose saved values a backward pass has let go."""

    def __repr__(self) -> str:
        return "<freed>"


FREED: Final = _Freed()


def saved_operands(node: Node) -> tuple[Sequence[Value], Value]:
    """What an eager forward pass kept for a node's rule; the node itself stands for a value that was not kept."""
    return node.inputs if node.args is None else node.args, node if node.out is None else node.out


def backpropagate(
    seeds: Mapping[Node, Value],
    wanted: Sequence[Node] | None = None,
    operands: Operands = saved_operands,
    *,
    retain: bool = False,
    rules: Mapping[Any, JointRule] | None = None,
) -> dict[Node, Value]:
    """Return the gradient of Σ seed · output with respect to every wanted node that it depends on.

    Args:
        seeds: an output node and the gradient that arrives at it, for each output.
        wanted: the nodes to differentiate with respect to; ``None`` means the leaves that require a gradient.
        operands: gives the input values and the output value that a node's rule reads.
        retain: keep what the forward pass saved, so that the sweep can run again.
        rules: for ops whose gradients are found for all inputs at once.

    Raises:
        GraphError: an earlier sweep has freed a part of the graph.
    """
    order = reach(seeds, stop=_is_freed)
    targets = None if wanted is None else set(wanted)
    needed = _needed(order, targets)
    gradients: dict[Node, Value] = dict(seeds)
    # Nodes whose gradient array was made here, so that it may be added to in place; any other may be somebody's: a
    # seed, or what a rule handed to two inputs at once (a + b gives the same g to both).
    owned: set[Node] = set()
    results: dict[Node, Value] = {}
    for node in reversed(order):
        g = gradients.pop(node, None)
        if g is None or node not in needed:
            continue
        # Serial numbers are a topological order, so by now every consumer has added its part: g is final.
        if node.__class__ is Leaf or (targets is not None and node in targets):
            results[node] = g
            if node.__class__ is Leaf:
                continue
        # A rule of several outputs wants the gradients of all of them: they wait at the parent, which comes later.
        if node.op is pick:
            parent, index = node.inputs[0], node.attrs["index"]
            gradients.setdefault(parent, [None] * len(parent.shape))[index] = g
            continue
        joint = node.op.joint if rules is None else rules.get(node.op, node.op.joint)  # type: ignore[attr-defined]
        if joint is None:
            parts = _one_by_one(node, g, operands, needed)
        else:
            parts = joint(node, g, [parent in needed for parent in node.inputs])
        _add_up(node, parts, needed, gradients, owned)
        if not retain:
            node.args, node.out = FREED, None
    if not retain and targets is None:
        _free(order)  # what no gradient reached, behind a cut, is not needed either
    return results


def _needed(order: Sequence[Node], targets: set[Node] | None) -> set[Node]:
    """Return the nodes on a way to what is wanted, and what is wanted.

    Raises:
        GraphError: an earlier sweep has freed one of the nodes.
    """
    needed: set[Node] = set()
    for node in order:
        if node.args is FREED:
            raise freed_error(order)
        hit = node.__class__ is Leaf and node.requires_grad if targets is None else node in targets
        if hit or (node.op.differentiable and not needed.isdisjoint(node.inputs) and has_slope(node)):
            needed.add(node)
    return needed


def has_slope(node: Node) -> bool:
    """Whether a gradient may pass: none does through integers. Of several outputs each is asked by itself."""
    return node.dtype.__class__ is tuple or node.dtype.kind == "f"


def _one_by_one(node: Node, g: Value, operands: Operands, needed: set[Node]) -> list[Value]:
    """Return the gradient of each input by the op's own rule for it; None for those that need none."""
    args, out = operands(node)
    vjp, attrs = node.op.vjp, node.attrs  # type: ignore[attr-defined]
    return [
        vjp(index, g, out, *args, **attrs) if parent in needed else None for index, parent in enumerate(node.inputs)
    ]


def _add_up(
    node: Node, parts: Sequence[Value], needed: set[Node], gradients: dict[Node, Value], owned: set[Node]
) -> None:
    """Add what a node's rule gives to the gradients of its inputs."""
    for parent, part in zip(node.inputs, parts, strict=True):
        if part is None or parent not in needed:
            continue
        # Rules give the gradient at the output's shape and dtype: broadcasting and promotion are undone here, once.
        if part.shape != parent.shape:
            part = sum_to(part, parent.shape)
        if part.dtype is not parent.dtype and part.dtype != parent.dtype:
            part = cast(part, parent.dtype)
        known = gradients.get(parent)
        if known is None:
            gradients[parent] = part
        elif parent in owned:
            known += part
        else:
            gradients[parent] = total = known + part
            if type(total) is np.ndarray:
                owned.add(parent)


def _free(order: Sequence[Node]) -> None:
    for node in order:
        if node.__class__ is Node:
            node.args, node.out = FREED, None


def _is_freed(node: Node) -> bool:
    return node.args is FREED


def freed_error(order: Sequence[Node]) -> GraphError:
    """Say which value leads into a part of the graph that is gone, and how to keep out of it."""
    freed = [node for node in order if node.args is FREED]
    users = {parent for node in order if node.args is not FREED for parent in node.inputs}
    entries = [node for node in freed if node in users]
    if not entries:
        return GraphError(
            "backward through a graph that an earlier backward has freed",
            where=freed[-1].where,
            fix="backward(retain_graph=True) the first time, or compute the loss again",
        )
    states = [node for node in entries if node.name] or entries
    words = [repr(node.name) if node.name else f"the value of op {node.op.name}" for node in states]
    names = " and ".join(dict.fromkeys(words))
    return GraphError(
        f"backward reaches back into a graph that an earlier backward has freed, through {names}",
        required="values carried from one chunk to the next to be detached",
        got=f"{names} still attached",
        where=states[0].where,
        fix="state = ts.detach(state) between chunks (truncated BPTT), or backward(retain_graph=True)",
    )
