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
from tinyseq.train.registry import find_optimizer
from tinyseq.train.schedules import factor
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
    task: Task[Any], model: nn.Module, config: TrainConfig, progress: Progress, record: Callable[[Row], None]
) -> Outcome:
    """Train a model, keeping the weights that were best on the validation part.

    Args:
        task: where batches, losses and judgements come from.
        model: what learns.
        config: how.
        progress: what is told how it goes.
        record: takes a row of metrics every ``log_every`` steps and after each evaluation.

    Returns:
        the outcome; an interrupt (Ctrl-C) or a divergence ends the loop and is noted there, so that the run can be
        written down.
    """
    outcome = Outcome()
    optimizer = find_optimizer(config.optimizer.name)(
        model.parameters(), config.optimizer.lr, **config.optimizer.options
    )
    progress.start(config.steps)
    try:
        # A loss that overflows is reported in words below; NumPy's warnings would only add noise.
        with np.errstate(all="ignore"):
            _steps(task, model, optimizer, config, progress, record, outcome)
    except KeyboardInterrupt:
        outcome.interrupted = True
    except DivergedError as error:
        outcome.error = error
    finally:
        progress.stop()
    return outcome


def _steps(
    task: Task[Any],
    model: nn.Module,
    optimizer: optim.Optimizer,
    config: TrainConfig,
    progress: Progress,
    record: Callable[[Row], None],
    outcome: Outcome,
) -> None:
    batches = task.batches()
    state: Any = None
    total, count = 0.0, 0  # of the losses since the last row
    model.train()
    for step in range(1, config.steps + 1):
        began = time.perf_counter()
        schedule = config.schedule
        share = factor(schedule.name, step, config.steps, warmup=schedule.warmup, final=schedule.final)
        optimizer.lr = config.optimizer.lr * share
        result = task.step(model, next(batches), state)
        loss = float(result.loss.item())
        _require_finite("loss", loss, step, config)
        result.loss.backward()
        row: Row = {"lr": optimizer.lr}
        if config.clip_norm is not None:
            row["grad_norm"] = float(optim.clip_grad_norm(optimizer.parameters, config.clip_norm).item())
            _require_finite("gradient norm", row["grad_norm"], step, config)
        optimizer.step()
        optimizer.zero_grad()
        state = detach(result.state)
        outcome.steps, outcome.tokens = step, outcome.tokens + result.tokens
        outcome.seconds += time.perf_counter() - began
        total, count = total + loss * result.tokens, count + result.tokens
        if step % config.log_every == 0 or step == config.steps:
            metrics = task.metrics(total / count)
            speed = {"seconds": round(outcome.seconds, 4), "tokens_per_second": round(outcome.tokens_per_second, 1)}
            record({"step": step, "split": "train", **metrics, "tokens": outcome.tokens, **row, **speed})
            progress.step(step, metrics, outcome.tokens_per_second)
            total, count = 0.0, 0
        if step % config.evaluate_every == 0 or step == config.steps:
            _evaluate(task, model, config, progress, record, outcome)


def _evaluate(
    task: Task[Any],
    model: nn.Module,
    config: TrainConfig,
    progress: Progress,
    record: Callable[[Row], None],
    outcome: Outcome,
) -> None:
    model.eval()
    metrics = task.evaluate(model, "valid")
    model.train()
    value = metrics[task.measure.key]
    _require_finite(f"validation {task.measure.key}", value, outcome.steps, config)
    best = task.measure.better(value, outcome.best.get(task.measure.key))
    if best:
        outcome.best, outcome.best_step = metrics, outcome.steps
        outcome.weights = snapshot(model)
    record({"step": outcome.steps, "split": "valid", **metrics})
    progress.evaluated(outcome.steps, metrics, best)


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
