"""One training step, from a batch to what it gave: loss, gradients, clipping, update."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tinyseq import nn, optim
from tinyseq.compiler import CompiledFunction, compile
from tinyseq.errors import BackendError, GraphError
from tinyseq.functional import detach
from tinyseq.random import generator
from tinyseq.tensors import Tensor
from tinyseq.train.config import TrainConfig
from tinyseq.train.progress import Progress
from tinyseq.train.tasks.base import StepResult, Task


class Stepped(NamedTuple):
    """What a step gave: numbers for a row of metrics, and the state that the next step starts from."""

    loss: float
    grad_norm: float
    tokens: int
    state: Any

    @property
    def wrong(self) -> tuple[str, float] | None:
        """Return what is not a finite number, and what it is instead; None where all is well."""
        if not math.isfinite(self.loss):
            return "loss", self.loss
        return None if math.isfinite(self.grad_norm) else ("gradient norm", self.grad_norm)


class Stepper:
    """Trains a model by steps; what a step computes runs from the compiler's plan where that is asked for and possible.

    A loss that cannot be traced (a cell of one's own that looks at values) or a backend that the compiler does not know
    is noted once, and the run goes on eagerly: the numbers are the same.
    """

    def __init__(
        self, task: Task[Any], model: nn.Module, config: TrainConfig, progress: Progress, *, compiled: bool
    ) -> None:
        self.task, self.model, self.config, self.progress = task, model, config, progress
        self.optimizer = config.optimizer.make(model.parameters())
        self.function: CompiledFunction | None = None
        if compiled and task.compilable:

            def loss(*arguments: Any) -> tuple[Tensor, Any]:
                return task.loss(model, *arguments)

            self.function = compile(loss)

    @property
    def compiled(self) -> bool:
        """Whether steps run from a plan."""
        return self.function is not None

    def __call__(self, batch: Any, state: Any) -> Stepped:
        """Move the weights along the gradient of a batch's loss; ``rewind`` takes it back."""
        self._remember()
        result = self._loss(batch, state)
        result.loss.backward()
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.model.constrain()
        return Stepped(float(result.loss.item()), norm, result.tokens, detach(result.state))

    def rewind(self) -> None:
        """Take the last step back: weights, optimiser and random numbers are as before it."""
        values, self.optimizer.steps, calls = self._before
        for x, value in zip(self._tensors(), values, strict=True):
            x.value = value
        generator.restore(calls)

    def _remember(self) -> None:
        # References suffice: values are immutable, and a step gives tensors new ones.
        self._before = [x.value for x in self._tensors()], self.optimizer.steps, generator.state()

    def _tensors(self) -> list[Tensor]:
        optimizer = self.optimizer
        return [*optimizer.parameters, *(part for state in optimizer.state for part in state.values())]

    def _loss(self, batch: Any, state: Any) -> StepResult:
        if self.function is None:
            return self.task.step(self.model, batch, state)
        feed = self.task.feed(self.model, batch, state)
        try:
            loss, state = self.function(*feed.arguments)
        except (GraphError, BackendError) as error:
            self.progress.note(f"not compiled, runs eagerly: {error.what}")
            self.function = None
            loss, state = self.task.loss(self.model, *feed.arguments)
        return StepResult(loss, feed.tokens, state)

    def _clip(self) -> float:
        """Clip the gradients, by value and then by norm; return their norm in between."""
        config, parameters = self.config, self.optimizer.parameters
        if config.clip_value is not None:
            optim.clip_grad_value(parameters, config.clip_value)
        if config.clip_norm is not None:
            return float(optim.clip_grad_norm(parameters, config.clip_norm).item())
        return norm_of([p.grad.value for p in parameters if p.grad is not None])


def norm_of(arrays: list[Any]) -> float:
    """Return the joint L2 norm of arrays; it is not finite only where one of their elements is not (to 1e150).

    One product an array; where that overflows in float32, the squares are summed in float64.
    """
    with np.errstate(all="ignore"):
        square = float(sum(array.ravel() @ array.ravel() for array in arrays))
    if not math.isfinite(square):
        square = sum(float(np.sum(np.asarray(Tensor(array).numpy(), np.float64) ** 2)) for array in arrays)
    return math.sqrt(square) if math.isfinite(square) else square
