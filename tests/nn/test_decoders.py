"""Recurrent decoders with attention over a memory: additive and dot."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseq as ts
from support.modules import check_module_grads, draws, leaves, randomized
from tinyseq import nn
from tinyseq.errors import DataError, ShapeError

BATCH, TIME, SOURCE, INPUT, HIDDEN, MEMORY = 2, 3, 4, 2, 5, 3


def softmax(a: np.ndarray) -> np.ndarray:
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_additive_scores_by_the_formula() -> None:
    layer = randomized(nn.AdditiveAttention(HIDDEN, MEMORY, 7))
    q, m = draws(BATCH, HIDDEN), draws(BATCH, SOURCE, MEMORY, seed=1)
    context, weights = layer(q, m)
    W_q, W_m, v = layer.W_q.numpy(), layer.W_m.numpy(), layer.v.numpy()
    scores = np.tanh((q.numpy() @ W_q)[:, None] + m.numpy() @ W_m) @ v
    np.testing.assert_allclose(weights.numpy(), softmax(scores), rtol=1e-11)
    np.testing.assert_allclose(context.numpy(), np.einsum("bs,bsm->bm", softmax(scores), m.numpy()), rtol=1e-11)
    assert layer.num_parameters() == HIDDEN * 7 + MEMORY * 7 + 7


@pytest.mark.parametrize("general", [False, True])
def test_dot_scores_by_the_formula(general: bool) -> None:
    size = MEMORY if general else HIDDEN
    layer = randomized(nn.DotAttention(HIDDEN, size, general=general))
    q, m = draws(BATCH, HIDDEN), draws(BATCH, SOURCE, size, seed=1)
    _, weights = layer(q, m, [4, 2])
    keys = m.numpy() @ layer.W.numpy() if general else m.numpy()
    scores = np.einsum("bh,bsh->bs", q.numpy(), keys)
    scores[1, 2:] = -np.inf
    np.testing.assert_allclose(weights.numpy(), softmax(scores), rtol=1e-11)


def make(kind: str, cell: str = "lstm") -> nn.AttentionDecoder:
    decoder = nn.BahdanauDecoder if kind == "bahdanau" else nn.LuongDecoder
    model = decoder(cell, INPUT, HIDDEN, MEMORY)
    randomized(model, scale=0.4)
    return model


@pytest.mark.parametrize("cell", ["lstm", "gru", "layernorm_lstm"])
@pytest.mark.parametrize("kind", ["bahdanau", "luong"])
def test_decoders_run_step_by_step_as_over_the_sequence(kind: str, cell: str) -> None:
    model = make(kind, cell)
    xs, memory = draws(BATCH, TIME, INPUT), draws(BATCH, SOURCE, MEMORY, seed=1)
    ys, last = model(xs, memory, memory_lengths=[4, 2])
    assert ys.output.shape == (BATCH, TIME, model.output_size)
    assert ys.weights.shape == (BATCH, TIME, SOURCE)
    assert not ys.weights.numpy()[1, :, 2:].any()
    np.testing.assert_allclose(ys.weights.numpy().sum(-1), 1.0, rtol=1e-12)
    looking, state = model.over(memory, [4, 2]), model.initial_state(BATCH)
    for t in range(TIME):
        y, state = looking.step(xs[:, t], state)
        np.testing.assert_allclose(y.output.numpy(), ys.output.numpy()[:, t], rtol=1e-12)
    for mine, theirs in zip(leaves(state), leaves(last), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-12)


def test_bahdanau_looks_before_it_steps() -> None:
    model = make("bahdanau", "rnn")
    x, memory, h = draws(BATCH, INPUT), draws(BATCH, SOURCE, MEMORY, seed=1), draws(BATCH, HIDDEN, seed=2)
    y, state = model.over(memory).step(x, model.state_from(h))
    context, weights = model.attention(h, memory)
    v = {path: p.numpy() for path, p in model.cell.state_dict().items()}
    inputs = np.concatenate([x.numpy(), context.numpy()], -1)
    expected = np.tanh(inputs @ v["W_xh"] + h.numpy() @ v["W_hh"] + v["b_h"])
    np.testing.assert_allclose(state.numpy(), expected, rtol=1e-11)
    np.testing.assert_allclose(y.output.numpy(), np.concatenate([expected, context.numpy()], -1), rtol=1e-11)
    np.testing.assert_array_equal(y.weights.numpy(), weights.numpy())


def test_luong_looks_after_it_has_stepped_and_feeds_its_output_back() -> None:
    model = make("luong", "rnn")
    x, memory = draws(BATCH, INPUT), draws(BATCH, SOURCE, MEMORY, seed=1)
    h, fed = draws(BATCH, HIDDEN, seed=2), draws(BATCH, HIDDEN, seed=3)
    y, state = model.over(memory).step(x, nn.LuongState(h, fed))
    v = {path: p.numpy() for path, p in model.cell.state_dict().items()}
    inputs = np.concatenate([x.numpy(), fed.numpy()], -1)
    inner = np.tanh(inputs @ v["W_xh"] + h.numpy() @ v["W_hh"] + v["b_h"])
    context, _ = model.attention(ts.tensor(inner), memory)
    expected = np.tanh(np.concatenate([context.numpy(), inner], -1) @ model.W_c.numpy())
    np.testing.assert_allclose(y.output.numpy(), expected, rtol=1e-11)
    np.testing.assert_allclose(state.h.numpy(), expected, rtol=1e-11)
    np.testing.assert_allclose(state.inner.numpy(), inner, rtol=1e-11)


@pytest.mark.parametrize("kind", ["bahdanau", "luong"])
def test_gradients_reach_memory_state_and_parameters(kind: str) -> None:
    model = make(kind, "gru")
    xs, memory = draws(BATCH, 2, INPUT), draws(BATCH, 3, MEMORY, seed=1)
    h = draws(BATCH, HIDDEN, seed=2)

    def run(xs: ts.Tensor, memory: ts.Tensor, h: ts.Tensor) -> ts.Tensor:
        return model(xs, memory, model.state_from(h), memory_lengths=[3, 1])[0].output

    check_module_grads(model, run, xs, memory, h, order=1)


@pytest.mark.parametrize("kind", ["bahdanau", "luong"])
def test_padding_of_the_memory_changes_nothing_and_an_empty_row_gives_no_nan(kind: str) -> None:
    model = make(kind)
    xs, memory = draws(BATCH, TIME, INPUT), draws(BATCH, SOURCE, MEMORY, seed=1)
    padded = memory.numpy().copy()
    padded[0, 2:] = 1e3
    first = model(xs, memory, memory_lengths=[2, 0])[0].output.numpy()
    second = model(xs, ts.tensor(padded), memory_lengths=[2, 0])[0].output.numpy()
    np.testing.assert_array_equal(first, second)
    assert np.isfinite(first).all()


def test_a_deep_decoder_asks_with_its_top_layer() -> None:
    model = nn.BahdanauDecoder(
        lambda i, h: nn.Stack([nn.LSTMCell(i, h), nn.GRUCell(h, h)]), INPUT, HIDDEN, MEMORY, attention_size=7
    )
    xs, memory = ts.randn(BATCH, TIME, INPUT), ts.randn(BATCH, SOURCE, MEMORY)
    ys, last = model(xs, memory)
    assert ys.output.shape == (BATCH, TIME, HIDDEN + MEMORY)
    assert model.hidden(last) is last[1]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.DotAttention(3, 4), ["general=True", "3 and 4"]),
        (lambda: make("luong")(draws(2, 3, INPUT + 1), draws(2, 4, MEMORY)), ["LuongDecoder, x", "(..., 2)"]),
        (lambda: make("bahdanau")(draws(2, 3, INPUT), draws(2, 4, MEMORY + 1)), ["memory", "(..., 3)"]),
        (lambda: make("bahdanau")(draws(2, 3, INPUT), draws(2, MEMORY)), ["(batch, time, 3)"]),
        (lambda: make("luong").step(None, None), ["decoder(xs, memory)"]),
        (lambda: make("luong")(draws(2, 3, INPUT), draws(2, 4, MEMORY), memory_lengths=[5, 1]), ["0 to 4"]),
    ],
)
def test_refused_with_words(call, words: list[str]) -> None:
    with pytest.raises((ShapeError, DataError)) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == []
