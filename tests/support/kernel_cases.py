"""Sizes at which generated CUDA kernels take every way that they have, with what each size is for."""

from __future__ import annotations

from typing import Any

import numpy as np


def whole(*shape: int, dtype: Any = np.float64) -> np.ndarray:
    """Whole numbers: their sums are exact in any order."""
    return np.random.default_rng(0).integers(-50, 50, shape).astype(dtype)


#: shape, axes, and what is launched.
REDUCED: list[tuple[tuple[int, ...], tuple[int, ...], int]] = [
    ((300, 5), (1,), 1),  # a thread a row
    ((9, 12), (1,), 1),  # some lanes of a warp
    ((37, 100), (1,), 1),  # a warp a row
    ((3, 5000), (1,), 1),  # a block a row
    ((3, 40000), (1,), 2),  # blocks on parts of rows
    ((500, 40), (1,), 1),
    ((4100, 1030), (1,), 1),  # long rows, but many
    ((12, 7), (0,), 1),  # columns, a thread each
    ((100, 3), (0,), 1),
    ((120, 40), (0,), 1),  # lanes for a column
    ((3000, 40), (0,), 2),
    ((3000, 1), (0,), 1),
    ((20, 70000), (0,), 1),
    ((6, 30, 5, 7), (1, 3), 1),
    ((6, 30, 5, 7), (0, 2), 1),
    ((40, 3, 50), (0, 2), 1),
    ((50, 70), (0, 1), 1),
    ((500, 70), (0, 1), 2),
]

NORMALISED = [(7, 3), (5, 9), (33, 32), (9, 50), (3, 1024), (2, 1500), (2, 9000), (300, 9), (2, 3, 40), (1, 1)]


def softmax(x: np.ndarray) -> np.ndarray:
    y = np.exp(x - x.max(-1, keepdims=True))
    return y / y.sum(-1, keepdims=True)


#: spec, shapes, and how many kernels and products are launched.
EINSUMS: list[tuple[str, list[tuple[int, ...]], tuple[int, int]]] = [
    ("ij,jk->ik", [(5, 7), (7, 6)], (0, 1)),
    ("ji,kj->ki", [(7, 5), (6, 7)], (0, 1)),
    ("bij,bkj->bik", [(3, 5, 7), (3, 6, 7)], (0, 1)),
    ("bqhd,bkhd->bhqk", [(2, 4, 3, 8), (2, 5, 3, 8)], (0, 2)),  # heads: a call for each of the batch
    ("bhqk,bkhd->bqhd", [(2, 3, 4, 5), (2, 5, 3, 8)], (0, 2)),
    ("abij,jc->abic", [(2, 3, 4, 5), (5, 6)], (0, 1)),  # the first operand's axes are one
    ("aibj,jc->iabc", [(2, 3, 4, 5), (5, 6)], (0, 2)),  # or stay apart
    ("ijk,kji->", [(3, 4, 5), (5, 4, 3)], (1, 0)),
    ("bsh,bh->bs", [(3, 6, 40), (3, 40)], (1, 0)),
    ("bs,bsh->bh", [(3, 60), (3, 60, 40)], (1, 0)),
    ("bi,bj->bij", [(3, 6), (3, 4)], (1, 0)),
    ("ij,kj->ik", [(4, 1), (5, 7)], (1, 0)),  # stretched
    ("ij->j", [(400, 5)], (1, 0)),
    ("ii->i", [(4, 4)], (1, 0)),
    ("ij,jk->ik", [(1, 1), (1, 1)], (1, 0)),
    ("ij,jk->ik", [(1, 5), (5, 1)], (1, 0)),
    ("ij,k->i", [(4, 5), (6,)], (1, 0)),
    ("bsh,hk,bk->bs", [(3, 6, 20), (20, 9), (3, 9)], (2, 0)),
    ("ab,bc,cd,de->ae", [(3, 20), (20, 4), (4, 5), (5, 2)], (3, 0)),
    ("i,i,i->", [(20000,), (20000,), (20000,)], (3, 0)),
]
