"""The training loop. It knows no task: batches come from one, losses too; what is here is the same for all."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinyseq import nn, optim, trees
from tinyseq.tensors import Tensor
from tinyseq.train.config.run_config import TrainConfig
from tinyseq.train.loop.nonfinite import SKIPPED_IN_A_ROW, DivergedError, bundle_of, diverged, locate
from tinyseq.train.loop.progress import Progress
from tinyseq.train.loop.ranks import Ranks
from tinyseq.train.loop.sharded_step import ShardedStep
from tinyseq.train.loop.signals import Stop, stop_on_signals
from tinyseq.train.loop.train_state import TrainState, snapshot
from tinyseq.train.loop.train_step import StepOutput, TrainStep
from tinyseq.train.loop.validation import Validator
from tinyseq.train.storage.checkpoint_file import Array, Checkpoint
from tinyseq.train.tasks.learning import Learning

Row = dict[str, Any]
#: Asked after each validation, with the step and the metrics: why training is to end there, or None.
StopWhen = Callable[[int, Mapping[str, float]], "str | None"]


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
    #: Whether the loop ended before its last step, because nothing better came, or ``stop_when`` said so.
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
    task: Learning[Any],
    model: nn.Module,
    config: TrainConfig,
    progress: Progress,
    record: Callable[[Row], None],
    *,
    compiled: bool = False,
    save: Callable[[Checkpoint], None] | None = None,
    start: Checkpoint | None = None,
    ranks: Ranks | None = None,
    stop_when: StopWhen | None = None,
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
        ranks: the processes that share the run, all of which call this; by default there is one.
        stop_when: asked by the first rank after each validation; a reason ends the loop.

    Returns:
        the outcome; an interrupt (Ctrl-C) or a divergence ends the loop and is noted there, so that the run can be
        written down.

    Raises:
        DataError: ``start`` is of another model.
    """
    outcome = Outcome()
    ranks = ranks or Ranks()
    # A loss that overflows is reported in words; NumPy's warnings would only add noise.
    with np.errstate(all="ignore"), stop_on_signals(progress.note) as stop:
        try:
            if task.one_pass:
                _fit(task, model, config, progress, record, outcome)
                if stop.asked:
                    raise stop.error()
            else:
                train_step = TrainStep(task, model, config, progress, compiled=compiled)
                if config.shards > 1:
                    train_step = ShardedStep(task, model, config, progress, compiled=compiled, ranks=ranks)
                    train_step.asked = lambda: stop.asked
                loop = _TrainLoop(
                    task, model, config, progress, record, outcome, stop, save, train_step, ranks, stop_when
                )
                if start is not None:
                    loop.train_state.restore(start)
                progress.start(config.steps, loop.train_state.step)
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
    output: StepOutput


class _TrainLoop:
    """What the steps of one run share.

    Where steps are asynchronous, the next step is launched before the numbers of this one are waited for: what the host
    does for a step then costs no time of the device. ``train_state`` is never ahead; the model, the optimiser, its
    schedule and the random numbers are, by the steps in ``launched``. A step after which one of these is looked at is
    waited for, and whatever ends the loop, what was launched and not counted is taken back.
    """

    def __init__(
        self,
        task: Learning[Any],
        model: nn.Module,
        config: TrainConfig,
        progress: Progress,
        record: Callable[[Row], None],
        outcome: Outcome,
        stop: Stop,
        save: Callable[[Checkpoint], None] | None,
        train_step: TrainStep,
        ranks: Ranks,
        stop_when: StopWhen | None,
    ) -> None:
        self.task, self.model, self.config, self.progress, self.record = task, model, config, progress, record
        self.outcome, self.stop, self.save, self.train_step = outcome, stop, save, train_step
        self.ranks, self.stop_when = ranks, stop_when
        #: Why ``stop_when`` ended the loop.
        self.ended = ""
        schedule = config.schedule.make(config.steps, lower_is_better=task.measure.lower_is_better)
        # Counts updates, and is told the measure of each validation.
        scheduler = optim.Scheduler(train_step.optimizer, schedule)
        self.train_state = TrainState(model, train_step.optimizer, scheduler)
        self.validate = Validator(task, model, config, progress, ranks)
        self.saved = -1
        self.batches: Iterator[Any] = iter(())
        #: Steps that ``train_state`` does not know yet: this one, and the next where that was launched already.
        self.launched: deque[_Launched] = deque()
        #: Batches that were drawn and belong to no step that was launched: those of steps that were taken back.
        self.waiting_batches: deque[Any] = deque()
        #: Whether two steps may be on their way at a time, as far as is known.
        self.fits_two_steps = True

    def run(self) -> None:
        """Step along gradients, until the last step, until nothing better comes, or until asked to stop."""
        config, train_state = self.config, self.train_state
        self.report()
        self.model.train()
        self.batches = itertools.islice(self.task.batches(), train_state.step, None)
        try:
            while train_state.step < config.steps and not self.enough():
                new_best = self.step()
                if (new_best and config.checkpoint.keep_best) or config.checkpoint.due(train_state.step):
                    self.checkpoint()
                if self.asked():
                    self.take_back()
                    self.checkpoint()
                    raise self.stop.error()
            self.checkpoint()
        finally:
            self.take_back()

    def asked(self) -> bool:
        """Whether to stop: what one rank was asked, all do after the step in which they told each other."""
        if isinstance(self.train_step, ShardedStep):
            self.stop.asked_elsewhere = self.train_step.any_asked
            return self.train_step.any_asked
        return self.stop.asked

    def enough(self) -> bool:
        """Whether nothing better has come for too long, or ``stop_when`` said to end."""
        patience, train_state = self.config.patience, self.train_state
        if self.ended:
            self.outcome.stopped_early = True
            self.progress.note(f"stopped early: {self.ended}")
            return True
        if patience is None or train_state.without_best < patience:
            return False
        self.outcome.stopped_early = True
        self.progress.note(f"stopped early: nothing better since step {train_state.best_step}")
        return True

    def launch(self, state: Any) -> None:
        """Launch a step from the next batch."""
        self.draw_batch()
        rate, schedule = self.train_step.optimizer.lr, self.train_state.scheduler.state_dict()
        output = self.train_step(self.waiting_batches[0], state)
        self.launched.append(_Launched(self.waiting_batches.popleft(), rate, schedule, output))

    def launch_ahead(self, state: Any) -> None:
        """Launch the step after the one that is waited for, which may be a bad one.

        What raises here may do so for that, or since the device has no room for the weights of both steps: it is
        launched when its turn comes, and may raise then.
        """
        self.draw_batch()
        schedule = self.train_state.scheduler.state_dict()
        self.train_state.scheduler.step()
        try:
            self.launch(state)
        except Exception as error:
            self.train_state.scheduler.load_state_dict(schedule)
            self.fits_two_steps = not isinstance(error, MemoryError)

    def draw_batch(self) -> None:
        """Draw a batch, unless one waits."""
        if not self.waiting_batches:
            self.waiting_batches.append(next(self.batches))

    def may_go_ahead(self, step: int) -> bool:
        """Whether the step after this one may be launched before the numbers of this one are known."""
        config = self.config
        looked_at = step == config.steps or step % config.evaluate_every == 0 or config.checkpoint.due(step)
        return self.train_step.asynchronous and self.fits_two_steps and not looked_at and not self.stop.asked

    def take_back(self) -> None:
        """Undo what was launched and not counted; the batch of a step that was ahead comes again."""
        if self.launched:
            first, *later = self.launched
            self.launched.clear()
            self.waiting_batches.extend(one.batch for one in later)
            self.train_step.rewind(first.output)
            self.train_state.scheduler.load_state_dict(first.schedule)

    def step(self) -> bool:
        """Make a step, with the rows, the validation and the learning rate that follow from it.

        Returns:
            whether the weights are now the best so far.
        """
        config, train_state = self.config, self.train_state
        began = time.perf_counter()
        if not self.launched:
            self.launch(train_state.state)
        batch, rate, _, output = self.launched[0]
        if self.may_go_ahead(train_state.step + 1):
            self.launch_ahead(output.state)
        row: Row = {"lr": rate}
        if output.nonfinite is None:
            self.launched.popleft()
            train_state.skipped_in_a_row = 0
            train_state.state = output.state
            train_state.tokens += output.tokens
            train_state.total += output.loss * output.tokens
            train_state.count += output.tokens
            if config.clip_norm is not None:
                row["grad_norm"] = output.grad_norm
        else:
            self.take_back()
            self.on_nonfinite_step(batch, output.nonfinite)
        train_state.step += 1
        train_state.seconds += time.perf_counter() - began
        self.report()
        last = train_state.step == config.steps
        if train_state.step % config.log_every == 0 or last:
            self.row(row)
        if train_state.step % config.evaluate_every == 0 or last:
            value, best = self.evaluate()
            train_state.scheduler.step(value)
            return best
        if not self.launched:
            train_state.scheduler.step()
        return False

    def on_nonfinite_step(self, batch: Any, nonfinite: tuple[str, float]) -> None:
        """Leave out a step that was taken back, for what is not finite in it, or end the run and say where that began.

        Raises:
            DivergedError: the config says to stop, or too many steps in a row were left out.
        """
        config, train_state = self.config, self.train_state
        what, value = nonfinite
        train_state.state = self.train_step.whole(train_state.state)
        if config.on_nonfinite == "skip" and train_state.skipped_in_a_row < SKIPPED_IN_A_ROW:
            train_state.skipped += 1
            train_state.skipped_in_a_row += 1
            if not _finite(train_state.state):
                train_state.state = None
            self.progress.note(f"step {train_state.step + 1} left out: the {what} is {value}")
            return
        origin = None
        for part, state in self.train_step.shards_of(batch, train_state.state):
            try:
                arguments = self.task.feed(self.model, part, state).arguments
                self.outcome.bundle = bundle_of(train_state.capture(), arguments, what, value)
            except NotImplementedError:  # a task with a step of its own has nothing that could be replayed without it
                arguments = ()
            origin = locate(self.model, partial(self.loss_of, part, state), arguments)
            if origin is not None:
                break
        raise diverged(what, value, train_state.step + 1, config, origin)

    def loss_of(self, batch: Any, state: Any) -> Tensor:
        """Return the loss of a batch, run eagerly."""
        return self.task.step(self.model, batch, state).loss

    def checkpoint(self) -> None:
        """Hand a checkpoint of now to whoever writes it, once a step."""
        if self.saved != self.train_state.step:
            self.saved = self.train_state.step
            self.train_state.state = self.train_step.whole(self.train_state.state)
            if self.save is not None:
                self.save(self.train_state.capture())

    def row(self, row: Row) -> None:
        """Record and show how training goes."""
        train_state, outcome = self.train_state, self.outcome
        # Where all steps since the last row were left out there is no loss to tell.
        metrics = self.task.metrics(train_state.total / train_state.count) if train_state.count else {}
        train_state.total, train_state.count = 0.0, 0
        if train_state.skipped:
            row["skipped"] = train_state.skipped
        speed = {"seconds": round(train_state.seconds, 4), "tokens_per_second": round(outcome.tokens_per_second, 1)}
        self.record(
            {"step": train_state.step, "split": "train", **metrics, "tokens": train_state.tokens, **row, **speed}
        )
        self.progress.step(train_state.step, metrics, outcome.tokens_per_second)

    def evaluate(self) -> tuple[float, bool]:
        """Validate, and keep the weights if they are the best; return the measure, and whether they are."""
        train_state, key = self.train_state, self.task.measure.key
        metrics = self.validate(train_state.step, compiled=self.train_step.compiled)
        best = self.task.measure.better(metrics[key], train_state.best.get(key))
        train_state.without_best = 0 if best else train_state.without_best + 1
        if best:
            train_state.best, train_state.best_step = metrics, train_state.step
            train_state.weights = snapshot(self.model)
        self.report()
        self.record({"step": train_state.step, "split": "valid", **metrics})
        self.progress.evaluated(train_state.step, metrics, best)
        if self.stop_when is not None:  # what the first rank knows, the others hear
            told = (self.stop_when(train_state.step, metrics) or "") if self.ranks.first else ""
            self.ended = self.ranks.broadcast(told.encode()).decode()
        return metrics[key], best

    def report(self) -> None:
        """Let the outcome tell how far the loop is, whatever ends it."""
        outcome, train_state = self.outcome, self.train_state
        outcome.steps, outcome.tokens, outcome.seconds = train_state.step, train_state.tokens, train_state.seconds
        outcome.skipped, outcome.compiled = train_state.skipped, self.train_step.compiled
        outcome.best, outcome.best_step, outcome.weights = train_state.best, train_state.best_step, train_state.weights


def _fit(
    task: Learning[Any],
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
    outcome.best, outcome.best_step = Validator(task, model, config, progress)(1, compiled=False), 1
    outcome.weights = snapshot(model)
    record({"step": 1, "split": "valid", **outcome.best})
    progress.evaluated(1, outcome.best, True)


def _finite(state: Any) -> bool:
    return all(np.isfinite(part.numpy()).all() for _, part in trees.leaves(state))
