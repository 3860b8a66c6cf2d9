"""Functions that move, join and select elements, as users call them."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType

from tinyseq.graph import Shape
from tinyseq.ops import shape as shape_ops
from tinyseq.ops.base import Operand
from tinyseq.tensors import Tensor

#: A part of an index: what stands in the brackets, or "array" for the next array of integers.
Key = int | slice | EllipsisType | str | None


def reshape(x: Tensor, *shape: int | Sequence[int]) -> Tensor:
    r"""The same elements, row after row, in another shape; one extent may be -1, which is worked out.

        y = \operatorname{reshape}(x)

    The shape as numbers or as one tuple. The dtype stays. As ``numpy.reshape``, ``torch.reshape``.

    Raises:
        ShapeError: the number of elements changes.

    >>> ts.reshape(ts.arange(6), 2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    return shape_ops.reshape(x, *shape)


def transpose(x: Tensor, *axes: int | Sequence[int]) -> Tensor:
    r"""The axes reversed, or in the order given.

        y = x^\top

    The dtype stays. As ``numpy.transpose``, ``torch.permute``.

    Raises:
        ShapeError: ``axes`` is not an order of the axes.

    >>> ts.transpose(ts.tensor([[1, 2], [3, 4]]))
    tensor([[1, 3],
            [2, 4]])
    """
    return shape_ops.transpose(x, *axes)


def swapaxes(x: Tensor, a: int, b: int) -> Tensor:
    r"""Two axes exchanged.

        y_{\ldots j \ldots i \ldots} = x_{\ldots i \ldots j \ldots}

    The dtype stays. As ``numpy.swapaxes``, ``torch.swapaxes``.

    Raises:
        ShapeError: there is no such axis.

    >>> ts.swapaxes(ts.tensor([[1, 2, 3]]), 0, 1)
    tensor([[1],
            [2],
            [3]])
    """
    return shape_ops.swapaxes(x, a, b)


def expand_dims(x: Tensor, axis: int) -> Tensor:
    r"""The same elements with one more axis, of extent 1, which is ``axis`` of the result.

        y_{\ldots 0 \ldots} = x_{\ldots}

    The dtype stays. As ``numpy.expand_dims``, ``torch.unsqueeze``.

    Raises:
        ShapeError: there is no such axis.

    >>> ts.expand_dims(ts.tensor([1, 2]), 1)
    tensor([[1],
            [2]])
    """
    return shape_ops.expand_dims(x, axis)


def squeeze(x: Tensor, axis: int | None = None) -> Tensor:
    r"""The same elements without an axis of extent 1, or without all of them.

        y_{\ldots} = x_{\ldots 0 \ldots}

    The dtype stays. As ``numpy.squeeze``, ``torch.squeeze``.

    Raises:
        ShapeError: there is no such axis, or it has another extent.

    >>> ts.squeeze(ts.tensor([[1], [2]]), 1)
    tensor([1, 2])
    """
    return shape_ops.squeeze(x, axis)


def broadcast_to(x: Tensor, *shape: int | Sequence[int]) -> Tensor:
    r"""Repeated along axes of extent 1 and along new leading axes; the gradient is summed over them.

        y = \operatorname{broadcast}(x)

    The shape as numbers or as one tuple. The dtype stays. As ``numpy.broadcast_to``, ``torch.broadcast_to``.

    Raises:
        ShapeError: x does not broadcast to the shape.

    >>> ts.broadcast_to(ts.tensor([1, 2]), 2, 2)
    tensor([[1, 2],
            [1, 2]])
    """
    return shape_ops.broadcast_to(x, *shape)


def flip(x: Tensor, axis: int = 0) -> Tensor:
    r"""The elements along an axis in the opposite order (NumPy flips all axes by default).

        y_i = x_{n-1-i}

    Any shape and dtype, which are kept. As ``numpy.flip``, ``torch.flip``.

    Raises:
        ShapeError: there is no such axis.

    >>> ts.flip(ts.tensor([1, 2, 3]))
    tensor([3, 2, 1])
    """
    return shape_ops.flip(x, axis)


def tril(x: Tensor, k: int = 0) -> Tensor:
    r"""The lower triangle of matrices, 0 above diagonal ``k``.

        y_{ij} = x_{ij} [j \le i + k]

    At least 2 axes; shape and dtype are kept. As ``numpy.tril``, ``torch.tril``.

    Raises:
        ShapeError: fewer than 2 axes.

    >>> ts.tril(ts.tensor([[1, 2], [3, 4]]))
    tensor([[1, 0],
            [3, 4]])
    """
    return shape_ops.tril(x, k)


def triu(x: Tensor, k: int = 0) -> Tensor:
    r"""The upper triangle of matrices, 0 below diagonal ``k``.

        y_{ij} = x_{ij} [j \ge i + k]

    At least 2 axes; shape and dtype are kept. As ``numpy.triu``, ``torch.triu``.

    Raises:
        ShapeError: fewer than 2 axes.

    >>> ts.triu(ts.tensor([[1, 2], [3, 4]]))
    tensor([[1, 2],
            [0, 4]])
    """
    return shape_ops.triu(x, k)


def concat(xs: Sequence[Operand], axis: int = 0) -> Tensor:
    r"""Tensors joined along an axis that they have.

        y = [a, b, \ldots]

    Equal extents on the other axes; dtypes meet. As ``numpy.concatenate``, ``torch.cat``.

    Raises:
        ShapeError: no tensors, no such axis, or other extents that differ.

    >>> ts.concat([ts.tensor([1, 2]), ts.tensor([3])])
    tensor([1, 2, 3])
    """
    return shape_ops.concat(xs, axis)


def stack(xs: Sequence[Operand], axis: int = 0) -> Tensor:
    r"""Tensors of one shape joined along a new axis, which is ``axis`` of the result.

        y = (x_1, x_2, \ldots)

    Dtypes meet. As ``numpy.stack``, ``torch.stack``.

    Raises:
        ShapeError: no tensors, no such axis, or shapes that differ.

    >>> ts.stack([ts.tensor([1, 2]), ts.tensor([3, 4])])
    tensor([[1, 2],
            [3, 4]])
    """
    return shape_ops.stack(xs, axis)


def unstack(x: Tensor, axis: int = 0) -> tuple[Tensor, ...]:
    r"""The parts along an axis, which goes: how a sequence is taken apart into time steps.

        y_t = x_{\cdot t \cdot}

    The dtype stays. As ``numpy.unstack``, ``torch.unbind``.

    Raises:
        ShapeError: there is no such axis.

    >>> ts.unstack(ts.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    return shape_ops.unstack(x, axis)


def split(x: Tensor, sizes: int | Sequence[int], axis: int = -1) -> tuple[Tensor, ...]:
    r"""Consecutive parts along an axis, of these extents, or of equal ones where it is one number (as PyTorch; NumPy
    takes the number of parts).

        (y_1, y_2, \ldots) = x

    The dtype stays. As ``torch.split``.

    Raises:
        ShapeError: there is no such axis, or the sizes do not add up to its extent.

    >>> ts.split(ts.arange(5), [2, 3])
    (tensor([0, 1]), tensor([2, 3, 4]))
    """
    return shape_ops.split(x, sizes, axis)


def pad(x: Tensor, widths: Sequence[Sequence[int]], value: float = 0.0) -> Tensor:
    r"""With ``value`` put before and after along each axis: a pair (before, after) an axis.

        y = \operatorname{pad}(x)

    The dtype stays. As ``numpy.pad``.

    Raises:
        ShapeError: not a pair of counts >= 0 for each axis.

    >>> ts.pad(ts.tensor([1, 2]), [(1, 2)])
    tensor([0, 1, 2, 0, 0])
    """
    return shape_ops.pad(x, widths, value)


def gather(x: Tensor, indices: Operand, axis: int = -1) -> Tensor:
    r"""Elements of x at integer positions along an axis; repeated ones add up their gradients.

        y_{\ldots j \ldots} = x_{\ldots i_{\ldots j \ldots} \ldots}

    Indices of as many axes as x, broadcast off the axis. The dtype of x stays. As ``numpy.take_along_axis``,
    ``torch.gather``.

    Raises:
        ShapeError: ranks differ, or an index is out of range.
        DtypeError: the indices are not integers.

    >>> ts.gather(ts.tensor([[1, 2], [3, 4]]), ts.tensor([[1], [0]]))
    tensor([[2],
            [3]])
    """
    return shape_ops.gather(x, indices, axis)


def take(x: Tensor, indices: Operand, axis: int = 0) -> Tensor:
    r"""Whole slices of x at integer positions along an axis, by default the first.

        y_{\ldots j \ldots} = x_{\ldots i_j \ldots}

    The axes of the indices stand in place of the axis. The dtype of x stays. As ``numpy.take``, ``torch.index_select``.

    Raises:
        ShapeError: there is no such axis, or an index is out of range.
        DtypeError: the indices are not integers.

    >>> ts.take(ts.tensor([[1, 2], [3, 4]]), ts.tensor([1, 1]))
    tensor([[3, 4],
            [3, 4]])
    """
    return shape_ops.take(x, indices, axis)


def scatter_add(x: Tensor, *indices: Operand, shape: Shape, key: tuple[Key, ...] | None = None) -> Tensor:
    r"""Zeros of a shape, with each element of x added at an integer position: the transpose of indexing.

        y_j = \sum_{k : i_k = j} x_k

    An array of indices an axis of the result; with ``key``, as in ``y[key]``, where ``"array"`` stands for the next of
    them. The dtype stays. As ``numpy.add.at``, ``torch.Tensor.scatter_add_``.

    Raises:
        ShapeError: x, indices and shape do not fit.
        DtypeError: an index is not of integers.

    >>> ts.scatter_add(ts.tensor([1.0, 2.0, 4.0]), ts.tensor([0, 0, 2]), shape=(3,))
    tensor([3., 0., 4.])
    """
    return shape_ops.scatter_add(
        x, *indices, key=(shape_ops.ARRAY,) * len(indices) if key is None else key, shape=shape
    )


def zeros_like(x: Tensor, shape: Shape | None = None) -> Tensor:
    r"""Zeros of the dtype and on the backend of x, of its shape or another.

        y = 0

    No gradient flows through it. As ``numpy.zeros_like``, ``torch.zeros_like``.

    >>> ts.zeros_like(ts.tensor([1, 2]))
    tensor([0, 0])
    """
    return shape_ops.zeros_like(x, shape)
