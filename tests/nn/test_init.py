"""Initial values: their distributions, and choosing them by name."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn
from tinyseq.errors import DataError, ShapeError
from tinyseq.nn import init


@pytest.mark.parametrize(
    ("name", "deviation", "bound"),
    [
        ("glorot", np.sqrt(2 / 500), np.sqrt(6 / 500)),
        ("glorot_normal", np.sqrt(2 / 500), None),
        ("he", np.sqrt(2 / 300), None),
        ("fan_out_uniform", 1 / np.sqrt(3 * 200), 1 / np.sqrt(200)),
    ],
)
def test_distributions(name: str, deviation: float, bound: float | None) -> None:
    W = init.draw(name, 300, 200)
    assert W.shape == (300, 200)
    assert abs(W.mean()) < 4 * deviation / np.sqrt(W.size)
    assert W.std() == pytest.approx(deviation, rel=0.02)
    if bound is not None:
        assert abs(W).max() <= bound
        assert abs(W).max() > 0.99 * bound


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7)])
def test_orthogonal(shape: tuple[int, int]) -> None:
    Q = init.orthogonal(*shape, gain=2.0)
    small = Q.T @ Q if shape[0] >= shape[1] else Q @ Q.T
    np.testing.assert_allclose(small, 4.0 * np.eye(min(shape)), atol=1e-12)


def test_names_and_functions() -> None:
    np.testing.assert_array_equal(init.draw("identity", 3, 3), np.eye(3))
    np.testing.assert_array_equal(init.draw("zeros", 2, 3), np.zeros((2, 3)))
    np.testing.assert_array_equal(init.draw(lambda r, c: np.full((r, c), 7.0), 2, 3), np.full((2, 3), 7.0))
    with pytest.raises(DataError, match="did you mean 'orthogonal'"):
        init.draw("ortogonal", 2, 2)
    with pytest.raises(ShapeError, match=r"\(2, 3\)"):
        init.draw(lambda r, c: np.zeros(4), 2, 3)


def test_the_seed_decides() -> None:
    ts.seed(3)
    first = nn.LSTM(4, 5).state_dict()
    ts.seed(3)
    second = nn.LSTM(4, 5).state_dict()
    ts.seed(4)
    third = nn.LSTM(4, 5).state_dict()
    for path, value in first.items():
        np.testing.assert_array_equal(value.numpy(), second[path].numpy())
    assert any((value.numpy() != third[path].numpy()).any() for path, value in first.items())


def test_cells_start_as_the_field_expects() -> None:
    cell = nn.LSTMCell(4, 6)
    np.testing.assert_array_equal(cell.b_f.numpy(), np.ones(6))
    np.testing.assert_array_equal(cell.b_i.numpy(), np.zeros(6))
    U = cell.W_i.numpy()[:6].astype(np.float64)
    np.testing.assert_allclose(U.T @ U, np.eye(6), atol=1e-6)
    np.testing.assert_array_equal(nn.LSTMCell(4, 6, forget_bias=0.5).b_f.numpy(), np.full(6, 0.5))
    irnn = nn.RNN(4, 6, nonlinearity="relu", recurrent_init="identity")
    np.testing.assert_array_equal(irnn.layers[0][0].W_hh.numpy(), np.eye(6))
    np.testing.assert_array_equal(nn.GRUCell(4, 6, input_init="zeros").W_z.numpy()[6:], np.zeros((4, 6)))
    assert nn.Linear(300, 50, init="he").W.numpy().std() == pytest.approx(np.sqrt(2 / 300), rel=0.05)
