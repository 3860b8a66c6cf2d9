"""Products by sparse constants in native code: NumPy's values, any place of the operands, loops, wrong indices."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import tinyseq as ts
from support.optable.linalg import SPARSE
from tinyseq import nn
from tinyseq.compiler.lower.llvm import executable
from tinyseq.errors import ShapeError


def native(fast: object) -> None:
    plan = fast.entry_of_last_call().take()  # type: ignore[attr-defined]
    assert isinstance(plan, executable.Executable)
    assert not any("left to NumPy" in row for row in plan.notes())


@pytest.fixture(autouse=True)
def _on_llvm() -> object:
    with ts.backend("llvm"):
        yield


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("turned", [False, True])
def test_it_is_numpys_product(dtype: str, shape: tuple[int, ...], turned: bool) -> None:
    A = SPARSE.astype(dtype)
    matrix = ts.SparseMatrix(A)
    shape = (*shape[:-1], 6) if turned else shape
    x = ts.tensor(np.random.default_rng(0).standard_normal(shape).astype(dtype))
    if turned:  # as a gradient comes: the transposed product

        def call(x: ts.Tensor) -> ts.Tensor:
            start = ts.zeros(*shape[:-1], 4, dtype=dtype)
            return ts.grad(lambda z: (ts.sparse_matmul(z, matrix) * x).sum())(start)
    else:

        def call(x: ts.Tensor) -> ts.Tensor:
            return ts.sparse_matmul(x, matrix)

    fast = ts.compile(call)
    expected = x.numpy() @ (A.T if turned else A)
    found = fast(x).numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "f4" else 1e-13, atol=1e-6)
    native(fast)


def test_operands_may_lie_across() -> None:
    matrix = ts.SparseMatrix(SPARSE)
    x = ts.tensor(np.random.default_rng(0).standard_normal((4, 5)))
    fast = ts.compile(lambda x: ts.sparse_matmul(x.T * 1.0, matrix).T + ts.sparse_matmul(ts.flip(x.T, 1), matrix).T)
    expected = (x.numpy().T @ SPARSE).T + (x.numpy().T[:, ::-1] @ SPARSE).T
    np.testing.assert_allclose(fast(x).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 3])
def test_a_reservoir_is_one_native_loop_forwards_and_backwards(rows: int) -> None:
    cell = nn.ESNCell(2, 300, leak=0.4).cast(np.float64)
    us = ts.tensor(np.random.default_rng(0).uniform(-1.0, 1.0, (rows, 30, 2)))
    start = ts.zeros(rows, 300, dtype=ts.float64)

    def both(start: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        return ts.value_and_grad(lambda h: (ts.unroll(cell, us, h)[0] ** 2).sum())(start)

    fast = ts.compile(both)
    with ts.backend("numpy"):
        value, gradient = both(ts.tensor(start.numpy()))
    found = fast(start)
    np.testing.assert_allclose(found[0].numpy(), value.numpy(), rtol=1e-12)
    np.testing.assert_allclose(found[1].numpy(), gradient.numpy(), rtol=1e-9, atol=1e-12)
    native(fast)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("part", "wrong"), [("indices", 10**12), ("indices", -1), ("starts", 10**12)])
def test_a_matrix_that_was_broken_is_refused(part: str, wrong: int, turned: bool) -> None:
    """Memory beyond an operand is neither read nor written."""
    matrix = ts.SparseMatrix(SPARSE)
    x = ts.ones(2, 4, dtype=ts.float64)

    def call(x: ts.Tensor) -> ts.Tensor:
        product = ts.sparse_matmul(x, matrix)
        return ts.grad(lambda z: ts.sparse_matmul(z, matrix).sum())(x) if turned else product

    fast = ts.compile(call)
    fast(x)
    broken = getattr(matrix, part).numpy().copy()
    broken[-1] = wrong
    getattr(matrix, part).assign(ts.tensor(broken))
    with pytest.raises(ShapeError, match=r"out.of.bounds"):
        fast(x)
