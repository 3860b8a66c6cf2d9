"""Tagging: a tag for each word of a sentence, such as the names in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from tinyseq import data, nn
from tinyseq.creation import tensor
from tinyseq.data.batching import IGNORED
from tinyseq.data.conll import Tagged, most_frequent_tags, read_conll
from tinyseq.data.examples import split_examples
from tinyseq.data.measures import confusion_matrix, span_scores, spans
from tinyseq.data.padding import by_length, pad, shuffled
from tinyseq.data.tagging import entity_sentences
from tinyseq.data.text import load_text
from tinyseq.data.tokens import build_vocabulary
from tinyseq.errors import DataError, did_you_mean
from tinyseq.figures import confusion_matrix as draw_confusion
from tinyseq.modes import no_grad
from tinyseq.ops.reduce import log_softmax
from tinyseq.ops.shape import concat, reshape
from tinyseq.tensors import Tensor
from tinyseq.train.config.model_sections import RecurrentConfig, Shares, without_path
from tinyseq.train.config.run_config import FilePath, RunConfig
from tinyseq.train.config.section import Section
from tinyseq.train.config.source import Problem
from tinyseq.train.tasks.base import Feed, Measure, Reading, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
#: Sentences are padded to a multiple of this many words, words to one of so many characters: few shapes are compiled.
MULTIPLE = 8
#: Characters of a word that are read; a longer word loses its middle.
LONGEST_WORD = 24


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


class Tagger(nn.Module):
    """[word vector, last outputs over its characters] -> recurrent layers -> logits of each word's tag."""

    def __init__(self, config: TaggerConfig, words: int, characters: int, tags: int) -> None:
        self.words = nn.Embedding(words, config.embedding_size)
        features = config.embedding_size
        self.characters: nn.Embedding | None = None
        if config.characters:
            small = config.model_copy(
                update={"hidden_size": config.characters, "num_layers": 1, "bidirectional": True, "dropout": 0.0}
            )
            self.characters = nn.Embedding(characters, config.characters)
            self.spelling = small.build(config.characters)
            self.summary_of_word = nn.FinalPooling(self.spelling.output_size, True)
            features += self.spelling.output_size
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = config.build(features)
        self.head = nn.Linear(self.recurrent.output_size, tags)

    def forward(self, words: Tensor, lengths: Tensor, characters: Tensor, sizes: Tensor) -> Tensor:
        """Return logits (batch, time, tags).

        Args:
            words: (batch, time).
            lengths: (batch,), words of each sentence.
            characters: (batch * time, characters).
            sizes: (batch * time,), characters of each word.
        """
        xs = self.words(words)
        if self.characters is not None:
            ys, _ = self.spelling(self.characters(characters), lengths=sizes)
            spelled = reshape(self.summary_of_word(ys, sizes), (*words.shape, -1))
            xs = concat([xs, spelled], axis=-1)
        ys, _ = self.recurrent(self.dropout(xs), lengths=lengths)
        logits: Tensor = self.head(self.dropout(ys))
        return logits


class Tagging(Task[TaggingConfig]):
    """Cross-entropy of each word's tag; judged by the F1 of whole entities, strictly (accuracy for other tags)."""

    Config = TaggingConfig
    compilable = True

    sentences: data.Splits
    words: data.Vocabulary
    characters: data.Vocabulary
    tags: tuple[str, ...]

    def __init__(self, config: TaggingConfig) -> None:
        super().__init__(config)
        entities = config.data.scheme != "none"
        self.measure = Measure(*(("f1", "F1 of entities") if entities else ("accuracy", "accuracy")), False)

    # Training.

    def prepare(self) -> None:
        config, rng = self.config.data, np.random.default_rng(self.config.seed)
        if config.path is None:
            generated = entity_sentences(config.count, self.config.seed)
            whole = [Tagged(*map(tuple, zip(*sentence, strict=True))) for sentence in generated]
        else:
            whole = self.read(Path(config.path))
        valid, test = (None if path is None else self.read(Path(path)) for path in (config.valid, config.test))
        self.sentences = split_examples(whole, config.split, rng, valid=valid, test=test)
        train = self.sentences.train
        self.words = build_vocabulary((s.words for s in train), min_count=config.min_count, unknown=True)
        self.characters = build_vocabulary((word for s in train for word in s.words), unknown=True)
        self.tags = tuple(sorted({tag for s in train for tag in s.tags}))
        for name in ("valid", "test"):
            self.numbers(getattr(self.sentences, name))  # refuses unknown tags before anything is computed

    def build(self) -> Tagger:
        return Tagger(self.config.model, len(self.words), len(self.characters), len(self.tags))

    def batches(self) -> Iterator[list[Tagged]]:
        train = self.sentences.train
        rng = np.random.default_rng(self.config.seed)
        order = shuffled([len(sentence.words) for sentence in train], self.config.train.batch_size, rng)
        return ([train[row] for row in rows] for rows in order)

    def feed(self, model: Tagger, batch: list[Tagged], state: Any) -> Feed:
        inputs = self.encode(batch)
        tags, _ = pad(self.numbers(batch), fill=IGNORED, multiple=MULTIPLE)
        return Feed((*inputs, tensor(tags)), sum(len(sentence.words) for sentence in batch))

    def loss(self, model: Tagger, *arguments: Any) -> tuple[Tensor, Any]:
        *inputs, tags = arguments
        logits = model(*inputs)
        logits = reshape(logits, (-1, logits.shape[-1]))
        return nn.cross_entropy(logits, reshape(tags, (-1,)), ignore_index=IGNORED, reduction="mean"), None

    def encode(self, sentences: Sequence[Tagged]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what the network reads of sentences: words, their number, characters, their number a word."""
        words, lengths = pad([self.words.encode(s.words) for s in sentences], multiple=MULTIPLE)
        spelled: list[Array] = []
        for sentence in sentences:
            spelled += [self.characters.encode(_shortened(word)) for word in sentence.words]
            spelled += [np.zeros(0, np.int64)] * (words.shape[1] - len(sentence.words))
        characters, sizes = pad(spelled, multiple=MULTIPLE)
        return tensor(words), tensor(lengths), tensor(characters), tensor(sizes)

    def numbers(self, sentences: Sequence[Tagged]) -> list[Array]:
        """Return the numbers of the sentences' tags.

        Raises:
            DataError: a sentence has none, or one that training did not know.
        """
        known = {tag: number for number, tag in enumerate(self.tags)}
        for row, sentence in enumerate(sentences):
            if sentence.tags is None:
                raise DataError("a sentence without tags", required="a tag for each word", where=f"sentence {row}")
            for word, tag in zip(sentence.words, sentence.tags, strict=True):
                if tag not in known:
                    raise DataError(
                        "a tag that training did not know",
                        required=f"one of: {', '.join(self.tags)}",
                        got=f"{tag} of {word!r}",
                        where=f"sentence {row}",
                        fix=did_you_mean(tag, self.tags),
                    )
        return [np.array([known[tag] for tag in s.tags or ()], np.int64) for s in sentences]

    # Judgement.

    def part(self, split: str) -> list[Tagged]:
        sentences: list[Tagged] = getattr(self.sentences, split)
        return sentences

    def compute(self, model: Tagger, records: Sequence[Tagged], batch_size: int | None) -> list[Array]:
        """Return for each sentence the log probabilities of its words' tags, float64 (words, tags)."""
        scores_of: dict[int, Array] = {}
        sizes = [len(record.words) for record in records]
        for rows in by_length(sizes, batch_size or self.config.train.batch_size):
            with no_grad():
                scores = log_softmax(model(*self.encode([records[row] for row in rows])), -1).numpy()
            for row, score in zip(rows, scores, strict=True):
                scores_of[int(row)] = score[: sizes[row]].astype(np.float64)
        return [scores_of[row] for row in range(len(records))]

    def named(self, scores: Array) -> tuple[str, ...]:
        """Return the likeliest tags."""
        return tuple(self.tags[number] for number in scores.argmax(-1))

    def evaluate_on(
        self, model: Tagger, records: Sequence[Tagged], *, batch_size: int | None = None
    ) -> dict[str, float]:
        numbers = self.numbers(records)
        scored = self.compute(model, records, batch_size)
        picked = [scores[np.arange(len(tags)), tags] for scores, tags in zip(scored, numbers, strict=True)]
        loss = -float(np.concatenate(picked).mean())
        return {"loss": loss, **self.judged(records, [self.named(scores) for scores in scored])}

    def judged(self, records: Sequence[Tagged], tags_of: Sequence[Sequence[str]]) -> dict[str, float]:
        """Return the metrics of tags."""
        pairs = [
            pair for s, tags in zip(records, tags_of, strict=True) for pair in zip(s.tags or (), tags, strict=True)
        ]
        metrics: dict[str, float] = {"accuracy": sum(a == b for a, b in pairs) / len(pairs)}
        if self.measure.key == "f1":
            score = span_scores([s.tags or () for s in records], tags_of)["all"]
            metrics |= {"precision": score.precision, "recall": score.recall, "f1": score.f1}
        return {**metrics, "words": len(pairs)}

    def details(self, model: Tagger, records: Sequence[Tagged], *, batch_size: int | None = None) -> dict[str, Any]:
        """Return precision, recall and F1 of each kind of entity."""
        predicted = [self.named(scores) for scores in self.compute(model, records, batch_size)]
        kinds = span_scores([s.tags or () for s in records], predicted)
        return {"entities": {kind: score._asdict() for kind, score in kinds.items()}}

    def baselines(self) -> dict[str, dict[str, float]]:
        best, other = most_frequent_tags(self.sentences.train)
        test = self.part("test")
        tags_of = [[best.get(word, other) for word in sentence.words] for sentence in test]
        return {"most frequent tag of each word": self.judged(test, tags_of)}

    def describe_data(self) -> dict[str, Any]:
        sizes = {name: len(self.part(name)) for name in ("train", "valid", "test")}
        return {
            "source": self.config.data.path or "entity_sentences",
            **sizes,
            "vocabulary": len(self.words),
            "tags": list(self.tags),
        }

    # Use.

    def metadata(self) -> Mapping[str, Any]:
        return {"words": self.words.state(), "characters": self.characters.state(), "tags": list(self.tags)}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        self.words = data.Vocabulary.from_state(metadata.get("words"))
        self.characters = data.Vocabulary.from_state(metadata.get("characters"))
        self.tags = tuple(metadata["tags"])

    def read(self, path: Path, *, targets: bool = True) -> list[Tagged]:
        """Return the sentences of a CoNLL file; without targets, a ``.txt`` file has a sentence a line instead."""
        if not targets and path.suffix == ".txt":
            return [Tagged(tuple(line.split())) for line in load_text(path).text.split("\n") if line.strip()]
        return read_conll(path, targets=targets, scheme=self.config.data.scheme)

    def records(self, inputs: Iterable[Any]) -> list[Tagged]:
        sentences = []
        for number, value in enumerate(inputs):
            words = value.split() if isinstance(value, str) else list(value)
            if not words or not all(isinstance(word, str) and word for word in words):
                raise DataError(
                    f"input {number} is not a sentence", required="a list of words, or a str", got=repr(value)[:80]
                )
            sentences.append(Tagged(tuple(words)))
        return sentences

    def predict(
        self, model: Tagger, records: Sequence[Tagged], *, batch_size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        for sentence, scores in zip(records, self.compute(model, records, batch_size), strict=True):
            tags = self.named(scores)
            entities = [
                {"kind": kind, "text": " ".join(sentence.words[start:end]), "start": start, "end": end}
                for kind, start, end in sorted(spans(tags), key=lambda span: span.start)
            ]
            prediction: dict[str, Any] = {"words": list(sentence.words), "tags": list(tags), "entities": entities}
            if sentence.tags is not None:
                prediction["expected"] = list(sentence.tags)
            yield prediction

    def as_text(self, prediction: Mapping[str, Any]) -> str:
        """Return the sentence with its entities in brackets; tags of another kind stand behind their words."""
        words = list(prediction["words"])
        if self.measure.key != "f1":
            return " ".join(f"{word}/{tag}" for word, tag in zip(words, prediction["tags"], strict=True))
        for entity in prediction["entities"]:
            words[entity["start"]] = "[" + words[entity["start"]]
            words[entity["end"] - 1] += f" {entity['kind']}]"
        return " ".join(words)

    def write(self, model: Tagger, directory: Path) -> str:
        """Leave ``predictions.jsonl``, of the test part."""
        predictions = list(self.predict(model, self.part("test")))
        lines = (json.dumps(prediction, ensure_ascii=False) + "\n" for prediction in predictions)
        (directory / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")
        return "\n".join(self.as_text(prediction) for prediction in predictions[:5])

    def figures(self, model: Tagger, records: Sequence[Tagged]) -> Mapping[str, Callable[[], Figure]]:
        return {"confusion": lambda: self._confusion(model, records)}

    def _confusion(self, model: Tagger, records: Sequence[Tagged]) -> Figure:
        true = np.concatenate(self.numbers(records))
        predicted = np.concatenate([scores.argmax(-1) for scores in self.compute(model, records, None)])
        matrix = confusion_matrix(true, predicted, len(self.tags))
        return draw_confusion(matrix, self.tags, f"tags of {len(true):,} words")

    def readings(self, model: Tagger, record: Tagged) -> list[Reading]:
        return [Reading(list(record.words), lambda: model(*self.encode([record])))]

    def example(self, model: Tagger, steps: int) -> Tensor:
        words = tensor(np.arange(steps)[np.newaxis] % len(self.words))
        spelled = tensor(np.zeros((steps, 2), np.int64))
        logits = model(words, tensor([steps]), spelled, tensor([2] * steps))
        return nn.cross_entropy(logits[0], tensor(np.zeros(steps, np.int64)), reduction="mean")


def _shortened(word: str) -> str:
    return word if len(word) <= LONGEST_WORD else word[: LONGEST_WORD // 2] + word[-LONGEST_WORD // 2 :]
