"""What each element-wise op is on vectors: one entry an op, as its NumPy kernel computes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from tinyseq.compiler.lower.kinds import FLOATS
from tinyseq.compiler.lower.llvm.ir import maths
from tinyseq.compiler.lower.llvm.ir.builder import IN_MEMORY
from tinyseq.compiler.lower.llvm.ir.vectors import Value, Vectors
from tinyseq.ops.base import OPS

#: (vectors, operands, attributes) -> result, in the operands' kind (booleans for predicates).
OpWriter = Callable[..., Value]


def _arithmetic(floating: str, integer: str) -> OpWriter:
    return lambda v, a, b: v.op(floating if a.kind in FLOATS else integer, a, b)


def _compared(how: str) -> OpWriter:
    return lambda v, a, b: v.compare(how, a, b)


def _extreme(how: str) -> OpWriter:
    """The first where it wins or is NaN; a NaN in the second loses no comparison, and comes through too."""

    def write(v: Vectors, a: Value, b: Value) -> Value:
        chosen = v.select(v.compare(how, a, b), a, b)
        return v.select(v.compare("unordered", a, a), a, chosen) if a.kind in FLOATS else chosen

    return write


def _neg(v: Vectors, x: Value) -> Value:
    if x.kind in FLOATS:
        return Value(v.f.let(f"fneg {v.type(x.kind)} {x.name}"), x.kind)
    return v.op("sub", v.const(x.kind, 0), x)


def _sign(v: Vectors, x: Value) -> Value:
    zero, one, less = v.const(x.kind, 0), v.const(x.kind, 1), v.const(x.kind, -1)
    result = v.select(v.compare("lt", x, zero), less, x)
    return v.select(v.compare("gt", x, zero), one, result)


def _abs(v: Vectors, x: Value) -> Value:
    if x.kind in FLOATS:
        return v.intrinsic("fabs", x)
    return v.select(v.compare("lt", x, v.const(x.kind, 0)), _neg(v, x), x)


def _sigmoid(v: Vectors, x: Value) -> Value:
    half = v.const(x.kind, 0.5)
    return v.fadd(v.fmul(maths.tanh(v, v.fmul(x, half)), half), half)


def _softplus(v: Vectors, x: Value) -> Value:
    tail = maths.log1p(v, maths.exp(v, _neg(v, v.intrinsic("fabs", x))))
    return v.fadd(_extreme("ge")(v, x, v.const(x.kind, 0.0)), tail)


def _clip(v: Vectors, x: Value, low: float, high: float) -> Value:
    return _extreme("le")(v, _extreme("ge")(v, x, v.const(x.kind, low)), v.const(x.kind, high))


def _logical(name: str) -> OpWriter:
    return lambda v, a, b: v.op(name, a, b)


def _not(v: Vectors, a: Value) -> Value:
    return Value(v.f.let(f"xor {v.type('b1')} {a.name}, splat (i1 true)"), "b1")


def _isfinite(v: Vectors, x: Value) -> Value:
    if x.kind not in FLOATS:
        return v.const("b1", 1)
    return v.compare("lt", v.intrinsic("fabs", x), v.const(x.kind, math.inf))


def _scalar(name: str) -> OpWriter:
    """A function of the C library, element by element."""

    def write(v: Vectors, *operands: Value) -> Value:
        kind, of = operands[0].kind, v.type(operands[0].kind)
        element, function = IN_MEMORY[kind], f"{name}f" if kind == "f4" else name
        signature = f"{element} ({', '.join([element] * len(operands))})"
        result = "poison"
        for i in range(v.width):
            given = [v.f.let(f"extractelement {of} {x.name}, i64 {i}") for x in operands]
            value = v.f.call(function, signature, *given)
            result = v.f.let(f"insertelement {of} {result}, {element} {value}, i64 {i}")
        return Value(result, kind)

    return write


WRITERS: Final[Mapping[str, OpWriter]] = {
    "add": _arithmetic("fadd", "add"),
    "sub": _arithmetic("fsub", "sub"),
    "mul": _arithmetic("fmul", "mul"),
    "div": lambda v, a, b: v.fdiv(a, b),
    "neg": _neg,
    "maximum": _extreme("ge"),
    "minimum": _extreme("le"),
    "where": lambda v, c, a, b: v.select(c, a, b),
    "clip": _clip,
    "exp": maths.exp,
    "expm1": maths.expm1,
    "log": maths.log,
    "log1p": maths.log1p,
    "sqrt": lambda v, x: v.intrinsic("sqrt", x),
    "pow": _scalar("pow"),
    "sin": _scalar("sin"),
    "cos": _scalar("cos"),
    "erf": _scalar("erf"),
    "tanh": maths.tanh,
    "sigmoid": _sigmoid,
    "relu": lambda v, x: _extreme("ge")(v, x, v.const(x.kind, 0)),
    "softplus": _softplus,
    "abs": _abs,
    "sign": _sign,
    "cast": lambda v, x, dtype: x,
    "identity": lambda v, x: x,
    "stop_gradient": lambda v, x: x,
    "within": lambda v, x, **attrs: x,  # what is outside is noted by who knows which elements there are
    "equal": _compared("eq"),
    "not_equal": _compared("ne"),
    "less": _compared("lt"),
    "less_equal": _compared("le"),
    "greater": _compared("gt"),
    "greater_equal": _compared("ge"),
    "isfinite": _isfinite,
    "logical_not": _not,
    "logical_and": _logical("and"),
    "logical_or": _logical("or"),
}
#: Relative cost of an element, a multiplication being 1.
COSTS: Final[Mapping[str, int]] = {
    **{"div": 4, "sqrt": 4, "exp": 15, "expm1": 20, "log": 25, "log1p": 30, "tanh": 20, "sigmoid": 22, "softplus": 45},
    **{"pow": 500, "sin": 200, "cos": 200, "erf": 200},
}


def write(v: Vectors, name: str, kind: str, operands: list[Value], attrs: Mapping[str, Any], output: str) -> Value:
    """Write one application; ``kind`` is that of ``computing_kind``, ``output`` that of the result."""
    conditions = int(OPS[name].conditional)
    given = [v.cast(x, "b1" if place < conditions else kind) for place, x in enumerate(operands)]
    return v.cast(WRITERS[name](v, *given, **attrs), output)
