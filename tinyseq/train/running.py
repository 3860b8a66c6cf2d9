"""A run from config to result: ``ts.run``."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import tinyseq
from tinyseq import backends, files, nn
from tinyseq.backends import use
from tinyseq.errors import DataError, TinyseqError
from tinyseq.figures import learning_curves, save
from tinyseq.random import seed as set_seed
from tinyseq.random import seeded
from tinyseq.threads import blas_threads
from tinyseq.train.config import yaml
from tinyseq.train.config.overrides import Overrides, as_overrides
from tinyseq.train.config.registry import find_task
from tinyseq.train.config.run_config import RunConfig, check
from tinyseq.train.config.source import Document
from tinyseq.train.loop import environment
from tinyseq.train.loop.budget import refuse_too_large
from tinyseq.train.loop.digest import code_digests, data_digest
from tinyseq.train.loop.nonfinite import DivergedError
from tinyseq.train.loop.progress import NoProgress, Progress, choose
from tinyseq.train.loop.ranks import Ranks, all_or_none, join
from tinyseq.train.loop.signals import StoppedError
from tinyseq.train.loop.train_loop import Outcome, StopWhen, train
from tinyseq.train.loop.train_state import snapshot
from tinyseq.train.storage import checkpoint_file
from tinyseq.train.storage.checkpoint_file import Checkpoint
from tinyseq.train.storage.checkpoint_manager import CheckpointManager
from tinyseq.train.storage.locking import locked
from tinyseq.train.storage.metrics_log import MetricsLog
from tinyseq.train.storage.resume import ResumePoint, RunIdentity, find_directory, find_point, flat, refuse_other_data
from tinyseq.train.storage.run_directory import ENVIRONMENT, METRICS, RESULT, RunDirectory
from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.learning import Learning
from tinyseq.train.tasks.overview import behind, lines

#: How many time steps the picture of the graph shows.
GRAPH_STEPS = 3


@dataclass(frozen=True)
class RunResult:
    """What a run gave: where its files are, and the test metrics (``result`` is all of result.json).

    ``remarks`` are sentences on what the metrics do not say, such as a class that is never predicted.
    """

    directory: Path
    status: str
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    remarks: tuple[str, ...]
    result: dict[str, Any] = field(repr=False)
    preview: str = field(default="", repr=False)
    #: Whether another rank of the same run has this result too, and is the one to tell of it.
    told_elsewhere: bool = field(default=False, repr=False)


def run(
    config: str | Path | Mapping[str, Any] | RunConfig,
    *,
    overrides: Overrides | None = None,
    seed: int | None = None,
    steps: int | None = None,
    backend: str | None = None,
    output: str | Path | None = None,
    eager: bool = False,
    on_nonfinite: str | None = None,
    resume: bool | str | Path = False,
    progress: Progress | None = None,
    stop_when: StopWhen | None = None,
) -> RunResult:
    """Train as a config says, and leave everything in a new run directory, or go on in one.

    A run draws its random numbers from the config's seed and leaves the caller's as they are. Runs in several threads
    at a time give each the weights that it has alone.

    Args:
        config: a YAML file, the same as a mapping, or a checked config.
        overrides: what replaces settings of the config, as in ``load_config``.
        seed: instead of the config's.
        steps: instead of the config's ``train.steps``.
        backend: instead of the config's.
        output: instead of the config's.
        eager: leave the compiler out, whatever the config says.
        on_nonfinite: instead of the config's ``train.on_nonfinite``.
        resume: go on with the newest run of this config from its last checkpoint, as if it had never stopped, or with
            the run directory or the checkpoint that a path names; where there is no run yet, it begins.
        progress: what shows how it goes; by default a live line on a terminal, else plain lines.
        stop_when: asked after each validation, with the step and its metrics; a reason, such as ``"good enough"``, ends
            training there, and the run is judged by its best weights as one that came to its last step.

    Raises:
        ConfigError: the config is wrong, every problem at once; or the run to go on with is of another one.
        DataError: the data is, or is not as it was; the checkpoint is damaged; another process is at that run.
        BackendError: the backend is not to be had here.
        DivergedError: the loss is no longer finite; what there is has been written, and what replays the step.
        KeyboardInterrupt: after Ctrl-C or another signal that asks to stop; what there is has been written.
        OSError: the results cannot be written.
    """
    asked: dict[str, Any] = {
        "seed": seed,
        "train.steps": steps,
        "backend": backend,
        "output": None if output is None else str(output),
        "train.on_nonfinite": on_nonfinite,
    }
    asked["compile"] = False if eager else None
    given = as_overrides({key: value for key, value in asked.items() if value is not None})
    ranks = join()
    progress = (progress or choose()) if ranks.first else NoProgress()
    with all_or_none(ranks, (DivergedError, StoppedError)), ExitStack() as held:
        checked, written, name = ranks.agree(
            lambda: read_config(config, [*as_overrides(overrides), *given]), "to read the config"
        )
        ranks.refuse_shards(checked.train.shards)
        with (
            use(checked.backend, checked.precision) as chosen,
            blas_threads(checked.threads),
            np.errstate(all="ignore"),
            seeded(checked.seed),
        ):
            # What `auto` found here, and the name that a rerun shall go by, belong to the resolved config.
            resolved = checked.model_copy(update={"backend": chosen.name, "name": checked.name or name})
            if faster := backends.faster():
                progress.info(faster)
            named = Path(resume) if isinstance(resume, str | Path) else None
            point = ranks.agree_first(
                lambda: _previous(resolved, resolved.name or name, named, resume, held), "to find the run"
            )
            if resume and ranks.first and point is None:
                progress.note(f"no run to go on with in {Path(resolved.output, resolved.name or name)}: it begins")
            task = find_task(resolved.task)(resolved)
            ranks.agree(partial(_prepare, task), "to read the data")
            if ranks.size > 1:
                shards = resolved.train.shards
                fit = ", ".join(str(n) for n in range(1, shards + 1) if shards % n == 0)
                progress.info(
                    f"{ranks.size} ranks, {shards} shards; if one rank dies all end: --resume goes on with {fit} ranks"
                )
            every = ranks.refuse_differences(_alike(resolved, task)) if ranks.size > 1 else []
            if not ranks.first:
                return _run_beside(task, resolved, ranks, progress, stop_when)
            if point is None:
                directory = RunDirectory.create(resolved.output, resolved.name or name)
                held.enter_context(locked(directory.path))
                point = ResumePoint(directory)
            return _run(task, resolved, written, point, progress, ranks, every, stop_when)


def _previous(
    config: RunConfig, name: str, named: Path | None, resume: bool | str | Path, held: ExitStack
) -> ResumePoint | None:
    """Return where to go on, its directory locked; None where a run begins."""
    previous = find_directory(config, name, named) if resume else None
    if previous is None:
        return None
    held.enter_context(locked(previous.path))
    return find_point(previous, config, named)


def _prepare(task: Task[Any]) -> None:
    task.prepare()
    refuse_too_large(task)


def _alike(config: RunConfig, task: Task[Any]) -> dict[str, Any]:
    """Return what must be the same on every rank, by names that say which."""
    now = environment.describe()
    facts: dict[str, Any] = {f"config {key}": value for key, value in flat(config.model_dump(mode="json"))}
    facts |= {f"version of {name}": version for name, version in now["packages"].items()}
    facts |= {"version of python": now["python"], "machine": now["machine"], "threads": now["blas"]["threads"]}
    return {**facts, "data": data_digest(task), "processor": environment.processor()}


def _run_beside(
    task: Task[Any], config: RunConfig, ranks: Ranks, progress: Progress, stop_when: StopWhen | None
) -> RunResult:
    """Compute this rank's shards of a run that the first rank writes down; return what that tells of it."""
    start = checkpoint_file.parsed(told) if (told := ranks.broadcast(b"")) else None
    set_seed(config.seed)  # whatever was drawn until now
    model = task.build().cast(config.dtype)
    outcome = train(
        task,
        model,
        config.train,
        progress,
        lambda _: None,
        compiled=config.compile,
        start=start,
        ranks=ranks,
        stop_when=stop_when,
    )
    if outcome.interrupt is not None:
        raise outcome.interrupt
    if outcome.error is not None:
        raise outcome.error
    facts = json.loads(ranks.broadcast(b""))
    return RunResult(
        **{**facts, "directory": Path(facts["directory"]), "remarks": tuple(facts["remarks"]), "told_elsewhere": True}
    )


@contextmanager
def prepared(config: RunConfig) -> Iterator[tuple[Task[Any], nn.Module]]:
    """Give the task of a config, its data read, and a fresh model, on the config's backend."""
    with use(config.backend, config.precision), blas_threads(config.threads), seeded(config.seed):
        task = find_task(config.task)(config)
        task.prepare()
        refuse_too_large(task)
        set_seed(config.seed)  # whatever was drawn until now
        yield task, task.build().cast(config.dtype)


def read_config(
    config: str | Path | Mapping[str, Any] | RunConfig, overrides: Overrides
) -> tuple[RunConfig, str | None, str]:
    """Return a config that may come in any form, checked; its text where it has one; and the run's name."""
    if isinstance(config, RunConfig):
        config = config.model_dump(mode="json")
    if isinstance(config, Mapping):
        checked = check(Document(dict(config)), overrides=overrides)
        return checked, None, checked.task
    path = Path(config)
    document = yaml.read(path)
    return check(document, overrides=overrides, folder=path.parent), document.text, run_name(path)


def run_name(path: Path) -> str:
    """Return what runs of a config file are called where it gives them no name."""
    name = "".join(letter if letter.isalnum() or letter in "_.-" else "-" for letter in path.stem).lstrip(".-")
    return name or "run"


def _run(
    task: Task[Any],
    config: RunConfig,
    written: str | None,
    point: ResumePoint,
    progress: Progress,
    ranks: Ranks,
    every: list[dict[str, Any]],
    stop_when: StopWhen | None,
) -> RunResult:
    began = time.perf_counter()
    directory, start = point.directory, point.start
    gaps = task.gaps()
    for note in [*task.notes(), *gaps]:
        progress.note(f"note: {note}")
    data = {
        "data_sha256": data_digest(task),
        "metadata": json.loads(json.dumps(task.metadata())),  # as JSON has it: to be compared with a checkpoint's
        "code": code_digests(config.model_dump(mode="json")),
    }
    if start is not None and point.identity is not None:
        refuse_other_data(point.identity, data["data_sha256"], data["metadata"], directory.path)
        progress.note(f"going on in {directory.path} after step {start.step}")
        for name in sorted(name for name, code in point.identity.code.items() if data["code"].get(name) != code):
            progress.note(f"warning: {name} is not as it was before the stop: the numbers may be others from here on")
        directory.checkpoints.set_aside_after(start.step)
    if point.identity is None or point.identity.config != config.model_dump(mode="json"):
        directory.write_config(config, written)
    shared = environment.of_ranks(ranks, every)
    _write_environment(directory, {**task.describe_data(), "digest": data["data_sha256"]}, shared, start, progress)
    baselines = task.baselines()
    overview: dict[str, str] = {}
    with _only_noted(progress, "overview"):
        overview = {**task.overview().told(task.measure, baselines, task.compared), "results": str(directory.path)}
        for line in lines(overview):
            progress.info(line)
    set_seed(config.seed)  # whatever was drawn until now
    model = task.build().cast(config.dtype)
    ranks.broadcast(b"" if start is None else checkpoint_file.content(start))
    outcome = _train(task, model, config, point, data, progress, ranks, stop_when)
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
    remarks = _remarks(task, model, outcome, test, baselines, progress) + gaps if finished else []
    told = {"overview": overview, "remarks": remarks}
    result = {**_result(task, config, model, outcome, baselines, test, time.perf_counter() - began), **told}
    directory.write_json(RESULT, result)
    draw_run(task, model, directory, baselines, outcome.best_step, test, progress)
    preview = ""
    if finished:
        with _only_noted(progress, "samples"), directory.drafts() as drafts:
            preview = task.write(model, drafts)
    if outcome.interrupt is not None:
        progress.note(f"interrupted after {outcome.steps} steps; what there is: {directory.path}; --resume goes on")
        raise outcome.interrupt
    if outcome.error is not None:
        progress.note(f"what there is: {directory.path}")
        raise outcome.error
    told_all = RunResult(directory.path, outcome.status, test, baselines, tuple(remarks), result, preview)
    ranks.broadcast(json.dumps({**vars(told_all), "directory": str(directory.path)}).encode())
    return told_all


def _remarks(
    task: Learning[Any],
    model: nn.Module,
    outcome: Outcome,
    test: dict[str, float],
    baselines: dict[str, dict[str, float]],
    progress: Progress,
) -> list[str]:
    """Return what the metrics do not say of a model that was trained to its end, a sentence each."""
    remarks: list[str] = []
    with _only_noted(progress, "remarks"):
        remarks += behind(
            task.compared,
            test,
            baselines,
            best_step=outcome.best_step,
            steps=outcome.steps,
            one_pass=task.one_pass,
        )
        remarks += task.remarks(model, test)
    return remarks


def _train(
    task: Learning[Any],
    model: nn.Module,
    config: RunConfig,
    point: ResumePoint,
    data: dict[str, Any],
    progress: Progress,
    ranks: Ranks,
    stop_when: StopWhen | None,
) -> Outcome:
    """Run the loop while its rows and checkpoints are written; return the outcome.

    Raises:
        KeyboardInterrupt: the run was asked twice to stop, and shall write nothing more.
    """
    directory, identity = point.directory, point.identity
    plain = config.model_dump(mode="json")
    written = (identity.metrics_bytes, identity.metrics_sha256) if identity else (0, "")
    with closing(MetricsLog(directory.path / METRICS, progress.note, *written)) as log:
        manager = CheckpointManager(directory.checkpoints, config.train.checkpoint, progress.note, log.sync)

        def identified(checkpoint: Checkpoint) -> Checkpoint:
            identity = RunIdentity(
                config=plain,
                metrics_bytes=log.end,
                metrics_sha256=log.digest,
                tinyseq=tinyseq.__version__,
                **data,
            )
            return Checkpoint({**checkpoint.facts, **identity.model_dump()}, checkpoint.tensors)

        at_once = False
        try:
            outcome = train(
                task,
                model,
                config.train,
                progress,
                log.add,
                compiled=config.compile,
                save=lambda checkpoint: manager.save(identified(checkpoint)),
                start=point.start,
                ranks=ranks,
                stop_when=stop_when,
            )
            at_once = outcome.at_once
        finally:
            if not at_once:  # else a person does not want to wait; the last checkpoint is whole
                manager.finish()
        if outcome.interrupt is not None and at_once:
            raise outcome.interrupt
        if outcome.error is not None and outcome.bundle is not None:
            _write_bundle(directory, outcome.error, identified(outcome.bundle))
        return outcome


def _write_environment(
    directory: RunDirectory,
    data: dict[str, Any],
    shared: dict[str, Any],
    start: Checkpoint | None,
    progress: Progress,
) -> None:
    """Write where the run was made, and for each time that it went on, where that was."""
    now = {**environment.describe(), **shared}
    path = directory.path / ENVIRONMENT
    kept: dict[str, Any] = {**now, "data": data, "resumed": []}
    if start is not None and os.path.lexists(path):
        again = {"after": start.step, **now}
        try:
            kept = directory.json(ENVIRONMENT)
            if not isinstance(kept.setdefault("resumed", []), list):
                raise DataError("the run's env cannot be read", required="a list of what it was resumed after")
            for change in environment.changes(kept["resumed"][-1] if kept["resumed"] else kept, now):
                progress.note(f"warning: {change} before the stop: the numbers may be others from here on")
            kept["resumed"].append(again)
        except DataError as error:  # it is a record, and nothing depends on it
            progress.note(f"warning: {error.what}; it is kept as {files.set_aside(path).name}, and begun anew")
            kept = {**now, "data": data, "resumed": [again]}
    directory.write_json(ENVIRONMENT, kept)


def _write_bundle(directory: RunDirectory, error: DivergedError, bundle: Checkpoint) -> None:
    path = directory.path / f"nonfinite-step-{bundle.step + 1:08}.safetensors"
    try:
        checkpoint_file.write(path, bundle)
    except OSError as reason:
        error.add_note(f"what replays the step was not written: {reason.strerror}: {path}")
        return
    error.add_note(f"to replay the step: tinyseq replay {path}")


def draw_run(
    task: Learning[Any],
    model: nn.Module,
    directory: RunDirectory,
    baselines: dict[str, dict[str, float]],
    best_step: int,
    test: dict[str, float],
    progress: Progress,
) -> None:
    """Leave the run's pictures: the learning curve and, of a finished run, the graph."""
    key = task.measure.key
    title = (
        f"{directory.path.parent.name} {directory.path.name}: {task.config.task}, {model.num_parameters():,} parameters"
    )
    star = (best_step, test[key]) if test else None
    with _only_noted(progress, "curve.png"), directory.drafts() as drafts:
        measure = task.measure
        curves = learning_curves(
            directory.rows(progress.note),
            measure.key,
            measure.label,
            lower_is_better=measure.lower_is_better,
            baselines=baselines,
            test=star,
            title=title,
        )
        save(curves, drafts / "curve.png")
    if test:
        with _only_noted(progress, "graph.svg"), directory.drafts() as drafts:
            draw_example(task, model, GRAPH_STEPS, drafts / "graph.svg")


def draw_example(task: Learning[Any], model: Any, steps: int, path: Path) -> None:
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
    task: Learning[Any],
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
        "skipped": outcome.skipped,
        "compiled": outcome.compiled,
        "baselines": baselines,
        "steps": outcome.steps,
        "parameters": model.num_parameters(),
        "tokens": outcome.tokens,
        "seconds": round(seconds, 3),
        "train_seconds": round(outcome.seconds, 3),
        "tokens_per_second": round(outcome.tokens_per_second, 1),
    }
