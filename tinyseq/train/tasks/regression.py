"""Regression: a sequence of numbers, a vector or a text, and the number that belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from tinyseq import nn
from tinyseq.data.examples import Example
from tinyseq.data.measures import errors
from tinyseq.data.series import Scaler
from tinyseq.data.sources import SOURCES
from tinyseq.errors import DataError
from tinyseq.figures import agreement
from tinyseq.tensors import Tensor
from tinyseq.train.config.section import OneOf
from tinyseq.train.config.source import Problem
from tinyseq.train.tasks.inputs import ExamplesConfig, InputsName
from tinyseq.train.tasks.many_to_one import ManyToOne, ManyToOneConfig
from tinyseq.train.tasks.measure import Measure
from tinyseq.train.tasks.role import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class RegressionData(ExamplesConfig):
    """What is read: a table, or examples at hand."""

    targets = "number"

    source: Annotated[str, OneOf(SOURCES)] = Field("adding", description="Examples at hand.")
    inputs: InputsName = Field("sequence", description="What the file's inputs are: text, sequence or vector.")
    target: str = Field("target", description="The column that is learned.")

    def contradictions(self) -> Iterator[Problem]:
        yield from super().contradictions()
        if self.split_by == "class":
            yield Problem(("split_by",), "numbers have no classes; required random, group or time")


class RegressionConfig(ManyToOneConfig):
    """A run of the task ``regression``."""

    data: RegressionData = Field(default_factory=RegressionData, description="What is read.")


class Regression(ManyToOne[RegressionConfig]):
    """Half the squared error of the standardised target; judged by the root mean squared error in its own unit."""

    Config = RegressionConfig
    measure = Measure("rmse", "root mean squared error", meaning="in the unit of the target")
    targets = "number"

    scaler: Scaler

    def fit_targets(self, examples: Sequence[Example]) -> None:
        self.scaler = Scaler.fit(np.stack([example.target for example in examples]).astype(np.float64))

    def numbers(self, examples: Sequence[Example]) -> Array:
        """Return the targets, float64 (examples, 1)."""
        for row, example in enumerate(examples):
            if example.target is None:
                raise DataError("an example without its number", required="a target", where=f"example {row}")
        return np.stack([example.target for example in examples]).astype(np.float64)

    def encode_targets(self, examples: Sequence[Example]) -> Array:
        return self.scaler.apply(self.numbers(examples)).astype(self.config.dtype)

    @property
    def outputs(self) -> int:
        return 1

    def losses(self, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        return nn.squared_error(outputs, targets, reduction=reduction)

    def prediction(self, outputs: Array) -> dict[str, Any]:
        return {"value": float(self.scaler.invert(outputs)[0])}

    def target_state(self) -> dict[str, Any]:
        return {"mean": self.scaler.mean.tolist(), "std": self.scaler.std.tolist()}

    def restore_targets(self, state: Mapping[str, Any]) -> None:
        self.scaler = Scaler("none", np.array(state["mean"]), np.array(state["std"]))

    def metrics(self, loss: float) -> dict[str, float]:
        return {"loss": loss, "rmse": float((2.0 * loss) ** 0.5 * self.scaler.std[0])}

    def evaluate_on(
        self, model: nn.Module, records: Sequence[Example], *, batch_size: int | None = None
    ) -> dict[str, float]:
        outputs = self.compute(model, records, batch_size)
        loss = self.mean_loss(outputs, self.scaler.apply(self.numbers(records)))
        return {"loss": loss, **errors(self.numbers(records), self.scaler.invert(outputs)), "examples": len(records)}

    def baselines(self) -> dict[str, dict[str, float]]:
        test = self.numbers(self.part("test"))
        return {"mean": errors(test, np.broadcast_to(self.scaler.mean, test.shape))}

    @property
    def target_phrase(self) -> str:
        mean, deviation = self.scaler.mean[0], self.scaler.std[0]
        return f"a number (in training {mean:.4g} on average, standard deviation {deviation:.4g})"

    def short(self, prediction: Mapping[str, Any]) -> str:
        return f"{prediction['value']:.3g}"

    def figures(self, model: Any, records: Sequence[Example]) -> Mapping[str, Callable[[], Figure]]:
        return {"scatter": lambda: self._scatter(model, records), **super().figures(model, records)}

    def _scatter(self, model: nn.Module, records: Sequence[Example]) -> Figure:
        truth = self.numbers(records)[:, 0]
        predicted = self.scaler.invert(self.compute(model, records, None))[:, 0]
        title = f"root mean squared error {errors(truth, predicted)['rmse']:.4g}"
        return agreement(truth, predicted, self.config.data.target, title)

    def plain(self, target: Any) -> Any:
        return float(target[0])

    def as_text(self, prediction: Mapping[str, Any]) -> str:
        expected = f" (is {prediction['expected']:.4g})" if "expected" in prediction else ""
        what = prediction.get("text", f"input {prediction['number']}")
        return f"{prediction['value']:.4g}{expected}  {what}"

    def some_example(self) -> Example:
        return Example(None, self.scaler.mean)
