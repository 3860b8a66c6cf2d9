"""The language model: read a text, predict what comes next."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from tinyseq import data, nn
from tinyseq.creation import tensor
from tinyseq.data.batching import IGNORED, Ids
from tinyseq.data.padding import by_length, pad
from tinyseq.data.tokens import find_level, vocabulary_of
from tinyseq.errors import DataError
from tinyseq.modes import no_grad
from tinyseq.ops.reduce import log_softmax
from tinyseq.ops.shape import concat, reshape
from tinyseq.random import Generator
from tinyseq.tensors import Tensor
from tinyseq.train.config.model_sections import LevelName, RecurrentConfig, Shares
from tinyseq.train.config.registry import build_recurrent
from tinyseq.train.config.run_config import FilePath, RunConfig
from tinyseq.train.config.section import Section
from tinyseq.train.config.source import Problem
from tinyseq.train.tasks.base import Feed, Measure, Reading, Task

#: How many next tokens a prediction lists.
LIKELIEST = 5


class TextConfig(Section):
    """What is read."""

    path: FilePath | None = Field(None, description="A UTF-8 text file; null is Python's own documentation.")
    level: LevelName = Field("char", description="What a token is: char or word.")
    min_count: int = Field(1, ge=1, description="A token that is rarer in the training text becomes <unk>.")
    max_size: int | None = Field(None, ge=1, description="The most tokens of the vocabulary; null for all.")
    split: Shares = Field(
        default=[0.9, 0.05, 0.05],
        description="The shares of training, validation and test text, in this order of the text.",
    )


class ModelConfig(RecurrentConfig):
    """Embedding, recurrent layers, output layer."""

    hidden_size: int = Field(128, ge=1, description="Features of each layer's state.")
    embedding_size: int = Field(64, ge=1, description="Features of a token's learned vector.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability, on embeddings, between layers and on outputs.")
    bidirectional: bool = Field(False, description="Always false: a language model does not read what it predicts.")
    refused: ClassVar[Mapping[str, str]] = {
        "causal": "a text is written from left to right, so a language model always reads so",
    }

    def contradictions(self) -> Iterator[Problem]:
        yield from super().contradictions()
        if self.bidirectional:
            message = "a language model must not read what it predicts; required false"
            yield Problem(("bidirectional",), message)


class SampleConfig(Section):
    """The text that is written after training."""

    length: int = Field(400, ge=0, description="Tokens a sample.")
    temperature: float = Field(0.8, ge=0, description="1 samples as learned, lower is bolder, 0 takes the likeliest.")
    prime: str | None = Field(None, description="The text to go on from; by default the first line of the test text.")
    count: int = Field(3, ge=0, description="How many samples.")


class LanguageModelConfig(RunConfig):
    """A run of the task ``language_model``."""

    data: TextConfig = Field(default_factory=TextConfig, description="What is read.")
    model: ModelConfig = Field(default_factory=ModelConfig, description="What learns.")
    sample: SampleConfig = Field(default_factory=SampleConfig, description="What is written after training.")


class LanguageModelNet(nn.Module):
    """Token -> embedding -> recurrent layers -> logits of the next token."""

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = build_recurrent(
            config.cell,
            config.embedding_size,
            config.hidden_size,
            num_layers=config.num_layers,
            dropout=config.dropout,
            residual=config.residual,
            options=config.options,
        )
        self.head = nn.Linear(self.recurrent.output_size, vocabulary_size)

    def forward(self, ids: Tensor, state: Any = None, *, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """Return the features (batch, time, hidden) that the head reads, and the last state."""
        xs = self.dropout(self.embedding(ids))
        ys, state = self.recurrent(xs, state, lengths=lengths)
        return self.dropout(ys), state

    def logits(self, ys: Tensor) -> Tensor:
        """Return the head's logits, all positions in one product: (batch * time, vocabulary)."""
        logits: Tensor = self.head(reshape(ys, (-1, ys.shape[-1])))
        return logits


class LanguageModel(Task[LanguageModelConfig]):
    """Stateful truncated backpropagation over contiguous text; judged in bits a token on held-out text.

    The vocabulary is that of the training text. Where tokens are left out of it, or the held-out text has others, they
    share one entry, ``<unk>``, in the model and in the baselines alike; else there is none.
    """

    Config = LanguageModelConfig
    compilable = True

    vocabulary: data.Vocabulary

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__(config)
        self.level = find_level(config.data.level)
        self.measure = Measure(self.level.bits, f"bits per {self.level.unit}")

    def prepare(self) -> None:
        config = self.config.data
        self.corpus = data.load_text(config.path)
        tokens = data.split(self.level.cut(self.corpus.text), config.split)
        parts = (tokens.train, tokens.valid, tokens.test)
        self.text = data.Splits(*map(self.level.join, parts))
        self.vocabulary = vocabulary_of(
            [tokens.train], {*tokens.valid, *tokens.test}, min_count=config.min_count, max_size=config.max_size
        )
        self.ids = data.Splits(*map(self.vocabulary.encode, parts))
        self.first_line = self.text.test.lstrip().split("\n", 1)[0][:80]
        for name in ("valid", "test"):
            if len(getattr(self.ids, name)) < 2:
                raise DataError(
                    f"the text is too short: its {name} part has nothing to predict",
                    required=f"at least 2 {self.level.unit}s in each part",
                    got=f"{sum(map(len, parts))} {self.level.unit}s, split {config.split}",
                    fix="a longer text, or a larger share in data.split",
                )
        self.batches()  # refuses a text that is too short for the batches before anything is computed

    def build(self) -> LanguageModelNet:
        return LanguageModelNet(self.config.model, len(self.vocabulary))

    def batches(self) -> Iterator[data.Window]:
        train = self.config.train
        return data.training_windows(self.ids.train, train.batch_size, train.bptt.every, train.bptt.depth)

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

    def part(self, split: str) -> list[str]:
        text: str = getattr(self.text, split)
        return text.splitlines(keepends=True)

    def evaluate_on(
        self, model: LanguageModelNet, records: Sequence[str], *, batch_size: int | None = None
    ) -> dict[str, float]:
        """Return loss, bits a token and perplexity of lines read as one text.

        Many rows are read at once, each a contiguous part that starts with the initial state; so the batch size does
        change the figures a little.
        """
        train = self.config.train
        ids = self.vocabulary.encode(self.level.cut("".join(records)))
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

    def metrics(self, loss: float) -> dict[str, float]:
        # exp overflows only where a model is worse than anything one would report.
        return {"loss": loss, self.level.bits: loss / math.log(2.0), "perplexity": math.exp(min(loss, 700.0))}

    def baselines(self) -> dict[str, dict[str, float]]:
        metrics = {}
        for order, name in ((1, "unigram"), (2, "bigram")):
            alpha, (bits,) = data.ngram_bits(
                order, self.ids.train, self.ids.valid, [self.ids.test], len(self.vocabulary)
            )
            metrics[name] = {self.level.bits: bits, "perplexity": 2.0**bits, "alpha": alpha}
        return metrics

    def describe_data(self) -> dict[str, Any]:
        return {
            "corpus": self.corpus.name,
            "sha256": self.corpus.sha256,
            "characters": len(self.corpus),
            "train": len(self.ids.train),
            "valid": len(self.ids.valid),
            "test": len(self.ids.test),
            "vocabulary": len(self.vocabulary),
            "train_unknown": self._unknown(self.ids.train),
            "held_out_unknown": self._unknown(self.ids.valid) + self._unknown(self.ids.test),
        }

    def _unknown(self, ids: Ids) -> int:
        return 0 if self.vocabulary.unknown is None else int((ids == self.vocabulary.unknown).sum())

    def metadata(self) -> Mapping[str, Any]:
        return {"vocabulary": self.vocabulary.state(), "prime": self.first_line}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        self.vocabulary = data.Vocabulary.from_state(metadata.get("vocabulary"))
        self.first_line = str(metadata.get("prime", ""))

    def read(self, path: Path, *, targets: bool = True) -> list[str]:
        """Return the lines of a text file; what comes next in it is the target."""
        return data.load_text(path).text.splitlines(keepends=True)

    def records(self, inputs: Iterable[Any]) -> list[str]:
        lines = list(inputs)
        for number, line in enumerate(lines):
            if not isinstance(line, str):
                raise DataError("not a text", required="a str", got=repr(line)[:80], where=f"input {number}")
        return lines

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
            prediction |= {key: value for key, value in self.metrics(loss).items() if key != "loss"}
        if len(ids):
            best = [int(i) for i in np.argsort(-scores[-1], kind="stable") if i != self.vocabulary.unknown][:LIKELIEST]
            prediction["next"] = [[self.vocabulary.lookup([i])[0], round(math.exp(scores[-1, i]), 6)] for i in best]
        return prediction

    def as_text(self, prediction: Mapping[str, Any]) -> str:
        value = prediction[self.level.bits]
        bits = "" if value is None else f"{value:.3f} bits per {self.level.unit}, "
        following = " ".join(f"{token!r} {share:.2f}" for token, share in prediction["next"])
        return f"{prediction['text']}\n  {bits}next: {following or 'nothing to go on from'}"

    def write(self, model: LanguageModelNet, directory: Path) -> str:
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

    def sample(
        self,
        model: LanguageModelNet,
        *,
        prime: str | None = None,
        length: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
    ) -> tuple[str, str]:
        """Return the prime and the text that the model goes on with; what is None is as in the config.

        Args:
            model: a trained model.
            prime: the text to go on from.
            length: how many tokens.
            temperature: logits are divided by it; 0 takes the likeliest token each time.
            seed: same seed, same text.

        Raises:
            DataError: the prime is empty or has tokens that the model does not know.
        """
        config = self.config.sample
        prime = prime if prime is not None else config.prime if config.prime is not None else self.first_line
        length = config.length if length is None else length
        temperature = config.temperature if temperature is None else temperature
        begun = self.level.cut(prime)
        if not begun:
            raise DataError("an empty prime", required=f"at least one {self.level.unit} to go on from", got=repr(prime))
        if not temperature >= 0.0:
            raise DataError("the temperature", required="0 or more", got=str(temperature))
        ids = self.vocabulary.encode(begun)
        draws = Generator(seed).uniform((length,))
        written: list[int] = []
        model.eval()
        with no_grad():
            ys, state = model(tensor(ids[None, :]))
            for draw in draws:
                logits = model.logits(ys[:, -1:]).numpy()[0].astype(np.float64)
                if self.vocabulary.unknown is not None:
                    logits[self.vocabulary.unknown] = -np.inf  # it stands for no token that could be written
                written.append(_choose(logits, temperature, float(draw)))
                ys, state = model(tensor([[written[-1]]]), state)
        prime = self.level.join(begun)
        return prime, self.level.join([*begun, *self.vocabulary.lookup(written)])[len(prime) :]

    def readings(self, model: LanguageModelNet, record: str) -> list[Reading]:
        tokens = self.level.cut(record)
        if not tokens:
            return []
        ids = self.vocabulary.encode(tokens)
        return [Reading(list(tokens), lambda: model(tensor(ids[None])))]

    def example(self, model: LanguageModelNet, steps: int) -> Tensor:
        ids = np.arange(steps + 1, dtype=np.int64) % len(self.vocabulary)
        inputs = tensor(ids[None, :-1], name="tokens")
        ys, _ = model(inputs)
        loss: Tensor = nn.cross_entropy(model.logits(ys), tensor(ids[1:], name="targets"), reduction="mean")
        return loss


def _choose(logits: np.ndarray[Any, Any], temperature: float, draw: float) -> int:
    """Return the index that ``draw`` in [0, 1) falls on under softmax(logits / temperature)."""
    if temperature == 0.0:
        return int(logits.argmax())
    scaled = (logits - logits.max()) / temperature
    cumulative = np.exp(scaled).cumsum()
    return int(min(np.searchsorted(cumulative, draw * cumulative[-1], side="right"), len(logits) - 1))
