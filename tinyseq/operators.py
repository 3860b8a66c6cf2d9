"""What can be written with a tensor: Python's operators, and methods for the commonest functions."""

from __future__ import annotations

from typing import Any, Self

from tinyseq import interop
from tinyseq.errors import MutationError
from tinyseq.ops import elementwise as ew
from tinyseq.ops import linalg, predicates, reduce, shape
from tinyseq.ops.base import Recorder


class Operators(Recorder):
    """The operators and methods of ``Tensor``. They record by ``_record``, so they know nothing of values and nodes."""

    __slots__ = ()

    def __array_ufunc__(self, function: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return interop.ufunc(function, method, inputs, options)  # ``array + tensor`` comes here

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return interop.function(function, args, options)

    def __add__(self, other: Any) -> Self:
        return self._record(ew.add, (self, other))

    def __radd__(self, other: Any) -> Self:
        return self._record(ew.add, (other, self))

    def __sub__(self, other: Any) -> Self:
        return self._record(ew.sub, (self, other))

    def __rsub__(self, other: Any) -> Self:
        return self._record(ew.sub, (other, self))

    def __mul__(self, other: Any) -> Self:
        return self._record(ew.mul, (self, other))

    def __rmul__(self, other: Any) -> Self:
        return self._record(ew.mul, (other, self))

    def __truediv__(self, other: Any) -> Self:
        return self._record(ew.div, (self, other))

    def __rtruediv__(self, other: Any) -> Self:
        return self._record(ew.div, (other, self))

    def __pow__(self, other: Any) -> Self:
        return self._record(ew.power, (self, other))

    def __rpow__(self, other: Any) -> Self:
        return self._record(ew.power, (other, self))

    def __matmul__(self, other: Any) -> Self:
        return self._record(linalg.matmul, (self, other))

    def __rmatmul__(self, other: Any) -> Self:
        return self._record(linalg.matmul, (other, self))

    def __neg__(self) -> Self:
        return self._record(ew.neg, (self,))

    def __abs__(self) -> Self:
        return self._record(ew.absolute, (self,))

    def __eq__(self, other: Any) -> Self:  # type: ignore[override]
        return self._record(predicates.equal, (self, other)) if _has_elements(other) else NotImplemented

    def __ne__(self, other: Any) -> Self:  # type: ignore[override]
        return self._record(predicates.not_equal, (self, other)) if _has_elements(other) else NotImplemented

    __hash__ = object.__hash__  # == compares elements; as keys, tensors are themselves

    def __lt__(self, other: Any) -> Self:
        return self._record(predicates.less, (self, other))

    def __le__(self, other: Any) -> Self:
        return self._record(predicates.less_equal, (self, other))

    def __gt__(self, other: Any) -> Self:
        return self._record(predicates.greater, (self, other))

    def __ge__(self, other: Any) -> Self:
        return self._record(predicates.greater_equal, (self, other))

    def __and__(self, other: Any) -> Self:
        return self._record(predicates.logical_and, (self, other))

    def __or__(self, other: Any) -> Self:
        return self._record(predicates.logical_or, (self, other))

    def __invert__(self) -> Self:
        return self._record(predicates.logical_not, (self,))

    # -- in place: the name gets another value; a parameter's name must not get one unnoticed --------------------------

    def __iadd__(self, other: Any) -> Self:
        self._require_rebinding("+")
        return self._record(ew.add, (self, other))

    def __isub__(self, other: Any) -> Self:
        self._require_rebinding("-")
        return self._record(ew.sub, (self, other))

    def __imul__(self, other: Any) -> Self:
        self._require_rebinding("*")
        return self._record(ew.mul, (self, other))

    def __itruediv__(self, other: Any) -> Self:
        self._require_rebinding("/")
        return self._record(ew.div, (self, other))

    def __ipow__(self, other: Any) -> Self:
        self._require_rebinding("**")
        return self._record(ew.power, (self, other))

    def __imatmul__(self, other: Any) -> Self:
        self._require_rebinding("@")
        return self._record(linalg.matmul, (self, other))

    def __iand__(self, other: Any) -> Self:
        self._require_rebinding("&")
        return self._record(predicates.logical_and, (self, other))

    def __ior__(self, other: Any) -> Self:
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

    def transpose(self, *axes: int) -> Self:
        """Reverse the axes, or put them in the order given."""
        return shape.transpose(self, *axes)

    def swapaxes(self, a: int, b: int) -> Self:
        """Exchange two axes."""
        return shape.swapaxes(self, a, b)

    def reshape(self, *extents: Any) -> Self:
        """Same elements in another shape; one extent may be -1."""
        return shape.reshape(self, *extents)

    def expand_dims(self, axis: int) -> Self:
        """Put in an axis of extent 1."""
        return shape.expand_dims(self, axis)

    def squeeze(self, axis: int | None = None) -> Self:
        """Take out an axis of extent 1, or all of them."""
        return shape.squeeze(self, axis)

    def broadcast_to(self, *extents: Any) -> Self:
        """Repeat along axes of extent 1 and new leading axes."""
        return shape.broadcast_to(self, *extents)

    def cast(self, dtype: Any) -> Self:
        """Same values in another dtype."""
        return ew.cast(self, dtype)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Self:
        """Sum over axes."""
        return reduce.sum_(self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Self:
        """Mean over axes."""
        return reduce.mean(self, axis, keepdims)

    def var(self, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Self:
        """Variance over axes."""
        return reduce.var(self, axis, keepdims, ddof)

    def prod(self, axis: Any = None, keepdims: bool = False) -> Self:
        """Product over axes."""
        return reduce.prod(self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Self:
        """Maximum over axes."""
        return reduce.max_(self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Self:
        """Minimum over axes."""
        return reduce.min_(self, axis, keepdims)

    def argmax(self, axis: int = -1) -> Self:
        """Index of the maximum along an axis."""
        return reduce.argmax(self, axis)

    def argmin(self, axis: int = -1) -> Self:
        """Index of the minimum along an axis."""
        return reduce.argmin(self, axis)

    def cumsum(self, axis: int = -1) -> Self:
        """Running sum along an axis."""
        return reduce.cumsum(self, axis)

    def softmax(self, axis: int | None = None) -> Self:
        """Exponentials scaled to sum 1 along an axis, by default the last."""
        return reduce.softmax(self, axis)

    def log_softmax(self, axis: int | None = None) -> Self:
        """Logarithm of the softmax along an axis, by default the last."""
        return reduce.log_softmax(self, axis)

    def logsumexp(self, axis: Any = None, keepdims: bool = False) -> Self:
        """Logarithm of the sum of exponentials over axes."""
        return reduce.logsumexp(self, axis, keepdims)

    def clip(self, low: float | None = None, high: float | None = None) -> Self:
        """Each element brought within the bounds."""
        return ew.clip(self, low, high)

    def exp(self) -> Self:
        """e to the power of each element."""
        return self._record(ew.exp, (self,))

    def log(self) -> Self:
        """Natural logarithm of each element."""
        return self._record(ew.log, (self,))

    def sqrt(self) -> Self:
        """Square root of each element."""
        return self._record(ew.sqrt, (self,))

    def abs(self) -> Self:
        """Absolute value of each element."""
        return self._record(ew.absolute, (self,))

    def tanh(self) -> Self:
        """Hyperbolic tangent of each element."""
        return self._record(ew.tanh, (self,))

    def sigmoid(self) -> Self:
        """Logistic function of each element."""
        return self._record(ew.sigmoid, (self,))

    def relu(self) -> Self:
        """Each element, or 0 where it is negative."""
        return self._record(ew.relu, (self,))

    def sin(self) -> Self:
        """Sine of each element."""
        return self._record(ew.sin, (self,))

    def cos(self) -> Self:
        """Cosine of each element."""
        return self._record(ew.cos, (self,))


def _has_elements(other: Any) -> bool:
    """Whether ``==`` compares elements: with None, a word or another thing a tensor is just not equal."""
    return isinstance(other, Recorder | bool | int | float | list | tuple) or hasattr(other, "dtype")
