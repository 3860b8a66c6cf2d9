"""Tags for a reader: rows, sentences with entities in brackets, and what was taken for what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyseq.data.conll import UNTAGGED, Tagged
from tinyseq.data.measures import confusion_matrix, spans
from tinyseq.data.padding import by_length
from tinyseq.figures import confusion_matrix as draw_confusion
from tinyseq.modes import no_grad
from tinyseq.ops.reduce import log_softmax
from tinyseq.train.tasks.presentation import Presentation, Reading
from tinyseq.train.tasks.role import Array
from tinyseq.train.tasks.tagging.codec import SentenceCodec
from tinyseq.train.tasks.tagging.config import TaggingConfig
from tinyseq.train.tasks.tagging.network import Tagger

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TagsPresentation(SentenceCodec, Presentation[TaggingConfig]):
    """The likeliest tag of each word, and the entities that tags make."""

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

    def predict(
        self, model: Tagger, records: Sequence[Tagged], *, batch_size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        for sentence, scores in zip(records, self.compute(model, records, batch_size), strict=True):
            tags = self.named(scores)
            found = sorted(spans(tags), key=lambda span: span.start) if self.entities else []
            entities = [
                {"kind": kind, "text": " ".join(sentence.words[start:end]), "start": start, "end": end}
                for kind, start, end in found
            ]
            prediction: dict[str, Any] = {"words": list(sentence.words), "tags": list(tags), "entities": entities}
            if sentence.tags is not None:
                prediction["expected"] = [None if tag == UNTAGGED else tag for tag in sentence.tags]
            yield prediction

    def as_text(self, prediction: Mapping[str, Any]) -> str:
        """Return the sentence with its entities in brackets; tags of another kind stand behind their words."""
        words = list(prediction["words"])
        if not self.entities:
            return " ".join(f"{word}/{tag}" for word, tag in zip(words, prediction["tags"], strict=True))
        for entity in prediction["entities"]:
            words[entity["start"]] = "[" + words[entity["start"]]
            words[entity["end"] - 1] += f" {entity['kind']}]"
        return " ".join(words)

    def leave(self, model: Tagger, records: Sequence[Tagged], directory: Path) -> str:
        """Leave ``predictions.jsonl``."""
        return self.leave_rows(self.predict(model, records), directory)

    def figures(self, model: Tagger, records: Sequence[Tagged]) -> Mapping[str, Callable[[], Figure]]:
        return {"confusion": lambda: self._confusion(model, records)}

    def _confusion(self, model: Tagger, records: Sequence[Tagged]) -> Figure:
        self.numbers(records)  # refuses sentences without tags
        names = (*self.tags, *sorted(self.unseen(records)))
        numbers = {tag: number for number, tag in enumerate(names)}
        tags = [tag for record in records for tag in record.tags or ()]
        predicted = np.concatenate([scores.argmax(-1) for scores in self.compute(model, records, None)])
        tagged = np.array([tag != UNTAGGED for tag in tags], bool)
        true = [numbers[tag] for tag in tags if tag != UNTAGGED]
        matrix = confusion_matrix(true, predicted[tagged], len(names))
        return draw_confusion(matrix, names, f"tags of {len(true):,} words")

    def readings(self, model: Tagger, record: Tagged) -> list[Reading]:
        return [Reading(list(record.words), lambda: model(*self.encode([record])))]
