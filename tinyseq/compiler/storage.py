"""The memory of a plan under way: its buffers, and how values lie in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from tinyseq.compiler.layout import Layout, Order
from tinyseq.compiler.plan import Buffer, Call, Copy, Ref
from tinyseq.graph import Dtype, Shape


@dataclass(frozen=True)
class Track:
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


class Emitted(Protocol):
    """The instructions so far, of the whole plan or of a loop's body: what both take are calls and copies."""

    def append(self, instruction: Call | Copy, /) -> None:
        """Add an instruction behind the others."""


class Storage:
    """The buffers of a plan under way; ``columns`` says whether the loop at hand keeps features before rows."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.buffers: list[Buffer] = []
        self.columns = False

    def buffer(self, shape: Shape, dtype: Dtype, kind: str, order: Order = ()) -> Buffer:
        """Return a new buffer."""
        made = Buffer(shape, dtype, kind, f"{kind[0]}{len(self.buffers)}", order)
        self.buffers.append(made)
        return made

    def whole(self, shape: Shape, dtype: Dtype, kind: str, order: Order = ()) -> Ref:
        """Return a view of all of a new buffer."""
        return Ref(self.buffer(shape, dtype, kind, order), shape, dtype)

    def contiguous(self, ref: Ref, out: Emitted, order: Order = ()) -> Ref:
        """Copy a view into a buffer of its own; the instruction goes to ``out``."""
        copy = self.whole(ref.shape, ref.dtype, "temp", order)
        out.append(Copy(ref, copy))
        return copy
