"""The plan: a graph as a list of typed instructions on buffers, with loops that stay loops.

Storage is half of the speed, and decided here: reshapes, transposes and slices are views and cost nothing; the parts
of a concatenation are written in place; a state that is also an output lives in one buffer of T + 1 steps, whose
shifted views are s_{t-1} and s_t; weights that a loop multiplies with are laid out contiguously before it; buffers
whose values are dead are used again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyseq.autodiff import pick
from tinyseq.compiler.scheduling import VIEWS, schedule
from tinyseq.errors import GraphError
from tinyseq.graph import Dtype, Graph, Leaf, Literal, Node, Shape, reach
from tinyseq.ops import linalg
from tinyseq.ops import shape as sh
from tinyseq.ops.scan import scan


@dataclass(eq=False)
class Buffer:
    """Memory for values of one shape and dtype, alive between the instructions ``first`` and ``last``."""

    shape: Shape
    dtype: Dtype
    kind: str
    label: str = ""
    first: int = -1
    last: int = -1
    slot: int = -1

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Ref:
    """A view of a buffer: at the loop's step (shifted by ``offset``, or alternating) or whole, then structural ops."""

    buffer: Buffer
    shape: Shape
    dtype: Dtype
    step: str = ""  # "" whole, "t" the step's slice, "flip" one of two slices in turn
    offset: int = 0
    views: tuple[tuple[Any, tuple[tuple[str, Any], ...]], ...] = ()

    def viewed(self, node: Node) -> Ref | None:
        """Return the view that a structural op makes of this one, or None where it would need a copy."""
        moved = Ref(
            self.buffer,
            node.shape,
            node.dtype,
            self.step,
            self.offset,
            (*self.views, (node.op, tuple(node.attrs.items()))),
        )
        return moved if moved.resolve(_ghost(self.buffer), 0) is not None else None

    def resolve(self, array: Any, count: int, t: int = 0) -> Any:
        """Apply this view to a buffer's array; None where a reshape cannot be a view."""
        if self.step == "t":
            array = array[t + self.offset, ...]  # the dots keep it a view where nothing but one element is left
        elif self.step == "flip":
            array = array[(count + self.offset) % 2, ...]
        for op, attrs in self.views:
            if op is sh.reshape:
                try:
                    array = np.reshape(array, dict(attrs)["shape"], copy=False)
                except ValueError:
                    return None
            elif op is sh.slice_ and Ellipsis not in (key := dict(attrs)["key"]):
                array = array[(*key, ...)]
            else:
                array = op.kernel(np, array, **dict(attrs))
        return array

    def __str__(self) -> str:
        index = {"": "", "t": f"[t{self.offset:+d}]" if self.offset else "[t]", "flip": f"[flip{self.offset}]"}[
            self.step
        ]
        views = "".join(f".{op.name}" for op, _ in self.views)
        return f"{self.buffer.label}{index}{views}"


def _ghost(buffer: Buffer) -> Any:
    """An array of a buffer's shape and strides that takes no memory until it is written, and it never is."""
    return np.empty(buffer.shape, buffer.dtype)


@dataclass
class Call:
    """One kernel: an op applied to views and scalars, written into a view."""

    node: Node
    inputs: list[Any]  # Ref or Python scalar
    output: Ref

    def refs(self) -> Iterator[Ref]:
        """Return the views that it writes and reads."""
        yield self.output
        yield from (x for x in self.inputs if isinstance(x, Ref))

    def __str__(self) -> str:
        inputs = ", ".join(str(x) for x in self.inputs)
        return f"{self.output} = {self.node.op.name}({inputs})"


@dataclass
class Copy:
    """Copy one view into another, broadcasting."""

    source: Any
    output: Ref

    def refs(self) -> Iterator[Ref]:
        yield self.output
        if isinstance(self.source, Ref):
            yield self.source

    def __str__(self) -> str:
        return f"{self.output} = {self.source}"


@dataclass
class Loop:
    """Instructions done for every time step."""

    node: Node
    length: int
    reverse: bool
    body: list[Any] = field(default_factory=list)

    def steps(self) -> range:
        """Return the time steps in the order they are done."""
        return range(self.length)[::-1] if self.reverse else range(self.length)

    def refs(self) -> Iterator[Ref]:
        for instruction in self.body:
            yield from instruction.refs()

    def __str__(self) -> str:
        order = f"t = {self.length - 1} .. 0" if self.reverse else f"t = 0 .. {self.length - 1}"
        return f"loop {order} ({len(self.body)} calls a step)"


@dataclass
class Plan:
    """Instructions, the buffers they use, where inputs go in and outputs come out."""

    instructions: list[Any]
    buffers: list[Buffer]
    inputs: dict[Leaf, Ref]
    outputs: list[Any]
    #: How many instructions come before those that only gradients need.
    forward: int

    @property
    def memory(self) -> int:
        """Bytes of all buffers, those that share a slot counted once."""
        return sum(self.slots().values())

    def slots(self) -> dict[int, int]:
        """Return the bytes of each slot: those of the largest buffer that lies there."""
        sizes: dict[int, int] = {}
        for buffer in self.buffers:
            sizes[buffer.slot] = max(sizes.get(buffer.slot, 0), buffer.nbytes)
        return sizes

    def __str__(self) -> str:
        return "\n".join(text for text, _ in self.rows())

    def listing(self) -> str:
        """Return the instructions a line each, with scope and source line beside those that compute."""
        return "\n".join(
            f"{text:<72}# {', '.join(part for part in (str(node.place), node.line) if part)}" if node else text
            for text, node in self.rows()
        )

    def rows(self) -> Iterator[tuple[str, Node | None]]:
        """Yield each instruction, indented in loops, and the node that it computes (None for a copy)."""
        for instruction in self.instructions:
            yield str(instruction), getattr(instruction, "node", None)
            if isinstance(instruction, Loop):
                for inner in instruction.body:
                    yield f"    {inner}", getattr(inner, "node", None)


def make_plan(graph: Graph, forward: int | None = None) -> Plan:
    """Lower a graph to a plan; what the first ``forward`` outputs need comes first.

    Raises:
        GraphError: a scan within the body of a scan, which this version leaves to the interpreter.
    """
    return _Planner().plan(graph, len(graph.outputs) if forward is None else forward)


class _Planner:
    def __init__(self) -> None:
        self.buffers: list[Buffer] = []

    def buffer(self, shape: Shape, dtype: Dtype, kind: str) -> Buffer:
        made = Buffer(shape, dtype, kind, f"{kind[0]}{len(self.buffers)}")
        self.buffers.append(made)
        return made

    def plan(self, graph: Graph, forward: int) -> Plan:
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
        outputs = [values[node] for node in graph.outputs]
        kept = [x.buffer for x in outputs if isinstance(x, Ref)]
        _lifetimes(instructions, kept, [ref.buffer for ref in inputs.values()])
        _share_slots(self.buffers)
        return Plan(instructions, self.buffers, inputs, outputs, boundary)

    def whole(self, shape: Shape, dtype: Dtype, kind: str) -> Ref:
        return Ref(self.buffer(shape, dtype, kind), shape, dtype)

    def block(self, nodes: Sequence[Node], values: dict[Node, Any], homes: dict[Node, Ref], out: list[Any]) -> None:
        """Emit instructions for nodes in order; ``homes`` says where some of them are to be written."""
        homes = self.place_parts(nodes, values, homes)
        for node in nodes:
            if node in values and node not in homes:
                continue
            if isinstance(node, Literal):
                values[node] = node.attrs["value"]
            elif node.op is scan:
                values[node] = self.loop(node, values, out)
            elif node.op is pick:
                values[node] = values[node.inputs[0]][node.attrs["index"]]
            else:
                values[node] = self.node(node, values, homes.get(node), out)

    def place_parts(self, nodes: Sequence[Node], values: dict[Node, Any], homes: dict[Node, Ref]) -> dict[Node, Ref]:
        """Give the parts of each concatenation their place within it, the outermost first."""
        homes = dict(homes)
        for node in reversed(nodes):
            if node.op is not sh.concat or node in values:
                continue
            if node not in homes:
                homes[node] = self.whole(node.shape, node.dtype, "temp")
            for part, key in zip(node.inputs, _keys(node), strict=True):
                computed = part.inputs and part.op not in VIEWS and part.op not in (scan, pick)
                if computed and part not in homes and part not in values and part.dtype == node.dtype:
                    homes[part] = _sliced(homes[node], key, part.shape)
        return homes

    def node(self, node: Node, values: dict[Node, Any], home: Ref | None, out: list[Any]) -> Ref:
        inputs = [values[parent] for parent in node.inputs]
        if node.op in VIEWS and home is None and isinstance(inputs[0], Ref):
            view = inputs[0].viewed(node)
            if view is not None:
                return view
            inputs[0] = self.contiguous(inputs[0], out)
            return inputs[0].viewed(node)  # type: ignore[return-value]
        output = home or self.whole(node.shape, node.dtype, "temp")
        if node.op is sh.concat:
            for part, key in zip(node.inputs, _keys(node), strict=True):
                target = _sliced(output, key, part.shape)
                source = values[part]
                if not isinstance(source, Ref) or _place(source) != _place(target):
                    out.append(Copy(source, target))
            return output
        if node.op in VIEWS:
            view = inputs[0].viewed(node) if isinstance(inputs[0], Ref) else inputs[0]
            if view is None:
                view = self.contiguous(inputs[0], out).viewed(node)
            out.append(Copy(view, output))
            return output
        if node.op is linalg.matmul:
            return self.product(node, inputs, output, out)
        out.append(Call(node, inputs, output))
        return output

    def product(self, node: Node, inputs: list[Any], output: Ref, out: list[Any]) -> Ref:
        """A stack of matrices times one matrix is one product of two matrices."""
        left, right = inputs
        if len(left.shape) > 2 and len(right.shape) == 2:
            rows = math.prod(left.shape[:-1])
            flat = _reshaped(left, (rows, left.shape[-1])) or _reshaped(
                self.contiguous(left, out), (rows, left.shape[-1])
            )
            target = _reshaped(output, (rows, node.shape[-1]))
            if flat is not None and target is not None:
                out.append(Call(node, [flat, right], target))
                return output
        out.append(Call(node, inputs, output))
        return output

    def contiguous(self, ref: Ref, out: list[Any]) -> Ref:
        copy = self.whole(ref.shape, ref.dtype, "temp")
        out.append(Copy(ref, copy))
        return copy

    def loop(self, node: Node, values: dict[Node, Any], out: list[Any]) -> list[Ref]:
        body: Graph = node.attrs["body"]
        carries, sequences = node.attrs["carries"], node.attrs["sequences"]
        length, reverse = node.attrs["length"], node.attrs["reverse"]
        if any(inner.op is scan for inner in body.nodes):
            raise GraphError("a scan within a scan cannot be planned yet", where=node.where)
        leaves, nexts, ys = body.inputs, body.outputs[:carries], body.outputs[carries:]
        given = [values[parent] for parent in node.inputs]
        local: dict[Node, Any] = {}
        homes: dict[Node, Ref] = {}
        loop = Loop(node, length, reverse)
        before, after = (1, 0) if reverse else (0, 1)
        tails: list[tuple[Node, Ref]] = []
        carried: list[Buffer] = []
        for k in range(carries):
            leaf, value = leaves[k], nexts[k]
            stepped = leaf in ys or value in ys
            shape = (length + 1, *leaf.shape) if stepped else (2, *leaf.shape)
            buffer = self.buffer(shape, leaf.dtype, "state")
            carried.append(buffer)
            step = "t" if stepped else "flip"
            now = Ref(buffer, leaf.shape, leaf.dtype, step, before if stepped else 0)
            then = Ref(buffer, leaf.shape, leaf.dtype, step, after if stepped else 1)
            local[leaf] = now
            computed = value.inputs and value.op not in VIEWS and value.op not in (scan, pick)
            if computed and value not in homes:
                homes[value] = then
            else:
                tails.append((value, then))
            first = (length if reverse else 0) if stepped else 0
            out.append(Copy(given[k], _sliced(Ref(buffer, shape, leaf.dtype), (first,), leaf.shape)))
        for i in range(carries, carries + sequences):
            source = given[i]
            if isinstance(source, Ref) and not source.views and not source.step:
                local[leaves[i]] = Ref(source.buffer, leaves[i].shape, leaves[i].dtype, "t")
            else:
                local[leaves[i]] = self.stepped(source, leaves[i], node.inputs[i], out)
        for leaf, value in zip(leaves[carries + sequences :], given[carries + sequences :], strict=True):
            local[leaf] = value
            if isinstance(value, Ref) and len(leaf.shape) == 2 and not _is_contiguous(value):
                local[leaf] = self.contiguous(value, out)
        stacks: list[Ref] = []
        for y in ys:
            shape = (length, *y.shape)
            states = [k for k in range(carries) if nexts[k] is y]
            if y in leaves[:carries]:
                k = leaves.index(y)
                stacks.append(
                    _sliced(Ref(carried[k], (length + 1, *y.shape), y.dtype), (slice(before, before + length),), shape)
                )
            elif states:
                k = states[0]
                stacks.append(
                    _sliced(Ref(carried[k], (length + 1, *y.shape), y.dtype), (slice(after, after + length),), shape)
                )
            else:
                buffer = self.buffer(shape, y.dtype, "stack")
                here = Ref(buffer, y.shape, y.dtype, "t")
                stacks.append(Ref(buffer, shape, y.dtype))
                if y.inputs and y.op not in VIEWS and y.op not in (scan, pick) and y not in homes:
                    homes[y] = here
                else:
                    tails.append((y, here))
        self.block(body.nodes, local, homes, loop.body)
        for value, target in tails:
            loop.body.append(Copy(local[value], target))
        out.append(loop)
        finals = []
        for k in range(carries):
            buffer = carried[k]
            stepped = buffer.shape[0] != 2 or leaves[k] in ys or nexts[k] in ys
            last = (0 if reverse else length) if stepped else length % 2
            final = _sliced(Ref(buffer, buffer.shape, buffer.dtype), (last,), leaves[k].shape)
            # A copy, for a view would keep the states of all steps alive as long as the last one is needed.
            finals.append(self.contiguous(final, out) if stepped else final)
        return [*finals, *stacks]

    def stepped(self, source: Any, leaf: Node, outer: Node, out: list[Any]) -> Ref:
        """A sequence given as a view: take a step of the view itself where that is one, else of a copy."""
        if isinstance(source, Ref) and not source.step:
            moved = _stepping(source, leaf)
            if moved is not None:
                return moved
        copy = self.whole(outer.shape, outer.dtype, "temp")
        out.append(Copy(source, copy))
        return Ref(copy.buffer, leaf.shape, leaf.dtype, "t")


def _stepping(source: Ref, leaf: Node) -> Ref | None:
    """A slice of leading steps of a whole buffer is that buffer at shifted steps."""
    if len(source.views) == 1 and source.views[0][0] is sh.slice_:
        key = dict(source.views[0][1])["key"]
        if len(key) == 1 and isinstance(key[0], slice):
            start, _, stride = key[0].indices(source.buffer.shape[0])
            if stride == 1:
                return Ref(source.buffer, leaf.shape, leaf.dtype, "t", start)
    return None


def _keys(node: Node) -> list[tuple[slice, ...]]:
    axis, start, keys = node.attrs["axis"], 0, []
    for part in node.inputs:
        stop = start + part.shape[axis]
        keys.append((slice(None),) * axis + (slice(start, stop),))
        start = stop
    return keys


def _sliced(ref: Ref, key: tuple[Any, ...], shape: Shape) -> Ref:
    return Ref(ref.buffer, shape, ref.dtype, ref.step, ref.offset, (*ref.views, (sh.slice_, (("key", key),))))


def _reshaped(ref: Ref, shape: Shape) -> Ref | None:
    moved = Ref(ref.buffer, shape, ref.dtype, ref.step, ref.offset, (*ref.views, (sh.reshape, (("shape", shape),))))
    return moved if moved.resolve(_ghost(ref.buffer), 0) is not None else None


def _is_contiguous(ref: Ref) -> bool:
    return bool(ref.resolve(_ghost(ref.buffer), 0).flags.c_contiguous)


def _place(ref: Ref) -> tuple[Any, ...]:
    return id(ref.buffer), ref.step, ref.offset, repr(ref.views)


def _lifetimes(instructions: Sequence[Any], kept: Iterable[Buffer], given: Iterable[Buffer]) -> None:
    """Number the instructions, those in loops each on its own, and note where each buffer is first and last used."""
    position = 0

    def touch(buffer: Buffer, first: int, last: int) -> None:
        buffer.first = first if buffer.first < 0 else min(buffer.first, first)
        buffer.last = max(buffer.last, last)

    for instruction in instructions:
        if isinstance(instruction, Loop):
            start, end = position, position + len(instruction.body)
            for offset, inner in enumerate(instruction.body):
                for ref in inner.refs():
                    # A value that one step makes and another reads must outlive the loop; others only their step.
                    local = ref.buffer.kind == "temp" and ref.step == "" and _made_in(ref.buffer, instruction)
                    touch(ref.buffer, start + offset if local else start, start + offset if local else end)
            position = end + 1
        else:
            for ref in instruction.refs():
                touch(ref.buffer, position, position)
            position += 1
    for buffer in given:
        buffer.first, buffer.last = 0, position
    for buffer in kept:
        buffer.last = position


def _made_in(buffer: Buffer, loop: Loop) -> bool:
    return any(inner.output.buffer is buffer for inner in loop.body)


def _share_slots(buffers: Sequence[Buffer]) -> None:
    """Let a buffer use the memory of one of the same size whose last reader has come before (linear scan)."""
    free: list[tuple[int, int, int]] = []  # (nbytes, last use, slot)
    slots = 0
    for buffer in sorted(buffers, key=lambda b: b.first):
        if buffer.kind == "input":
            buffer.slot, slots = slots, slots + 1
            continue
        fitting = [entry for entry in free if entry[1] < buffer.first and entry[0] == buffer.nbytes]
        if fitting:
            entry = max(fitting, key=lambda e: e[1])
            free.remove(entry)
            buffer.slot = entry[2]
        else:
            buffer.slot, slots = slots, slots + 1
        free.append((buffer.nbytes, buffer.last, buffer.slot))
