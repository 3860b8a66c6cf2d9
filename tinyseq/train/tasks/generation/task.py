"""What tasks share whose model writes a sentence for each input: training and judgement."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from tinyseq import data, nn
from tinyseq.creation import tensor
from tinyseq.data.batching import IGNORED
from tinyseq.data.examples import Example
from tinyseq.data.padding import MULTIPLE, shuffled
from tinyseq.data.tokens import uncut, vocabulary_of
from tinyseq.errors import DataError
from tinyseq.modes import no_grad
from tinyseq.nn.decoding import log_softmax
from tinyseq.nn.writers import EncoderDecoder
from tinyseq.tensors import Tensor
from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.generation.codec import END
from tinyseq.train.tasks.generation.config import MEASURES, GenerationConfig, W
from tinyseq.train.tasks.generation.presentation import SentencePresentation
from tinyseq.train.tasks.learning import Feed
from tinyseq.train.tasks.measure import Measure
from tinyseq.train.tasks.overview import fewer_unknown, mostly_unknown
from tinyseq.train.tasks.role import Prepared
from tinyseq.train.tasks.scoring import bleu, chrf, exact_match, require_sacrebleu, words_of


class GenerationTask(SentencePresentation[W], Task[W]):
    """An encoder reads the input, a writer writes the sentence; judged by the sentences it writes.

    Token accuracy and loss are with the true tokens before each position; exact match, BLEU and chrF are of sentences
    that the model wrote by itself. Those are compared as text: the true sentence is cut and put together as the
    written one is, so that a space that no token holds is no mistake.
    """

    Config: ClassVar[type[RunConfig]] = GenerationConfig
    compilable = True

    examples = Prepared[data.Splits]()
    #: What makes fewer tokens unknown.
    tries: list[str]

    def __init__(self, config: W) -> None:
        super().__init__(config)
        self.measure = MEASURES[config.decode.measure]
        if config.decode.bleu:
            require_sacrebleu()

    # Training.

    def take(self, examples: data.Splits, *, min_count: int = 1, max_size: int | None = None) -> None:
        """Take over the examples of the three parts, and make the target vocabulary."""
        self.examples = examples
        cut = self.level.cut
        train = [cut(example.target) for example in examples.train]
        held = {token for part in (examples.valid, examples.test) for example in part for token in cut(example.target)}
        self.targets = vocabulary_of(train, held, specials=(END,), min_count=min_count, max_size=max_size)
        self.longest = max(len(tokens) for tokens in train) + 1
        self.tries = fewer_unknown(self.level.name, min_count, max_size)

    def notes(self) -> list[str]:
        note = uncut(self.level, "\n".join(example.target for example in self.examples.train))
        return [note] if note else []

    def gaps(self) -> list[str]:
        return self.gaps_of("target", self.targets, [example.target for example in self.examples.test])

    def gaps_of(self, side: str, vocabulary: data.Vocabulary, sentences: Sequence[str]) -> list[str]:
        """Return what the sentences of one side have that its vocabulary has not."""
        unknown = tokens = 0
        for sentence in sentences:
            cut = self.level.cut(sentence)
            tokens += len(cut)
            unknown += sum(token not in vocabulary for token in cut)
        return mostly_unknown(unknown, tokens, f"{side} {self.level.unit}", self.tries)

    @property
    def compared(self) -> Measure:
        """Baselines write sentences, and know no probabilities."""
        return MEASURES["exact_match"] if self.measure.key in ("token_accuracy", "loss") else self.measure

    def batches(self) -> Iterator[tuple[int, list[Example]]]:
        """Yield the number of updates before it, and the examples, of each batch."""
        train = self.examples.train
        sizes = [self.size(example.input) + len(example.target) for example in train]
        order = shuffled(sizes, self.config.train.batch_size, np.random.default_rng([self.config.seed, 1]))
        for number, rows in enumerate(order):
            yield number, [train[row] for row in rows]

    def count(self, batch: tuple[int, list[Example]]) -> int:
        return len(batch[1])

    def rows(self, batch: tuple[int, list[Example]], rows: slice) -> tuple[int, list[Example]]:
        if not self.config.teacher_forcing.always:
            raise self._lacks("with scheduled sampling does not cut its batches: rows of all parts would draw alike")
        number, examples = batch
        return number, examples[rows]

    def feed(self, model: EncoderDecoder, batch: tuple[int, list[Example]], state: Any) -> Feed:
        number, examples = batch
        previous, following, tokens = self.teach(examples, MULTIPLE)
        keep = draws = None
        forcing = self.config.teacher_forcing
        if not forcing.always:
            # Drawn from the batch's number, so that they do not depend on what was drawn before.
            rng = np.random.default_rng([self.config.seed, 2, number])
            likely = forcing.probability(number, self.config.train.steps)
            mask = np.asarray(rng.random(previous.shape) < likely)
            mask[:, 0] = True  # nothing was written yet
            keep = tensor(mask)
            draws = tensor(rng.random(previous.shape), dtype=self.config.dtype)
        sources = self.inputs([example.input for example in examples], MULTIPLE)
        return Feed((tensor(previous), tensor(following), keep, draws, *sources), tokens)

    def loss(self, model: EncoderDecoder, *arguments: Any) -> tuple[Tensor, Any]:
        previous, following, keep, draws, *sources = arguments
        encoded = model.encoder(*sources)
        if keep is None:
            logits = model.writer(previous, encoded)
        else:
            logits = model.writer.scheduled(previous, encoded, keep, draws)
        flat = following.reshape((-1,))
        return nn.cross_entropy(logits, flat, ignore_index=IGNORED, reduction="mean"), None

    # Judgement.

    def part(self, split: str) -> list[Example]:
        part: list[Example] = getattr(self.examples, split)
        return part

    def evaluate_on(
        self, model: EncoderDecoder, records: Sequence[Example], *, batch_size: int | None = None
    ) -> dict[str, float]:
        true = _targets(records)
        loss = right = count = 0.0
        for rows in self._by_length(records, batch_size):
            chosen = [records[row] for row in rows]
            previous, following, tokens = self.teach(chosen)
            with no_grad():
                logits = model(tensor(previous), *self.inputs([e.input for e in chosen])).numpy()
            log_p, flat = log_softmax(logits), following.reshape(-1)
            counted = flat != IGNORED
            loss -= log_p[counted, flat[counted]].sum()
            right += (log_p.argmax(-1) == flat)[counted].sum()
            count += tokens
        written = [self.text(best[0]) for best in self.write_for(model, records, batch_size)]
        metrics = {"loss": loss / count, "token_accuracy": right / count, **self._compared(written, true)}
        return {**{key: float(value) for key, value in metrics.items()}, "tokens": int(count)}

    def _compared(self, written: Sequence[str], true: Sequence[str]) -> dict[str, float]:
        """Return what is measured of whole sentences."""
        tidy = [self.level.tidy(sentence) for sentence in true]
        metrics = {"exact_match": exact_match(written, tidy)}
        if self.config.decode.bleu:
            metrics |= {
                "bleu": bleu(written, tidy, words_of(self.level, tidy)).score,
                "chrf": chrf(written, tidy).score,
            }
        return metrics

    def details(
        self, model: EncoderDecoder, records: Sequence[Example], *, batch_size: int | None = None
    ) -> dict[str, Any]:
        decode = self.config.decode
        details: dict[str, Any] = {"search": "greedy" if decode.beam == 1 else f"beam of {decode.beam}"}
        if decode.bleu:
            true = [self.level.tidy(sentence) for sentence in _targets(records)]
            details["bleu_signature"] = bleu(true, true, words_of(self.level, true)).signature
            details["chrf_signature"] = chrf(true, true).signature
        return details

    def trivial_baselines(self) -> dict[str, Callable[[Any], str]]:
        """Return, by name, ways to write without learning, for the baselines."""
        sentences = [example.target for example in self.examples.train]
        commonest = max(sorted(set(sentences)), key=sentences.count) if len(set(sentences)) < 2000 else sentences[0]
        return {"commonest sentence": lambda source: commonest}

    def baselines(self) -> dict[str, dict[str, float]]:
        test = self.examples.test
        true, tidy = _targets(test), self.level.tidy
        return {
            name: self._compared([tidy(write(example.input)) for example in test], true)
            for name, write in self.trivial_baselines().items()
        }

    def describe_data(self) -> dict[str, Any]:
        parts = ("train", "valid", "test")
        return {**{name: len(self.part(name)) for name in parts}, "target_vocabulary": len(self.targets)}


def _targets(records: Sequence[Example]) -> list[str]:
    """Return the targets, refusing records without."""
    if not records:
        raise DataError("nothing to judge", required="at least one record with its target", got="none")
    missing = next((i for i, record in enumerate(records) if record.target is None), None)
    if missing is not None:
        raise DataError("a record without its target", required="a target for each record", where=f"record {missing}")
    return [record.target for record in records if record.target is not None]
