"""Numbers that go wrong: the op, scope, time step, batch row and line where it began, and what replays it."""

from __future__ import annotations

import json
import math
import threading
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import tinyseq as ts
from support import strict
from support.changing import changed
from support.side_by_side import side_by_side, wait
from support.smallruns import CONFIG, DIVERGING, rows, write_config
from tinyseq import backends, nn
from tinyseq.backends.numpy import NumpyBackend
from tinyseq.cli import main
from tinyseq.hooks import watched
from tinyseq.ops import OPS
from tinyseq.random import generator
from tinyseq.train.analysis.replay import replay
from tinyseq.train.loop.nonfinite import DivergedError, locate
from tinyseq.train.loop.progress import PlainProgress, SilentProgress
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.running import prepared
from tinyseq.train.storage import checkpoint_file

backends.register("strict", strict.__name__)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def log_of_zero(step):
    """Return a cell that takes log(0) in one row at one time step, once the weights have moved."""
    return f"""
import numpy as np
import tinyseq as ts
from tinyseq import nn

class Fragile(nn.RNNCell):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.bad = nn.buffer(np.array([[1.0], [1.0], [0.0], [1.0]]))
        self.count = 0
    def step(self, x, h):
        y, h = super().step(x, h)
        if ts.graph.here.place.step == {step}:
            y = y + ts.log(self.bad)
        return y, h
"""


def fragile(folder, cell, **changes):
    (folder / "fragile.py").write_text(cell)
    text = CONFIG.replace("cell: lstm", "cell: fragile.py:Fragile").replace("log_every: 3", "log_every: 1")
    for old, new in changes.values():
        text = text.replace(old, new)
    return write_config(folder, text, name="fragile.yaml")


def run(path, folder, **how):
    return ts.run(path, output=folder / "runs", progress=SilentProgress(), **how)


@contextmanager
def losses(factor):
    """Multiply the loss of a training step by what a function gives for the number of steps so far, itself included."""
    real, calls = nn.cross_entropy, []

    def changed_loss(*args, **kwargs):
        loss = real(*args, **kwargs)
        if kwargs.get("reduction") != "mean":  # an evaluation
            return loss
        calls.append(1)
        return loss * factor(len(calls))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn, "cross_entropy", changed_loss)
        yield


def bundle(folder, name):
    (found,) = (folder / "runs" / name / "0001").glob("nonfinite-step-*.safetensors")
    return found


def test_op_scope_step_row_and_line_are_named(folder):
    path = fragile(folder, log_of_zero(5))
    with pytest.raises(DivergedError) as caught:
        run(path, folder, eager=True)
    where = caught.value.where
    line = next(i for i, text in enumerate(log_of_zero(5).splitlines(), 1) if "ts.log" in text)
    assert "step 1 of 12" in where
    assert "first from op log, which gives -inf" in where
    assert "scope recurrent/fragile0" in where
    assert "time step 5, batch row 2" in where
    assert f"fragile.py:{line}" in where
    cures = [row.strip() for row in caught.value.fix.splitlines()]
    assert [row[:2] for row in cures] == [f"{i}." for i in range(1, len(cures) + 1)]
    assert "train.optimizer.lr (now 0.01)" in cures[0]
    assert json.loads((folder / "runs/fragile/0001/result.json").read_text())["status"] == "diverged"


GROWING = """
import tinyseq as ts
from tinyseq import nn

class Fragile(nn.RNNCell):
    def step(self, x, h):
        h = h * 1e12 + super().step(x, h)[1]
        return h, h
"""


@pytest.mark.parametrize("eager", [True, False], ids=["eager", "compiled"])
def test_an_overflow_in_time_is_found_compiled_too(folder, eager):
    """h grows by 1e12 a step, from at most 1."""
    path = fragile(folder, GROWING)
    with pytest.raises(DivergedError) as caught:
        run(path, folder, eager=eager)
    assert "first from op mul" in caught.value.where
    assert "scope recurrent/fragile0, time step 4, batch row " in caught.value.where  # 1e36 at step 3, from 0.1 or more
    assert "fragile.py:7" in caught.value.where


def test_replaying_needs_neither_the_run_nor_its_data(folder, tmp_path_factory):
    path = fragile(folder, log_of_zero(5))
    with pytest.raises(DivergedError) as caught:
        run(path, folder, eager=True)
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "bundle.safetensors"
    bundle(folder, "fragile").rename(elsewhere)
    (folder / "text.txt").unlink()
    again = replay(elsewhere)
    assert again is not None
    assert again.where == caught.value.where
    result = CliRunner().invoke(main, ["replay", str(elsewhere)])
    assert result.exit_code == 3
    assert "batch row 2" in result.stderr
    (folder / "fragile.py").write_text(log_of_zero(5).replace("ts.log(self.bad)", "ts.log(self.bad + 1.0)"))
    assert replay(elsewhere) is None, "mended"
    result = CliRunner().invoke(main, ["replay", str(elsewhere)])
    assert (result.exit_code, result.stdout) == (0, "all values of the step are finite when its ops run one by one\n")


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """A bundle."""
    folder = tmp_path_factory.mktemp("wild")
    with pytest.raises(DivergedError):
        run(write_config(folder, DIVERGING, name="wild.yaml"), folder)
    return checkpoint_file.read(bundle(folder, "wild"))


@settings(max_examples=100)
@given(data=st.data())
def test_any_change_of_a_bundle_is_replayed_or_refused_in_words(wild, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    checkpoint_file.write(path, checkpoint_file.Checkpoint(data.draw(changed(wild.facts)), wild.tensors))
    with suppress(ts.TinyseqError):
        replay(path)


def test_a_step_late_in_a_run_replays_with_its_own_dropout_and_state(folder):
    """The weights at the step, its batch, its carried state and its random numbers are all in the bundle."""
    path = write_config(folder, DIVERGING, name="wild.yaml")
    with pytest.raises(DivergedError) as caught:
        run(path, folder)
    assert "step 1 of" not in caught.value.where
    again = replay(bundle(folder, "wild"))
    assert str(again) == str(caught.value)


def test_command_exits_3_and_names_the_bundle_and_no_warning_leaks(folder):
    write_config(folder, DIVERGING, name="wild.yaml")
    for eager in ([], ["--eager"]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = CliRunner().invoke(main, ["run", "wild.yaml", *eager])
        assert result.exit_code == 3
        assert "Warning" not in result.stderr
        assert "tinyseq replay runs/wild/000" in result.stderr
        assert "first from op" in result.stderr


def test_a_run_that_diverged_keeps_what_was_good(folder):
    path = write_config(folder, CONFIG.replace("log_every: 3", "checkpoint: {every: 1}"))
    with losses(lambda number: math.inf if number > 6 else 1.0), pytest.raises(DivergedError, match="step 7 of 12"):
        run(path, folder, eager=True)
    directory = folder / "runs" / "tiny" / "0001"
    assert checkpoint_file.read(directory / "checkpoints" / "step-00000006.safetensors").step == 6
    assert run(path, folder, eager=True).directory.name == "0002", "the reference"
    with pytest.raises(ts.TinyseqError, match="compile"):
        run(path, folder, resume=directory)  # compiled is another run
    run(path, folder, resume=directory, eager=True)  # the loss is as it was: the run goes on from before the bad step
    assert rows(directory) == rows(directory.with_name("0002"))


# Leaving steps out.


def skipping(folder, bad):
    """Run with the loss of some steps infinite; return the rows, and the losses that were asked for."""
    path = write_config(folder, CONFIG.replace("log_every: 3", "log_every: 1\n  on_nonfinite: skip"))
    with losses(lambda number: math.inf if number in bad else 1.0):
        return run(path, folder, eager=True)


def test_skipped_steps_leave_everything_as_it_was(folder, capsys):
    result = skipping(folder, {3, 4})
    assert result.result["skipped"] == 2
    err = capsys.readouterr().err
    assert "step 3 left out: the loss is inf" in err
    assert result.result["tokens"] == 10 * 4 * 8
    found = {row["step"]: row for row in rows(result.directory) if row["split"] == "train"}
    assert "loss" not in found[3]
    assert found[4]["skipped"] == 2
    assert math.isfinite(found[5]["loss"])
    assert all(math.isfinite(row["loss"]) for row in found.values() if "loss" in row)


RUNNING = """
import numpy as np
import tinyseq as ts
from tinyseq import nn

class Fragile(nn.RNNCell):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.mean = nn.buffer(np.zeros(sizes[1]))
    def step(self, x, h):
        y, h = super().step(x, h)
        if self.training:
            self.mean.assign(0.9 * self.mean + 0.1 * y.detach().mean(0))
        return y, h
"""


def test_what_a_cell_assigns_amid_a_step_is_taken_back_too(folder, capsys):
    """Running statistics: a loop that is traced knows no assignment, so the run is eager, and says so."""
    path = fragile(folder, RUNNING)
    with prepared(ts.load_config(path)) as (task, model):
        train_step = TrainStep(task, model, task.config.train, PlainProgress(), compiled=True)
        batches, (mean,) = task.batches(), model.buffers()
        train_step(next(batches), None)
        before = mean.numpy()
        taken = train_step(next(batches), None)
        assert not np.array_equal(mean.numpy(), before)
        train_step.rewind(taken)
        np.testing.assert_array_equal(mean.numpy(), before)
    assert "assign to a tensor within a time step of a traced loop" in capsys.readouterr().err


def test_too_many_in_a_row_stop_the_run(folder):
    path = write_config(
        folder, CONFIG.replace("steps: 12", "steps: 40").replace("evaluate_every: 5", "evaluate_every: 99")
    )
    with losses(lambda number: math.nan), pytest.raises(DivergedError, match="step 11 of 40"):
        run(path, folder, eager=True, on_nonfinite="skip")


def test_rewinding_restores_weights_optimiser_and_random_numbers(folder):
    config = ts.load_config(write_config(folder))
    with prepared(config) as (task, model):
        train_step = TrainStep(task, model, config.train, SilentProgress(), compiled=True)
        batches = task.batches()
        train_step(next(batches), None)

        def now():
            kept = train_step.optimizer.state_dict()
            values = [x.numpy().copy() for x in model.parameters()]
            values += [x.numpy().copy() for state in kept["state"] for x in state.values()]
            return values, kept["steps"], kept["param_groups"], generator.state()

        before = now()
        second = next(batches)
        once = train_step(second, None)
        assert any(not np.array_equal(a, b) for a, b in zip(before[0], now()[0], strict=True))
        train_step.rewind(once)
        after = now()
        assert all(np.array_equal(a, b) for a, b in zip(before[0], after[0], strict=True))
        assert before[1:] == after[1:]
        assert train_step(second, None).loss == once.loss


@pytest.mark.parametrize("at", ["moving", "fetching"])
def test_a_step_that_fails_leaves_nothing_to_the_next(folder, at):
    """Neither weights that were moved nor gradients that would be added to."""

    def fail(*args):
        raise MemoryError

    config = ts.load_config(write_config(folder))
    ends = []
    for failing in (False, True):
        with prepared(config) as (task, model):
            train_step, batch = (
                TrainStep(task, model, config.train, SilentProgress(), compiled=False),
                next(task.batches()),
            )
            if failing:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(
                        *((train_step.optimizer, "step") if at == "moving" else (NumpyBackend, "fetch")), fail
                    )
                    with pytest.raises(MemoryError):
                        train_step(batch, None)
            train_step(batch, None)
            ends.append([x.numpy().tobytes() for x in model.parameters()])
    assert ends[0] == ends[1]


# Finding where it began.


class One(nn.Module):
    def __init__(self, values=(1.0, 2.0)):
        self.w = nn.parameter(np.array(values))


def origin(loss, model=None, arguments=()):
    found = locate(model or One(), loss, arguments)
    assert not any("kernel" in vars(op) for op in OPS.values()), "kernels are as they were"
    return found


@pytest.fixture(params=["numpy", "strict"])
def anywhere(request):
    """Also where arrays are not NumPy's, and do not become so by themselves."""
    with ts.backend(request.param):
        yield


def test_masks_of_minus_infinity_are_no_fault(anywhere):
    model = One()
    mask = ts.tensor(np.array([0.0, -np.inf], np.float32))

    def loss():
        weights = ts.softmax(model.w + mask, -1)
        return (weights * ts.exp(model.w * 100.0)).sum()  # exp(200) overflows

    found = origin(loss, model)
    assert found.what == "first from op exp, which gives inf"

    def meant():
        scores = ts.where(ts.tensor([True, False]), model.w, -math.inf)
        return ts.log(scores - scores).sum()  # inf - inf

    assert origin(meant, model).what.startswith("first from op sub, which gives nan")


def test_the_element_of_a_sum_is_its_largest_term(anywhere):
    xs = np.zeros((2, 3, 4), np.float32)
    xs[1, 2, 0] = 3e38
    batch = ts.tensor(xs)
    assert "time step 2, batch row 1" in origin(lambda: (batch * One().w[0] + 3e38).sum(), arguments=(batch,)).place


def test_gradients_that_go_wrong_alone(anywhere):
    model = One((0.0, 4.0))
    found = origin(lambda: ts.sqrt(model.w).sum(), model)  # finite, its derivative at 0 is not
    assert found.what.startswith("first from the gradient of the op in this place, by")
    assert "test_nonfinite.py" in found.place


def test_weights_and_batches_that_hold_it_already(anywhere):
    assert "the weight w was not finite before the step, at [1]" in origin(None, One((1.0, math.nan))).what
    batch = ts.tensor(np.array([[1.0, 2.0], [np.inf, 0.0]], np.float32))
    found = origin(None, One(), (None, {"x": batch}))
    assert found.what == "the batch holds it: argument 1.x, at [1, 0]"
    assert found.held_by == "batch"


def test_a_step_that_fails_when_run_again_is_told():
    def loss():
        raise ValueError("looked at a value")

    assert origin(loss).what == "run again op by op, the step fails: ValueError: looked at a value"


def test_nothing_is_found_where_all_is_well():
    model = One()
    assert origin(lambda: (model.w * model.w).sum(), model) is None


def test_watching_sees_each_kernel_and_ends():
    seen = []
    with watched(lambda op, inputs, outputs: seen.append((op.name, len(inputs), len(outputs)))):
        ts.tensor([1.0, 2.0]) * 3.0
    ts.tensor([1.0]) + 1.0
    assert seen == [("mul", 2, 1)]


def test_each_thread_sees_its_own_kernels_whoever_ends_first():
    first_on, second_on, first_off = threading.Event(), threading.Event(), threading.Event()
    seen = {"first": [], "second": [], "nobody": []}

    def first():
        with watched(lambda op, inputs, outputs: seen["first"].append(op.name)):
            first_on.set()
            wait(second_on)
            ts.tensor([1.0]) * 3.0
        first_off.set()

    def second():
        wait(first_on)
        with watched(lambda op, inputs, outputs: seen["second"].append(op.name)):
            second_on.set()
            wait(first_off)
            ts.tensor([1.0]) - 1.0

    def nobody():
        wait(second_on)
        ts.exp(ts.tensor([1.0]))

    side_by_side(first, second, nobody)
    ts.tensor([1.0]) + 1.0
    assert seen == {"first": ["mul"], "second": ["sub"], "nobody": []}
    assert not any("kernel" in vars(op) for op in OPS.values()), "kernels are as they were"


def test_the_report_names_lines_of_the_package_too(folder):
    with pytest.raises(DivergedError) as caught:
        run(write_config(folder, DIVERGING), folder)
    place = caught.value.where.rsplit("at ", 1)[1]
    file, _, line = place.rpartition(":")
    assert Path(file).is_file()
    assert Path(file).read_text().splitlines()[int(line) - 1].strip()
