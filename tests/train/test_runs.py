"""Runs from end to end: what they leave, and that the same config gives the same numbers."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pytest
from safetensors.numpy import load_file

import tinyseq as ts
from support.smallruns import CONFIG, DIVERGING, TEXT, rows, weights, write_config
from tinyseq.errors import BackendError, ConfigError, DataError
from tinyseq.train import running
from tinyseq.train.loop.progress import PlainProgress, SilentProgress
from tinyseq.train.loop.train_loop import DivergedError
from tinyseq.train.storage.run_directory import RunDirectory


def run(config, folder, **how):
    return ts.run(config, output=folder, progress=SilentProgress(), **how)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One finished run."""
    folder = tmp_path_factory.mktemp("finished")
    return run(write_config(folder), folder / "runs")


def test_everything_is_left_in_a_numbered_directory(finished):
    directory = finished.directory
    assert directory.parts[-3:] == ("runs", "tiny", "0001")
    assert (directory / "config.yaml").read_text() == CONFIG
    found = {path.name for path in directory.iterdir()}
    assert found >= {
        "config.yaml", "config.resolved.yaml", "env.json", "metrics.jsonl", "result.json", "weights.safetensors",
        "metadata.json", "curve.png", "samples.txt", "graph.svg",
    }  # fmt: skip
    assert not [name for name in found if name.endswith(".part")]
    assert (directory / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (directory / "graph.svg").read_text()
    assert (directory / "samples.txt").read_text().count("going on from 'the '") == 2


def test_result_and_environment_record(finished):
    result = json.loads((finished.directory / "result.json").read_text())
    assert result["status"] == finished.status == "done"
    assert result["test"] == finished.metrics
    assert set(result["baselines"]) == {"unigram", "bigram"}
    assert result["tokens"] == 12 * 4 * 8
    assert result["parameters"] == sum(a.size for a in load_file(finished.directory / "weights.safetensors").values())
    env = json.loads((finished.directory / "env.json").read_text())
    assert env["data"]["sha256"] == hashlib.sha256(TEXT.encode()).hexdigest()
    assert env["backend"]["backend"] == "numpy"
    assert {"python", "platform", "cores", "blas", "packages", "git"} <= env.keys()


def test_metrics_rows(finished):
    found = rows(finished.directory)
    assert [(row["step"], row["split"]) for row in found] == [
        (3, "train"), (5, "valid"), (6, "train"), (9, "train"), (10, "valid"), (12, "train"), (12, "valid"),
    ]  # fmt: skip
    assert all(math_is_right(row) for row in found)
    rates = [row["lr"] for row in found if row["split"] == "train"]
    assert rates[0] == pytest.approx(1e-2)
    assert rates[-1] < rates[1]


def math_is_right(row):
    return row["bpc"] == pytest.approx(row["loss"] / np.log(2))


def test_weights_kept_are_the_best_on_validation(finished):
    valid = [row for row in rows(finished.directory) if row["split"] == "valid"]
    assert finished.result["valid"]["bpc"] == min(row["bpc"] for row in valid)
    trained = ts.load(finished.directory)
    trained.task.prepare()
    assert trained.task.evaluate(trained.model, "valid")["loss"] == finished.result["valid"]["loss"]
    assert trained.evaluate() == finished.metrics


def test_same_config_same_numbers_and_so_does_the_resolved_one(tmp_path, finished):
    again = run(finished.directory / "config.resolved.yaml", tmp_path)
    assert again.directory.parts[-2:] == ("tiny", "0001")
    once_more = run(write_config(tmp_path), tmp_path)
    assert once_more.directory.name == "0002", "never over an earlier run"
    for other in (again, once_more):
        assert rows(other.directory) == rows(finished.directory)
        assert weights(other.directory) == weights(finished.directory)
    assert rows(run(write_config(tmp_path), tmp_path, seed=4).directory) != rows(finished.directory)


def test_config_as_a_mapping_and_as_an_object(tmp_path):
    write_config(tmp_path)
    data = {
        "task": "language_model",
        "data": {"path": str(tmp_path / "text.txt")},
        "model": {"cell": "rnn", "hidden_size": 8, "num_layers": 2},
        "train": {"batch_size": 2, "bptt": {"every": 4, "back": 6}, "optimizer": {"name": "sgd", "lr": 0.1}},
        "sample": {"count": 0},
        "dtype": "float64",
    }
    result = run(data, tmp_path, steps=3)
    assert result.directory.parts[-2:] == ("language_model", "0001")
    arrays = load_file(result.directory / "weights.safetensors")
    assert all(array.dtype == np.float64 for array in arrays.values())
    resolved = ts.load_config(result.directory / "config.resolved.yaml")
    assert rows(run(resolved, tmp_path).directory) == rows(result.directory)
    assert not (result.directory / "samples.txt").exists()


def test_divergence_is_told_and_written_down(tmp_path):
    with pytest.raises(DivergedError, match=r"(?s)step \d+ of 12.*smaller train\.optimizer\.lr") as caught:
        run(write_config(tmp_path, DIVERGING), tmp_path)
    result = json.loads((tmp_path / "tiny" / "0001" / "result.json").read_text())
    assert result["status"] == "diverged"
    assert str(caught.value) == result["error"]


def test_interrupt_keeps_what_there_is(tmp_path):
    class Impatient(SilentProgress):
        def evaluated(self, step, metrics, best):
            if step == 10:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ts.run(write_config(tmp_path), output=tmp_path, progress=Impatient())
    directory = tmp_path / "tiny" / "0001"
    result = json.loads((directory / "result.json").read_text())
    assert (result["status"], result["steps"], result["test"]) == ("interrupted", 10, {})
    assert {"weights.safetensors", "curve.png", "metrics.jsonl"} <= {path.name for path in directory.iterdir()}


def test_picture_that_fails_does_not_cost_the_run(tmp_path, monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise RuntimeError("no pen")

    monkeypatch.setattr(running, "draw_example", fail)
    result = run(write_config(tmp_path), tmp_path, steps=3)
    assert result.status == "done"
    assert "warning: graph.svg was not written: RuntimeError: no pen" in capsys.readouterr().err


def test_backend_that_is_not_there_leaves_no_directory(tmp_path):
    with ts.backend("numpy"), pytest.raises(BackendError, match="cupy"):
        run(write_config(tmp_path), tmp_path / "runs", backend="cupy")
    assert not (tmp_path / "runs").exists()


def test_output_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"run directory cannot be made[\s\S]*--output"):
        run(write_config(tmp_path), tmp_path / "file")


def test_run_directories_are_found_or_refused(tmp_path, finished):
    assert RunDirectory.find(finished.directory.parent).path == finished.directory
    with pytest.raises(DataError, match="not a run directory"):
        RunDirectory.find(tmp_path)
    with pytest.raises(DataError, match="no such directory"):
        RunDirectory.find(tmp_path / "nowhere")
    copy = tmp_path / "0001"
    copy.mkdir()
    (copy / "config.resolved.yaml").write_bytes((finished.directory / "config.resolved.yaml").read_bytes())
    with pytest.raises(DataError, match="metadata"):
        ts.load(copy)
    (copy / "metadata.json").write_bytes((finished.directory / "metadata.json").read_bytes())
    with pytest.raises(DataError, match="no weights"):
        ts.load(copy)
    (copy / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(DataError, match="cannot be read"):
        ts.load(copy)


def test_plain_progress_says_loss_bits_speed_and_time_left(tmp_path, capsys):
    ts.run(write_config(tmp_path), output=tmp_path, progress=PlainProgress(interval=0.0))
    lines = capsys.readouterr().err.splitlines()
    (line,) = (line for line in lines if line.startswith("step 6/12  loss "))
    assert all(word in line for word in (" bpc ", "tokens/s", "left"))
    assert any("step 10/12  validation: loss " in line for line in lines)


def test_concurrent_directories_get_their_own_numbers(tmp_path, monkeypatch):
    first = RunDirectory.create(tmp_path, "x")
    real = os.mkdir
    taken = []

    def slow(path, *args, **kwargs):
        if str(path).endswith("0002") and not taken:
            taken.append(path)
            real(path, *args, **kwargs)  # another process is quicker
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "mkdir", slow)
    second = RunDirectory.create(tmp_path, "x")
    assert (first.path.name, second.path.name) == ("0001", "0003")
