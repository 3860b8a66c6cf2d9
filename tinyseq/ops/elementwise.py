"""Ops that act on each element by itself, with NumPy's broadcasting.

The gradient rules give the gradient at the output's shape; the sweep sums it back over broadcast axes (``sum_to``).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from tinyseq import backends
from tinyseq.errors import DataError, DtypeError
from tinyseq.graph import Literal, Signature, literal
from tinyseq.modes import is_tracing
from tinyseq.ops.base import (
    BOOL,
    Inferred,
    Op,
    Recorder,
    Value,
    Xp,
    broadcast,
    native,
    promote,
    quiet,
    refuse_booleans,
    require_within,
    ufunc,
    without_slope,
)


class Elementwise(Op):
    """Shapes broadcast, dtypes meet."""

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        dtype = promote(*inputs, floating=self.floating)
        require_within(self.name, dtype, *inputs)
        return broadcast(self.name, *(x.shape for x in inputs)), dtype


class Floating(Elementwise):
    """An integer input is taken as float32."""

    floating = True


# -- arithmetic --------------------------------------------------------------------------------------------------------


class Add(Elementwise):
    name = "add"
    formula = "y = a + b"
    vjps = (lambda g, y, a, b: g, lambda g, y, a, b: g)
    kernel = ufunc("add")


class Sub(Elementwise):
    name = "sub"
    formula = "y = a - b"
    vjps = (lambda g, y, a, b: g, lambda g, y, a, b: -g)
    kernel = ufunc("subtract")

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        shape, dtype = super().infer(*inputs)
        refuse_booleans(self.name, dtype, "a != b, or a.cast(ts.int64)")
        return shape, dtype


class Mul(Elementwise):
    name = "mul"
    formula = "y = a b"
    on_booleans = True
    reads = "x"
    vjps = (lambda g, y, a, b: g * b, lambda g, y, a, b: g * a)
    kernel = ufunc("multiply")


class Div(Floating):
    name = "div"
    formula = "y = a / b"
    reads = "xy"
    vjps = (lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b)
    kernel = quiet(ufunc("true_divide"))


class Neg(Elementwise):
    name = "neg"
    formula = "y = -x"
    vjps = (lambda g, y, x: -g,)
    kernel = ufunc("negative")

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        refuse_booleans(self.name, inputs[0].dtype, "~x, or x.cast(ts.int64)")
        return super().infer(*inputs)


def _power_base(g: Value, y: Value, x: Value, p: Value) -> Value:
    if isinstance(p, (int, float)):
        return g * (p * x ** (p - 1)) if p != 0 else g * 0.0
    # Where p = 0 the slope is 0, though x ** (p - 1) may be infinite.
    return g * where(p == 0, 0.0, p * x ** where(p == 0, 1.0, p - 1))


def _power_exponent(g: Value, y: Value, x: Value, p: Value) -> Value:
    # d/dp 0 ** p is 0 for p >= 0, though log 0 is infinite.
    if not hasattr(x, "shape") and x != 0:  # a Python number: its logarithm in full precision
        return g * (y * (math.log(x) if x > 0 else math.nan))
    flat = (x == 0) * (p >= 0)
    return g * where(flat, 0.0, y * log(where(flat, 1.0, x)))


class Pow(Elementwise):
    """The slope in the exponent is y ln x: NaN for a negative base, as in PyTorch and JAX, also at whole exponents.

    Near these the power has no real value, so there is no slope, and 0 would be a silent guess. At x = 0 it is 0 for
    p >= 0.
    """

    name = "pow"
    formula = "y = x^p"
    integers_apart = True
    reads = "xy"
    vjps = (_power_base, _power_exponent)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        shape, dtype = super().infer(*inputs, **attrs)
        exponent = inputs[1]
        if isinstance(exponent, Literal) and dtype.kind in "iu" and exponent.attrs["value"] < 0:
            raise DtypeError(
                "pow: an integer to a negative power",
                required="a float, or an exponent >= 0",
                got=str(exponent.attrs["value"]),
                fix="x.cast(ts.float32)",
            )
        return shape, dtype

    @quiet
    def kernel(self, xp: Xp, x: Any, p: Any) -> Any:
        return x**p  # the operator knows squares and roots; xp.power does not


class Maximum(Elementwise):
    """A tie shares the gradient: half to each."""

    name = "maximum"
    formula = r"y = \max(a, b)"
    reads = "x"
    vjps = (
        lambda g, y, a, b: g * where(a == b, 0.5, where(a > b, 1.0, 0.0)),
        lambda g, y, a, b: g * where(a == b, 0.5, where(b > a, 1.0, 0.0)),
    )
    kernel = ufunc("maximum")


class Minimum(Elementwise):
    """A tie shares the gradient: half to each."""

    name = "minimum"
    formula = r"y = \min(a, b)"
    reads = "x"
    vjps = (
        lambda g, y, a, b: g * where(a == b, 0.5, where(a < b, 1.0, 0.0)),
        lambda g, y, a, b: g * where(a == b, 0.5, where(b < a, 1.0, 0.0)),
    )
    kernel = ufunc("minimum")


class Where(Elementwise):
    name = "where"
    formula = r"y = a \text{ if } c \text{ else } b"
    conditional = True
    reads = "x"
    vjps = (None, lambda g, y, c, a, b: where(c, g, 0.0), lambda g, y, c, a, b: where(c, 0.0, g))

    def __call__(self, condition: Value, a: Value, b: Value) -> Any:
        if hasattr(condition, "dtype") and condition.dtype != BOOL:  # what is not 0 holds, as in NumPy
            condition = condition != 0
        return without_slope(super().__call__(condition, a, b))

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        return broadcast(self.name, *(x.shape for x in inputs)), promote(*inputs[1:])

    def kernel(self, xp: Xp, condition: Any, a: Any, b: Any) -> Any:
        return xp.where(condition, a, b)


class Clip(Elementwise):
    """The gradient passes inside the bounds and on them."""

    name = "clip"
    formula = r"y = \min(\max(x, \mathit{low}), \mathit{high})"
    integers_apart = True
    reads = "x"
    vjps = (lambda g, y, x, low, high: where((x >= low) * (x <= high), g, 0.0),)

    def __call__(self, x: Value, low: float | None = None, high: float | None = None) -> Any:
        bounds = {"low": -math.inf if low is None else low, "high": math.inf if high is None else high}
        return super().__call__(x, **bounds)

    def kernel(self, xp: Xp, x: Any, low: float, high: float) -> Any:
        return xp.minimum(xp.maximum(x, low), high) if x.dtype.kind == "f" else xp.clip(x, low, high).astype(x.dtype)


# -- functions of one variable -----------------------------------------------------------------------------------------


class Exp(Floating):
    name = "exp"
    formula = "y = e^x"
    reads = "y"
    vjps = (lambda g, y, x: g * y,)
    kernel = quiet(ufunc("exp"))


class Expm1(Floating):
    name = "expm1"
    formula = "y = e^x - 1"
    reads = "y"
    vjps = (lambda g, y, x: g * (y + 1.0),)
    kernel = quiet(ufunc("expm1"))


class Log(Floating):
    name = "log"
    formula = r"y = \ln x"
    reads = "x"
    vjps = (lambda g, y, x: g / x,)
    kernel = quiet(ufunc("log"))


class Log1p(Floating):
    name = "log1p"
    formula = r"y = \ln(1 + x)"
    reads = "x"
    vjps = (lambda g, y, x: g / (x + 1.0),)
    kernel = quiet(ufunc("log1p"))


class Sqrt(Floating):
    name = "sqrt"
    formula = r"y = \sqrt{x}"
    reads = "y"
    vjps = (lambda g, y, x: g * 0.5 / y,)
    kernel = quiet(ufunc("sqrt"))


class Tanh(Floating):
    name = "tanh"
    formula = r"y = \tanh x"
    reads = "y"
    vjps = (lambda g, y, x: g * (1.0 - y * y),)
    kernel = ufunc("tanh")


class Sigmoid(Floating):
    """Through tanh: never overflows, one vectorised transcendental, and the compiler's own form of it."""

    name = "sigmoid"
    formula = r"y = \sigma(x) = \frac{1}{1 + e^{-x}} = \frac{1}{2} \tanh \frac{x}{2} + \frac{1}{2}"
    reads = "y"
    vjps = (lambda g, y, x: g * (y * (1.0 - y)),)

    def kernel(self, xp: Xp, x: Any) -> Any:
        y = xp.tanh(x * 0.5)
        y *= 0.5
        y += 0.5
        return y


class Relu(Elementwise):
    name = "relu"
    formula = r"y = \max(x, 0)"
    reads = "y"
    vjps = (lambda g, y, x: g * (y > 0),)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        return inputs[0].shape, promote(*inputs, literal(0))  # of booleans: integers

    def kernel(self, xp: Xp, x: Any) -> Any:
        return xp.maximum(x, 0)


class Softplus(Floating):
    name = "softplus"
    formula = r"y = \ln(1 + e^x)"
    reads = "x"
    vjps = (lambda g, y, x: g * sigmoid(x),)

    def kernel(self, xp: Xp, x: Any) -> Any:
        return xp.logaddexp(x, 0.0)


class Erf(Floating):
    name = "erf"
    formula = r"y = \frac{2}{\sqrt{\pi}} \int_0^x e^{-t^2} dt"
    reads = "x"
    vjps = (lambda g, y, x: g * (2.0 / math.sqrt(math.pi)) * exp(-x * x),)

    @quiet
    def kernel(self, xp: Xp, x: Any) -> Any:
        return backends.of(x).erf(x if x.dtype.kind == "f" else x.astype(np.float32))


class Sin(Floating):
    name = "sin"
    formula = r"y = \sin x"
    reads = "x"
    vjps = (lambda g, y, x: g * cos(x),)
    kernel = quiet(ufunc("sin"))


class Cos(Floating):
    name = "cos"
    formula = r"y = \cos x"
    reads = "x"
    vjps = (lambda g, y, x: -g * sin(x),)
    kernel = quiet(ufunc("cos"))


class Abs(Elementwise):
    name = "abs"
    formula = "y = |x|"
    reads = "x"
    vjps = (lambda g, y, x: g * sign(x),)
    kernel = ufunc("abs")


class Sign(Elementwise):
    name = "sign"
    formula = r"y = \operatorname{sign} x"
    differentiable = False
    kernel = ufunc("sign")

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        refuse_booleans(self.name, inputs[0].dtype, "x.cast(ts.int64)")
        return super().infer(*inputs)


class Cast(Op):
    name = "cast"
    formula = r"y = x \text{ as another dtype}"
    on_booleans = True
    # What passes through integers has no slope.
    vjps = (lambda g, y, x, dtype: cast(g, x.dtype) if dtype.kind == "f" == x.dtype.kind else None,)

    def __call__(self, x: Value, dtype: Any) -> Any:
        return without_slope(super().__call__(x, dtype=native(dtype)))

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        return inputs[0].shape, attrs["dtype"]

    @quiet
    def kernel(self, xp: Xp, x: Any, dtype: Any) -> Any:
        return x.astype(dtype)


class Identity(Elementwise):
    name = "identity"
    formula = "y = x"
    on_booleans = True
    vjps = (lambda g, y, x: g,)

    def kernel(self, xp: Xp, x: Any) -> Any:
        return x


class StopGradient(Elementwise):
    """The value passes, the gradient does not: a cut that can be seen in the graph."""

    name = "stop_gradient"
    formula = r"y = x,\quad \partial y / \partial x := 0"
    on_booleans = True
    differentiable = False
    recorded = True

    def kernel(self, xp: Xp, x: Any) -> Any:
        return x


class Within(Elementwise):
    """Refuses values outside ``[low, high]``, but for ``allowed``; in a trace, once there are values.

    ``what`` is wrong then, and ``required`` says what was; with ``rows`` the place is a row.
    """

    name = "within"
    formula = "y = x"
    checks = True
    vjps = (lambda g, y, x, **attrs: g,)

    def __call__(
        self,
        x: Value,
        low: float,
        high: float,
        *,
        what: str,
        required: str,
        allowed: int | None = None,
        rows: bool = False,
    ) -> Any:
        if x.dtype.kind in "iu":  # bounds that such numbers can have
            least, most = np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
            low, high = int(max(low, least)), int(min(high, most))
        attrs: dict[str, Any] = {
            "low": low,
            "high": high,
            "what": what,
            "required": required,
            "allowed": allowed,
            "rows": rows,
        }
        values = getattr(x, "value", x)
        if values is None or (is_tracing() and isinstance(x, Recorder)):  # closed over: it may hold others at each call
            return super().__call__(x, **attrs)
        self.kernel(None, values, **attrs)
        return x

    def kernel(
        self, xp: Xp, x: Any, low: float, high: float, what: str, required: str, allowed: int | None, rows: bool
    ) -> Any:
        wrong = ~((x >= low) & (x <= high))  # NaN is nowhere
        if allowed is not None:
            wrong &= x != allowed
        if wrong.any():
            place = tuple(int(i[0]) for i in wrong.nonzero()) if wrong.shape else ()
            where_ = f"in row {place[0]}" if rows else f"at {place}"
            raise DataError(what, required=required, got=f"{x[place].item()} {where_}")
        return x


add: Final[Add] = Add()
sub: Final[Sub] = Sub()
mul: Final[Mul] = Mul()
div: Final[Div] = Div()
neg: Final[Neg] = Neg()
power: Final[Pow] = Pow()
maximum: Final[Maximum] = Maximum()
minimum: Final[Minimum] = Minimum()
where: Final[Where] = Where()
clip: Final[Clip] = Clip()
exp: Final[Exp] = Exp()
expm1: Final[Expm1] = Expm1()
log: Final[Log] = Log()
log1p: Final[Log1p] = Log1p()
sqrt: Final[Sqrt] = Sqrt()
tanh: Final[Tanh] = Tanh()
sigmoid: Final[Sigmoid] = Sigmoid()
relu: Final[Relu] = Relu()
softplus: Final[Softplus] = Softplus()
erf: Final[Erf] = Erf()
sin: Final[Sin] = Sin()
cos: Final[Cos] = Cos()
absolute: Final[Abs] = Abs()
sign: Final[Sign] = Sign()
cast: Final[Cast] = Cast()
identity: Final[Identity] = Identity()
stop_gradient: Final[StopGradient] = StopGradient()
within: Final[Within] = Within()


def gelu(x: Value, approximate: bool = False) -> Any:
    """Gaussian error linear unit, y = x Φ(x), or its tanh approximation (Hendrycks and Gimpel 2016, eq. 2)."""
    if approximate:
        return 0.5 * x * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * (x * x * x))))
    return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))
