"""Rows of products."""

from __future__ import annotations

import numpy as np

import tinyseq as ts
from support.optable.table import Row, case

#: Columns and rows with several entries, with one and with none, the first and the last of them too.
SPARSE = np.array([
    [0.0, 0.5, 0.0, -2.0, 0.0, 0.0],
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.0, 3.0, 0.0, 1.5, 0.25, 0.0],
    [0.0, -1.0, 0.0, 0.0, 0.0, 0.0],
])  # fmt: skip

ROWS = [
    Row(
        "sparse_matmul",
        lambda x, A: ts.sparse_matmul(x, ts.SparseMatrix(A.astype(x.dtype))),
        lambda x, A: x @ A,
        [
            case((4,), A=SPARSE),
            case((3, 4), A=SPARSE),
            case((2, 3, 4), A=SPARSE),
            case((3, 6), A=SPARSE.T),
            case((0, 4), A=SPARSE),
            case((3, 4), A=np.zeros((4, 2))),
            case((3, 4), A=np.zeros((4, 0))),
            case((2, 0), A=np.zeros((0, 3))),
            case((1, 1), A=np.ones((1, 1))),
        ],
        no_scalar="a scalar has no axis to contract",
    ),
    Row(
        "matmul",
        ts.matmul,
        np.matmul,
        [
            case((3, 4), (4, 5)),
            case((4,), (4,)),
            case((4,), (4, 5)),
            case((3, 4), (4,)),
            case((2, 3, 4), (4, 5)),
            case((2, 3, 4), (4,)),
            case((4,), (2, 4, 5)),
            case((3, 4), (2, 4, 5)),
            case((2, 3, 4), (2, 4, 5)),
            case((2, 1, 3, 4), (5, 4, 2)),
            case((0, 4), (4, 3)),
            case((3, 0), (0, 2)),
            case((2, 0, 4), (4, 3)),
            case((0,), (0,)),
            case((1, 1), (1, 1)),
        ],
        integers="int64",
        no_scalar="a scalar has no axis to contract",
    ),
    Row(
        "einsum",
        lambda *xs, spec: ts.einsum(spec, *xs),
        lambda *xs, spec: np.einsum(spec, *xs),
        [
            case((3, 4), (4, 5), spec="ij,jk->ik"),
            case((3, 4), spec="ij->ji"),
            case((3, 4), spec="ij->"),
            case((3, 3), spec="ii->i"),
            case((3, 3), spec="ii"),
            case((2, 3, 3), spec="...ii->...i"),
            case((2, 3, 4), (2, 5, 4), spec="bik,bjk->bij"),
            case((3,), (4,), spec="i,j"),
            case((3,), (3, 4), (4,), spec="i,ij,j->"),
            case((2, 3), (2, 5), spec="ij,ik->i"),
            case((2, 5, 3), (3, 4), spec="...i,ij->...j"),
            case((2, 1, 3), (5, 3), spec="...i,...i->..."),
            case((), (), spec=",->"),
            case((), (3,), spec=",i->i"),
            case((0, 3), (3, 2), spec="ij,jk->ik"),
            case((1,), (3,), spec="i,i->i"),
            case((3,), (1,), spec="i,i->"),
        ],
        integers="int64",
    ),
]
