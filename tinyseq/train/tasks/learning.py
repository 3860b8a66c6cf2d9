"""The role of a task in training: its data, batches and loss, and how good a model is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from tinyseq import nn
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.measure import Measure
from tinyseq.train.tasks.overview import Overview
from tinyseq.train.tasks.role import C, Role


class StepResult(NamedTuple):
    """What a training batch gave.

    ``loss`` is the mean over the batch's ``tokens``; ``state`` is what the next batch starts from, or None.
    """

    loss: Tensor
    tokens: int
    state: Any = None


class Feed(NamedTuple):
    """What ``Learning.loss`` is called with: tensors and plain values of a batch, and how many tokens it is over.

    ``weight`` is how many targets the mean is over, where that is another number.
    """

    arguments: tuple[Any, ...]
    tokens: int
    weight: int | None = None


class Learning(Role[C]):
    """Data, model, loss and judgement: all that the training loop asks for.

    Training calls ``prepare``, ``build``, then ``step`` on each of ``batches``. A record is one input of the task's
    data, with or without its target.
    """

    #: What "better" means; also the progress display's main number.
    measure: Measure
    #: Whether ``loss`` may be compiled: what it does depends on shapes and plain arguments, not on values of tensors.
    compilable: ClassVar[bool] = False

    # Training.

    @abstractmethod
    def prepare(self) -> None:
        """Read the data; called once, before anything else."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a fresh model, its parameters drawn from the seed."""

    def least(self) -> nn.Module:
        """Return a model as of the smallest data that there could be, of one token, column and class.

        None is smaller: what this machine cannot hold of it is refused before data is read.
        """
        raise NotImplementedError(f"{type(self).__name__} has no least model")

    @abstractmethod
    def batches(self) -> Iterator[Any]:
        """Return training batches without end."""

    def feed(self, model: Any, batch: Any, state: Any) -> Feed:
        """Return what ``loss`` is called with; ``state`` is what the last batch left, without history, or None."""
        raise NotImplementedError(f"{type(self).__name__} has no feed")

    def rows(self, batch: Any, rows: slice) -> Any:
        """Return some rows of a batch, as a batch.

        Raises:
            DataError: batches of this task cannot be cut.
        """
        raise self._lacks("does not cut its batches into shards")

    def count(self, batch: Any) -> int:
        """Return how many rows a batch has."""
        raise self._lacks("does not cut its batches into shards")

    def loss(self, model: Any, *arguments: Any) -> tuple[Tensor, Any]:
        """Return the mean loss of a batch, and the state that the next one starts from (or None)."""
        raise NotImplementedError(f"{type(self).__name__} has no loss")

    def step(self, model: Any, batch: Any, state: Any) -> StepResult:
        """Return the loss of a batch: ``loss`` of its ``feed``. A task that is not compilable may do it its own way."""
        feed = self.feed(model, batch, state)
        loss, state = self.loss(model, *feed.arguments)
        return StepResult(loss, feed.tokens, state)

    @property
    def one_pass(self) -> bool:
        """Whether ``fit`` trains the model, in one pass over the data, instead of steps along gradients."""
        return False

    def fit(self, model: Any) -> int:
        """Train the model in one pass over the training part; return how many tokens that were."""
        raise NotImplementedError(f"{type(self).__name__} has no fit")

    def metrics(self, loss: float) -> dict[str, float]:
        """Return what a mean training loss is in the task's own numbers: the measure too, where it follows."""
        return {"loss": loss}

    @abstractmethod
    def example(self, model: Any, steps: int) -> Tensor:
        """Return the loss of one small example over so many time steps, for a picture of its graph."""

    def notes(self) -> list[str]:
        """Return what a person should know of the data before training, a sentence each; empty where all is well."""
        return []

    def overview(self) -> Overview:
        """Return what is read as what, how much, and what is predicted from what; before training, for a person."""
        facts = ", ".join(f"{key} {value}" for key, value in self.describe_data().items())
        return Overview(f"the data of the task {self.config.task}", facts)

    def gaps(self) -> list[str]:
        """Return what of the test part no model can know here, such as tokens that are not in its vocabulary.

        A sentence each, with what to try: it is told before training, and again beside the score.
        """
        return []

    def fingerprint(self, split: str) -> Any:
        """Return what tells whether the data of ``train``, ``valid`` or ``test`` is as it was: its records."""
        return list(self.part(split))

    # Judgement.

    def part(self, split: str) -> Sequence[Any]:
        """Return the records of ``train``, ``valid`` or ``test``."""
        raise NotImplementedError(f"{type(self).__name__} has no part")

    def evaluate_on(self, model: Any, records: Sequence[Any], *, batch_size: int | None = None) -> dict[str, float]:
        """Return the metrics on records with targets; the measure's key is among them.

        The batch size is by default ``train.batch_size``, and changes no more than the last bits.

        Raises:
            DataError: there is no record, or one without its target.
        """
        raise self._lacks("judges nothing but its own parts")

    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """Return the metrics on ``train``, ``valid`` or ``test``.

        While it is trained, the model may come as a stand-in whose calls run from plans; see ``loop/validation.py``.
        """
        return self.evaluate_on(model, self.part(split))

    def details(self, model: Any, records: Sequence[Any], *, batch_size: int | None = None) -> dict[str, Any]:
        """Return what is worth telling beyond the metrics, such as a confusion matrix; plain JSON."""
        return {}

    def baselines(self) -> dict[str, dict[str, float]]:
        """Return, by name, the metrics on the test part of what any model has to beat."""
        return {}

    @property
    def compared(self) -> Measure:
        """In what baselines are compared with the model: the run's measure, where they have it."""
        return self.measure

    def remarks(self, model: Any, test: Mapping[str, float]) -> list[str]:
        """Return what its metrics on the test part do not say of a trained model, a sentence each, with what to try."""
        return []

    def describe_data(self) -> dict[str, Any]:
        """Return what identifies the data, for the run's record."""
        return {}
