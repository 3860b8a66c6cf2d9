"""The language model: read a text, predict what comes next."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinyseq import data, nn
from tinyseq.creation import tensor
from tinyseq.data.batching import IGNORED, Ids
from tinyseq.data.streams import NAMES, Parts
from tinyseq.data.tokens import beginning, uncut
from tinyseq.errors import DataError
from tinyseq.modes import no_grad
from tinyseq.ops.shape import concat, reshape
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.language_model.config import LanguageModelConfig
from tinyseq.train.tasks.language_model.network import LanguageModelNet
from tinyseq.train.tasks.language_model.presentation import TextPresentation
from tinyseq.train.tasks.language_model.scoring import metrics_of
from tinyseq.train.tasks.learning import Feed
from tinyseq.train.tasks.measure import Measure
from tinyseq.train.tasks.overview import Overview, amounts, fewer_unknown, mostly_unknown
from tinyseq.train.tasks.role import Prepared

#: So many tokens of a text are looked at, for its first line and its script.
_LOOKED_AT = 10_000


class LanguageModel(TextPresentation, Task[LanguageModelConfig]):
    """Stateful truncated backpropagation over contiguous text; judged in bits a token on held-out text."""

    Config = LanguageModelConfig
    compilable = True

    parts = Prepared[Parts]()
    #: The three parts as numbers of tokens.
    ids = Prepared[data.Splits]()

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__(config)
        self.measure = Measure(
            self.level.bits, f"bits per {self.level.unit}", meaning="how far unseen text surprises the model"
        )

    # Training.

    def prepare(self) -> None:
        config = self.config.data
        self.parts = Parts(
            self.level,
            config.path,
            config.split,
            valid=config.valid,
            test=config.test,
            min_count=config.min_count,
            max_size=config.max_size,
        )
        self.vocabulary, self.ids = self.parts.vocabulary, self.parts.ids
        self.first_line = self._first_line()
        for name in ("valid", "test"):
            if len(getattr(self.ids, name)) < 2:
                raise DataError(
                    f"the text is too short: its {name} part has nothing to predict",
                    required=f"at least 2 {self.level.unit}s in each part",
                    got=f"{self._count()} {self.level.unit}s, split {config.split}",
                    fix="a longer text, or a larger share in data.split",
                )
        self.batches()  # refuses a text that is too short for the batches before anything is computed

    def _count(self) -> int:
        return sum(len(getattr(self.ids, name)) for name in NAMES)

    def _first_line(self) -> str:
        """Return the first whole line of the test text that is not blank, its first words where it is long."""
        text = self.parts.text("test", 0, _LOOKED_AT)
        if not self.parts.starts_a_line("test"):
            line, _, rest = text.partition("\n")
            text = rest if rest.strip() else line.partition(" ")[2] or line  # a piece of a line, or of a word, is none
        return beginning(text.lstrip().partition("\n")[0], self.level)

    def notes(self) -> list[str]:
        note = uncut(self.level, self.parts.text("train", 0, _LOOKED_AT))
        return [note] if note else []

    def overview(self) -> Overview:
        unit, parts = self.level.unit, self.parts
        files = [parts.corpus.name, *(part.name for part in (parts.own.valid, parts.own.test) if part is not None)]
        return Overview(
            f"{', '.join(files)} as {unit}s, {len(self.vocabulary):,} different ones",
            amounts({name: len(getattr(self.ids, name)) for name in NAMES}, unit),
            f"the next {unit}, from all before it",
        )

    def gaps(self) -> list[str]:
        c = self.config.data
        tries = fewer_unknown(c.level, c.min_count, c.max_size)
        return mostly_unknown(self.parts.unknown("test"), len(self.ids.test), self.level.unit, tries)

    def fingerprint(self, split: str) -> Any:
        """Return the numbers of tokens; what they stand for is in the metadata."""
        return getattr(self.ids, split)

    def build(self) -> LanguageModelNet:
        return LanguageModelNet(self.config.model, len(self.vocabulary))

    def least(self) -> LanguageModelNet:
        return LanguageModelNet(self.config.model, 1)

    def batches(self) -> Iterator[data.Window]:
        train = self.config.train
        return data.training_windows(self.ids.train, train.batch_size, train.bptt.every, train.bptt.depth)

    def count(self, batch: data.Window) -> int:
        return len(batch.inputs)

    def rows(self, batch: data.Window, rows: slice) -> data.Window:
        return batch._replace(inputs=batch.inputs[rows], targets=batch.targets[rows])

    def feed(self, model: LanguageModelNet, batch: data.Window, state: Any) -> Feed:
        if state is None or batch.fresh:
            state = model.recurrent.initial_state(batch.inputs.shape[0])
        inputs, targets = tensor(batch.inputs), tensor(batch.targets[:, batch.counted :])
        return Feed((inputs, targets, state, batch.carry, batch.counted), batch.tokens)

    def loss(self, model: LanguageModelNet, *arguments: Any) -> tuple[Tensor, Any]:
        inputs, targets, state, carry, counted = arguments
        # The state that the next window starts from may lie within this one: then the window is run in two parts, and
        # nothing is cut between them.
        edges = sorted({0, carry, inputs.shape[1]})
        parts, carried = [], state
        for start, end in itertools.pairwise(edges):
            ys, state = model(inputs[:, start:end], state)
            carried = state if end == carry else carried
            parts.append(ys)
        ys = concat(parts, axis=1) if len(parts) > 1 else parts[0]
        if counted:
            ys = ys[:, counted:]
        return nn.cross_entropy(model.logits(ys), reshape(targets, (-1,)), reduction="mean"), carried

    def metrics(self, loss: float) -> dict[str, float]:
        return metrics_of(loss, self.level)

    def example(self, model: LanguageModelNet, steps: int) -> Tensor:
        ids = np.arange(steps + 1, dtype=np.int64) % len(self.vocabulary)
        inputs = tensor(ids[None, :-1], name="tokens")
        ys, _ = model(inputs)
        loss: Tensor = nn.cross_entropy(model.logits(ys), tensor(ids[1:], name="targets"), reduction="mean")
        return loss

    # Judgement.

    def part(self, split: str) -> list[str]:
        return self.parts.text(split).splitlines(keepends=True)

    def evaluate(self, model: LanguageModelNet, split: str) -> dict[str, float]:
        return self._judge(model, getattr(self.ids, split))

    def evaluate_on(
        self, model: LanguageModelNet, records: Sequence[str], *, batch_size: int | None = None
    ) -> dict[str, float]:
        """Return loss, bits a token and perplexity of lines read as one text.

        Many rows are read at once, each a contiguous part that starts with the initial state; so the batch size does
        change the figures a little.
        """
        return self._judge(model, self.vocabulary.encode(self.level.cut("".join(records))), batch_size)

    def _judge(self, model: LanguageModelNet, ids: Ids, batch_size: int | None = None) -> dict[str, float]:
        train = self.config.train
        total, count, state = 0.0, 0, None
        with no_grad():
            for window in data.held_out_windows(ids, batch_size or train.batch_size, train.bptt.every):
                if state is None:
                    state = model.recurrent.initial_state(len(window.inputs))
                ys, state = model(tensor(window.inputs), state)
                losses = nn.cross_entropy(
                    model.logits(ys),
                    reshape(tensor(window.targets), (-1,)),
                    ignore_index=IGNORED,
                    reduction="sum",
                )
                total += float(losses.item())
                count += window.tokens
        return {**self.metrics(total / count), "tokens": count}

    def baselines(self) -> dict[str, dict[str, float]]:
        metrics = {}
        for order, name in ((1, "unigram"), (2, "bigram")):
            alpha, (bits,) = data.ngram_bits(
                order, self.ids.train, self.ids.valid, [self.ids.test], len(self.vocabulary)
            )
            metrics[name] = {self.level.bits: bits, "perplexity": 2.0**bits, "alpha": alpha}
        return metrics

    def describe_data(self) -> dict[str, Any]:
        parts, unknown = self.parts, self.parts.unknown
        files = {name: part for name in NAMES if (part := getattr(parts.own, name)) is not None}
        return {
            "corpus": parts.corpus.name,
            "sha256": parts.corpus.sha256,
            "characters": parts.corpus.characters,
            **{f"{name}_file": {"corpus": part.name, "sha256": part.sha256} for name, part in files.items()},
            **{name: len(getattr(self.ids, name)) for name in NAMES},
            "vocabulary": len(self.vocabulary),
            "train_unknown": unknown("train"),
            "held_out_unknown": unknown("valid") + unknown("test"),
        }
