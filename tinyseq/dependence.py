"""Gradient paths: from which output a gradient flows to which input, and so which gradients there are at all.

A gradient that is not there (``None``) is not one of zeros: an optimiser skips it. A plan computes the gradients of all
outputs at once, so what flows where is found here, by the ops' own rules, through loops step by step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinyseq.graph import Graph, Node, reach
from tinyseq.ops.scan import ScanParts, scan
from tinyseq.ops.tuples import pick

#: A set of leaves, a bit each.
Bits = int


def gradient_paths(outputs: Sequence[Node], wanted: Sequence[Node]) -> tuple[Bits, ...]:
    """Return, for each output, the wanted nodes that a gradient flows to from there, as bits in their order."""
    own: dict[Node, Bits] = {leaf: 1 << index for index, leaf in enumerate(wanted)}
    found = _flows(reach(outputs), own)
    return tuple(_bits(found[node]) for node in outputs)


def _bits(flow: Bits | list[Bits]) -> Bits:
    assert isinstance(flow, int)
    return flow


def _flows(nodes: Sequence[Node], own: Mapping[Node, Bits]) -> dict[Node, Bits | list[Bits]]:
    """Return the bits of each node, of several outputs in a list, given those of the leaves."""
    flows: dict[Node, Bits | list[Bits]] = {}
    for node in nodes:
        if node in own:
            flows[node] = own[node]
        elif node.op is scan:
            flows[node] = _through(node, [_bits(flows[x]) for x in node.inputs])
        elif node.op is pick:
            several = flows[node.inputs[0]]
            flows[node] = several[node.attrs["index"]] if isinstance(several, list) else several
        else:
            flows[node] = _of_op(node, flows) if node.op.differentiable else 0
    return flows


def _of_op(node: Node, flows: Mapping[Node, Bits | list[Bits]]) -> Bits:
    if not isinstance(node.dtype, tuple) and node.dtype.kind != "f":
        return 0
    rules = getattr(node.op, "vjps", ())
    total = 0
    for index, parent in enumerate(node.inputs):
        if index >= len(rules) or rules[index] is not None:
            total |= _bits(flows[parent])
    return total


def _through(node: Node, inputs: Sequence[Bits]) -> list[Bits]:
    """Follow a loop's states from step to step until nothing new comes; a cut lets nothing through."""
    body: Graph = node.attrs["body"]
    parts, cut = ScanParts.of(node.attrs, inputs), node.attrs["cut"]
    states, stacked = list(parts.inits), [0] * len(parts.ys)
    for count in range(node.attrs["length"]):
        before = list(states) if not (cut and count and count % cut == 0) else [0] * len(states)
        own = dict(zip(body.inputs, [*before, *parts.sequences, *parts.values], strict=True))
        flows = _flows(body.nodes, own)
        after = [_bits(flows[x]) for x in parts.nexts]
        grown = [old | _bits(flows[y]) for old, y in zip(stacked, parts.ys, strict=True)]
        settled = not cut and after == states and grown == stacked
        states, stacked = after, grown
        if settled:
            break
    return [*states, *stacked]
