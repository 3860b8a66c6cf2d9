"""Gradients, graph to graph. The sweep is the engine's own; only scans need more, because their rule has a body too."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinyseq.autodiff import backpropagate
from tinyseq.compiler.loops import map_bodies
from tinyseq.compiler.rewriting import again, emit, fixed, fresh_leaf, standing_at, symbol
from tinyseq.dependence import gradient_paths
from tinyseq.errors import GraphError
from tinyseq.graph import Graph, Leaf, Literal, Node, here, reach, rebuild, remake, substitute
from tinyseq.markers import anchor, gradient
from tinyseq.modes import concrete, enable_grad
from tinyseq.ops.base import Op
from tinyseq.ops.elementwise import stop_gradient, where
from tinyseq.ops.scan import ScanParts, scan
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


def differentiate(graph: Graph, wanted: Sequence[Leaf], traced: Graph | None = None) -> Differentiated:
    """Return a graph of the outputs and of the gradients of Σ seed · output with respect to the wanted leaves.

    ``traced`` is what the graph was before passes made one product of several, by which gradients of zeros would flow.
    """
    outputs = _expand_gradients(rebuild(graph.outputs, _augment))
    paths = gradient_paths(outputs, wanted)
    if traced is not None:
        known = paths_of(traced.outputs, wanted)  # checks that nothing reads stand last, and nothing flows from them
        paths = (*(a & b for a, b in zip(paths, known, strict=False)), *paths[len(known) :])
    seeds = [
        Leaf(node.shape, node.dtype, name="gradient") if path and node.dtype.kind == "f" else None
        for node, path in zip(outputs, paths, strict=True)
    ]
    given = [(node, seed) for node, seed in zip(outputs, seeds, strict=True) if seed is not None]
    swept = _sweep(given, wanted) if given else {}
    everywhere = functools.reduce(operator.or_, paths, 0)
    places = [i for i, leaf in enumerate(wanted) if leaf in swept and everywhere >> i & 1]
    reached = tuple(wanted[i] for i in places)
    gradients = [swept[leaf].node for leaf in reached]
    whole = Graph([*outputs, *gradients], [*graph.inputs, *(seed for seed in seeds if seed is not None)])
    paths = tuple(sum((path >> place & 1) << bit for bit, place in enumerate(places)) for path in paths)
    return Differentiated(map_bodies(whole, _without_cuts), tuple(seeds), reached, paths)


def paths_of(outputs: Sequence[Node], wanted: Sequence[Node]) -> tuple[int, ...]:
    """Return the gradient paths of a traced graph, in which gradients may still stand to be worked out.

    What flows on from a gradient is what its rules read: of x W, the gradient with respect to x reads W and not x. So
    it is worked out first, behind no further than what is asked about.
    """
    substitutes = {node: fresh_leaf(node) for node in wanted if not isinstance(node, Leaf)}
    cut = substitute(outputs, substitutes) if substitutes else outputs
    with concrete(), enable_grad():
        worked_out = _expand_gradients(cut)[: len(cut)]
    return gradient_paths(worked_out, [substitutes.get(node, node) for node in wanted])


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
    """Work out every ``gradient`` node of the graph, the innermost first; checks that nothing reads then stand last."""
    nodes = reach(outputs)
    if not any(node.op is gradient for node in nodes):
        return list(outputs)
    worked_out: dict[Node, list[Any]] = {}

    def rule(node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is gradient:
            count = node.attrs["outputs"]
            wanted = inputs[2 * count :]
            swept = _sweep(list(zip(inputs[:count], inputs[count : 2 * count], strict=True)), wanted)
            worked_out[node] = [swept[x] if x in swept else zeros_like(AbstractTensor(x)) for x in wanted]
            return node
        if node.op is pick and node.inputs[0] in worked_out:
            part: Node = worked_out[node.inputs[0]][node.attrs["index"]].node
            return part
        return None

    first = [node for node in nodes if isinstance(node.op, Op) and node.op.checks]
    rebuilt = rebuild([*outputs, *first], rule)
    results, checks = rebuilt[: len(outputs)], rebuilt[len(outputs) :]
    read = set(reach(results))
    return [*results, *(emit(node, stop_gradient, node) for node in checks if node not in read)]


def _read_again(node: Node) -> tuple[Node, ...]:
    """A scan's inputs, its sequences marked so that what is computed from them again is not the first result kept."""
    parts = ScanParts.of(node.attrs, node.inputs)
    return (*parts.inits, *(record(again, (symbol(x),)).node for x in parts.sequences), *parts.values)


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
    body, parts = node.attrs["body"], ScanParts.of(node.attrs, inputs)
    # Sequences and constants are at hand outside, the ys are outputs already; states are none of these: the scan is
    # given the first one only, and those of later steps must be kept.
    given = {*parts.xs, *parts.constants, *parts.ys}
    extra = [n for n in body.nodes if n not in given and not isinstance(n, Literal) and not isinstance(n.dtype, tuple)]
    attrs = {**node.attrs, "body": Graph([*body.outputs, *extra], body.inputs)}
    return remake(node, inputs, attrs, scan.infer(*inputs, **attrs))


def _scan_vjp(node: Node, gs: list[Any], needed: Sequence[bool]) -> list[Any]:
    """Return the gradient for each needed input of a scan: a scan of the body's own backward sweep, the other way."""
    # A scan to be computed again, or one that a first derivative has made, has not been prepared yet.
    whole = _augmented(node, _read_again(node) if node.attrs.get("recompute") else node.inputs)
    if len(whole.shape) > len(node.shape):
        gs = [*gs, *(None for _ in whole.shape[len(gs) :])]
        node = whole
    if any(inner.op is scan for inner in node.attrs["body"].nodes):
        raise GraphError(
            "a scan within a scan cannot be differentiated yet",
            where=node.where,
            fix="the inner loop written out in Python, or both as one scan with the inner state carried along",
        )
    return _BackwardScan(node, gs).gradients(needed)


class _Carried(NamedTuple):
    """A state of the backward scan: the body's leaf for it, its next value, and what it begins with."""

    leaf: Leaf
    after: Node
    init: Any


class _BackwardScan:
    """The scan that runs a scan's derivative; ``gs`` are the gradients from above, None where there is none.

    It carries the gradients of the forward states, and sums of the constants' gradients; it is given what arrives at
    each step's outputs, and the forward body's values that the rules read; it stacks the gradients of the sequences.
    """

    def __init__(self, node: Node, gs: Sequence[Any]) -> None:
        self.node, self.gs, self.parts = node, gs, ScanParts.of(node.attrs, node.inputs)
        self.args = [symbol(parent) for parent in node.inputs]
        self.outputs = (*self.parts.nexts, *self.parts.ys)
        self.carries = len(self.parts.states)
        #: The states that have gradients, and the leaves by which these come from the step after.
        self.above = {k: fresh_leaf(leaf) for k, leaf in enumerate(self.parts.states) if leaf.dtype.kind == "f"}
        #: What is read step by step: a leaf of the backward body, and the sequence that it comes from.
        self.streams: list[tuple[Leaf, Any]] = []
        # From behind, so that a value that is several outputs is read from the first of them.
        self.place_of = {target: j for j, target in reversed(list(enumerate(self.outputs))) if j >= self.carries}
        seeds = self.seeds()
        #: Where the backward body finds a value of the forward body; constants are the same at each step, and are given
        #: to both scans.
        self.local: dict[Node, Any] = {leaf: fresh_leaf(leaf) for leaf in self.parts.constants}
        wanted = [leaf for leaf in node.attrs["body"].inputs if leaf.dtype.kind == "f"]
        self.swept = backpropagate(seeds, wanted, self.operands, retain=True, rules={scan: _scan_vjp})
        here.place, here.source = node.place, node.source

    def seeds(self) -> dict[Node, Any]:
        """What arrives at the body's outputs: at the states from the step after, at the others from outside the scan.

        One value may be several outputs, so what arrives is added up.
        """
        seeds: dict[Node, Any] = {}

        def arrive(target: Node, leaf: Leaf) -> None:
            with standing_at(target):
                value = AbstractTensor(leaf)
                seeds[target] = seeds[target] + value if target in seeds else value

        for k, leaf in self.above.items():
            arrive(self.outputs[k], leaf)
        for target, g in zip(self.outputs[self.carries :], self.gs[self.carries :], strict=True):
            if g is not None:
                leaf = Leaf(target.shape, target.dtype, True, "dy")
                self.streams.append((leaf, g))
                arrive(target, leaf)
        return seeds

    def output(self, index: int) -> AbstractTensor:
        """One of the forward scan's outputs."""
        return AbstractTensor(record(pick, (AbstractTensor(self.node),), {"index": index}).node)

    def stored(self, n: Node) -> Any:
        """The value of a forward body's node, inside the backward body: read from the stack that the scan made of it.

        A view is made again, which costs less than a copy that is kept.
        """
        views: list[tuple[Structural, Node]] = []
        while n not in self.local and isinstance(n.op, Structural) and len(n.inputs) == 1 and not n.op.multiple:
            views.append((n.op, n))
            n = n.inputs[0]
        value = n.attrs["value"] if isinstance(n, Literal) else AbstractTensor(self.of_the_forward_scan(n))
        for op, view in reversed(views):
            value = AbstractTensor(record(op, (value,), view.attrs).node)
            self.local[view] = value.node
        return value

    def of_the_forward_scan(self, n: Node) -> Node:
        """What stands for a forward body's value; where nothing does yet, a step of its stack."""
        if n not in self.local:
            leaf = self.local.setdefault(n, fresh_leaf(n))
            xs = self.parts.xs
            source = symbol(self.parts.sequences[xs.index(n)]) if n in xs else self.output(self.place_of[n])
            self.streams.append((leaf, source))
        stand_in: Node = self.local[n]
        return stand_in

    def operands(self, n: Node) -> tuple[Sequence[Any], Any]:
        """What the rule of a node reads; the forward node itself stands for what it does not read."""
        here.place, here.source = n.place, n.source
        op: Any = n.op
        inputs = [self.stored(parent) for parent in n.inputs] if op.reads_inputs else list(n.inputs)
        return inputs, self.stored(n) if op.reads_output else n

    def keep(self) -> AbstractTensor | None:
        """Whether the gradient flows on to the step before: not where the forward pass entered a chunk, at steps cut,
        2 cut, ... in its own order. None where nothing is cut.
        """
        cut, length = self.node.attrs["cut"], self.node.attrs["length"]
        if not cut:
            return None
        order = np.arange(length)[::-1] if self.node.attrs["reverse"] else np.arange(length)
        entered = np.zeros(length, dtype=bool)
        entered[order[cut::cut]] = True
        leaf = Leaf((), np.dtype(np.bool_), name="keep")
        self.streams.append((leaf, fixed(tuple((~entered).tolist()), np.bool_)))
        return AbstractTensor(leaf)

    def states(self) -> list[_Carried]:
        """The gradients of the states, which begin with what arrives at the last ones."""
        carried, keep = [], self.keep()
        for k, leaf in self.above.items():
            back = self.swept.get(self.parts.states[k])
            value = zeros_like(AbstractTensor(leaf)) if back is None else back
            if keep is not None:
                value = where(keep, value, 0.0)
            init = zeros_like(self.output(k)) if self.gs[k] is None else self.gs[k]
            carried.append(_Carried(leaf, value.node, init))
        return carried

    def sums(self, needed: Sequence[bool]) -> dict[int, _Carried]:
        """The gradients of constants, by their number: each step adds to them (``accumulate`` makes products of it)."""
        first = self.carries + len(self.parts.xs)
        summed = {}
        for i, constant in enumerate(self.parts.constants):
            if needed[first + i] and constant in self.swept:
                leaf = fresh_leaf(constant)
                after = AbstractTensor(leaf) + self.swept[constant]
                summed[i] = _Carried(leaf, after.node, zeros_like(self.args[first + i]))
        return summed

    def gradients(self, needed: Sequence[bool]) -> list[Any]:
        """Make the scan, and return the gradient of each input that needs one."""
        states, sums = self.states(), self.sums(needed)
        carried, xs = [*states, *sums.values()], self.parts.xs
        stacked = [i for i, leaf in enumerate(xs) if needed[self.carries + i] and leaf in self.swept]
        outs = self.scan(carried, [self.swept[xs[i]].node for i in stacked])
        # The scan's outputs come in the order of ``carried`` and then ``stacked``; the gradients of all steps of a
        # sequence are stacked in the order of time, whatever the direction, so they need no turning round.
        gradients: list[Any] = [None] * len(self.args)
        for k, g in zip(self.above, outs, strict=False):
            gradients[k] = g
        for i, g in zip(sums, outs[len(states) :], strict=False):
            gradients[self.carries + len(xs) + i] = g
        for i, g in zip(stacked, outs[len(carried) :], strict=True):
            gradients[self.carries + i] = g
        return [g if wanted else None for g, wanted in zip(gradients, needed, strict=True)]

    def scan(self, carried: Sequence[_Carried], stacked: Sequence[Node]) -> list[Any]:
        """Return the outputs of the backward scan: the gradients carried, then those of each step."""
        constants = [self.local[leaf] for leaf in self.parts.constants]
        leaves = [*(state.leaf for state in carried), *(leaf for leaf, _ in self.streams), *constants]
        outs = scan(
            *(state.init for state in carried),
            *(sequence for _, sequence in self.streams),
            *self.args[self.carries + len(self.parts.xs) :],
            body=Graph([*(state.after for state in carried), *stacked], leaves),
            carries=len(carried),
            sequences=len(self.streams),
            length=self.node.attrs["length"],
            reverse=not self.node.attrs["reverse"],
            cut=None,  # where the forward scan is cut, ``keep`` lets nothing through already
        )
        return list(outs)
