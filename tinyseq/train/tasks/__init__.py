"""Tasks: what a config's ``task:`` may name."""

from tinyseq.train.tasks.base import Measure, StepResult, Task

__all__ = ["Measure", "StepResult", "Task"]
