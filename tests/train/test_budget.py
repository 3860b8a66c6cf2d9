"""What a model takes is counted from shapes, before a weight is made, and refused where it does not fit."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import tinyseq as ts
from support.smallruns import CONFIG, write_config
from tinyseq import nn
from tinyseq.cli import main
from tinyseq.errors import DataError
from tinyseq.machine import free_memory, in_bytes, limited
from tinyseq.random import generator
from tinyseq.train.analysis import inspection
from tinyseq.train.config import registry
from tinyseq.train.config.registry import find_task
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop import budget, patience, train_step
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
    monkeypatch.setattr(patience, "PATIENCE", 0.02)
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


CELLS = """
import numpy as np
from tinyseq import nn
class Square(nn.LSTMCell):
    def __init__(self, i, h):
        super().__init__(i, h)
        self.more = nn.parameter(np.ones((h, h)))
class Heap(nn.LSTMCell):
    def __init__(self, i, h):
        super().__init__(i, h)
        self.kept = [np.ones(1 << 25) for _ in range(50 if h > 2 else 0)]
class Always(Heap):
    def __init__(self, i, h):
        super().__init__(i, 100)
class Looks(nn.RNNCell):
    def __init__(self, i, h):
        super().__init__(i, h)
        self.scale = nn.parameter(np.ones((h, h)) * 1.0 / np.trace(next(iter(self.parameters())).numpy()[:h, :h]))
        if not np.isfinite(self.scale.numpy()).all():
            raise RuntimeError("no numbers")
class Uneven(nn.LSTMCell):
    def __init__(self, i, h):
        super().__init__(i, h)
        self.more = nn.parameter(np.ones((h, h, h)))
"""


def own(tmp_path, cell, size):
    (tmp_path / "cells.py").write_text(CELLS)
    model = {"cell": f"{tmp_path / 'cells.py'}:{cell}", "hidden_size": size, "embedding_size": 3}
    return {**CONFIGS["gru"], "model": model}


@pytest.mark.parametrize("cell", ["Square", "Looks"])
def test_a_cell_of_ones_own_is_refused_with_the_largest_that_fits(cell, tmp_path, monkeypatch):
    """However it makes its weights: 700 is what fits by what a model of 700 takes, which is built."""
    free = footprint(task_of(own(tmp_path, cell, 700))).bytes
    task = task_of(own(tmp_path, cell, 5000))
    monkeypatch.setattr(budget, "free_memory", lambda: free)
    monkeypatch.setattr(budget, "_SPARED", free)
    with pytest.raises(DataError, match="does not fit into memory") as caught:
        refuse_too_large(task)
    assert caught.value.fix == "model.hidden_size: 700 fits"
    assert caught.value.where.endswith(f"cells.py:{cell}")
    monkeypatch.undo()
    refuse_too_large(task_of(own(tmp_path, cell, 700)))


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS") or not os.path.exists("/proc/self/statm"), reason="of Linux")
def test_what_a_cell_of_ones_own_makes_is_under_a_limit(tmp_path, monkeypatch):
    """13 GB in pieces of 256 MB: the second of them is refused, and nothing is under a limit afterwards."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    task = task_of(own(tmp_path, "Heap", 6))
    monkeypatch.setattr(budget, "free_memory", lambda: 400 << 20)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="does not fit into memory") as caught:
        refuse_too_large(task)
    assert caught.value.required == "at most 400 MiB, which are free"
    assert caught.value.got.startswith("Unable to allocate 256. MiB for an array with shape (33554432,)")
    assert "hidden_size" in caught.value.fix
    monkeypatch.setattr(registry, "free_memory", lambda: 400 << 20)
    with pytest.raises(ts.TinyseqError, match=r"Unable to allocate 256\. MiB"):
        parse_config(own(tmp_path, "Always", 6))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 500_000, "kilobytes"
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_where_small_sizes_do_not_tell_what_is_asked_for_does(tmp_path, monkeypatch):
    task = task_of(own(tmp_path, "Uneven", 40))
    refuse_too_large(task)
    monkeypatch.setattr(budget, "free_memory", lambda: 500_000)
    with pytest.raises(DataError, match="does not fit into memory") as caught:
        refuse_too_large(task)
    assert f"{task.build().num_parameters():,} parameters" in caught.value.got


def test_limits_of_several_threads_leave_none(monkeypatch):
    before = resource.getrlimit(resource.RLIMIT_AS)

    def work():
        for _ in range(50):
            with limited(1 << 30):
                assert resource.getrlimit(resource.RLIMIT_AS)[0] > 1 << 30

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_least_models_are_least(task):
    """Of any data: what they take is no more than what the model of some data takes; and every task says it."""
    least = footprint(task, build=budget._least)
    assert 0 < least.bytes <= footprint(task).bytes


@pytest.mark.parametrize("name", CONFIGS)
def test_sizes_that_depend_on_no_data_are_refused_before_it_is_read(name, monkeypatch):
    checked = parse_config(CONFIGS[name])
    task = find_task(checked.task)(checked)
    monkeypatch.setattr(budget, "free_memory", lambda: 64)
    monkeypatch.setattr(type(task), "prepare", lambda self: pytest.fail("the data was read"))
    with pytest.raises(DataError, match="does not fit into memory") as caught:
        budget.prepare(task)
    assert caught.value.got.startswith("at least ")


def test_any_size_of_a_model_may_be_the_one_to_change(monkeypatch):
    task = task_of({**CONFIGS["gru"], "model": {"cell": "gru", "hidden_size": 6, "embedding_size": 10**9}})
    monkeypatch.setattr(budget, "free_memory", lambda: 100_000)
    with pytest.raises(DataError) as caught:
        refuse_too_large(task)
    assert caught.value.fix.startswith("model.embedding_size: ")


LONG = """
import sys
from tinyseq.train.loop import patience
patience.PATIENCE = 0.05
from tinyseq.cli import main
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize(
    ("words", "told", "signals"),
    [
        (["run", "tiny.yaml", "--output", "runs"], "compiling the training step since", 2),
        (["compile", "tiny.yaml"], "compiling since", 1),
        (["graph", "tiny.yaml", "--steps", "2000"], "drawing since", 1),
        (["check", "tiny.yaml"], "counting what a step costs", 1),
    ],
)
def test_what_takes_long_is_told_and_stopped_by_ctrl_c(words, told, signals, tmp_path):
    """A cell that compiles for minutes: its step has 100,000 ops."""
    (tmp_path / "cells.py").write_text(
        "from tinyseq import nn\nclass Long(nn.RNNCell):\n"
        "    def step(self, x, h):\n        y, h = super().step(x, h)\n"
        "        for _ in range(100_000):\n            h = h * 1.0001 + 0.0001 * y\n        return y, h\n"
    )
    write_config(tmp_path, CONFIG.replace("cell: lstm", "cell: cells.py:Long"))
    environment = {**os.environ, "PYTHONPATH": str(Path(ts.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", LONG, *words],
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    ) as child:  # fmt: skip
        said = []
        for line in child.stderr:
            said.append(line)
            if told in line or (signals and any("finishing this step" in one for one in said)):
                if not signals:
                    continue
                child.send_signal(signal.SIGINT)
                signals -= 1
        assert child.wait() == 130, "".join(said)
    assert any(told in line for line in said), "".join(said)
    assert signals == 0
    assert "Traceback" not in "".join(said)
    assert not list(tmp_path.rglob("weights.safetensors"))


def test_free_memory_is_less_than_the_machine_has_and_obeys_the_own_limit():
    free = free_memory()
    assert free is not None
    assert 0 < free < 1 << 50
    assert in_bytes(1536) == "1.5 KiB"
    assert in_bytes(5 << 40) == "5 TiB"
