"""Gradients, graph to graph. The sweep is the engine's own; only scans need more, because their rule has a body too."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyseq.autodiff import anchor, backpropagate, gradient
from tinyseq.compiler.dependence import gradient_paths
from tinyseq.compiler.loops import map_bodies
from tinyseq.compiler.rewriting import again, fixed, fresh_leaf, standing_at, symbol
from tinyseq.errors import GraphError
from tinyseq.graph import Graph, Leaf, Literal, Node, here, reach, rebuild, remake
from tinyseq.ops.elementwise import stop_gradient, where
from tinyseq.ops.scan import scan
from tinyseq.ops.shape import Structural, zeros_like
from tinyseq.ops.tuples import pick
from tinyseq.tensors import record
from tinyseq.tracing import AbstractTensor


@dataclass(frozen=True)
class Differentiated:
    """A graph of outputs and gradients: ``seeds`` are the inputs that take what arrives at each output from above (None
    for one without gradient), ``reached`` the wanted leaves that have a gradient, in the order of the last outputs.

    ``paths`` says for each output to which of these a gradient flows from it, a bit each.
    """

    graph: Graph
    seeds: tuple[Leaf | None, ...]
    reached: tuple[Leaf, ...]
    paths: tuple[int, ...]


def differentiate(graph: Graph, wanted: Sequence[Leaf]) -> Differentiated:
    """Return a graph of the outputs and of the gradients of Σ seed · output with respect to the wanted leaves."""
    outputs = _expand_gradients(rebuild(graph.outputs, _augment))
    tied = _dependants(outputs, wanted)
    seeds = [
        Leaf(node.shape, node.dtype, name="gradient") if node in tied and node.dtype.kind == "f" else None
        for node in outputs
    ]
    given = [(node, seed) for node, seed in zip(outputs, seeds, strict=True) if seed is not None]
    found = _sweep(given, wanted) if given else {}
    paths = gradient_paths(outputs, wanted)
    everywhere = functools.reduce(operator.or_, paths, 0)
    reached = tuple(leaf for i, leaf in enumerate(wanted) if leaf in found and everywhere >> i & 1)
    gradients = [found[leaf].node for leaf in reached]
    whole = Graph([*outputs, *gradients], [*graph.inputs, *(seed for seed in seeds if seed is not None)])
    return Differentiated(map_bodies(whole, _without_cuts), tuple(seeds), reached, gradient_paths(outputs, reached))


def _sweep(seeds: Sequence[tuple[Node, Node]], wanted: Sequence[Node]) -> dict[Node, Any]:
    """Run the engine's sweep on symbols, from pairs of an output and what arrives at it; an output may come twice."""
    arriving: dict[Node, Any] = {}
    for target, seed in seeds:
        known = arriving.get(target)
        arriving[target] = AbstractTensor(seed) if known is None else known + AbstractTensor(seed)
    outer = here.place, here.source
    try:
        return backpropagate(arriving, wanted, _symbols, retain=True, rules={scan: _scan_vjp})
    finally:
        here.place, here.source = outer


def has_gradients(graph: Graph) -> bool:
    """Return whether the function that was traced takes gradients itself."""
    return any(node.op is gradient or node.op is anchor for node in graph.nodes)


def _expand_gradients(outputs: Sequence[Node]) -> list[Node]:
    """Work out every ``gradient`` node of the graph, the innermost first."""
    worked_out: dict[Node, list[Any]] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is gradient:
            count = node.attrs["outputs"]
            wanted = inputs[2 * count :]
            found = _sweep(list(zip(inputs[:count], inputs[count : 2 * count], strict=True)), wanted)
            worked_out[node] = [found[x] if x in found else zeros_like(AbstractTensor(x)) for x in wanted]
            return node
        if node.op is pick and node.inputs[0] in worked_out:
            part: Node = worked_out[node.inputs[0]][node.attrs["index"]].node
            return part
        return None

    return rebuild(outputs, rule)


def _dependants(outputs: Sequence[Node], wanted: Sequence[Leaf]) -> set[Node]:
    """Return the nodes that a gradient flows through on its way to a wanted leaf."""
    tied: set[Node] = set(wanted)
    for node in reach(outputs):
        if node.op.differentiable and not tied.isdisjoint(node.inputs):
            tied.add(node)
    return tied


def _read_again(node: Node) -> tuple[Node, ...]:
    """A scan's inputs, its sequences marked so that what is computed from them again is not the first result kept."""
    carries, sequences = node.attrs["carries"], node.attrs["sequences"]
    return tuple(
        record(again, (symbol(x),)).node if carries <= i < carries + sequences else x for i, x in enumerate(node.inputs)
    )


def _without_cuts(graph: Graph) -> Graph:
    """Once the gradients are found, a ``stop_gradient`` or an ``anchor`` is only its input."""

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is scan and node.attrs.get("recompute"):
            return remake(node, inputs, {key: value for key, value in node.attrs.items() if key != "recompute"})
        return inputs[0] if node.op in (stop_gradient, anchor) else None

    return Graph(rebuild(graph.outputs, rule), graph.inputs)


def _symbols(node: Node) -> tuple[Sequence[Any], Any]:
    here.place, here.source = node.place, node.source
    return [symbol(parent) for parent in node.inputs], None if node.op is scan else AbstractTensor(node)


def _augment(node: Node, inputs: tuple[Node, ...]) -> Node | None:
    """Make every value of a scan's body an output, for the backward body to read; those unread are pruned later."""
    if node.op is not scan or node.attrs.get("recompute"):
        return None
    return _augmented(node, inputs)


def _augmented(node: Node, inputs: tuple[Node, ...]) -> Node:
    body: Graph = node.attrs["body"]
    carries = node.attrs["carries"]
    given = {*body.inputs[carries:], *body.outputs[carries:]}
    extra = [n for n in body.nodes if n not in given and not isinstance(n, Literal) and not isinstance(n.dtype, tuple)]
    whole = Graph([*body.outputs, *extra], body.inputs)
    attrs = {**node.attrs, "body": whole}
    return remake(node, inputs, attrs, scan.infer(*inputs, **attrs))


def _scan_vjp(node: Node, gs: list[Any], needed: Sequence[bool]) -> list[Any]:
    """Return the gradient for each needed input of a scan: a scan of the body's own backward sweep, the other way."""
    # A scan to be computed again, or one that a first derivative has made, has not been prepared yet.
    whole = _augmented(node, _read_again(node) if node.attrs.get("recompute") else node.inputs)
    if len(whole.shape) > len(node.shape):
        gs = [*gs, *(None for _ in whole.shape[len(gs) :])]
        node = whole
    body: Graph = node.attrs["body"]
    carries, sequences, length = node.attrs["carries"], node.attrs["sequences"], node.attrs["length"]
    args = [symbol(parent) for parent in node.inputs]
    leaves = body.inputs
    if any(inner.op is scan for inner in body.nodes):
        raise GraphError(
            "a scan within a scan cannot be differentiated yet",
            where=node.where,
            fix="the inner loop written out in Python, or both as one scan with the inner state carried along",
        )
    states, xs, constants = leaves[:carries], leaves[carries : carries + sequences], leaves[carries + sequences :]

    def output(index: int) -> AbstractTensor:
        return AbstractTensor(record(pick, (AbstractTensor(node),), {"index": index}).node)

    active = [k for k, leaf in enumerate(states) if leaf.dtype.kind == "f"]
    above = {k: fresh_leaf(states[k]) for k in active}
    seeds: dict[Node, Any] = {}

    def seed(target: Node, value: AbstractTensor) -> None:
        with standing_at(target):
            seeds[target] = seeds[target] + value if target in seeds else value

    for k in active:
        seed(body.outputs[k], AbstractTensor(above[k]))
    streams: list[tuple[Leaf, Any]] = []  # per-step inputs of the backward body, and the sequences they come from
    for j in range(carries, len(body.outputs)):
        if gs[j] is not None:
            leaf = Leaf(body.outputs[j].shape, body.outputs[j].dtype, True, "dy")
            streams.append((leaf, gs[j]))
            seed(body.outputs[j], AbstractTensor(leaf))
    place_of = {target: j for j, target in reversed(list(enumerate(body.outputs))) if j >= carries}
    local: dict[Node, Any] = {leaf: fresh_leaf(leaf) for leaf in constants}

    def stored(n: Node) -> Any:
        """The value of a forward body node, inside the backward body."""
        if isinstance(n, Literal):
            return n.attrs["value"]
        if n not in local:
            if isinstance(n.op, Structural) and len(n.inputs) == 1 and not n.op.multiple:
                local[n] = record(n.op, (stored(n.inputs[0]),), n.attrs).node  # a view costs less than a copy kept
            else:
                streams.append(
                    (local.setdefault(n, fresh_leaf(n)), args[leaves.index(n)] if n in xs else output(place_of[n]))
                )
        return AbstractTensor(local[n])

    def operands(n: Node) -> tuple[Sequence[Any], Any]:
        here.place, here.source = n.place, n.source
        op: Any = n.op
        inputs = [stored(parent) for parent in n.inputs] if op.reads_inputs else list(n.inputs)
        return inputs, stored(n) if op.reads_output else n

    wanted = [leaf for leaf in leaves if leaf.dtype.kind == "f"]
    found = backpropagate(seeds, wanted, operands, retain=True, rules={scan: _scan_vjp})
    here.place, here.source = node.place, node.source

    keep = None
    if node.attrs["cut"]:
        # The gradient stops where the forward pass entered a chunk: at steps cut, 2 cut, ... in its own order.
        order = np.arange(length)[::-1] if node.attrs["reverse"] else np.arange(length)
        entered = np.zeros(length, dtype=bool)
        entered[order[node.attrs["cut"] :: node.attrs["cut"]]] = True
        keep = Leaf((), np.dtype(np.bool_), name="keep")
        streams.append((keep, fixed(tuple((~entered).tolist()), np.bool_)))
    inits: list[Any] = []
    carry_in: list[Leaf] = []
    carry_out: list[Node] = []
    for k in active:
        back = found.get(states[k])
        value = zeros_like(AbstractTensor(above[k])) if back is None else back
        if keep is not None:
            value = where(AbstractTensor(keep), value, 0.0)
        carry_in.append(above[k])
        carry_out.append(value.node)
        inits.append(zeros_like(output(k)) if gs[k] is None else gs[k])
    sums: dict[int, int] = {}
    for i, constant in enumerate(constants):
        if needed[carries + sequences + i] and constant in found:
            accumulator = fresh_leaf(constant)
            sums[i] = len(carry_in)
            carry_in.append(accumulator)
            carry_out.append((AbstractTensor(accumulator) + found[constant]).node)
            inits.append(zeros_like(args[carries + sequences + i]))
    stacked = [i for i, leaf in enumerate(xs) if needed[carries + i] and leaf in found]
    used = [local[leaf] for leaf in constants]
    backward = Graph(
        [*carry_out, *(found[xs[i]].node for i in stacked)], [*carry_in, *(leaf for leaf, _ in streams), *used]
    )
    outs = scan(
        *inits,
        *(sequence for _, sequence in streams),
        *args[carries + sequences :],
        body=backward,
        carries=len(carry_in),
        sequences=len(streams),
        length=length,
        reverse=not node.attrs["reverse"],
        cut=None,
    )
    gradients: list[Any] = [None] * len(args)
    for position, k in enumerate(active):
        gradients[k] = outs[position]
    for j, i in enumerate(stacked):
        gradients[carries + i] = outs[len(carry_in) + j]
    for i, position in sums.items():
        gradients[carries + sequences + i] = outs[position]
    return [g if wanted_here else None for g, wanted_here in zip(gradients, needed, strict=True)]
