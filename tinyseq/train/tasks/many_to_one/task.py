"""Training and judgement with one output for an input."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyseq import data
from tinyseq.creation import tensor
from tinyseq.data.examples import Example, split_examples
from tinyseq.data.padding import shuffled
from tinyseq.data.sources import SOURCES
from tinyseq.modes import no_grad
from tinyseq.nn import Module
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.learning import Feed
from tinyseq.train.tasks.many_to_one.presentation import OutputsPresentation
from tinyseq.train.tasks.overview import Overview, amounts
from tinyseq.train.tasks.role import Array, C, Prepared


class ManyToOne(OutputsPresentation[C], Task[C]):
    """Examples -> batches of similar length -> one output for each.

    A subclass says what targets are: how they are learned from the training part, encoded, judged and told.
    """

    compilable = True

    examples = Prepared[data.Splits]()

    # What a subclass says.

    @abstractmethod
    def fit_targets(self, examples: Sequence[Example]) -> None:
        """Learn classes or scale from the training examples."""

    @abstractmethod
    def losses(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        """Return the loss of outputs (batch, outputs), by ``reduction``."""

    @abstractmethod
    def some_example(self) -> Example:
        """Return an example with any target that the model knows."""

    # Training.

    def prepare(self) -> None:
        seed = self.config.seed
        if self.data.path is None:
            self.examples = SOURCES[self.data.source].make(seed, **self.data.options)
        else:
            examples = self.read(Path(self.data.path))  # first: it settles which columns are read
            valid, test = (
                None if path is None else self.read(Path(path)) for path in (self.data.valid, self.data.test)
            )
            self.examples = split_examples(
                examples,
                self.data.split,
                np.random.default_rng(seed),
                valid=valid,
                test=test,
                by=self.data.split_by,
                keys=self.data.split_keys(examples),
            )
        self.inputs.fit([example.input for example in self.examples.train])
        self.fit_targets(self.examples.train)
        for name in ("valid", "test"):
            self.encode_targets(getattr(self.examples, name))  # refuses missing ones before anything is computed

    def notes(self) -> list[str]:
        return self.inputs.notes([example.input for example in self.examples.train])

    def gaps(self) -> list[str]:
        return self.inputs.gaps([example.input for example in self.examples.test])

    @property
    @abstractmethod
    def target_phrase(self) -> str:
        """What is predicted, in a phrase."""

    def overview(self) -> Overview:
        described, target = self.describe_data(), self.data.target
        read = f"{self.data.path}, {self.inputs.columns_phrase}, {target!r} as {self.targets}"
        return Overview(
            f"{self.data.source}, examples at hand" if self.data.path is None else read,
            amounts(described, "example"),
            f"{self.target_phrase}, from {self.inputs.phrase}",
        )

    def build(self) -> Module:
        return self.inputs.network(self.config.model, self.inputs.width, self.outputs)  # type: ignore[attr-defined]

    def least(self) -> Module:
        return self.inputs.network(self.config.model, 1, 1)  # type: ignore[attr-defined]

    def batches(self) -> Iterator[tuple[list[Array], Array]]:
        train = self.examples.train
        encoded = [self.inputs.encode(example.input) for example in train]
        targets = self.encode_targets(train)
        rng = np.random.default_rng(self.config.seed)
        order = shuffled([len(one) for one in encoded], self.config.train.batch_size, rng)
        return (([encoded[row] for row in rows], targets[rows]) for rows in order)

    def count(self, batch: tuple[list[Array], Array]) -> int:
        return len(batch[0])

    def rows(self, batch: tuple[list[Array], Array], rows: slice) -> tuple[list[Array], Array]:
        encoded, targets = batch
        return encoded[rows], targets[rows]

    def feed(self, model: Module, batch: Any, state: Any) -> Feed:
        encoded, targets = batch
        xs, lengths = self.inputs.batch(encoded)
        return Feed((xs, lengths, tensor(targets)), len(encoded))

    def loss(self, model: Module, *arguments: Any) -> tuple[Tensor, Any]:
        xs, lengths, targets = arguments
        return self.losses(model(xs, lengths), targets, "mean"), None

    def example(self, model: Module, steps: int) -> Tensor:
        xs, lengths = self.inputs.batch([self.inputs.sample(steps)])
        targets = tensor(self.encode_targets([self.some_example()]))
        return self.losses(model(xs, lengths), targets, "mean")

    # Judgement.

    def part(self, split: str) -> list[Example]:
        examples: list[Example] = getattr(self.examples, split)
        return examples

    def mean_loss(self, outputs: Array, targets: Array) -> float:
        """Return the mean loss of outputs, float64."""
        with no_grad():
            return float(self.losses(tensor(outputs), tensor(targets), "mean").item())

    def describe_data(self) -> dict[str, Any]:
        sizes = {name: len(getattr(self.examples, name)) for name in ("train", "valid", "test")}
        columns = self.inputs.described()
        return {"source": self.data.path or self.data.source, **sizes, "outputs": self.outputs, **columns}
