"""Tagging, a file a role: what is known of words and tags, how tags are shown, how they are learned."""

from tinyseq.train.tasks.tagging.config import TaggingConfig
from tinyseq.train.tasks.tagging.task import Tagging

__all__ = ["Tagging", "TaggingConfig"]
