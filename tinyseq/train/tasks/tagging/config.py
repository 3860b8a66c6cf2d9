"""The config of a run that tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from tinyseq.data.schemes import SCHEMES
from tinyseq.data.splitting import SPLITS_BY
from tinyseq.train.config.model_sections import ColumnName, RecurrentConfig, Shares, without_path
from tinyseq.train.config.run_config import FilePath, RunConfig
from tinyseq.train.config.section import OneOf, Section
from tinyseq.train.config.source import Problem


class SentencesConfig(Section):
    """What is read."""

    path: FilePath | None = Field(None, description="A CoNLL file; null makes news sentences with names.")
    valid: FilePath | None = Field(None, description="A file of its own for validation; null: a share of `path`.")
    test: FilePath | None = Field(None, description="A file of its own for the test; null: a share of `path`.")
    format: Literal["auto", "conllu", "columns"] = Field(
        "auto", description="conllu: the columns of CoNLL-U (Plus); columns: any others; auto: told by the lines."
    )
    word: ColumnName | None = Field(None, description="The column of words, by name or number; null: FORM, or told.")
    tag: ColumnName | None = Field(None, description="The column of tags, by name or number; null: UPOS, or told.")
    comments: bool | None = Field(
        None, description="Whether lines that begin with # are comments; null: those that lack a word's columns."
    )
    scheme: Annotated[str, OneOf(("auto", "none", *SCHEMES), "scheme")] = Field(
        "auto", description="How entities are tagged; none: tags are no entities (parts of speech); auto: told by them."
    )
    count: int = Field(3000, ge=10, description="How many sentences are made, where there is no file.")
    min_count: int = Field(2, ge=1, description="Rarer words of the training part count as unknown.")
    split: Shares = Field(default=[0.8, 0.1, 0.1], description="Shares of training, validation and test sentences.")
    split_by: Annotated[str, OneOf(SPLITS_BY, "split")] = Field(
        "random",
        description="random; class: rare tags evenly; group: documents whole; time: in the file's order.",
    )

    def contradictions(self) -> Iterator[Problem]:
        yield from without_path(self)
        for name in ("word", "tag", "comments"):
            if self.path is None and getattr(self, name) is not None:
                yield Problem((name,), "said of a file, but there is none; required `path` too", involves=(("path",),))
        if self.path is None and self.split_by == "group":
            yield Problem(("split_by",), "sentences that are made are of no documents", involves=(("path",),))

    @property
    def split_alone(self) -> bool:
        """Whether one file is split into all three parts."""
        return self.path is not None and self.valid is None and self.test is None


class TaggerConfig(RecurrentConfig):
    """Word vectors, and what the cell makes of a word's characters; recurrent layers; a tag for each word."""

    bidirectional: bool = Field(True, description="A second cell a layer, which reads from the end.")
    embedding_size: int = Field(32, ge=1, description="Features of a word's learned vector.")
    characters: int = Field(16, ge=0, description="Units that read a word's characters, each way; 0: only whole words.")


class TaggingConfig(RunConfig):
    """A run of the task ``tagging``."""

    data: SentencesConfig = Field(default_factory=SentencesConfig, description="What is read.")
    model: TaggerConfig = Field(default_factory=TaggerConfig, description="What learns.")
