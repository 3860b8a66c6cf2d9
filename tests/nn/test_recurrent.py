"""Stacks of cells over time: layers, directions, dropout between, residual connections, states."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseq as ts
from support.modules import check_module_grads, draws, leaves, randomized
from tinyseq import nn
from tinyseq.errors import DataError, ShapeError

BATCH, TIME, INPUT, HIDDEN = 3, 5, 2, 4


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_it_is_the_cells_one_above_another(bidirectional: bool, residual: bool) -> None:
    model = randomized(
        nn.Recurrent(nn.GRUCell, HIDDEN, HIDDEN, num_layers=3, bidirectional=bidirectional, residual=residual)
    )
    lengths = [5, 2, 0]
    xs = draws(BATCH, TIME, HIDDEN)
    ys, last = model(xs, lengths=lengths)
    h = xs
    for depth, cells in enumerate(model.layers):
        runs = [ts.unroll(cell, h, lengths=lengths, reverse=bool(i)) for i, cell in enumerate(cells)]
        out = ts.concat([y for y, _ in runs], -1)
        for i, (_, state) in enumerate(runs):
            np.testing.assert_allclose(last[depth][i].numpy(), state.numpy(), rtol=1e-12)
        # The first layer of a bidirectional stack has another output size than input: nothing to add.
        h = h + out if residual and out.shape == h.shape else out
    real = np.arange(TIME) < np.array(lengths)[:, None]
    np.testing.assert_allclose(ys.numpy()[real], h.numpy()[real], rtol=1e-12)
    assert not ys.numpy()[~real].any()
    assert ys.shape[-1] == model.output_size


def test_padding_changes_nothing_even_through_residual_connections() -> None:
    model = randomized(nn.LSTM(HIDDEN, HIDDEN, num_layers=2, residual=True))
    xs = draws(BATCH, TIME, HIDDEN).numpy().copy()
    results = []
    for padding in (0.0, np.nan):
        xs[0, 3:] = padding
        ys, last = model(ts.tensor(xs), lengths=[3, 5, 5])
        results.append((ys.numpy(), [part.numpy() for part in leaves(last)]))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    for first, second in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_array_equal(first, second)


def test_gradients_through_depth_and_both_directions() -> None:
    model = randomized(nn.GRU(INPUT, 2, num_layers=2, bidirectional=True))
    check_module_grads(model, lambda xs: model(xs, lengths=[3, 1])[0], draws(2, 3, INPUT), order=1)


def test_different_cells_in_one_stack() -> None:
    model = nn.Recurrent(["gru", nn.LSTMCell, lambda i, h: nn.RNNCell(i, h + 1)], INPUT, HIDDEN)
    assert [type(cells[0]).__name__ for cells in model.layers] == ["GRUCell", "LSTMCell", "RNNCell"]
    ys, last = model(ts.randn(BATCH, TIME, INPUT))
    assert ys.shape == (BATCH, TIME, HIDDEN + 1)
    assert model.output_size == HIDDEN + 1
    assert isinstance(last[1][0], nn.LSTMState)


def test_the_state_goes_on() -> None:
    model = randomized(nn.LSTM(INPUT, HIDDEN, num_layers=2))
    xs = draws(BATCH, TIME, INPUT)
    whole, end = model(xs)
    first, state = model(xs[:, :2])
    second, last = model(xs[:, 2:], state)
    np.testing.assert_allclose(ts.concat([first, second], 1).numpy(), whole.numpy(), rtol=1e-12)
    for mine, theirs in zip(leaves(last), leaves(end), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-12)


def test_dropout_stands_between_layers_only_and_only_in_training() -> None:
    xs = ts.randn(BATCH, TIME, INPUT)
    one = nn.RNN(INPUT, HIDDEN, dropout=0.9)
    np.testing.assert_array_equal(one(xs)[0].numpy(), one(xs)[0].numpy())
    two = nn.RNN(INPUT, HIDDEN, num_layers=2, dropout=0.5)
    first, second = two(xs), two(xs)
    assert (first[0].numpy() != second[0].numpy()).any()
    np.testing.assert_array_equal(first[1][0][0].numpy(), second[1][0][0].numpy())  # the first layer is before it
    two.eval()
    np.testing.assert_array_equal(two(xs)[0].numpy(), two(xs)[0].numpy())


def test_stack_is_recurrent_step_by_step() -> None:
    model = randomized(nn.Recurrent("gru", HIDDEN, HIDDEN, num_layers=2, residual=True))
    stack = nn.Stack([cells[0] for cells in model.layers], residual=True)
    xs = draws(BATCH, TIME, HIDDEN)
    ys, last = model(xs)
    mine, end = stack(xs)
    np.testing.assert_allclose(mine.numpy(), ys.numpy(), rtol=1e-12)
    np.testing.assert_allclose(end[1].numpy(), last[1][0].numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    "state",
    [
        ts.zeros(BATCH, HIDDEN),
        (ts.zeros(BATCH, HIDDEN), ts.zeros(BATCH, HIDDEN)),
        ((ts.zeros(BATCH, HIDDEN),),),
        ((ts.zeros(BATCH, HIDDEN),) * 2,) * 2,
        ((nn.LSTMState(ts.zeros(BATCH, HIDDEN), ts.zeros(BATCH, HIDDEN)),),) * 2,
        ((ts.zeros(BATCH, HIDDEN + 1),),) * 2,
    ],
)
def test_a_state_of_another_model_is_refused(state: object) -> None:
    with pytest.raises(ShapeError, match="state of another"):
        nn.GRU(INPUT, HIDDEN, num_layers=2)(ts.randn(BATCH, TIME, INPUT), state)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.LSTM(2, 3)(ts.randn(4, 5, 3)), ["LSTM: the input", "(batch, time, 2)", "(4, 5, 3)"]),
        (lambda: nn.LSTM(2, 3)(ts.randn(4, 2)), ["(batch, time, 2)"]),
        (lambda: nn.LSTM(2, 3)(ts.tensor([[1, 2]])), ["nn.Embedding"]),
        (lambda: nn.LSTM(2, 3, num_layers=0), ["at least 1"]),
        (lambda: nn.Recurrent(["gru"], 2, 3, num_layers=2), ["the number of cells"]),
        (lambda: nn.Recurrent([], 2, 3), ["num_layers"]),
        (lambda: nn.Stack([]), ["at least one cell"]),
        (lambda: nn.LSTM(2, 3)(ts.randn(2, 4, 2), lengths=[5, 1]), ["0 to 4", "5 in row 0"]),
        (lambda: nn.LSTM(2, 3, residual=True)(ts.randn(2, 4, 2), lengths=[1, -1]), ["-1 in row 1"]),
    ],
)
def test_refused_with_words(call, words: list[str]) -> None:
    with pytest.raises((ShapeError, DataError)) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == []


def test_scopes_name_layer_and_direction() -> None:
    model = nn.LSTM(INPUT, HIDDEN, num_layers=2, bidirectional=True)
    names = [cell.name for cells in model.layers for cell in cells]
    assert names == ["lstm0", "lstm0_reverse", "lstm1", "lstm1_reverse"]


@pytest.mark.parametrize("residual", [False, True])
def test_a_step_is_a_call_with_one_time_step(residual: bool) -> None:
    model = nn.Recurrent(["lstm", "gru"], 4, 4, residual=residual)
    xs, state = ts.tensor(np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)), None
    expected, _ = model(xs)
    state = model.initial_state(2)
    for t in range(3):
        y, state = model.step(xs[:, t], state)
        np.testing.assert_allclose(y.numpy(), expected.numpy()[:, t], rtol=1e-6)


def test_there_is_no_step_from_the_end() -> None:
    model = nn.LSTM(2, 3, bidirectional=True)
    with pytest.raises(DataError, match="layers that read forward"):
        model.step(ts.zeros(1, 2), model.initial_state(1))
