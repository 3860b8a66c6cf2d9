"""What classification and regression share: one output for an input, whatever the input is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from tinyseq import data
from tinyseq.creation import tensor
from tinyseq.data.examples import Example, split_examples
from tinyseq.data.padding import by_length, shuffled
from tinyseq.data.sources import SOURCES
from tinyseq.errors import DataError
from tinyseq.figures import AttentionMap, attention_maps
from tinyseq.modes import no_grad
from tinyseq.nn import Module
from tinyseq.tensors import Tensor
from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.inputs import INPUTS, ExamplesConfig, Inputs
from tinyseq.train.tasks.learning import Feed
from tinyseq.train.tasks.presentation import Reading
from tinyseq.train.tasks.role import Array, C, Prepared
from tinyseq.train.tasks.summary import SummaryConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: In how many inputs the figure of attention looks.
_DRAWN = 6


class ManyToOneConfig(RunConfig):
    """A run of a task with one output for an input."""

    data: ExamplesConfig = Field(default_factory=ExamplesConfig, description="What is read.")
    model: SummaryConfig = Field(default_factory=SummaryConfig, description="What learns.")


class ManyToOne(Task[C]):
    """Examples -> batches of similar length -> one output for each.

    A subclass says what targets are: how they are learned from the training part, encoded, judged and told.
    """

    #: How the column of targets is read: a key of ``READ_TARGETS``.
    targets: ClassVar[str]
    compilable = True

    inputs: Inputs
    examples = Prepared[data.Splits]()

    def __init__(self, config: C) -> None:
        super().__init__(config)
        self.data: ExamplesConfig = config.data  # type: ignore[attr-defined]
        self.inputs = INPUTS[self.data.kind](self.data, config.dtype)

    # What a subclass says.

    @abstractmethod
    def fit_targets(self, examples: Sequence[Example]) -> None:
        """Learn classes or scale from the training examples."""

    @abstractmethod
    def encode_targets(self, examples: Sequence[Example]) -> Array:
        """Return the targets as the loss takes them.

        Raises:
            DataError: there is none.
        """

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers the network gives for an input."""

    @abstractmethod
    def losses(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        """Return the loss of outputs (batch, outputs), by ``reduction``."""

    @abstractmethod
    def prediction(self, outputs: Array) -> dict[str, Any]:
        """Return what an input's outputs (outputs,), float64, mean."""

    @abstractmethod
    def target_state(self) -> dict[str, Any]:
        """Return what ``restore_targets`` needs; plain JSON."""

    @abstractmethod
    def restore_targets(self, state: Mapping[str, Any]) -> None:
        """The counterpart of ``target_state``."""

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

    def build(self) -> Module:
        return self.inputs.network(self.config.model, self.outputs)  # type: ignore[attr-defined]

    def batches(self) -> Iterator[tuple[list[Array], Array]]:
        train = self.examples.train
        encoded = [self.inputs.encode(example.input) for example in train]
        targets = self.encode_targets(train)
        rng = np.random.default_rng(self.config.seed)
        order = shuffled([len(one) for one in encoded], self.config.train.batch_size, rng)
        return (([encoded[row] for row in rows], targets[rows]) for rows in order)

    def feed(self, model: Module, batch: Any, state: Any) -> Feed:
        encoded, targets = batch
        xs, lengths = self.inputs.batch(encoded)
        return Feed((xs, lengths, tensor(targets)), len(encoded))

    def loss(self, model: Module, *arguments: Any) -> tuple[Tensor, Any]:
        xs, lengths, targets = arguments
        return self.losses(model(xs, lengths), targets, "mean"), None

    # Judgement.

    def part(self, split: str) -> list[Example]:
        examples: list[Example] = getattr(self.examples, split)
        return examples

    def compute(self, model: Module, records: Sequence[Example], batch_size: int | None) -> Array:
        """Return the network's outputs, float64 (records, outputs)."""
        encoded = [self.inputs.encode(record.input) for record in records]
        outputs = np.zeros((len(records), self.outputs))
        for rows in by_length([len(one) for one in encoded], batch_size or self.config.train.batch_size):
            xs, lengths = self.inputs.batch([encoded[row] for row in rows])
            with no_grad():
                outputs[rows] = model(xs, lengths).numpy()
        return outputs

    def mean_loss(self, outputs: Array, targets: Array) -> float:
        """Return the mean loss of outputs, float64."""
        with no_grad():
            return float(self.losses(tensor(outputs), tensor(targets), "mean").item())

    # Use.

    def metadata(self) -> Mapping[str, Any]:
        return {"inputs": self.inputs.state(), "targets": self.target_state()}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        try:
            self.inputs.restore(metadata["inputs"])
            self.restore_targets(metadata["targets"])
        except (KeyError, TypeError) as error:
            raise DataError(
                "the run's metadata is not of this task", required="inputs, targets", got=str(error)
            ) from None

    def read(self, path: Path, *, targets: bool = True) -> list[Example]:
        return self.inputs.read(path, self.targets, targets=targets)

    def records(self, inputs: Iterable[Any]) -> list[Example]:
        records = []
        for number, value in enumerate(inputs):
            try:
                records.append(Example(self.inputs.accept(value)))
            except (TypeError, ValueError) as error:
                raise DataError(
                    f"input {number} is not of the task's form",
                    required=self.inputs.form,
                    got=str(error) or repr(value)[:80],
                ) from None
        return records

    def predict(
        self, model: Module, records: Sequence[Example], *, batch_size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        size = (batch_size or self.config.train.batch_size) * 16  # at once: enough to put similar lengths together
        for start in range(0, len(records), size):
            some = records[start : start + size]
            for offset, (record, outputs) in enumerate(zip(some, self.compute(model, some, batch_size), strict=True)):
                prediction = {"number": start + offset, **self.inputs.shown(record.input), **self.prediction(outputs)}
                if record.target is not None:
                    prediction["expected"] = self.plain(record.target)
                yield prediction

    def plain(self, target: Any) -> Any:
        """Return a target as JSON has it."""
        return target

    def describe_data(self) -> dict[str, Any]:
        facts = {name: len(self.part(name)) for name in ("train", "valid", "test")} | self.inputs.described()
        return {"source": self.data.path or self.data.source, **facts, "outputs": self.outputs}

    def leave(self, model: Module, records: Sequence[Example], directory: Path) -> str:
        """Leave ``predictions.jsonl``."""
        return self.leave_rows(self.predict(model, records), directory)

    def example(self, model: Module, steps: int) -> Tensor:
        xs, lengths = self.inputs.batch([self.inputs.sample(steps)])
        targets = tensor(self.encode_targets([self.some_example()]))
        return self.losses(model(xs, lengths), targets, "mean")

    def figures(self, model: Any, records: Sequence[Example]) -> Mapping[str, Callable[[], Figure]]:
        if not getattr(model, "attends", False):
            return {}
        return {"attention": lambda: self._attention(model, records[:_DRAWN])}

    def _attention(self, model: Any, records: Sequence[Example]) -> Figure:
        """Return what the pooling looks at in each input."""
        maps = []
        for record, prediction in zip(records, self.predict(model, records), strict=True):
            with no_grad():
                weights = model.weights(*self.inputs.batch([self.inputs.encode(record.input)])).numpy()
            maps.append(AttentionMap(self.inputs.steps(record.input), [self.short(prediction)], weights))
        return attention_maps(maps, rows="", columns="")

    @abstractmethod
    def short(self, prediction: Mapping[str, Any]) -> str:
        """Return what a prediction says in a word."""

    def readings(self, model: Any, record: Example) -> list[Reading]:
        steps = self.inputs.steps(record.input)
        if not steps:
            return []
        xs, lengths = self.inputs.batch([self.inputs.encode(record.input)])
        numbers = all(step.isdecimal() for step in steps)
        return [Reading(steps, lambda: model(xs, lengths), times=numbers)]

    @abstractmethod
    def some_example(self) -> Example:
        """Return an example with any target that the model knows."""
