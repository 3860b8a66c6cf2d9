"""The native forms of ops in this lowering: those that all have, and einsum and triangles of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from tinyseq.compiler.lower import describe
from tinyseq.compiler.lower.access import Access, Ghosts, Shape
from tinyseq.compiler.lower.cupy.gemm import gemms
from tinyseq.compiler.lower.cupy.kernels import refusal
from tinyseq.compiler.lower.cupy.operations import OPERATIONS
from tinyseq.compiler.lower.describe import Form, Forms, NotNative, elementwise, of_values
from tinyseq.compiler.lower.kinds import FLOATS, SIZES
from tinyseq.compiler.lower.stages import Argument, Contraction, Product, Step, TriangleStage
from tinyseq.compiler.plan import Call

#: Calls of cuBLAS that one product may take: even small ones are worth more than sums without tiles.
_CALLS: Final = 256


def _written(form: Form) -> Form:
    """Return a form that refuses stages for which there is no kernel."""

    def checked(call: Call, operands: list[Argument], output: Access, ghosts: Ghosts) -> list[Step]:
        stages = form(call, operands, output, ghosts)
        for stage in stages:
            reason = refusal(stage)
            if reason:
                raise NotNative(f"{call.node.op.name} {reason}")
        return stages

    return checked


def _of_kinds(form: Callable[[Call, list[Access], Access], list[Step]]) -> Form:
    """Return a form that refuses what is no value in memory, of a kind that kernels know."""

    def checked(call: Call, operands: list[Access], output: Access, ghosts: Ghosts) -> list[Step]:
        if any(x.kind not in SIZES for x in operands):
            raise NotNative(f"{call.node.op.name} of {', '.join(x.kind for x in operands)}")
        return form(call, operands, output)

    return of_values(checked)


@_of_kinds
def _triangle(call: Call, operands: list[Access], output: Access) -> list[Step]:
    return [TriangleStage(operands[0], output, call.node.attrs["k"], call.node.op.name == "tril")]


# -- einsum ------------------------------------------------------------------------------------------------------------


@_of_kinds
def _einsum(call: Call, operands: list[Access], output: Access) -> list[Step]:
    """A product of matrices where it is one, else one sum over all letters that the output lacks."""
    terms, out = call.node.attrs["terms"], call.node.attrs["out"]
    if any(x.kind != output.kind for x in operands) or output.kind == "b1":
        raise NotNative(f"einsum of {', '.join(x.kind for x in operands)} to {output.kind}")
    extents: dict[str, int] = {}
    for term, x in zip(terms, operands, strict=True):
        for letter, extent in zip(term, x.shape, strict=True):
            extents[letter] = max(extents.get(letter, 1), extent)
    letters = [letter for letter, extent in extents.items() if extent > 1]
    shape = tuple(extents[letter] for letter in letters)

    def aligned(x: Access, term: str) -> Access:
        strides = {c: s if n > 1 else 0 for c, n, s in zip(term, x.shape, x.strides, strict=True)}
        return replace(x, shape=shape, strides=tuple(strides.get(letter, 0) for letter in letters), row=0)

    given = [aligned(x, term) for x, term in zip(operands, terms, strict=True)]
    target = aligned(output, out)
    gone = tuple(letter not in out for letter in letters)
    product = _product(given, target, gone) if len(given) == 2 and output.kind in FLOATS else None
    return [product or Contraction(given, target, gone)]


def _product(given: Sequence[Access], target: Access, gone: Sequence[bool]) -> Product | None:
    """Return a contraction of two as products of matrices; None where it has no two sides or lies in pieces."""
    left, right = given
    batch: list[int] = []
    sides: dict[str, list[int]] = {"rows": [], "columns": [], "inner": []}
    for axis, is_gone in enumerate(gone):
        mine, its = bool(left.strides[axis]), bool(right.strides[axis])
        if is_gone:
            if not (mine and its):
                return None
            sides["inner"].append(axis)
        elif mine and its:
            batch.append(axis)
        else:
            sides["rows" if mine else "columns"].append(axis)
    if not all(sides.values()):
        return None
    whole = (left, right, target)
    per_side: dict[str, tuple[int, Shape]] = {}
    for side, axes in sides.items():
        merged = _merged(axes, whole)
        if merged is None and side == "inner":
            return None
        if merged is None:  # one of them, the others are a batch that the other operand is repeated over
            longest = max(axes, key=lambda axis: target.shape[axis])
            batch += [axis for axis in axes if axis != longest]
            merged = target.shape[longest], tuple(x.strides[longest] for x in whole)
        per_side[side] = merged
    ends = (("rows", "inner"), ("inner", "columns"), ("rows", "columns"))
    made = (
        replace(
            x,
            shape=(*(x.shape[axis] for axis in batch), *(per_side[side][0] for side in pair)),
            strides=(*(x.strides[axis] for axis in batch), *(per_side[side][1][number] for side in pair)),
        )
        for number, (x, pair) in enumerate(zip(whole, ends, strict=True))
    )
    product = Product(next(made), next(made), next(made))
    return product if 0 < len(gemms(product)) <= _CALLS else None


def _merged(axes: Sequence[int], whole: Sequence[Access]) -> tuple[int, Shape] | None:
    """Take axes as one where all operands that have them lie so; return its extent, and its stride in each operand."""
    order = sorted(axes, key=lambda axis: [-abs(x.strides[axis]) for x in whole])
    for outer, inner in pairwise(order):
        if any(x.strides[outer] != x.strides[inner] * x.shape[inner] for x in whole):
            return None
    return math.prod(whole[0].shape[axis] for axis in axes), tuple(x.strides[order[-1]] for x in whole)


FORMS: Final[Forms] = {
    **elementwise(OPERATIONS),
    **{name: _written(form) for name, form in describe.FORMS.items()},
    "einsum": _einsum,
    "tril": _triangle,
    "triu": _triangle,
}
