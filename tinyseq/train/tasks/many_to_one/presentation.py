"""What a network's outputs mean, as rows, lines and pictures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyseq.data.examples import Example
from tinyseq.data.padding import by_length
from tinyseq.figures import AttentionMap, attention_maps
from tinyseq.modes import no_grad
from tinyseq.nn import Module
from tinyseq.train.tasks.many_to_one.codec import ExamplesCodec
from tinyseq.train.tasks.presentation import Presentation, Reading
from tinyseq.train.tasks.role import Array, C

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: In how many inputs the figure of attention looks.
_DRAWN = 6


class OutputsPresentation(ExamplesCodec[C], Presentation[C]):
    """A prediction for each input; a subclass says what outputs mean."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers the network gives for an input."""

    @abstractmethod
    def prediction(self, outputs: Array) -> dict[str, Any]:
        """Return what an input's outputs (outputs,), float64, mean."""

    @abstractmethod
    def short(self, prediction: Mapping[str, Any]) -> str:
        """Return what a prediction says in a word."""

    def plain(self, target: Any) -> Any:
        """Return a target as JSON has it."""
        return target

    def compute(self, model: Module, records: Sequence[Example], batch_size: int | None) -> Array:
        """Return the network's outputs, float64 (records, outputs)."""
        encoded = [self.inputs.encode(record.input) for record in records]
        outputs = np.zeros((len(records), self.outputs))
        for rows in by_length([len(one) for one in encoded], batch_size or self.config.train.batch_size):
            xs, lengths = self.inputs.batch([encoded[row] for row in rows])
            with no_grad():
                outputs[rows] = model(xs, lengths).numpy()
        return outputs

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

    def leave(self, model: Module, records: Sequence[Example], directory: Path) -> str:
        """Leave ``predictions.jsonl``."""
        return self.leave_rows(self.predict(model, records), directory)

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

    def readings(self, model: Any, record: Example) -> list[Reading]:
        steps = self.inputs.steps(record.input)
        if not steps:
            return []
        xs, lengths = self.inputs.batch([self.inputs.encode(record.input)])
        numbers = all(step.isdecimal() for step in steps)
        return [Reading(steps, lambda: model(xs, lengths), times=numbers)]
