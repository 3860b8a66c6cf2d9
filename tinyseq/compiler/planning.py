"""Planning: from a graph to a plan. Storage is half of the speed, and decided here.

Reshapes, transposes and slices are views and cost nothing; the parts of a concatenation are written in place, those
that come from outside a loop before it; a state that is also an output lives in one buffer of T + 1 steps, whose
shifted views are s_{t-1} and s_t; weights that a loop multiplies with are laid out before it as BLAS likes them
(layout.py); buffers whose values are dead are used again (lifetimes.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinyseq.autodiff import pick
from tinyseq.compiler.layout import (
    COLUMNS,
    CONTRACTED,
    STACKED,
    Layout,
    Order,
    aligned,
    factors_of,
    order_in_memory,
    padded,
)
from tinyseq.compiler.lifetimes import mark_lifetimes, share_slots
from tinyseq.compiler.plan import Buffer, Call, Copy, Loop, Plan, Ref
from tinyseq.compiler.scheduling import VIEWS, schedule
from tinyseq.errors import GraphError
from tinyseq.graph import Dtype, Graph, Leaf, Literal, Node, Shape, reach
from tinyseq.ops import linalg
from tinyseq.ops import shape as sh
from tinyseq.ops.scan import scan


def make_plan(graph: Graph, forward: int | None = None, *, for_blas: bool = True) -> Plan:
    """Lower a graph to a plan; what the first ``forward`` outputs need comes first.

    With ``for_blas`` products are BLAS calls: values and weights of loops lie as it likes them (layout.py).

    Raises:
        GraphError: a scan within the body of a scan, which this version leaves to the interpreter.
    """
    return _Planner(graph, for_blas).plan(len(graph.outputs) if forward is None else forward)


@dataclass(frozen=True)
class _Track:
    """A value's places in a buffer that has one for each step (or two, used in turn)."""

    buffer: Buffer
    shape: Shape
    key: tuple[Any, ...] = ()
    step: str = "t"
    #: Where the first step's place is.
    lead: int = 0

    def at(self, offset: int) -> Ref:
        """Return the place of the step at hand, or of the one ``offset`` steps on."""
        place = Ref(self.buffer, self.buffer.shape[1:], self.buffer.dtype, self.step, offset)
        return place.sliced(self.key, self.shape) if self.key else place

    def span(self, start: int, steps: int) -> Ref:
        """Return the places of several steps as one value."""
        whole = Ref(self.buffer, self.buffer.shape, self.buffer.dtype)
        if not self.key and (start, steps) == (0, self.buffer.shape[0]):
            return whole
        return whole.sliced((slice(start, start + steps), *self.key), (steps, *self.shape))

    def one(self, step: int) -> Ref:
        """Return the place of one step, named by its number."""
        return Ref(self.buffer, self.buffer.shape, self.buffer.dtype).sliced((step, *self.key), self.shape)


class _Planner:
    def __init__(self, graph: Graph, for_blas: bool) -> None:
        self.graph = graph
        self.for_blas = for_blas
        self.layout = Layout(graph, features_first=for_blas)
        self.buffers: list[Buffer] = []
        #: Whether the loop at hand keeps features before rows.
        self.columns = False

    def buffer(self, shape: Shape, dtype: Dtype, kind: str, order: Order = ()) -> Buffer:
        made = Buffer(shape, dtype, kind, f"{kind[0]}{len(self.buffers)}", order)
        self.buffers.append(made)
        return made

    def whole(self, shape: Shape, dtype: Dtype, kind: str, order: Order = ()) -> Ref:
        return Ref(self.buffer(shape, dtype, kind, order), shape, dtype)

    def contiguous(self, ref: Ref, out: list[Any], order: Order = ()) -> Ref:
        copy = self.whole(ref.shape, ref.dtype, "temp", order)
        out.append(Copy(ref, copy))
        return copy

    def plan(self, forward: int) -> Plan:
        graph = self.graph
        values: dict[Node, Any] = {}
        inputs: dict[Leaf, Ref] = {}
        for leaf in graph.inputs:
            assert isinstance(leaf, Leaf)
            inputs[leaf] = values[leaf] = self.whole(leaf.shape, leaf.dtype, "input")
        instructions: list[Any] = []
        order = schedule(graph)
        first = set(reach(graph.outputs[:forward]))
        self.block([node for node in order if node in first], values, {}, instructions)
        boundary = len(instructions)
        self.block([node for node in order if node not in first], values, {}, instructions)
        outputs = [self.value(node, values, instructions) for node in graph.outputs]
        kept = [x.buffer for x in outputs if isinstance(x, Ref)]
        mark_lifetimes(instructions, kept, [ref.buffer for ref in inputs.values()])
        share_slots(self.buffers)
        return Plan(instructions, self.buffers, inputs, outputs, boundary)

    def block(self, nodes: Sequence[Node], values: dict[Node, Any], homes: dict[Node, Ref], out: list[Any]) -> None:
        """Emit instructions for nodes in order; ``homes`` says where some of them are to be written."""
        homes = self.place_parts(nodes, values, homes)
        for node in nodes:
            if (node in values or node.op in VIEWS) and node not in homes:
                continue  # views are made where they are needed
            if isinstance(node, Literal):
                values[node] = node.attrs["value"]
            elif node.op is scan:
                values[node] = self.loop(node, values, out)
            elif node.op is pick:
                values[node] = values[node.inputs[0]][node.attrs["index"]]
            elif node.op is linalg.matmul:
                values[node] = self.product(node, values, homes.get(node), out)
            else:
                values[node] = self.node(node, values, homes.get(node), out)

    def value(self, node: Node, values: dict[Node, Any], out: list[Any]) -> Any:
        """Return a node's place, or its view of another's, for which what cannot be a view is copied."""
        chain = []
        while node not in values:
            chain.append(node)
            node = node.inputs[0]
        found = values[node]
        for viewer in reversed(chain):
            if isinstance(found, Ref):
                found = values[viewer] = found.viewed(viewer) or self.contiguous(found, out).viewed(viewer)
            else:
                filled = self.whole(viewer.shape, viewer.dtype, "temp")
                out.append(Copy(found, filled))
                found = values[viewer] = filled
        return found

    def place_parts(self, nodes: Sequence[Node], values: dict[Node, Any], homes: dict[Node, Ref]) -> dict[Node, Ref]:
        """Give the parts of each concatenation their place within it, the outermost first."""
        homes = dict(homes)
        for node in reversed(nodes):
            if node.op is not sh.concat or node in values:
                continue
            if node not in homes:
                homes[node] = self.whole(node.shape, node.dtype, "temp", self.order(node, ()))
            for part, key in zip(node.inputs, _keys(node), strict=True):
                if _is_computed(part) and part not in homes and part not in values and part.dtype == node.dtype:
                    homes[part] = homes[node].sliced(key, part.shape)
        return homes

    def order(self, node: Node, inputs: Sequence[Any]) -> Order:
        """Return the order for a node's axes: as the loop keeps them, as a loop wants them, or as its input's lie."""
        if self.columns:
            return COLUMNS if len(node.shape) == 2 else ()
        if node in self.layout.wanted:
            return self.layout.wanted[node]
        alike = [x for x in inputs if isinstance(x, Ref) and x.shape == node.shape and len(node.shape) > 1]
        alike.sort(key=lambda x: x.dtype != node.dtype)  # values before masks
        return next((order_in_memory(x.ghost()) for x in alike), ())

    def node(self, node: Node, values: dict[Node, Any], home: Ref | None, out: list[Any]) -> Ref:
        inputs = [self.value(parent, values, out) for parent in node.inputs]
        output = home or self.whole(node.shape, node.dtype, "temp", self.order(node, inputs))
        if node.op is sh.concat:
            for part, key in zip(node.inputs, _keys(node), strict=True):
                target = output.sliced(key, part.shape)
                source = self.value(part, values, out)
                if not isinstance(source, Ref) or _place(source) != _place(target):
                    out.append(Copy(source, target))
            return output
        if node.op in VIEWS:
            view = inputs[0].viewed(node) if isinstance(inputs[0], Ref) else inputs[0]
            if view is None:
                view = self.contiguous(inputs[0], out).viewed(node)
            out.append(Copy(view, output))
            return output
        out.append(Call(node, inputs, output))
        return output

    def product(self, node: Node, values: dict[Node, Any], home: Ref | None, out: list[Any]) -> Ref:
        """A stack of matrices times one matrix is one product of two matrices, the rows taken as they lie in memory."""
        flat = self.contraction(node, values, out)
        if flat:
            home = home or self.whole(node.shape, node.dtype, "temp", self.order(node, ()))
            out.append(Call(node, list(flat), home))
            return home
        left, right = (self.value(parent, values, out) for parent in node.inputs)
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
                out.append(Call(node, [source, right], target))
                return home
        out.append(Call(node, [left, right], home))
        return home

    def contraction(self, node: Node, values: dict[Node, Any], out: list[Any]) -> tuple[Ref, Ref] | None:
        """Return the operands of x^T y over all leading axes of both, these taken in an order in which both lie."""
        turned, right = node.inputs
        if turned.op is not sh.transpose or turned.inputs[0].op is not sh.reshape or right.op is not sh.reshape:
            return None
        x, y = turned.inputs[0].inputs[0], right.inputs[0]
        if len(turned.shape) != 2 or x.shape[:-1] != y.shape[:-1] or right.shape[1:] != y.shape[-1:]:
            return None
        a, b = self.value(x, values, out), self.value(y, values, out)
        last = len(x.shape) - 1
        for ref in (b, a):
            axes = (*(axis for axis in order_in_memory(ref.ghost()) if axis != last), last)
            flat = _flattened(a, axes), _flattened(b, axes)
            if flat[0] and flat[1]:
                return flat[0].transposed((1, 0)), flat[1]
        return None

    def loop(self, node: Node, values: dict[Node, Any], out: list[Any]) -> list[Ref]:
        body: Graph = node.attrs["body"]
        carries, sequences = node.attrs["carries"], node.attrs["sequences"]
        length, reverse = node.attrs["length"], node.attrs["reverse"]
        if any(inner.op is scan for inner in body.nodes):
            raise GraphError("a scan within a scan cannot be planned yet", where=node.where)
        leaves, nexts, ys = body.inputs, body.outputs[:carries], body.outputs[carries:]
        states, xs, constants = (
            leaves[:carries],
            leaves[carries : carries + sequences],
            leaves[carries + sequences :],
        )
        given = dict(zip(leaves, (self.value(parent, values, out) for parent in node.inputs), strict=True))
        outer, self.columns = self.columns, node in self.layout.columns
        local: dict[Node, Any] = {}
        homes: dict[Node, Ref] = {}
        tracks: dict[Node, _Track] = {}
        loop = Loop(node, length, reverse)
        before, after = (1, 0) if reverse else (0, 1)
        tails: list[tuple[Node, Ref]] = []

        for joined in body.nodes:
            if not _can_seat(joined, body, tracks, carries):
                continue
            stateful = any(part in states for part in joined.inputs)
            lead = before if stateful else 0
            order: Order = CONTRACTED if self.columns else ()
            steps, width = length + stateful, joined.shape[-1]
            by_features = joined.attrs["axis"] == len(joined.shape) - 1
            extent = aligned(joined) if by_features and not self.columns else width
            shape = (padded(steps, joined, order), *joined.shape[:-1], extent)
            buffer = self.buffer(shape, joined.dtype, "state", order)
            whole = (slice(None),) * (len(joined.shape) - 1) + (slice(0, width),)
            local[joined] = _Track(buffer, joined.shape, whole if extent > width else ()).at(lead)
            for part, key in zip(joined.inputs, _keys(joined), strict=True):
                track = _Track(buffer, part.shape, key, lead=lead)
                if part in given and part not in states:
                    every = track.span(lead, length)
                    out.append(Copy(given[part], every))
                    if part in xs:
                        local[part] = track.at(lead)
                        values[node.inputs[leaves.index(part)]] = every  # it lies well for what contracts it later
                else:
                    tracks[part] = track
                    if part not in states:
                        homes[part] = track.at(lead)

        for leaf, value in zip(states, nexts, strict=True):
            stepped = leaf in ys or value in ys or leaf in tracks
            if leaf not in tracks:
                order = self.stack_order(node, (leaf, value)) if stepped else self.stacked_order(leaf)
                shape = (padded(length + 1, leaf, order) if stepped else 2, *leaf.shape)
                step = "t" if stepped else "flip"
                tracks[leaf] = _Track(self.buffer(shape, leaf.dtype, "state", order), leaf.shape, step=step)
            track = tracks[leaf]
            local[leaf] = track.at(before if stepped else 0)
            then = track.at(after if stepped else 1)
            if _is_computed(value) and value not in homes:
                homes[value] = then
            else:
                tails.append((value, then))
            out.append(Copy(given[leaf], track.one(length if stepped and reverse else 0)))
        for i, leaf in enumerate(xs):
            if leaf in local:
                continue
            local[leaf] = self.stepped(given[leaf], leaf, node.inputs[carries + i], out)
        factors = factors_of(node)
        for leaf in constants:
            value = local[leaf] = given[leaf]
            if self.for_blas and isinstance(value, Ref) and leaf in factors and not self.lies_well(value):
                local[leaf] = self.contiguous(value, out, COLUMNS if self.columns else ())

        stacks: list[Ref] = []
        for y in ys:
            state = next((leaf for leaf, value in zip(states, nexts, strict=True) if value is y), None)
            if y in states:
                stacks.append(tracks[y].span(before, length))
            elif state is not None:
                stacks.append(tracks[state].span(after, length))
            elif y in tracks:
                stacks.append(tracks[y].span(tracks[y].lead, length))
            else:
                order = self.stack_order(node, (y,))
                buffer = self.buffer((padded(length, y, order), *y.shape), y.dtype, "stack", order)
                track = _Track(buffer, y.shape)
                stacks.append(track.span(0, length))
                if _is_computed(y) and y not in homes:
                    homes[y] = track.at(0)
                else:
                    tails.append((y, track.at(0)))
        self.block(body.nodes, local, homes, loop.body)
        for value, target in tails:
            loop.body.append(Copy(self.value(value, local, loop.body), target))
        out.append(loop)
        self.columns = outer
        finals = []
        for leaf in states:
            stepped = tracks[leaf].step == "t"
            final = tracks[leaf].one((0 if reverse else length) if stepped else length % 2)
            # A copy, for a view would keep the states of all steps alive as long as the last one is needed.
            finals.append(self.contiguous(final, out) if stepped else final)
        return [*finals, *stacks]

    def stack_order(self, loop: Node, values: Sequence[Node]) -> Order:
        """Return the order for a buffer of all steps of some values of a loop's body."""
        if any(len(value.shape) != 2 for value in values):
            return ()
        carries, outputs = loop.attrs["carries"], loop.attrs["body"].outputs
        return self.layout.stack(loop, [i for i, y in enumerate(outputs) if i >= carries and y in values])

    def stacked_order(self, value: Node) -> Order:
        """Return the order for a buffer of two steps in turn."""
        return STACKED if self.columns and len(value.shape) == 2 else ()

    def lies_well(self, matrix: Ref) -> bool:
        """Whether BLAS takes a loop's matrix as it lies: along the axis that comes first in the loop's values."""
        strides = matrix.ghost().strides
        unit, other = strides if self.columns else strides[::-1]
        return bool(unit == matrix.dtype.itemsize and other >= unit)

    def reads_well(self, step: Ref) -> bool:
        """Whether a step of a view has its features (or rows, in a loop that keeps them last) next to each other."""
        strides = [stride for stride, extent in zip(step.ghost().strides, step.shape, strict=True) if extent > 1]
        if self.columns and len(strides) == 2:
            strides.reverse()
        return not strides or strides[-1] == step.dtype.itemsize

    def stepped(self, source: Any, leaf: Node, outer: Node, out: list[Any]) -> Ref:
        """Return a step of a sequence, of a copy of it where a step would be read in pieces."""
        if isinstance(source, Ref) and not source.step:
            moved = Ref(source.buffer, leaf.shape, leaf.dtype, "t", before=source.views)
            if self.reads_well(moved):
                return moved
        copy = self.whole(outer.shape, outer.dtype, "temp", self.stacked_order(leaf))
        out.append(Copy(source, copy))
        return Ref(copy.buffer, leaf.shape, leaf.dtype, "t")


def _flattened(ref: Ref, axes: Order) -> Ref | None:
    """Return a stack of rows as one matrix, the leading axes in the order given; None where that needs a copy."""
    rows = math.prod(ref.shape[axis] for axis in axes[:-1])
    return ref.transposed(axes).reshaped((rows, ref.shape[axes[-1]]))


def _is_computed(node: Node) -> bool:
    """Whether a kernel computes a value, so that it can be told where to write it."""
    return bool(node.inputs) and node.op not in VIEWS and node.op not in (scan, pick)


def _can_seat(node: Node, body: Graph, seated: Mapping[Node, Any], carries: int) -> bool:
    """Whether a concatenation can have a buffer of all steps, and every part be written there in place: states by the
    step before, what is computed by its kernel, and what comes from outside before the loop.
    """
    if node.op is not sh.concat or node in body.outputs:
        return False
    states = body.inputs[:carries]
    for part in node.inputs:
        given = part in body.inputs
        taken = part in seated and (part in states or not given)
        next_state = part in body.outputs[:carries]
        if taken or part.dtype != node.dtype or next_state or not (given or _is_computed(part)):
            return False
    return len(set(node.inputs)) == len(node.inputs) and any(part in body.inputs for part in node.inputs)


def _keys(node: Node) -> list[tuple[slice, ...]]:
    """Return the place of each part of a concatenation."""
    axis, start, keys = node.attrs["axis"], 0, []
    for part in node.inputs:
        stop = start + part.shape[axis]
        keys.append((slice(None),) * axis + (slice(start, stop),))
        start = stop
    return keys


def _place(ref: Ref) -> tuple[Any, ...]:
    return id(ref.buffer), ref.step, ref.offset, repr((ref.before, ref.views))
