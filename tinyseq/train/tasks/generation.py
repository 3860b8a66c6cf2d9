"""What tasks share whose model writes a sentence for each input: training, decoding, metrics, predictions."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from pydantic import Field

from tinyseq import data, nn
from tinyseq.creation import tensor
from tinyseq.data.batching import IGNORED, Ids
from tinyseq.data.examples import Example
from tinyseq.data.padding import by_length, pad, shuffled
from tinyseq.data.tokens import find_level, vocabulary_of
from tinyseq.errors import DataError
from tinyseq.figures import AttentionMap, attention_maps, save
from tinyseq.modes import no_grad
from tinyseq.nn.decoding import Hypothesis, Step, beam, greedy, log_softmax
from tinyseq.nn.writers import EncoderDecoder
from tinyseq.tensors import Tensor
from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.config.section import Section
from tinyseq.train.config.source import Problem
from tinyseq.train.config.teacher_forcing import ForcingConfig
from tinyseq.train.tasks.base import Feed, Measure, Reading, Task
from tinyseq.train.tasks.scoring import bleu, chrf, exact_match, require_sacrebleu, words_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The entry of a target vocabulary that stands before the first token and after the last.
END = "<end>"
#: Times are rounded up to a multiple of this in training, so that few shapes are compiled.
MULTIPLE = 8
#: How many test predictions are written down, shown, and drawn with their attention.
WRITTEN, SHOWN, DRAWN = 200, 5, 2

#: What a run may be judged by, all on the validation part.
MEASURES = {
    "exact_match": Measure("exact_match", "sentences that are right as a whole", lower_is_better=False),
    "token_accuracy": Measure("token_accuracy", "tokens that are right", lower_is_better=False),
    "bleu": Measure("bleu", "BLEU", lower_is_better=False),
    "chrf": Measure("chrf", "chrF2", lower_is_better=False),
    "loss": Measure("loss", "loss in nats a token"),
}


class DecodeConfig(Section):
    """How sentences are written, and judged."""

    beam: int = Field(1, ge=1, description="How many beginnings are followed; 1 is greedy search.")
    length_power: float = Field(1.0, ge=0, description="log p is divided by length to this power; 0 favours the short.")
    max_length: int | None = Field(
        None, ge=1, description="The most tokens of a sentence; null is twice the longest of the training part."
    )
    bleu: bool = Field(False, description='Measure BLEU and chrF too; needs pip install "tinyseq[bleu]".')
    measure: Literal["exact_match", "token_accuracy", "bleu", "chrf", "loss"] = Field(
        "token_accuracy", description="What the run is judged by: exact_match, token_accuracy, bleu, chrf or loss."
    )

    def contradictions(self) -> Iterator[Problem]:
        if self.measure in ("bleu", "chrf") and not self.bleu:
            message = f"judged by {self.measure}, and `bleu` is false; required decode.bleu: true"
            yield Problem(("measure",), message, involves=(("bleu",),))


class GenerationConfig(RunConfig):
    """What the configs of these tasks have in common."""

    teacher_forcing: ForcingConfig = Field(default_factory=ForcingConfig, description="Scheduled sampling.")
    decode: DecodeConfig = Field(default_factory=DecodeConfig, description="How sentences are written, and judged.")


W = TypeVar("W", bound=GenerationConfig)


class GenerationTask(Task[W]):
    """An encoder reads the input, a writer writes the sentence; judged by the sentences it writes.

    Token accuracy and loss are with the true tokens before each position; exact match, BLEU and chrF are of sentences
    that the model wrote by itself. Those are compared as text: the true sentence is cut and put together as the
    written one is, so that a space that no token holds is no mistake.
    """

    Config: ClassVar[type[RunConfig]] = GenerationConfig
    compilable = True

    examples: data.Splits
    targets: data.Vocabulary
    #: The most tokens of a training target, its end included.
    longest: int

    def __init__(self, config: W) -> None:
        super().__init__(config)
        self.measure = MEASURES[config.decode.measure]
        self.level = find_level(self.level_name)
        if config.decode.bleu:
            require_sacrebleu()

    # What a task of this kind says about its inputs.

    @property
    @abstractmethod
    def level_name(self) -> str:
        """The level of the target sentences."""

    @abstractmethod
    def inputs(self, sources: Sequence[Any], multiple: int = 1) -> tuple[Tensor, ...]:
        """Return what the encoder is called with."""

    @abstractmethod
    def size(self, source: Any) -> int:
        """Return how long an input is; similar ones are put into one batch."""

    @abstractmethod
    def show(self, source: Any) -> Any:
        """Return an input as it stands in a prediction: plain JSON."""

    def source_tokens(self, source: Any) -> list[str]:
        """Return the names of the memory's steps, for the picture of attention."""
        return []

    def trivial_baselines(self) -> dict[str, Callable[[Any], str]]:
        """Return, by name, ways to write without learning, for the baselines."""
        sentences = [example.target for example in self.examples.train]
        commonest = max(sorted(set(sentences)), key=sentences.count) if len(set(sentences)) < 2000 else sentences[0]
        return {"commonest sentence": lambda source: commonest}

    # Training.

    def take(self, examples: data.Splits, *, min_count: int = 1, max_size: int | None = None) -> None:
        """Take over the examples of the three parts, and make the target vocabulary."""
        self.examples = examples
        cut = self.level.cut
        train = [cut(example.target) for example in examples.train]
        held = {token for part in (examples.valid, examples.test) for example in part for token in cut(example.target)}
        self.targets = vocabulary_of(train, held, specials=(END,), min_count=min_count, max_size=max_size)
        self.longest = max(len(tokens) for tokens in train) + 1

    def batches(self) -> Iterator[tuple[int, list[Example]]]:
        """Yield the number of updates before it, and the examples, of each batch."""
        train = self.examples.train
        sizes = [self.size(example.input) + len(example.target) for example in train]
        order = shuffled(sizes, self.config.train.batch_size, np.random.default_rng([self.config.seed, 1]))
        for number, rows in enumerate(order):
            yield number, [train[row] for row in rows]

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

    def teach(self, examples: Sequence[Example], multiple: int = 1) -> tuple[Ids, Ids, int]:
        """Return the tokens before each position and those at it, (batch, time), and how many count."""
        rows = [self.targets.encode([*self.level.cut(e.target or ""), END]) for e in examples]
        following, _ = pad(rows, fill=IGNORED, multiple=multiple)
        previous = np.roll(following, 1, axis=1)
        previous[:, 0] = self.end
        return np.where(previous == IGNORED, self.end, previous), following, sum(map(len, rows))

    @property
    def end(self) -> int:
        """The number of the entry that starts and ends a sentence."""
        return int(self.targets.encode([END])[0])

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
        written = [self.text(found[0]) for found in self.write_for(model, records, batch_size)]
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

    def baselines(self) -> dict[str, dict[str, float]]:
        test = self.examples.test
        true, metrics = _targets(test), {}
        for name, write in self.trivial_baselines().items():
            metrics[name] = self._compared([self.level.tidy(write(example.input)) for example in test], true)
        return metrics

    # Use.

    def write_for(
        self, model: EncoderDecoder, records: Sequence[Example], batch_size: int | None = None
    ) -> list[list[Hypothesis]]:
        """Return what the model writes for each record, the best first."""
        decode = self.config.decode
        end, limit = self.end, (decode.max_length or 2 * self.longest) + 1
        hypotheses: dict[int, list[Hypothesis]] = {}
        for rows in self._by_length(records, batch_size):
            with no_grad():
                encoded = model.encoder(*self.inputs([records[row].input for row in rows]))
                step, state = model.writer.stepper(encoded, decode.beam)
                scored = _judged(step, self.targets.unknown)
                if decode.beam == 1:
                    best = [[h] for h in greedy(scored, state, len(rows), start=end, end=end, limit=limit)]
                else:
                    best = beam(
                        scored,
                        state,
                        len(rows),
                        width=decode.beam,
                        start=end,
                        end=end,
                        limit=limit,
                        length_power=decode.length_power,
                    )
            hypotheses.update(zip(map(int, rows), best, strict=True))
        return [hypotheses[row] for row in range(len(records))]

    def text(self, hypothesis: Hypothesis) -> str:
        """Return the sentence of a hypothesis."""
        return self.level.join(self.targets.lookup(hypothesis.tokens))

    def predict(
        self, model: EncoderDecoder, records: Sequence[Example], *, batch_size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield, for each input, what the model writes, its log p, and with a beam the other hypotheses."""
        for record, best in zip(records, self.write_for(model, records, batch_size), strict=True):
            prediction = {
                **self.show(record.input),
                "prediction": self.text(best[0]),
                "log_p": round(best[0].log_p, 6),
            }
            if record.target is not None:
                prediction["target"] = record.target
            if not best[0].ended:
                prediction["cut"] = True  # the longest that may be written, and no end
            if len(best) > 1:
                prediction["others"] = [{"prediction": self.text(h), "log_p": round(h.log_p, 6)} for h in best[1:]]
            yield prediction

    def as_text(self, prediction: Mapping[str, Any]) -> str:
        return str(prediction["prediction"])

    def write(self, model: EncoderDecoder, directory: Path) -> str:
        records = self.examples.test[:WRITTEN]
        predictions = list(self.predict(model, records))
        lines = [json.dumps(p, ensure_ascii=False) + "\n" for p in predictions]
        (directory / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")
        for name, draw in self.figures(model, records).items():
            save(draw(), directory / f"{name}.png")
        return "\n".join(self.line(p) for p in predictions[:SHOWN])

    def line(self, prediction: Mapping[str, Any]) -> str:
        right = prediction["prediction"] == self.level.tidy(prediction.get("target", prediction["prediction"]))
        truth = "" if right else f"   (true: {prediction['target']})"
        return f"{prediction.get('source', prediction.get('input', ''))}  ->  {prediction['prediction']}{truth}".strip()

    def attention(self, model: EncoderDecoder, record: Example) -> AttentionMap | None:
        """Return what the model looks at while it writes; None where it looks at nothing, or at one thing."""
        source_tokens = self.source_tokens(record.input)
        (best,) = self.write_for(model, [record])
        tokens = best[0].tokens
        previous = np.array([[self.end, *tokens]], np.int64)
        with no_grad():
            weights = model.writer.weights(tensor(previous), model.encoder(*self.inputs([record.input])))
        if weights is None or len(source_tokens) < 2:
            return None
        return AttentionMap(source_tokens, [*self.targets.lookup(tokens), END], weights.numpy()[0])

    def figures(self, model: EncoderDecoder, records: Sequence[Example]) -> Mapping[str, Callable[[], Figure]]:
        if not self.attends(model):
            return {}
        return {"attention": lambda: attention_maps(self._maps(model, records))}

    def attends(self, model: EncoderDecoder) -> bool:
        """Return whether the model looks at steps of what it read."""
        return model.writer.attends

    def _maps(self, model: EncoderDecoder, records: Sequence[Example]) -> list[AttentionMap]:
        maps = [found for record in records[:DRAWN] if (found := self.attention(model, record)) is not None]
        if not maps:
            raise DataError("a map of attention", required="an input of at least two tokens", got="none")
        return maps

    def readings(self, model: EncoderDecoder, record: Example) -> list[Reading]:
        """Return the reading of the input, where it has steps, and the writing of what the model writes."""
        inputs = self.inputs([record.input])
        (best,) = self.write_for(model, [record])
        tokens = best[0].tokens
        previous = tensor(np.array([[self.end, *tokens]], np.int64))
        source_tokens = self.source_tokens(record.input)
        reading = [Reading(source_tokens, lambda: model.encoder(*inputs))] if source_tokens else []
        written = [*self.targets.lookup(tokens), END]
        return [*reading, Reading(written, lambda: model.writer(previous, model.encoder(*inputs)))]

    def metadata(self) -> Mapping[str, Any]:
        return {"targets": self.targets.state(), "longest": self.longest}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        self.targets = data.Vocabulary.from_state(metadata.get("targets"))
        self.longest = int(metadata["longest"])

    def describe_data(self) -> dict[str, Any]:
        parts = ("train", "valid", "test")
        return {**{name: len(self.part(name)) for name in parts}, "target_vocabulary": len(self.targets)}

    def _by_length(self, records: Sequence[Example], batch_size: int | None) -> list[Any]:
        return by_length([self.size(record.input) for record in records], batch_size or self.config.train.batch_size)


def _targets(records: Sequence[Example]) -> list[str]:
    """Return the targets, refusing records without."""
    if not records:
        raise DataError("nothing to judge", required="at least one record with its target", got="none")
    missing = next((i for i, record in enumerate(records) if record.target is None), None)
    if missing is not None:
        raise DataError("a record without its target", required="a target for each record", where=f"record {missing}")
    return [record.target for record in records if record.target is not None]


def _judged(step: Step, unknown: int | None) -> Step:
    """Make log p of logits; the entry for unknown tokens is never written, for it stands for no word."""

    def judged(tokens: Any, state: Any) -> tuple[Any, Any]:
        logits, state = step(tokens, state)
        return log_softmax(logits, unknown), state

    return judged
