"""Ops that reduce along axes, or normalise along one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from tinyseq.errors import ShapeError
from tinyseq.graph import Shape, Signature
from tinyseq.ops.base import (
    FLOAT32,
    INT64,
    Inferred,
    Op,
    Value,
    Xp,
    normalize_axes,
    normalize_axis,
    promote,
    quiet,
    summed,
)
from tinyseq.ops.elementwise import exp, where
from tinyseq.ops.shape import broadcast_to, concat, flip, reshape, slice_

Axis = int | Sequence[int] | None


def reduced(shape: Shape, axis: tuple[int, ...], keepdims: bool) -> Shape:
    """Return the shape that reducing over ``axis`` leaves."""
    if keepdims:
        return tuple(1 if i in axis else extent for i, extent in enumerate(shape))
    return tuple(extent for i, extent in enumerate(shape) if i not in axis)


def restore(g: Value, shape: Shape, axis: tuple[int, ...]) -> Value:
    """Give a reduced value its axes back, with extent 1, so that it broadcasts against the input."""
    return reshape(g, reduced(shape, axis, True))


def _floating(x: Any) -> Any:
    return x if x.dtype.kind == "f" else x.astype(FLOAT32)


class Reduction(Op):
    """Over the axes ``axis`` (a sorted tuple once recorded)."""

    needs_elements = False

    def __call__(self, x: Value, axis: Axis = None, keepdims: bool = False) -> Any:
        return super().__call__(x, axis=normalize_axes(self.name, axis, len(x.shape)), keepdims=keepdims)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        x, axis = inputs[0], attrs["axis"]
        if self.needs_elements and any(x.shape[i] == 0 for i in axis):
            raise ShapeError(f"{self.name} of no elements", required="extents over 0 on the axes", got=str(x.shape))
        return reduced(x.shape, axis, attrs["keepdims"]), x.dtype

    def flops(self, shape: Any, /, *inputs: Signature, **attrs: Any) -> int:
        return math.prod(inputs[0].shape)


class Sum(Reduction):
    name = "sum"
    formula = r"y = \sum_i x_i"
    vjps = (lambda g, y, x, axis, keepdims: broadcast_to(restore(g, x.shape, axis), x.shape),)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        shape, dtype = super().infer(*inputs, **attrs)
        return shape, summed(dtype)

    @quiet
    def kernel(self, xp: Xp, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        return x.sum(axis=axis, keepdims=keepdims)


def _extreme(g: Value, y: Value, x: Value, axis: tuple[int, ...], keepdims: bool) -> Value:
    hit = x == restore(y, x.shape, axis)
    return restore(g, x.shape, axis) * hit / sum_(hit, axis, keepdims=True)


class Extreme(Reduction):
    """Ties share the gradient evenly."""

    reads = "xy"
    vjps = (_extreme,)
    needs_elements = True


class Max(Extreme):
    name = "max"
    formula = r"y = \max_i x_i"

    def kernel(self, xp: Xp, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        return x.max(axis=axis, keepdims=keepdims)


class Min(Extreme):
    name = "min"
    formula = r"y = \min_i x_i"

    def kernel(self, xp: Xp, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        return x.min(axis=axis, keepdims=keepdims)


def _logsumexp_vjp(g: Value, y: Value, x: Value, axis: tuple[int, ...], keepdims: bool) -> Value:
    peak = restore(y, x.shape, axis)
    # All inputs -inf: x - y would be NaN, and the softmax of nothing is 0.
    weights = exp(x - where(peak == -math.inf, 0.0, peak))
    # They sum to 1 but for the rounding of y, which is coarse where y is large.
    total = sum_(weights, axis, keepdims=True)
    return restore(g, x.shape, axis) * (weights / where(total == 0.0, 1.0, total))


class LogSumExp(Reduction):
    """Shifted by the maximum, so large logits do not overflow; of nothing but -inf it is -inf."""

    name = "logsumexp"
    formula = r"y = \ln \sum_i e^{x_i}"
    reads = "xy"
    vjps = (_logsumexp_vjp,)
    needs_elements = True

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        shape, _ = super().infer(*inputs, **attrs)
        return shape, promote(*inputs, floating=True)

    @quiet
    def kernel(self, xp: Xp, x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
        x = _floating(x)
        peak = x.max(axis=axis, keepdims=True)
        peak = xp.where(xp.isfinite(peak), peak, 0)
        y = xp.log(xp.exp(x - peak).sum(axis=axis, keepdims=True)) + peak
        return y if keepdims else y.reshape(reduced(x.shape, axis, False))


class AlongAxis(Op):
    """Keeps the shape; acts along one axis."""

    def __call__(self, x: Value, axis: int = -1) -> Any:
        return super().__call__(x, axis=normalize_axis(self.name, axis, len(x.shape)))

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        return inputs[0].shape, promote(inputs[0], floating=True)

    def flops(self, shape: Any, /, *inputs: Signature, **attrs: Any) -> int:
        return 4 * math.prod(shape)


class Normalising(AlongAxis):
    """Along the last axis by default, which must not be a column's: all of it would be 1, whatever x is."""

    def __call__(self, x: Value, axis: int | None = None) -> Any:
        if axis is None and x.shape and x.shape[-1] == 1 and max(x.shape) > 1:
            raise ShapeError(
                f"{self.name} along an axis of one element is {self.of_one} whatever the element is",
                required="the axis, where the last one has extent 1",
                got=f"shape {tuple(x.shape)}",
                fix=f"{self.name}(x, axis=0) for a column; axis=-1 where this is meant",
            )
        return super().__call__(x, -1 if axis is None else axis)

    of_one: ClassVar[int]


class Softmax(Normalising):
    of_one = 1
    name = "softmax"
    formula = r"y_i = e^{x_i} / \sum_j e^{x_j}"
    reads = "y"
    vjps = (lambda g, y, x, axis: y * (g - sum_(g * y, axis, keepdims=True)),)

    @quiet
    def kernel(self, xp: Xp, x: Any, axis: int) -> Any:
        x = _floating(x)
        y = xp.exp(x - x.max(axis=axis, keepdims=True)) if x.shape[axis] else xp.exp(x)
        return y / y.sum(axis=axis, keepdims=True)


class LogSoftmax(Normalising):
    of_one = 0
    name = "log_softmax"
    formula = r"y_i = x_i - \ln \sum_j e^{x_j}"
    reads = "y"
    vjps = (lambda g, y, x, axis: g - exp(y) * sum_(g, axis, keepdims=True),)

    @quiet
    def kernel(self, xp: Xp, x: Any, axis: int) -> Any:
        x = _floating(x)
        y = x - x.max(axis=axis, keepdims=True) if x.shape[axis] else x * 1.0
        return y - xp.log(xp.exp(y).sum(axis=axis, keepdims=True))


class CumSum(AlongAxis):
    name = "cumsum"
    formula = r"y_i = \sum_{j \le i} x_j"
    vjps = (lambda g, y, x, axis: flip(cumsum(flip(g, axis), axis), axis),)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        return inputs[0].shape, summed(inputs[0].dtype)

    @quiet
    def kernel(self, xp: Xp, x: Any, axis: int) -> Any:
        return xp.cumsum(x, axis=axis)


class ArgReduction(Op):
    """The index of an extreme along one axis; the first one of ties."""

    differentiable = False

    def __call__(self, x: Value, axis: int = -1) -> Any:
        return super().__call__(x, axis=normalize_axis(self.name, axis, len(x.shape)))

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        x, axis = inputs[0], attrs["axis"]
        if x.shape[axis] == 0:
            raise ShapeError(f"{self.name} of no elements", required="an extent over 0", got=str(x.shape))
        return reduced(x.shape, (axis,), False), INT64


class ArgMax(ArgReduction):
    name = "argmax"
    formula = r"y = \arg\max_i x_i"

    def kernel(self, xp: Xp, x: Any, axis: int) -> Any:
        return xp.argmax(x, axis=axis)


class ArgMin(ArgReduction):
    name = "argmin"
    formula = r"y = \arg\min_i x_i"

    def kernel(self, xp: Xp, x: Any, axis: int) -> Any:
        return xp.argmin(x, axis=axis)


class ArgSort(AlongAxis):
    """The order of the elements, the smallest first: equal ones stay in theirs, and NaN comes last."""

    name = "argsort"
    formula = r"y = \operatorname{argsort} x"
    differentiable = False

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        return inputs[0].shape, INT64

    def kernel(self, xp: Xp, x: Any, axis: int) -> Any:
        return xp.argsort(x, axis=axis, kind="stable")


sum_: Final[Sum] = Sum()
max_: Final[Max] = Max()
min_: Final[Min] = Min()
logsumexp: Final[LogSumExp] = LogSumExp()
softmax: Final[Softmax] = Softmax()
log_softmax: Final[LogSoftmax] = LogSoftmax()
cumsum: Final[CumSum] = CumSum()
argmax: Final[ArgMax] = ArgMax()
argmin: Final[ArgMin] = ArgMin()
argsort: Final[ArgSort] = ArgSort()


def mean(x: Value, axis: Axis = None, keepdims: bool = False) -> Any:
    """Arithmetic mean over axes, y = (1/n) Σ x; of no elements it is NaN."""
    axes = normalize_axes("mean", axis, len(x.shape))
    count = math.prod(x.shape[i] for i in axes)
    return sum_(x, axes, keepdims) / float(count)


def var(x: Value, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Any:
    """Variance over axes, y = Σ (x - mean)^2 / (n - ddof)."""
    axes = normalize_axes("var", axis, len(x.shape))
    count = math.prod(x.shape[i] for i in axes)
    deviation = x - mean(x, axes, keepdims=True)
    return sum_(deviation * deviation, axes, keepdims) / float(count - ddof)


def prod(x: Value, axis: Axis = None, keepdims: bool = False) -> Any:
    """Product over axes, multiplied as a balanced tree, so the gradient is exact where factors are zero."""
    axes = normalize_axes("prod", axis, len(x.shape))
    for i in axes:
        if x.shape[i] == 0:
            x = sum_(x, i, keepdims=True) + 1
        while (extent := x.shape[i]) > 1:
            before, half = (slice(None),) * i, extent // 2
            pairs = slice_(x, (*before, slice(0, half))) * slice_(x, (*before, slice(half, 2 * half)))
            x = concat([pairs, slice_(x, (*before, slice(2 * half, None)))], i) if extent % 2 else pairs
    return x if keepdims else reshape(x, reduced(x.shape, axes, False))
