"""The flow of gradients, against what can be worked out by hand and by NumPy."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import tinyseq as ts
from tinyseq import nn
from tinyseq.cli import main
from tinyseq.errors import DataError
from tinyseq.train.analysis import gradflow
from tinyseq.train.analysis.flow_report import factor_per_step, verdict
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.running import prepared
from tinyseq.unrolling import truncating


def linear(W: np.ndarray, batch: int = 1, steps: int = 8, truncate: int | None = None) -> tuple[ts.Tensor, ts.Tensor]:
    """h' = x + h W over constant inputs; returns the outputs and W."""
    weights = ts.tensor(W, requires_grad=True)

    def step(x, h):
        h = x + h @ weights
        return h, h

    xs = ts.tensor(np.tile(np.random.default_rng(0).standard_normal((1, steps, len(W))), (batch, 1, 1)))
    ys, _ = ts.unroll(step, xs, ts.zeros(batch, len(W), dtype=ts.float64), truncate=truncate)
    return ys, weights


def config(**model):
    return parse_config(
        {
            "task": "forecasting",
            "dtype": "float64",
            "data": {"window": 16, "warmup": 8},
            "model": {"cell": "rnn", "hidden_size": 4, **model},
            "train": {"batch_size": 4},
        }
    )


def test_gradient_norms_of_a_scalar_linear_rnn_are_powers_of_its_weight():
    w, steps = 0.7, 9
    ys, _ = linear(np.array([[w]]), steps=steps)
    (norms,) = gradflow.gradient_norms(ys[:, -1].sum()).values()
    np.testing.assert_allclose(norms, [w ** (steps - 1 - t) for t in range(steps)], rtol=1e-12)


def test_states_that_the_loss_does_not_depend_on_are_no_zeros():
    ys, _ = linear(np.array([[0.7]]), steps=5)
    (norms,) = gradflow.gradient_norms(ys[:, 2].sum() + 0.0 * ys[:, 3].sum()).values()
    assert np.isnan(norms).tolist() == [False, False, False, False, True]
    assert norms[2:4].tolist() == [1.0, 0.0]
    seen, _ = linear(np.array([[0.7]]), steps=5)
    (norms,) = gradflow.gradient_norms(ts.stop_gradient(seen[:, -1]).sum() + seen[:, 2].sum()).values()
    assert np.isnan(norms).tolist() == [False, False, False, True, True]
    dead = nn.RNNCell(1, 2, nonlinearity="relu")
    dead.b_h.assign(ts.tensor([-100.0, -100.0]))
    ys, _ = ts.unroll(dead, ts.ones(1, 3, 1))
    (norms,) = gradflow.gradient_norms(ys[:, -1].sum()).values()
    assert norms[:2].tolist() == [0.0, 0.0], "a unit that is off passes a gradient of 0 on, which is one"


@pytest.mark.parametrize("batch", [1, 4])
def test_jacobian_norms_of_a_linear_rnn_are_those_of_matrix_powers(batch):
    W = np.random.default_rng(1).standard_normal((4, 4)) * 0.6
    ys, _ = linear(W, batch=batch, steps=8)
    (norms,) = gradflow.jacobian_norms(ys.sum()).values()
    expected = [np.linalg.norm(np.linalg.matrix_power(W, 7 - t), 2) for t in range(8)]
    np.testing.assert_allclose(norms, expected, rtol=1e-10)


def test_rows_of_a_batch_are_told_by_the_largest():
    cell = nn.RNNCell(2, 3).cast(np.float64)
    xs = np.random.default_rng(3).standard_normal((3, 5, 2))

    def norms(rows):
        (found,) = gradflow.jacobian_norms(ts.unroll(cell, ts.tensor(rows))[0].sum()).values()
        return found

    np.testing.assert_allclose(norms(xs), np.max([norms(xs[i : i + 1]) for i in range(3)], axis=0))


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(DataError, match="no carried states"):
        gradflow.gradient_norms((ts.ones(2, requires_grad=True) * 2.0).sum())
    w = ts.tensor(0.5, requires_grad=True)
    ys, _ = ts.unroll(lambda x, h: (x + w * h,) * 2, ts.ones(2, 3), ts.zeros(2))
    with pytest.raises(DataError, match=r"\(batch, units\)[\s\S]*\(2,\)"):
        gradflow.jacobian_norms(ys.sum())


def test_a_layer_that_reads_from_the_end_is_followed_in_the_order_of_its_steps():
    cell = nn.RNNCell(2, 3).cast(np.float64)
    ys, _ = ts.unroll(cell, ts.cast(ts.randn(1, 6, 2), np.float64), reverse=True)
    (norms,) = gradflow.jacobian_norms(ys.sum()).values()
    assert norms[-1] == 1.0
    assert np.isfinite(norms).all()


def test_truncation_at_the_length_and_beyond_is_no_truncation():
    W, steps = np.random.default_rng(2).standard_normal((3, 3)) * 0.5, 6
    parameters: list[ts.Tensor] = []

    def loss_at(k):
        ys, weights = linear(W, steps=steps, truncate=k)
        parameters[:] = [weights]
        return (ys * ys).sum()

    class Latest(list):
        def __iter__(self):
            return iter(parameters)

    rows = gradflow.truncation_bias(loss_at, Latest(), [1, 3, steps, steps + 5])
    assert [(row.cosine, row.norm_ratio) for row in rows[2:]] == [(1.0, 1.0), (1.0, 1.0)]
    assert rows[0].cosine < rows[1].cosine < 1.0
    assert rows[0].norm_ratio != 1.0


def test_truncation_bias_of_a_scalar_by_hand():
    # h1 = x, h2 = x + w h1, h3 = x + w h2; L = h3. dL/dw = h2 + w h1; cut before the third step: h2 alone.
    w = ts.tensor(0.5, dtype=ts.float64, requires_grad=True)

    def loss_at(k):
        with truncating(k):
            ys, _ = ts.unroll(
                lambda x, h: (x + w * h,) * 2, ts.ones(1, 3, 1, dtype=ts.float64), ts.zeros(1, 1, dtype=ts.float64)
            )
        return ys[:, -1].sum()

    (row,) = gradflow.truncation_bias(loss_at, [w], [2])
    assert row.cosine == pytest.approx(1.0)
    assert row.norm_ratio == pytest.approx(1.5 / 2.0)
    assert row.steps == 2


def test_truncating_is_the_default_of_unroll_and_ends():
    cell, xs = nn.RNNCell(2, 3), ts.randn(1, 6, 2)

    def gradient(**options):
        ys, _ = ts.unroll(cell, xs, **options)
        return ts.gradients(ys.sum(), [cell.W_hh])[0].numpy()

    full, cut = gradient(), gradient(truncate=2)
    with truncating(2):
        np.testing.assert_array_equal(gradient(), cut)
        np.testing.assert_array_equal(gradient(truncate=6), full)
    np.testing.assert_array_equal(gradient(), full)
    assert not np.array_equal(full, cut)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "indrnn", "peephole_lstm", "layernorm_lstm"])
def test_any_cell_is_measured(cell):
    with prepared(config(cell=cell, num_layers=2)) as (task, model):
        flow = gradflow.measure(task, model, 6)
    assert len({label.rpartition(".")[0] for label in flow.gradients}) == 2
    assert all(len(norms) == 6 and np.isfinite(norms).all() for norms in flow.gradients.values())
    assert all(norms[-1] == pytest.approx(1.0) for norms in flow.jacobians.values())
    assert [row.steps for row in flow.bias] == [1, 2, 4, 6]
    assert (flow.bias[-1].cosine, flow.bias[-1].norm_ratio) == (1.0, 1.0)
    assert flow.total > 0.0


def test_a_reservoir_is_measured_though_it_does_not_learn():
    found = parse_config(
        {
            "task": "reservoir",
            "data": {"system": "narma10", "train": 300, "valid": 100, "test": 100},
            "model": {"hidden_size": 10, "leak": 1.0, "density": 1.0},
            "readout": {"washout": 10},
        }
    )
    with prepared(found) as (task, model):
        flow = gradflow.measure(task, model, 5)
        with pytest.raises(DataError, match="no updates to watch"):
            gradflow.updates(task, model, found.train, 2, None)
    (norms,) = flow.jacobians.values()
    assert np.isfinite(norms).all()
    assert norms[0] < 1.0


def test_clipping_is_told_from_none():
    wild = config(hidden_size=8, options={"nonlinearity": "relu", "recurrent_init": "orthogonal * 3"})
    wild = wild.model_copy(update={"train": wild.train.model_copy(update={
        "optimizer": wild.train.optimizer.model_copy(update={"name": "sgd", "lr": 1.0})})})  # fmt: skip
    runs = {}
    for clip in (None, 0.1):
        with prepared(wild) as (task, model), np.errstate(all="ignore"):
            runs[clip] = gradflow.updates(task, model, wild.train, 8, clip)
    assert runs[None].diverged
    assert len(runs[None].losses) < 8
    assert not runs[0.1].diverged
    assert runs[0.1].norms[0] == runs[None].norms[0]


def test_words_for_what_becomes_of_a_gradient():
    halves = 0.5 ** np.arange(9)[::-1]
    assert factor_per_step(halves) == pytest.approx(0.5)
    assert verdict(halves) == "halves in 1.0 steps"
    assert verdict(1.0 / halves) == "doubles in 1.0 steps"
    assert verdict(np.ones(9)) == "is kept"
    assert verdict(np.ones(1)) == "has one step only"
    assert math.isnan(factor_per_step(np.array([np.nan, np.nan, 1.0])))


def write(folder: Path, name: str, cell: str, extra: str = "") -> str:
    path = folder / name
    path.write_text(
        f"task: forecasting\ndata: {{window: 16, warmup: 15}}\nmodel: {{cell: {cell}, hidden_size: 4{extra}}}\n"
        "train: {batch_size: 4}\n"
    )
    return str(path)


def test_the_command_prints_and_draws(tmp_path):
    paths = [write(tmp_path, "one.yaml", "rnn"), write(tmp_path, "two.yaml", "lstm", ", num_layers: 2")]
    out = tmp_path / "flow.png"
    result = CliRunner().invoke(
        main, ["gradflow", *paths, "--steps", "8", "--clip", "1", "--updates", "2", "-o", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert all(word in result.output for word in ("one: rnn0.h", "two: lstm1.c", "k=8", "clipped at 1", "not clipped"))
    assert out.read_bytes().startswith(b"\x89PNG")
    gif = CliRunner().invoke(main, ["gradflow", paths[0], "-o", str(tmp_path / "flow.gif")])
    assert gif.exit_code == 1
    assert ".png, .svg or .pdf" in gif.output
    wrong = CliRunner().invoke(main, ["gradflow", paths[0], "-o", str(tmp_path / "nowhere" / "x.png")])
    assert wrong.exit_code == 2
    assert "does not exist" in wrong.output


def test_rnn_vanishes_where_lstm_does_not():
    found = {}
    for cell in ("rnn", "lstm"):
        with prepared(config(cell=cell, hidden_size=16)) as (task, model):
            found[cell] = max(norms[0] for norms in gradflow.measure(task, model, 64).jacobians.values())
    assert found["rnn"] < 0.1 * found["lstm"]


def test_gain_of_an_initialisation():
    ts.seed(0)
    plain = nn.init.draw("orthogonal", 3, 3)
    ts.seed(0)
    np.testing.assert_array_equal(nn.init.draw("orthogonal * 1.5", 3, 3), 1.5 * plain)
    with pytest.raises(DataError, match="did you mean 'orthogonal'"):
        nn.init.draw("ortogonal * 2", 2, 2)
    with pytest.raises(DataError, match="orthogonal \\* much"):
        nn.init.draw("orthogonal * much", 2, 2)
    cell = partial(nn.RNNCell, recurrent_init="identity*0.5")(2, 2)
    np.testing.assert_array_equal(cell.W_hh.numpy(), 0.5 * np.eye(2))
