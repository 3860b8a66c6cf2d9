"""What a model takes is counted from shapes, before a weight is made, and refused where it does not fit."""

from __future__ import annotations

import itertools
import resource
import time

import numpy as np
import pytest
from click.testing import CliRunner

import tinyseq as ts
from support.smallruns import CONFIG, write_config
from tinyseq import nn
from tinyseq.cli import main
from tinyseq.errors import DataError
from tinyseq.machine import free_memory, in_bytes
from tinyseq.random import generator
from tinyseq.train.analysis import inspection
from tinyseq.train.config.registry import find_task
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop import budget, train_step
from tinyseq.train.loop.budget import Footprint, footprint, refuse_too_large
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.trained import load

SOURCE = {"source": "temporal_order", "options": {"count": 60, "shortest": 10, "longest": 12}}
CONFIGS = {
    **{
        cell: {"task": "classification", "data": SOURCE, "model": {"cell": cell, "hidden_size": 6, "embedding_size": 3}}
        for cell in sorted(nn.CELLS)
    },
    "stacked, both ways": {
        "task": "classification",
        "data": SOURCE,
        "model": {"cell": "gru", "hidden_size": 4, "num_layers": 3, "bidirectional": True, "pooling": "attention"},
    },
    "language model": {"task": "language_model", "model": {"hidden_size": 8, "embedding_size": 4}},
    "transformer": {
        "task": "seq2seq",
        "data": {"generator": "reversal", "count": 60},
        "model": {"architecture": "transformer", "hidden_size": 8, "heads": 2},
    },
    "translation": {"task": "seq2seq", "data": {"generator": "reversal", "count": 60}, "model": {"hidden_size": 8}},
    "tagging": {"task": "tagging", "model": {"hidden_size": 4, "embedding_size": 3}},
    "forecasting": {"task": "forecasting", "model": {"hidden_size": 4}},
    "reservoir": {"task": "reservoir", "model": {"hidden_size": 20}},
}


def task_of(config):
    checked = parse_config(config)
    task = find_task(checked.task)(checked)
    task.prepare()
    return task


@pytest.fixture(scope="module", params=CONFIGS)
def task(request):
    try:
        return task_of(CONFIGS[request.param])
    except ts.TinyseqError as error:
        pytest.fail(f"the test's own config: {error}")


def test_shapes_alone_are_those_of_the_model_and_take_nothing(task):
    ts.seed(3)
    before = generator.state()
    with nn.init.shapes_only():
        shapes = task.build()
    assert generator.state()["calls"] == before["calls"], "nothing is drawn"
    ts.seed(3)
    model = task.build()
    found, real = shapes.state_dict(), model.state_dict()
    assert found.keys() == real.keys()
    for name, value in found.items():
        assert (value.shape, value.dtype) == (real[name].shape, real[name].dtype)
        assert value.value.strides == (0,) * value.value.ndim, f"{name} takes memory"
    assert [name for name, _ in shapes.named_parameters()] == [name for name, _ in model.named_parameters()]
    assert model.num_parameters() == 0 or any(value.numpy().any() for value in model.parameters()), "drawn after it"


def test_a_footprint_is_that_of_the_model(task):
    model = task.build().cast(task.config.dtype)
    state = task.config.train.optimizer.make(model.parameters()).state
    weights = sum(value.value.nbytes for value in model.parameters())
    fixed = sum(value.size * np.dtype(task.config.dtype).itemsize for value in model.buffers())
    kept = sum(value.value.nbytes for slots in state for value in slots.values())
    expected = weights + fixed if task.one_pass else 2 * weights + kept + fixed
    assert footprint(task) == Footprint(model.num_parameters(), expected)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam"])
def test_the_averages_of_each_optimizer_are_counted(optimizer):
    test_a_footprint_is_that_of_the_model(
        task_of({**CONFIGS["gru"], "train": {"optimizer": {"name": optimizer}}, "dtype": "float64"})
    )


MANY = {**CONFIGS["gru"], "model": {"cell": "gru", "hidden_size": 4, "num_layers": 12}, "train": {"batch_size": 4}}


def test_many_layers_are_counted_as_if_all_were_built():
    assert footprint(task_of(MANY)).parameters == task_of(MANY).build().num_parameters()
    found, whole = inspection.inspect(parse_config(MANY)), inspection._inspected(parse_config(MANY), whole=False)
    assert (found.parameters, found.flops, found.tokens) == (whole.parameters, whole.flops, whole.tokens)
    for part in ("parameters", "gradients", "optimizer"):
        assert found.memory[part] == whole.memory[part]
    assert found.memory["plan"] == pytest.approx(whole.memory["plan"], rel=0.05), "slots are shared a little otherwise"
    assert found.gradient.right


@pytest.mark.parametrize("key", ["hidden_size", "num_layers"])
def test_what_does_not_fit_is_refused_with_the_largest_that_does(key, monkeypatch):
    size = 5000 if key == "hidden_size" else 100_000
    task = task_of({**CONFIGS["gru"], "model": {"cell": "gru", "hidden_size": 64, key: size}})
    fitting = {**CONFIGS["gru"], "model": {"cell": "gru", "hidden_size": 700 if key == "hidden_size" else 64}}
    free = footprint(task_of(fitting)).bytes
    monkeypatch.setattr(budget, "free_memory", lambda: free if key == "hidden_size" else 10 * free)
    with pytest.raises(DataError, match="does not fit into memory") as caught:
        refuse_too_large(task)
    assert f"at most {in_bytes(budget.free_memory())}" in caught.value.required
    if key == "hidden_size":
        assert caught.value.fix == "model.hidden_size: 700 fits"
    else:
        assert caught.value.fix.startswith("model.hidden_size: ") or "num_layers" in caught.value.fix


def invoke(*words):
    found = CliRunner().invoke(main, [str(word) for word in words])
    assert "bug in tinyseq" not in found.stderr
    return found


@pytest.mark.parametrize("size", [10**7, 9_999_999_999_999, 10**30])
def test_absurd_sizes_are_answered_before_memory_is_taken(tmp_path, size):
    config = write_config(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for words in (("check", config), ("run", config, "--output", tmp_path / "runs")):
        found = invoke(*words, "--set", f"model.hidden_size={size}")
        assert found.exit_code == 1
        assert "does not fit into memory" in found.stderr
        assert "model.hidden_size: " in found.stderr
    assert not (tmp_path / "runs").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000, "kilobytes"


def test_a_run_directory_of_an_absurd_size_is_refused(tmp_path):
    directory = ts.run(write_config(tmp_path), steps=1, output=tmp_path, progress=SilentProgress()).directory
    text = (directory / "config.resolved.yaml").read_text()
    assert "hidden_size: 12\n" in text
    (directory / "config.resolved.yaml").write_text(text.replace("hidden_size: 12\n", "hidden_size: 9999999999999\n"))
    with pytest.raises(DataError, match="does not fit into memory"):
        load(directory)


def test_the_cost_of_thousands_of_layers_is_told(tmp_path):
    """Not timed: built and compiled, they would take memory and minutes that a test does not have."""
    found = invoke("check", write_config(tmp_path), "--set", "model.num_layers=3000")
    assert found.exit_code == 0, found.stderr
    # By hand: an LSTM layer of 12 units has 4 ((12 + 12) 12 + 12) = 1200 parameters, the first, which reads 6, 912.
    assert "recurrent 3,599,712" in found.stdout


@pytest.mark.parametrize("steps", ["100000000", "0", "9" * 5000, "5:100000000", "99999999:", "10001"])
def test_a_graph_of_too_many_steps_is_refused(tmp_path, steps):
    found = invoke("graph", write_config(tmp_path), "--steps", steps)
    assert found.exit_code == 2
    assert "10,000" in found.stderr or "ends before" in found.stderr


def test_a_long_compilation_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(train_step, "PATIENCE", 0.02)
    real, notes = train_step.compile, []

    def slow(function):
        fast = real(function)
        calls = itertools.count()

        def call(*arguments):
            if next(calls) == 0:
                time.sleep(0.3)
            return fast(*arguments)

        return call

    class Noting(SilentProgress):
        def note(self, message):
            notes.append(message)

    monkeypatch.setattr(train_step, "compile", slow)
    ts.run(write_config(tmp_path, CONFIG), steps=3, output=tmp_path, progress=Noting())
    told = [note for note in notes if note.startswith("compiling the training step since")]
    assert 2 <= len(told) <= 6, "ever more rarely, and of the first step alone"


def test_free_memory_is_less_than_the_machine_has_and_obeys_the_own_limit():
    free = free_memory()
    assert free is not None
    assert 0 < free < 1 << 50
    assert in_bytes(1536) == "1.5 KiB"
    assert in_bytes(5 << 40) == "5 TiB"
