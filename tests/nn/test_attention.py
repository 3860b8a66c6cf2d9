"""Attention, the Transformer's layers, and their masks; values against PyTorch are in tests/parity."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseq as ts
from support.modules import check_module_grads, draws, randomized
from tinyseq import nn
from tinyseq.errors import DataError, ShapeError

BATCH, TIME, FEATURES, HEADS = 2, 4, 6, 3


def softmax(a: np.ndarray) -> np.ndarray:
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_scaled_dot_products_by_the_formula() -> None:
    q, k, v = draws(2, 3, 5), draws(2, 4, 5, seed=1), draws(2, 4, 7, seed=2)
    y, weights = nn.scaled_dot_product_attention(q, k, v)
    expected = softmax(q.numpy() @ k.numpy().swapaxes(1, 2) / np.sqrt(5))
    np.testing.assert_allclose(weights.numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(y.numpy(), expected @ v.numpy(), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_row_that_may_look_at_nothing_gives_zeros_and_no_nan(dtype: type) -> None:
    q, k, v = (
        ts.tensor(np.random.default_rng(i).normal(size=(2, 3, 4)) * 50, dtype=dtype, requires_grad=True)
        for i in range(3)
    )
    mask = np.ones((2, 3, 3), dtype=bool)
    mask[0, 1] = False
    y, weights = nn.scaled_dot_product_attention(q, k, v, ts.tensor(mask))
    assert not y.numpy()[0, 1].any()
    assert not weights.numpy()[0, 1].any()
    np.testing.assert_allclose(weights.numpy().sum(-1)[mask.any(-1)], 1.0, rtol=1e-6)
    (y * y).sum().backward()
    for x in (q, k, v):
        assert np.isfinite(x.grad.numpy()).all()
    assert not q.grad.numpy()[0, 1].any()


def test_what_is_masked_has_no_influence() -> None:
    layer = randomized(nn.MultiheadAttention(FEATURES, HEADS))
    x = draws(BATCH, TIME, FEATURES)
    changed = x.numpy().copy()
    changed[0, 2:] = 1e3
    same = [layer(ts.tensor(a), lengths=[2, TIME])[0].numpy() for a in (x.numpy(), changed)]
    np.testing.assert_array_equal(same[0][0, :2], same[1][0, :2])
    future = x.numpy().copy()
    future[:, 3] = 1e3
    causal = [layer(ts.tensor(a), causal=True)[0].numpy() for a in (x.numpy(), future)]
    np.testing.assert_allclose(causal[0][:, :3], causal[1][:, :3], rtol=1e-12)
    assert (causal[0][:, 3] != causal[1][:, 3]).all()


def test_a_row_of_length_zero() -> None:
    layer = randomized(nn.MultiheadAttention(FEATURES, HEADS))
    y, weights = layer(draws(BATCH, TIME, FEATURES), lengths=[0, TIME])
    assert not weights.numpy()[0].any()
    np.testing.assert_allclose(y.numpy()[0], np.broadcast_to(layer.b_o.numpy(), (TIME, FEATURES)))


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_masks_of_every_rank(rank: int) -> None:
    layer = randomized(nn.MultiheadAttention(FEATURES, HEADS))
    x = draws(BATCH, TIME, FEATURES)
    mask = (
        np.random.default_rng(0).random((BATCH, HEADS, TIME, TIME)[4 - rank :] if rank != 3 else (BATCH, TIME, TIME))
        < 0.6
    )
    _, weights = layer(x, mask=ts.tensor(mask))
    full = np.broadcast_to(mask[:, None] if rank == 3 else mask, weights.shape)
    assert not weights.numpy()[~full].any()
    assert (weights.numpy()[full] > 0).all()


def test_gradients() -> None:
    layer = randomized(nn.MultiheadAttention(4, 2, key_size=3))
    q, k = draws(2, 2, 4), draws(2, 3, 3, seed=1)
    check_module_grads(layer, lambda q, k: layer(q, k, lengths=[3, 1]), q, k)


@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_gradients(norm_first: bool) -> None:
    encoder = randomized(nn.TransformerEncoderLayer(4, 2, 3, activation="gelu", norm_first=norm_first))
    decoder = randomized(nn.TransformerDecoderLayer(4, 2, 3, activation="gelu", norm_first=norm_first))
    x, memory = draws(2, 3, 4), draws(2, 2, 4, seed=1)
    check_module_grads(encoder, lambda x: encoder(x, lengths=[3, 1]), x, order=1)
    check_module_grads(decoder, lambda x, m: decoder(x, m, memory_lengths=[2, 1]), x, memory, order=1)


def test_parameter_counts() -> None:
    d, h = 6, 10
    attention = 4 * (d * d + d)
    feed = d * h + h + h * d + d
    assert nn.MultiheadAttention(d, 3).num_parameters() == attention
    assert nn.TransformerEncoderLayer(d, 3, h).num_parameters() == attention + feed + 2 * 2 * d
    assert nn.TransformerDecoderLayer(d, 3, h).num_parameters() == 2 * attention + feed + 3 * 2 * d
    encoder = nn.TransformerEncoder(d, 3, 2, h, norm_first=True)
    assert encoder.num_parameters() == 2 * (attention + feed + 4 * d) + 2 * d
    assert nn.TransformerDecoder(d, 3, 2).layers[0].linear1.out_features == 4 * d


def test_a_decoder_does_not_see_the_future_and_padding_changes_nothing() -> None:
    model = randomized(nn.TransformerDecoder(FEATURES, HEADS, 2, 8))
    x, memory = draws(BATCH, TIME, FEATURES), draws(BATCH, 5, FEATURES, seed=1)
    later, padded = x.numpy().copy(), memory.numpy().copy()
    later[:, 2:] = 1e3
    padded[0, 3:] = 1e3
    first = model(x, memory, memory_lengths=[3, 5]).numpy()
    second = model(ts.tensor(later), ts.tensor(padded), memory_lengths=[3, 5]).numpy()
    np.testing.assert_allclose(first[:, :2], second[:, :2], rtol=1e-10)


def test_transformer_dropout_only_in_training() -> None:
    model = nn.TransformerEncoder(FEATURES, HEADS, 2, 8, dropout=0.5)
    x = ts.randn(BATCH, TIME, FEATURES)
    assert (model(x).numpy() != model(x).numpy()).any()
    model.eval()
    np.testing.assert_array_equal(model(x).numpy(), model(x).numpy())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.MultiheadAttention(6, 4), ["divides 6", "4"]),
        (lambda: nn.MultiheadAttention(6, 3)(ts.randn(2, 4, 5)), ["query", "(..., 6)", "(2, 4, 5)"]),
        (lambda: nn.MultiheadAttention(6, 3)(ts.randn(4, 6)), ["(batch, time, 6)"]),
        (lambda: nn.MultiheadAttention(6, 3)(ts.randn(2, 4, 6), ts.randn(2, 5, 6), causal=True), ["causal", "4, 5"]),
        (
            lambda: nn.MultiheadAttention(6, 3)(ts.randn(2, 4, 6), mask=ts.tensor(np.ones((4, 5), dtype=bool))),
            ["mask", "(4, 4)", "(4, 5)"],
        ),
        (lambda: nn.MultiheadAttention(6, 3)(ts.randn(2, 4, 6), mask=ts.ones(4, 4)), ["booleans", "float32"]),
        (lambda: nn.MultiheadAttention(6, 3)(ts.randn(2, 4, 6), lengths=[4, 5]), ["0 to 4", "5 in row 1"]),
        (lambda: nn.TransformerEncoderLayer(6, 3, activation="rely"), ["did you mean 'relu'"]),
        (lambda: nn.TransformerEncoder(6, 3, 0), ["at least 1"]),
        (lambda: nn.length_mask([1.5], 3), ["integers"]),
    ],
)
def test_refused_with_words(call, words: list[str]) -> None:
    with pytest.raises((ShapeError, DataError)) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == []


def test_masks() -> None:
    np.testing.assert_array_equal(nn.length_mask([2, 0, 3], 3).numpy(), [[1, 1, 0], [0, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(nn.causal_mask(3).numpy(), [[1, 0, 0], [1, 1, 0], [1, 1, 1]])
    assert nn.length_mask(ts.tensor([1]), 2).dtype == np.bool_
