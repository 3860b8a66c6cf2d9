"""Everything runs on an array module that forbids what CuPy forbids, and gives NumPy's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support import cells as compiler_cells
from support import checking
from support.cells import CELLS, FUNCTIONS, Sizes, cell_case
from support.op_check import Check, OnDevice, values
from support.optable import ROWS, Case, Row
from support.strict import DeviceArray
from tinyseq import backends
from tinyseq.compiler import report

backends.register("strict", "support.strict")
CASES = [pytest.param(row, this, id=f"{row.name}-{this}") for row in ROWS for this in row.cases]


@pytest.mark.parametrize(("row", "this"), CASES)
def test_every_op_and_its_gradient_run_on_the_device(row: Row, this: Case) -> None:
    expected = values(row, this, Check)
    with ts.backend("strict"):
        got = values(row, this, OnDevice)
        for tensors, reference in zip(got, expected, strict=True):
            for x, y in zip(tensors, reference, strict=True):
                assert (x is None) == (y is None)
                if x is not None:
                    assert type(x.value) is DeviceArray
                    assert (x.shape, x.dtype) == (y.shape, y.dtype)
                    # The same kernels, so the same bits; only plans for BLAS add up in another order, and the entries
                    # of sparse columns, for which NumPy alone has a kernel that goes along them.
                    another_order = row.name in ("scan", "sparse_matmul")
                    np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=1e-12 if another_order else 0.0)


def test_a_plan_on_the_device_is_verified_against_the_interpreter() -> None:
    with ts.backend("strict"):
        case = cell_case("minimal_gated_unit")
        fast = ts.compile(case.fn)
        fast(*case.args)
        rows = report.verify(fast)
    assert rows[-1][0] == "plan"
    assert max(difference for _, difference in rows) < 1e-12


def test_what_has_no_elements_has_no_place_either() -> None:
    """The second of two empty parts would begin behind the end of the memory of both."""
    with ts.backend("strict"):
        x = ts.tensor([1.0, 2.0], requires_grad=True)
        out = ts.compile(lambda x: ts.stack([x[:0], x[:0] * 0.5], 1))(x)
        out.backward(ts.zeros(0, 2))
    assert out.shape == (0, 2)
    assert x.grad.tolist() == [0.0, 0.0]


# -- whole models, eager and compiled ----------------------------------------------------------------------------------

NAMES = [*CELLS, *FUNCTIONS]


def case_of(name: str) -> compiler_cells.Case:
    return FUNCTIONS[name](Sizes()) if name in FUNCTIONS else cell_case(name)


@pytest.mark.parametrize("way", ["eager", "compiled"])
@pytest.mark.parametrize("name", NAMES)
def test_the_compilers_odd_cells_run_on_the_device(name: str, way: str) -> None:
    def run(backend: str) -> Any:
        with ts.backend(backend):
            ts.seed(0)  # for weights that modules draw
            case = case_of(name)
            return checking.run(case.fn if way == "eager" else ts.compile(case.fn), case)

    for got, expected in zip(run("strict"), run("numpy"), strict=True):
        checking.assert_close(got, expected, way)
