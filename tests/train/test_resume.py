"""Going on with a run: bit for bit as if it had never stopped, or refused in words."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import tinyseq as ts
from support.changing import changed
from support.smallruns import CONFIG, TEXT, rows, weights, write_config
from tinyseq import optim
from tinyseq.errors import ConfigError, DataError
from tinyseq.train import running
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.train_state import TrainState
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.running import prepared
from tinyseq.train.storage import checkpoint_file
from tinyseq.train.storage.locking import locked

SHORT = TEXT[: len(TEXT) // 3]
EVERY_STEP = {"every": 1, "keep": 100}
STATEFUL = {
    "task": "language_model",
    "seed": 3,
    "data": {"split": [0.8, 0.1, 0.1]},
    "model": {"cell": "lstm", "hidden_size": 6, "embedding_size": 4, "dropout": 0.2, "num_layers": 2},
    "train": {
        "steps": 8,
        "batch_size": 4,
        # 4 rows of 167 steps: the sixth window begins the text anew, with the initial state.
        "bptt": {"every": 32, "back": 40},
        "optimizer": {"name": "adam", "lr": 0.01},
        "schedule": {"name": "cosine", "warmup": 2},
        "evaluate_every": 4,
        "log_every": 4,
        "checkpoint": EVERY_STEP,
    },
    "sample": {"count": 0},
}
OTHERS = {
    "plateau, averaged squares, a cell with bounds, float64": {
        **STATEFUL,
        "dtype": "float64",
        "model": {"cell": "indrnn", "hidden_size": 6, "embedding_size": 4},
        "train": {
            **STATEFUL["train"],
            "bptt": {"every": 8},
            "evaluate_every": 2,
            "patience": 9,
            "optimizer": {"name": "rmsprop", "lr": 0.05, "options": {"momentum": 0.5, "centered": True}},
            "schedule": {"name": "plateau", "options": {"patience": 0, "gamma": 0.5, "threshold": 0.5}},
        },
    },
    "classification, shuffled": {
        "task": "classification",
        "data": {"source": "temporal_order", "options": {"count": 80, "shortest": 10, "longest": 14}},
        "model": {"cell": "gru", "hidden_size": 4, "embedding_size": 3, "dropout": 0.1},
        "train": {"steps": 5, "batch_size": 16, "evaluate_every": 2, "log_every": 3, "checkpoint": EVERY_STEP},
    },
    "a series that is read on, sgd": {
        "task": "forecasting",
        "data": {"window": None},
        "model": {"cell": "gru", "hidden_size": 4},
        "train": {
            "steps": 5, "batch_size": 4, "bptt": {"every": 10}, "evaluate_every": 2, "log_every": 2,
            "optimizer": {"name": "nesterov", "lr": 0.01}, "checkpoint": EVERY_STEP,
        },
    },
    "scheduled sampling": {
        "task": "seq2seq",
        "data": {"generator": "reversal", "count": 60, "level": "word"},
        "decode": {"max_length": 8},
        "model": {"cell": "gru", "hidden_size": 6, "embedding_size": 4},
        "teacher_forcing": {"schedule": "linear", "final": 0.2},
        "train": {"steps": 5, "batch_size": 16, "evaluate_every": 2, "log_every": 2, "checkpoint": EVERY_STEP},
    },
    "tagging": {
        "task": "tagging",
        "data": {"count": 80},
        "model": {"cell": "gru", "hidden_size": 4},
        "train": {"steps": 5, "batch_size": 16, "evaluate_every": 2, "log_every": 2, "checkpoint": EVERY_STEP},
    },
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """They take most of the time of so small a run."""
    monkeypatch.setattr(running, "draw_run", lambda *args, **kwargs: None)


def train(config, folder, **how):
    if config["task"] == "language_model" and "path" not in config["data"]:
        (folder / "text.txt").write_text(SHORT)
        config = {**config, "data": {**config["data"], "path": str(folder / "text.txt")}}
    return ts.run(config, output=folder / "runs", progress=SilentProgress(), **how)


def stopped_at(step, whole, folder):
    """Return a copy of a run as it was when its checkpoint of a step was the last, with more rows than that."""
    directory = folder / "runs" / whole.parent.name / "0001"
    shutil.copytree(whole, directory)
    for path in (directory / "checkpoints").iterdir():
        if path.name > f"step-{step:08}.safetensors":
            path.unlink()
    for name in ("weights.safetensors", "result.json", "metadata.json"):
        (directory / name).unlink()
    return directory


def same_after_resuming(config, tmp_path, steps, **how):
    first = tmp_path / "whole"
    first.mkdir()
    whole = train(config, first, **how).directory
    result = json.loads((whole / "result.json").read_text())
    for step in steps:
        folder = tmp_path / f"from-{step}"
        folder.mkdir()
        directory = stopped_at(step, whole, folder)
        corpus = first / "text.txt"
        config = {**config, "data": {**config["data"], "path": str(corpus)}} if corpus.is_file() else config
        again = train(config, folder, resume=True, **how)
        assert again.directory == directory, "in the same directory"
        assert rows(directory) == rows(whole), f"from step {step}"
        assert weights(directory) == weights(whole), f"from step {step}"
        found = json.loads((directory / "result.json").read_text())
        for key in ("test", "valid", "best_step", "steps", "tokens", "status"):
            assert found[key] == result[key]
        assert json.loads((directory / "env.json").read_text())["resumed"][0]["after"] == step


@pytest.mark.parametrize("eager", [True, False], ids=["eager", "compiled"])
def test_from_every_step_of_stateful_truncated_training(tmp_path, eager):
    same_after_resuming(STATEFUL, tmp_path, range(1, 9), eager=eager)


@pytest.mark.parametrize("config", OTHERS.values(), ids=OTHERS)
def test_from_any_step_of_other_runs(tmp_path, config):
    steps = config["train"]["steps"]
    same_after_resuming(config, tmp_path, (1, steps // 2, steps - 1))


def test_what_is_carried_matters(tmp_path, monkeypatch):
    """Each part of a checkpoint, left out, changes the numbers that follow: no part is there for show."""
    first = tmp_path / "whole"
    first.mkdir()
    whole = train(STATEFUL, first, eager=True).directory
    config = {**STATEFUL, "data": {**STATEFUL["data"], "path": str(first / "text.txt")}}

    def spoiled(name, change):
        folder = tmp_path / name
        folder.mkdir()
        directory = stopped_at(3, whole, folder)
        path = directory / "checkpoints" / "step-00000003.safetensors"
        found = checkpoint_file.read(path)
        tensors = dict(found.tensors)
        change(found.facts, tensors)
        checkpoint_file.write(path, checkpoint_file.Checkpoint(found.facts, tensors))
        train(config, folder, eager=True, resume=True)
        return rows(directory) == rows(whole) and weights(directory) == weights(whole)

    def zero(prefix):
        def change(facts, tensors):
            hit = [name for name in tensors if name.startswith(prefix)]
            assert hit, prefix
            tensors.update({name: np.zeros_like(tensors[name]) for name in hit})

        return change

    assert spoiled("nothing", lambda facts, tensors: None)
    assert not spoiled("weights", zero("model."))
    assert not spoiled("averages", zero("optimizer."))
    assert not spoiled("state", zero("state."))
    assert not spoiled("random", lambda facts, _: facts["random"].update(calls=0))
    assert not spoiled("optimizer", lambda facts, _: facts["optimizer"].update(steps=0))
    assert not spoiled("schedule", lambda facts, _: facts["schedule"].update(count=0))
    assert not spoiled("sums", lambda facts, _: facts.update(total=0.0))


@pytest.mark.parametrize("eager", [True, False], ids=["eager", "compiled"])
def test_a_checkpoint_of_before_there_were_groups_goes_on(tmp_path, eager):
    """It has one learning rate and one count of steps, which hold for every parameter."""
    first, folder = tmp_path / "whole", tmp_path / "again"
    first.mkdir()
    folder.mkdir()
    whole = train(STATEFUL, first, eager=eager).directory
    directory = stopped_at(3, whole, folder)
    path = directory / "checkpoints" / "step-00000003.safetensors"
    found = checkpoint_file.read(path)
    (group,) = found.facts["optimizer"]["param_groups"]
    assert set(found.facts["optimizer"]["steps"]) == {3}
    found.facts["optimizer"] = {"lr": group["lr"], "steps": 3}
    (found.facts["schedule"]["first"],) = found.facts["schedule"]["first"]
    checkpoint_file.write(path, found)
    config = {**STATEFUL, "data": {**STATEFUL["data"], "path": str(first / "text.txt")}}
    train(config, folder, eager=eager, resume=True)
    assert rows(directory) == rows(whole)
    assert weights(directory) == weights(whole)


def test_weights_that_were_best_before_the_stop_stay_the_best(tmp_path):
    """The best comes early and the run gets worse: what is kept must come from the checkpoint."""
    config = {
        **STATEFUL,
        "train": {**STATEFUL["train"], "optimizer": {"name": "sgd", "lr": 300.0}, "evaluate_every": 1},
    }
    config["train"]["schedule"] = {"name": "constant"}
    first = tmp_path / "whole"
    first.mkdir()
    whole = train(config, first).directory
    best = json.loads((whole / "result.json").read_text())["best_step"]
    assert best < 7, "or the test shows nothing"
    folder = tmp_path / "again"
    folder.mkdir()
    directory = stopped_at(7, whole, folder)
    config = {**config, "data": {**config["data"], "path": str(first / "text.txt")}}
    train(config, folder, resume=True)
    assert weights(directory) == weights(whole)


# Where a run goes on.


@pytest.fixture
def finished(tmp_path):
    result = train(STATEFUL, tmp_path, eager=True)
    config = {**STATEFUL, "data": {**STATEFUL["data"], "path": str(tmp_path / "text.txt")}}
    return config, tmp_path, result.directory


def test_a_finished_run_stays_as_it_is(finished):
    config, folder, directory = finished
    before = weights(directory), rows(directory), (directory / "result.json").read_text()
    again = train(config, folder, eager=True, resume=True)
    assert again.directory == directory
    assert (weights(directory), rows(directory)) == before[:2]
    assert again.metrics == json.loads(before[2])["test"]


def test_without_resume_a_run_is_new(finished):
    config, folder, directory = finished
    content = {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}
    assert train(config, folder, eager=True).directory.name == "0002"
    assert {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()} == content


def test_where_there_is_no_run_it_begins(tmp_path, capsys):
    result = train(STATEFUL, tmp_path, resume=True, steps=2)
    assert result.directory.name == "0001"
    assert "no run to go on with" in capsys.readouterr().err


def test_another_config_is_refused_and_each_differing_key_is_named(finished):
    config, folder, directory = finished
    other = {
        **config,
        "seed": 4,
        "model": {**config["model"], "hidden_size": 7},
        "train": {**config["train"], "optimizer": {"name": "sgd", "lr": 0.01}, "batch_size": 2},
    }
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError) as caught:
        train(other, folder, eager=True, resume=True)
    message = str(caught.value)
    assert "model.hidden_size: 6 in the run, 7 in the config" in message
    assert "train.optimizer.name: 'adam' in the run, 'sgd' in the config" in message
    assert "seed: 3 in the run, 4 in the config" in message
    assert "train.batch_size: 4 in the run, 2 in the config" in message
    assert message.count(" in the run, ") == 4
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before
    with pytest.raises(ConfigError, match="compile: False in the run, True in the config"):
        train(config, folder, resume=True)


def test_a_run_may_go_further_and_save_otherwise(finished):
    config, folder, directory = finished
    longer = {**config, "train": {**config["train"], "steps": 12, "checkpoint": {"every": 4, "keep": 1}}}
    train(longer, folder, eager=True, resume=True)
    assert rows(directory)[-1]["step"] == 12
    assert ts.load_config(directory / "config.resolved.yaml").train.steps == 12
    with pytest.raises(ConfigError, match="at least 12"):
        train(config, folder, eager=True, resume=True)


def test_a_run_may_go_on_on_another_backend(tmp_path):
    config = {**STATEFUL, "dtype": "float64", "backend": "numpy"}
    whole = train(config, tmp_path).directory
    other = tmp_path / "other"
    other.mkdir()
    directory = stopped_at(3, whole, other)
    data = {**config["data"], "path": str(tmp_path / "text.txt")}
    train({**config, "data": data, "backend": "llvm"}, other, resume=True)
    for got, wanted in zip(rows(directory), rows(whole), strict=True):
        assert got.pop("split") == wanted.pop("split")
        assert got == pytest.approx(wanted, rel=1e-9)
    facts = json.loads((directory / "env.json").read_text())
    assert facts["resumed"][0]["after"] == 3


def test_changed_data_is_detected(finished):
    config, folder, directory = finished
    (folder / "text.txt").write_text(SHORT[:-2] + "?\n")
    with pytest.raises(DataError, match="the data has changed since the run was stopped"):
        train(config, folder, eager=True, resume=True)
    older = directory / "checkpoints" / "step-00000003.safetensors"
    with pytest.raises(DataError, match="the data has changed since the run was stopped"):
        train(config, folder, eager=True, resume=older)
    assert len(list((directory / "checkpoints").glob("step-*.safetensors"))) == 8, "refused, nothing is set aside"


def test_changed_examples_are_detected(tmp_path):
    table = "label\ttext\n" + "a\tsun moon star\nb\triver sea stone\n" * 20
    (tmp_path / "t.tsv").write_text(table)
    config = {
        "task": "classification",
        "data": {"path": str(tmp_path / "t.tsv")},
        "model": {"hidden_size": 4, "embedding_size": 4},
        "train": {"steps": 2, "batch_size": 8, "evaluate_every": 3},
    }
    train(config, tmp_path)
    (tmp_path / "t.tsv").write_text(table.replace("moon star\n", "star moon\n", 1))
    with pytest.raises(DataError, match="the data has changed"):
        train(config, tmp_path, resume=True)


def test_damaged_checkpoint_offers_the_one_before_it(finished):
    config, folder, directory = finished
    reference = weights(directory), rows(directory)
    path = directory / "checkpoints" / "step-00000008.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"damaged[\s\S]*step 7, is whole: --resume-from") as caught:
        train(config, folder, eager=True, resume=True)
    offered = caught.value.fix.split("--resume-from ")[1]
    train(config, folder, eager=True, resume=offered)
    assert (weights(directory), rows(directory)) == reference
    assert path.with_suffix(".set-aside").read_bytes() == bytes(content), "nothing is thrown away"
    path.write_bytes(bytes(content)[:100])
    with pytest.raises(DataError, match="damaged"):
        train(config, folder, eager=True, resume=True)


def test_a_newer_format_is_refused(finished):
    config, folder, directory = finished
    save_file(
        {}, directory / "checkpoints" / "step-00000010.safetensors", {"format": checkpoint_file.FORMAT, "version": "9"}
    )
    with pytest.raises(DataError, match="of a newer format"):
        train(config, folder, eager=True, resume=True)


def test_a_directory_may_be_named(finished):
    config, folder, directory = finished
    train(config, folder, eager=True, steps=3)
    assert train(config, folder, eager=True, resume=directory).directory == directory
    with pytest.raises(DataError, match="not a run directory"):
        train(config, folder, eager=True, resume=folder)


def test_a_checkpoint_that_lacks_a_part_is_refused(finished):
    config, folder, directory = finished
    path = directory / "checkpoints" / "step-00000008.safetensors"
    found = checkpoint_file.read(path)

    def without(change):
        facts, tensors = dict(found.facts), dict(found.tensors)
        change(facts, tensors)
        checkpoint_file.write(path, checkpoint_file.Checkpoint(facts, tensors))
        with pytest.raises(ts.TinyseqError):
            train(config, folder, eager=True, resume=True)

    for key in (
        "config",
        "data_sha256",
        "metadata",
        "metrics_bytes",
        "random",
        "optimizer",
        "schedule",
        "state",
        "best",
    ):
        without(lambda facts, tensors, key=key: facts.pop(key))
    for prefix in ("model", "optimizer", "state"):
        name = next(name for name in found.tensors if name.startswith(prefix))
        without(lambda facts, tensors, name=name: tensors.pop(name))


def test_a_project_may_move_and_a_cell_that_changed_is_told(tmp_path, capsys):
    before = tmp_path / "before"
    before.mkdir()
    cell = "from tinyseq import nn\nclass Own(nn.GRUCell):\n    pass\n"
    (before / "own.py").write_text(cell)
    path = write_config(before, CONFIG.replace("cell: lstm", "cell: own.py:Own"))
    first = ts.run(path, output=before / "runs", progress=SilentProgress())
    after = before.rename(tmp_path / "after")
    how = {"output": after / "runs", "resume": True, "progress": SilentProgress()}
    assert ts.run(after / "tiny.yaml", **how).metrics == first.metrics
    assert "warning" not in capsys.readouterr().err
    (after / "own.py").write_text(cell + "# mended\n")
    ts.run(after / "tiny.yaml", **how)
    assert "warning: own.py is not as it was before the stop" in capsys.readouterr().err


@pytest.fixture(scope="module")
def stepped(tmp_path_factory):
    """A model that has made two steps, and its checkpoint."""
    config = ts.load_config(write_config(tmp_path_factory.mktemp("stepped")))
    with prepared(config) as (task, model):
        train_step = TrainStep(task, model, config.train, SilentProgress(), compiled=False)
        schedule = config.train.schedule.make(config.train.steps)
        train_state = TrainState(model, train_step.optimizer, optim.Scheduler(train_step.optimizer, schedule))
        batches = task.batches()
        for train_state.step in (1, 2):
            train_state.state = train_step(next(batches), train_state.state).state
        yield train_state, train_state.capture()


@settings(max_examples=300)
@given(data=st.data())
def test_any_change_of_a_part_is_taken_or_refused_in_words(stepped, data):
    """What has a right digest, but not the parts of a run, never ends in a traceback."""
    train_state, found = stepped
    with suppress(ts.TinyseqError):
        train_state.restore(checkpoint_file.Checkpoint(data.draw(changed(found.facts)), found.tensors))
    train_state.restore(found)


# One process a directory.


def hold(directory, ready, go):
    with locked(directory):
        ready.set()
        go.wait(60)


def test_a_second_run_in_a_directory_is_refused_and_a_dead_process_holds_nothing(finished):
    config, folder, directory = finished
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    process = context.Process(target=hold, args=(directory, ready, go))
    process.start()
    assert ready.wait(60)
    with pytest.raises(DataError, match="in use by another process"):
        train(config, folder, eager=True, resume=True)
    process.kill()
    process.join()
    assert train(config, folder, eager=True, resume=True).directory == directory


def test_resume_of_a_config_file(tmp_path):
    path = write_config(tmp_path, CONFIG.replace("log_every: 3", "checkpoint: {every: 4}"))
    whole = ts.run(path, output=tmp_path / "whole", progress=SilentProgress())
    short = ts.run(path, output=tmp_path / "short", steps=7, progress=SilentProgress())
    assert [p.name for p in sorted((short.directory / "checkpoints").iterdir())][-1] == "step-00000007.safetensors"
    (short.directory / "checkpoints" / "step-00000007.safetensors").unlink()
    again = ts.run(path, output=tmp_path / "short", steps=7, resume=True, progress=SilentProgress())
    assert again.directory == short.directory
    assert len(rows(whole.directory)) > len(rows(short.directory))
