"""Sequence to sequence: read a sentence, write another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tinyseq import data, nn
from tinyseq.creation import tensor
from tinyseq.data import pairs
from tinyseq.data.batching import Ids
from tinyseq.data.examples import Example, split_examples
from tinyseq.data.padding import pad
from tinyseq.data.sentences import html_in, read_pairs
from tinyseq.data.tokens import uncut, vocabulary_of
from tinyseq.errors import DataError
from tinyseq.nn.encoders import RecurrentEncoder, TransformerTextEncoder
from tinyseq.nn.writers import ATTENTIONS, EncoderDecoder, RecurrentWriter, TransformerWriter
from tinyseq.registry import Registry
from tinyseq.tensors import Tensor
from tinyseq.train.config.model_sections import ColumnName, LevelName, RecurrentConfig, Shares, without_path
from tinyseq.train.config.registry import find_cell
from tinyseq.train.config.run_config import FilePath
from tinyseq.train.config.section import OneOf, Section
from tinyseq.train.config.source import Problem
from tinyseq.train.tasks.generation import END, GenerationConfig, GenerationTask
from tinyseq.train.tasks.overview import Overview, amounts
from tinyseq.train.tasks.role import Prepared

#: Name -> (count, seed) -> pairs, for runs without a file.
GENERATORS: Registry[Callable[[int, int], list[tuple[str, str]]]] = Registry(
    "generator",
    {
        "dates": pairs.dates,
        "reversal": pairs.reversal,
        "sorting": pairs.sorting,
    },
)


#: So few sources are pairs to learn by heart: no part would be left for a test.
_FEW = 30


class PairsConfig(Section):
    """What is read and written."""

    path: FilePath | None = Field(
        None, description="A TSV file (source, tab, target), a CSV, an Anki deck as text. Null: what `generator` makes."
    )
    valid: FilePath | None = Field(None, description="A file of its own for validation; null is a share of `path`.")
    test: FilePath | None = Field(None, description="A file of its own for the test; null is a share of `path`.")
    source: ColumnName | None = Field(
        None, description="The column that is read: its number from 1, or its name in line 1. Null: the first of two."
    )
    target: ColumnName | None = Field(
        None, description="The column that is written; null: the second of two, or the other one than `source`."
    )
    html: bool | None = Field(None, description="Take out tags and entities of HTML; null: where the file says so.")
    generator: Annotated[str, OneOf(GENERATORS)] = Field(
        "dates", description="Pairs without a file: dates, reversal or sorting."
    )
    count: int = Field(10_000, ge=10, description="How many pairs the generator makes.")
    seed: int = Field(0, ge=0, description="Of the generator, and of the shuffling before the split.")
    split: Shares = Field(default=[0.9, 0.05, 0.05], description="The shares of training, validation and test pairs.")
    split_by: Literal["source", "random"] = Field(
        "source", description="Whether all pairs of a source come into one part; random also where sources are few."
    )
    level: LevelName = Field("char", description="What a token is: char, word, or tokens, as blanks part them.")
    min_count: int = Field(1, ge=1, description="A rarer token is read as <unk>, and never written.")
    max_size: int | None = Field(None, ge=1, description="The most tokens of each vocabulary; null for all.")
    max_length: int | None = Field(
        None, ge=1, description="Training pairs with more tokens on a side are left out; null for none."
    )

    def contradictions(self) -> Iterator[Problem]:
        yield from without_path(self)
        for name in ("source", "target", "html"):
            if getattr(self, name) is not None and self.path is None:
                yield Problem((name,), "of a file, and none is read; required `path` too", involves=(("path",),))
        if self.source is not None and self.source == self.target:
            yield Problem(("target",), f"the column of `source`, {self.source!r}", involves=(("source",),))


#: The architectures are functions of the config, and stand below it.
ArchitectureName = Annotated[str, OneOf(lambda: ARCHITECTURES)]


class Seq2SeqModelConfig(RecurrentConfig):
    """An encoder and a decoder of any cell, with attention or without; or a Transformer."""

    architecture: ArchitectureName = Field("recurrent", description="recurrent or transformer.")
    embedding_size: int = Field(32, ge=1, description="recurrent: features of a token's learned vector.")
    attention: Annotated[str, OneOf(ATTENTIONS)] = Field(
        "additive", description="recurrent: how the decoder looks at the encoder's states: additive, dot or none."
    )
    heads: int = Field(4, ge=1, description="transformer: heads of attention; they divide hidden_size.")
    feedforward_size: int | None = Field(
        None, ge=1, description="transformer: units of the feed-forward networks; null is 4 hidden_size."
    )

    refused: ClassVar[Mapping[str, str]] = {
        "causal": "a sentence is written from left to right, so the decoder's mask is always causal",
    }

    def contradictions(self) -> Iterator[Problem]:
        yield from super().contradictions()
        if self.architecture == "transformer" and self.hidden_size % self.heads:
            message = f"required a divisor of hidden_size ({self.hidden_size}), got {self.heads}"
            yield Problem(("heads",), message, involves=(("hidden_size",), ("architecture",)))


class Seq2SeqConfig(GenerationConfig):
    """A run of the task ``seq2seq``."""

    data: PairsConfig = Field(default_factory=PairsConfig, description="What is read and written.")
    model: Seq2SeqModelConfig = Field(default_factory=Seq2SeqModelConfig, description="What learns.")


def recurrent(config: Seq2SeqModelConfig, sources: int, targets: int) -> EncoderDecoder:
    """Return an encoder-decoder of recurrent layers for vocabularies of these sizes."""
    encoder = RecurrentEncoder(config.build(config.embedding_size), sources, dropout=config.dropout)
    writer = RecurrentWriter(
        partial(find_cell(config.cell), **config.options),
        targets,
        config.embedding_size,
        config.hidden_size,
        encoder.output_size,
        attention=config.attention,
        num_layers=config.num_layers,
        dropout=config.dropout,
        residual=config.residual,
    )
    return EncoderDecoder(encoder, writer)


def transformer(config: Seq2SeqModelConfig, sources: int, targets: int) -> EncoderDecoder:
    """Return a Transformer for vocabularies of these sizes."""
    inner = config.feedforward_size or 4 * config.hidden_size
    sizes = (config.hidden_size, config.heads, config.num_layers, inner)
    return EncoderDecoder(
        TransformerTextEncoder(sources, *sizes, dropout=config.dropout),
        TransformerWriter(targets, *sizes, dropout=config.dropout),
    )


#: Name -> (config, source vocabulary, target vocabulary) -> model.
ARCHITECTURES: Registry[Callable[[Seq2SeqModelConfig, int, int], EncoderDecoder]] = Registry(
    "architecture",
    {
        "recurrent": recurrent,
        "transformer": transformer,
    },
)


class Seq2Seq(GenerationTask[Seq2SeqConfig]):
    """Sentence pairs; the parts are disjoint in their sources, unless they have files of their own."""

    Config = Seq2SeqConfig
    #: Tokens of sources.
    vocabulary: data.Vocabulary
    #: How many training pairs were too long.
    left_out = Prepared[int]()

    @property
    def level_name(self) -> str:
        return self.config.data.level

    def prepare(self) -> None:
        config = self.config.data
        if config.path is None:
            # A source that came twice could stand in two parts, and the test would be no test.
            examples = [
                Example(*pair) for pair in dict(GENERATORS[config.generator](config.count, config.seed)).items()
            ]
        else:
            examples = self.read(Path(config.path))
        valid, test = (None if path is None else self.read(Path(path)) for path in (config.valid, config.test))
        sources = [example.input for example in examples]
        parts = split_examples(
            examples,
            config.split,
            np.random.default_rng(config.seed),
            valid=valid,
            test=test,
            by="group" if config.split_by == "source" and _FEW <= len(set(sources)) < len(sources) else "random",
            keys=sources,
        )
        kept = [example for example in parts.train if not self._too_long(example)]
        self.left_out = len(parts.train) - len(kept)
        if not kept:
            raise DataError(
                "all training pairs are too long",
                required=f"at least one with at most {config.max_length} tokens on each side",
                got=f"{len(parts.train)} longer ones",
                fix="a larger data.max_length",
            )
        cut = self.level.cut
        self.take(data.Splits(kept, parts.valid, parts.test), min_count=config.min_count, max_size=config.max_size)
        self.vocabulary = vocabulary_of(
            [cut(example.input) for example in kept],
            {token for example in (*parts.valid, *parts.test) for token in cut(example.input)},
            specials=(END,),
            min_count=config.min_count,
            max_size=config.max_size,
        )

    def notes(self) -> list[str]:
        train = self.examples.train
        found = [*super().notes(), uncut(self.level, "\n".join(example.input for example in train))]
        if self.config.data.html is None and (tagged := html_in([side for example in train for side in example])):
            found.append(f"{tagged} sentences have tags or entities of HTML; data.html: true takes them out")
        read = {example.input for example in train}
        if seen := sum(example.input in read for example in self.examples.test):
            found.append(
                f"{seen} of {len(self.examples.test)} test pairs have a source that training has too: "
                "the score is also of what is learned by heart"
            )
        answers = Counter(example.input for example in set(self.examples.test))
        if several := sum(count > 1 for count in answers.values()):
            found.append(
                f"{several} of {len(answers)} test sources have more than one true target: exact_match takes the one "
                "of each row, and cannot be 1"
            )
        return list(dict.fromkeys(filter(None, found)))

    def overview(self) -> Overview:
        c, unit = self.config.data, self.level.unit
        columns = f"{c.source or 'the first column'} read, {c.target or 'the second'} written"
        read = f"{c.generator}, made" if c.path is None else f"{c.path}, {columns}"
        sizes = f"{len(self.vocabulary):,} different {unit}s read, {len(self.targets):,} written"
        return Overview(
            f"{read}, {unit} by {unit}: {sizes}",
            amounts(self.describe_data(), "pair"),
            "a sentence from a sentence",
        )

    def gaps(self) -> list[str]:
        sources = [example.input for example in self.examples.test]
        return [*self.gaps_of("source", self.vocabulary, sources), *super().gaps()]

    def _too_long(self, example: Example) -> bool:
        most = self.config.data.max_length
        return most is not None and max(len(self.level.cut(side)) for side in example) > most

    def build(self) -> nn.Module:
        config = self.config.model
        return ARCHITECTURES[config.architecture](config, len(self.vocabulary), len(self.targets))

    def least(self) -> nn.Module:
        return ARCHITECTURES[self.config.model.architecture](self.config.model, 1, 1)

    def inputs(self, sources: Sequence[str], multiple: int = 1) -> tuple[Tensor, ...]:
        rows = [self._encode(source) for source in sources]
        ids, lengths = pad(rows, multiple=multiple)
        return tensor(ids), tensor(lengths)

    def _encode(self, source: str) -> Ids:
        try:
            return self.vocabulary.encode(self.source_tokens(source))
        except DataError as error:
            raise DataError(
                error.what, required=error.required, got=error.got, where=f"the sentence {source!r}", fix=error.fix
            ) from None

    def source_tokens(self, source: str) -> list[str]:
        """Return the tokens of a source; its end is one, so that an empty source is something too."""
        return [*self.level.cut(source), END]

    def size(self, source: str) -> int:
        return len(self.level.cut(source))

    def show(self, source: str) -> dict[str, Any]:
        unknown = [token for token in self.level.cut(source) if token not in self.vocabulary]
        return {"source": source, **({"unknown": unknown} if unknown else {})}

    def trivial_baselines(self) -> dict[str, Callable[[Any], str]]:
        return {**super().trivial_baselines(), "copy of the source": lambda source: source}

    def read(self, path: Path, *, targets: bool = True) -> list[Example]:
        config = self.config.data
        pairs = read_pairs(path, source=config.source, target=config.target, html=config.html, targets=targets)
        return [Example(*pair) for pair in pairs]

    def records(self, inputs: Iterable[Any]) -> list[Example]:
        examples = []
        for number, value in enumerate(inputs):
            if isinstance(value, (list, tuple)) and all(isinstance(token, str) for token in value):
                value = self.level.join(value)
            if not isinstance(value, str):
                raise DataError(
                    "not a sentence",
                    required="a str, or a list of tokens",
                    got=repr(value)[:80],
                    where=f"input {number}",
                )
            examples.append(Example(value))
        return examples

    def describe_data(self) -> dict[str, Any]:
        sources = {example.input for example in self.examples.train}
        return {
            "pairs": self.config.data.path or f"{self.config.data.generator}, made",
            **super().describe_data(),
            "source_vocabulary": len(self.vocabulary),
            "left_out_too_long": self.left_out,
            "test_sources_seen_in_training": sum(example.input in sources for example in self.examples.test),
        }

    def metadata(self) -> Mapping[str, Any]:
        return {**super().metadata(), "sources": self.vocabulary.state()}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        super().restore(metadata)
        self.vocabulary = data.Vocabulary.from_state(metadata.get("sources"))

    def example(self, model: EncoderDecoder, steps: int) -> Tensor:
        source = np.arange(steps, dtype=np.int64)[None] % len(self.vocabulary)
        target = np.arange(steps + 1, dtype=np.int64)[None] % len(self.targets)
        logits = model(tensor(target[:, :-1], name="written"), tensor(source, name="read"), tensor(np.array([steps])))
        loss: Tensor = nn.cross_entropy(logits, tensor(target[0, 1:], name="targets"), reduction="mean")
        return loss
