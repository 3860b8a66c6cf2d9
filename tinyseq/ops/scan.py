"""Scan: the one op with a body. A graph of a single time step is applied at every step of a sequence.

The body's inputs are, in this order, the carried state, the step's slice of each sequence, and the constants; its
outputs are the new state and the step's output. A carried state's edge from the body's output back to its input is the
lecture's delay edge, z^-1. A graph with a scan is *rolled*; ``Graph.unroll()`` writes out its T copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tinyseq.errors import GraphError, ShapeError
from tinyseq.graph import Attrs, Graph, Literal, Node, Place, Signature, here, rebuild, remake
from tinyseq.ops.base import Inferred, Op, Value, Xp
from tinyseq.ops.elementwise import stop_gradient
from tinyseq.ops.shape import slice_, stack


def evaluate(nodes: Sequence[Node], values: dict[Node, Any], xp: Xp) -> None:
    """Compute nodes, given in topological order, by their own kernels: the plain interpreter, and the reference.

    ``values`` holds the leaves' arrays at first, and every node's at the end.
    """
    for node in nodes:
        if node in values:
            continue
        if isinstance(node, Literal):
            values[node] = node.attrs["value"]
            continue
        result = node.op.kernel(xp, *(values[parent] for parent in node.inputs), **node.attrs)  # type: ignore[attr-defined]
        if isinstance(result, tuple):
            values[node] = tuple(part.astype(dtype, copy=False) for part, dtype in zip(result, node.dtype, strict=True))
        else:
            values[node] = xp.asarray(result, dtype=node.dtype)


@dataclass(frozen=True)
class ScanParts:
    """A scan's inputs and its body's leaves and outputs, by what they are to it."""

    #: The body's leaves: for the states before a step, a step of each sequence, and the constants.
    states: Sequence[Any]
    xs: Sequence[Any]
    constants: Sequence[Any]
    #: What the scan is given for them.
    inits: Sequence[Any]
    sequences: Sequence[Any]
    values: Sequence[Any]
    #: The body's outputs: the states after a step, and what is stacked.
    nexts: Sequence[Node]
    ys: Sequence[Node]

    @staticmethod
    def of(attrs: Attrs, inputs: Sequence[Any]) -> ScanParts:
        """Take apart a scan of those attributes and inputs (nodes, tensors or arrays)."""
        body: Graph = attrs["body"]
        first = attrs["carries"]
        last = first + attrs["sequences"]
        leaves, ends = body.inputs, body.outputs
        return ScanParts(
            leaves[:first],
            leaves[first:last],
            leaves[last:],
            inputs[:first],
            inputs[first:last],
            inputs[last:],
            ends[:first],
            ends[first:],
        )


class Scan(Op):
    """``s_t, y_t = body(s_{t-1}, x_t, constants)`` for t = 0 .. length-1 (from the end with ``reverse``).

    Inputs: initial states, sequences (length, ...), constants. Outputs: last states, stacked y (length, ...), in the
    order of time whatever the direction. ``cut`` stops the gradient at the state every so many steps (``None``: never).
    """

    name = "scan"
    formula = r"s_t, y_t = f(s_{t-1}, x_t)"
    reads = "xy"
    multiple = True

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        parts, length = ScanParts.of(attrs, inputs), attrs["length"]
        expected = [leaf.shape for leaf in parts.states] + [(length, *leaf.shape) for leaf in parts.xs]
        expected += [leaf.shape for leaf in parts.constants]
        if [tuple(x.shape) for x in inputs] != expected:
            raise ShapeError("scan: inputs", required=str(expected), got=str([tuple(x.shape) for x in inputs]))
        for state, leaf in zip(parts.nexts, parts.states, strict=True):
            if (state.shape, state.dtype) != (leaf.shape, leaf.dtype):
                raise ShapeError(
                    "a state changes its shape or dtype from one step to the next",
                    required=f"{leaf.dtype}{leaf.shape}",
                    got=f"{state.dtype}{state.shape}",
                    where=state.where,
                )
        shapes = (*(s.shape for s in parts.nexts), *((length, *y.shape) for y in parts.ys))
        return shapes, tuple(node.dtype for node in (*parts.nexts, *parts.ys))

    def kernel(self, xp: Xp, *inputs: Any, **attrs: Any) -> Any:
        body, length, parts = attrs["body"], attrs["length"], ScanParts.of(attrs, inputs)
        state, carries = parts.inits, len(parts.inits)
        steps: list[tuple[Any, ...]] = []
        for t in range(length - 1, -1, -1) if attrs["reverse"] else range(length):
            values = dict(zip(body.inputs, (*state, *(x[t] for x in parts.sequences), *parts.values), strict=True))
            evaluate(body.nodes, values, xp)
            outputs = [values[node] for node in body.outputs]
            state = tuple(outputs[:carries])
            steps.append(tuple(outputs[carries:]))
        if attrs["reverse"]:
            steps.reverse()
        return (*state, *(xp.stack(ys) for ys in zip(*steps, strict=True)))

    def flops(self, shape: Any, /, *inputs: Signature, **attrs: Any) -> int:
        body: Graph = attrs["body"]
        return attrs["length"] * sum(
            node.op.flops(node.shape, *node.inputs, **node.attrs)  # type: ignore[attr-defined]
            for node in body.nodes
            if node.inputs
        )

    def unfold(self, node: Node, inputs: Sequence[Node]) -> list[Node]:
        """Return nodes for the outputs, made of a copy of the body for each step: the unfolded picture."""
        body, length, cut = (node.attrs[key] for key in ("body", "length", "cut"))
        parts = ScanParts.of(node.attrs, inputs)
        state, carries = list(parts.inits), len(parts.inits)
        steps: list[list[Node]] = []
        outer = here.place, here.source
        try:
            for count, t in enumerate(range(length - 1, -1, -1) if node.attrs["reverse"] else range(length)):
                here.place, here.source = Place(node.place.scope, t), node.source
                if cut and count and count % cut == 0:
                    state = [_made(stop_gradient, (s,), {}) for s in state]
                slices = [_made(slice_, (x,), {"key": (t,)}) for x in parts.sequences]
                copies = dict(zip(body.inputs, [*state, *slices, *parts.values], strict=True))
                outputs = rebuild(body.outputs, _at_this_step, copies)
                state = outputs[:carries]
                steps.append(outputs[carries:])
            if node.attrs["reverse"]:
                steps.reverse()
            here.place = node.place
            return [*state, *(_made(stack, ys, {"axis": 0}) for ys in zip(*steps, strict=True))]
        finally:
            here.place, here.source = outer

    def vjp(self, index: int, g: Value, y: Value, *inputs: Value, **attrs: Any) -> Value:
        raise GraphError(
            "a scan is differentiated as a whole graph", required="compiler.differentiate", fix="ts.compile(fn)"
        )


def _made(op: Op, inputs: tuple[Node, ...], attrs: dict[str, Any]) -> Node:
    shape, dtype = op.infer(*inputs, **attrs)
    return Node(op, inputs, attrs, shape, dtype, here.source)


def _at_this_step(node: Node, inputs: tuple[Node, ...]) -> Node:
    """A copy of a body's node that belongs to the step at hand."""
    if isinstance(node, Literal):
        return node
    fresh = remake(node, inputs, node.attrs)
    fresh.place = Place(node.place.scope, here.place.step)
    return fresh


scan: Final[Scan] = Scan()
