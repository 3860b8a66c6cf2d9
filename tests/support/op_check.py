"""A row of the table of ops at one of its cases: arguments, results, gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinyseq as ts
from support.optable import Case, Row, draw
from tinyseq.graph import Leaf
from tinyseq.tensors import Tensor


class Check:
    """One row and one case: its arguments as arrays and tensors, and the function on both."""

    def __init__(self, row: Row, this: Case, dtype: Any = np.float64, arrays: list[Any] | None = None) -> None:
        self.row, self.options = row, this.options
        if "dtype" in self.options:
            self.options = {**self.options, "dtype": dtype}
        raw = draw(row, this) if arrays is None else arrays
        self.arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in raw]
        self.dtype = np.dtype(dtype)

    def leaves(self, arrays: list[Any] | None = None) -> list[Tensor]:
        made = []
        for a in self.arrays if arrays is None else arrays:
            smooth = a.dtype.kind == "f"
            made.append(Tensor(a, Leaf(a.shape, a.dtype, smooth), smooth))
        return made

    def outputs(self, *xs: Any) -> list[Tensor]:
        result = self.row.fn(*xs, **self.options)
        return list(result) if isinstance(result, tuple) else [result]

    def expected(self) -> list[np.ndarray]:
        with np.errstate(all="ignore"):
            wide = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in self.arrays]
            result = self.row.ref(*wide, **self.options)
        return [np.asarray(y) for y in (result if isinstance(result, tuple) else (result,))]

    def projected(self, ys: list[Tensor]) -> Tensor:
        """A scalar that every element of every output moves, each by a weight of its own."""
        total = None
        for i, y in enumerate(ys):
            weights = np.cos(np.arange(y.size) + i).reshape(y.shape).astype(y.dtype)
            term = (y * ts.tensor(weights)).sum()
            total = term if total is None else total + term
        assert total is not None
        return total

    def gradients(self, arrays: list[Any] | None = None, **options: Any) -> list[Any]:
        xs = self.leaves(arrays)
        loss = self.projected(self.outputs(*xs))
        if not loss.requires_grad:
            return [None for x in xs if x.requires_grad]
        return ts.gradients(loss, [x for x in xs if x.requires_grad], **options)


class OnDevice(Check):
    """A row's case with its arguments on the strict device."""

    def leaves(self, arrays: list[Any] | None = None) -> list[ts.Tensor]:
        return [
            ts.tensor(a, dtype=a.dtype, requires_grad=a.dtype.kind == "f")
            for a in (self.arrays if arrays is None else arrays)
        ]


def values(row: Row, this: Case, kind: type[Check]) -> tuple[list[Any], list[Any]]:
    check = kind(row, this)
    xs = check.leaves()
    ys = check.outputs(*xs)
    loss = check.projected(ys)
    wanted = [x for x in xs if x.requires_grad]
    found = ts.gradients(loss, wanted) if loss.requires_grad else [None] * len(wanted)
    return ys, found
