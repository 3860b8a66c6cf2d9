"""Planning: from a graph to a plan. Storage is half of the speed, and decided here.

Reshapes, transposes and slices are views and cost nothing; the parts of a concatenation are written in place, those
that come from outside a loop before it; a state that is also an output lives in one buffer of T + 1 steps, whose
shifted views are s_{t-1} and s_t; weights that a loop multiplies with are laid out before it as BLAS likes them
(layout.py); buffers whose values are dead are used again (lifetimes.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from tinyseq.compiler.layout import COLUMNS, FeaturesFirst, Layout, Order, order_in_memory
from tinyseq.compiler.lifetimes import mark_lifetimes, share_slots
from tinyseq.compiler.plan import Call, Copy, Instruction, Number, Operand, Plan, Ref
from tinyseq.compiler.planning_loops import LoopPlanner, is_computed, keys_of
from tinyseq.compiler.scheduling import VIEWS, schedule
from tinyseq.compiler.storage import Emitted, Storage
from tinyseq.errors import GraphError
from tinyseq.graph import Graph, Leaf, Literal, Node, reach
from tinyseq.ops import linalg
from tinyseq.ops import shape as sh
from tinyseq.ops.scan import scan
from tinyseq.ops.tuples import pick

#: Where the values of a graph, or of a loop's body, are found.
Values: TypeAlias = dict[Node, Operand]


def make_plan(graph: Graph, forward: int | None = None, layout: Callable[[Graph], Layout] = FeaturesFirst) -> Plan:
    """Lower a graph to a plan; what the first ``forward`` outputs need comes first.

    ``layout`` says how values and weights of loops lie; by default as BLAS likes them.

    Raises:
        GraphError: a scan within the body of a scan, which is written out when it is traced; another op of several
            outputs, which the passes take apart.
    """
    return Planner(graph, layout(graph)).plan(len(graph.outputs) if forward is None else forward)


class Planner(Storage):
    """The walk over a graph that emits its instructions; a loop's borders stand in planning_loops.py."""

    def __init__(self, graph: Graph, layout: Layout) -> None:
        super().__init__(layout)
        self.graph = graph
        #: The plan's own, in which loops stand; what is within a loop goes to its body.
        self.instructions: list[Instruction] = []
        #: The last states of each loop, and the stacks of its outputs.
        self.results: dict[Node, list[Ref]] = {}

    def plan(self, forward: int) -> Plan:
        graph = self.graph
        values: Values = {}
        inputs: dict[Leaf, Ref] = {}
        for leaf in graph.inputs:
            assert isinstance(leaf, Leaf)
            inputs[leaf] = values[leaf] = self.whole(leaf.shape, leaf.dtype, "input")
        instructions = self.instructions
        order = schedule(graph)
        first = set(reach(graph.outputs[:forward]))
        # The copies that outputs need belong to their own part: it ends by handing them out.
        self.block([node for node in order if node in first], values, {}, instructions)
        outputs = [self.in_memory(node, values, instructions) for node in graph.outputs[:forward]]
        boundary = len(instructions)
        self.block([node for node in order if node not in first], values, {}, instructions)
        outputs += [self.in_memory(node, values, instructions) for node in graph.outputs[forward:]]
        kept = [x.buffer for x in outputs]
        mark_lifetimes(instructions, kept, [ref.buffer for ref in inputs.values()])
        share_slots(self.buffers)
        return Plan(instructions, self.buffers, inputs, outputs, boundary, forward)

    def block(self, nodes: Sequence[Node], values: Values, homes: dict[Node, Ref], out: Emitted) -> None:
        """Emit instructions for nodes in order; ``homes`` says where some of them are to be written."""
        homes = self.place_parts(nodes, values, homes)
        for node in nodes:
            if (node in values or node.op in VIEWS) and node not in homes:
                continue  # views are made where they are needed
            if isinstance(node, Literal):
                values[node] = node.attrs["value"]
            elif node.op is scan:
                self.results[node] = self.loop(node, values)
            elif node.op is pick:
                values[node] = self.results[node.inputs[0]][node.attrs["index"]]
            elif isinstance(node.dtype, tuple):
                raise GraphError(f"a {node.op.name} has several outputs, for passes to take apart", where=node.where)
            elif node.op is linalg.matmul:
                values[node] = self.product(node, values, homes.get(node), out)
            else:
                values[node] = self.node(node, values, homes.get(node), out)

    def value(self, node: Node, values: Values, out: Emitted) -> Operand:
        """Return a node's place, or its view of another's, for which what cannot be a view is copied."""
        chain = []
        while node not in values:
            chain.append(node)
            node = node.inputs[0]
        value = values[node]
        for viewer in reversed(chain):
            if isinstance(value, Ref):
                value = values[viewer] = self.viewed(value, viewer, out)
            else:
                value = values[viewer] = self.filled(value, viewer, out)
        return value

    def viewed(self, ref: Ref, viewer: Node, out: Emitted) -> Ref:
        """Return the view that a structural op makes of another, or of a copy of that."""
        view = ref.viewed(viewer) or self.contiguous(ref, out).viewed(viewer)
        assert view is not None
        return view

    def filled(self, number: Number, like: Node, out: Emitted) -> Ref:
        """Return a buffer of a node's shape and dtype, filled with a number."""
        made = self.whole(like.shape, like.dtype, "temp")
        out.append(Copy(number, made))
        return made

    def in_memory(self, node: Node, values: Values, out: Emitted) -> Ref:
        """Return where a value lies; a number, which lies nowhere, is written to a buffer."""
        value = self.value(node, values, out)
        return value if isinstance(value, Ref) else self.filled(value, node, out)

    def place_parts(self, nodes: Sequence[Node], values: Values, homes: dict[Node, Ref]) -> dict[Node, Ref]:
        """Give the parts of each concatenation their place within it, the outermost first."""
        homes = dict(homes)
        for node in reversed(nodes):
            if node.op is not sh.concat or node in values:
                continue
            if node not in homes:
                homes[node] = self.whole(node.shape, node.dtype, "temp", self.order(node, ()))
            for part, key in zip(node.inputs, keys_of(node), strict=True):
                if is_computed(part) and part not in homes and part not in values and part.dtype == node.dtype:
                    homes[part] = homes[node].sliced(key, part.shape)
        return homes

    def order(self, node: Node, inputs: Sequence[Operand]) -> Order:
        """Return the order for a node's axes: as the loop keeps them, as a loop wants them, or as its input's lie."""
        if self.columns:
            return COLUMNS if len(node.shape) == 2 else ()
        if node in self.layout.wanted:
            return self.layout.wanted[node]
        alike = [x for x in inputs if isinstance(x, Ref) and x.shape == node.shape and len(node.shape) > 1]
        alike.sort(key=lambda x: x.dtype != node.dtype)  # values before masks
        return next((order_in_memory(x.ghost()) for x in alike), ())

    def node(self, node: Node, values: Values, home: Ref | None, out: Emitted) -> Ref:
        inputs = [self.value(parent, values, out) for parent in node.inputs]
        output = home or self.whole(node.shape, node.dtype, "temp", self.order(node, inputs))
        if node.op is sh.concat:
            for part, key in zip(node.inputs, keys_of(node), strict=True):
                target = output.sliced(key, part.shape)
                source = self.value(part, values, out)
                if not isinstance(source, Ref) or _place(source) != _place(target):
                    out.append(Copy(source, target))
            return output
        if node.op in VIEWS:
            (source,) = inputs
            out.append(Copy(self.viewed(source, node, out) if isinstance(source, Ref) else source, output))
            return output
        out.append(Call(node, inputs, output))
        return output

    def product(self, node: Node, values: Values, home: Ref | None, out: Emitted) -> Ref:
        """A stack of matrices times one matrix is one product of two matrices, the rows taken as they lie in memory."""
        flat = self.contraction(node, values, out)
        if flat:
            home = home or self.whole(node.shape, node.dtype, "temp", self.order(node, ()))
            out.append(Call(node, list(flat), home))
            return home
        left, right = (self.in_memory(parent, values, out) for parent in node.inputs)
        last = len(node.shape) - 1
        stacked = last > 1 and len(left.shape) == last + 1 and len(right.shape) == 2
        if home is None:
            order = self.order(node, ())
            if stacked and not order:
                order = (*(axis for axis in order_in_memory(left.ghost()) if axis != last), last)
            home = self.whole(node.shape, node.dtype, "temp", order)
        if stacked:
            turned = (*(axis for axis in order_in_memory(home.ghost()) if axis != last), last)
            rows = math.prod(node.shape[:-1])
            target = home.transposed(turned).reshaped((rows, node.shape[-1]))
            if target is not None:
                source = _flattened(left, turned) or _flattened(self.contiguous(left, out, turned), turned)
                assert source is not None
                out.append(Call(node, [source, right], target))
                return home
        out.append(Call(node, [left, right], home))
        return home

    def contraction(self, node: Node, values: Values, out: Emitted) -> tuple[Ref, Ref] | None:
        """Return the operands of x^T y over all leading axes of both, these taken in an order in which both lie."""
        turned, right = node.inputs
        if turned.op is not sh.transpose or turned.inputs[0].op is not sh.reshape or right.op is not sh.reshape:
            return None
        x, y = turned.inputs[0].inputs[0], right.inputs[0]
        if (
            len(turned.shape) != 2
            or not x.shape
            or not y.shape
            or x.shape[:-1] != y.shape[:-1]
            or right.shape[1:] != y.shape[-1:]
        ):
            return None
        a, b = self.in_memory(x, values, out), self.in_memory(y, values, out)
        last = len(x.shape) - 1
        for ref in (b, a):
            axes = (*(axis for axis in order_in_memory(ref.ghost()) if axis != last), last)
            flat = _flattened(a, axes), _flattened(b, axes)
            if flat[0] and flat[1]:
                return flat[0].transposed((1, 0)), flat[1]
        return None

    def loop(self, node: Node, values: Values) -> list[Ref]:
        """Emit a loop, and what goes before and after it; return its last states and the stacks of its outputs."""
        outer, self.columns = self.columns, node in self.layout.columns
        out = self.instructions
        planned = LoopPlanner(self, node, {x: self.value(x, values, out) for x in node.inputs}, out)
        values |= planned.seated
        loop = planned.loop
        self.block(planned.body.nodes, planned.local, planned.homes, loop.body)
        for value, target in planned.tails:
            loop.body.append(Copy(self.value(value, planned.local, loop.body), target))
        out.append(loop)
        self.columns = outer
        return [*planned.finals(), *planned.stacks]


def _flattened(ref: Ref, axes: Order) -> Ref | None:
    """Return a stack of rows as one matrix, the leading axes in the order given; None where that needs a copy."""
    rows = math.prod(ref.shape[axis] for axis in axes[:-1])
    return ref.transposed(axes).reshaped((rows, ref.shape[axes[-1]]))


def _place(ref: Ref) -> tuple[Any, ...]:
    return id(ref.buffer), ref.step, ref.offset, repr((ref.before, ref.views))
