"""Rows of draws, embeddings and losses."""

from __future__ import annotations

import math

import numpy as np

import tinyseq as ts
from support import reference
from support.optable.table import Row, Special, case, i64, inf, nan
from tinyseq.nn.functional import cross_entropy
from tinyseq.ops.draws import uniform


def np_dropout(x: np.ndarray, *, p: float, seed: int, site: int = 0, call: int = 0, step: int = 0) -> np.ndarray:
    return np.where(reference.uniform(x.shape, seed, site, call, step) >= p, x / (1 - p), 0.0)


ROWS = [
    Row(
        "uniform",
        lambda call, step, **options: uniform(call, step, **options),
        lambda call, step, *, shape, dtype, seed, site: reference.uniform(shape, seed, site, int(call), int(step)),
        [
            case(i64(1), i64(4), shape=(3, 5), dtype=np.float64, seed=7, site=2),
            case(i64(0), i64(0), shape=(), dtype=np.float64, seed=2**40 + 3, site=0),
            case(i64(2**31), i64(9), shape=(0, 2), dtype=np.float64, seed=0, site=1 << 20),
        ],
        smooth=False,
        no_scalar="takes no floating-point array; one case gives a scalar",
    ),
    Row(
        "dropout",
        lambda x, **options: ts.dropout(x, **options),
        np_dropout,
        [
            case((3, 4), p=0.5, seed=1),
            case((3, 4), p=0.0, seed=1),
            case((), p=0.9, seed=3, step=2),
            case((0, 4), p=0.5, seed=1),
            case((2, 3, 2), p=0.25, seed=5, site=3, call=8, step=1),
        ],
        special=[Special(([inf, nan, 1.0, 2.0],), [inf, nan, 1.0, 2.0], None, {"p": 0.0, "seed": 0})],
    ),
    Row(
        "embedding",
        ts.embedding,
        lambda table, ids: table[ids],
        [
            case((4, 3), i64([0, 0, 3])),
            case((4, 3), i64([[1, 2], [2, 2]])),
            case((4, 3), i64(2)),
            case((4, 3), np.zeros((0, 2), np.int64)),
        ],
        no_scalar="the table is a matrix",
    ),
    Row(
        "cross_entropy",
        cross_entropy,
        reference.cross_entropy,
        [
            case((3, 4), i64([0, 3, 3])),
            case((2, 3, 4), i64([[0, 1, 2], [3, 3, 3]]), reduction="mean"),
            case((3, 4), i64([0, 3, 3]), reduction="none"),
            case((4,), i64(2)),
            case((4, 3), i64([0, -100, 2, -100]), ignore_index=-100, reduction="mean"),
            case((4, 3), i64([0, 1, 2, 1]), ignore_index=1, reduction="none"),
            case((4, 3), i64([0, 1, 2, 1]), weight=[0.5, 0.0, 2.0], reduction="mean"),
            case((4, 3), i64([0, 1, 2, 1]), weight=[0.5, 1.0, 2.0], ignore_index=2, reduction="mean"),
            case((4, 3), i64([0, 1, 2, 1]), weight=[0.5, 1.0, 2.0]),
            case((2, 3), i64([-1, -1]), ignore_index=-1, reduction="mean"),
            case((0, 3), np.zeros(0, np.int64)),
            case((0, 3), np.zeros(0, np.int64), reduction="mean"),
        ],
        rtol=1e-12,
        no_scalar="logits have a class axis",
        special=[
            Special(([[1e4, -1e4, 0.0]], i64([1])), 2e4, ([[1.0, -1.0, 0.0]], None)),
            Special(([[1e4, -1e4]], i64([0])), 0.0, ([[0.0, 0.0]], None)),
            # A target that is ignored adds nothing, whatever its logits are.
            Special(([[-inf, 0.0], [0.0, 0.0]], i64([-1, 0])), math.log(2), None, {"ignore_index": -1}),
            Special(([[nan, nan], [0.0, 0.0]], i64([-1, 0])), math.log(2), None, {"ignore_index": -1}),
        ],
    ),
]
