"""Where a view of a plan lies in memory: a slot, an offset that moves with the step, and strides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyseq.compiler.lower.kinds import SIZES, kind_of
from tinyseq.compiler.plan import Buffer, Ref

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Access:
    """Elements of a buffer (by its number in the plan) in its slot; all distances in bytes.

    ``offset`` is that of step 0 in turn 0, ``step`` what each further step adds; with ``flip`` two places that far
    apart are used in turn, and ``phase`` says which comes first. ``row`` is the stride of the buffer's first axis where
    the view takes every row of it in order and nothing of another row, else 0.
    """

    buffer: int
    slot: int
    offset: int
    step: int
    flip: int
    phase: int
    shape: Shape
    strides: Shape
    kind: str
    row: int

    @property
    def span(self) -> tuple[int, int]:
        """The first byte of step 0, and the one after the last."""
        low = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True) if s < 0)
        high = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True) if s > 0)
        return low, high + SIZES[self.kind]

    def overlaps(self, other: Access) -> bool:
        """Whether both may touch the same memory in one step."""
        if self.slot != other.slot:
            return False
        if (self.step, self.flip) != (other.step, other.flip):
            return True
        (a, b), (c, d) = self.span, other.span
        return a < d and c < b

    def aligned(self, shape: Shape) -> Access:
        """Return the same elements broadcast to a shape."""
        added = len(shape) - len(self.shape)
        strides = (0,) * added + tuple(
            0 if have == 1 and want != 1 else stride
            for have, want, stride in zip(self.shape, shape[added:], self.strides, strict=True)
        )
        return replace(self, shape=shape, strides=strides, row=0 if added or self.shape[:1] != shape[:1] else self.row)

    def shaped(self, shape: Shape, strides: Shape) -> Access:
        return replace(self, shape=shape, strides=strides)


class Ghosts:
    """Arrays in the place of a plan's buffers: they are viewed, never read or written, so they take no memory."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self.numbers = {id(buffer): number for number, buffer in enumerate(buffers)}
        self.arrays: dict[int, Any] = {}

    def of(self, buffer: Buffer) -> Any:
        array = self.arrays.get(id(buffer))
        if array is None:
            elements = np.empty(math.prod(buffer.shape), buffer.dtype)
            array = self.arrays[id(buffer)] = buffer.lay(elements)
        return array

    def access(self, ref: Ref, view: Any = None) -> Access:
        """Describe a view; ``view`` is a further view of ``self.view(ref)``."""
        buffer, ghost = ref.buffer, self.of(ref.buffer)
        array = self.view(ref) if view is None else view
        # What all views of this kind are taken from: the buffer, or its place for this step.
        whole = replace(ref, views=()).resolve(ghost, 0, 0)
        places = replace(ref, views=(), step="").resolve(ghost, 0, 0)
        stride = places.strides[0] if ref.step else 0
        row = 0
        if whole.ndim and array.ndim and array.shape[0] == whole.shape[0] and all(s >= 0 for s in array.strides):
            reach = sum((n - 1) * s for n, s in zip(array.shape[1:], array.strides[1:], strict=True))
            start = _address(array) - _address(whole)
            inside = start >= 0 and start + reach + buffer.dtype.itemsize <= whole.strides[0]
            if inside and array.strides[0] == whole.strides[0]:
                row = whole.strides[0]
        return Access(
            self.numbers[id(buffer)],
            buffer.slot,
            _address(array) - _address(ghost),
            stride if ref.step == "t" else 0,
            stride if ref.step == "flip" else 0,
            ref.offset % 2 if ref.step == "flip" else 0,
            array.shape,
            array.strides,
            kind_of(buffer.dtype),
            row,
        )

    def view(self, ref: Ref) -> Any:
        return ref.resolve(self.of(ref.buffer), 0, 0)


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
