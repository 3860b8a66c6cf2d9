"""Sweeps: what is searched, that processes share the work, and that nothing that has ended is lost."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import tinyseq as ts
from support.smallruns import TEXT
from tinyseq.cli import main
from tinyseq.errors import BackendError, ConfigError
from tinyseq.train import ChoiceOf, Range, sweep
from tinyseq.train.config import yaml
from tinyseq.train.search_space import dimensions
from tinyseq.train.sweeps import BEST, JOURNAL, TRIALS, described, trials_of

CONFIG: dict[str, Any] = {
    "task": "language_model",
    "seed": 3,
    "backend": "numpy",
    "data": {"path": "text.txt", "split": [0.8, 0.1, 0.1]},
    "model": {"cell": "rnn", "hidden_size": 6, "embedding_size": 4},
    "train": {"steps": 6, "batch_size": 4, "evaluate_every": 2, "log_every": 2, "checkpoint": {"every": 1}},
    "sample": {"count": 0},
}
RATES = {"train.optimizer.lr": "1e-4:1e-1:log", "model.hidden_size": "4:8:2"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    path = tmp_path / "lm.yaml"
    path.write_text(yaml.write({**CONFIG, "output": str(tmp_path / "runs")}), encoding="utf-8")
    return path


# -- what is searched --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "dimension", "points"),
    [
        ("1e-4:1e-2:log", Range(1e-4, 1e-2, log=True), None),
        ("0.1:0.5:0.2", Range(0.1, 0.5, step=0.2), (0.1, 0.1 + 0.2, 0.5)),
        ("8:32:8", Range(8, 32, step=8), (8, 16, 24, 32)),
        ("1:3", Range(1, 3), (1, 2, 3)),
        ("1:1000:log", Range(1, 1000, log=True), None),
        ("lstm,gru", ChoiceOf(("lstm", "gru")), ("lstm", "gru")),
        ("[[0.9, 0.1], null]", ChoiceOf(([0.9, 0.1], None)), ("[0.9, 0.1]", "null")),
        ([1, 2.5, True], ChoiceOf((1, 2.5, True)), ("1", "2.5", "true")),
    ],
)
def test_a_dimension_and_all_of_its_points(given: Any, dimension: Any, points: Any) -> None:
    (read,) = dimensions({"key": given}).values()
    assert read == dimension
    assert read.points() == (points if points is None else pytest.approx(points) if points[0] == 0.1 else points)


@pytest.mark.parametrize(
    "text", ["3:1", "0:1:log", "1:2:5", "1:2:0", "a:b", "1:2:3:4", "lstm", "gru,gru", "1:.inf", "true:2"]
)
def test_what_is_no_dimension_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"--over lr={re.escape(text)}: error: required"):
        dimensions({"lr": text})


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"model.cell": "lstm,gruu"}, "--over model.cell=gruu"),
        ({"train.optimizer.lr": "-1.0:1.0"}, "--over train.optimizer.lr=-1.0"),
        ({"model.hiden_size": "1:2"}, "hiden_size"),
        ({"task": "tagging,regression"}, "compared"),
        ({}, "nothing"),
    ],
)
def test_a_wrong_value_is_refused_before_the_first_trial(config: Path, over: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep(config, over)
    assert told in str(caught.value)
    assert not (config.parent / "runs").exists()


def test_a_grid_needs_an_end(config: Path) -> None:
    with pytest.raises(ConfigError, match=r"low:high:STEP, or --sampler random"):
        sweep(config, RATES, sampler="grid")


def test_ranks_are_refused(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(ConfigError, match="without mpiexec"):
        sweep(config, RATES)


def test_without_optuna_it_says_what_to_install(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(BackendError, match=r'pip install "tinyseq\[sweep\]"'):
        sweep(config, RATES)


def test_training_ends_where_it_is_told_to(config: Path) -> None:
    seen = []
    result = ts.run(
        str(config), stop_when=lambda step, metrics: seen.append(sorted(metrics)) or ("enough" if step == 4 else None)
    )
    assert (result.status, result.result["steps"], result.result["stopped_early"]) == ("done", 4, True)
    assert seen == [["bpc", "loss", "perplexity", "tokens"]] * 2


# -- trials ------------------------------------------------------------------------------------------------------------


def plain(result: Any) -> list[Any]:
    return [(t.number, t.values, t.state, t.value) for t in result.trials]


def test_a_sweep_is_a_function_of_its_seed_and_each_trial_reproduces(config: Path) -> None:
    pytest.importorskip("optuna")
    one, two = (sweep(config, RATES, trials=8, folder=config.parent / name) for name in ("one", "two"))
    assert plain(one) == plain(two)
    assert [t.number for t in one.trials] == list(range(8))
    assert len({t.values["train.optimizer.lr"] for t in one.trials}) == 8
    best = min((t for t in one.trials if t.state == "done"), key=lambda t: t.value)
    assert one.best == best
    again = ts.run(str(one.folder / BEST), output=config.parent / "again")
    assert again.result["valid"]["bpc"] == best.value
    directory = next((one.folder / best.run).iterdir(), None)
    assert ts.train.load(one.folder / best.run).config.train.optimizer.lr == best.values["train.optimizer.lr"], (
        directory
    )
    assert trials_of(one.folder) == list(one.trials)
    assert described(one.folder)["measure"] == "bpc"


def test_a_grid_takes_each_point_once_and_a_joiner_has_nothing_left_to_do(config: Path) -> None:
    pytest.importorskip("optuna")
    over = {"model.cell": "rnn,gru", "model.hidden_size": "2:4:2"}
    result = sweep(config, over, sampler="grid", prune=False)
    taken = sorted((t.values["model.cell"], t.values["model.hidden_size"]) for t in result.trials)
    assert taken == [("gru", 2), ("gru", 4), ("rnn", 2), ("rnn", 4)]
    assert plain(sweep(config, over, sampler="grid", prune=False)) == plain(result)
    assert len(list((result.folder / "trials").glob("*/0*"))) == 4


def test_a_trial_behind_the_median_is_pruned(config: Path) -> None:
    pytest.importorskip("optuna")
    # On a grid the order is the seed's alone: some small rates come after five others.
    over = {"train.optimizer.lr": [0.02, 0.021, 0.022, 0.023, 0.024, 0.025, 1e-7, 2e-7, 3e-7]}
    result = sweep(config, over, sampler="grid")
    pruned = [t for t in result.trials if t.state == "pruned"]
    assert {t.values["train.optimizer.lr"] for t in pruned} & {1e-7, 2e-7, 3e-7}
    assert all(len(json.loads((result.folder / t.run / "0001/result.json").read_text())["test"]) for t in pruned)
    assert result.best is not None
    assert result.best.values["train.optimizer.lr"] > 0.01


def test_a_trial_that_fails_is_a_row_and_the_others_go_on(config: Path) -> None:
    pytest.importorskip("optuna")
    result = sweep(config, {"optimizer": [{"name": "sgd", "lr": 1e38}, {"name": "sgd", "lr": 0.1}]}, sampler="grid")
    assert sorted(t.state for t in result.trials) == ["done", "failed"]
    (failed,) = (t for t in result.trials if t.state == "failed")
    assert failed.error
    assert result.best is not None


def test_another_sweep_in_the_folder_is_refused(config: Path) -> None:
    pytest.importorskip("optuna")
    sweep(config, RATES, trials=1)
    with pytest.raises(ConfigError, match=r"another over, sampler(.|\n)*--folder"):
        sweep(config, {"model.cell": "gru,lstm"}, sampler="grid")
    with pytest.raises(ConfigError, match="another config seed"):
        sweep(config, RATES, overrides=["seed=4"])


def test_a_line_that_was_not_written_to_its_end_is_cut_off(config: Path) -> None:
    pytest.importorskip("optuna")
    one = sweep(config, RATES, trials=2)
    with (one.folder / JOURNAL).open("ab") as journal:
        journal.write(b'{"op_code": 4, "worker_id": "half')
    two = sweep(config, RATES, trials=3)
    assert plain(two)[:2] == plain(one)
    assert len(two.trials) == 3
    assert all(json.loads(line) for line in (two.folder / JOURNAL).read_text().splitlines())


# -- processes ---------------------------------------------------------------------------------------------------------


def started(config: Path, *options: str) -> subprocess.Popen[str]:
    over = [f"--over={key}={values}" for key, values in RATES.items()]
    command = [sys.executable, "-m", "tinyseq", "sweep", str(config), *over, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_share_the_trials(config: Path) -> None:
    pytest.importorskip("optuna")
    processes = [started(config, "--trials=5") for _ in range(3)]
    told = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], told
    trials = trials_of(config.parent / "runs/sweeps/lm")
    assert [t.number for t in trials] == list(range(5))
    assert all(t.state in ("done", "pruned") for t in trials)
    assert len({t.values["train.optimizer.lr"] for t in trials}) == 5


def test_kills_lose_no_trial_that_ended_and_those_that_did_not_go_on(config: Path) -> None:
    pytest.importorskip("optuna")
    folder = config.parent / "runs/sweeps/lm"
    ended: dict[int, Any] = {}
    kills = 0
    for attempt in range(12):
        process = started(config, "--trials=4", "--resume")
        time.sleep(1.2 + 0.23 * attempt)
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        if (folder / TRIALS).exists():
            now = {t.number: t for t in trials_of(folder) if t.state in ("done", "pruned")}
            assert now | ended == now
            ended = now
        if len(ended) == 4:
            break
    process = started(config, "--trials=4", "--resume")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert kills > 1
    trials = trials_of(folder)
    assert len(trials) == 4
    assert all(t.state in ("done", "pruned") for t in trials)
    assert {t.number: t for t in trials} | ended == {t.number: t for t in trials}
    # A trial that was killed goes on in its own run directory, so there are as many runs as trials.
    runs = [path for path in (folder / "trials").glob("*/*") if path.name.isdecimal()]
    assert len(runs) == 4
    assert "best.yaml" in out


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_prints_a_table_and_plot_draws_it(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna")
    monkeypatch.chdir(config.parent)
    options = ["sweep", str(config), "--over", "cell=rnn,gru", "--sampler", "grid", "--set", "steps=2"]
    done = CliRunner().invoke(main, options)
    assert done.exit_code == 0, done.output
    assert "best" in done.output
    assert "(best so far)" in done.output
    drawn = CliRunner().invoke(main, ["plot", "runs/sweeps/lm", "-o", "trials.svg"])
    assert drawn.exit_code == 0, drawn.output
    text = Path("trials.svg").read_text(encoding="utf-8")
    assert "lm: 2 trials" in text
    wrong = CliRunner().invoke(main, ["plot", "runs/sweeps/lm", "gates"])
    assert wrong.exit_code == 2
    bad = CliRunner().invoke(main, ["sweep", str(config), "--over", "cell"])
    assert bad.exit_code == 2
    assert "KEY=VALUES" in bad.output
