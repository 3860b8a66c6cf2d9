"""Captioning: one vector in, such as a picture; a sentence out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from tinyseq import nn
from tinyseq.creation import tensor
from tinyseq.data.examples import Example, split_examples
from tinyseq.data.features import Features, read_features, vector
from tinyseq.data.shapes import coloured_shapes
from tinyseq.errors import DataError, ShapeError
from tinyseq.nn.encoders import FeatureEncoder, patches_of
from tinyseq.nn.writers import ATTENTIONS, EncoderDecoder, RecurrentWriter
from tinyseq.tensors import Tensor
from tinyseq.train.config.model_sections import LevelName, RecurrentConfig, Shares
from tinyseq.train.config.registry import find_cell
from tinyseq.train.config.run_config import FilePath
from tinyseq.train.config.section import OneOf, Section
from tinyseq.train.config.source import Problem
from tinyseq.train.tasks.generation import GenerationConfig, GenerationTask
from tinyseq.train.tasks.overview import Overview, amounts


class CaptionsConfig(Section):
    """What is read and written."""

    path: FilePath | None = Field(
        None,
        description="A .jsonl file (features, caption), or a CSV of numbers with a caption; null: coloured shapes.",
    )
    caption: str = Field("caption", min_length=1, description="The key or the column of the caption.")
    count: int = Field(10_000, ge=10, description="How many pictures are made, where there is no file.")
    size: int = Field(16, ge=8, description="Width and height of these pictures.")
    seed: int = Field(0, ge=0, description="Of these pictures, and of the shuffling before the split.")
    split: Shares = Field(default=[0.9, 0.05, 0.05], description="The shares of training, validation and test.")
    level: LevelName = Field("word", description="What a token of a caption is: char, word or tokens.")
    min_count: int = Field(1, ge=1, description="A rarer token is never written.")
    max_size: int | None = Field(None, ge=1, description="The most tokens of the vocabulary; null for all.")


class CaptionModelConfig(RecurrentConfig):
    """A layer over the features, whose values are the first state of recurrent layers that write."""

    embedding_size: int = Field(32, ge=1, description="Features of a token's learned vector.")
    encoder_size: int = Field(256, ge=1, description="Units of the layer over the features, or over each patch.")
    patch: int | None = Field(
        None, ge=1, description="Cut pictures (rows, columns, colours) into squares so wide; null reads one vector."
    )
    attention: Annotated[str, OneOf(ATTENTIONS)] = Field(
        "none", description="How each word looks at the patches: additive, dot or none."
    )


class CaptioningConfig(GenerationConfig):
    """A run of the task ``captioning``."""

    data: CaptionsConfig = Field(default_factory=CaptionsConfig, description="What is read and written.")
    model: CaptionModelConfig = Field(default_factory=CaptionModelConfig, description="What learns.")

    def contradictions(self) -> Iterator[Problem]:
        size, patch = self.data.size, self.model.patch
        if self.data.path is None and patch is not None and patch > size:
            message = f"required at most data.size ({size}), got {patch}"
            yield Problem(("model", "patch"), message, involves=(("data", "size"), ("data", "path")))


class Captioning(GenerationTask[CaptioningConfig]):
    """One to many (Vinyals et al. 2015): the features set the first state of a recurrent network that writes."""

    Config = CaptioningConfig
    #: Of an input: (features,), or for a picture (rows, columns, colours).
    shape: tuple[int, ...]

    @property
    def level_name(self) -> str:
        return self.config.data.level

    def prepare(self) -> None:
        config = self.config.data
        if config.path is None:
            # Only these two: "left of" and "right of" would give a picture two true captions, and a match by chance.
            shapes = coloured_shapes(config.count, config.seed, size=config.size, relations=("above", "left of"))
            examples = [
                Example(Features(f"picture {number}", values), caption)
                for number, (values, caption) in enumerate(zip(shapes.pictures, shapes.captions, strict=True))
            ]
        else:
            examples = self.read(Path(config.path))
        self.shape = examples[0].input.values.shape
        parts = split_examples(examples, config.split, np.random.default_rng(config.seed))
        self.take(parts, min_count=config.min_count, max_size=config.max_size)

    def build(self) -> nn.Module:
        patch = self.config.model.patch
        patches = None if patch is None else patches_of(self.shape, patch)
        encoder, writer = self._parts(math.prod(self.shape), len(self.targets), patches)
        if (examples := Captioning.examples.of(self)) is not None:  # a restored model brings its own
            encoder.fit(np.stack([example.input.values.reshape(-1) for example in examples.train]))
        return EncoderDecoder(encoder, writer)

    def least(self) -> nn.Module:
        return EncoderDecoder(*self._parts(1, 1, None))

    def _parts(
        self, features: int, tokens: int, patches: np.ndarray[Any, Any] | None
    ) -> tuple[FeatureEncoder, RecurrentWriter]:
        config = self.config.model
        writer = RecurrentWriter(
            partial(find_cell(config.cell), **config.options),
            tokens,
            config.embedding_size,
            config.hidden_size,
            config.encoder_size,
            attention=config.attention,
            num_layers=config.num_layers,
            dropout=config.dropout,
            residual=config.residual,
        )
        encoder = FeatureEncoder(features, config.encoder_size, writer.cells, dropout=config.dropout, patches=patches)
        return encoder, writer

    def inputs(self, sources: Sequence[Features], multiple: int = 1) -> tuple[Tensor, ...]:
        for source in sources:
            if source.values.shape != self.shape:
                raise ShapeError(
                    "an input of another size",
                    required=f"{self.shape}, as in training",
                    got=str(source.values.shape),
                    where=source.name,
                )
        return (tensor(np.stack([source.values.reshape(-1) for source in sources]), dtype=self.config.dtype),)

    def size(self, source: Features) -> int:
        return 0

    def source_tokens(self, source: Features) -> list[str]:
        """Return the upper left corner of each patch, row and column."""
        patch = self.config.model.patch
        if patch is None:
            return []
        width = int(np.prod(self.shape[1:]))
        corners = patches_of(self.shape, patch)[:, 0]
        depth = width // self.shape[1]
        return [f"{at // width},{at % width // depth}" for at in corners.tolist()]

    def attends(self, model: EncoderDecoder) -> bool:
        return super().attends(model) and self.config.model.patch is not None

    def show(self, source: Features) -> dict[str, Any]:
        return {"input": source.name}

    def read(self, path: Path, *, targets: bool = True) -> list[Example]:
        return read_features(path, caption=self.config.data.caption, targets=targets)

    def records(self, inputs: Iterable[Any]) -> list[Example]:
        named = enumerate(inputs)
        return [Example(Features(f"input {number}", vector(value, f"input {number}"))) for number, value in named]

    def overview(self) -> Overview:
        c, unit = self.config.data, self.level.unit
        read = "coloured shapes, made" if c.path is None else f"{c.path}, {c.caption!r} as the caption"
        return Overview(
            f"{read}, {unit} by {unit}, {len(self.targets):,} different ones",
            amounts(self.describe_data(), "caption"),
            f"a caption from {' x '.join(map(str, self.shape))} numbers",
        )

    def describe_data(self) -> dict[str, Any]:
        source = self.config.data.path or "coloured shapes, made"
        return {"features_of": source, "shape": list(self.shape), **super().describe_data()}

    def metadata(self) -> Mapping[str, Any]:
        return {**super().metadata(), "shape": list(self.shape)}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        super().restore(metadata)
        try:
            self.shape = tuple(map(int, metadata["shape"]))
        except (KeyError, TypeError, ValueError):
            raise DataError("the run's metadata does not tell the features' shape", required='"shape"') from None

    def example(self, model: EncoderDecoder, steps: int) -> Tensor:
        target = np.arange(steps + 1, dtype=np.int64)[None] % len(self.targets)
        features = tensor(np.zeros((1, math.prod(self.shape))), dtype=self.config.dtype, name="features")
        logits = model(tensor(target[:, :-1], name="written"), features)
        loss: Tensor = nn.cross_entropy(logits, tensor(target[0, 1:], name="targets"), reduction="mean")
        return loss
