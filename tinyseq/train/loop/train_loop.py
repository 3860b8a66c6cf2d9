"""The training loop. It knows no task: batches come from one, losses too; what is here is the same for all."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from tinyseq import nn, optim, trees
from tinyseq.train.config.run_config import TrainConfig
from tinyseq.train.loop.nonfinite import SKIPPED_IN_A_ROW, DivergedError, bundle_of, diverged, locate
from tinyseq.train.loop.progress import Progress
from tinyseq.train.loop.signals import Stop, stop_on_signals
from tinyseq.train.loop.train_state import Standing, snapshot
from tinyseq.train.loop.train_step import Stepped, Stepper
from tinyseq.train.loop.validation import Judge
from tinyseq.train.storage.checkpoint_file import Array, Checkpoint
from tinyseq.train.tasks.base import Task

Row = dict[str, Any]


@dataclass
class Outcome:
    """How far the loop came, and the best it saw."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    skipped: int = 0
    best_step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    #: Parameters at the best validation, by name.
    weights: dict[str, Array] = field(default_factory=dict)
    #: What ended the loop before its last step: a signal, or an interrupt from elsewhere.
    interrupt: KeyboardInterrupt | None = None
    #: Whether it shall end at once, with nothing more written.
    at_once: bool = False
    #: Whether the loop ended before its last step, because nothing better came.
    stopped_early: bool = False
    #: Whether losses ran from a compiled plan.
    compiled: bool = False
    error: DivergedError | None = None
    #: What replays the step that was not finite.
    bundle: Checkpoint | None = None

    @property
    def status(self) -> str:
        """``done``, ``interrupted`` or ``diverged``."""
        return "diverged" if self.error else "interrupted" if self.interrupt else "done"

    @property
    def tokens_per_second(self) -> float:
        """Training tokens a second, evaluations left out."""
        return self.tokens / self.seconds if self.seconds else 0.0


def train(
    task: Task[Any],
    model: nn.Module,
    config: TrainConfig,
    progress: Progress,
    record: Callable[[Row], None],
    *,
    compiled: bool = False,
    save: Callable[[Checkpoint], None] | None = None,
    start: Checkpoint | None = None,
) -> Outcome:
    """Train a model, keeping the weights that were best on the validation part.

    Args:
        task: where batches, losses and judgements come from.
        model: what learns.
        config: how.
        progress: what is told how it goes.
        record: takes a row of metrics every ``log_every`` steps and after each evaluation.
        compiled: whether a task that can be compiled is.
        save: takes a checkpoint when one is due.
        start: the checkpoint to go on from; all that follows is as if the run had never stopped.

    Returns:
        the outcome; an interrupt (Ctrl-C) or a divergence ends the loop and is noted there, so that the run can be
        written down.

    Raises:
        DataError: ``start`` is of another model.
    """
    outcome = Outcome()
    # A loss that overflows is reported in words; NumPy's warnings would only add noise.
    with np.errstate(all="ignore"), stop_on_signals(progress.note) as stop:
        try:
            if task.one_pass:
                _fit(task, model, config, progress, record, outcome)
                if stop.asked:
                    raise stop.error()
            else:
                stepper = Stepper(task, model, config, progress, compiled=compiled)
                loop = _Loop(task, model, config, progress, record, outcome, stop, save or (lambda _: None), stepper)
                if start is not None:
                    loop.standing.restore(start)
                progress.start(config.steps, loop.standing.step)
                loop.run()
        except KeyboardInterrupt as interrupt:
            outcome.interrupt, outcome.at_once = interrupt, stop.at_once
        except DivergedError as error:
            outcome.error = error
        finally:
            progress.stop()
    return outcome


class _Launched(NamedTuple):
    """A step on its way: what it was launched with, and what it gives."""

    batch: Any
    rate: float
    #: The schedule's state of before.
    schedule: dict[str, Any]
    stepped: Stepped


class _Loop:
    """What the steps of one run share.

    Where steps are asynchronous, the next step is launched before the numbers of this one are waited for: what the host
    does for a step then costs no time of the device. ``standing`` is never ahead; the model, the optimiser, its
    schedule and the random numbers are, by the steps in ``launched``. A step after which one of these is looked at is
    waited for, and whatever ends the loop, what was launched and not counted is taken back.
    """

    def __init__(
        self,
        task: Task[Any],
        model: nn.Module,
        config: TrainConfig,
        progress: Progress,
        record: Callable[[Row], None],
        outcome: Outcome,
        stop: Stop,
        save: Callable[[Checkpoint], None],
        stepper: Stepper,
    ) -> None:
        self.task, self.model, self.config, self.progress, self.record = task, model, config, progress, record
        self.outcome, self.stop, self.save, self.stepper = outcome, stop, save, stepper
        schedule = config.schedule.make(config.steps, lower_is_better=task.measure.lower_is_better)
        # Counts updates; hears of each look at the validation part.
        scheduler = optim.Scheduler(stepper.optimizer, schedule)
        self.standing = Standing(model, stepper.optimizer, scheduler)
        self.judge = Judge(task, model, config, progress)
        self.saved = -1
        self.batches: Iterator[Any] = iter(())
        #: Steps that ``standing`` does not know yet: this one, and the next where that was launched already.
        self.launched: deque[_Launched] = deque()
        #: Batches that were drawn and belong to no step that was launched: those of steps that were taken back.
        self.drawn: deque[Any] = deque()
        #: Whether two steps may be on their way at a time, as far as is known.
        self.room = True

    def run(self) -> None:
        """Step along gradients, until the last step, until nothing better comes, or until asked to stop."""
        config, standing = self.config, self.standing
        self.report()
        self.model.train()
        self.batches = itertools.islice(self.task.batches(), standing.step, None)
        try:
            while standing.step < config.steps and not self.enough():
                new_best = self.step()
                if (new_best and config.checkpoint.keep_best) or config.checkpoint.due(standing.step):
                    self.checkpoint()
                if self.stop.asked:
                    self.take_back()
                    self.checkpoint()
                    raise self.stop.error()
            self.checkpoint()
        finally:
            self.take_back()

    def enough(self) -> bool:
        """Whether nothing better has come for too long."""
        patience, standing = self.config.patience, self.standing
        if patience is None or standing.without_best < patience:
            return False
        self.outcome.stopped_early = True
        self.progress.note(f"stopped early: nothing better since step {standing.best_step}")
        return True

    def launch(self, state: Any) -> None:
        """Launch a step from the next batch."""
        self.draw()
        rate, schedule = self.stepper.optimizer.lr, self.standing.scheduler.state_dict()
        stepped = self.stepper(self.drawn[0], state)
        self.launched.append(_Launched(self.drawn.popleft(), rate, schedule, stepped))

    def launch_ahead(self, state: Any) -> None:
        """Launch the step after the one that is waited for, which may be a bad one.

        What raises here may do so for that, or since the device has no room for the weights of both steps: it is
        launched when its turn comes, and may raise then.
        """
        self.draw()
        schedule = self.standing.scheduler.state_dict()
        self.standing.scheduler.step()
        try:
            self.launch(state)
        except Exception as error:
            self.standing.scheduler.load_state_dict(schedule)
            self.room = not isinstance(error, MemoryError)

    def draw(self) -> None:
        """Have a batch at hand."""
        if not self.drawn:
            self.drawn.append(next(self.batches))

    def may_go_ahead(self, step: int) -> bool:
        """Whether the step after this one may be launched before the numbers of this one are known."""
        config = self.config
        looked_at = step == config.steps or step % config.evaluate_every == 0 or config.checkpoint.due(step)
        return self.stepper.asynchronous and self.room and not looked_at and not self.stop.asked

    def take_back(self) -> None:
        """Undo what was launched and not counted; the batch of a step that was ahead comes again."""
        if self.launched:
            first, *later = self.launched
            self.launched.clear()
            self.drawn.extend(one.batch for one in later)
            self.stepper.rewind(first.stepped)
            self.standing.scheduler.load_state_dict(first.schedule)

    def step(self) -> bool:
        """Make a step, with the rows, the look at the validation part and the learning rate that follow from it.

        Returns:
            whether the weights are now the best so far.
        """
        config, standing = self.config, self.standing
        began = time.perf_counter()
        if not self.launched:
            self.launch(standing.state)
        batch, rate, _, stepped = self.launched[0]
        if self.may_go_ahead(standing.step + 1):
            self.launch_ahead(stepped.state)
        row: Row = {"lr": rate}
        if stepped.wrong is None:
            self.launched.popleft()
            standing.skipped_in_a_row = 0
            standing.state = stepped.state
            standing.tokens += stepped.tokens
            standing.total += stepped.loss * stepped.tokens
            standing.count += stepped.tokens
            if config.clip_norm is not None:
                row["grad_norm"] = stepped.grad_norm
        else:
            self.take_back()
            self.not_finite(batch, stepped.wrong)
        standing.step += 1
        standing.seconds += time.perf_counter() - began
        self.report()
        last = standing.step == config.steps
        if standing.step % config.log_every == 0 or last:
            self.row(row)
        if standing.step % config.evaluate_every == 0 or last:
            value, best = self.evaluate()
            standing.scheduler.step(value)
            return best
        if not self.launched:
            standing.scheduler.step()
        return False

    def not_finite(self, batch: Any, wrong: tuple[str, float]) -> None:
        """Leave out a step that was taken back, for what is not finite in it, or end the run and say where that began.

        Raises:
            DivergedError: the config says to stop, or too many steps in a row were left out.
        """
        config, standing = self.config, self.standing
        what, value = wrong
        if config.on_nonfinite == "skip" and standing.skipped_in_a_row < SKIPPED_IN_A_ROW:
            standing.skipped += 1
            standing.skipped_in_a_row += 1
            if not _finite(standing.state):
                standing.state = None
            self.progress.note(f"step {standing.step + 1} left out: the {what} is {value}")
            return
        try:
            arguments = self.task.feed(self.model, batch, standing.state).arguments
            self.outcome.bundle = bundle_of(standing.capture(), arguments, what, value)
        except NotImplementedError:  # a task with a step of its own has nothing that could be replayed without it
            arguments = ()
        origin = locate(self.model, lambda: self.task.step(self.model, batch, standing.state).loss, arguments)
        raise diverged(what, value, standing.step + 1, config, origin)

    def checkpoint(self) -> None:
        """Hand a checkpoint of now to whoever writes it, once a step."""
        if self.saved != self.standing.step:
            self.saved = self.standing.step
            self.save(self.standing.capture())

    def row(self, row: Row) -> None:
        """Record and show how training goes."""
        standing, outcome = self.standing, self.outcome
        # Where all steps since the last row were left out there is no loss to tell.
        metrics = self.task.metrics(standing.total / standing.count) if standing.count else {}
        standing.total, standing.count = 0.0, 0
        if standing.skipped:
            row["skipped"] = standing.skipped
        speed = {"seconds": round(standing.seconds, 4), "tokens_per_second": round(outcome.tokens_per_second, 1)}
        self.record({"step": standing.step, "split": "train", **metrics, "tokens": standing.tokens, **row, **speed})
        self.progress.step(standing.step, metrics, outcome.tokens_per_second)

    def evaluate(self) -> tuple[float, bool]:
        """Look at the validation part, keep the weights if they are the best; return the measure, and whether."""
        standing, key = self.standing, self.task.measure.key
        metrics = self.judge(standing.step, compiled=self.stepper.compiled)
        best = self.task.measure.better(metrics[key], standing.best.get(key))
        standing.without_best = 0 if best else standing.without_best + 1
        if best:
            standing.best, standing.best_step = metrics, standing.step
            standing.weights = snapshot(self.model)
        self.report()
        self.record({"step": standing.step, "split": "valid", **metrics})
        self.progress.evaluated(standing.step, metrics, best)
        return metrics[key], best

    def report(self) -> None:
        """Let the outcome tell how far the loop is, whatever ends it."""
        outcome, standing = self.outcome, self.standing
        outcome.steps, outcome.tokens, outcome.seconds = standing.step, standing.tokens, standing.seconds
        outcome.skipped, outcome.compiled = standing.skipped, self.stepper.compiled
        outcome.best, outcome.best_step, outcome.weights = standing.best, standing.best_step, standing.weights


def _fit(
    task: Task[Any],
    model: nn.Module,
    config: TrainConfig,
    progress: Progress,
    record: Callable[[Row], None],
    outcome: Outcome,
) -> None:
    """Train in one pass. It is short: killed, it starts anew."""
    progress.start(1, 0)
    began = time.perf_counter()
    model.train()
    outcome.tokens = task.fit(model)
    outcome.steps, outcome.seconds = 1, time.perf_counter() - began
    outcome.best, outcome.best_step = Judge(task, model, config, progress)(1, compiled=False), 1
    outcome.weights = snapshot(model)
    record({"step": 1, "split": "valid", **outcome.best})
    progress.evaluated(1, outcome.best, True)


def _finite(state: Any) -> bool:
    return all(np.isfinite(part.numpy()).all() for _, part in trees.leaves(state))
