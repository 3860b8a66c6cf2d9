"""A step that is launched before the numbers of the one before it are known: a run's results are the same, bit for bit.

NumPy computes at once; said to be asynchronous, it goes through the same order of launches and waits as a device.
"""

from __future__ import annotations

import itertools
import json
import signal
from pathlib import Path

import numpy as np
import pytest

import tinyseq as ts
from support.smallruns import CONFIG, rows, write_config
from tinyseq import trees
from tinyseq.backends.numpy import NumpyBackend
from tinyseq.compiler import CompiledFunction
from tinyseq.errors import GraphError
from tinyseq.train import running
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop import train_loop, train_state
from tinyseq.train.loop.nonfinite import DivergedError
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.signals import StoppedError
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.storage import checkpoint_file
from tinyseq.train.tasks.forecasting import Forecasting

KEEP = "checkpoint: {every: 4, keep: 99}"
TEXT = CONFIG.replace("log_every: 3", f"log_every: 3\n  {KEEP}")
SERIES = f"""\
task: forecasting
data: {{window: null}}
model: {{cell: gru, hidden_size: 4, num_layers: 2, dropout: 0.2}}
train:
  steps: 23
  batch_size: 4
  bptt: {{every: 10}}
  evaluate_every: 6
  log_every: 2
  optimizer: {{name: adam, lr: 1e-2}}
  schedule: {{name: plateau, warmup: 3, options: {{patience: 0, threshold: 0.5}}}}
  {KEEP}
"""


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr(running, "draw_run", lambda *args, **kwargs: None)
    monkeypatch.setattr(Forecasting, "write", lambda *args: "")


def bad_batches(monkeypatch, bad, factor=np.inf):
    """Make the targets of some training batches infinite, and the inputs of others, by the batch's number from 1."""
    real = Forecasting.batches

    def batches(task):
        for number, batch in enumerate(real(task), start=1):
            changed = {what: getattr(batch, what) * factor for what in bad.get(number, ())}
            yield batch._replace(**changed)

    monkeypatch.setattr(Forecasting, "batches", batches)


class Outcome:
    """What a run left, without what depends on the clock."""

    def __init__(self, directory: Path) -> None:
        self.rows = rows(directory)
        self.files = {}
        for path in sorted(directory.rglob("*.safetensors")):
            if path.name != "weights.safetensors":
                found = checkpoint_file.read(path)
                facts = {
                    key: value
                    for key, value in found.facts.items()
                    if key not in ("seconds", "metrics_bytes", "metrics_sha256")
                }
                self.files[path.name] = facts, {name: (x.dtype, x.tobytes()) for name, x in found.tensors.items()}
        weights = directory / "weights.safetensors"
        self.weights = weights.read_bytes() if weights.is_file() else b""
        result = json.loads((directory / "result.json").read_text())
        self.result = {key: x for key, x in result.items() if "seconds" not in key and "per_second" not in key}


def run(monkeypatch, folder, text, asynchronous, *, progress=None, **how):
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(NumpyBackend, "asynchronous", asynchronous)
        # The same path in both runs: it stands in the config that checkpoints hold.
        path = write_config(folder.parent, text)
        error = None
        try:
            ts.run(path, output=folder.parent / "runs", backend="numpy", progress=progress or SilentProgress(), **how)
        except (DivergedError, KeyboardInterrupt) as found:
            error = found
    (folder.parent / "runs").rename(folder / "runs")
    return Outcome(folder / "runs" / "tiny" / "0001"), error


def same(monkeypatch, tmp_path, text, **how):
    (now, error), (ahead, ahead_error) = (
        run(monkeypatch, tmp_path / str(asynchronous), text, asynchronous, **how) for asynchronous in (False, True)
    )
    assert ahead.rows == now.rows
    assert ahead.result == now.result
    assert ahead.weights == now.weights
    assert ahead.files.keys() == now.files.keys()
    for name, (facts, tensors) in now.files.items():
        assert ahead.files[name][0] == facts, name
        assert ahead.files[name][1] == tensors, name
    return now, error, ahead_error


@pytest.mark.parametrize("text", [TEXT, SERIES], ids=["text", "series"])
def test_rows_weights_and_checkpoints_are_the_same(monkeypatch, tmp_path, text):
    now, _, _ = same(monkeypatch, tmp_path, text)
    assert len(now.files) >= 4
    assert now.weights


def test_steps_left_out_are_the_same(monkeypatch, tmp_path):
    """One by itself, two in a row, one after which somebody looks, one that spoils the state, and the last."""
    bad = {3: ["targets"], 8: ["targets"], 9: ["inputs"], 12: ["targets"], 15: ["inputs"], 23: ["targets"]}
    bad_batches(monkeypatch, bad)
    now, _, _ = same(monkeypatch, tmp_path, SERIES, on_nonfinite="skip")
    assert now.result["skipped"] == 6
    assert now.rows[-2]["skipped"] == 6


@pytest.mark.parametrize(
    "bad", [{9: ["inputs"]}, {8: ["targets"], 9: ["inputs"]}], ids=["after a good one", "after a bad one"]
)
def test_a_step_ahead_that_cannot_be_compiled_is_the_same(monkeypatch, tmp_path, bad):
    bad_batches(monkeypatch, bad)
    real = CompiledFunction.__call__

    def refusing(function, *args):
        if any(isinstance(x, ts.Tensor) and not np.isfinite(x.numpy()).all() for x in args[:1]):
            raise GraphError("not this one")
        return real(function, *args)

    monkeypatch.setattr(CompiledFunction, "__call__", refusing)
    now, _, _ = same(monkeypatch, tmp_path, SERIES, on_nonfinite="skip")
    assert now.result["skipped"] == len(bad)
    assert not now.result["compiled"]


@pytest.mark.parametrize("how", ["a bad state", "no room"])
def test_a_step_that_cannot_be_launched_ahead_is_launched_in_its_turn(monkeypatch, tmp_path, how):
    """Feeding it looks at the state that a bad step gave; or the device is full while two steps are on their way."""
    feed, loops, raised = Forecasting.feed, [], []

    def looking(task, model, batch, state):
        bad = not all(np.isfinite(x.numpy()).all() for _, x in trees.leaves(state))
        if bad if how == "a bad state" else loops[-1].launched:
            raised.append(ValueError("a bad state") if bad else MemoryError("no room"))
            raise raised[-1]
        return feed(task, model, batch, state)

    class Known(train_loop._TrainLoop):
        def __init__(self, *args):
            super().__init__(*args)
            loops.append(self)

    monkeypatch.setattr(Forecasting, "feed", looking)
    monkeypatch.setattr(train_loop, "_TrainLoop", Known)
    bad_batches(monkeypatch, {9: ["inputs"]}, np.nan)
    now, _, _ = same(monkeypatch, tmp_path, SERIES, on_nonfinite="skip")
    assert now.result["status"] == "done"
    assert len(raised) == 1, "what does not fit once is not tried again"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_error_in_a_step_ahead_is_told_in_its_turn(monkeypatch, tmp_path, asynchronous):
    real, steps = Forecasting.batches, []
    monkeypatch.setattr(Forecasting, "batches", lambda task: itertools.chain(itertools.islice(real(task), 5), [None]))
    monkeypatch.setattr(SilentProgress, "step", lambda _, step, *args: steps.append(step))
    with pytest.raises(AttributeError, match="NoneType"):
        run(monkeypatch, tmp_path / "run", SERIES.replace("log_every: 2", "log_every: 1"), asynchronous)
    assert steps == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("step", [5, 8, 9, 23])
def test_a_run_that_diverges_leaves_the_same(monkeypatch, tmp_path, step):
    bad_batches(monkeypatch, {step: ["targets"]})
    now, error, ahead_error = same(monkeypatch, tmp_path, SERIES)
    assert f"nonfinite-step-{step:08}.safetensors" in now.files
    assert f"step {step} of 23" in str(error)
    assert str(ahead_error) == str(error)


@pytest.mark.parametrize("at", [2, 4, 10])
def test_a_run_that_is_stopped_leaves_the_same(monkeypatch, tmp_path, at):
    """Stopped after a step whose follower is on its way already, and after one that is waited for."""

    class Stopping(SilentProgress):
        def step(self, step, *args):
            if step == at:
                signal.raise_signal(signal.SIGTERM)

    now, error, ahead_error = same(monkeypatch, tmp_path, SERIES, progress=Stopping())
    assert isinstance(error, StoppedError)
    assert isinstance(ahead_error, StoppedError)
    assert f"step-{at:08}.safetensors" in now.files
    assert now.result["steps"] == at


@pytest.mark.parametrize("at", ["batch 3", "moved 3", "wait 2", "wait 3", "row 2"])
def test_an_interrupt_from_elsewhere_leaves_the_step_that_was_done(monkeypatch, tmp_path, at):
    """Whether it comes while a batch is made, amid a step, while its loss is waited for, or after it.

    Of a step that was launched and not waited for nothing is left, for nobody knows yet whether it is a good one.
    """
    captured = []

    def interrupt(what):
        if what == at:
            raise KeyboardInterrupt

    def counted(what, real):
        numbers = itertools.count(1)

        def call(*args):
            found = real(*args)
            interrupt(f"{what} {next(numbers)}")
            return found

        return call

    class Interrupting(SilentProgress):
        def step(self, step, *_):
            interrupt(f"row {step}")

    real, train, fetch = Forecasting.batches, train_loop.train, NumpyBackend.fetch

    def begun(task, model, *args, **kwargs):
        numbers = itertools.count(2)  # a step fetches its loss, then its norm

        def fetched(backend, array):
            what, wait = f"wait {next(numbers) / 2:g}", fetch(backend, array)
            return lambda: (interrupt(what), wait())[1]

        with monkeypatch.context() as patch:
            patch.setattr(Forecasting, "batches", lambda task: map(counted("batch", lambda x: x), real(task)))
            patch.setattr(type(model), "constrain", counted("moved", lambda model: None))
            patch.setattr(NumpyBackend, "fetch", fetched)
            outcome = train(task, model, *args, **kwargs)
        captured.append({name: x.tobytes() for name, x in train_state.snapshot(model).items()})
        return outcome

    monkeypatch.setattr(running, "train", begun)
    for asynchronous in (False, True):
        how = {"progress": Interrupting()}
        left, error = run(monkeypatch, tmp_path / f"left-{asynchronous}", SERIES, asynchronous, **how)
        assert isinstance(error, KeyboardInterrupt)
        steps = left.result["steps"]
        assert steps == (1 if at == "wait 2" or (asynchronous and at in ("batch 3", "moved 3")) else 2)
        run(monkeypatch, tmp_path / f"whole-{asynchronous}", SERIES, False, steps=steps)
        interrupted, whole = captured[-2:]
        assert interrupted == whole, "not the weights of that step"


def test_a_step_is_waited_for_after_the_next_is_launched(monkeypatch, tmp_path):
    """But not across a look at the model: an evaluation, a checkpoint, the end."""
    done = []
    real, fetch, steps = TrainStep.__call__, NumpyBackend.fetch, itertools.count(1)

    def launch(train_step, *arguments):
        done.append(f"launch {(step := next(steps))}")
        begun = itertools.cycle(["loss", "norm"])

        def fetched(backend, array):
            what, wait = f"{next(begun)} {step}", fetch(backend, array)
            return lambda: (done.append(what), wait())[1]

        with monkeypatch.context() as patch:
            patch.setattr(NumpyBackend, "fetch", fetched)
            return real(train_step, *arguments)

    monkeypatch.setattr(TrainStep, "__call__", launch)
    text = CONFIG.replace("steps: 12", "steps: 7").replace("log_every: 3", "log_every: 1\n  checkpoint: {every: 3}")
    run(monkeypatch, tmp_path / "ahead", text, True)
    expected = []
    for step in range(1, 8):
        looked_at = step in (3, 5, 6, 7)
        expected += [] if f"launch {step}" in expected else [f"launch {step}"]
        expected += [] if looked_at else [f"launch {step + 1}"]
        expected += [f"loss {step}", f"norm {step}"]
    assert done == expected


def test_eager_steps_are_waited_for(monkeypatch):
    """What a task's own step does besides could not be taken back."""
    monkeypatch.setattr(NumpyBackend, "asynchronous", True)
    with running.prepared(parse_config({"task": "tagging", "data": {"count": 20}, "backend": "numpy"})) as (
        task,
        model,
    ):
        made = [TrainStep(task, model, task.config.train, SilentProgress(), compiled=way) for way in (True, False)]
        assert [train_step.asynchronous for train_step in made] == [True, False]
        monkeypatch.setattr(NumpyBackend, "asynchronous", False)
        assert not made[0].asynchronous
