"""Echo state networks: the published equations re-written in NumPy, ridge regression, running free."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import tinyseq as ts
from support.modules import draws
from tinyseq import nn, optim
from tinyseq.errors import DataError, ShapeError
from tinyseq.nn import init, reservoir
from tinyseq.nn.reservoir import RidgeRegression

BATCH, TIME, INPUT, UNITS, OUTPUT = 2, 60, 2, 30, 3


def make(**options: object) -> nn.EchoStateNetwork:
    settings = {"spectral_radius": 0.9, "leak": 0.3, "density": 0.3} | options
    return nn.EchoStateNetwork(INPUT, UNITS, OUTPUT, **settings).cast(np.float64)


def published(cell: nn.ESNCell, us: np.ndarray, x: np.ndarray) -> np.ndarray:
    """x' = (1 - a) x + a tanh(W_in [1; u] + W x), column vectors, one row of the batch at a time."""
    W_in = np.concatenate([cell.b_in.numpy()[:, None], cell.W_in.numpy().T], axis=1)
    W = cell.W.numpy().T
    states = []
    for row, start in zip(us, x, strict=True):
        state, one = [], start
        for u in row:
            one = (1 - cell.leak) * one + cell.leak * np.tanh(W_in @ np.concatenate([[1.0], u]) + W @ one)
            state.append(one)
        states.append(state)
    return np.array(states)


def test_the_update_is_the_published_one() -> None:
    esn = make()
    us, start = draws(BATCH, TIME, INPUT), draws(BATCH, UNITS, seed=1)
    xs, last = ts.unroll(esn.cell, us, start)
    expected = published(esn.cell, us.numpy(), start.numpy())
    np.testing.assert_allclose(xs.numpy(), expected, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(last.numpy(), expected[:, -1], rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("radius", [0.5, 1.25])
def test_the_reservoir_is_sparse_and_scaled(radius: float) -> None:
    cell = nn.ESNCell(3, 100, spectral_radius=radius, density=0.1, input_scaling=0.4, bias_scaling=0.2)
    W = cell.W.numpy()
    assert abs(np.linalg.eigvals(W)).max() == pytest.approx(radius, rel=1e-4)
    assert (W != 0).mean() == pytest.approx(0.1, abs=0.01)
    assert 0.38 < abs(cell.W_in.numpy()).max() <= 0.4
    assert 0.18 < abs(cell.b_in.numpy()).max() <= 0.2
    assert cell.num_parameters() == 0
    assert set(cell.state_dict()) == {"W", "W_in", "b_in"}


def test_by_default_a_unit_hears_ten_others_whatever_the_size() -> None:
    for size in (5, 100):
        heard = (nn.ESNCell(1, size).W.numpy() != 0).sum(0).mean()
        assert heard == pytest.approx(min(size, 10), abs=1.0)


def test_echoes_fade() -> None:
    esn = make(spectral_radius=0.7)
    us = draws(1, 300, INPUT)
    ends = [ts.unroll(esn.cell, us, draws(1, UNITS, seed=s))[1].numpy() for s in (1, 2)]
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-8)


@pytest.mark.parametrize("direct", [False, True])
def test_fit_is_ridge_regression_after_the_washout(direct: bool) -> None:
    esn = make(direct=direct)
    us, targets = draws(BATCH, TIME, INPUT), draws(BATCH, TIME, OUTPUT, seed=1)
    lengths, washout, ridge = [60, 41], 10, 1e-3
    esn.fit(us, targets, ridge=ridge, washout=washout, lengths=lengths, chunk=7)
    states = published(esn.cell, us.numpy(), np.zeros((BATCH, UNITS)))
    rows = [
        np.concatenate([[1.0], us.numpy()[b, t] if direct else [], states[b, t]])
        for b in range(BATCH)
        for t in range(washout, lengths[b])
    ]
    X = np.array(rows)
    Y = np.array([targets.numpy()[b, t] for b in range(BATCH) for t in range(washout, lengths[b])])
    W = np.linalg.solve(X.T @ X + ridge * np.eye(X.shape[1]), X.T @ Y)
    np.testing.assert_allclose(esn.readout.b.numpy(), W[0], rtol=1e-7)
    np.testing.assert_allclose(esn.readout.W.numpy(), W[1:], rtol=1e-7, atol=1e-9)


def test_predictions_go_on_where_the_sequence_stopped() -> None:
    esn = make()
    us, targets = draws(1, TIME, INPUT), draws(1, TIME, OUTPUT, seed=1)
    state = esn.fit(us[:, :40], targets[:, :40], washout=5, chunk=16)
    whole, end = esn(us)
    np.testing.assert_allclose(esn(us[:, :40])[1].numpy(), state.numpy(), rtol=1e-12)
    online = []
    for t in range(40, TIME):
        y, state = esn(us[:, t : t + 1], state)
        online.append(y.numpy()[:, 0])
    np.testing.assert_allclose(np.stack(online, 1), whole.numpy()[:, 40:], rtol=1e-11)
    np.testing.assert_allclose(state.numpy(), end.numpy(), rtol=1e-11)


def test_it_learns_a_sine_and_runs_free() -> None:
    t = np.arange(700)
    wave = ts.tensor(np.sin(t / 5.0)[None, :, None])
    esn = nn.EchoStateNetwork(1, 50, 1, spectral_radius=0.95, density=0.2, bias_scaling=0.2).cast(np.float64)
    state = esn.fit(wave[:, :500], wave[:, 1:501], ridge=1e-8, washout=50)
    ys, _ = esn.generate(wave[:, 500], state, 100)
    assert ys.shape == (1, 100, 1)
    np.testing.assert_allclose(ys.numpy(), wave.numpy()[:, 501:601], atol=0.02)


def test_the_readout_learns_by_gradient_too_and_the_reservoir_stays() -> None:
    esn = make()
    before = esn.cell.W.numpy().copy()
    us = draws(BATCH, TIME, INPUT)
    targets = ts.tensor(np.tanh(us.numpy()[..., :1] * np.array([0.5, 1.0, -1.0])))
    assert [path for path, _ in esn.named_parameters()] == ["readout.W", "readout.b"]
    opt = optim.Adam(esn.parameters(), 0.01)
    losses = []
    for _ in range(60):
        opt.zero_grad()
        loss = nn.squared_error(esn(us)[0], targets, reduction="mean")
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    np.testing.assert_array_equal(esn.cell.W.numpy(), before)


def test_ridge_regression_in_parts_is_ridge_regression_at_once() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(50, 4)), rng.normal(size=(50, 2))
    parts, whole = RidgeRegression(), RidgeRegression()
    whole.add(X, Y)
    for rows in np.split(np.arange(50), [3, 3, 20]):
        parts.add(X[rows], Y[rows])
    for mine, theirs in zip(parts.solve(0.1), whole.solve(0.1), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    # Without a penalty, and with a feature twice: the least of the solutions.
    doubled = RidgeRegression()
    doubled.add(np.concatenate([X, X[:, :1]], 1), Y)
    W, b = doubled.solve(0.0)
    exact = np.linalg.lstsq(np.concatenate([np.ones((50, 1)), X], 1), Y, rcond=None)[0]
    np.testing.assert_allclose(W[0] + W[4], exact[1], rtol=1e-8)
    np.testing.assert_allclose(b, exact[0], rtol=1e-8)


def test_a_free_bias_is_not_penalised() -> None:
    """As scikit-learn's Ridge and reservoirpy have it: by centring, so a large β leaves the mean."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(50, 4)) + 3.0, np.full((50, 1), 10.0)
    regression = RidgeRegression()
    regression.add(X, Y)
    W, b = regression.solve(1e6, bias="free")
    np.testing.assert_allclose(X @ W + b, Y, rtol=1e-12)
    W, b = regression.solve(1e6)
    assert abs(X @ W + b).max() < 0.1
    Y = rng.normal(size=(50, 2))
    regression = RidgeRegression()
    regression.add(X, Y)
    W, b = regression.solve(0.5, bias="free")
    ones = np.concatenate([np.ones((50, 1)), X], 1)
    full = np.linalg.solve(ones.T @ ones + np.diag([0.0, 0.5, 0.5, 0.5, 0.5]), ones.T @ Y)
    np.testing.assert_allclose(np.concatenate([b[None], W]), full, rtol=1e-10)
    with pytest.raises(DataError, match="penalised or free"):
        regression.solve(0.5, bias="none")  # type: ignore[arg-type]


def test_many_features_are_solved_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(900, 600)), rng.normal(size=(900, 3))
    regression = RidgeRegression()
    regression.add(X, Y)
    monkeypatch.setattr(np.linalg, "eigh", None)  # not needed
    W, b = regression.solve(0.1)
    ones = np.concatenate([np.ones((900, 1)), X], 1)
    full = np.linalg.solve(ones.T @ ones + 0.1 * np.eye(601), ones.T @ Y)
    np.testing.assert_allclose(np.concatenate([b[None], W]), full, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_readout_of_what_hardly_varies_is_solved_by_eigenvectors(seed: int) -> None:
    """Where a Cholesky factor exists by rounding alone, its solution has noise along what does not vary."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(200, 3)) @ rng.normal(size=(3, 40))  # 3 directions of 40
    Y = X[:, :1] * 2.0
    regression = RidgeRegression()
    regression.add(X, Y)
    W, b = regression.solve(10.0**-11.5)
    np.testing.assert_allclose(X @ W + b, Y, atol=1e-12)
    least = np.linalg.lstsq(np.concatenate([np.ones((200, 1)), X], 1), Y, rcond=None)[0]
    np.testing.assert_allclose(np.linalg.norm(W), np.linalg.norm(least), rtol=0.02)


@pytest.mark.parametrize("lengths", [None, [1300, 1111]])
@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_a_long_series_is_fitted_compiled_as_eagerly(
    backend: str, lengths: list[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    found = []
    with ts.backend(backend):
        for many in (1000, 10**9):
            monkeypatch.setattr(reservoir, "_MANY_STEPS", many)
            ts.seed(0)
            esn = make()
            us, targets = draws(2, 1300, INPUT), draws(2, 1300, OUTPUT, seed=1)
            state = esn.fit(us, targets, ridge=1e-3, washout=10, lengths=lengths, chunk=500)
            found.append([state.numpy(), esn.readout.W.numpy(), esn.readout.b.numpy()])
    for fast, slow in zip(*found, strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-8, atol=1e-11)


def test_the_radius_of_a_large_sparse_reservoir_is_that_of_all_eigenvalues() -> None:
    pytest.importorskip("scipy")
    for seed in range(8):
        ts.seed(seed)
        W = init.reservoir(400, spectral_radius=0.9, density=0.025)
        assert abs(np.linalg.eigvals(W)).max() == pytest.approx(0.9, rel=1e-9)


def test_without_scipy_the_radius_is_the_same_and_large_ones_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def drawn() -> np.ndarray:
        ts.seed(0)
        return init.reservoir(310, spectral_radius=0.9, density=0.03)

    fast = drawn()
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    np.testing.assert_allclose(drawn(), fast, rtol=1e-9)
    assert not caplog.records
    monkeypatch.setattr(init, "_SLOW", 300)
    drawn()
    (record,) = caplog.records
    assert "310 units" in record.getMessage()
    assert "tinyseq[reservoir]" in record.getMessage()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: nn.ESNCell(2, 5, density=0.0), ["density"]),
        (lambda: nn.ESNCell(2, 5, leak=0.0), ["0 < leak <= 1"]),
        (lambda: nn.ESNCell(2, 3, density=1e-9), ["eigenvalues are 0", "density"]),
        (lambda: make().fit(draws(1, 50, INPUT), draws(1, 49, OUTPUT)), ["(1, 49, 3)"]),
        (lambda: make().fit(draws(1, 50, INPUT), draws(1, 50, OUTPUT), washout=50), ["washout", "0 to 49"]),
        (lambda: make().fit(draws(1, 50, INPUT), draws(1, 50, OUTPUT), washout=9, lengths=[9]), ["0 rows"]),
        (
            lambda: make().fit(draws(1, 50, INPUT), draws(1, 50, OUTPUT) * float("nan"), washout=0),
            ["not finite"],
        ),
        (lambda: make().generate(draws(1, INPUT), draws(1, UNITS), 3), ["input_size == output_size"]),
        (lambda: make()(draws(1, 5, INPUT + 1)), ["ESNCell", "(batch, 2)"]),
    ],
)
def test_refused_with_words(call, words: list[str]) -> None:
    with pytest.raises((ShapeError, DataError)) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == []
