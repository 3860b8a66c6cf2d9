"""A run from config to result: ``ts.run``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyseq import backends, nn
from tinyseq.backends import use
from tinyseq.errors import TinyseqError
from tinyseq.random import seed as set_seed
from tinyseq.train import environment, yaml
from tinyseq.train.config import RunConfig, check
from tinyseq.train.curve import draw_curve
from tinyseq.train.document import Document
from tinyseq.train.loop import Outcome, Row, snapshot, train
from tinyseq.train.overrides import Overrides, as_overrides
from tinyseq.train.progress import Progress, choose
from tinyseq.train.registry import find_task
from tinyseq.train.rundir import RunDirectory
from tinyseq.train.tasks.base import Task
from tinyseq.train.threads import blas_threads

#: How many time steps the picture of the graph shows.
GRAPH_STEPS = 3


@dataclass(frozen=True)
class RunResult:
    """What a run gave: where its files are, and the test metrics (``result`` is all of result.json)."""

    directory: Path
    status: str
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    result: dict[str, Any] = field(repr=False)
    preview: str = field(default="", repr=False)


def run(
    config: str | Path | Mapping[str, Any] | RunConfig,
    *,
    overrides: Overrides | None = None,
    seed: int | None = None,
    steps: int | None = None,
    backend: str | None = None,
    output: str | Path | None = None,
    eager: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Train as a config says, and leave everything in a new run directory.

    Args:
        config: a YAML file, the same as a mapping, or a checked config.
        overrides: what replaces settings of the config, as in ``load_config``.
        seed: instead of the config's.
        steps: instead of the config's ``train.steps``.
        backend: instead of the config's.
        output: instead of the config's.
        eager: leave the compiler out, whatever the config says.
        progress: what shows how it goes; by default a live line on a terminal, else plain lines.

    Raises:
        ConfigError: the config is wrong; every problem at once.
        DataError: the data is.
        BackendError: the backend is not to be had here.
        DivergedError: the loss is no longer finite; what there is has been written.
        KeyboardInterrupt: after Ctrl-C; what there is has been written.
    """
    asked: dict[str, Any] = {
        "seed": seed,
        "train.steps": steps,
        "backend": backend,
        "output": None if output is None else str(output),
    }
    asked["compile"] = False if eager else None
    given = as_overrides({key: value for key, value in asked.items() if value is not None})
    checked, written, name = _read(config, [*as_overrides(overrides), *given])
    progress = progress or choose()
    with use(checked.backend) as chosen, blas_threads(checked.threads), np.errstate(all="ignore"):
        # What `auto` found here, and the name that a rerun shall go by, belong to the resolved config.
        resolved = checked.model_copy(update={"backend": chosen.name, "name": checked.name or name})
        task = find_task(resolved.task)(resolved)
        task.prepare()
        directory = RunDirectory.create(resolved.output, resolved.name or name)
        directory.write_config(resolved, written)
        return _run(task, resolved, directory, progress)


@contextmanager
def prepared(config: RunConfig) -> Iterator[tuple[Task[Any], nn.Module]]:
    """Give the task of a config, its data read, and a fresh model, on the config's backend."""
    with use(config.backend), blas_threads(config.threads):
        task = find_task(config.task)(config)
        task.prepare()
        set_seed(config.seed)
        yield task, task.build().cast(config.dtype)


def _read(
    config: str | Path | Mapping[str, Any] | RunConfig, overrides: Overrides
) -> tuple[RunConfig, str | None, str]:
    """Return the checked config, its text where it has one, and the run's name."""
    if isinstance(config, RunConfig):
        config = config.model_dump(mode="json")
    if isinstance(config, Mapping):
        checked = check(Document(dict(config)), overrides=overrides)
        return checked, None, checked.task
    path = Path(config)
    document = yaml.read(path)
    name = "".join(letter if letter.isalnum() or letter in "_.-" else "-" for letter in path.stem).lstrip(".-")
    return check(document, overrides=overrides, folder=path.parent), document.text, name or "run"


def _run(task: Task[Any], config: RunConfig, directory: RunDirectory, progress: Progress) -> RunResult:
    began = time.perf_counter()
    directory.write_json("env.json", {**environment.describe(), "data": task.describe_data()})
    baselines = task.baselines()
    set_seed(config.seed)
    model = task.build().cast(config.dtype)
    rows: list[Row] = []
    with open(directory.path / "metrics.jsonl", "w", encoding="utf-8") as metrics_file:

        def record(row: Row) -> None:
            rows.append(row)
            metrics_file.write(json.dumps(row) + "\n")
            metrics_file.flush()

        outcome = train(task, model, config.train, progress, record, compiled=config.compile)
    diverged = outcome.error is not None
    if outcome.weights:
        model.load_state_dict(outcome.weights)
    model.eval()
    usable = bool(outcome.weights) or not diverged
    if usable:
        directory.write_weights(snapshot(model), task.metadata())
    # After an interrupt a person waits for the prompt: what takes long is left out.
    finished = outcome.status == "done"
    test = task.evaluate(model, "test") if finished else {}
    result = _result(task, config, model, outcome, baselines, test, time.perf_counter() - began)
    directory.write_json("result.json", result)
    key = task.measure.key
    title = f"{directory.path.parent.name} {directory.path.name}: {config.task}, {model.num_parameters():,} parameters"
    star = (outcome.best_step, test[key]) if test else None
    with _only_noted(progress, "curve.png"):
        draw_curve(rows, task.measure, baselines, star, title, directory.path / "curve.png")
    preview = ""
    if finished:
        with _only_noted(progress, "samples"):
            preview = task.write(model, directory.path)
        with _only_noted(progress, "graph.svg"):
            draw_example(task, model, GRAPH_STEPS, directory.path / "graph.svg")
    if outcome.interrupted:
        progress.note(f"interrupted after {outcome.steps} steps; what there is: {directory.path}")
        raise KeyboardInterrupt
    if outcome.error is not None:
        progress.note(f"what there is: {directory.path}")
        raise outcome.error
    return RunResult(directory.path, outcome.status, test, baselines, result, preview)


def draw_example(task: Task[Any], model: Any, steps: int, path: Path) -> None:
    """Draw the graph of a small example, unrolled over so many steps."""
    from tinyseq.drawing import draw

    model.eval()  # a picture of the equations, without dropout
    draw(task.example(model, steps), path, title=f"{task.config.task}, {steps} steps")


@contextmanager
def _only_noted(progress: Progress, what: str) -> Iterator[None]:
    """A picture that fails must not cost the run whose results are already there."""
    try:
        yield
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else ""
        progress.note(f"warning: {what} was not written: {type(error).__name__}: {reason}")


def _result(
    task: Task[Any],
    config: RunConfig,
    model: nn.Module,
    outcome: Outcome,
    baselines: dict[str, dict[str, float]],
    test: dict[str, float],
    seconds: float,
) -> dict[str, Any]:
    error: TinyseqError | None = outcome.error
    return {
        "status": outcome.status,
        "error": None if error is None else str(error),
        "task": config.task,
        "backend": backends.current().name,
        "measure": task.measure.key,
        "test": test,
        "valid": outcome.best,
        "best_step": outcome.best_step,
        "stopped_early": outcome.stopped_early,
        "compiled": outcome.compiled,
        "baselines": baselines,
        "steps": outcome.steps,
        "parameters": model.num_parameters(),
        "tokens": outcome.tokens,
        "seconds": round(seconds, 3),
        "train_seconds": round(outcome.seconds, 3),
        "tokens_per_second": round(outcome.tokens_per_second, 1),
    }
