"""Tasks: what a config's ``task:`` may name."""

from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.codec import Codec
from tinyseq.train.tasks.learning import Feed, Learning, StepResult
from tinyseq.train.tasks.measure import Measure
from tinyseq.train.tasks.presentation import Presentation, Reading

__all__ = ["Codec", "Feed", "Learning", "Measure", "Presentation", "Reading", "StepResult", "Task"]
