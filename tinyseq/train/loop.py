"""The training loop. It knows no task: batches come from one, losses too; what is here is the same for all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyseq import nn, optim
from tinyseq.errors import TinyseqError
from tinyseq.functional import detach
from tinyseq.train.config import TrainConfig
from tinyseq.train.progress import Progress
from tinyseq.train.stepping import Stepper
from tinyseq.train.tasks.base import Task

Row = dict[str, Any]


class DivergedError(TinyseqError, ArithmeticError):
    """A loss or a gradient that is no longer a finite number."""


@dataclass
class Outcome:
    """How far the loop came, and the best it saw."""

    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    best_step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    #: Parameters at the best validation, by name.
    weights: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    interrupted: bool = False
    #: Whether the loop ended before its last step, because nothing better came.
    stopped_early: bool = False
    #: Whether losses ran from a compiled plan.
    compiled: bool = False
    error: DivergedError | None = None

    @property
    def status(self) -> str:
        """``done``, ``interrupted`` or ``diverged``."""
        return "diverged" if self.error else "interrupted" if self.interrupted else "done"

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
) -> Outcome:
    """Train a model, keeping the weights that were best on the validation part.

    Args:
        task: where batches, losses and judgements come from.
        model: what learns.
        config: how.
        progress: what is told how it goes.
        record: takes a row of metrics every ``log_every`` steps and after each evaluation.
        compiled: whether a task that can be compiled is.

    Returns:
        the outcome; an interrupt (Ctrl-C) or a divergence ends the loop and is noted there, so that the run can be
        written down.
    """
    outcome = Outcome()
    loop = _Loop(task, model, config, progress, record, outcome)
    progress.start(config.steps)
    try:
        # A loss that overflows is reported in words below; NumPy's warnings would only add noise.
        with np.errstate(all="ignore"):
            if task.one_pass:
                loop.fit()
            else:
                loop.run(Stepper(task, model, progress, compiled=compiled))
    except KeyboardInterrupt:
        outcome.interrupted = True
    except DivergedError as error:
        outcome.error = error
    finally:
        progress.stop()
    return outcome


@dataclass
class _Loop:
    """What the steps of one run share."""

    task: Task[Any]
    model: nn.Module
    config: TrainConfig
    progress: Progress
    record: Callable[[Row], None]
    outcome: Outcome
    #: Looks at the validation part since the best.
    without_best: int = 0

    def run(self, stepper: Stepper) -> None:
        """Step along gradients, until the last step or until nothing better comes."""
        task, config, outcome = self.task, self.config, self.outcome
        optimizer = config.optimizer.make(self.model.parameters())
        schedule = config.schedule.make(config.steps, lower_is_better=task.measure.lower_is_better)
        scheduler = optim.Scheduler(optimizer, schedule)  # counts updates; hears of each look at the validation part
        batches = task.batches()
        state: Any = None
        total, count = 0.0, 0  # of the losses since the last row
        self.model.train()
        for step in range(1, config.steps + 1):
            began = time.perf_counter()
            result = stepper(next(batches), state)
            loss = float(result.loss.item())
            _require_finite("loss", loss, step, config)
            result.loss.backward()
            row: Row = {"lr": optimizer.lr, **self.clip(optimizer, step)}
            optimizer.step()
            optimizer.zero_grad()
            self.model.constrain()
            state = detach(result.state)
            outcome.steps, outcome.tokens = step, outcome.tokens + result.tokens
            outcome.seconds += time.perf_counter() - began
            outcome.compiled = stepper.compiled
            total, count = total + loss * result.tokens, count + result.tokens
            if step % config.log_every == 0 or step == config.steps:
                self.row(step, total / count, row)
                total, count = 0.0, 0
            if step % config.evaluate_every == 0 or step == config.steps:
                scheduler.step(self.evaluate())
                if config.patience is not None and self.without_best >= config.patience and step < config.steps:
                    outcome.stopped_early = True
                    self.progress.note(f"stopped early: nothing better since step {outcome.best_step}")
                    return
            else:
                scheduler.step()

    def fit(self) -> None:
        """Train in one pass."""
        began = time.perf_counter()
        self.model.train()
        self.outcome.tokens = self.task.fit(self.model)
        self.outcome.steps, self.outcome.seconds = 1, time.perf_counter() - began
        self.evaluate()

    def clip(self, optimizer: optim.Optimizer, step: int) -> Row:
        """Clip the gradients, by value and then by norm; return their norm in between, where it is known."""
        config = self.config
        if config.clip_value is not None:
            optim.clip_grad_value(optimizer.parameters, config.clip_value)
        if config.clip_norm is None:
            return {}
        norm = float(optim.clip_grad_norm(optimizer.parameters, config.clip_norm).item())
        _require_finite("gradient norm", norm, step, config)
        return {"grad_norm": norm}

    def row(self, step: int, loss: float, row: Row) -> None:
        """Record and show how training goes."""
        outcome, metrics = self.outcome, self.task.metrics(loss)
        speed = {"seconds": round(outcome.seconds, 4), "tokens_per_second": round(outcome.tokens_per_second, 1)}
        self.record({"step": step, "split": "train", **metrics, "tokens": outcome.tokens, **row, **speed})
        self.progress.step(step, metrics, outcome.tokens_per_second)

    def evaluate(self) -> float:
        """Look at the validation part, keep the weights if they are the best, and return the measure."""
        task, outcome = self.task, self.outcome
        self.model.eval()
        metrics = task.evaluate(self.model, "valid")
        self.model.train()
        value = metrics[task.measure.key]
        _require_finite(f"validation {task.measure.key}", value, outcome.steps, self.config)
        best = task.measure.better(value, outcome.best.get(task.measure.key))
        self.without_best = 0 if best else self.without_best + 1
        if best:
            outcome.best, outcome.best_step = metrics, outcome.steps
            outcome.weights = snapshot(self.model)
        self.record({"step": outcome.steps, "split": "valid", **metrics})
        self.progress.evaluated(outcome.steps, metrics, best)
        return value


def snapshot(model: nn.Module) -> dict[str, np.ndarray[Any, Any]]:
    """Return parameters and buffers by name, on the host."""
    return {name: np.array(value.numpy()) for name, value in model.state_dict().items()}


def _require_finite(what: str, value: float, step: int, config: TrainConfig) -> None:
    if not math.isfinite(value):
        clip = "null" if config.clip_norm is None else f"{config.clip_norm:g}"
        raise DivergedError(
            f"training diverged: the {what} is not a finite number",
            required="a finite number",
            got=str(value),
            where=f"step {step} of {config.steps}",
            fix=f"a smaller train.optimizer.lr (now {config.optimizer.lr:g}), a warm-up (train.schedule.warmup), or a "
            f"smaller train.clip_norm (now {clip})",
        )
