"""The gradients in a compiled graph, told from the forward pass: what depends on the gradient that arrives from above.

In a picture they are a part of their own: scopes are marked with a ∂, and at op level the values that the backward part
takes from the forward one stand by their names, as in a picture of the backward pass alone. Wires to where each is made
would run through all of the picture.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from tinyseq.drawing.shared.labels import called, is_weight, stored_name
from tinyseq.drawing.shared.rolled import DELAY, EACH, EVERY, LAST, STORED, Rolled
from tinyseq.drawing.shared.text import marked
from tinyseq.graph import INPUT, LITERAL, Graph, Node, Place, rebuild

_OUT_OF_LOOPS = (EVERY, LAST)


def mark_backward(rolled: Rolled, seeds: Set[Node], by_name: bool) -> Rolled:
    """Return the rolled graph with the scopes of its backward part marked.

    Args:
        rolled: a graph with gradients in it.
        seeds: the inputs that take the gradients from above.
        by_name: let values of the forward part stand by their names in the backward part.
    """
    backward = backward_part(rolled, seeds)
    loops = {rolled.loop_of[node] for node in backward if node in rolled.loop_of}
    places: dict[Place, Place] = {}
    leaves: dict[Node, Node] = {}

    def mark(fresh: Node, node: Node) -> Node:
        place = places.setdefault(node.place, Place(marked(node.place.scope), node.place.step))
        fresh.place, fresh.name = place, node.name
        return fresh

    def stored(node: Node) -> Node:
        """The leaf that bears the name of a forward value, of one step or of all."""
        if node not in leaves:
            origin = node
            while origin.op in (EACH, *_OUT_OF_LOOPS):
                origin = origin.inputs[0]
            leaves[node] = leaf = Node(STORED, (), {}, node.shape, node.dtype, node.source)
            name = called(origin.name) or ("const" if origin.op is INPUT else stored_name(origin))
            leaf.name = f"{name}ₜ₋₁" if origin.op is DELAY else name
        return leaves[node]

    def crosses(node: Node) -> bool:
        return by_name and node not in backward and node.op is not LITERAL and not is_weight(node)

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node not in backward or not node.inputs:
            return None
        if node.op is EACH and crosses(node.inputs[0]):
            return stored(node)
        taken = tuple(stored(old) if crosses(old) else new for old, new in zip(node.inputs, inputs, strict=True))
        return mark(Node(node.op, taken, node.attrs, node.shape, node.dtype, node.source), node)

    new: dict[Node, Node] = {}
    outputs = rebuild([*rolled.outputs, *rolled.delays.values()], rule, new)[: len(rolled.outputs)]
    new_of = new.__getitem__
    delays = {new_of(delay): new_of(state) for delay, state in rolled.delays.items() if delay in new}
    return Rolled(
        Graph([*outputs, *delays.values()], rolled.graph.inputs),
        tuple(outputs),
        [replace(one, scope=marked(one.scope)) if n in loops else one for n, one in enumerate(rolled.loops)],
        delays,
        {new_of(node): n for node, n in rolled.loop_of.items() if node in new and new_of(node).op is not STORED},
        {node: new.get(copy, copy) for node, copy in rolled.copy_of.items()},
    )


def backward_part(rolled: Rolled, seeds: Set[Node]) -> set[Node]:
    """Return the nodes that depend on the seeds, the rest of the loops that these stand in, and what only they use."""
    backward = set(seeds)
    size = -1
    while size != len(backward):  # a value may come from the step before
        size = len(backward)
        loops = {rolled.loop_of[node] for node in backward if node in rolled.loop_of}
        for node in rolled.graph.nodes:
            state = rolled.delays.get(node)
            if rolled.loop_of.get(node) in loops or state in backward or not backward.isdisjoint(node.inputs):
                backward.add(node)
    users: dict[Node, list[Node]] = {}
    for node in rolled.graph.nodes:
        for parent in node.inputs:
            users.setdefault(parent, []).append(node)
    excluded = {*rolled.outputs, *rolled.loop_of}
    for node in reversed(rolled.graph.nodes):
        shown = node.op not in (INPUT, LITERAL, *_OUT_OF_LOOPS) and node not in excluded
        if shown and backward.issuperset(users.get(node, [node])):
            backward.add(node)
    return backward
