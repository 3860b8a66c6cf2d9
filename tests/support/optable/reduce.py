"""Rows of reductions and normalisations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tinyseq as ts
from support.optable.table import ALONG, BIG, NO_AXIS, NORMALISE, REDUCE, Row, Special, away, case, distinct, inf, nan


def np_logsumexp(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> np.ndarray:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def np_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


def np_log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.log(np_softmax(x, axis))


ROWS = [
    Row(
        "sum",
        ts.sum,
        np.sum,
        [*REDUCE, case((0, 3), axis=0), case((0,))],
        integers="int64",
        special=[Special(([inf, -inf],), nan)],
    ),
    Row(
        "max",
        ts.max,
        np.max,
        REDUCE,
        distinct(),
        integers="int64",
        special=[
            Special(([1.0, 3.0, 3.0],), 3.0, ([0.0, 0.5, 0.5],)),
            Special(([[inf, inf], [-inf, 0.0]],), [inf, 0.0], ([[0.5, 0.5], [0.0, 1.0]],), {"axis": 1}),
            Special(([nan, 1.0],), nan),
        ],
    ),
    Row(
        "min",
        ts.min,
        np.min,
        REDUCE,
        distinct(),
        integers="int64",
        special=[
            Special(([1.0, 1.0, 3.0],), 1.0, ([0.5, 0.5, 0.0],)),
            Special(([[-inf, -inf], [inf, 0.0]],), [-inf, 0.0], ([[0.5, 0.5], [0.0, 1.0]],), {"axis": 1}),
            Special(([nan, 1.0],), nan),
        ],
    ),
    Row("mean", ts.mean, np.mean, REDUCE, integers="float32"),
    Row(
        "var",
        ts.var,
        np.var,
        [
            *(c for c in REDUCE if c.args != ((0, 3),)),
            case((3, 4), axis=1, ddof=1),
            case((5,), ddof=2),
            case((0, 3), axis=1),
        ],
        integers="float32",
        special=[Special(([2.0, 2.0],), 0.0, ([0.0, 0.0],)), Special(([1e4, 1e4 + 1.0],), 0.25, ([-0.5, 0.5],))],
    ),
    Row(
        "prod",
        ts.prod,
        np.prod,
        [*REDUCE, case((7,)), case((0, 3), axis=0), case((5, 3), axis=0, keepdims=True)],
        away,
        integers="int64",
        rtol=1e-12,
        special=[
            Special(([2.0, 0.0, 3.0],), 0.0, ([0.0, 6.0, 0.0],)),
            Special(([0.0, 0.0, 3.0],), 0.0, ([0.0, 0.0, 0.0],)),
        ],
    ),
    Row(
        "logsumexp",
        ts.logsumexp,
        np_logsumexp,
        REDUCE,
        rtol=1e-12,
        special=[
            Special((BIG,), 1e4, ([1.0, 0.0, 0.0],)),
            Special(([-1e4, -1e4],), -1e4 + math.log(2), ([0.5, 0.5],)),
            Special(([-inf, -inf],), -inf, ([0.0, 0.0],)),
            Special(([-inf, 0.0],), 0.0, ([0.0, 1.0],)),
            Special(([inf, 0.0],), inf),
        ],
    ),
    Row(
        "softmax",
        ts.softmax,
        np_softmax,
        NORMALISE,
        no_scalar=NO_AXIS,
        integers="float32",
        special=[
            Special((BIG,), [1.0, 0.0, 0.0], ([0.0, 0.0, 0.0],)),
            Special(([-1e4, -1e4],), [0.5, 0.5], ([0.0, 0.0],)),
            Special(([-inf, 0.0],), [0.0, 1.0], ([0.0, 0.0],)),
        ],
    ),
    Row(
        "log_softmax",
        ts.log_softmax,
        np_log_softmax,
        NORMALISE,
        no_scalar=NO_AXIS,
        integers="float32",
        rtol=1e-12,
        special=[
            Special((BIG,), [0.0, -2e4, -1e4], ([-2.0, 1.0, 1.0],)),
            Special(([-inf, 0.0],), [-inf, 0.0], ([1.0, -1.0],)),
        ],
    ),
    Row(
        "argsort",
        ts.argsort,
        lambda x, axis=-1: np.argsort(x, axis, kind="stable"),
        ALONG,
        distinct(),
        smooth=False,
        gives="int64",
        integers="int64",
        no_scalar=NO_AXIS,
        special=[Special(([3.0, 1.0, 1.0],), [1, 2, 0]), Special(([[np.nan, inf, -inf]],), [[2, 1, 0]])],
    ),
    Row("cumsum", ts.cumsum, lambda x, axis=-1: np.cumsum(x, axis), ALONG, no_scalar=NO_AXIS, integers="int64"),
    Row(
        "argmax",
        ts.argmax,
        lambda x, axis=-1: np.argmax(x, axis),
        ALONG,
        distinct(),
        smooth=False,
        gives="int64",
        integers="int64",
        no_scalar=NO_AXIS,
        special=[Special(([1.0, 3.0, 3.0],), 1), Special(([[inf, inf]],), [0])],
    ),
    Row(
        "argmin",
        ts.argmin,
        lambda x, axis=-1: np.argmin(x, axis),
        ALONG,
        distinct(),
        smooth=False,
        gives="int64",
        integers="int64",
        no_scalar=NO_AXIS,
        special=[Special(([3.0, 1.0, 1.0],), 1), Special(([[-inf, -inf]],), [0])],
    ),
]
