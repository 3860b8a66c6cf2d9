"""Rows of predicates, whose results are booleans."""

from __future__ import annotations

from typing import Any

import numpy as np

from support.optable.table import Row, Special, binary, distinct, inf, nan, unary
from tinyseq.ops import predicates


def predicate(name: str, fn: Any, ref: Any) -> Row:
    ties = Special(
        ([1.0, 2.0, inf, nan, -0.0], [1.0, 1.0, inf, nan, 0.0]), ref([1, 2, inf, nan, 0], [1, 1, inf, nan, 0])
    )
    return binary(name, fn, ref, distinct(), integers="bool", gives="bool", smooth=False, special=[ties])


ROWS = [
    unary(
        "isfinite",
        predicates.isfinite,
        np.isfinite,
        integers="bool",
        gives="bool",
        smooth=False,
        special=[Special(([inf, nan, 0.0],), [False, False, True])],
    ),
    predicate("equal", predicates.equal, np.equal),
    predicate("not_equal", predicates.not_equal, np.not_equal),
    predicate("less", predicates.less, np.less),
    predicate("less_equal", predicates.less_equal, np.less_equal),
    predicate("greater", predicates.greater, np.greater),
    predicate("greater_equal", predicates.greater_equal, np.greater_equal),
    unary("logical_not", predicates.logical_not, np.logical_not, integers="bool", gives="bool", smooth=False),
    binary("logical_and", predicates.logical_and, np.logical_and, integers="bool", gives="bool", smooth=False),
    binary("logical_or", predicates.logical_or, np.logical_or, integers="bool", gives="bool", smooth=False),
]
