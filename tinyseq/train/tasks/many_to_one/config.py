"""The config of a run with one output for an input."""

from __future__ import annotations

from pydantic import Field

from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.tasks.inputs import ExamplesConfig
from tinyseq.train.tasks.summary import SummaryConfig


class ManyToOneConfig(RunConfig):
    """A run of a task with one output for an input."""

    data: ExamplesConfig = Field(default_factory=ExamplesConfig, description="What is read.")
    model: SummaryConfig = Field(default_factory=SummaryConfig, description="What learns.")
