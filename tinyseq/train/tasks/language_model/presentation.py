"""What a language model says, for a reader: likeliest next tokens, bits of a line, samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyseq.creation import tensor
from tinyseq.data.padding import by_length, pad
from tinyseq.modes import no_grad
from tinyseq.ops.reduce import log_softmax
from tinyseq.train.tasks.language_model.config import LanguageModelConfig
from tinyseq.train.tasks.language_model.network import LanguageModelNet
from tinyseq.train.tasks.language_model.sampling import Sampler
from tinyseq.train.tasks.language_model.scoring import metrics_of
from tinyseq.train.tasks.presentation import Presentation, Reading

#: How many next tokens a prediction lists.
LIKELIEST = 5


class TextPresentation(Sampler, Presentation[LanguageModelConfig]):
    """Lines, each read by itself; and of a run, the texts that its model writes."""

    def predict(
        self, model: LanguageModelNet, records: Sequence[str], *, batch_size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield, for each line read by itself, its bits a token and the likeliest next tokens."""
        lines = [line.rstrip("\n") for line in records]
        read = [self.vocabulary.encode(self.level.cut(line)) for line in lines]
        predictions: dict[int, dict[str, Any]] = {}
        for rows in by_length([len(ids) for ids in read], batch_size or self.config.train.batch_size):
            ids, lengths = pad([read[row] for row in rows])
            with no_grad():
                ys, _ = model(tensor(ids), lengths=tensor(lengths))
                scores = log_softmax(model.logits(ys), -1).numpy().reshape(*ids.shape, -1).astype(np.float64)
            for row, scored, known, length in zip(rows, scores, ids, lengths, strict=True):
                predictions[int(row)] = self._prediction(lines[row], scored[:length], known[:length])
        yield from (predictions[row] for row in range(len(lines)))

    def _prediction(self, line: str, scores: np.ndarray[Any, Any], ids: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Return the prediction of a line whose step t gave the log probabilities ``scores[t]`` of what follows it."""
        prediction: dict[str, Any] = {"text": line, self.level.bits: None, "perplexity": None, "next": []}
        if len(ids) > 1:
            loss = -float(scores[np.arange(len(ids) - 1), ids[1:]].mean())
            prediction |= {key: value for key, value in metrics_of(loss, self.level).items() if key != "loss"}
        if len(ids):
            best = [int(i) for i in np.argsort(-scores[-1], kind="stable") if i != self.vocabulary.unknown][:LIKELIEST]
            prediction["next"] = [[self.vocabulary.lookup([i])[0], round(math.exp(scores[-1, i]), 6)] for i in best]
        return prediction

    def as_text(self, prediction: Mapping[str, Any]) -> str:
        value = prediction[self.level.bits]
        bits = "" if value is None else f"{value:.3f} bits per {self.level.unit}, "
        following = " ".join(f"{token!r} {share:.2f}" for token, share in prediction["next"])
        return f"{prediction['text']}\n  {bits}next: {following or 'nothing to go on from'}"

    def leave(self, model: LanguageModelNet, records: Sequence[str], directory: Path) -> str:
        """Leave ``samples.txt``: texts that the model goes on with from its prime, whatever the records."""
        config = self.config.sample
        if not (config.count and config.length):
            return ""
        rule = "-" * 72
        blocks = []
        for number in range(config.count):
            prime, text = self.sample(model, seed=self.config.seed + number)
            head = f"sample {number + 1}, temperature {config.temperature:g}, seed {self.config.seed + number}"
            blocks.append(f"{rule}\n{head}, going on from {prime!r}\n{rule}\n{prime}{text}\n")
        (directory / "samples.txt").write_text("\n".join(blocks), encoding="utf-8")
        return blocks[0]

    def readings(self, model: LanguageModelNet, record: str) -> list[Reading]:
        tokens = self.level.cut(record)
        if not tokens:
            return []
        ids = self.vocabulary.encode(tokens)
        return [Reading(list(tokens), lambda: model(tensor(ids[None])))]
