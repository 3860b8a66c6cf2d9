"""Words of NumPy and PyTorch, made of the ops: differentiated, compiled and drawn as those are."""

from __future__ import annotations

import math

import numpy as np

from tinyseq.creation import arange, tensor
from tinyseq.errors import DtypeError, ShapeError
from tinyseq.ops import reduce
from tinyseq.ops.base import DtypeLike, normalize_axis
from tinyseq.ops.elementwise import sqrt, where, within
from tinyseq.ops.linalg import matmul
from tinyseq.ops.reduce import Axis, max_, min_, sum_, var
from tinyseq.ops.shape import expand_dims, flip, gather, reshape, slice_, swapaxes, zeros_like
from tinyseq.tensors import Tensor


def any(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    r"""Whether an element along the axes is not zero: booleans of the shape that is left. NaN counts as not zero.

        y = [\exists i: x_i \ne 0]

    Any dtype. As ``numpy.any``, ``torch.any``. No gradient flows through it.

    Raises:
        ShapeError: there is no such axis, or no element along it.

    >>> ts.any(ts.tensor([[0, 0], [0, 3]]), axis=1).numpy().tolist()
    [False, True]
    """
    return max_((x != 0).cast(np.int64), axis=axis, keepdims=keepdims) > 0


def all(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    r"""Whether every element along the axes is not zero: booleans of the shape that is left. NaN counts as not zero.

        y = [\forall i: x_i \ne 0]

    Any dtype. As ``numpy.all``, ``torch.all``. No gradient flows through it.

    Raises:
        ShapeError: there is no such axis, or no element along it.

    >>> ts.all(ts.tensor([[1, 0], [2, 3]]), axis=1).numpy().tolist()
    [False, True]
    """
    return min_((x != 0).cast(np.int64), axis=axis, keepdims=keepdims) > 0


def linspace(start: float, stop: float, num: int = 50, *, dtype: DtypeLike = np.float32) -> Tensor:
    r"""Numbers at equal distances from start to stop, both included: shape (num,).

        y_i = \mathit{start} + i (\mathit{stop} - \mathit{start}) / (\mathit{num} - 1)

    float32, or ``dtype``. As ``numpy.linspace``, ``torch.linspace``.

    Raises:
        ShapeError: ``num`` is not a count.

    >>> ts.linspace(0, 1, 5).numpy().tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if not isinstance(num, int | np.integer) or num < 0:
        raise ShapeError("linspace: num", required="how many numbers, an integer >= 0", got=repr(num))
    return tensor(np.linspace(start, stop, num), dtype=dtype)


def norm(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    r"""The Euclidean length \sqrt{\sum_i x_i^2} along the axes, by default of all elements, of a matrix too.

    Its gradient at zero is zero. As ``numpy.linalg.norm`` of a vector, ``torch.linalg.vector_norm``.

    Raises:
        ShapeError: there is no such axis, or it is named twice.

    >>> ts.norm(ts.tensor([3.0, 4.0])).item()
    5.0
    """
    return _root(sum_(x * x, axis=axis, keepdims=keepdims))


def std(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    r"""The standard deviation \sqrt{\mathrm{var}(x)}, which divides by n as ``ts.var`` and NumPy (PyTorch: by n - 1).

    Its gradient where all elements are equal is zero. As ``numpy.std``.

    Raises:
        ShapeError: there is no such axis, or it is named twice.

    >>> ts.std(ts.tensor([1.0, 3.0])).item()
    1.0
    """
    return _root(var(x, axis=axis, keepdims=keepdims))


def dot(a: Tensor, b: Tensor) -> Tensor:
    r"""The product of vectors, of matrices, or of more axes over the last of a and the last but one of b.

        y_{i \ldots k} = \sum_j a_{i \ldots j} b_{\ldots j k}

    As ``numpy.dot``: two vectors give their inner product, a scalar scales, and of more than two axes all stay, where
    ``a @ b`` has stacks that broadcast. Dtypes meet. ``torch.dot`` takes vectors only.

    Raises:
        ShapeError: the extents that are summed over differ.

    >>> ts.dot(ts.tensor([1.0, 2.0]), ts.tensor([3.0, 4.0]))
    tensor(11.)
    """
    if not a.shape or not b.shape:
        return a * b
    if len(b.shape) <= 2:
        return matmul(a, b)
    columns = (*b.shape[:-2], b.shape[-1])
    flat = reshape(swapaxes(b, -1, -2), (math.prod(columns), b.shape[-2]))
    return reshape(matmul(a, flat.T), (*a.shape[:-1], *columns))


def argsort(x: Tensor, axis: int = -1, descending: bool = False) -> Tensor:
    r"""The indices that sort along an axis, by default the last; equal elements stay in their order, NaN is largest.

        y = \operatorname{argsort} x

    The shape stays; int64. No gradient flows through it. As ``numpy.argsort`` (stable), ``torch.argsort``.

    Raises:
        ShapeError: there is no such axis.

    >>> ts.argsort(ts.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    if not descending:
        return reduce.argsort(x, axis)
    axis = normalize_axis("argsort", axis, len(x.shape))
    return (x.shape[axis] - 1) - flip(reduce.argsort(flip(x, axis), axis), axis)


def sort(x: Tensor, axis: int = -1, descending: bool = False) -> Tensor:
    r"""The elements in order along an axis, by default the last; equal ones share no gradient: each has its own place.

        y_i = x_{a_i}, a = \operatorname{argsort} x

    Shape and dtype stay. As ``numpy.sort``; ``torch.sort`` gives ``ts.argsort`` with it.

    Raises:
        ShapeError: there is no such axis.

    >>> ts.sort(ts.tensor([3.0, 1.0, 2.0]), descending=True)
    tensor([3., 2., 1.])
    """
    return gather(x, argsort(x, axis, descending), axis)


def topk(x: Tensor, k: int, axis: int = -1, largest: bool = True) -> tuple[Tensor, Tensor]:
    r"""The k largest elements along an axis, the largest first, and their indices; or the smallest.

        y_i = x_{a_i}, i < k, a = \operatorname{argsort}(-x)

    The axis gets extent k; the dtype of x, and int64. Gradients flow to what was taken. As ``torch.topk``.

    Raises:
        ShapeError: there is no such axis, or it has fewer elements than k.

    >>> ts.topk(ts.tensor([3.0, 1.0, 2.0]), 2)
    (tensor([3., 2.]), tensor([0, 2]))
    """
    axis = normalize_axis("topk", axis, len(x.shape))
    if not 0 <= k <= x.shape[axis]:
        raise ShapeError("topk: k is out of range", required=f"0 to {x.shape[axis]}, the extent", got=str(k))
    places = slice_(argsort(x, axis, largest), (*(slice(None),) * axis, slice(0, k)))
    return gather(x, places, axis), places


def one_hot(labels: Tensor, classes: int) -> Tensor:
    r"""Rows that are 1 at their label and 0 elsewhere.

        y_{\ldots k} = [k = t_{\ldots}]

    Integers (...) give (..., classes), int64. As ``torch.nn.functional.one_hot``, whose ``num_classes``
    may be left out: here a batch says nothing of the classes. No gradient flows through it.

    Raises:
        DtypeError: the labels are not integers.
        DataError: a label is out of range.

    >>> ts.one_hot(ts.tensor([2, 0]), 3)
    tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    if labels.dtype.kind not in "iu":
        raise DtypeError("one_hot: labels are not integers", required="an integer dtype", got=str(labels.dtype))
    labels = within(labels, 0, classes - 1, what="one_hot: a label is out of range", required=f"0 <= label < {classes}")
    return (expand_dims(labels, -1) == arange(classes)).cast(np.int64)


def _root(square: Tensor) -> Tensor:
    """The square root, with slope zero at zero: what a ``where`` does not take must have a finite slope too."""
    zero = zeros_like(square)
    return where(square == 0, zero, sqrt(where(square == 0, zero + 1, square)))
