"""Validation: the metrics of a model on the validation part, while it is trained."""

from __future__ import annotations

import json
import math
from typing import Any

from tinyseq import nn
from tinyseq.errors import BackendError, GraphError, TinyseqError
from tinyseq.random import generator
from tinyseq.train.config.run_config import TrainConfig
from tinyseq.train.loop.nonfinite import not_finite
from tinyseq.train.loop.planned import CompiledModel
from tinyseq.train.loop.progress import Progress
from tinyseq.train.loop.ranks import Ranks
from tinyseq.train.tasks.learning import Learning

#: Validations that run eagerly before one is compiled: what runs once is not worth a plan.
EAGER_VALIDATIONS = 1


class Validator:
    """The metrics of a model on the validation part.

    Where training runs from plans, calls of the model run from plans of their own, which compute no gradients. Whether
    a validation does follows from its step alone: a run that goes on from a checkpoint computes what it would have.
    """

    def __init__(
        self,
        task: Learning[Any],
        model: nn.Module,
        config: TrainConfig,
        progress: Progress,
        ranks: Ranks | None = None,
    ) -> None:
        self.ranks = ranks or Ranks()
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
        metrics = self._metrics(step, compiled=compiled) if self.ranks.first else {}
        if self.ranks.size > 1:
            # The first rank's numbers are everybody's, so that all agree on what is best and when it is enough; and so
            # are its draws' numbers, which its look at the data has moved on.
            told = json.dumps([metrics, generator.calls]).encode() if self.ranks.first else b""
            metrics, generator.calls = json.loads(self.ranks.broadcast(told))
        key = self.task.measure.key
        if not math.isfinite(metrics[key]):
            raise not_finite(f"validation {key}", metrics[key], step, self.config)
        return metrics

    def _metrics(self, step: int, *, compiled: bool) -> dict[str, float]:
        self.model.eval()
        number = -(-step // self.config.evaluate_every)
        metrics = self._planned() if compiled and number > EAGER_VALIDATIONS else None
        if metrics is None:
            metrics = self.task.evaluate(self.model, "valid")
        self.model.train()
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
