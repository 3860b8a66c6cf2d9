"""Every cell: parameter counts, gradients, lengths, direction, truncation, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import tinyseq as ts
from support.modules import check_module_grads, draws, leaves, random_state, randomized
from tinyseq import nn
from tinyseq.errors import DataError, ShapeError

Make = Callable[[int, int], nn.Cell]

#: name -> (cell, its number of parameters) for (input, hidden).
CASES: dict[str, tuple[Make, Callable[[int, int], int]]] = {
    "rnn": (nn.RNNCell, lambda i, h: h * (i + h + 1)),
    "rnn-relu": (nn.cell_factory("rnn", nonlinearity="relu"), lambda i, h: h * (i + h + 1)),
    "lstm": (nn.LSTMCell, lambda i, h: 4 * h * (i + h + 1)),
    "peephole": (nn.PeepholeLSTMCell, lambda i, h: 4 * h * (i + h + 1) + 3 * h),
    "gru": (nn.GRUCell, lambda i, h: 3 * h * (i + h + 1)),
    "gru-old": (nn.cell_factory("gru", update="old"), lambda i, h: 3 * h * (i + h + 1)),
    "gru-after": (nn.cell_factory("gru", reset="after"), lambda i, h: 3 * h * (i + h + 1) + h),
    "indrnn": (nn.IndRNNCell, lambda i, h: h * (i + 2)),
    "indrnn-tanh": (nn.cell_factory("indrnn", nonlinearity="tanh"), lambda i, h: h * (i + 2)),
    "layernorm_rnn": (nn.LayerNormRNNCell, lambda i, h: h * (i + h + 2)),
    "layernorm_lstm": (nn.LayerNormLSTMCell, lambda i, h: 4 * h * (i + h + 1) + 8 * h + 2 * h),
    "layernorm_gru": (nn.LayerNormGRUCell, lambda i, h: 3 * h * (i + h + 1) + 6 * h + h),
    "esn": (nn.cell_factory("esn", density=1.0, leak=0.7), lambda i, h: 0),
    "stack": (
        lambda i, h: nn.Stack([nn.LSTMCell(i, h), nn.GRUCell(h, h)], residual=True),
        lambda i, h: 4 * h * (i + h + 1) + 3 * h * (h + h + 1),
    ),
}
BATCH, TIME, INPUT, HIDDEN = 3, 5, 2, 4


@pytest.fixture(params=list(CASES))
def cell(request: pytest.FixtureRequest) -> nn.Cell:
    made = CASES[request.param][0](INPUT, HIDDEN)
    return made.cast(np.float64) if request.param == "esn" else randomized(made)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("sizes", [(100, 50), (3, 7), (1, 1)])
def test_parameter_count(name: str, sizes: tuple[int, int]) -> None:
    make, count = CASES[name]
    assert make(*sizes).num_parameters() == count(*sizes)


def test_the_counts_that_the_lecture_names() -> None:
    assert nn.LSTMCell(100, 50).num_parameters() == nn.LSTM(100, 50).num_parameters() == 30_200
    assert nn.GRUCell(100, 50).num_parameters() == nn.GRU(100, 50).num_parameters() == 22_650
    assert [path for path, _ in nn.GRUCell(2, 3).named_parameters()] == ["W_r", "b_r", "W_z", "b_z", "W_h", "b_h"]
    lstm = [path for path, _ in nn.LSTMCell(2, 3).named_parameters()]
    assert lstm == ["W_f", "b_f", "W_i", "b_i", "W_c", "b_c", "W_o", "b_o"]


def test_gradients(cell: nn.Cell) -> None:
    xs, state = draws(2, 3, INPUT), random_state(cell, 2)
    flat = leaves(state)

    def run(xs: ts.Tensor, *parts: ts.Tensor) -> list[ts.Tensor]:
        rest = iter(parts)
        ys, last = ts.unroll(cell, xs, ts.trees.map_leaves(lambda _: next(rest), state))
        return [ys, *leaves(last)]

    check_module_grads(cell, run, xs, *flat, order=2)


def test_padding_changes_nothing(cell: nn.Cell) -> None:
    lengths = [5, 2, 0]
    state = random_state(cell, BATCH)
    xs = draws(BATCH, TIME, INPUT).numpy().copy()
    for reverse in (False, True):
        for padding in (0.0, 1e3):
            for row, length in enumerate(lengths):
                xs[row, length:] = padding
            ys, last = ts.unroll(cell, ts.tensor(xs), state, lengths=lengths, reverse=reverse)
            for row, length in enumerate(lengths):
                first = ts.trees.map_leaves(lambda s, row=row: s[row : row + 1], state)
                assert not ys.numpy()[row, length:].any()
                if length:
                    alone = ts.tensor(xs[row : row + 1, :length])
                    expected, final = ts.unroll(cell, alone, first, reverse=reverse)
                    np.testing.assert_allclose(ys.numpy()[row, :length], expected.numpy()[0], rtol=1e-12, atol=1e-14)
                else:
                    final = first
                for mine, theirs in zip(leaves(last), leaves(final), strict=True):
                    np.testing.assert_allclose(mine.numpy()[row], theirs.numpy()[0], rtol=1e-12, atol=1e-14)


def test_reverse_is_forward_on_the_flipped_sequence(cell: nn.Cell) -> None:
    xs, state = draws(BATCH, TIME, INPUT), random_state(cell, BATCH)
    ys, last = ts.unroll(cell, xs, state, reverse=True)
    expected, final = ts.unroll(cell, ts.flip(xs, 1), state)
    np.testing.assert_array_equal(ys.numpy(), expected.numpy()[:, ::-1])
    for mine, theirs in zip(leaves(last), leaves(final), strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_truncation_equals_detached_chunks(cell: nn.Cell) -> None:
    xs, state = draws(BATCH, TIME, INPUT), random_state(cell, BATCH)

    def gradient(run: Callable[[], ts.Tensor]) -> list[np.ndarray]:
        cell.zero_grad()
        y = run()
        if not y.requires_grad:
            return []
        (y * y).sum().backward()
        return [p.grad.numpy() for p in cell.parameters()]

    def chunks() -> ts.Tensor:
        s, ys = state, []
        for start in range(0, TIME, 2):
            y, s = ts.unroll(cell, xs[:, start : start + 2], ts.detach(s))
            ys.append(y)
        return ts.concat(ys, 1)

    def whole(k: int | None) -> list[np.ndarray]:
        return gradient(lambda: ts.unroll(cell, xs, state, truncate=k)[0])

    for mine, theirs in zip(whole(2), gradient(chunks), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-13)
    for mine, theirs in zip(whole(TIME), whole(None), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    if cell.parameters():
        assert any((a != b).any() for a, b in zip(whole(1), whole(None), strict=True))


def test_single_steps_equal_the_unrolled_sequence(cell: nn.Cell) -> None:
    xs = draws(BATCH, TIME, INPUT)
    ys, last = cell(xs)
    state = cell.initial_state(BATCH)
    for t in range(TIME):
        y, state = cell.step(xs[:, t], state)
        np.testing.assert_allclose(y.numpy(), ys.numpy()[:, t], rtol=1e-12, atol=1e-14)
        assert y.shape == (BATCH, cell.output_size)
    np.testing.assert_array_equal(cell.hidden(state).numpy(), cell.hidden(last).numpy())


def test_it_traces(cell: nn.Cell) -> None:
    graph = ts.trace(lambda xs: cell(xs)[0], draws(BATCH, TIME, INPUT))
    graph.verify()
    assert graph.outputs[0].shape == (BATCH, TIME, cell.output_size)


WRONG_STATES = {
    "none at all": "nonsense",
    "one tensor of another size": ts.zeros(BATCH, HIDDEN + 1, dtype=np.float64),
    "another batch": ts.zeros(1, HIDDEN, dtype=np.float64),
    "three parts": (ts.zeros(BATCH, HIDDEN), ts.zeros(BATCH, HIDDEN), ts.zeros(BATCH, HIDDEN)),
    "parts of another size": nn.LSTMState(ts.zeros(BATCH, HIDDEN), ts.zeros(BATCH, HIDDEN + 1)),
    "parts of another batch": nn.LSTMState(ts.zeros(BATCH, HIDDEN), ts.zeros(1, HIDDEN)),
    "a dict": {"h": ts.zeros(BATCH, HIDDEN)},
    "the other form": None,
}


@pytest.mark.parametrize("wrong", WRONG_STATES)
def test_a_state_of_another_cell_is_refused(cell: nn.Cell, wrong: str) -> None:
    state = WRONG_STATES[wrong]
    if wrong == "the other form":
        h = ts.zeros(BATCH, HIDDEN)
        state = h if isinstance(cell.initial_state(1), tuple) else nn.LSTMState(h, h)
    with pytest.raises(ShapeError) as caught:
        ts.unroll(cell, draws(BATCH, TIME, INPUT), state)
    text = str(caught.value)
    assert "state" in text
    assert "required" in text
    assert "got" in text


def test_a_wrong_feature_size_is_refused(cell: nn.Cell) -> None:
    cell.name = "encoder"
    with pytest.raises(ShapeError) as caught:
        cell(draws(BATCH, TIME, INPUT + 1))
    text = str(caught.value)
    assert f"x (batch, {INPUT})" in text
    assert f"x ({BATCH}, {INPUT + 1})" in text
    assert "encoder" in caught.value.where
    with pytest.raises(ShapeError, match="Embedding turns integers into features"):
        cell(ts.tensor(np.ones((BATCH, TIME, INPUT + 1), dtype=np.int64)))


# -- what single cells promise -----------------------------------------------------------------------------------------


def test_gru_variants_differ_as_their_words_say() -> None:
    x, h = draws(1, INPUT), draws(1, HIDDEN, seed=3)
    new = randomized(nn.GRUCell(INPUT, HIDDEN))
    old = randomized(nn.GRUCell(INPUT, HIDDEN, update="old"))
    state = new.state_dict()
    candidate = "b_h"
    # z near 1: "new" forgets h, "old" keeps it.
    for cell, keeps in ((new, False), (old, True)):
        cell.load_state_dict({**state, "b_z": np.full(HIDDEN, 50.0)})
        assert np.allclose(cell.step(x, h)[0].numpy(), h.numpy()) is keeps
    # r near 0: both candidates see x only; "after" also loses its recurrent bias.
    after = randomized(nn.GRUCell(INPUT, HIDDEN, reset="after"))
    values = after.state_dict()
    shut = {"b_r": np.full(HIDDEN, -50.0), "b_z": np.full(HIDDEN, 50.0)}
    after.load_state_dict({**values, **shut})
    expected = np.tanh(x.numpy() @ values["W_xh"].numpy() + values[candidate].numpy())
    np.testing.assert_allclose(after.step(x, h)[0].numpy(), expected, rtol=1e-9)
    new.load_state_dict({**state, **shut})
    expected = np.tanh(x.numpy() @ state["W_h"].numpy()[HIDDEN:] + state["b_h"].numpy())
    np.testing.assert_allclose(new.step(x, h)[0].numpy(), expected, rtol=1e-9)


def test_peepholes_look_where_they_should() -> None:
    """Gates wide open or shut but for one peephole each: f and i see c_{t-1}, o sees c_t."""
    cell = nn.PeepholeLSTMCell(1, 1).cast(np.float64)
    zero = {path: np.zeros(value.shape) for path, value in cell.state_dict().items()}
    x, h = ts.zeros(1, 1, dtype=np.float64), ts.zeros(1, 1, dtype=np.float64)
    c = ts.full((1, 1), 2.0, dtype=np.float64)
    sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731
    cell.load_state_dict({**zero, "p_f": np.ones(1)})
    assert cell.step(x, nn.LSTMState(h, c))[1].c.item() == pytest.approx(sigmoid(2.0) * 2.0)
    cell.load_state_dict({**zero, "p_i": np.ones(1), "b_c": np.full(1, 50.0)})
    assert cell.step(x, nn.LSTMState(h, c))[1].c.item() == pytest.approx(0.5 * 2.0 + sigmoid(2.0))
    cell.load_state_dict({**zero, "p_o": np.ones(1)})
    assert cell.step(x, nn.LSTMState(h, c))[0].item() == pytest.approx(sigmoid(1.0) * np.tanh(1.0))


def test_indrnn_units_are_independent_and_bounded() -> None:
    cell = randomized(nn.IndRNNCell(INPUT, HIDDEN, steps=10, nonlinearity="tanh"))
    assert cell.bound == pytest.approx(2 ** (1 / 10))
    h = random_state(cell, 1)
    moved = ts.tensor(h.numpy() + np.eye(HIDDEN)[1])
    x = draws(1, INPUT)
    changed = (cell.step(x, h)[0].numpy() != cell.step(x, moved)[0].numpy())[0]
    assert changed.tolist() == [False, True, False, False]
    cell.u.assign(ts.tensor([3.0, -3.0, 0.5, 1.0], dtype=np.float64))
    model = nn.Module()
    model.layers = [nn.Linear(1, 1), {"deep": cell}]
    model.constrain()
    np.testing.assert_allclose(cell.u.numpy(), [2**0.1, -(2**0.1), 0.5, 1.0])
    assert cell.u.requires_grad


def test_indrnn_starts_within_its_range() -> None:
    u = nn.IndRNNCell(1, 1000, steps=2, remember=0.9).u.numpy()
    assert u.min() >= 0.9
    assert u.max() <= 2**0.5
    assert u.max() > 1.35
    assert nn.IndRNNCell(1, 5).bound == 1.0
    for options in ({"steps": 0}, {"steps": 3, "bound": 1.0}, {"bound": 0.0}, {"remember": 1.5}):
        with pytest.raises(DataError, match="IndRNNCell"):
            nn.IndRNNCell(1, 5, **options)


def test_layer_norm_lstm_by_the_paper_s_equations() -> None:
    cell = randomized(nn.LayerNormLSTMCell(INPUT, HIDDEN))
    v = {path: value.numpy() for path, value in cell.state_dict().items()}
    x, (h, c) = draws(BATCH, INPUT), random_state(cell, BATCH)

    def norm(a: np.ndarray) -> np.ndarray:
        return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)

    def sigmoid(a: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-a))

    a = norm(h.numpy() @ v["W_h"]) * v["norm_h.gain"] + norm(x.numpy() @ v["W_x"]) * v["norm_x.gain"] + v["b"]
    f, i, o, g = np.split(a, 4, axis=-1)
    c_new = sigmoid(f) * c.numpy() + sigmoid(i) * np.tanh(g)
    h_new = sigmoid(o) * np.tanh(norm(c_new) * v["norm_c.gain"] + v["norm_c.bias"])
    y, state = cell.step(x, nn.LSTMState(h, c))
    np.testing.assert_allclose(state.c.numpy(), c_new, rtol=1e-11)
    np.testing.assert_allclose(y.numpy(), h_new, rtol=1e-11)


def test_layer_norm_gru_by_the_paper_s_equations() -> None:
    cell = randomized(nn.LayerNormGRUCell(INPUT, HIDDEN))
    v = {path: value.numpy() for path, value in cell.state_dict().items()}
    x, h = draws(BATCH, INPUT).numpy(), random_state(cell, BATCH).numpy()

    def norm(a: np.ndarray, path: str) -> np.ndarray:
        normal = (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)
        return normal * v[f"{path}.gain"] + v.get(f"{path}.bias", 0.0)

    def sigmoid(a: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-a))

    z, r = np.split(sigmoid(norm(h @ v["W_h"], "norm_h") + norm(x @ v["W_x"], "norm_x") + v["b"]), 2, axis=-1)
    candidate = np.tanh(norm(x @ v["W"], "norm_xh") + r * norm(h @ v["U"], "norm_hh") + v["b_h"])
    y, _ = cell.step(ts.tensor(x), ts.tensor(h))
    np.testing.assert_allclose(y.numpy(), (1 - z) * h + z * candidate, rtol=1e-11)


# -- the registry, and cells of one's own ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.cell_factory("ltsm"), ["'ltsm'", "did you mean 'lstm'"]),
        (lambda: nn.cell_factory("zzz"), ["one of: ", " gru, indrnn, "]),
        (lambda: nn.cell_factory("lstm", forgetbias=0.0), ["LSTMCell", "did you mean 'forget_bias'", "recurrent_init"]),
        (lambda: nn.LSTM(2, 3, num_layer=2), ["num_layer"]),
        (lambda: nn.GRUCell(2, 3, update="newer"), ["update", "did you mean 'new'"]),
        (lambda: nn.GRUCell(2, 3, reset="both"), ["reset", "one of: after, before"]),
        (lambda: nn.RNNCell(2, 3, nonlinearity="thanh"), ["did you mean 'tanh'"]),
    ],
)
def test_unknown_cells_and_options(call: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_cell_of_ones_own_needs_only_its_equations() -> None:
    class Leaky(nn.Cell):
        def __init__(self, input_size: int, hidden_size: int, rate: float = 0.5) -> None:
            self.hidden_size, self.rate = hidden_size, rate
            self.W = nn.parameter(np.ones((input_size, hidden_size)))

        def step(self, x: ts.Tensor, s: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
            s = (1.0 - self.rate) * s + self.rate * (x @ self.W)
            return s, s

    model = nn.Recurrent(Leaky, 2, 3, num_layers=2, bidirectional=True, residual=True, rate=0.25)
    ys, last = model(draws(2, 4, 2).cast(np.float32), lengths=[4, 2])
    assert ys.shape == (2, 4, 6)
    assert len(last) == 2
    assert model.layers[1][0].W.shape == (6, 3)


def test_a_cell_with_a_state_in_a_dict() -> None:
    class Count(nn.Cell):
        def initial_state(self, batch: int) -> dict[str, ts.Tensor]:
            return {"h": ts.zeros(batch, 2), "n": ts.zeros(batch, 1)}

        def step(self, x: ts.Tensor, s: dict[str, ts.Tensor]) -> tuple[ts.Tensor, dict[str, ts.Tensor]]:
            return s["h"], {"h": s["h"] + x, "n": s["n"] + 1.0}

    cell = Count()
    _, last = cell(ts.ones(3, 4, 2), lengths=[4, 1, 0])
    assert last["n"].numpy()[:, 0].tolist() == [4, 1, 0]
    assert cell.hidden(last) is last["h"]


def test_a_cell_that_leaves_things_out_says_which() -> None:
    class Bare(nn.Cell):
        pass

    with pytest.raises(DataError, match="hidden_size"):
        Bare()(ts.ones(1, 2, 3))
    with pytest.raises(NotImplementedError, match="Bare has no step"):
        Bare().step(None, None)
    with pytest.raises(DataError, match="which part of the state is h"):
        Bare().hidden((ts.zeros(1), ts.zeros(1)))
