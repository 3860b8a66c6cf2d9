"""The config of a run that tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from tinyseq.train.config.model_sections import RecurrentConfig, Shares, without_path
from tinyseq.train.config.run_config import FilePath, RunConfig
from tinyseq.train.config.section import Section
from tinyseq.train.config.source import Problem


class SentencesConfig(Section):
    """What is read."""

    path: FilePath | None = Field(None, description="A CoNLL file; null makes news sentences with names.")
    valid: FilePath | None = Field(None, description="A file of its own for validation; null: a share of `path`.")
    test: FilePath | None = Field(None, description="A file of its own for the test; null: a share of `path`.")
    scheme: Literal["iob2", "iob1", "none"] = Field(
        "iob2", description="How entities are tagged; none: tags are no entities (parts of speech)."
    )
    count: int = Field(3000, ge=10, description="How many sentences are made, where there is no file.")
    min_count: int = Field(2, ge=1, description="Rarer words of the training part count as unknown.")
    split: Shares = Field(default=[0.8, 0.1, 0.1], description="Shares of training, validation and test sentences.")

    def contradictions(self) -> Iterator[Problem]:
        yield from without_path(self)


class TaggerConfig(RecurrentConfig):
    """Word vectors, and what the cell makes of a word's characters; recurrent layers; a tag for each word."""

    bidirectional: bool = Field(True, description="A second cell a layer, which reads from the end.")
    embedding_size: int = Field(32, ge=1, description="Features of a word's learned vector.")
    characters: int = Field(16, ge=0, description="Units that read a word's characters, each way; 0: only whole words.")


class TaggingConfig(RunConfig):
    """A run of the task ``tagging``."""

    data: SentencesConfig = Field(default_factory=SentencesConfig, description="What is read.")
    model: TaggerConfig = Field(default_factory=TaggerConfig, description="What learns.")
