"""What classification and regression share, a file a role: one output for an input, whatever the input is."""

from tinyseq.train.tasks.many_to_one.config import ManyToOneConfig
from tinyseq.train.tasks.many_to_one.task import ManyToOne

__all__ = ["ManyToOne", "ManyToOneConfig"]
