"""Validation: the metrics of a model on the validation part, while it is trained."""

from __future__ import annotations

import math
from typing import Any

from tinyseq import nn
from tinyseq.errors import BackendError, GraphError, TinyseqError
from tinyseq.train.config.run_config import TrainConfig
from tinyseq.train.loop.nonfinite import not_finite
from tinyseq.train.loop.planned import CompiledModel
from tinyseq.train.loop.progress import Progress
from tinyseq.train.tasks.learning import Learning

#: Validations that run eagerly before one is compiled: what runs once is not worth a plan.
EAGER_VALIDATIONS = 1


class Validator:
    """The metrics of a model on the validation part.

    Where training runs from plans, calls of the model run from plans of their own, which compute no gradients. Whether
    a validation does follows from its step alone: a run that goes on from a checkpoint computes what it would have.
    """

    def __init__(self, task: Learning[Any], model: nn.Module, config: TrainConfig, progress: Progress) -> None:
        self.task, self.model, self.config, self.progress = task, model, config, progress
        self.planned: CompiledModel | None = CompiledModel(model)

    def __call__(self, step: int, *, compiled: bool) -> dict[str, float]:
        """Return the metrics after a step.

        Args:
            step: how many steps were made.
            compiled: whether training runs from a plan.

        Raises:
            DivergedError: the measure is not finite.
        """
        self.model.eval()
        number = -(-step // self.config.evaluate_every)
        metrics = self._planned() if compiled and number > EAGER_VALIDATIONS else None
        if metrics is None:
            metrics = self.task.evaluate(self.model, "valid")
        self.model.train()
        key = self.task.measure.key
        if not math.isfinite(metrics[key]):
            raise not_finite(f"validation {key}", metrics[key], step, self.config)
        return metrics

    def _planned(self) -> dict[str, float] | None:
        """Return the metrics, computed from plans; None where the model cannot be compiled."""
        if self.planned is not None:
            try:
                return self.task.evaluate(self.planned, "valid")
            except (GraphError, BackendError, MemoryError) as error:  # plans keep the memory that they work in
                reason = error.what if isinstance(error, TinyseqError) else "no memory for its plans"
                self.progress.note(f"validation is not compiled, runs eagerly: {reason}")
                self.planned = None
        return None
