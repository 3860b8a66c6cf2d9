"""What can be written with a tensor: Python's operators, and methods for the commonest functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from tinyseq import interop
from tinyseq.errors import MutationError
from tinyseq.ops import elementwise as ew
from tinyseq.ops import linalg, predicates, reduce, shape
from tinyseq.ops.base import DtypeLike, Operand, Recorder
from tinyseq.ops.reduce import Axis


class Operators(Recorder):
    """The operators and methods of ``Tensor``. They record by ``_record``, so they know nothing of values and nodes."""

    __slots__ = ()

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return interop.ufunc(function, method, inputs, options)  # ``array + tensor`` comes here

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return interop.function(function, args, options)

    def __add__(self, other: Operand) -> Self:
        return self._record(ew.add, (self, other))

    def __radd__(self, other: Operand) -> Self:
        return self._record(ew.add, (other, self))

    def __sub__(self, other: Operand) -> Self:
        return self._record(ew.sub, (self, other))

    def __rsub__(self, other: Operand) -> Self:
        return self._record(ew.sub, (other, self))

    def __mul__(self, other: Operand) -> Self:
        return self._record(ew.mul, (self, other))

    def __rmul__(self, other: Operand) -> Self:
        return self._record(ew.mul, (other, self))

    def __truediv__(self, other: Operand) -> Self:
        return self._record(ew.div, (self, other))

    def __rtruediv__(self, other: Operand) -> Self:
        return self._record(ew.div, (other, self))

    def __pow__(self, other: Operand) -> Self:
        return self._record(ew.power, (self, other))

    def __rpow__(self, other: Operand) -> Self:
        return self._record(ew.power, (other, self))

    def __matmul__(self, other: Operand) -> Self:
        return self._record(linalg.matmul, (self, other))

    def __rmatmul__(self, other: Operand) -> Self:
        return self._record(linalg.matmul, (other, self))

    def __neg__(self) -> Self:
        return self._record(ew.neg, (self,))

    def __abs__(self) -> Self:
        return self._record(ew.absolute, (self,))

    def __eq__(self, other: Operand) -> Self:  # type: ignore[override]
        return self._record(predicates.equal, (self, other)) if _has_elements(other) else NotImplemented

    def __ne__(self, other: Operand) -> Self:  # type: ignore[override]
        return self._record(predicates.not_equal, (self, other)) if _has_elements(other) else NotImplemented

    __hash__ = object.__hash__  # == compares elements; as keys, tensors are themselves

    def __lt__(self, other: Operand) -> Self:
        return self._record(predicates.less, (self, other))

    def __le__(self, other: Operand) -> Self:
        return self._record(predicates.less_equal, (self, other))

    def __gt__(self, other: Operand) -> Self:
        return self._record(predicates.greater, (self, other))

    def __ge__(self, other: Operand) -> Self:
        return self._record(predicates.greater_equal, (self, other))

    def __and__(self, other: Operand) -> Self:
        return self._record(predicates.logical_and, (self, other))

    def __or__(self, other: Operand) -> Self:
        return self._record(predicates.logical_or, (self, other))

    def __invert__(self) -> Self:
        return self._record(predicates.logical_not, (self,))

    # -- in place: the name gets another value; a parameter's name must not get one unnoticed --------------------------

    def __iadd__(self, other: Operand) -> Self:
        self._require_rebinding("+")
        return self._record(ew.add, (self, other))

    def __isub__(self, other: Operand) -> Self:
        self._require_rebinding("-")
        return self._record(ew.sub, (self, other))

    def __imul__(self, other: Operand) -> Self:
        self._require_rebinding("*")
        return self._record(ew.mul, (self, other))

    def __itruediv__(self, other: Operand) -> Self:
        self._require_rebinding("/")
        return self._record(ew.div, (self, other))

    def __ipow__(self, other: Operand) -> Self:
        self._require_rebinding("**")
        return self._record(ew.power, (self, other))

    def __imatmul__(self, other: Operand) -> Self:
        self._require_rebinding("@")
        return self._record(linalg.matmul, (self, other))

    def __iand__(self, other: Operand) -> Self:
        self._require_rebinding("&")
        return self._record(predicates.logical_and, (self, other))

    def __ior__(self, other: Operand) -> Self:
        self._require_rebinding("|")
        return self._record(predicates.logical_or, (self, other))

    def _require_rebinding(self, symbol: str) -> None:
        """Refuse ``x += y`` where only x itself could have been meant."""
        raise NotImplementedError

    def __getitem__(self, key: Any) -> Self:
        return shape.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise MutationError(
            "an element of a tensor cannot be assigned",
            required="a new tensor",
            got=f"x[{key!r}] = ...",
            fix="ts.where(mask, new, x) to choose by a mask, ts.concat([...]) to join, x.numpy().copy() to edit",
        )

    # -- methods for the commonest functions ---------------------------------------------------------------------------

    @property
    def T(self) -> Self:
        """The axes reversed."""
        return shape.transpose(self)

    def transpose(self, *axes: int | Sequence[int]) -> Self:
        r"""The axes reversed, or in the order given.

            y = x^\top

        ``ts.transpose`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.transpose``,
        ``torch.permute``.

        >>> ts.tensor([[1, 2], [3, 4]]).transpose()
        tensor([[1, 3],
                [2, 4]])
        """
        return shape.transpose(self, *axes)

    def swapaxes(self, a: int, b: int) -> Self:
        r"""Two axes exchanged.

            y_{\ldots j \ldots i \ldots} = x_{\ldots i \ldots j \ldots}

        ``ts.swapaxes`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.swapaxes``,
        ``torch.swapaxes``.

        >>> ts.tensor([[1, 2, 3]]).swapaxes(0, 1)
        tensor([[1],
                [2],
                [3]])
        """
        return shape.swapaxes(self, a, b)

    def reshape(self, *extents: int | Sequence[int]) -> Self:
        r"""The same elements, row after row, in another shape; one extent may be -1, which is worked out.

            y = \operatorname{reshape}(x)

        ``ts.reshape`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.reshape``, ``torch.reshape``.

        >>> ts.arange(6).reshape(2, -1)
        tensor([[0, 1, 2],
                [3, 4, 5]])
        """
        return shape.reshape(self, *extents)

    def expand_dims(self, axis: int) -> Self:
        r"""The same elements with one more axis, of extent 1, which is ``axis`` of the result.

            y_{\ldots 0 \ldots} = x_{\ldots}

        ``ts.expand_dims`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.expand_dims``,
        ``torch.unsqueeze``.

        >>> ts.tensor([1, 2]).expand_dims(1)
        tensor([[1],
                [2]])
        """
        return shape.expand_dims(self, axis)

    def squeeze(self, axis: int | None = None) -> Self:
        r"""The same elements without an axis of extent 1, or without all of them.

            y_{\ldots} = x_{\ldots 0 \ldots}

        ``ts.squeeze`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.squeeze``, ``torch.squeeze``.

        >>> ts.tensor([[1], [2]]).squeeze(1)
        tensor([1, 2])
        """
        return shape.squeeze(self, axis)

    def broadcast_to(self, *extents: int | Sequence[int]) -> Self:
        r"""Repeated along axes of extent 1 and along new leading axes; the gradient is summed over them.

            y = \operatorname{broadcast}(x)

        ``ts.broadcast_to`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.broadcast_to``,
        ``torch.broadcast_to``.

        >>> ts.tensor([1, 2]).broadcast_to(2, 2)
        tensor([[1, 2],
                [1, 2]])
        """
        return shape.broadcast_to(self, *extents)

    def cast(self, dtype: DtypeLike) -> Self:
        r"""The same values in another dtype, floats cut toward 0 to integers. A gradient flows from floats to floats.

            y = x \text{ as another dtype}

        ``ts.cast`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.ndarray.astype``,
        ``torch.Tensor.to``.

        >>> ts.tensor([1.7, -1.7]).cast(ts.int64)
        tensor([ 1, -1])
        """
        return ew.cast(self, dtype)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Self:
        r"""The sum over axes.

            y = \sum_i x_i

        ``ts.sum`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.sum``, ``torch.sum``.

        >>> ts.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(axis=0)
        tensor([4., 6.])
        """
        return reduce.sum_(self, axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Self:
        r"""The arithmetic mean over axes; NaN of no elements.

            y = \frac{1}{n} \sum_i x_i

        ``ts.mean`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.mean``, ``torch.mean``.

        >>> ts.tensor([[1.0, 2.0], [3.0, 4.0]]).mean(axis=0)
        tensor([2., 3.])
        """
        return reduce.mean(self, axis, keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Self:
        r"""The variance over axes, divided by n - ddof: by n as in NumPy (PyTorch: by n - 1).

            y = \frac{1}{n - \mathit{ddof}} \sum_i (x_i - \bar x)^2

        ``ts.var`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.var``, ``torch.var``.

        >>> ts.tensor([1.0, 3.0]).var()
        tensor(1.)
        """
        return reduce.var(self, axis, keepdims, ddof)

    def prod(self, axis: Axis = None, keepdims: bool = False) -> Self:
        r"""The product over axes; the gradient is exact where factors are 0.

            y = \prod_i x_i

        ``ts.prod`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.prod``, ``torch.prod``.

        >>> ts.tensor([2.0, 3.0, 4.0]).prod()
        tensor(24.)
        """
        return reduce.prod(self, axis, keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Self:
        r"""The largest element over axes; ties share the gradient evenly.

            y = \max_i x_i

        ``ts.max`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.max``, ``torch.amax``.

        >>> ts.tensor([[1.0, 2.0], [3.0, 0.0]]).max(axis=1)
        tensor([2., 3.])
        """
        return reduce.max_(self, axis, keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Self:
        r"""The smallest element over axes; ties share the gradient evenly.

            y = \min_i x_i

        ``ts.min`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.min``, ``torch.amin``.

        >>> ts.tensor([[1.0, 2.0], [3.0, 0.0]]).min(axis=1)
        tensor([1., 0.])
        """
        return reduce.min_(self, axis, keepdims)

    def argmax(self, axis: int = -1) -> Self:
        r"""The index of the largest element along an axis, by default the last; the first of ties.

            y = \arg\max_i x_i

        ``ts.argmax`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.argmax``, ``torch.argmax``.

        >>> ts.tensor([[1.0, 2.0], [3.0, 0.0]]).argmax()
        tensor([1, 0])
        """
        return reduce.argmax(self, axis)

    def argmin(self, axis: int = -1) -> Self:
        r"""The index of the smallest element along an axis, by default the last; the first of ties.

            y = \arg\min_i x_i

        ``ts.argmin`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.argmin``, ``torch.argmin``.

        >>> ts.tensor([[1.0, 2.0], [3.0, 0.0]]).argmin()
        tensor([0, 1])
        """
        return reduce.argmin(self, axis)

    def cumsum(self, axis: int = -1) -> Self:
        r"""The running sum along an axis, by default the last (NumPy's default is all elements in a row).

            y_i = \sum_{j \le i} x_j

        ``ts.cumsum`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.cumsum``, ``torch.cumsum``.

        >>> ts.tensor([1.0, 2.0, 3.0]).cumsum()
        tensor([1., 3., 6.])
        """
        return reduce.cumsum(self, axis)

    def softmax(self, axis: int | None = None) -> Self:
        r"""Exponentials scaled to sum 1 along an axis, by default the last; they do not overflow.

            y_i = e^{x_i} / \sum_j e^{x_j}

        ``ts.softmax`` of this tensor, which tells shapes, dtypes and errors. As ``scipy.special.softmax``,
        ``torch.softmax``; Bridle 1990.

        >>> ts.tensor([0.0, 1.0]).softmax()
        tensor([0.2689, 0.7311])
        """
        return reduce.softmax(self, axis)

    def log_softmax(self, axis: int | None = None) -> Self:
        r"""The logarithm of the softmax along an axis, by default the last.

            y_i = x_i - \ln \sum_j e^{x_j}

        ``ts.log_softmax`` of this tensor, which tells shapes, dtypes and errors. As ``scipy.special.log_softmax``,
        ``torch.log_softmax``.

        >>> ts.tensor([0.0, 0.0]).log_softmax()
        tensor([-0.6931, -0.6931])
        """
        return reduce.log_softmax(self, axis)

    def logsumexp(self, axis: Axis = None, keepdims: bool = False) -> Self:
        r"""The logarithm of the sum of exponentials over axes, shifted by the maximum, so that it does not overflow.

            y = \ln \sum_i e^{x_i}

        ``ts.logsumexp`` of this tensor, which tells shapes, dtypes and errors. As ``scipy.special.logsumexp``,
        ``torch.logsumexp``.

        >>> ts.tensor([1000.0, 1000.0]).logsumexp()
        tensor(1000.6932)
        """
        return reduce.logsumexp(self, axis, keepdims)

    def clip(self, low: float | None = None, high: float | None = None) -> Self:
        r"""Each element brought within the bounds; None is no bound. The gradient passes inside the bounds and on them.

            y = \min(\max(x, \mathit{low}), \mathit{high})

        ``ts.clip`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.clip``, ``torch.clamp``.

        >>> ts.tensor([-2.0, 0.5, 9.0]).clip(0.0, 1.0)
        tensor([0. , 0.5, 1. ])
        """
        return ew.clip(self, low, high)

    def exp(self) -> Self:
        r"""The exponential of each element.

            y = e^x

        ``ts.exp`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.exp``, ``torch.exp``.

        >>> ts.tensor([0.0, 1.0]).exp()
        tensor([1.    , 2.7183])
        """
        return self._record(ew.exp, (self,))

    def log(self) -> Self:
        r"""The natural logarithm of each element; -inf at 0, NaN below.

            y = \ln x

        ``ts.log`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.log``, ``torch.log``.

        >>> ts.tensor([1.0, 2.0]).log()
        tensor([0.    , 0.6931])
        """
        return self._record(ew.log, (self,))

    def sqrt(self) -> Self:
        r"""The square root of each element; NaN below 0. Its slope at 0 is infinite.

            y = \sqrt{x}

        ``ts.sqrt`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.sqrt``, ``torch.sqrt``.

        >>> ts.tensor([4.0, 2.0]).sqrt()
        tensor([2.    , 1.4142])
        """
        return self._record(ew.sqrt, (self,))

    def abs(self) -> Self:
        r"""The absolute value of each element; the slope at 0 is 0.

            y = |x|

        ``ts.abs`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.abs``, ``torch.abs``.

        >>> ts.tensor([-2.0, 3.0]).abs()
        tensor([2., 3.])
        """
        return self._record(ew.absolute, (self,))

    def tanh(self) -> Self:
        r"""The hyperbolic tangent of each element.

            y = \tanh x

        ``ts.tanh`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.tanh``, ``torch.tanh``.

        >>> ts.tensor([0.0, 1.0]).tanh()
        tensor([0.    , 0.7616])
        """
        return self._record(ew.tanh, (self,))

    def sigmoid(self) -> Self:
        r"""The logistic function of each element; it does not overflow.

            y = \sigma(x) = \frac{1}{1 + e^{-x}} = \frac{1}{2} \tanh \frac{x}{2} + \frac{1}{2}

        ``ts.sigmoid`` of this tensor, which tells shapes, dtypes and errors. As ``torch.sigmoid``.

        >>> ts.tensor([0.0, 2.0]).sigmoid()
        tensor([0.5   , 0.8808])
        """
        return self._record(ew.sigmoid, (self,))

    def relu(self) -> Self:
        r"""Each element, or 0 where it is negative; the slope at 0 is 0. NaN stays.

            y = \max(x, 0)

        ``ts.relu`` of this tensor, which tells shapes, dtypes and errors. As ``torch.relu``; Nair and Hinton 2010.

        >>> ts.tensor([-1.0, 2.0]).relu()
        tensor([0., 2.])
        """
        return self._record(ew.relu, (self,))

    def sin(self) -> Self:
        r"""The sine of each element, in radians.

            y = \sin x

        ``ts.sin`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.sin``, ``torch.sin``.

        >>> ts.tensor([0.0, 1.0]).sin()
        tensor([0.    , 0.8415])
        """
        return self._record(ew.sin, (self,))

    def cos(self) -> Self:
        r"""The cosine of each element, in radians.

            y = \cos x

        ``ts.cos`` of this tensor, which tells shapes, dtypes and errors. As ``numpy.cos``, ``torch.cos``.

        >>> ts.tensor([0.0, 1.0]).cos()
        tensor([1.    , 0.5403])
        """
        return self._record(ew.cos, (self,))


def _has_elements(other: Any) -> bool:
    """Whether ``==`` compares elements: with None, a word or another thing a tensor is just not equal."""
    return isinstance(other, Recorder | bool | int | float | list | tuple) or hasattr(other, "dtype")
