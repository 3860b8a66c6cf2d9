"""Constant matrices without their zeros: what NumPy computes with them, when they are taken, and that none is stale."""

from __future__ import annotations

import gc
import pickle

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn, sparse
from tinyseq.errors import DtypeError, ShapeError

UNITS = 300


def matrix(seed: int, rows: int = UNITS, columns: int = UNITS, density: float = 0.02) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random((rows, columns)) < density, rng.standard_normal((rows, columns)), 0.0)


def names(call: object, *args: object) -> set[str]:
    return {node.op.name for node in ts.trace(call, *args).nodes}


def heard(W: ts.Tensor) -> object:
    return lambda x: sparse.constant_product(x, W, "W")


def test_it_holds_what_is_not_zero_column_after_column() -> None:
    A = ts.SparseMatrix(np.array([[0.0, 2.0, 0.0], [0.0, 3.0, 4.0]], np.float32), name="A")
    assert (A.shape, A.entries, A.values.name) == ((2, 3), 3, "A")
    assert A.values.dtype == np.float32
    np.testing.assert_array_equal(A.values.numpy(), [2.0, 3.0, 4.0])
    np.testing.assert_array_equal(A.indices.numpy(), [0, 1, 1])
    np.testing.assert_array_equal(A.starts.numpy(), [0, 0, 2, 3])
    assert repr(A) == "SparseMatrix(2, 3, 3 entries, float32)"


def test_its_products_are_counted() -> None:
    A = ts.SparseMatrix(matrix(0))
    (node,) = (n for n in ts.trace(lambda x: ts.sparse_matmul(x, A), ts.zeros(4, UNITS)).nodes if n.inputs)
    assert node.op.flops(node.shape, *node.inputs, **node.attrs) == 2 * 4 * A.entries


def test_what_does_not_fit_is_refused() -> None:
    A = ts.SparseMatrix(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"(?s)\(\.\.\., 2\) by a matrix \(2, 3\).*\(4, 3\)"):
        ts.sparse_matmul(ts.ones(4, 3), A)
    with pytest.raises(ShapeError, match=r"(?s)a matrix of floating-point values.*int64"):
        ts.SparseMatrix(np.ones((2, 3), int))
    with pytest.raises(ShapeError, match="a matrix"):
        ts.SparseMatrix(np.ones(3))
    with pytest.raises(DtypeError, match=r"(?s)ts.SparseMatrix\(A\).*ndarray"):
        ts.sparse_matmul(ts.ones(4, 2), np.ones((2, 3)))


def test_a_product_is_sparse_where_that_gains() -> None:
    x = ts.zeros(1, UNITS, dtype=ts.float64)
    thin, thick, small = (ts.tensor(m) for m in (matrix(0), matrix(0, density=0.2), matrix(0, 50, 50)))
    assert "sparse_matmul" in names(heard(thin), x)
    assert "sparse_matmul" not in names(heard(thin), ts.zeros(64, UNITS, dtype=ts.float64)), "rows share a dense one"
    assert "sparse_matmul" not in names(heard(thick), x)
    assert "sparse_matmul" not in names(heard(small), ts.zeros(1, 50, dtype=ts.float64))
    learned = ts.tensor(matrix(0), requires_grad=True)
    assert "sparse_matmul" not in names(heard(learned), x)
    heard(learned)(ts.ones(1, UNITS, dtype=ts.float64)).sum().backward()
    assert learned.grad is not None


def test_a_matrix_with_a_new_value_is_never_the_old_one() -> None:
    W, x = ts.tensor(matrix(0)), ts.tensor(np.random.default_rng(1).standard_normal((1, UNITS)))
    call = heard(W)
    fast = ts.compile(call)
    for seed in (0, 1, 0):
        W.assign(ts.tensor(matrix(seed)))
        for product in (call(x), fast(x), fast(x)):
            np.testing.assert_allclose(product.numpy(), x.numpy() @ matrix(seed), rtol=1e-12, atol=1e-12)


def test_a_matrix_of_the_trace_is_dense() -> None:
    W, x = ts.tensor(matrix(0)), ts.tensor(np.random.default_rng(1).standard_normal((1, UNITS)))

    def assigned(x: ts.Tensor) -> ts.Tensor:
        W.assign(W * 2.0)
        return sparse.constant_product(x, W, "W")

    fast = ts.compile(assigned)
    for factor in (2.0, 4.0):
        np.testing.assert_allclose(fast(x).numpy(), factor * (x.numpy() @ matrix(0)), rtol=1e-12, atol=1e-12)
    given = ts.compile(lambda x, W: sparse.constant_product(x, W, "W"))
    for seed in (3, 4):
        product = given(x, ts.tensor(matrix(seed))).numpy()
        np.testing.assert_allclose(product, x.numpy() @ matrix(seed), rtol=1e-12, atol=1e-12)


def test_a_form_lives_as_long_as_the_array() -> None:
    gc.collect()
    before = len(sparse._KNOWN)
    W = ts.tensor(matrix(0))
    heard(W)(ts.zeros(1, UNITS, dtype=ts.float64))
    assert len(sparse._KNOWN) == before + 1
    del W
    gc.collect()
    assert len(sparse._KNOWN) == before


@pytest.mark.parametrize("leak", [1.0, 0.3])
def test_a_large_reservoir_is_as_its_dense_equations_say(leak: float) -> None:
    cell = nn.ESNCell(2, UNITS, leak=leak).cast(np.float64)
    us = ts.tensor(np.random.default_rng(0).uniform(-1.0, 1.0, (1, 20, 2)))
    assert "sparse_matmul" in names(lambda u, h: cell.step(u, h)[0], us[:, 0], cell.initial_state(1))
    h = np.zeros((1, UNITS))
    for u, y in zip(us.numpy()[0], ts.unroll(cell, us)[0].numpy()[0], strict=True):
        h = (1 - leak) * h + leak * np.tanh(u @ cell.W_in.numpy() + cell.b_in.numpy() + h @ cell.W.numpy())
        np.testing.assert_allclose(y, h[0], rtol=1e-10, atol=1e-12)
    assert nn.equations(nn.ESNCell(2, UNITS)) == nn.equations(nn.ESNCell(2, 5))
    again = pickle.loads(pickle.dumps(cell))
    np.testing.assert_array_equal(ts.unroll(again, us)[0].numpy(), ts.unroll(cell, us)[0].numpy())


def test_gradients_through_a_large_reservoir_are_those_of_the_dense_one() -> None:
    """To the initial state, eagerly and compiled, against the chain rule by hand."""
    cell = nn.ESNCell(1, UNITS).cast(np.float64)
    us = ts.tensor(np.random.default_rng(0).uniform(-1.0, 1.0, (1, 5, 1)))
    start = ts.tensor(np.random.default_rng(1).standard_normal((1, UNITS)), requires_grad=True)

    def total(start: ts.Tensor) -> ts.Tensor:
        return ts.unroll(cell, us, start)[1].sum()

    expected = np.ones((1, UNITS))
    states = ts.unroll(cell, us, start)[0].numpy()[0]
    for state in states[::-1]:
        expected = (expected * (1 - state**2)) @ cell.W.numpy().T
    for call in (ts.grad(total), ts.compile(ts.grad(total))):
        np.testing.assert_allclose(call(start).numpy(), expected, rtol=1e-10, atol=1e-13)
