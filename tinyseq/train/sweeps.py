"""Sweeps: runs of one config with other values for some of its settings, any number of processes on one folder."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from tinyseq import files
from tinyseq.errors import BackendError, ConfigError, DataError, TinyseqError
from tinyseq.train.config import yaml
from tinyseq.train.config.overrides import Overrides, as_overrides
from tinyseq.train.config.registry import find_task
from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.config.source import Override
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.ranks import launched
from tinyseq.train.running import read_config, run
from tinyseq.train.search_space import Dimension, Over, Range, dimensions, of_value, override
from tinyseq.train.storage import plain
from tinyseq.train.storage.locking import locked
from tinyseq.train.tasks.measure import Measure

#: What a sweep's folder holds: what it searches, the journal of Optuna, a row a trial, the best config, the runs.
SWEEP, JOURNAL, TRIALS, BEST, RUNS = "sweep.json", "study.journal", "trials.json", "best.yaml", "trials"
#: Trials before the first may be pruned, and before TPE draws by what it has seen.
_FIRST: Final = 5
Sampler = Literal["tpe", "random", "grid"]
SAMPLERS: Final = get_args(Sampler)


@dataclass(frozen=True)
class Trial:
    """A run of a sweep: the values that were drawn for it, and what came of it.

    ``state`` is ``done``, ``pruned``, ``failed`` (``error`` says why), ``running`` or ``stopped``. ``value`` is the
    best of the measure on the validation part, as far as it came; ``run`` the folder of its run directory.
    """

    number: int
    values: dict[str, Any]
    state: str
    value: float | None = None
    run: str = ""
    error: str = ""


@dataclass(frozen=True)
class SweepResult:
    """What a sweep gave: its folder, the trials of all processes so far, and the best of those that were not pruned."""

    folder: Path
    measure: str
    lower_is_better: bool
    trials: tuple[Trial, ...] = field(repr=False)
    best: Trial | None


class _Reporter(SilentProgress):
    """Passes on what a run of a sweep warns of."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self.tell = tell

    def note(self, message: str) -> None:
        if message.startswith("warning"):
            self.tell(f"  {message}")


def sweep(
    config: str | Path | Mapping[str, Any] | RunConfig,
    over: Over,
    *,
    trials: int | None = None,
    sampler: Sampler = "tpe",
    prune: bool = True,
    folder: str | Path | None = None,
    resume: bool = False,
    overrides: Overrides | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> SweepResult:
    """Train a config again and again with other values for some of its settings, and keep the best.

    Any number of processes, on any number of machines, may call this with the same arguments on one folder: each takes
    the next trial, and all end when there are ``trials`` of them. What is drawn for a trial depends on the config's
    seed, the trial's number and the trials that have ended, never on which process draws. Each trial is a run
    directory as of ``ts.run``, and running its ``config.resolved.yaml`` gives its numbers again.

    Args:
        config: a YAML file, the same as a mapping, or a checked config.
        over: settings by dotted key: ``"1e-4:1e-2:log"``, ``"16:256:16"``, ``"lstm,gru"``, a list, a ``Range`` or a
            ``ChoiceOf``.
        trials: how many, by all processes together; by default 20, and on a grid all of its points.
        sampler: ``tpe`` (tree-structured Parzen estimator, Bergstra et al. 2011), ``random``, or ``grid``.
        prune: end a trial whose best validation is behind the median of the others at the same step.
        folder: where; by default ``sweeps/NAME`` in the config's output.
        resume: take up trials whose process is gone, each from its last checkpoint.
        overrides: what replaces settings of the config in every trial.
        tell: takes a line when a trial begins, and one when it ends.

    Raises:
        ConfigError: the config or a value of ``over`` is wrong, or the folder is of another sweep.
        BackendError: optuna is not installed.
        KeyboardInterrupt: after Ctrl-C; the trial goes on from its checkpoint with ``resume``.
    """
    if launched() > 1:
        raise ConfigError(
            "a sweep under mpiexec",
            required="trials of one process each",
            got=f"{launched()} ranks",
            fix="the same `tinyseq sweep` line in as many terminals or jobs, without mpiexec",
        )
    if trials is not None and trials < 1:
        raise ConfigError("trials of a sweep", required="at least 1", got=str(trials))
    space = dimensions(over)
    settings = as_overrides(overrides)
    checked, _, name = read_config(config, settings)
    _refuse_wrong(config, settings, space)
    place = Path(folder) if folder is not None else Path(checked.output, "sweeps", checked.name or name)
    measure = find_task(checked.task)(checked).measure
    count = _count(space, sampler, trials)
    facts = {
        "config": checked.model_dump(mode="json", exclude={"name", "output"}),
        "over": {key: _described(dimension) for key, dimension in space.items()},
        "sampler": sampler,
        "prune": prune,
        "measure": measure.key,
        "label": measure.label,
        "lower_is_better": measure.lower_is_better,
    }
    _open(place, facts)
    return _Sweep(place, config, settings, space, checked.seed, measure, count, facts, tell).run(resume)


def _refuse_wrong(config: Any, settings: list[Override], space: Mapping[str, Dimension]) -> None:
    """Refuse a value that no config may have, before the first trial.

    Raises:
        ConfigError: there is one.
    """
    for key, dimension in space.items():
        if key.split(".")[-1] in ("task", "name", "output"):
            raise ConfigError(f"--over {key}: error: required a setting that trials can be compared over")
        for value in dimension.probes():
            read_config(config, [*settings, of_value(key, value)])


def _count(space: Mapping[str, Dimension], sampler: str, trials: int | None) -> int:
    if sampler not in SAMPLERS:
        raise ConfigError("the sampler of a sweep", required=" or ".join(SAMPLERS), got=repr(sampler))
    if sampler != "grid":
        return 20 if trials is None else trials
    endless = [key for key, dimension in space.items() if dimension.points() is None]
    if endless:
        raise ConfigError(
            f"a grid over {', '.join(endless)}",
            required="a choice, or a range with a step",
            got="a range without end",
            fix=f"--over {endless[0]}=low:high:STEP, or --sampler random",
        )
    points = math.prod(len(dimension.points() or ()) for dimension in space.values())
    return points if trials is None else min(trials, points)


def _described(dimension: Dimension) -> Any:
    return asdict(dimension) if isinstance(dimension, Range) else {"choice": list(dimension.names)}


def _open(place: Path, facts: dict[str, Any]) -> None:
    """Make the sweep's folder, or see that it is of the same sweep."""
    files.make_folder(place)
    with _alone(place):
        path = place / SWEEP
        if not path.exists():
            files.write(path, (plain.dumps(facts, indent=2) + "\n").encode())
            return
        before = described(place)
        now = plain.loads(plain.dumps(facts))
    differences = [key for key in now if key != "config" and before.get(key) != now[key]]
    differences += [f"config {key}" for key in now["config"] if before.get("config", {}).get(key) != now["config"][key]]
    if differences:
        raise ConfigError(
            f"{place} is of another sweep",
            required="the same config, --over, --sampler and --prune in each process on one folder",
            got=f"another {', '.join(differences)}",
            fix="another --folder",
        )


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Wait until no other process draws a trial or writes the table; a process that dies lets go."""
    from filelock import FileLock

    with FileLock(place / ".lock"):
        yield


def described(place: str | Path) -> dict[str, Any]:
    """Return what a sweep's folder says of itself.

    Raises:
        DataError: it is not one, or damaged.
    """
    facts: dict[str, Any] = _read(Path(place) / SWEEP, dict)
    return facts


def trials_of(place: str | Path) -> list[Trial]:
    """Return the trials of a sweep's folder, as they were when the last one of them ended.

    Raises:
        DataError: it is not a sweep's folder, or damaged.
    """
    try:
        return [Trial(**row) for row in _read(Path(place) / TRIALS, list)]
    except TypeError as error:
        raise DataError("the sweep's trials cannot be read", required="rows of trials", got=str(error)) from None


def _read(path: Path, kind: type[Any]) -> Any:
    what, required = "not a sweep's folder, or damaged", f"{path.name}, as `tinyseq sweep` writes it"
    content = plain.read(path, what, required)
    if not isinstance(content, kind):
        raise DataError(what, required=required, got=f"{path}: not of the promised form")
    return content


class _Sweep:
    """A process at work on a sweep."""

    def __init__(
        self,
        place: Path,
        config: Any,
        settings: list[Override],
        space: dict[str, Dimension],
        seed: int,
        measure: Measure,
        count: int,
        facts: dict[str, Any],
        tell: Callable[[str], None],
    ) -> None:
        self.place, self.config, self.settings, self.space = place, config, settings, space
        self.seed, self.measure, self.count, self.facts, self.tell = seed, measure, count, facts, tell
        self.optuna = _optuna()
        self.study = self._study()

    def _study(self) -> Any:
        optuna = self.optuna
        path = self.place / JOURNAL
        with _alone(self.place):
            _mend(path)
            storage = optuna.storages.JournalStorage(
                optuna.storages.journal.JournalFileBackend(str(path), lock_obj=_JournalLock(path))
            )
            # A trial is looked at against the median of those that came as far, once some have.
            pruner = optuna.pruners.MedianPruner(n_startup_trials=_FIRST) if self.facts["prune"] else None
            return optuna.create_study(
                storage=storage,
                study_name="sweep",
                direction="minimize" if self.measure.lower_is_better else "maximize",
                pruner=pruner or optuna.pruners.NopPruner(),
                load_if_exists=True,
            )

    def run(self, resume: bool) -> SweepResult:
        """Take trial after trial until there are enough."""
        if resume:
            self._take_up()
        try:
            while self._one():
                pass
        finally:
            trials = self._write_down()
        best = self._best(trials)
        return SweepResult(self.place, self.measure.key, self.measure.lower_is_better, tuple(trials), best)

    # -- one trial -----------------------------------------------------------------------------------------------------

    def _one(self) -> bool:
        """Run the next trial; return whether there was one."""
        with ExitStack() as held:
            with _alone(self.place):
                trial = self._next()
                if trial is None:
                    return False
                run_name = trial.user_attrs.get("run", f"{trial.number:04}")
                files.make_folder(self.place / RUNS / run_name)
                # Held until the trial ends, in whatever way: who can take it knows that this process is gone.
                held.enter_context(locked(self.place / RUNS / run_name))
            self._run(trial, run_name)
        self._write_down()
        return True

    def _next(self) -> Any:
        """Return a trial with its values drawn, or None where there are enough."""
        states = self.optuna.trial.TrialState
        known = self.study.get_trials(deepcopy=False)
        waits = any(trial.state == states.WAITING for trial in known)
        if not waits and sum(_counts(trial, states) for trial in known) >= self.count:
            return None
        if self.facts["sampler"] == "grid" and not waits:
            self.study.enqueue_trial(self._grid_point(known))
        trial = self.study.ask()
        self.study.sampler = self._sampler(trial.number)
        for key, dimension in self.space.items():
            _suggest(trial, key, dimension)
        return trial

    def _sampler(self, number: int) -> Any:
        """The sampler of one trial: what it draws is a function of the seed, the number and the trials so far."""
        drawn = hashlib.sha256(f"{self.seed} {number}".encode()).digest()
        seed = int.from_bytes(drawn[:4], "little")
        samplers = self.optuna.samplers
        if self.facts["sampler"] == "tpe":
            return samplers.TPESampler(seed=seed, n_startup_trials=2 * _FIRST, constant_liar=True)
        return samplers.RandomSampler(seed=seed)

    def _grid_point(self, known: list[Any]) -> dict[str, Any]:
        """A point that no trial has had, in an order that the seed decides."""
        points = [dict(zip(self.space, p, strict=True)) for p in itertools.product(*self._points())]
        random.Random(self.seed).shuffle(points)
        had = [trial.params for trial in known]
        return next(point for point in points if point not in had)

    def _points(self) -> list[tuple[Any, ...]]:
        return [dimension.points() or () for dimension in self.space.values()]

    def _run(self, trial: Any, run_name: str) -> None:
        states, key = self.optuna.trial.TrialState, self.measure.key
        told = "  ".join(f"{name.split('.')[-1]} {_shown(value)}" for name, value in trial.params.items())
        self.tell(f"trial {trial.number}  {told}")
        pruned = False

        def stop_when(step: int, metrics: Mapping[str, float]) -> str | None:
            nonlocal pruned
            if math.isfinite(metrics[key]):
                trial.report(metrics[key], step)
            pruned = trial.should_prune()
            return f"pruned, {key} {metrics[key]:.4g} is behind the median at step {step}" if pruned else None

        drawn = [override(name, self.space[name], value) for name, value in trial.params.items()]
        try:
            result = run(
                self.config,
                overrides=[*self.settings, *drawn, Override(("name",), run_name, f"name={run_name}")],
                output=self.place / RUNS,
                resume="run" in trial.user_attrs,
                progress=_Reporter(self.tell),
                stop_when=stop_when,
            )
        except TinyseqError as error:
            self._fail(trial, str(error).splitlines()[0])
            return
        value = result.result["valid"].get(key, math.nan)
        if not math.isfinite(value):
            self._fail(trial, f"{key} is {value}")
            return
        trial.set_user_attr("valid", value)
        before = self._best(self._trials())
        self.study.tell(trial, None if pruned else value, state=states.PRUNED if pruned else states.COMPLETE)
        best = not pruned and self.measure.better(value, before.value if before else None)
        end = "  (best so far)" if best else "  pruned" if pruned else ""
        self.tell(f"trial {trial.number}  {key} {value:.4g}{end}  {result.directory}")

    def _fail(self, trial: Any, why: str) -> None:
        trial.set_user_attr("error", why)
        self.study.tell(trial, state=self.optuna.trial.TrialState.FAIL)
        self.tell(f"trial {trial.number}  failed: {why}")

    # -- trials of processes that are gone -----------------------------------------------------------------------------

    def _take_up(self) -> None:
        """Let trials whose process is gone be taken again, from their last checkpoints."""
        states = self.optuna.trial.TrialState
        with _alone(self.place):
            for trial in self.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
                run_name = trial.user_attrs.get("run", f"{trial.number:04}")
                files.make_folder(self.place / RUNS / run_name)
                try:
                    with locked(self.place / RUNS / run_name):
                        self.study.tell(trial.number, state=states.FAIL)
                        if trial.params.keys() == self.space.keys():
                            self.study.enqueue_trial(trial.params, user_attrs={"run": run_name})
                            self.tell(f"trial {trial.number} was stopped; it goes on")
                except DataError:  # somebody is at it
                    continue

    # -- what there is -------------------------------------------------------------------------------------------------

    def _trials(self) -> list[Trial]:
        states = self.optuna.trial.TrialState
        words = {states.COMPLETE: "done", states.PRUNED: "pruned", states.FAIL: "failed", states.RUNNING: "running"}
        known = [
            trial for trial in self.study.get_trials(deepcopy=False) if trial.state in words and _counts(trial, states)
        ]
        return [
            Trial(
                trial.number,
                {key: self.space[key].value(value) for key, value in trial.params.items()},
                words[trial.state],
                trial.user_attrs.get("valid"),
                f"{RUNS}/{trial.user_attrs.get('run', f'{trial.number:04}')}",
                trial.user_attrs.get("error", ""),
            )
            for trial in known
        ]

    def _best(self, trials: list[Trial]) -> Trial | None:
        best: Trial | None = None
        for trial in trials:
            if trial.state == "done" and trial.value is not None:
                best = trial if self.measure.better(trial.value, best.value if best else None) else best
        return best

    def _write_down(self) -> list[Trial]:
        """Write the table and the best config, as they are now."""
        with _alone(self.place):
            trials = self._trials()
            files.write(
                self.place / TRIALS, (plain.dumps([asdict(trial) for trial in trials], indent=1) + "\n").encode()
            )
            best = self._best(trials)
            if best is not None:
                drawn = [of_value(key, value) for key, value in best.values.items()]
                config, _, _ = read_config(self.config, [*self.settings, *drawn])
                key = self.measure.key
                heading = (
                    f"The best of {len(trials)} trials: trial {best.number}, {key} {best.value:.6g} on validation."
                )
                text = yaml.write(config.model_dump(mode="json"), heading=heading)
                files.write(self.place / BEST, text.encode())
        return trials


def _counts(trial: Any, states: Any) -> bool:
    """Whether a trial is one of those asked for: one that was stopped is not, the one that goes on with it is."""
    return trial.state != states.FAIL or "error" in trial.user_attrs


def _suggest(trial: Any, key: str, dimension: Dimension) -> None:
    if not isinstance(dimension, Range):
        trial.suggest_categorical(key, dimension.names)
    elif dimension.whole:
        trial.suggest_int(key, dimension.low, dimension.high, step=dimension.step or 1, log=dimension.log)
    else:
        trial.suggest_float(key, dimension.low, dimension.high, step=dimension.step, log=dimension.log)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise BackendError(
            "a sweep needs optuna", required="optuna", got=str(error), fix='pip install "tinyseq[sweep]"'
        ) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class _JournalLock:
    """The lock of Optuna's journal: the system's, so that of a process that died is free at once.

    Optuna's own is a file, for which the others wait half a minute after such an end.
    """

    def __init__(self, path: Path) -> None:
        from filelock import FileLock

        self.lock = FileLock(path.with_suffix(".lock"))
        self.path = path

    def acquire(self) -> bool:
        self.lock.acquire()
        _mend(self.path)
        return True

    def release(self) -> None:
        self.lock.release()


def _mend(path: Path) -> None:
    """Cut off a line that was not written to its end (a full disk, power): one more after it, and none can be read."""
    try:
        with path.open("r+b") as journal:
            end = journal.seek(0, 2)
            start = max(0, end - (1 << 20))
            journal.seek(start)
            tail = journal.read()
            if tail and not tail.endswith(b"\n"):
                journal.truncate(start + tail.rfind(b"\n") + 1)
    except FileNotFoundError:
        return
