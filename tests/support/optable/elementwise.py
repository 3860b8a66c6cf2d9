"""Rows of element-wise functions."""

from __future__ import annotations

import math

import numpy as np

import tinyseq as ts
from support.optable.table import (
    BIG,
    BINARY,
    UNARY,
    Row,
    Special,
    away,
    binary,
    case,
    distinct,
    i64,
    inf,
    nan,
    normal,
    positive,
    unary,
)
from tinyseq.ops import elementwise as ew

np_erf = np.vectorize(math.erf, otypes=[np.float64])


def np_gelu(x: np.ndarray, approximate: bool = False) -> np.ndarray:
    if approximate:
        return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x / 2 * (1 + np_erf(x / np.sqrt(2)))


ROWS = [
    binary("add", ew.add, np.add, special=[Special(([inf, inf, 1e30], [-inf, inf, nan]), [nan, inf, nan])]),
    binary("sub", ew.sub, np.subtract, special=[Special(([inf, inf], [inf, -inf]), [nan, inf])]),
    binary(
        "mul",
        ew.mul,
        np.multiply,
        special=[Special(([inf, 0.0, 3.0], [0.0, -2.0, 0.0]), [nan, -0.0, 0.0], ([0.0, -2.0, 0.0], [inf, 0.0, 3.0]))],
    ),
    binary(
        "div",
        ew.div,
        np.true_divide,
        (normal, away),
        integers="float32",
        special=[
            Special(([1.0, -1.0, 0.0], [0.0, 0.0, 0.0]), [inf, -inf, nan]),
            Special(([0.0, 6.0], [2.0, inf]), [0.0, 0.0], ([0.5, 0.0], [-0.0, -0.0])),
        ],
    ),
    unary(
        "neg", ew.neg, np.negative, integers="int64", special=[Special(([0.0, inf],), [-0.0, -inf], ([-1.0, -1.0],))]
    ),
    Row(
        "pow",
        ew.power,
        np.power,
        BINARY,
        (positive, normal),
        rtol=1e-12,
        special=[
            Special(([0.0, 0.0, 0.0], [0.0, 1.0, 2.0]), [1.0, 0.0, 0.0], ([0.0, 1.0, 0.0], [0.0, 0.0, 0.0])),
            Special(([-2.0, -3.0], [2.0, 3.0]), [4.0, -27.0], ([-4.0, 27.0], [nan, nan])),  # PyTorch's and JAX's
            Special(([0.0, inf], [-1.0, 0.5]), [inf, inf], ([-inf, 0.0], [-inf, inf])),
        ],
    ),
    binary(
        "maximum",
        ew.maximum,
        np.maximum,
        (distinct(), distinct(0.25)),
        special=[
            Special(([1.0, 2.0, inf], [1.0, 3.0, inf]), [1.0, 3.0, inf], ([0.5, 0.0, 0.5], [0.5, 1.0, 0.5])),
            Special(([nan, 1.0], [1.0, nan]), [nan, nan]),
        ],
    ),
    binary(
        "minimum",
        ew.minimum,
        np.minimum,
        (distinct(), distinct(0.25)),
        special=[
            Special(([1.0, 2.0, -inf], [1.0, 3.0, -inf]), [1.0, 2.0, -inf], ([0.5, 1.0, 0.5], [0.5, 0.0, 0.5])),
            Special(([nan, 1.0], [1.0, nan]), [nan, nan]),
        ],
    ),
    Row(
        "where",
        ew.where,
        np.where,
        [
            case(i64([True, False, True]), (3,), (3,)),
            case(i64([[True], [False]]), (2, 3), (3,)),
            case(np.array(True), (2,), ()),
            case(np.array(False), (), ()),
            case(np.zeros((0, 1), bool), (3,), (0, 3)),
        ],
        # The branch not taken may hold anything: no NaN comes out of it, forward or backward.
        special=[Special((i64([True, False]), [1.0, nan], [inf, 2.0]), [1.0, 2.0], (None, [1.0, 0.0], [0.0, 1.0]))],
    ),
    Row(
        "clip",
        ew.clip,
        lambda x, low=None, high=None: np.clip(x, low, high),
        [
            case((3, 4), low=-1.0, high=1.0),
            case((), low=-1.0),
            case((0, 2), high=1.0),
            case((5,), low=-1, high=1),
            case((2, 3)),
        ],
        away,
        integers="int64",
        special=[
            Special(
                ([-1.0, 1.0, -2.0, inf, -inf],),
                [-1.0, 1.0, -1.0, 1.0, -1.0],
                ([1.0, 1.0, 0.0, 0.0, 0.0],),
                {"low": -1.0, "high": 1.0},
            ),
            Special(([nan],), [nan], None, {"low": -1.0, "high": 1.0}),
        ],
    ),
    unary(
        "exp", ew.exp, np.exp, special=[Special((BIG,), [inf, 0.0, 1.0], ([inf, 0.0, 1.0],)), Special(([-inf],), [0.0])]
    ),
    unary("expm1", ew.expm1, np.expm1, special=[Special((BIG,), [inf, -1.0, 0.0], ([inf, 0.0, 1.0],))]),
    unary(
        "log",
        ew.log,
        np.log,
        positive,
        special=[Special(([0.0, inf, -1.0],), [-inf, inf, nan]), Special(([0.0],), [-inf], ([inf],))],
    ),
    unary(
        "log1p",
        ew.log1p,
        np.log1p,
        positive,
        special=[Special(([-1.0, 0.0, 1e-20],), [-inf, 0.0, 1e-20], ([inf, 1.0, 1.0],))],
    ),
    unary(
        "sqrt",
        ew.sqrt,
        np.sqrt,
        positive,
        special=[Special(([0.0, inf, -1.0],), [0.0, inf, nan]), Special(([0.0],), [0.0], ([inf],))],
    ),
    unary(
        "tanh",
        ew.tanh,
        np.tanh,
        special=[Special(([1e4, -1e4, 0.0, inf],), [1.0, -1.0, 0.0, 1.0], ([0.0, 0.0, 1.0, 0.0],))],
    ),
    unary(
        "sigmoid",
        ew.sigmoid,
        lambda x: 1 / (1 + np.exp(-x)),
        special=[Special(([1e4, -1e4, 0.0, inf, -inf],), [1.0, 0.0, 0.5, 1.0, 0.0], ([0.0, 0.0, 0.25, 0.0, 0.0],))],
    ),
    unary(
        "relu",
        ew.relu,
        lambda x: np.where(x > 0, x, 0),
        away,
        "int64",
        special=[Special(([0.0, -inf, inf],), [0.0, 0.0, inf], ([0.0, 0.0, 1.0],)), Special(([nan],), [nan])],
    ),
    unary(
        "softplus",
        ew.softplus,
        lambda x: np.log(1 + np.exp(x)),
        special=[Special(([1e4, -1e4, 0.0, -inf],), [1e4, 0.0, math.log(2), 0.0], ([1.0, 0.0, 0.5, 0.0],))],
    ),
    unary(
        "erf",
        ew.erf,
        np_erf,
        special=[Special(([0.0, -0.0, 1e4, -inf],), [0.0, -0.0, 1.0, -1.0]), Special(([nan],), [nan])],
    ),
    unary("sin", ew.sin, np.sin, special=[Special(([0.0, inf],), [0.0, nan])]),
    unary("cos", ew.cos, np.cos, special=[Special(([0.0, inf],), [1.0, nan])]),
    unary(
        "abs",
        ew.absolute,
        np.abs,
        away,
        "int64",
        special=[Special(([0.0, -inf, -2.0],), [0.0, inf, 2.0], ([0.0, -1.0, -1.0],))],
    ),
    unary(
        "sign", ew.sign, np.sign, away, "int64", smooth=False, special=[Special(([0.0, -inf, nan],), [0.0, -1.0, nan])]
    ),
    Row(
        "cast",
        ew.cast,
        lambda x, dtype: x.astype(dtype),
        [case((3, 4), dtype=ts.float64), case((), dtype=ts.float64), case((0, 2), dtype=ts.float64)],
    ),
    unary("identity", ew.identity, lambda x: x, integers="int64"),
    unary("within", lambda x: ew.within(x, -inf, inf, what="", required=""), lambda x: x, integers="int64"),
    unary("stop_gradient", ew.stop_gradient, lambda x: x, integers="int64", smooth=False),
    Row(
        "gelu",
        ts.gelu,
        np_gelu,
        [*UNARY, case((3, 4), approximate=True), case((), approximate=True)],
        integers="float32",
        special=[Special(([0.0, 1e4, -1e4],), [0.0, 1e4, 0.0], ([0.5, 1.0, 0.0],))],
    ),
]
