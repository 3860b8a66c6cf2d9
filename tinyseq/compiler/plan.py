"""The plan: a graph as a list of typed instructions on buffers, with loops that stay loops.

What a plan is made of stands here: buffers, views of them, instructions. How it is made, and where values are put,
stands in planning.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from tinyseq.graph import Dtype, Leaf, Node, Shape
from tinyseq.ops import shape as sh


@dataclass(eq=False)
class Buffer:
    """Memory for values of one shape and dtype, alive between the instructions ``first`` and ``last``.

    ``order`` names the axes as they lie in memory, the slowest first; empty where they lie as they are named.
    """

    shape: Shape
    dtype: Dtype
    kind: str
    label: str = ""
    order: tuple[int, ...] = ()
    first: int = -1
    last: int = -1
    slot: int = -1

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def lay(self, elements: Any) -> Any:
        """Return flat elements, as they lie in memory, in the buffer's shape."""
        order = self.order or tuple(range(len(self.shape)))
        return elements.reshape([self.shape[axis] for axis in order]).transpose(np.argsort(order))


#: Structural ops and their attributes, in the order in which they are applied.
Views = tuple[tuple[Any, tuple[tuple[str, Any], ...]], ...]


@dataclass(frozen=True)
class Ref:
    """A view of a buffer: the structural ops ``before``, the loop's step (shifted by ``offset``, or alternating) or all
    of it, then the structural ops ``views``.
    """

    buffer: Buffer
    shape: Shape
    dtype: Dtype
    step: str = ""  # "" whole, "t" the step's slice, "flip" one of two slices in turn
    offset: int = 0
    views: Views = ()
    before: Views = ()

    def viewed(self, node: Node) -> Ref | None:
        """Return the view that a structural op makes of this one, or None where it would need a copy."""
        return self._under(node.op, node.shape, **node.attrs)

    def _under(self, op: Any, made: Shape, /, **attrs: Any) -> Ref | None:
        moved = replace(self, shape=made, views=(*self.views, (op, tuple(attrs.items()))))
        return moved if op is not sh.reshape or moved.ghost() is not None else None

    def reshaped(self, shape: Shape) -> Ref | None:
        """Return this view in another shape, or None where that would need a copy."""
        return self._under(sh.reshape, shape, shape=shape)

    def sliced(self, key: tuple[Any, ...], shape: Shape) -> Ref:
        """Return a part of this view."""
        part = self._under(sh.slice_, shape, key=key)
        assert part is not None
        return part

    def transposed(self, axes: tuple[int, ...]) -> Ref:
        """Return this view with its axes in another order."""
        turned = self._under(sh.transpose, tuple(self.shape[axis] for axis in axes), axes=axes)
        assert turned is not None
        return turned

    def ghost(self) -> Any:
        """Return an array of this view's shape and strides that takes no memory until it is written; it never is."""
        return self.resolve(self.buffer.lay(np.empty(math.prod(self.buffer.shape), self.dtype)), 0)

    def resolve(self, array: Any, count: int, t: int = 0) -> Any:
        """Apply this view to a buffer's array; None where a reshape cannot be a view."""
        array = _through(self.before, array)
        if self.step == "t":
            array = array[t + self.offset, ...]  # the dots keep it a view where nothing but one element is left
        elif self.step == "flip":
            array = array[(count + self.offset) % 2, ...]
        return _through(self.views, array)

    def __str__(self) -> str:
        index = {"": "", "t": f"[t{self.offset:+d}]" if self.offset else "[t]", "flip": f"[flip{self.offset}]"}[
            self.step
        ]
        before, after = ("".join(f".{op.name}" for op, _ in views) for views in (self.before, self.views))
        return f"{self.buffer.label}{before}{index}{after}"


def _through(views: Views, array: Any) -> Any:
    """See an array through structural ops; None where a reshape cannot be a view."""
    for op, attrs in views:
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


Number: TypeAlias = float | int | bool
#: What an instruction reads: a view, or a number that stands for every element.
Operand: TypeAlias = Ref | Number


@dataclass
class Call:
    """One kernel: an op applied to views and scalars, written into a view."""

    node: Node
    inputs: list[Operand]
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

    source: Operand
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
    body: list[Call | Copy] = field(default_factory=list)

    def steps(self) -> range:
        """Return the time steps in the order they are done."""
        return range(self.length)[::-1] if self.reverse else range(self.length)

    def refs(self) -> Iterator[Ref]:
        for instruction in self.body:
            yield from instruction.refs()

    def __str__(self) -> str:
        order = f"t = {self.length - 1} .. 0" if self.reverse else f"t = 0 .. {self.length - 1}"
        return f"loop {order} ({len(self.body)} calls a step)"


Instruction: TypeAlias = Call | Copy | Loop


@dataclass(eq=False)
class Plan:
    """Instructions, the buffers they use, where inputs go in and outputs come out."""

    instructions: list[Instruction]
    buffers: list[Buffer]
    inputs: dict[Leaf, Ref]
    outputs: list[Ref]
    #: How many instructions come before those that only gradients need.
    forward: int
    #: How many of the outputs are handed out there; the others are, at the end.
    returned: int

    @property
    def memory(self) -> int:
        """Bytes of all buffers, those that share a slot counted once."""
        return sum(self.slots().values())

    @property
    def footprint(self) -> int:
        """Bytes of all slots, each on a cache line of its own."""
        return sum(-(-max(size, 1) // 64) * 64 for size in self.slots().values())

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
            yield str(instruction), None if isinstance(instruction, Copy) else instruction.node
            if isinstance(instruction, Loop):
                for inner in instruction.body:
                    yield f"    {inner}", None if isinstance(inner, Copy) else inner.node
