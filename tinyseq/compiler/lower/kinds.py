"""Kinds: dtypes by short names, as native lowerings write them, and in which kind an op on elements computes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tinyseq.compiler.plan import Number
from tinyseq.ops.base import Op
from tinyseq.ops.elementwise import cast

#: Kind -> bytes of an element in memory; other dtypes have a short name too, and are left to NumPy or CuPy.
SIZES: Final = {"f4": 4, "f8": 8, "i8": 8, "i4": 4, "b1": 1}
FLOATS: Final = ("f4", "f8")


def kind_of(dtype: Any) -> str:
    """Return the short name of a dtype; one of foreign byte order has a name that no kernel knows."""
    given = np.dtype(dtype)
    short: str = given.str[1:] if given.isnative else given.str
    return short


def computing_kind(op: Op, inputs: tuple[str | Number, ...], output: str) -> str | None:
    """Return the kind that an op's operands are converted to before it computes; None where it cannot be done here.

    ``inputs`` are the operands' kinds, or Python scalars. It is NumPy's own rule: int64 with float32 meets in float64.
    """
    strong = [x for x in inputs if isinstance(x, str)]
    if output not in SIZES or any(kind not in SIZES for kind in strong):
        return None
    if op.logical:
        return "b1"
    if op.conditional:
        return output
    met = np.result_type(*(np.dtype(x) if isinstance(x, str) else x for x in inputs))
    if op.floating and met.kind != "f":
        met = np.dtype(output)
    kind = kind_of(met)
    if op is cast and kind in FLOATS and output not in (*FLOATS, "b1"):
        return None  # of NaN, and of what is too large, no two processors make the same integer
    if op.integers_apart and kind not in FLOATS:
        return None
    if kind not in SIZES or (kind == "b1" and not op.on_booleans):
        return None
    integers = [x for x in inputs if isinstance(x, int) and not isinstance(x, bool)]
    return None if kind in ("i4", "i8") and any(abs(x) >= 2**31 for x in integers) else kind
