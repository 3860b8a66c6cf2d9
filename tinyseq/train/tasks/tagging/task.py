"""Tagging: a tag for each word of a sentence, such as the names in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyseq import data, nn
from tinyseq.creation import tensor
from tinyseq.data.batching import IGNORED
from tinyseq.data.conll import Tagged, most_frequent_tags
from tinyseq.data.examples import split_examples
from tinyseq.data.measures import span_scores
from tinyseq.data.padding import pad, shuffled
from tinyseq.data.tagging import entity_sentences
from tinyseq.data.tokens import build_vocabulary
from tinyseq.ops.shape import reshape
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.learning import Feed, Measure
from tinyseq.train.tasks.role import Prepared
from tinyseq.train.tasks.tagging.codec import MULTIPLE
from tinyseq.train.tasks.tagging.config import TaggingConfig
from tinyseq.train.tasks.tagging.network import Tagger
from tinyseq.train.tasks.tagging.presentation import TagsPresentation


class Tagging(TagsPresentation, Task[TaggingConfig]):
    """Cross-entropy of each word's tag; judged by the F1 of whole entities, strictly (accuracy for other tags)."""

    Config = TaggingConfig
    compilable = True

    sentences = Prepared[data.Splits]()

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

    def example(self, model: Tagger, steps: int) -> Tensor:
        words = tensor(np.arange(steps)[np.newaxis] % len(self.words))
        spelled = tensor(np.zeros((steps, 2), np.int64))
        logits = model(words, tensor([steps]), spelled, tensor([2] * steps))
        return nn.cross_entropy(logits[0], tensor(np.zeros(steps, np.int64)), reduction="mean")

    # Judgement.

    def part(self, split: str) -> list[Tagged]:
        sentences: list[Tagged] = getattr(self.sentences, split)
        return sentences

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
