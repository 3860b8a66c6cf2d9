"""What training, evaluation and prediction ask of a task. A new task is a subclass and a line in the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from tinyseq import nn
from tinyseq.errors import DataError
from tinyseq.tensors import Tensor
from tinyseq.train.config.run_config import RunConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

C = TypeVar("C", bound=RunConfig)


class StepResult(NamedTuple):
    """What a training batch gave.

    ``loss`` is the mean over the batch's ``tokens``; ``state`` is what the next batch starts from, or None.
    """

    loss: Tensor
    tokens: int
    state: Any = None


class Feed(NamedTuple):
    """What ``Task.loss`` is called with for a batch: tensors and plain values, and how many tokens the loss is over."""

    arguments: tuple[Any, ...]
    tokens: int


class Reading(NamedTuple):
    """A stretch of time in which a model's cells can be watched on one input: a word a step, and what runs them.

    ``times`` says that the words are times or numbers, which need not all be told.
    """

    tokens: list[str]
    run: Callable[[], Any]
    times: bool = False


@dataclass(frozen=True)
class Measure:
    """The number that a task is judged by: its key in the metrics, its name on axes, and which way is better."""

    key: str
    label: str
    lower_is_better: bool = True

    def better(self, new: float, old: float | None) -> bool:
        """Return whether ``new`` is better than ``old``."""
        return old is None or (new < old if self.lower_is_better else new > old)


class Task(ABC, Generic[C]):
    """Data, model, loss and judgement of one kind of problem.

    Training calls ``prepare``, ``build``, then ``step`` on each of ``batches``. A trained model is used by ``restore``,
    ``build``, then ``read`` or ``records``, and ``evaluate_on`` or ``predict``. A record is one input of the task's
    data, with or without its target. Nothing else about tasks is known outside of them.
    """

    #: The config model; its fields are the sections that a file of this task may have.
    Config: ClassVar[type[RunConfig]]
    #: What "better" means; also the progress display's main number.
    measure: Measure
    #: Whether ``loss`` may be compiled: what it does depends on shapes and plain arguments, not on values of tensors.
    compilable: ClassVar[bool] = False

    def __init__(self, config: C) -> None:
        self.config = config

    # Training.

    @abstractmethod
    def prepare(self) -> None:
        """Read the data; called once, before anything else."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a fresh model, its parameters drawn from the seed."""

    @abstractmethod
    def batches(self) -> Iterator[Any]:
        """Return training batches without end."""

    def feed(self, model: Any, batch: Any, state: Any) -> Feed:
        """Return what ``loss`` is called with; ``state`` is what the last batch left, without history, or None."""
        raise NotImplementedError(f"{type(self).__name__} has no feed")

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

    def describe_data(self) -> dict[str, Any]:
        """Return what identifies the data, for the run's record."""
        return {}

    # What a run leaves behind, and what makes its model usable again.

    def write(self, model: Any, directory: Path) -> str:
        """Leave what shows what was learned (samples, predictions) in the run directory; return a bit of it to show."""
        return ""

    def metadata(self) -> Mapping[str, Any]:
        """Return what ``restore`` needs besides the weights: vocabularies, sizes. Plain JSON."""
        return {}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        """Be ready for ``build``, ``read`` and ``predict`` without the data: the counterpart of ``metadata``."""
        raise NotImplementedError(f"{type(self).__name__} does not restore")

    @abstractmethod
    def example(self, model: Any, steps: int) -> Tensor:
        """Return the loss of one small example over so many time steps, for a picture of its graph."""

    # Use of a trained model.

    def read(self, path: Path, *, targets: bool = True) -> Sequence[Any]:
        """Return the records of a user's file in the task's format.

        Args:
            path: the file.
            targets: whether each record must have its target; else a file without them is taken too.

        Raises:
            DataError: the file is not there or not of the format; the message names the line.
        """
        raise self._lacks("reads no files")

    def records(self, inputs: Iterable[Any]) -> Sequence[Any]:
        """Return records, without targets, of inputs given in Python: texts, lists of words, arrays.

        Raises:
            DataError: an input is not of the form; the message gives its number.
        """
        raise self._lacks("takes no inputs")

    def predict(self, model: Any, records: Sequence[Any], *, batch_size: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield a prediction a record, in their order: plain JSON, the input or what names it included."""
        raise self._lacks("predicts nothing")

    def as_text(self, prediction: Mapping[str, Any]) -> str:
        """Return a prediction as a person wants to read it: one line, or a block."""
        return "  ".join(f"{key}: {value}" for key, value in prediction.items())

    def line(self, prediction: Mapping[str, Any]) -> str:
        """Return a prediction of the run's own data, beside its truth, for reports."""
        return self.as_text(prediction)

    # Figures.

    def picture(self, predictions: Sequence[Mapping[str, Any]]) -> Figure:
        """Return a figure of predictions.

        Raises:
            DataError: the task has no picture of its predictions.
        """
        raise self._lacks("draws no picture of its predictions")

    def figures(self, model: Any, records: Sequence[Any]) -> Mapping[str, Callable[[], Figure]]:
        """Return, by name, what draws the figures that this kind of task has of a model and records.

        Nothing is computed before one is drawn, so the names can be asked for without records.
        """
        return {}

    def readings(self, model: Any, record: Any) -> Sequence[Reading]:
        """Return where in time a model's cells can be watched on a record; none where nothing is recurrent."""
        return []

    def _lacks(self, what: str) -> DataError:
        return DataError(f"the task {self.config.task!r} {what}", required="a run of a task that does")
