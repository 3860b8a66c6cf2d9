"""States and gates over time: against NumPy written out by hand, for any cell, reversed, masked and within models."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn
from tinyseq.ops.elementwise import clip, sigmoid, tanh


def squash(x):
    return 1.0 / (1.0 + np.exp(-x))


def lstm_by_hand(cell, xs):
    """Every value of the lecture's LSTM over (time, features), in NumPy."""
    w = {name: value.numpy() for name, value in cell.named_parameters()}
    h = c = np.zeros(cell.hidden_size)
    found = {name: [] for name in (r"$f_t$", r"$i_t$", r"$\tilde{c}_t$", r"$o_t$", r"$h_t$", r"$c_t$")}
    for x in xs:
        hx = np.concatenate([h, x])
        f, i, o = (squash(hx @ w[f"W_{k}"] + w[f"b_{k}"]) for k in "fio")
        new = np.tanh(hx @ w["W_c"] + w["b_c"])
        c = f * c + i * new
        h = o * np.tanh(c)
        for name, value in zip(found, (f, i, new, o, h, c), strict=True):
            found[name].append(value)
    return found


@pytest.fixture
def lstm():
    return nn.LSTM(3, 4).cast("float64"), ts.randn(2, 5, 3, dtype=ts.float64)


def test_gates_of_an_lstm_are_what_the_equations_say(lstm):
    model, xs = lstm
    for row in (0, 1):
        (found,) = nn.activations(model, xs, row=row)
        expected = lstm_by_hand(model.layers[0][0], xs.numpy()[row])
        assert list(found.values) == list(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(found.values[name], values, rtol=1e-12)
    assert found.scope == "lstm0"
    assert found.batch == 2
    assert found.ranges == {r"$f_t$": (0, 1), r"$i_t$": (0, 1), r"$o_t$": (0, 1), r"$\tilde{c}_t$": (-1, 1)}
    assert found.note == ""


def test_a_reversed_and_masked_cell_is_told_in_the_order_of_time(lstm):
    model, xs = lstm
    cell = model.layers[0][0]
    (found,) = nn.activations(lambda: ts.unroll(cell, xs, lengths=[3, 5], reverse=True))
    expected = lstm_by_hand(cell, xs.numpy()[0, :3][::-1])
    for name, values in expected.items():
        np.testing.assert_allclose(found.values[name][:3], values[::-1], rtol=1e-12)


def test_watching_changes_no_result_and_ends(lstm):
    model, xs = lstm
    before = model(xs)[0].numpy()
    results = []
    nn.activations(lambda: results.append(model(xs)[0].numpy()))
    np.testing.assert_array_equal(results[0], before)
    assert nn.activations(lambda: None) == []


class Mine(nn.Cell):
    """A gate that is no sigmoid, one without a name, and a state without a name of its own."""

    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W = nn.parameter(nn.init.recurrent(hidden_size, input_size))

    def step(self, x, h):
        raw = ts.concat([h, x], -1) @ self.W
        keep = clip(raw, 0.0, 1.0)
        pre = raw * 2.0
        return sigmoid(pre) * tanh(h), keep * h + 0.5


def test_a_cell_of_ones_own_needs_nothing_but_its_step():
    cell, xs = Mine(3, 4).cast("float64"), ts.randn(1, 6, 3, dtype=ts.float64)
    (found,) = nn.activations(ts.unroll, cell, xs)
    h, W = np.zeros(4), cell.W.numpy()
    for t, x in enumerate(xs.numpy()[0]):
        raw = np.concatenate([h, x]) @ W
        np.testing.assert_allclose(found.values[r"$\mathrm{raw}_t$"][t], raw)
        np.testing.assert_allclose(found.values[r"$\mathrm{keep}_t$"][t], np.clip(raw, 0, 1))
        np.testing.assert_allclose(found.values[r"$\sigma(\mathrm{pre}_t)$"][t], squash(2 * raw))
        h = np.clip(raw, 0, 1) * h + 0.5
        np.testing.assert_allclose(found.values["$h_t$"][t], h)
    assert set(found.values) == {r"$\mathrm{raw}_t$", r"$\mathrm{keep}_t$", r"$\sigma(\mathrm{pre}_t)$", "$h_t$"}


def test_gates_without_variables_are_named_by_what_they_squash():
    (found,) = nn.activations(nn.Recurrent("layernorm_lstm", 3, 4), ts.randn(1, 4, 3))
    assert list(found.values) == [
        r"$\sigma(f_t)$", r"$\sigma(i_t)$", r"$\tanh(g_t)$", r"$\sigma(o_t)$", "$h_t$", "$c_t$",
    ]  # fmt: skip
    assert found.ranges[r"$\sigma(f_t)$"] == (0.0, 1.0)


@pytest.mark.parametrize("name", nn.CELLS)
def test_every_registered_cell_is_watched(name):
    model, xs = nn.Recurrent(name, 3, 4), ts.randn(2, 5, 3)
    (found,) = nn.activations(model, xs)
    assert all(values.shape == (5, 4) for values in found.values.values())
    np.testing.assert_array_equal(found.values["$h_t$"], model(xs)[0].numpy()[0])


class Looks(nn.RNNCell):
    def step(self, x, h):
        y, h = super().step(x, h)
        return (y if y.sum().item() > -1e9 else -y), h


def test_of_a_step_that_looks_at_values_the_states_are_told():
    (found,) = nn.activations(ts.unroll, Looks(2, 3), ts.randn(1, 4, 2))
    assert list(found.values) == ["$h_t$"]
    assert found.values["$h_t$"].shape == (4, 3)
    assert "no gates" in found.note


def test_inputs_of_several_parts_and_a_cell_with_dropout_in_training():
    drop = nn.Dropout(0.5)

    def step(x, h):
        a, b = x
        gate = sigmoid(drop(a) + b)
        return gate, gate * h

    xs = ts.ones(1, 3, 2), ts.zeros(1, 3, 2)
    (found,) = nn.activations(lambda: ts.unroll(step, xs, ts.ones(1, 2)))
    assert list(found.values) == [r"$\mathrm{gate}_t$", "$h_t$"]
    assert found.note == ""


def test_states_that_are_handed_on_and_states_that_are_no_vectors():
    def step(x, state):
        new, count = state["new"], state["count"]
        return x, {"new": x, "old": new, "count": count}

    start = {"new": ts.zeros(1, 2), "old": ts.zeros(1, 2), "count": ts.tensor(1.0)}
    (found,) = nn.activations(ts.unroll, step, ts.tensor([[[1.0, 2.0], [3.0, 4.0]]]), start)
    assert {name: values.tolist() for name, values in found.values.items()} == {
        r"$\mathrm{new}_t$": [[1, 2], [3, 4]], r"$\mathrm{old}_t$": [[0, 0], [1, 2]],
    }  # fmt: skip


def test_a_function_is_a_cell_too():
    (found,) = nn.activations(lambda: ts.unroll(lambda x, s: (s, s * 0.5 + x), ts.ones(1, 3, 2), ts.zeros(1, 2)))
    np.testing.assert_allclose(found.values["$s_t$"], [[1, 1], [1.5, 1.5], [1.75, 1.75]])


@pytest.mark.parametrize("decoder", [nn.BahdanauDecoder, nn.LuongDecoder])
def test_the_cell_within_a_decoder_bears_its_own_names(decoder):
    model = decoder(nn.LSTMCell, 3, 4, 5)
    (found,) = nn.activations(model, ts.randn(1, 6, 3), ts.randn(1, 7, 5))
    assert {r"$f_t$", r"$i_t$", r"$\tilde{c}_t$", r"$o_t$"} <= found.values.keys()
    weights = found.values[r"$\mathrm{weights}_t$"]
    assert weights.shape == (6, 7)
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-5)


def test_both_directions_and_all_layers_in_their_order():
    model = nn.GRU(3, 4, num_layers=2, bidirectional=True)
    found = nn.activations(model, ts.randn(1, 5, 3))
    assert [one.scope for one in found] == ["gru0", "gru0_reverse", "gru1", "gru1_reverse"]
