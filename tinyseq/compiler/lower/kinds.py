"""Kinds: dtypes by short names, as native lowerings write them, and in which kind an element-wise op computes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

#: Kind -> bytes of an element in memory; other dtypes have a short name too, and are left to NumPy or CuPy.
SIZES: Final = {"f4": 4, "f8": 8, "i8": 8, "i4": 4, "b1": 1}
FLOATS: Final = ("f4", "f8")

#: The element-wise ops that native lowerings write out themselves.
ELEMENTWISE: Final = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "neg",
        "maximum",
        "minimum",
        "where",
        "clip",
        "exp",
        "expm1",
        "log",
        "log1p",
        "sqrt",
        "pow",
        "sin",
        "cos",
        "erf",
        "tanh",
        "sigmoid",
        "relu",
        "softplus",
        "abs",
        "sign",
        "cast",
        "identity",
        "stop_gradient",
        "within",
        "equal",
        "not_equal",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "isfinite",
        "logical_not",
        "logical_and",
        "logical_or",
    ]
)
_FLOATING: Final = {
    "pow",
    "sin",
    "cos",
    "erf",
    "div",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sqrt",
    "tanh",
    "sigmoid",
    "softplus",
}
#: What may be done in booleans besides: a product is both.
_OF_BOOLEANS: Final = {"equal", "not_equal", "cast", "identity", "stop_gradient", "mul"}
_LOGICAL: Final = {"logical_not", "logical_and", "logical_or"}


def kind_of(dtype: Any) -> str:
    """Return the short name of a dtype; one of foreign byte order has a name that no kernel knows."""
    given = np.dtype(dtype)
    short: str = given.str[1:] if given.isnative else given.str
    return short


def computing_kind(name: str, inputs: tuple[Any, ...], output: str) -> str | None:
    """Return the kind that an op's operands are converted to before it computes; None where it cannot be done here.

    ``inputs`` are the operands' kinds, or Python scalars. It is NumPy's own rule: int64 with float32 meets in float64.
    """
    strong = [x for x in inputs if isinstance(x, str)]
    if name not in ELEMENTWISE or output not in SIZES or any(kind not in SIZES for kind in strong):
        return None
    if name in _LOGICAL:
        return "b1"
    if name == "where":
        return output
    met = np.result_type(*(np.dtype(x) if isinstance(x, str) else x for x in inputs))
    if name in _FLOATING and met.kind != "f":
        met = np.dtype(output)
    kind = kind_of(met)
    if name == "cast" and kind in FLOATS and output not in (*FLOATS, "b1"):
        return None  # of NaN, and of what is too large, no two processors make the same integer
    if name in ("clip", "pow") and kind not in FLOATS:
        return None
    if kind not in SIZES or (kind == "b1" and name not in _OF_BOOLEANS):
        return None
    integers = [x for x in inputs if isinstance(x, int) and not isinstance(x, bool)]
    return None if kind in ("i4", "i8") and any(abs(x) >= 2**31 for x in integers) else kind
