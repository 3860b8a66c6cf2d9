"""Tagging: a tag for each word of a sentence, such as the names in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyseq import data, nn
from tinyseq.creation import tensor
from tinyseq.data.batching import IGNORED
from tinyseq.data.conll import UNTAGGED, Tagged, most_frequent_tags
from tinyseq.data.examples import split_examples
from tinyseq.data.measures import Score, span_scores
from tinyseq.data.padding import MULTIPLE, pad, shuffled
from tinyseq.data.splitting import unseen_note
from tinyseq.data.tagging import entity_sentences
from tinyseq.data.tokens import build_vocabulary
from tinyseq.errors import DataError
from tinyseq.ops.shape import reshape
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.learning import Feed
from tinyseq.train.tasks.measure import Measure
from tinyseq.train.tasks.overview import Overview, amounts, mostly_unknown, never_predicted, some
from tinyseq.train.tasks.role import Prepared
from tinyseq.train.tasks.tagging.config import TaggingConfig
from tinyseq.train.tasks.tagging.network import Tagger
from tinyseq.train.tasks.tagging.presentation import TagsPresentation


class Tagging(TagsPresentation, Task[TaggingConfig]):
    """Cross-entropy of each word's tag; judged by the F1 of entities as conlleval counts, other tags by accuracy."""

    Config = TaggingConfig
    compilable = True

    sentences = Prepared[data.Splits]()

    def __init__(self, config: TaggingConfig) -> None:
        super().__init__(config)
        self.entities = config.data.scheme != "none"
        self.measure = _measure(self.entities)

    def restore(self, metadata: Mapping[str, Any]) -> None:
        super().restore(metadata)
        self.measure = _measure(self.entities)

    # Training.

    def prepare(self) -> None:
        config, rng = self.config.data, np.random.default_rng(self.config.seed)
        if config.path is None:
            generated = entity_sentences(config.count, self.config.seed)
            whole = [Tagged(*map(tuple, zip(*sentence, strict=True))) for sentence in generated]
            documents: Sequence[int] = ()
        else:
            whole, documents, self.form = self.read_file(Path(config.path))
            self.entities = self.form.scheme != "none"
            self.measure = _measure(self.entities)
        valid, test = (None if path is None else self.read(Path(path)) for path in (config.valid, config.test))
        keys = self._keys(whole, documents)
        self.sentences = split_examples(whole, config.split, rng, valid=valid, test=test, by=config.split_by, keys=keys)
        train = self.sentences.train
        self.words = build_vocabulary((s.words for s in train), min_count=config.min_count, unknown=True)
        self.characters = build_vocabulary((word for s in train for word in s.words), unknown=True)
        self.tags = tuple(sorted({tag for s in train for tag in s.tags} - {UNTAGGED}))
        if not self.tags:
            raise DataError("no tags to learn", required="a tag in the training part", got=f"{len(train)} sentences")

    def _keys(self, sentences: Sequence[Tagged], documents: Sequence[int]) -> list[Any] | None:
        """Return what sentences are split by: the rarest tag of each, or its document."""
        if self.config.data.split_by == "class":
            counts = Counter(tag for s in sentences for tag in s.tags or ())
            return [min(s.tags or (UNTAGGED,), key=lambda tag: (counts[tag], tag)) for s in sentences]
        if self.config.data.split_by != "group":
            return None
        if len(set(documents)) < 2:
            raise DataError(
                "no documents to split by",
                required="lines that begin one: # newdoc in CoNLL-U, -DOCSTART- in other forms",
                got=str(self.config.data.path),
                fix="data.split_by: random, or files of their own for valid and test",
            )
        return list(documents)

    def build(self) -> Tagger:
        return Tagger(self.config.model, len(self.words), len(self.characters), len(self.tags))

    def least(self) -> Tagger:
        return Tagger(self.config.model, 1, 1, 1)

    def batches(self) -> Iterator[list[Tagged]]:
        train = [s for s in self.sentences.train if any(s.tags)]  # some treebanks leave sentences untagged
        rng = np.random.default_rng(self.config.seed)
        order = shuffled([len(sentence.words) for sentence in train], self.config.train.batch_size, rng)
        return ([train[row] for row in rows] for rows in order)

    def count(self, batch: list[Tagged]) -> int:
        return len(batch)

    def rows(self, batch: list[Tagged], rows: slice) -> list[Tagged]:
        return batch[rows]

    def feed(self, model: Tagger, batch: list[Tagged], state: Any) -> Feed:
        inputs = self.encode(batch)
        tags, _ = pad(self.numbers(batch), fill=IGNORED, multiple=MULTIPLE)
        tagged = int((tags != IGNORED).sum())
        return Feed((*inputs, tensor(tags)), max(tagged, 1), tagged)

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
        # Of a tag that training has not seen there is no probability: it is an error, and in no loss.
        picked = np.concatenate([s[np.arange(len(n)), n][n != IGNORED] for s, n in zip(scored, numbers, strict=True)])
        loss = {"loss": -float(picked.mean())} if len(picked) else {}
        return {**loss, **self.judged(records, [self.named(scores) for scores in scored])}

    def judged(self, records: Sequence[Tagged], tags_of: Sequence[Sequence[str]]) -> dict[str, float]:
        """Return the metrics of tags; ``unseen_tags`` are the words whose tag training has not seen.

        ``never_predicted`` is how many tags are there, known from training, and never given.
        """
        pairs = [
            (tag, found)
            for s, tags in zip(records, tags_of, strict=True)
            for tag, found in zip(s.tags or (), tags, strict=True)
            if tag != UNTAGGED
        ]
        if not pairs:
            raise DataError("nothing to judge", required="words with tags", got=f"{len(records)} sentences without")
        metrics: dict[str, float] = {"accuracy": sum(a == b for a, b in pairs) / len(pairs)}
        if self.measure.key == "f1":
            score = span_scores([s.tags or () for s in records], tags_of)["all"]
            metrics |= {"precision": score.precision, "recall": score.recall, "f1": score.f1}
        unseen = self.unseen(records).total()
        never = len({tag for tag, _ in pairs} & set(self.tags) - {found for _, found in pairs})
        return {
            **metrics,
            "words": len(pairs),
            **({"unseen_tags": unseen} if unseen else {}),
            **({"never_predicted": never} if never else {}),
        }

    def details(self, model: Tagger, records: Sequence[Tagged], *, batch_size: int | None = None) -> dict[str, Any]:
        """Return precision, recall and F1 of each kind of entity, or of each tag; and what training has not seen."""
        predicted = [self.named(scores) for scores in self.compute(model, records, batch_size)]
        unseen = self.unseen(records)
        told: dict[str, Any] = {"unseen_tags": dict(sorted(unseen.items()))} if unseen else {}
        if self.entities:
            kinds = span_scores([s.tags or () for s in records], predicted)
            return {"entities": {kind: score._asdict() for kind, score in kinds.items()}, **told}
        pairs = Counter(
            pair for s, tags in zip(records, predicted, strict=True) for pair in zip(s.tags or (), tags, strict=True)
        )
        return {"tags": {name: score._asdict() for name, score in self._scores(pairs).items()}, **told}

    def _scores(self, pairs: Counter[tuple[str, str]]) -> dict[str, Score]:
        """Return the score of each tag, of pairs of what is and what was found."""
        expected, found = Counter[str](), Counter[str]()
        for (tag, guess), count in pairs.items():
            if tag != UNTAGGED:
                expected[tag] += count
                found[guess] += count
        names = sorted(expected.keys() | found.keys())
        return {name: Score.of(pairs[name, name], found[name], expected[name]) for name in names}

    def baselines(self) -> dict[str, dict[str, float]]:
        best, other = most_frequent_tags(self.sentences.train)
        test = self.part("test")
        tags_of = [[best.get(word, other) for word in sentence.words] for sentence in test]
        return {"most frequent tag of each word": self.judged(test, tags_of)}

    def _unseen(self) -> dict[str, dict[str, int]]:
        return {name: dict(sorted(self.unseen(self.part(name)).items())) for name in ("valid", "test")}

    def notes(self) -> list[str]:
        return unseen_note("tags", self._unseen(), split=self.config.data.split_alone)

    def overview(self) -> Overview:
        told = {} if self.form is None else self.form.described()
        read = ", ".join([str(self.config.data.path), *(f"{key}: {value}" for key, value in told.items())])
        what = "a tag, of which entities are made," if self.entities else "a tag"
        return Overview(
            "sentences with names, made" if self.config.data.path is None else read,
            amounts(self.describe_data(), "sentence"),
            f"{what} for each word of a sentence, one of {len(self.tags)} ({some(self.tags)})",
        )

    def gaps(self) -> list[str]:
        words = [word for sentence in self.part("test") for word in sentence.words]
        unknown = sum(word not in self.words for word in words)
        tries = ["a smaller data.min_count"] if self.config.data.min_count > 1 else []
        tries += ["more sentences to learn from"]
        if self.config.model.characters:
            return mostly_unknown(
                unknown, len(words), "word", tries, then="the model knows them by their characters alone"
            )
        return mostly_unknown(unknown, len(words), "word", [*tries, "model.characters, which reads how one is written"])

    def remarks(self, model: Tagger, test: Mapping[str, float]) -> list[str]:
        if not test.get("never_predicted"):
            return []
        records = self.part("test")
        found = {tag for scores in self.compute(model, records, None) for tag in self.named(scores)}
        known, held = (Counter(tag for s in self.part(name) for tag in s.tags or ()) for name in ("train", "test"))
        told = {tag: (held[tag], known[tag]) for tag in self.tags if held[tag] and tag not in found}
        return never_predicted("tags", told, "or more sentences that have them")

    def describe_data(self) -> dict[str, Any]:
        sizes = {name: len(self.part(name)) for name in ("train", "valid", "test")}
        unseen = {name: tags for name, tags in self._unseen().items() if tags}
        return {
            "source": self.config.data.path or "entity_sentences",
            **({} if self.form is None else self.form.described()),
            **sizes,
            "vocabulary": len(self.words),
            "tags": list(self.tags),
            **({"unseen_tags": unseen} if unseen else {}),
        }


def _measure(entities: bool) -> Measure:
    if entities:
        return Measure("f1", "F1 of entities", False, "one counts where its kind, beginning and end are right")
    return Measure("accuracy", "accuracy", False, "the share of words whose tag is right")
