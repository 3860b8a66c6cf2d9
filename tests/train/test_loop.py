"""The loop by itself, on a task that has nothing to do with text."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tinyseq import nn
from tinyseq.creation import tensor
from tinyseq.train.config.run_config import RunConfig, TrainConfig
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.train_loop import train
from tinyseq.train.tasks.learning import Feed, Learning, StepResult
from tinyseq.train.tasks.measure import Measure


class Slope(nn.Module):
    """y = w x."""

    def __init__(self):
        self.w = nn.parameter(np.array([3.0]))


class Regression(Learning[RunConfig]):
    """The one role that the loop needs: squared error to a slope of 0; notes what the loop does."""

    Config = RunConfig
    measure = Measure("score", "a score", lower_is_better=False)

    def __init__(self, scores=(1.0, 3.0, 2.0), losses=()):
        self.states, self.trackings, self.modes = [], [], []
        self.scores, self.losses = iter(scores), dict(losses)

    def prepare(self): ...

    def build(self):
        return Slope()

    def batches(self):
        return itertools.count(1)

    def step(self, model, batch, state):
        self.states.append(None if state is None else state["s"].item())
        self.trackings.append(state is not None and state["s"].requires_grad)
        loss = (model.w * model.w).sum() * self.losses.get(batch, 1.0)
        return StepResult(loss, batch, {"s": model.w[0] * 0.0 + float(batch)})

    def evaluate(self, model, split):
        self.modes.append(model.training)
        return {"score": next(self.scores), "w": float(model.w.item())}

    def metrics(self, loss):
        return {"loss": loss, "score": -loss}

    def example(self, model, steps):
        return (model.w * model.w).sum()


def loop(task, **settings):
    model, found = task.build(), []
    config = TrainConfig(
        **{"steps": 6, "evaluate_every": 2, "log_every": 2, "clip_norm": None, **settings},
        optimizer={"name": "sgd", "lr": 0.1},
    )
    return train(task, model, config, SilentProgress(), found.append), found, model


def test_state_is_carried_on_without_its_history():
    task = Regression()
    loop(task)
    assert task.states == [None, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert not any(task.trackings)


def test_best_weights_by_the_measure_of_the_task():
    task = Regression()
    outcome, rows, _ = loop(task)
    valid = [row for row in rows if row["split"] == "valid"]
    assert (outcome.best_step, outcome.best["score"]) == (4, 3.0)  # higher is better here
    assert outcome.weights["w"].item() == valid[1]["w"] != valid[2]["w"]
    assert not any(task.modes), "judged in evaluation mode"
    assert outcome.tokens == 1 + 2 + 3 + 4 + 5 + 6


def test_rows_weigh_losses_by_tokens():
    _, rows, _ = loop(Regression(), steps=2)
    w0, w1 = 3.0, 3.0 * 0.8
    assert rows[0]["loss"] == pytest.approx((w0**2 * 1 + w1**2 * 2) / 3, rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_first_loss_that_is_not_finite_ends_the_loop_before_the_weights_move(bad):
    outcome, _, model = loop(Regression(losses={3: bad}))
    assert outcome.status == "diverged"
    assert outcome.steps == 2
    assert "the loss is not a finite number" in str(outcome.error)
    assert "step 3 of 6" in outcome.error.where
    assert math.isfinite(model.w.item())


def test_gradient_that_overflows_is_divergence_too():
    outcome, _, _ = loop(Regression(losses={1: 1e38 / 9.0}), clip_norm=1.0)  # a finite loss, its gradient's square not
    assert "the gradient norm is not a finite number" in str(outcome.error)


def test_dropout_is_off_only_while_judging():
    seen = []

    class Watching(Regression):
        def step(self, model, batch, state):
            seen.append(model.training)
            return super().step(model, batch, state)

    loop(Watching())
    assert all(seen)


def test_stops_early_when_nothing_better_comes():
    task = Regression(scores=(3.0, 2.0, 1.0, 9.0))
    outcome, rows, _ = loop(task, steps=8, patience=2)
    assert outcome.stopped_early
    assert outcome.status == "done"
    assert (outcome.steps, outcome.best_step) == (6, 2)
    assert [row["step"] for row in rows if row["split"] == "valid"] == [2, 4, 6]
    outcome, _, _ = loop(Regression(), steps=6, patience=2)
    assert not outcome.stopped_early


def test_clipping_by_value_comes_before_clipping_by_norm():
    _, rows, model = loop(Regression(), steps=1, clip_value=0.5)
    assert model.w.item() == pytest.approx(3.0 - 0.1 * 0.5)
    assert "grad_norm" not in rows[0]
    _, rows, model = loop(Regression(), steps=1, clip_value=0.5, clip_norm=0.25, log_every=1)
    assert rows[0]["grad_norm"] == pytest.approx(0.5)
    assert model.w.item() == pytest.approx(3.0 - 0.1 * 0.25)


def test_constrain_is_called_after_each_step():
    class Bounded(Slope):
        def constrain(self):
            self.w.assign(self.w.detach() * 0.0 + 2.0)

    class Task_(Regression):
        def build(self):
            return Bounded()

    _, rows, model = loop(Task_(), steps=3, log_every=1, evaluate_every=9)
    assert [row["loss"] for row in rows if row["split"] == "train"] == [9.0, 4.0, 4.0]
    assert model.w.item() == 2.0


def test_a_plateau_lowers_the_rate_in_the_sense_of_the_measure():
    schedule = {"name": "plateau", "options": {"patience": 0, "gamma": 0.5}}
    _, rows, _ = loop(Regression(scores=(3.0, 2.0, 9.0, 9.0)), steps=8, schedule=schedule, log_every=1)
    rates = [row["lr"] for row in rows if row["split"] == "train"]
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05])


def test_a_task_that_trains_in_one_pass():
    class OnePass(Regression):
        one_pass = True

        def fit(self, model):
            model.w.assign(model.w.detach() * 0.0)
            return 42

    outcome, rows, model = loop(OnePass())
    assert (outcome.steps, outcome.tokens, outcome.best_step, model.w.item()) == (1, 42, 1, 0.0)
    assert [row["split"] for row in rows] == ["valid"]


class Compilable(Regression):
    """The same by `feed` and `loss`, which the compiler may have."""

    compilable = True

    def feed(self, model, batch, state):
        return Feed((tensor([float(batch)], dtype=np.float64), state), batch)

    def loss(self, model, *arguments):
        x, state = arguments
        loss = (model.w * model.w).sum() * x.sum() * 0.01
        return loss, {"s": x[0] if state is None else state["s"] + x[0]}

    def step(self, model, batch, state):
        return Learning.step(self, model, batch, state)


def test_compiled_and_eager_steps_agree():
    ends = []
    for compiled in (True, False):
        task = Compilable()
        model = task.build()
        config = TrainConfig(steps=6, evaluate_every=6, optimizer={"name": "sgd", "lr": 0.1})
        rows = []
        outcome = train(task, model, config, SilentProgress(), rows.append, compiled=compiled)
        assert outcome.compiled is compiled
        ends.append((model.w.item(), rows[0]["loss"]))
    assert ends[0] == pytest.approx(ends[1], rel=1e-6)


def test_a_loss_that_cannot_be_traced_runs_eagerly_and_says_so(capsys):
    class Peeking(Compilable):
        def loss(self, model, *arguments):
            loss, state = super().loss(model, *arguments)
            assert loss.item() > 0.0
            return loss, state

    task = Peeking()
    config = TrainConfig(steps=2, evaluate_every=2, optimizer={"name": "sgd", "lr": 0.1})
    outcome = train(task, task.build(), config, SilentProgress(), lambda row: None, compiled=True)
    assert (outcome.status, outcome.compiled) == ("done", False)
    assert "not compiled, runs eagerly" in capsys.readouterr().err
