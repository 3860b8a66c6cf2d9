"""One training step's loss: compiled where the task lets it be, else eager."""

from __future__ import annotations

from typing import Any

from tinyseq import nn
from tinyseq.compiler import CompiledFunction, compile
from tinyseq.errors import BackendError, GraphError
from tinyseq.tensors import Tensor
from tinyseq.train.progress import Progress
from tinyseq.train.tasks.base import StepResult, Task


class Stepper:
    """Calls a task's step; what it computes runs from the compiler's plan where that is asked for and possible.

    A loss that cannot be traced (a cell of one's own that looks at values) or a backend that the compiler does not know
    is noted once, and the run goes on eagerly: the numbers are the same.
    """

    def __init__(self, task: Task[Any], model: nn.Module, progress: Progress, *, compiled: bool) -> None:
        self.task, self.model, self.progress = task, model, progress
        self.function: CompiledFunction | None = None
        if compiled and task.compilable:

            def loss(*arguments: Any) -> tuple[Tensor, Any]:
                return task.loss(model, *arguments)

            self.function = compile(loss)

    @property
    def compiled(self) -> bool:
        """Whether steps run from a plan."""
        return self.function is not None

    def __call__(self, batch: Any, state: Any) -> StepResult:
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
