"""Constant matrices of which most entries are 0: kept and multiplied by without them."""

from __future__ import annotations

import math
import weakref
from typing import Any, Final

import numpy as np

from tinyseq import backends
from tinyseq.creation import tensor
from tinyseq.errors import DtypeError, ShapeError
from tinyseq.graph import Signature
from tinyseq.modes import concrete, looked_at, mode, no_grad
from tinyseq.ops.base import Inferred, Op, Value, Xp, apply, promote, quiet
from tinyseq.tensors import Tensor


class SparseMatrix:
    """A constant matrix (rows, columns), column after column: the entries that are not 0, and in which row each is.

    ``values`` and ``indices`` (int64) have an element an entry; those of column j stand from ``starts[j]`` on, up to
    ``starts[j + 1]``: compressed sparse rows of the transposed matrix, as a product ``x @ A`` goes through them. No
    gradient flows to it.

    Args:
        dense: the same with its zeros.
        name: what pictures and equations call it.

    Raises:
        ShapeError: it is no matrix of floating-point values.

    As ``scipy.sparse.csc_array``.

    >>> matrix = ts.SparseMatrix(np.array([[0.0, 3.0], [0.0, 4.0]]))
    >>> matrix.entries, ts.sparse_matmul(ts.tensor([[1.0, 2.0]]), matrix)
    (2, tensor([[ 0., 11.]], dtype=float64))
    """

    def __init__(self, dense: Tensor | np.ndarray[Any, Any], *, name: str | None = None) -> None:
        array = dense.numpy() if isinstance(dense, Tensor) else np.asarray(dense)
        if array.ndim != 2 or array.dtype.kind != "f":
            raise ShapeError(
                "SparseMatrix", required="a matrix of floating-point values", got=f"{array.dtype}{array.shape}"
            )
        columns, rows = np.nonzero(array.T)
        self.shape: tuple[int, int] = array.shape
        with concrete(), no_grad():
            self.values = tensor(array[rows, columns], name=name)
            self.indices = tensor(rows)
            self.starts = tensor(np.searchsorted(columns, np.arange(array.shape[1] + 1)))

    @property
    def entries(self) -> int:
        """How many are not 0."""
        return self.values.size

    def __repr__(self) -> str:
        return f"SparseMatrix({self.shape[0]}, {self.shape[1]}, {self.entries:,} entries, {self.values.dtype})"


class SparseMatMul(Op):
    """A dense operand times a ``SparseMatrix``; ``turned``, times the transposed one, as the gradient is."""

    name = "sparse_matmul"
    formula = r"y_j = \sum_{i \in A_j} x_i A_{ij}"
    reads = "x"
    vjps = (
        lambda g, y, x, *matrix, rows, turned: apply(sparse_matmul, (g, *matrix), {"rows": rows, "turned": not turned}),
        None,
        None,
        None,
    )

    def __call__(self, x: Value, matrix: SparseMatrix) -> Any:
        if not isinstance(matrix, SparseMatrix):
            raise DtypeError("sparse_matmul", required="ts.SparseMatrix(A)", got=type(matrix).__name__, fix="x @ A")
        parts: tuple[Any, ...] = (matrix.values, matrix.indices, matrix.starts)
        if not isinstance(x, Tensor):
            parts = tuple(part.value for part in parts)
        return apply(self, (x, *parts), {"rows": matrix.shape[0], "turned": False})

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        x, values, _, starts = inputs
        rows, columns = attrs["rows"], starts.shape[0] - 1
        extent, result = (columns, rows) if attrs["turned"] else (rows, columns)
        if not x.shape or x.shape[-1] != extent:
            raise ShapeError(
                "sparse_matmul: inner extents differ",
                required=f"(..., {extent}) by a matrix ({extent}, {result})",
                got=str(tuple(x.shape)),
            )
        return (*x.shape[:-1], result), promote(x, values)

    @quiet
    def kernel(self, xp: Xp, x: Any, values: Any, indices: Any, starts: Any, rows: int, turned: bool) -> Any:
        columns = len(starts) - 1
        if x.shape[-1] != (columns if turned else rows):
            raise ValueError("the indices would reach other elements")
        if turned or xp is not np:
            of = np.repeat(np.arange(columns), np.diff(backends.of(starts).to_host(starts)))
            of = backends.of(starts).from_host(of)
            taken, put, extent = (of, indices, rows) if turned else (indices, of, columns)
            every = (slice(None),) * (x.ndim - 1)
            return backends.of(x).scatter_add((*x.shape[:-1], extent), (*every, put), x[(*every, taken)] * values)
        products = np.take(x, indices, -1) * values
        found = np.zeros((*x.shape[:-1], columns), products.dtype)
        if products.size:
            filled = starts[1:] > starts[:-1]  # of a column without entries, `reduceat` would give the next one's first
            found[..., filled] = np.add.reduceat(products, starts[:-1][filled], -1)
        return found

    def flops(self, shape: Any, /, *inputs: Signature, **attrs: Any) -> int:
        return 2 * math.prod(inputs[0].shape[:-1]) * inputs[1].shape[0]


sparse_matmul: Final[SparseMatMul] = SparseMatMul()

#: By the identity of a dense array, what it is without its zeros; None where that would be no gain.
_KNOWN: Final[dict[int, tuple[weakref.ref[Any], SparseMatrix | None]]] = {}
#: Below this many elements a dense product is as fast.
_SMALL: Final = 1 << 16
#: How many times more entries a dense product goes through in the time of one here: with one row, and with many, of
#: which it reads the matrix once.
_DENSER: Final = (12, 100)
_FEW_ROWS: Final = 8


class _FormOf:
    """What reads the form of a tensor's value now; two of one tensor are the same to who looks again."""

    def __init__(self, matrix: Tensor, name: str) -> None:
        self.matrix, self.name = matrix, name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _FormOf) and self.matrix is other.matrix

    def __hash__(self) -> int:
        return id(self.matrix)

    def __call__(self) -> SparseMatrix | None:
        array = self.matrix.value
        if type(array) is not np.ndarray or self.matrix.requires_grad or array.size < _SMALL:
            return None
        key = id(array)
        if key not in _KNOWN:
            sparse = np.count_nonzero(array) * _DENSER[0] <= array.size
            forget = weakref.ref(array, lambda _: _KNOWN.pop(key, None))
            _KNOWN[key] = forget, SparseMatrix(array, name=self.name) if sparse else None
        return _KNOWN[key][1]


def constant_product(x: Tensor, matrix: Tensor, name: str) -> Tensor:
    """Return ``x @ matrix``, passing over the zeros of a constant matrix where that gains time.

    What is not 0 is found once for each value that the tensor is given. On a device, whose dense products are faster,
    the product is dense, and so it is where the matrix is no constant: followed by gradients, or of a trace.
    """
    tracing = mode.tracing
    if tracing is not None and (matrix.value is None or matrix in tracing.assigned or matrix in tracing.arguments):
        return x @ matrix
    found = looked_at(_FormOf(matrix, name))
    rows = math.prod(x.shape[:-1])
    if found is None or found.entries * _DENSER[rows >= _FEW_ROWS] > matrix.size:
        return x @ matrix
    return sparse_matmul(x, found)  # type: ignore[no-any-return]
