"""Products as calls of cuBLAS, which knows matrices by columns: what is transposed, and how far apart columns lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tinyseq.compiler.lower.access import Access, Shape
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.stages import Product


@dataclass(frozen=True)
class Gemm:
    """``C = op(A) op(B)`` with C (m, n) by columns, A and B transposed or not; ``ld*`` and ``stride_*`` in elements.

    ``batch`` products stand ``stride_*`` apart (0: the same operand for all).
    """

    m: int
    n: int
    k: int
    a: Access
    b: Access
    c: Access
    transpose_a: bool
    transpose_b: bool
    lda: int
    ldb: int
    ldc: int
    batch: int = 1
    stride_a: int = 0
    stride_b: int = 0
    stride_c: int = 0

    @property
    def kind(self) -> str:
        return self.c.kind


def gemms(product: Product) -> list[Gemm]:
    """Return the calls that compute a product; none where an operand's matrices lie in pieces.

    Axes of a batch that no single distance describes (heads within a batch) take a call for each place along all but
    the longest of them.
    """
    whole = _gemm(product.left, product.right, product.output)
    extents = product.output.shape[:-2]
    if whole is not None or len(extents) < 2:
        return [whole] if whole else []
    longest = extents.index(max(extents))
    ones = []
    for index in np.ndindex(*extents[:longest], *extents[longest + 1 :]):
        places = (*index[:longest], None, *index[longest:])
        one = _gemm(*(_at(x, places) for x in (product.left, product.right, product.output)))
        if one is None:
            return []
        ones.append(one)
    return ones


def _at(x: Access, places: Sequence[int | None]) -> Access:
    """Return a part of a batch: the axes that have no place."""
    kept = [axis for axis, place in enumerate(places) if place is None] + [len(x.shape) - 2, len(x.shape) - 1]
    moved = sum(place * stride for place, stride in zip(places, x.strides, strict=False) if place is not None)
    shape, strides = (tuple(of[axis] for axis in kept) for of in (x.shape, x.strides))
    return replace(x, offset=x.offset + moved, shape=shape, strides=strides, row=0)


def _gemm(left: Access, right: Access, output: Access) -> Gemm | None:
    """Rows by rows, C^T = B^T A^T by columns: operands change places."""
    if not _by_rows(output):
        # By columns: (A B)^T is by rows.
        left, right, output = _turned(right), _turned(left), _turned(output)
    if not _by_rows(output):
        return None
    a, b = _operand(right), _operand(left)
    if a is None or b is None:
        return None
    steps = [_batch_stride(x) for x in (right, left, output)]
    if any(step is None for step in steps):
        return None
    size = SIZES[output.kind]
    m, n, k = output.shape[-1], output.shape[-2], left.shape[-1]
    stride_a, stride_b, stride_c = (int(step or 0) // size for step in steps)
    ldc = _leading(output.strides[-2], size, m, n)
    return Gemm(
        m, n, k, right, left, output, a[0], b[0], a[1], b[1], ldc,
        math.prod(output.shape[:-2]), stride_a, stride_b, stride_c,
    )  # fmt: skip


def _turned(x: Access) -> Access:
    def swapped(of: Shape) -> Shape:
        return (*of[:-2], of[-1], of[-2])

    return replace(x, shape=swapped(x.shape), strides=swapped(x.strides))


def _by_rows(x: Access) -> bool:
    """Whether each row lies in one piece, and the rows apart."""
    (rows, columns), (outer, inner), size = x.shape[-2:], x.strides[-2:], SIZES[x.kind]
    return (columns == 1 or inner == size) and (rows == 1 or (outer >= columns * size and outer % size == 0))


def _leading(stride: int, size: int, extent: int, count: int) -> int:
    """Return the distance of columns in elements; of a single one it means nothing, but must not be too small."""
    return stride // size if count > 1 else max(extent, 1)


def _operand(x: Access) -> tuple[bool, int] | None:
    """Return whether a matrix by rows, which is its transpose by columns, lies turned, and its leading extent."""
    (rows, columns), (outer, inner), size = x.shape[-2:], x.strides[-2:], SIZES[x.kind]
    if _by_rows(x):
        return False, _leading(outer, size, columns, rows)
    if _by_rows(_turned(x)):
        return True, _leading(inner, size, rows, columns)
    return None


def _batch_stride(x: Access) -> int | None:
    """Return how far apart the matrices of a batch are; None where no single distance says so."""
    extents = [(n, s) for n, s in zip(x.shape[:-2], x.strides[:-2], strict=True) if n > 1]
    if not extents:
        return 0
    for (_, outer), (count, inner) in pairwise(extents):
        if outer != inner * count:
            return None
    distance = extents[-1][1]
    return distance if distance >= 0 and distance % SIZES[x.kind] == 0 else None
