"""What an op is: one record of kernel, shape rule, gradient rule, formula and cost."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from tinyseq import backends
from tinyseq.errors import DtypeError, GraphError, ShapeError
from tinyseq.graph import NO_ATTRS, Attrs, Dtype, Shape, Signature

#: What ops compute on: an array in the eager backward sweep, a tensor (concrete or abstract) elsewhere.
Value = Any
Xp = Any
Vjp = Callable[..., Value]
Inferred = tuple[Any, Any]

FLOAT32: Dtype = np.dtype(np.float32)
FLOAT64: Dtype = np.dtype(np.float64)
INT64: Dtype = np.dtype(np.int64)
BOOL: Dtype = np.dtype(np.bool_)

_SCALARS = (bool, int, float)

OPS: dict[str, Op] = {}

# Infinities and NaN come out as values. A `np.errstate` costs more than a small addition, so the commonest kernels have
# none: the warnings that NumPy raises in them are filtered here, and where a stricter filter makes errors of them
# (pytest -W error), the kernel computes again through `hushed`.
warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"tinyseq\.ops\.")


def hushed(function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function`` with NumPy's floating-point warnings off."""
    with np.errstate(all="ignore"):
        return function(*args)


def quiet(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """Let infinities and NaN come out of a kernel as values, without NumPy's warnings."""

    @functools.wraps(kernel)
    def wrapped(*args: Any, **attrs: Any) -> Any:
        with np.errstate(all="ignore"):
            return kernel(*args, **attrs)

    return wrapped


def ufunc(name: str) -> Callable[..., Any]:
    """Return the kernel that is the array module's own function of that name; it says so, for who has arrays to fill.

    It has no ``np.errstate``: for what rarely overflows. The others are ``quiet(ufunc(...))``.
    """
    of_numpy = getattr(np, name)

    def kernel(self: Op, xp: Xp, *inputs: Any) -> Any:
        function = of_numpy if xp is np else getattr(xp, name)
        try:
            return function(*inputs)
        except RuntimeWarning:
            return hushed(function, *inputs)

    vars(kernel)["ufunc"] = name
    return kernel


class Recorder:
    """The base of values that want an op recorded, not only computed: tensors."""

    __slots__ = ()

    def _record(self, op: Op, inputs: Sequence[Value], attrs: Attrs = NO_ATTRS) -> Any:
        raise NotImplementedError


#: What may stand in an expression beside a tensor, in the signatures that users see.
Operand = Recorder | np.ndarray[tuple[int, ...], np.dtype[np.generic]] | np.generic | Sequence[float] | float
DtypeLike = Dtype | type | str


class Op:
    """One primitive, defined in one place. A subclass is the record; its only instance is the function users call.

    An op is called on tensors, which record it, or on plain arrays, which it just computes. Gradient rules call ops,
    so the same rule serves both, and a gradient of tensors is a graph like any other.
    """

    name: ClassVar[str]
    #: LaTeX, with y the output, x (or a, b, ...) the inputs.
    formula: ClassVar[str]
    #: One gradient rule an input: ``(g, y, *inputs, **attrs) -> gradient``. None: that input has none.
    vjps: ClassVar[tuple[Vjp | None, ...]] = ()
    #: Which values the rules read: "x" the inputs', "y" the output's. What is not named arrives as a node, which has
    #: a shape and a dtype only, so its memory is free to go.
    reads: ClassVar[str] = ""
    differentiable: ClassVar[bool] = True
    #: False where an eager pass need not remember the op: no gradient flows through it, and it marks nothing.
    recorded: ClassVar[bool] = True
    #: False for nodes that only the engine and the compiler make; the others are in the table ``OPS``.
    primitive: ClassVar[bool] = True
    #: True where the kernel returns a tuple.
    multiple: ClassVar[bool] = False
    #: True where values may be refused: it is done also where nobody asks for its result.
    checks: ClassVar[bool] = False
    #: An op on elements takes integers as floats.
    floating: ClassVar[bool] = False
    #: It gives booleans.
    predicate: ClassVar[bool] = False
    #: It takes its operands as booleans.
    logical: ClassVar[bool] = False
    #: It computes in booleans where all operands are.
    on_booleans: ClassVar[bool] = False
    #: Its first operand is a condition, by which it chooses from the others.
    conditional: ClassVar[bool] = False
    #: It has a rule of its own for integers, which is not that of floats.
    integers_apart: ClassVar[bool] = False
    #: In place of ``vjps``: (node, gradient of each output, which inputs need one) -> the gradients of all inputs.
    joint: ClassVar[Callable[..., Any] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.reads_inputs = "x" in cls.reads
        cls.reads_output = "y" in cls.reads
        cls.recorded = cls.differentiable or cls.__dict__.get("recorded", False)

    reads_inputs: ClassVar[bool] = False
    reads_output: ClassVar[bool] = False

    def __init__(self) -> None:
        if not self.primitive:
            return
        if self.name in OPS:
            raise GraphError(f"an op named {self.name!r} is defined already", fix="choose another name")
        OPS[self.name] = self

    def __call__(self, *inputs: Value, **attrs: Any) -> Any:
        return apply(self, inputs, attrs)

    def kernel(self, xp: Xp, *inputs: Any, **attrs: Any) -> Any:
        """Compute the output from arrays (or Python scalars) with the array module ``xp``."""
        raise NotImplementedError

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        """Return the output's shape and dtype.

        Raises:
            ShapeError: the inputs' shapes do not fit.
        """
        raise NotImplementedError

    def vjp(self, index: int, g: Value, y: Value, *inputs: Value, **attrs: Any) -> Value:
        """Return the gradient for input ``index``: g times the Jacobian, before any broadcasting is undone."""
        rule = self.vjps[index]
        return None if rule is None else rule(g, y, *inputs, **attrs)

    def flops(self, shape: Any, /, *inputs: Signature, **attrs: Any) -> int:
        """Return the floating-point operations of one application; one per output element unless the op says more."""
        return sum(map(math.prod, shape)) if self.multiple else math.prod(shape)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> Any:
        """There is one of each: a copy, or what comes out of a pickle, is the op itself."""
        return (_of_name, (self.name,)) if self.primitive else super().__reduce__()


def _of_name(name: str) -> Op:
    return OPS[name]


def apply(op: Op, inputs: Sequence[Value], attrs: Attrs = NO_ATTRS) -> Any:
    """Apply an op to tensors (recorded) or to arrays (computed); of Python scalars alone it gives a Python scalar.

    So what a gradient rule works out of a scalar operand promotes nothing, and has no dtype to keep in a graph.
    """
    for x in inputs:
        if isinstance(x, Recorder):
            return x._record(op, inputs, attrs)
    value = op.kernel(module_of(inputs), *inputs, **attrs)
    if "dtype" not in attrs and not op.multiple and value.shape == () and all(x.__class__ in _SCALARS for x in inputs):
        return value.item()
    return value


def without_slope(y: Value) -> Any:
    """Return the same, requiring no gradient where it is of integers or booleans: none flows through them."""
    if y.dtype.kind != "f" and hasattr(y, "requires_grad"):
        y.requires_grad = False
    return y


def native(dtype: Any) -> Dtype:
    """Return the same dtype in the machine's byte order, the only one that tensors have."""
    return np.dtype(dtype).newbyteorder("=")


def module_of(arrays: Sequence[Any]) -> Xp:
    """Return the array module of the first array among values that may also be scalars."""
    for x in arrays:
        if type(x) is np.ndarray or isinstance(x, np.generic):
            return np
        if hasattr(x, "shape"):
            return backends.of(x).xp
    return backends.current().xp


def promote(*inputs: Signature, floating: bool = False) -> Dtype:
    """Return the dtype that inputs meet in: NumPy's (NEP 50), but that float64 comes only from float64.

    A Python scalar never promotes a tensor of its kind; without any float tensor a float scalar, or an op that needs
    ``floating`` values, gives float32. So does float16 with integers that it cannot hold.
    """
    strong = [x.dtype for x in inputs if not x.weak]
    result: Dtype = np.result_type(*(strong or [x.dtype for x in inputs]))
    if not any(dtype.kind == "f" for dtype in strong) and (
        floating or any(x.weak and x.dtype.kind == "f" for x in inputs)
    ):
        return FLOAT32
    if result == FLOAT64 and FLOAT64 not in strong:
        return FLOAT32
    return INT64 if result.kind == "b" and any(x.weak and x.dtype.kind == "i" for x in inputs) else result


def summed(dtype: Dtype) -> Dtype:
    """Return the dtype of a sum of many: integers are added as int64, unless they are of uint64."""
    return INT64 if dtype.kind in "biu" and dtype != np.uint64 else dtype


def refuse_booleans(name: str, result: Dtype, fix: str) -> None:
    """Refuse to compute with booleans what has no meaning for them; NumPy refuses too."""
    if result.kind == "b":
        raise DtypeError(f"{name} of booleans", required="numbers", got="bool", fix=fix)


def broadcast(name: str, *shapes: Shape) -> Shape:
    """Return the shape that several broadcast to by NumPy's rule.

    Raises:
        ShapeError: two extents differ and neither is 1.
    """
    result: list[int] = []
    for axis in range(-max(map(len, shapes), default=0), 0):
        extents = {shape[axis] for shape in shapes if len(shape) >= -axis} - {1}
        if len(extents) > 1:
            raise ShapeError(
                f"{name}: shapes do not broadcast",
                required=f"equal extents, or 1, on axis {axis}",
                got=" and ".join(str(tuple(shape)) for shape in shapes),
                fix="reshape, transpose or expand_dims one of them",
            )
        result.append(extents.pop() if extents else 1)
    return tuple(result)


def normalize_axis(name: str, axis: int, ndim: int) -> int:
    """Return the axis counted from the front.

    Raises:
        ShapeError: there is no such axis.
    """
    if not -ndim <= axis < ndim:
        raise ShapeError(f"{name}: no axis {axis}", required=f"-{ndim} <= axis < {ndim}", got=str(axis))
    return axis % ndim


def normalize_axes(name: str, axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Return axes counted from the front, sorted; ``None`` means all of them."""
    if axis is None:
        return tuple(range(ndim))
    axes = [normalize_axis(name, a, ndim) for a in ([axis] if isinstance(axis, int) else axis)]
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: an axis is named twice", got=str(axis))
    return tuple(sorted(axes))


def require_within(name: str, dtype: Dtype, *inputs: Any) -> None:
    """Refuse Python integers that an integer dtype cannot hold, as NumPy does where they meet an array."""
    for x in inputs:
        value = x.attrs["value"] if x.weak else 0
        if dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            raise DtypeError(f"{name}: a Python integer does not fit", required=str(dtype), got=str(value))


def require_float(name: str, x: Signature) -> None:
    """Refuse integers where only floating-point values make sense."""
    if x.dtype.kind != "f":
        raise DtypeError(f"{name} takes floating-point values", got=str(x.dtype), fix="x.cast(ts.float32)")
