"""What training, evaluation and prediction ask of a task. A new task is a subclass and a line in the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.tasks.codec import Codec
from tinyseq.train.tasks.learning import Feed, Learning, StepResult
from tinyseq.train.tasks.measure import Measure
from tinyseq.train.tasks.presentation import Presentation, Reading
from tinyseq.train.tasks.role import C

__all__ = ["Feed", "Measure", "Reading", "StepResult", "Task"]


class Task(Learning[C], Codec[C], Presentation[C]):
    """One kind of problem, in three roles: it learns from data, reads a user's inputs, and presents what a model says.

    Who uses a task asks for the role that it needs: the loop for a ``Learning``, figures for a ``Presentation``.
    Nothing else about tasks is known outside of them. A task lives either way: ``prepare`` reads its data, or
    ``restore`` makes it ready for use without; what only the former gives is marked ``Prepared``.
    """

    #: The config model; its fields are the sections that a file of this task may have.
    Config: ClassVar[type[RunConfig]]

    def write(self, model: Any, directory: Path) -> str:
        """Leave what shows what was learned in the run directory: the test part, as it is presented."""
        try:
            test = self.part("test")
        except NotImplementedError:  # a task that judges its own way has no records to show
            return ""
        return self.leave(model, test, directory)
