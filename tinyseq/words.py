"""Words of NumPy and PyTorch, made of the ops: differentiated, compiled and drawn as those are."""

from __future__ import annotations

import numpy as np

from tinyseq.creation import tensor
from tinyseq.errors import ShapeError
from tinyseq.ops.base import DtypeLike
from tinyseq.ops.elementwise import sqrt, where
from tinyseq.ops.reduce import Axis, max_, min_, sum_, var
from tinyseq.ops.shape import zeros_like
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


def _root(square: Tensor) -> Tensor:
    """The square root, with slope zero at zero: what a ``where`` does not take must have a finite slope too."""
    zero = zeros_like(square)
    return where(square == 0, zero, sqrt(where(square == 0, zero + 1, square)))
