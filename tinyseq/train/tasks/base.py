"""What the loop asks of a task. A new task is a subclass and a line in the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from tinyseq import nn
from tinyseq.tensors import Tensor
from tinyseq.train.config import RunConfig

C = TypeVar("C", bound=RunConfig)


class StepResult(NamedTuple):
    """What a training batch gave.

    ``loss`` is the mean over the batch's ``tokens``; ``state`` is what the next batch starts from, or None.
    """

    loss: Tensor
    tokens: int
    state: Any = None


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

    The loop calls ``prepare``, ``build``, then ``step`` on each of ``batches``; it knows no more than this class says.
    """

    #: The config model; its fields are the sections that a file of this task may have.
    Config: ClassVar[type[RunConfig]]
    #: What "better" means; also the progress display's main number.
    measure: ClassVar[Measure]

    def __init__(self, config: C) -> None:
        self.config = config

    @abstractmethod
    def prepare(self) -> None:
        """Read the data; called once, before anything else."""

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a fresh model, its parameters drawn from the seed."""

    @abstractmethod
    def batches(self) -> Iterator[Any]:
        """Return training batches without end."""

    @abstractmethod
    def step(self, model: Any, batch: Any, state: Any) -> StepResult:
        """Return the loss of a batch; ``state`` is what the last batch left, without history, or None."""

    @abstractmethod
    def evaluate(self, model: Any, split: str) -> dict[str, float]:
        """Return the metrics on ``train``, ``valid`` or ``test``; the measure's key is among them."""

    @abstractmethod
    def metrics(self, loss: float) -> dict[str, float]:
        """Return what a mean training loss is in the task's own numbers; the measure's key is among them."""

    def baselines(self) -> dict[str, dict[str, float]]:
        """Return, by name, the metrics on the test part of what any model has to beat."""
        return {}

    def describe_data(self) -> dict[str, Any]:
        """Return what identifies the data, for the run's record."""
        return {}

    def write(self, model: Any, directory: Path) -> str:
        """Leave what shows what was learned (samples, predictions) in the run directory; return a bit of it to show."""
        return ""

    def metadata(self) -> Mapping[str, Any]:
        """Return what ``restore`` needs besides the weights: vocabularies, sizes. Plain JSON."""
        return {}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        """Be ready for ``build`` without the data: the counterpart of ``metadata``."""
        raise NotImplementedError(f"{type(self).__name__} does not restore")

    @abstractmethod
    def example(self, model: Any, steps: int) -> Tensor:
        """Return the loss of one small example over so many time steps, for a picture of its graph."""
