"""A row of the loop."""

from __future__ import annotations

import numpy as np

import tinyseq as ts
from support.optable.table import Row, case


def recurrence(xs: ts.Tensor, h: ts.Tensor, w: ts.Tensor) -> ts.Tensor:
    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h = ts.tanh(w * h + x)
        return h * x, h

    ys, last = ts.unroll(step, xs, h)
    return ys + ts.expand_dims(last, 1)


def recurrence_by_hand(xs: np.ndarray, h: np.ndarray, w: np.ndarray) -> np.ndarray:
    ys = []
    for t in range(xs.shape[1]):
        h = np.tanh(w * h + xs[:, t])
        ys.append(h * xs[:, t])
    return np.stack(ys, 1) + h[:, None]


ROWS = [
    Row(
        "scan",  # the op that ``ts.unroll`` records while a function is traced
        lambda xs, h, w: ts.compile(recurrence)(xs, h, w),
        recurrence_by_hand,
        [case((2, 3, 4), (2, 4), (4,)), case((1, 1, 2), (1, 2), (2,)), case((3, 5, 1), (3, 1), (1,))],
        no_empty="a batch or a sequence of nothing has no state to carry",
        no_scalar="a sequence has a batch and a time axis",
    ),
]
