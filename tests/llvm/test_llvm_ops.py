"""Every row of the table of ops, compiled: extents of 0 and 1, numbers, each with its gradient; what eager computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support import optable
from support.optable import Case, Row

pytest.importorskip("llvmlite")

import tinyseq as ts

ROWS = {row.name: row for rows in vars(optable).values() if isinstance(rows, list) for row in rows if type(row) is Row}


def small(row: Row) -> list[Case]:
    """The row's cases with some extent of 0 or 1, or a number; and its first with all extents 1."""
    drawn = [case for case in row.cases if all(isinstance(x, tuple) for x in case.args)]
    few = [case for case in drawn if any(0 in x or 1 in x or not x for x in case.args)]
    return few + [Case(tuple((1,) * len(x) for x in case.args), case.options) for case in drawn[:1]]


def results(fn: Any, arrays: list[np.ndarray]) -> list[Any]:
    tensors = [ts.tensor(x, requires_grad=True) for x in arrays]
    found = fn(*tensors)
    outputs = [found] if isinstance(found, ts.Tensor) else list(found)
    smooth = [y for y in outputs if y.requires_grad]
    if smooth:
        sum((y * y).sum() for y in smooth).backward()
    return [*(y.numpy() for y in outputs), *(None if x.grad is None else x.grad.numpy() for x in tensors)]


@pytest.mark.parametrize("name", ROWS)
def test_few_elements(name: str) -> None:
    row = ROWS[name]
    for case in small(row):
        rng = np.random.default_rng(0)
        domains = row.domain if isinstance(row.domain, tuple) else (row.domain,) * len(case.args)
        arrays = [d(rng, x) if d else rng.normal(size=x) for d, x in zip(domains, case.args, strict=False)]

        def fn(*xs: ts.Tensor, case: Case = case) -> Any:
            return row.fn(*xs, **case.options)

        try:
            expected = results(fn, arrays)
        except (ts.TinyseqError, IndexError):
            continue  # with this option extents of 1 do not fit
        with ts.backend("llvm"):
            got = results(ts.compile(fn), arrays)
        for y, right in zip(got, expected, strict=True):
            assert (y is None) == (right is None), case
            if right is not None:
                assert (y.shape, y.dtype) == (right.shape, right.dtype), case
                np.testing.assert_allclose(y, right, rtol=1e-9, atol=1e-11, err_msg=str(case))
