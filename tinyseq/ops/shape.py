"""Ops that move, join and select elements without computing on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import EllipsisType
from typing import Any, ClassVar, Final

import numpy as np

from tinyseq import backends
from tinyseq.errors import DtypeError, ShapeError
from tinyseq.graph import Shape, Signature
from tinyseq.ops.base import Inferred, Op, Value, Xp, broadcast, module_of, normalize_axis, promote, quiet, summed


class Structural(Op):
    """Moves elements; costs no arithmetic. The result's shape is an attribute or, where it is not, the input's."""

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        return attrs.get("shape", inputs[0].shape), inputs[0].dtype

    def flops(self, shape: Any, /, *inputs: Signature, **attrs: Any) -> int:
        return 0


def _sizes(extents: Sequence[Any]) -> Shape:
    """Take ``f(x, 2, 3)`` and ``f(x, (2, 3))`` alike."""
    if len(extents) == 1 and isinstance(extents[0], (tuple, list)):
        extents = extents[0]
    return tuple(int(extent) for extent in extents)


# -- shape and order ---------------------------------------------------------------------------------------------------


class Reshape(Structural):
    name = "reshape"
    formula = r"y = \operatorname{reshape}(x)"
    vjps = (lambda g, y, x, shape: reshape(g, x.shape),)

    def __call__(self, x: Value, *shape: Any) -> Any:
        extents = _sizes(shape)
        size = math.prod(x.shape)
        if extents.count(-1) == 1:
            known = -math.prod(extents)
            if known and size % known == 0:
                extents = tuple(size // known if extent == -1 else extent for extent in extents)
        if math.prod(extents) != size or any(extent < 0 for extent in extents):
            raise ShapeError(
                "reshape: the number of elements changes",
                required=f"{size} elements, as in {x.shape}",
                got=str(extents),
            )
        return x if extents == x.shape else super().__call__(x, shape=extents)

    def kernel(self, xp: Xp, x: Any, shape: Shape) -> Any:
        return x.reshape(shape)


class Transpose(Structural):
    name = "transpose"
    formula = r"y = x^\top"
    vjps = (lambda g, y, x, axes: transpose(g, tuple(axes.index(i) for i in range(len(axes)))),)

    def __call__(self, x: Value, *axes: Any) -> Any:
        """Reverse the axes, or put them in the order given."""
        ndim = len(x.shape)
        order = tuple(normalize_axis("transpose", a, ndim) for a in _sizes(axes)) if axes else tuple(range(ndim))[::-1]
        if sorted(order) != list(range(ndim)):
            raise ShapeError(
                "transpose: not an order of the axes", required=f"each of 0..{ndim - 1} once", got=str(axes)
            )
        return super().__call__(x, axes=order)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        return tuple(inputs[0].shape[i] for i in attrs["axes"]), inputs[0].dtype

    def kernel(self, xp: Xp, x: Any, axes: tuple[int, ...]) -> Any:
        return x.transpose(axes)


class BroadcastTo(Structural):
    name = "broadcast_to"
    formula = r"y = \operatorname{broadcast}(x)"
    vjps = (lambda g, y, x, shape: sum_to(g, x.shape),)

    def __call__(self, x: Value, *shape: Any) -> Any:
        extents = _sizes(shape)
        return x if extents == x.shape else super().__call__(x, shape=extents)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        shape = attrs["shape"]
        if broadcast(self.name, inputs[0].shape, shape) != shape:
            raise ShapeError("broadcast_to: the target is too small", required=str(shape), got=str(inputs[0].shape))
        return shape, inputs[0].dtype

    def kernel(self, xp: Xp, x: Any, shape: Shape) -> Any:
        return xp.broadcast_to(x, shape)


class SumTo(Op):
    """The transpose of broadcasting: sums over the axes that were added or stretched."""

    name = "sum_to"
    formula = r"y = \textstyle\sum_{\mathrm{broadcast\ axes}} x"
    vjps = (lambda g, y, x, shape: broadcast_to(g, x.shape),)

    def __call__(self, x: Value, *shape: Any) -> Any:
        extents = _sizes(shape)
        return x if extents == x.shape else super().__call__(x, shape=extents)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        (x,), shape = inputs, attrs["shape"]
        return shape, x.dtype if math.prod(x.shape) == math.prod(shape) else summed(x.dtype)

    def kernel(self, xp: Xp, x: Any, shape: Shape) -> Any:
        if x.size == math.prod(shape):
            return x.reshape(shape)
        added = x.ndim - len(shape)
        if added == 1 and x.shape[1:] == shape:
            return xp.add.reduce(x, axis=0, dtype=summed(x.dtype))
        stretched = tuple(i + added for i, extent in enumerate(shape) if extent == 1 and x.shape[i + added] != 1)
        return x.sum(axis=(*range(added), *stretched), dtype=summed(x.dtype)).reshape(shape)

    def flops(self, shape: Any, /, *inputs: Signature, **attrs: Any) -> int:
        return math.prod(inputs[0].shape)


class Flip(Structural):
    name = "flip"
    formula = r"y_i = x_{n-1-i}"
    vjps = (lambda g, y, x, axis: flip(g, axis),)

    def __call__(self, x: Value, axis: int = 0) -> Any:
        return super().__call__(x, axis=normalize_axis(self.name, axis, len(x.shape)))

    def kernel(self, xp: Xp, x: Any, axis: int) -> Any:
        return xp.flip(x, axis)


class Triangle(Structural):
    def __call__(self, x: Value, k: int = 0) -> Any:
        if len(x.shape) < 2:
            raise ShapeError(f"{self.name} takes matrices", required="at least 2 axes", got=str(x.shape))
        return super().__call__(x, k=k)


class Tril(Triangle):
    name = "tril"
    formula = r"y_{ij} = x_{ij} [j \le i + k]"
    vjps = (lambda g, y, x, k: tril(g, k),)

    def kernel(self, xp: Xp, x: Any, k: int) -> Any:
        return xp.tril(x, k)


class Triu(Triangle):
    name = "triu"
    formula = r"y_{ij} = x_{ij} [j \ge i + k]"
    vjps = (lambda g, y, x, k: triu(g, k),)

    def kernel(self, xp: Xp, x: Any, k: int) -> Any:
        return xp.triu(x, k)


# -- joining and parting -----------------------------------------------------------------------------------------------


def _along(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(start, stop),)


class Joining(Structural):
    """Takes tensors and the axis along which they lie in the result, one of theirs or a new one."""

    new_axes: ClassVar[int]

    def __call__(self, xs: Sequence[Value], axis: int = 0) -> Any:
        xs = tuple(xs)
        if not xs:
            raise ShapeError(f"{self.name} of nothing", required="at least one tensor")
        return super().__call__(*xs, axis=normalize_axis(self.name, axis, len(xs[0].shape) + self.new_axes))


class Concat(Joining):
    new_axes = 0
    name = "concat"
    formula = r"y = [a, b, \ldots]"

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        axis = attrs["axis"]
        others = {(*x.shape[:axis], None, *x.shape[axis + 1 :]) for x in inputs}
        if len(others) > 1:
            raise ShapeError(
                "concat: shapes differ off the axis",
                required=f"equal extents everywhere but on axis {axis}",
                got=", ".join(str(x.shape) for x in inputs),
            )
        shape = inputs[0].shape
        return (*shape[:axis], sum(x.shape[axis] for x in inputs), *shape[axis + 1 :]), promote(*inputs)

    def kernel(self, xp: Xp, *xs: Any, axis: int) -> Any:
        return xp.concatenate(xs, axis)

    def vjp(self, index: int, g: Value, y: Value, *inputs: Value, **attrs: Any) -> Value:
        axis = attrs["axis"]
        start = sum(x.shape[axis] for x in inputs[:index])
        return slice_(g, _along(axis, start, start + inputs[index].shape[axis]))


class Stack(Joining):
    new_axes = 1
    name = "stack"
    formula = r"y = (x_1, x_2, \ldots)"

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        axis, shape = attrs["axis"], inputs[0].shape
        if any(x.shape != shape for x in inputs):
            raise ShapeError("stack: shapes differ", got=", ".join(str(x.shape) for x in inputs))
        return (*shape[:axis], len(inputs), *shape[axis:]), promote(*inputs)

    def kernel(self, xp: Xp, *xs: Any, axis: int) -> Any:
        return xp.stack(xs, axis)

    def vjp(self, index: int, g: Value, y: Value, *inputs: Value, **attrs: Any) -> Value:
        return slice_(g, (slice(None),) * attrs["axis"] + (index,))


def _rejoin(op: Op, join: Op, gs: Sequence[Value], x: Value, **attrs: Any) -> Value:
    """Join the parts' gradients; a part that nothing used has none, and gets zeros."""
    present = next(g for g in gs if g is not None)
    shapes, _ = op.infer(x, **attrs)
    parts = [zeros_like(present, shape) if g is None else g for g, shape in zip(gs, shapes, strict=True)]
    return join(parts, attrs["axis"])


class Unstack(Structural):
    """The parts along an axis, the axis gone: how a sequence is taken apart into time steps."""

    name = "unstack"
    formula = r"y_t = x_{\cdot t \cdot}"
    multiple = True
    vjps = (lambda g, y, x, axis: _rejoin(unstack, stack, g, x, axis=axis),)

    def __call__(self, x: Value, axis: int = 0) -> Any:
        return super().__call__(x, axis=normalize_axis(self.name, axis, len(x.shape)))

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        (x,), axis = inputs, attrs["axis"]
        return (x.shape[:axis] + x.shape[axis + 1 :],) * x.shape[axis], (x.dtype,) * x.shape[axis]

    def kernel(self, xp: Xp, x: Any, axis: int) -> Any:
        before = (slice(None),) * axis
        return tuple(x[(*before, i, ...)] for i in range(x.shape[axis]))


class Split(Structural):
    """Consecutive parts along an axis; ``sizes`` are their extents (or one number, for equal parts)."""

    name = "split"
    formula = r"(y_1, y_2, \ldots) = x"
    multiple = True
    vjps = (lambda g, y, x, sizes, axis: _rejoin(split, concat, g, x, sizes=sizes, axis=axis),)

    def __call__(self, x: Value, sizes: int | Sequence[int], axis: int = -1) -> Any:
        axis = normalize_axis(self.name, axis, len(x.shape))
        extent = x.shape[axis]
        if isinstance(sizes, int):
            if sizes < 1 or extent % sizes:
                raise ShapeError("split: parts would not be equal", required=f"a divisor of {extent}", got=str(sizes))
            sizes = [sizes] * (extent // sizes)
        if sum(sizes) != extent or any(size < 0 for size in sizes):
            raise ShapeError("split: the sizes do not add up", required=f"a sum of {extent}", got=str(tuple(sizes)))
        return super().__call__(x, sizes=tuple(sizes), axis=axis)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        (x,), axis, sizes = inputs, attrs["axis"], attrs["sizes"]
        return tuple((*x.shape[:axis], n, *x.shape[axis + 1 :]) for n in sizes), (x.dtype,) * len(sizes)

    def kernel(self, xp: Xp, x: Any, sizes: tuple[int, ...], axis: int) -> Any:
        ends = np.cumsum(sizes).tolist()
        return tuple(x[_along(axis, end - size, end)] for size, end in zip(sizes, ends, strict=True))


class Pad(Structural):
    """``widths`` is a pair (before, after) for each axis."""

    name = "pad"
    formula = r"y = \operatorname{pad}(x)"

    def __call__(self, x: Value, widths: Sequence[Sequence[int]], value: float = 0.0) -> Any:
        pairs = tuple((int(before), int(after)) for before, after in widths)
        if len(pairs) != len(x.shape) or any(width < 0 for pair in pairs for width in pair):
            raise ShapeError("pad: bad widths", required=f"{len(x.shape)} pairs of counts >= 0", got=str(widths))
        return super().__call__(x, widths=pairs, value=value)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        pairs = zip(inputs[0].shape, attrs["widths"], strict=True)
        return tuple(extent + before + after for extent, (before, after) in pairs), inputs[0].dtype

    def kernel(self, xp: Xp, x: Any, widths: Any, value: float) -> Any:
        return xp.pad(x, widths, constant_values=value)

    def vjp(self, index: int, g: Value, y: Value, *inputs: Value, **attrs: Any) -> Value:
        extents = zip(inputs[0].shape, attrs["widths"], strict=True)
        return slice_(g, tuple(slice(before, before + extent) for extent, (before, _) in extents))


# -- selecting ---------------------------------------------------------------------------------------------------------


def _ghost(shape: Shape) -> Any:
    """An array of any shape that takes no memory: shape rules of indexing ask NumPy itself."""
    return np.broadcast_to(np.empty((), dtype=np.int8), shape)


class Slice(Structural):
    """Basic indexing: integers, slices, ``None`` and ``...``."""

    name = "slice"
    formula = r"y = x_{[\,\cdot\,]}"
    vjps = (lambda g, y, x, key: unslice(g, key, x.shape),)

    def __call__(self, x: Value, key: tuple[Any, ...]) -> Any:
        return super().__call__(x, key=key)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        try:
            return _ghost(inputs[0].shape)[attrs["key"]].shape, inputs[0].dtype
        except IndexError as error:
            raise ShapeError(
                "slice: out of range", required=f"an index into {inputs[0].shape}", got=str(error)
            ) from None

    def kernel(self, xp: Xp, x: Any, key: tuple[Any, ...]) -> Any:
        return x[key]


class Unslice(Structural):
    """The transpose of a slice: zeros, with x where the slice was taken."""

    name = "unslice"
    formula = r"y_{[\,\cdot\,]} = x,\quad 0 \text{ elsewhere}"
    vjps = (lambda g, y, x, key, shape: slice_(g, key),)

    def __call__(self, x: Value, key: tuple[Any, ...], shape: Shape) -> Any:
        return super().__call__(x, key=key, shape=shape)

    def kernel(self, xp: Xp, x: Any, key: tuple[Any, ...], shape: Shape) -> Any:
        y = xp.zeros(shape, dtype=x.dtype)
        y[key] = x
        return y


#: Stands in an index's key for the next array input.
ARRAY: Final = "array"


def _fill(key: tuple[Any, ...], arrays: Sequence[Any]) -> tuple[Any, ...]:
    rest = iter(arrays)
    return tuple(next(rest) if part == ARRAY else part for part in key)


def _selected(name: str, shape: Shape, arrays: Sequence[Signature], key: tuple[Any, ...]) -> Shape:
    """Return the shape of what an index takes out of an array of this shape."""
    for array in arrays:
        if array.dtype.kind not in "iu":
            raise DtypeError(f"{name}: an index is not of integers", required="an integer dtype", got=str(array.dtype))
    stand_ins = [np.broadcast_to(np.zeros((), dtype=np.int64), array.shape) for array in arrays]
    try:
        return _ghost(shape)[_fill(key, stand_ins)].shape
    except IndexError as error:
        raise ShapeError(f"{name}: arrays do not fit", required=f"an index into {shape}", got=str(error)) from None


class Index(Structural):
    """Indexing with integer arrays; ``key`` says where they stand. Repeated indices accumulate gradient."""

    name = "index"
    checks = True  # an index out of range is told though nobody asks for the result
    formula = r"y_k = x_{i_k}"
    reads = "x"

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        x, *arrays = inputs
        return _selected(self.name, x.shape, arrays, attrs["key"]), x.dtype

    def kernel(self, xp: Xp, x: Any, *arrays: Any, key: tuple[Any, ...]) -> Any:
        return x[_fill(key, arrays)]

    def vjp(self, index: int, g: Value, y: Value, *inputs: Value, **attrs: Any) -> Value:
        x, *arrays = inputs
        return scatter_add(g, *arrays, key=attrs["key"], shape=x.shape) if index == 0 else None


class ScatterAdd(Op):
    """The transpose of an index: zeros, with x added where each element was taken."""

    name = "scatter_add"
    formula = r"y_j = \sum_{k : i_k = j} x_k"
    reads = "x"

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        x, *arrays = inputs
        if (taken := _selected(self.name, attrs["shape"], arrays, attrs["key"])) != x.shape:
            raise ShapeError("scatter_add: x does not fit the index", required=str(taken), got=str(x.shape))
        return attrs["shape"], x.dtype

    @quiet
    def kernel(self, xp: Xp, x: Any, *arrays: Any, key: tuple[Any, ...], shape: Shape) -> Any:
        return backends.of(x).scatter_add(shape, _fill(key, arrays), x)

    def vjp(self, index: int, g: Value, y: Value, *inputs: Value, **attrs: Any) -> Value:
        return index_(g, *inputs[1:], key=attrs["key"]) if index == 0 else None

    def flops(self, shape: Any, /, *inputs: Signature, **attrs: Any) -> int:
        return math.prod(inputs[0].shape)


class ZerosLike(Structural):
    """Zeros of a given shape, with the dtype and the backend of x."""

    name = "zeros_like"
    formula = "y = 0"
    differentiable = False

    def __call__(self, x: Value, shape: Shape | None = None) -> Any:
        return super().__call__(x, shape=tuple(x.shape if shape is None else shape))

    def kernel(self, xp: Xp, x: Any, shape: Shape) -> Any:
        return xp.zeros(shape, dtype=x.dtype)


reshape: Final[Reshape] = Reshape()
transpose: Final[Transpose] = Transpose()
broadcast_to: Final[BroadcastTo] = BroadcastTo()
sum_to: Final[SumTo] = SumTo()
flip: Final[Flip] = Flip()
tril: Final[Tril] = Tril()
triu: Final[Triu] = Triu()
concat: Final[Concat] = Concat()
stack: Final[Stack] = Stack()
unstack: Final[Unstack] = Unstack()
split: Final[Split] = Split()
pad: Final[Pad] = Pad()
slice_: Final[Slice] = Slice()
unslice: Final[Unslice] = Unslice()
index_: Final[Index] = Index()
scatter_add: Final[ScatterAdd] = ScatterAdd()
zeros_like: Final[ZerosLike] = ZerosLike()


def swapaxes(x: Value, a: int, b: int) -> Any:
    """Exchange two axes."""
    ndim = len(x.shape)
    order = list(range(ndim))
    a, b = normalize_axis("swapaxes", a, ndim), normalize_axis("swapaxes", b, ndim)
    order[a], order[b] = order[b], order[a]
    return transpose(x, order)


def expand_dims(x: Value, axis: int) -> Any:
    """Put in an axis of extent 1."""
    axis = normalize_axis("expand_dims", axis, len(x.shape) + 1)
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def squeeze(x: Value, axis: int | None = None) -> Any:
    """Take out an axis of extent 1, or all of them."""
    if axis is None:
        return reshape(x, tuple(extent for extent in x.shape if extent != 1))
    axis = normalize_axis("squeeze", axis, len(x.shape))
    if x.shape[axis] != 1:
        raise ShapeError("squeeze: the axis is not of extent 1", required=f"1 on axis {axis}", got=str(x.shape))
    return reshape(x, (*x.shape[:axis], *x.shape[axis + 1 :]))


def getitem(x: Value, key: Any) -> Any:
    """``x[key]``: slices, integers, ``None``, ``...``, integer arrays and boolean masks, as in NumPy."""
    parts = key if isinstance(key, tuple) else (key,)
    basic = (int, slice, EllipsisType, type(None), np.integer)
    if all(isinstance(part, basic) and not isinstance(part, bool) for part in parts):
        return slice_(x, tuple(int(part) if isinstance(part, np.integer) else part for part in parts))
    template: list[Any] = []
    arrays: list[Any] = []
    for part in parts:
        if isinstance(part, basic) and not isinstance(part, bool):
            template.append(part)
            continue
        array = np.asarray(part) if not hasattr(part, "dtype") else part
        if array.dtype.kind == "b":
            places = array.nonzero() if array.ndim else None
            if places is None:
                raise DtypeError("index: a single boolean", required="a mask with an axis", got=str(part))
            axis = sum(1 for t in template if t is not None)
            if Ellipsis not in template and array.shape != x.shape[axis : axis + array.ndim]:
                raise ShapeError(
                    "index: the mask does not fit",
                    required=str(x.shape[axis : axis + array.ndim]),
                    got=str(array.shape),
                )
            arrays += places
            template += [ARRAY] * len(places)
        else:
            if array.dtype.kind == "f" and array.size == 0:
                array = array.astype(np.int64)  # the index [] comes as an empty array of floats
            arrays.append(array)
            template.append(ARRAY)
    return index_(x, *arrays, key=tuple(template))


def gather(x: Value, indices: Value, axis: int = -1) -> Any:
    """Take ``y[..., j, ...] = x[..., indices[..., j, ...], ...]`` along an axis, as NumPy's ``take_along_axis``."""
    axis = normalize_axis("gather", axis, len(x.shape))
    if len(indices.shape) != len(x.shape):
        raise ShapeError("gather: ranks differ", required=f"indices with {len(x.shape)} axes", got=str(indices.shape))
    xp = module_of((getattr(x, "value", x),))  # where x is, so that no index crosses to the device at each call
    arrays = [
        indices if i == axis else xp.arange(x.shape[i]).reshape((1,) * i + (-1,) + (1,) * (len(x.shape) - 1 - i))
        for i in range(len(x.shape))
    ]
    return index_(x, *arrays, key=(ARRAY,) * len(x.shape))


def take(x: Value, indices: Value, axis: int = 0) -> Any:
    """Take whole slices of x along an axis: ``y = x[..., indices, ...]``."""
    axis = normalize_axis("take", axis, len(x.shape))
    return index_(x, indices, key=(slice(None),) * axis + (ARRAY,))
