"""The config of a run of a language model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from pydantic import Field

from tinyseq.train.config.model_sections import LevelName, RecurrentConfig, Shares, without_path
from tinyseq.train.config.run_config import FilePath, RunConfig
from tinyseq.train.config.section import Section
from tinyseq.train.config.source import Problem


class TextConfig(Section):
    """What is read."""

    path: FilePath | None = Field(None, description="A UTF-8 text file; null is Python's own documentation.")
    valid: FilePath | None = Field(None, description="A text file for validation; null is a share of `path`.")
    test: FilePath | None = Field(None, description="A text file for the test; null is a share of `path`.")
    level: LevelName = Field("char", description="What a token is: char, word, or tokens, as blanks part them.")
    min_count: int = Field(1, ge=1, description="A token that is rarer in the training text becomes <unk>.")
    max_size: int | None = Field(None, ge=1, description="The most tokens of the vocabulary; null for all.")
    split: Shares = Field(
        default=[0.9, 0.05, 0.05],
        description="The shares of training, validation and test text, in this order of the text.",
    )

    def contradictions(self) -> Iterator[Problem]:
        yield from without_path(self)


class ModelConfig(RecurrentConfig):
    """Embedding, recurrent layers, output layer."""

    hidden_size: int = Field(128, ge=1, description="Features of each layer's state.")
    embedding_size: int = Field(64, ge=1, description="Features of a token's learned vector.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability, on embeddings, between layers and on outputs.")
    bidirectional: bool = Field(False, description="Always false: a language model does not read what it predicts.")
    refused: ClassVar[Mapping[str, str]] = {
        "causal": "a text is written from left to right, so a language model always reads so",
    }

    def contradictions(self) -> Iterator[Problem]:
        yield from super().contradictions()
        if self.bidirectional:
            message = "a language model must not read what it predicts; required false"
            yield Problem(("bidirectional",), message)


class SampleConfig(Section):
    """The text that is written after training."""

    length: int = Field(400, ge=0, description="Tokens a sample.")
    temperature: float = Field(0.8, ge=0, description="1 samples as learned, lower is bolder, 0 takes the likeliest.")
    top_k: int = Field(0, ge=0, description="Only so many tokens may follow, the likeliest; 0 for all.")
    prime: str | None = Field(None, description="The text to go on from; by default the first line of the test text.")
    count: int = Field(3, ge=0, description="How many samples.")


class LanguageModelConfig(RunConfig):
    """A run of the task ``language_model``."""

    data: TextConfig = Field(default_factory=TextConfig, description="What is read.")
    model: ModelConfig = Field(default_factory=ModelConfig, description="What learns.")
    sample: SampleConfig = Field(default_factory=SampleConfig, description="What is written after training.")
