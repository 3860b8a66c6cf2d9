"""Products summed over axes, as users call them."""

from __future__ import annotations

from tinyseq import sparse
from tinyseq.ops import linalg
from tinyseq.ops.base import Operand
from tinyseq.sparse import SparseMatrix
from tinyseq.tensors import Tensor


def matmul(a: Operand, b: Operand) -> Tensor:
    r"""The product of matrices; ``a @ b`` is the same. A vector stands for one row or column, and more axes for stacks
    that broadcast.

        y = A B

    (..., n, k) and (..., k, m) give (..., n, m). Dtypes meet. As ``numpy.matmul``, ``torch.matmul``.

    Raises:
        ShapeError: the inner extents differ, or the stacks do not broadcast.

    >>> ts.matmul(ts.tensor([[1.0, 2.0]]), ts.tensor([[3.0], [4.0]]))
    tensor([[11.]])
    """
    return linalg.matmul(a, b)


def einsum(spec: str, *xs: Operand) -> Tensor:
    r"""Products summed over the letters that the output does not name (Einstein's convention).

        y_{\mathrm{out}} = \sum \prod_k x^{(k)}

    A letter an axis, ``...`` for any others. Dtypes meet. As ``numpy.einsum``, ``torch.einsum``.

    Raises:
        ShapeError: letters and axes do not match, or extents differ.

    >>> ts.einsum("ij,ij->i", ts.tensor([[1.0, 2.0]]), ts.tensor([[3.0, 4.0]]))
    tensor([11.])
    """
    return linalg.einsum(spec, *xs)


def sparse_matmul(x: Tensor, matrix: SparseMatrix) -> Tensor:
    r"""The product x @ A with a constant sparse matrix, which goes through its entries only.

        y_j = \sum_{i \in A_j} x_i A_{ij}

    (..., rows) by (rows, columns) gives (..., columns). Dtypes meet. No gradient flows to the matrix. As
    ``torch.sparse.mm``, with the sparse operand on the right.

    Raises:
        ShapeError: the inner extents differ.
        DtypeError: the matrix is no ``ts.SparseMatrix``.

    >>> ts.sparse_matmul(ts.tensor([1.0, 2.0]), ts.SparseMatrix(np.array([[0.0, 3.0], [0.0, 4.0]])))
    tensor([ 0., 11.], dtype=float64)
    """
    return sparse.sparse_matmul(x, matrix)
