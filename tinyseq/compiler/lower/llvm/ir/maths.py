"""Exponential, hyperbolic tangent and logarithm on vectors, within 2 units in the last place.

Arguments are reduced as in fdlibm (Sun Microsystems 1993); what is left is a Taylor series, long enough for the dtype.
No table, no branch: a vector takes one way whatever its elements are, and infinities, NaN and denormals come out right.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tinyseq.compiler.lower.llvm.ir.vectors import Value, Vectors


@dataclass(frozen=True)
class _Format:
    """What a float dtype needs: ln 2 in two parts, where exp leaves its range, terms, and the layout of its bits."""

    high: float
    low: float
    smallest: float
    largest: float
    terms: int
    log_terms: int
    mantissa: int
    bias: int
    flat: float  # where tanh has become 1
    tanh_terms: int
    square_degree: int

    @property
    def shifter(self) -> float:
        """Added to a small number it leaves the nearest integer in the lowest bits of the sum."""
        return 1.5 * 2.0**self.mantissa


_FORMATS: Final = {
    "f4": _Format(0.693359375, -2.12194440e-4, -104.0, 89.0, 7, 6, 23, 127, 10.0, 4, 6),
    "f8": _Format(
        6.93147180369123816490e-01, 1.90821492927058770002e-10, -746.0, 710.0, 14, 12, 52, 1023, 22.0, 10, 12
    ),
}
#: Up to here tanh is a polynomial.
_NEAR: Final = 0.55
_ROOT: Final = {"f4": 0x3F3504F3, "f8": 0x3FE6A09E667F3BCD}  # the bits of sqrt(1/2)


def _polynomial(v: Vectors, x: Value, coefficients: Sequence[float]) -> Value:
    """Horner's rule; the highest coefficient first."""
    result = v.const(x.kind, coefficients[0])
    for c in coefficients[1:]:
        result = v.fma(result, x, v.const(x.kind, c))
    return result


def _clamp(v: Vectors, x: Value, low: float, high: float) -> Value:
    """NaN stays."""
    lowest, highest = v.const(x.kind, low), v.const(x.kind, high)
    x = v.select(v.compare("lt", x, lowest), lowest, x)
    return v.select(v.compare("gt", x, highest), highest, x)


def _reduced(v: Vectors, x: Value) -> tuple[Value, Value]:
    """Return exp(r) - 1 and the bits of n, where x = n ln 2 + r, |r| <= ln 2 / 2."""
    form = _FORMATS[x.kind]
    shifter = v.const(x.kind, form.shifter)
    shifted = v.fma(x, v.const(x.kind, 1.0 / math.log(2.0)), shifter)
    n = v.fsub(shifted, shifter)
    integer = "i4" if x.kind == "f4" else "i8"
    exponent = v.op("sub", v.bitcast(shifted, integer), v.bitcast(shifter, integer))
    r = v.fma(n, v.const(x.kind, -form.high), x)
    r = v.fma(n, v.const(x.kind, -form.low), r)
    tail = _polynomial(v, r, [1.0 / math.factorial(k) for k in range(form.terms, 1, -1)])
    return v.fma(v.fmul(r, r), tail, r), exponent


def _power_of_two(v: Vectors, exponent: Value, kind: str) -> Value:
    form = _FORMATS[kind]
    biased = v.op("add", exponent, v.bits(kind, form.bias))
    return v.bitcast(v.op("shl", biased, v.bits(kind, form.mantissa)), kind)


def exp(v: Vectors, x: Value) -> Value:
    """2^n is multiplied in two halves, so that the result may be denormal, or overflow."""
    form = _FORMATS[x.kind]
    p, n = _reduced(v, _clamp(v, x, form.smallest, form.largest))
    half = v.op("ashr", n, v.bits(x.kind, 1))
    scaled = v.fmul(v.fadd(p, v.const(x.kind, 1.0)), _power_of_two(v, half, x.kind))
    return v.fmul(scaled, _power_of_two(v, v.op("sub", n, half), x.kind))


def _small_expm1(v: Vectors, x: Value) -> tuple[Value, Value]:
    """Return exp(x) - 1 and exp(x) where 2^n is a normal number."""
    p, n = _reduced(v, x)
    scale = _power_of_two(v, n, x.kind)
    return v.fma(scale, p, v.fsub(scale, v.const(x.kind, 1.0))), v.fma(scale, p, scale)


def expm1(v: Vectors, x: Value) -> Value:
    form = _FORMATS[x.kind]
    one = v.const(x.kind, 1.0)
    edge = (form.mantissa + 2) * math.log(2.0)  # from there on the 1 is lost in rounding
    small, _ = _small_expm1(v, _clamp(v, x, -2 * edge, edge))
    large = v.fsub(exp(v, x), one)
    result = v.select(v.compare("gt", x, v.const(x.kind, edge)), large, small)
    return v.select(v.compare("eq", x, v.const(x.kind, 0.0)), x, result)  # the sign of zero


@functools.cache
def _tanh_series(degree: int) -> tuple[float, ...]:
    """Polynomial p of z = x^2 on |x| <= 0.55, the highest power first, so that tanh x = x + x z p(z)."""

    def fraction(z: Any) -> Any:  # Lambert's: tanh x = x / (1 + z / (3 + z / (5 + ...)))
        rest = np.full_like(z, 41.0)
        for odd in range(39, 1, -2):
            rest = odd + z / rest
        return -1.0 / (rest + z)

    top = _NEAR**2
    series = np.polynomial.Chebyshev.interpolate(fraction, degree, domain=[0.0, top])
    return tuple(float(c) for c in series.convert(kind=np.polynomial.Polynomial).coef[::-1])


@functools.cache
def _square_series(degree: int) -> tuple[float, ...]:
    """Polynomial for exp(2 r) on |r| <= ln 2 / 4, the highest power first; 1 + 2 r exactly, and the rest."""
    top = math.log(2.0) / 4

    def rest(r: Any) -> Any:  # (exp(2 r) - 1 - 2 r) / r^2
        return sum(2.0**k / math.factorial(k) * r ** (k - 2) for k in range(24, 1, -1))

    series = np.polynomial.Chebyshev.interpolate(rest, degree - 2, domain=[-top, top])
    return (*(float(c) for c in series.convert(kind=np.polynomial.Polynomial).coef[::-1]), 2.0, 1.0)


def tanh(v: Vectors, x: Value) -> Value:
    """A polynomial near zero; elsewhere 1 - 2 / (1 + E), E = exp(2 |x|), where the quotient is below one half.

    There an error of E counts little: ln 2 need not be in two parts, and 2^n goes into the exponent of a number.
    """
    form, one = _FORMATS[x.kind], v.const(x.kind, 1.0)
    size, flat = v.intrinsic("fabs", x), v.const(x.kind, form.flat)
    limited = v.select(v.compare("gt", size, flat), flat, size)
    shifter = v.const(x.kind, form.shifter)
    shifted = v.fma(limited, v.const(x.kind, 2.0 / math.log(2.0)), shifter)
    r = v.fma(v.fsub(shifted, shifter), v.const(x.kind, -math.log(2.0) / 2), limited)
    power = _polynomial(v, r, _square_series(form.square_degree))
    integer = "i4" if x.kind == "f4" else "i8"
    # The bits of the shifter itself leave at the top.
    n = v.op("shl", v.bitcast(shifted, integer), v.bits(x.kind, form.mantissa))
    e = v.bitcast(v.op("add", v.bitcast(power, integer), n), x.kind)
    far = v.fsub(one, v.fdiv(v.const(x.kind, 2.0), v.fadd(e, one)))
    z = v.fmul(x, x)
    near = v.fma(v.fmul(size, z), _polynomial(v, z, _tanh_series(form.tanh_terms)), size)
    return v.intrinsic("copysign", v.select(v.compare("lt", size, v.const(x.kind, _NEAR)), near, far), x)


def log(v: Vectors, x: Value) -> Value:
    """ln(2^k (1 + f)) = k ln 2 + f - s (f - R), s = f / (2 + f), R the rest of 2 artanh(s) over s."""
    kind, form = x.kind, _FORMATS[x.kind]
    integer = "i4" if kind == "f4" else "i8"
    tiny = v.compare("lt", x, v.const(kind, 2.0 ** (2 - form.bias)))
    lifted = v.fmul(x, v.const(kind, 2.0 ** (form.mantissa + 2)))
    bits = v.bitcast(v.select(tiny, lifted, x), integer)
    root = v.bits(kind, _ROOT[kind])
    # Subtracting the bits of sqrt(1/2) lets the exponent change where the mantissa passes it.
    shifted = v.op("sub", bits, root)
    k = v.op("ashr", shifted, v.bits(kind, form.mantissa))
    f = v.bitcast(v.op("sub", bits, v.op("shl", k, v.bits(kind, form.mantissa))), kind)
    f = v.fsub(f, v.const(kind, 1.0))
    k = v.op("sub", k, v.select(tiny, v.bits(kind, form.mantissa + 2), v.bits(kind, 0)))
    count = v.cast(k, kind)
    s = v.fdiv(f, v.fadd(f, v.const(kind, 2.0)))
    z = v.fmul(s, s)
    rest = v.fmul(z, _polynomial(v, z, [2.0 / (2 * i + 1) for i in range(form.log_terms, 0, -1)]))
    half = v.fmul(v.fmul(f, f), v.const(kind, 0.5))
    inner = v.fma(s, v.fadd(half, rest), v.fmul(count, v.const(kind, form.low)))
    y = v.fsub(v.fmul(count, v.const(kind, form.high)), v.fsub(v.fsub(half, inner), f))
    infinity = v.const(kind, math.inf)
    y = v.select(v.compare("eq", x, infinity), infinity, y)
    y = v.select(v.compare("eq", x, v.const(kind, 0.0)), v.const(kind, -math.inf), y)
    negative = v.compare("lt", x, v.const(kind, 0.0))
    y = v.select(negative, v.const(kind, math.nan), y)
    return v.select(v.compare("unordered", x, x), x, y)


def log1p(v: Vectors, x: Value) -> Value:
    """ln u - ((u - 1) - x) / u with u = 1 + x: the second term makes up for the rounding of the first."""
    one = v.const(x.kind, 1.0)
    u = v.fadd(x, one)
    lost = v.fdiv(v.fsub(v.fsub(u, one), x), u)
    whole = log(v, u)
    ordinary = v.compare("lt", v.intrinsic("fabs", whole), v.const(x.kind, math.inf))
    y = v.select(ordinary, v.fsub(whole, lost), whole)
    return v.select(v.compare("eq", x, v.const(x.kind, 0.0)), x, y)
