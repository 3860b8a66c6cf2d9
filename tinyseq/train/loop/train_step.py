"""One training step, from a batch to what it gave: loss, gradients, clipping, update."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, NamedTuple

from tinyseq import backends, nn, optim
from tinyseq.compiler import CompiledFunction, compile
from tinyseq.errors import BackendError, GraphError
from tinyseq.functional import detach
from tinyseq.random import generator
from tinyseq.tensors import Tensor
from tinyseq.train.config.run_config import TrainConfig
from tinyseq.train.loop.patience import told_where_long
from tinyseq.train.loop.progress import Progress
from tinyseq.train.tasks.learning import Learning, StepResult


class StepOutput:
    """A step's output: numbers for a row of metrics, and the state that the next step starts from.

    Where the backend computes asynchronously, the numbers are on their way when the step has been launched; whoever
    asks for one first waits for it.
    """

    def __init__(self, loss: Tensor, grad_norm: Tensor, tokens: int, state: Any, before: _Snapshot) -> None:
        self.tokens, self.state, self.before = tokens, state, before
        self._loss, self._grad_norm = (x.backend.fetch(x.value) for x in (loss, grad_norm))

    @cached_property
    def loss(self) -> float:
        """The mean loss of the batch."""
        return float(self._loss())

    @cached_property
    def grad_norm(self) -> float:
        """The norm of the gradients, before they were clipped by it."""
        return float(self._grad_norm())

    @property
    def nonfinite(self) -> tuple[str, float] | None:
        """Return what is not a finite number, and what it is instead; None where all is well."""
        if not math.isfinite(self.loss):
            return "loss", self.loss
        return None if math.isfinite(self.grad_norm) else ("gradient norm", self.grad_norm)


class _Snapshot(NamedTuple):
    """What a step changes, as it was before. References suffice: values are immutable, and a step gives new ones."""

    values: list[Any]
    counts: list[int]
    random: dict[str, int]


class TrainStep:
    """The training step of a model, run from the compiler's plan where that is asked for and possible.

    A loss that cannot be traced (a cell of one's own that looks at values) or a backend that the compiler does not know
    is noted once, and the run goes on eagerly: the numbers are the same.
    """

    def __init__(
        self, task: Learning[Any], model: nn.Module, config: TrainConfig, progress: Progress, *, compiled: bool
    ) -> None:
        self.task, self.model, self.config, self.progress = task, model, config, progress
        self.optimizer = config.optimizer.make(model.parameters())
        self.buffers = model.buffers()
        self.function: CompiledFunction[..., Any] | None = None
        self.ran = False
        if compiled and task.compilable:

            def step(*arguments: Any) -> tuple[Tensor, Tensor, Any]:
                loss, state = task.loss(model, *arguments)
                return loss, self._move(loss), state

            self.function = compile(step)

    @property
    def compiled(self) -> bool:
        """Whether steps run from a plan."""
        return self.function is not None

    @property
    def asynchronous(self) -> bool:
        """Whether a step is only launched when the call returns, so that the next one may be launched meanwhile.

        That is so of compiled steps alone: what eager ones do besides, nobody could take back.
        """
        return self.compiled and backends.current().asynchronous

    def __call__(self, batch: Any, state: Any) -> StepOutput:
        """Move the weights along the gradient of a batch's loss; ``rewind`` takes it back."""
        before = self._before()
        try:
            result, norm = self._planned(batch, state) or self._eager(self.task.step(self.model, batch, state))
            self.model.constrain()
            return StepOutput(result.loss, norm, result.tokens, detach(result.state), before)
        except BaseException:  # an interrupt may come between two weights, and what there is will be written
            self._restore(before)
            self.optimizer.zero_grad()
            raise

    def _planned(self, batch: Any, state: Any) -> tuple[StepResult, Tensor] | None:
        if self.function is None:
            return None
        feed = self.task.feed(self.model, batch, state)
        try:
            with self.patiently():
                loss, norm, state = self.function(*feed.arguments)
            self.ran = True
        except (GraphError, BackendError) as error:
            self.progress.note(f"not compiled, runs eagerly: {error.what}")
            self.function = None
            self.optimizer.zero_grad()
            loss, state = self.task.loss(self.model, *feed.arguments)
            return self._eager(StepResult(loss, feed.tokens, state))
        return StepResult(loss, feed.tokens, state), norm

    def patiently(self) -> AbstractContextManager[None]:
        """Return what a call stands under: the first one compiles, which may take long, and is told."""
        if self.ran:
            return nullcontext()
        advice = "Ctrl-C twice stops it, --eager does without"
        return told_where_long(self.progress.note, "compiling the training step", advice)

    def _eager(self, result: StepResult) -> tuple[StepResult, Tensor]:
        return result, self._move(result.loss)

    def _move(self, loss: Tensor) -> Tensor:
        """Backpropagate, clip, move the weights; return the norm of the gradients."""
        loss.backward()
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def whole(self, state: Any) -> Any:
        """Return all of a state, of which each rank may have a part."""
        return state

    def shards_of(self, batch: Any, state: Any) -> list[tuple[Any, Any]]:
        """Return the parts of a batch that are computed by themselves, each with the state that it starts from."""
        return [(batch, state)]

    def rewind(self, output: StepOutput) -> None:
        """Take a step back, and all after it: weights, buffers, optimiser and random numbers are as before it."""
        self._restore(output.before)

    def _restore(self, before: _Snapshot) -> None:
        values, counts, random = before
        self.optimizer.counts = list(counts)
        for x, value in zip(self._tensors(), values, strict=True):
            x.value = value
        generator.restore(random)

    def _before(self) -> _Snapshot:
        return _Snapshot([x.value for x in self._tensors()], list(self.optimizer.counts), generator.state())

    def _tensors(self) -> list[Tensor]:
        optimizer = self.optimizer
        return [*optimizer.parameters, *self.buffers, *(part for state in optimizer.state for part in state.values())]

    def _clip(self) -> Tensor:
        """Clip the gradients, by value and then by norm; return their norm in between."""
        config, parameters = self.config, self.optimizer.parameters
        if config.clip_value is not None:
            optim.clip_grad_value(parameters, config.clip_value)
        if config.clip_norm is not None:
            return optim.clip_grad_norm(parameters, config.clip_norm)
        return optim.grad_norm(parameters)
