"""Functions that reduce along axes, or normalise along one, as users call them."""

from __future__ import annotations

from tinyseq.ops import reduce
from tinyseq.ops.reduce import Axis
from tinyseq.tensors import Tensor


def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    r"""The sum over axes.

        y = \sum_i x_i

    ``axis`` is an axis, several, or None for all; they go, or stay with extent 1 (``keepdims``). Floats stay; integers
    and booleans are added as int64. As ``numpy.sum``, ``torch.sum``.

    Raises:
        ShapeError: there is no such axis, or it is named twice.

    >>> ts.sum(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([4., 6.])
    """
    return reduce.sum_(x, axis, keepdims)


def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    r"""The arithmetic mean over axes; NaN of no elements.

        y = \frac{1}{n} \sum_i x_i

    ``axis`` is an axis, several, or None for all; they go, or stay with extent 1 (``keepdims``). Integers give float32.
    As ``numpy.mean``, ``torch.mean``.

    Raises:
        ShapeError: there is no such axis, or it is named twice.

    >>> ts.mean(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=0)
    tensor([2., 3.])
    """
    return reduce.mean(x, axis, keepdims)


def var(x: Tensor, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
    r"""The variance over axes, divided by n - ddof: by n as in NumPy (PyTorch: by n - 1).

        y = \frac{1}{n - \mathit{ddof}} \sum_i (x_i - \bar x)^2

    ``axis`` is an axis, several, or None for all; they go, or stay with extent 1 (``keepdims``). Integers give float32.
    As ``numpy.var``, ``torch.var``.

    Raises:
        ShapeError: there is no such axis, or it is named twice.

    >>> ts.var(ts.tensor([1.0, 3.0]))
    tensor(1.)
    """
    return reduce.var(x, axis, keepdims, ddof)


def prod(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    r"""The product over axes; the gradient is exact where factors are 0.

        y = \prod_i x_i

    ``axis`` is an axis, several, or None for all; they go, or stay with extent 1 (``keepdims``). The dtype stays. As
    ``numpy.prod``, ``torch.prod``.

    Raises:
        ShapeError: there is no such axis, or it is named twice.

    >>> ts.prod(ts.tensor([2.0, 3.0, 4.0]))
    tensor(24.)
    """
    return reduce.prod(x, axis, keepdims)


def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    r"""The largest element over axes; ties share the gradient evenly.

        y = \max_i x_i

    ``axis`` is an axis, several, or None for all; they go, or stay with extent 1 (``keepdims``). The dtype stays. As
    ``numpy.max``, ``torch.amax``.

    Raises:
        ShapeError: there is no such axis, or no element along it.

    >>> ts.max(ts.tensor([[1.0, 2.0], [3.0, 0.0]]), axis=1)
    tensor([2., 3.])
    """
    return reduce.max_(x, axis, keepdims)


def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    r"""The smallest element over axes; ties share the gradient evenly.

        y = \min_i x_i

    ``axis`` is an axis, several, or None for all; they go, or stay with extent 1 (``keepdims``). The dtype stays. As
    ``numpy.min``, ``torch.amin``.

    Raises:
        ShapeError: there is no such axis, or no element along it.

    >>> ts.min(ts.tensor([[1.0, 2.0], [3.0, 0.0]]), axis=1)
    tensor([1., 0.])
    """
    return reduce.min_(x, axis, keepdims)


def argmax(x: Tensor, axis: int = -1) -> Tensor:
    r"""The index of the largest element along an axis, by default the last; the first of ties.

        y = \arg\max_i x_i

    The axis goes; int64. No gradient flows through it. As ``numpy.argmax``, ``torch.argmax``.

    Raises:
        ShapeError: there is no such axis, or no element along it.

    >>> ts.argmax(ts.tensor([[1.0, 2.0], [3.0, 0.0]]))
    tensor([1, 0])
    """
    return reduce.argmax(x, axis)


def argmin(x: Tensor, axis: int = -1) -> Tensor:
    r"""The index of the smallest element along an axis, by default the last; the first of ties.

        y = \arg\min_i x_i

    The axis goes; int64. No gradient flows through it. As ``numpy.argmin``, ``torch.argmin``.

    Raises:
        ShapeError: there is no such axis, or no element along it.

    >>> ts.argmin(ts.tensor([[1.0, 2.0], [3.0, 0.0]]))
    tensor([0, 1])
    """
    return reduce.argmin(x, axis)


def logsumexp(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    r"""The logarithm of the sum of exponentials over axes, shifted by the maximum, so that it does not overflow.

        y = \ln \sum_i e^{x_i}

    ``axis`` is an axis, several, or None for all; they go, or stay with extent 1 (``keepdims``). Integers give float32.
    As ``scipy.special.logsumexp``, ``torch.logsumexp``.

    Raises:
        ShapeError: there is no such axis, or no element along it.

    >>> ts.logsumexp(ts.tensor([1000.0, 1000.0]))
    tensor(1000.6932)
    """
    return reduce.logsumexp(x, axis, keepdims)


def softmax(x: Tensor, axis: int | None = None) -> Tensor:
    r"""Exponentials scaled to sum 1 along an axis, by default the last; they do not overflow.

        y_i = e^{x_i} / \sum_j e^{x_j}

    Any shape, which is kept. Integers give float32. As ``scipy.special.softmax``, ``torch.softmax``; Bridle 1990.

    Raises:
        ShapeError: there is no such axis; or it is not given and the last has one element, of which softmax is 1
        whatever it is.

    >>> ts.softmax(ts.tensor([0.0, 1.0]))
    tensor([0.2689, 0.7311])
    """
    return reduce.softmax(x, axis)


def log_softmax(x: Tensor, axis: int | None = None) -> Tensor:
    r"""The logarithm of the softmax along an axis, by default the last.

        y_i = x_i - \ln \sum_j e^{x_j}

    Any shape, which is kept. Integers give float32. As ``scipy.special.log_softmax``, ``torch.log_softmax``.

    Raises:
        ShapeError: as ``ts.softmax``.

    >>> ts.log_softmax(ts.tensor([0.0, 0.0]))
    tensor([-0.6931, -0.6931])
    """
    return reduce.log_softmax(x, axis)


def cumsum(x: Tensor, axis: int = -1) -> Tensor:
    r"""The running sum along an axis, by default the last (NumPy's default is all elements in a row).

        y_i = \sum_{j \le i} x_j

    Any shape, which is kept. Floats stay; integers and booleans are added as int64. As ``numpy.cumsum``,
    ``torch.cumsum``.

    Raises:
        ShapeError: there is no such axis.

    >>> ts.cumsum(ts.tensor([1.0, 2.0, 3.0]))
    tensor([1., 3., 6.])
    """
    return reduce.cumsum(x, axis)
