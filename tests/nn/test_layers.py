"""Linear, Embedding, Dropout, LayerNorm."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseq as ts
from support.modules import check_module_grads, draws, randomized
from tinyseq import nn
from tinyseq.errors import DataError, DtypeError, ShapeError


@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 3, 4), (0, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape: tuple[int, ...], bias: bool) -> None:
    layer = randomized(nn.Linear(4, 3, bias=bias))
    x = draws(*shape)
    expected = x.numpy() @ layer.W.numpy() + (layer.b.numpy() if bias else 0.0)
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-12)
    assert layer.num_parameters() == 12 + 3 * bias
    check_module_grads(layer, layer, x)


def test_linear_refuses_another_feature_size() -> None:
    with pytest.raises(ShapeError) as caught:
        nn.Linear(4, 3)(ts.ones(2, 5))
    assert "(..., 4)" in str(caught.value)
    assert "(2, 5)" in str(caught.value)


def test_embedding() -> None:
    layer = randomized(nn.Embedding(6, 3))
    ids = ts.tensor([[1, 5, 1], [0, 1, 2]])
    np.testing.assert_array_equal(layer(ids).numpy(), layer.W.numpy()[ids.numpy()])
    layer(ids).sum().backward()
    np.testing.assert_array_equal(layer.W.grad.numpy()[:, 0], [1, 3, 1, 0, 0, 1])
    check_module_grads(layer, lambda: layer(ids))
    with pytest.raises(DataError, match=r"6 at \(0, 1\)"):
        layer(ts.tensor([[1, 6]]))
    with pytest.raises(DtypeError, match="integer"):
        layer(ts.tensor([0.5]))


def test_dropout_keeps_the_mean_and_draws_anew() -> None:
    layer = nn.Dropout(0.3)
    x = ts.ones(200, 100)
    first, second = layer(x).numpy(), layer(x).numpy()
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.7)}
    assert (first == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert first.mean() == pytest.approx(1.0, abs=0.02)
    assert (first != second).any()
    assert (nn.Dropout(0.3)(x).numpy() != nn.Dropout(0.3)(x).numpy()).any()


def test_dropout_is_the_identity_in_evaluation_and_its_gradient_has_the_same_mask() -> None:
    layer = nn.Dropout(0.5)
    x = ts.tensor(np.ones((4, 5)), requires_grad=True)
    y = layer(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())
    assert layer.eval()(x) is x
    assert nn.Dropout(0.0)(x) is x
    for p in (-0.1, 1.0):
        with pytest.raises(DataError, match="0 <= p < 1"):
            nn.Dropout(p)


def test_dropout_follows_the_seed_and_differs_by_time_step() -> None:
    def run() -> np.ndarray:
        ts.seed(5)
        layer = nn.Dropout(0.5)
        ys, _ = ts.unroll(lambda x, s: (layer(x), s), ts.ones(1, 8, 16), ts.zeros(1, 1))
        return ys.numpy()

    first = run()
    np.testing.assert_array_equal(first, run())
    assert len({row.tobytes() for row in first[0]}) == 8


def test_layer_norm() -> None:
    layer = randomized(nn.LayerNorm(5, eps=1e-3))
    x = draws(2, 3, 5)
    a = x.numpy()
    normal = (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(layer(x).numpy(), normal * layer.gain.numpy() + layer.bias.numpy(), rtol=1e-12)
    check_module_grads(layer, layer, x)
    assert [path for path, _ in nn.LayerNorm(5, bias=False).named_parameters()] == ["gain"]
    assert np.isfinite(layer(x * 0.0).numpy()).all()
    with pytest.raises(ShapeError, match=r"\(\.\.\., 5\)"):
        layer(draws(2, 4))
    with pytest.raises(DataError, match="eps"):
        nn.LayerNorm(5, eps=-1.0)


@pytest.mark.parametrize("kind", ["sinusoidal", "learned"])
def test_positions(kind: str) -> None:
    layer = nn.SinusoidalPositions(6) if kind == "sinusoidal" else nn.LearnedPositions(9, 6)
    x = ts.zeros(2, 7, 6)
    whole = layer(x).numpy()
    np.testing.assert_array_equal(layer(x[:, 4:], start=4).numpy(), whole[:, 4:])
    np.testing.assert_array_equal(whole[0], whole[1])
    with pytest.raises(ShapeError):
        layer(ts.zeros(2, 7, 5))


def test_sinusoids_are_the_paper_s() -> None:
    P = nn.SinusoidalPositions(6)(ts.zeros(1, 50, 6, dtype=np.float64)).numpy()[0]
    for t in (0, 1, 49):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            assert P[t, 2 * i] == pytest.approx(np.sin(angle), abs=1e-12)
            assert P[t, 2 * i + 1] == pytest.approx(np.cos(angle), abs=1e-12)


def test_learned_positions_end() -> None:
    layer = nn.LearnedPositions(4, 3)
    layer(ts.zeros(2, 3, 3)).sum().backward()
    np.testing.assert_array_equal(layer.P.grad.numpy()[:, 0], [2, 2, 2, 0])
    with pytest.raises(ShapeError, match="at most 4 positions"):
        layer(ts.zeros(2, 3, 3), start=2)
