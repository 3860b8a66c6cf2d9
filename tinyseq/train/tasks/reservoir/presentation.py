"""Outputs of an echo state network for a reader: rows, and pictures beside the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyseq import nn
from tinyseq.errors import DataError
from tinyseq.figures import Line, Panel, forecasts, save
from tinyseq.modes import no_grad
from tinyseq.train.tasks.presentation import Presentation, Reading
from tinyseq.train.tasks.reservoir.codec import ReservoirRecord
from tinyseq.train.tasks.reservoir.config import ReservoirTaskConfig
from tinyseq.train.tasks.reservoir.runs import Runs
from tinyseq.train.tasks.role import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: In how many steps the reservoir is watched.
_WATCHED = 100


class RunsPresentation(Runs, Presentation[ReservoirTaskConfig]):
    """What follows a series by the network's own outputs, or, for a driven system, all outputs."""

    def predict(
        self, model: nn.EchoStateNetwork, records: Sequence[ReservoirRecord], *, batch_size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield what follows each series by the network's own outputs, or, for a driven system, all outputs."""
        for record in records:
            inputs = record.inputs
            if self.free:
                if record.targets is not None:
                    inputs = np.concatenate([inputs, record.targets[-1:]])
                count = self.config.evaluate.show
                values = self._outputs(model, ReservoirRecord(record.name, inputs, None, len(inputs)), count)
            else:
                values = self._outputs(model, ReservoirRecord(record.name, inputs, None, 0), len(inputs))
            outputs = {name: values[:, k].tolist() for k, name in enumerate(self.targets)}
            yield {"series": record.name, "after": len(inputs) if self.free else 0, "outputs": outputs}

    def picture(self, predictions: Sequence[Mapping[str, Any]]) -> Figure:
        panels = [
            Panel(name, [Line(p["series"], "forecast", p["after"] + np.arange(len(values)), np.array(values))])
            for p in predictions
            for name, values in p["outputs"].items()
        ]
        if not panels:
            raise DataError("a picture of no predictions", required="at least one", got="none")
        return forecasts(panels, "outputs", axis="step")

    def leave(self, model: nn.EchoStateNetwork, records: Sequence[ReservoirRecord], directory: Path) -> str:
        """Leave ``forecast.png``."""
        (record,) = records
        outputs, truth = self._beside_truth(model, record)
        save(self._figure(record, outputs, truth), directory / "forecast.png")
        if not self.free:
            return ""
        count, errors = len(outputs), np.sqrt(np.mean((outputs - truth) ** 2 / self.variance, axis=1))
        lost = int(np.argmax(errors > 0.4)) if (errors > 0.4).any() else count
        return f"the free run stays within 0.4 standard deviations for {lost} of {count} steps"

    def figures(
        self, model: nn.EchoStateNetwork, records: Sequence[ReservoirRecord]
    ) -> Mapping[str, Callable[[], Figure]]:
        return {"forecast": lambda: self._figure(records[0], *self._beside_truth(model, records[0]))}

    def _figure(self, record: ReservoirRecord, outputs: Array, truth: Array) -> Figure:
        kind, label = ("free", "by its own outputs") if self.free else ("forecast", "network")
        steps = np.arange(len(outputs))
        panels = [
            Panel(name, [Line("truth", "truth", steps, truth[:, k]), Line(label, kind, steps, outputs[:, k])])
            for k, name in enumerate(self.targets)
        ]
        return forecasts(panels, f"{record.name}: the first steps after what is known", axis="step")

    def readings(self, model: nn.EchoStateNetwork, record: ReservoirRecord) -> list[Reading]:
        """Return the first steps after the washout, the state being that of all before."""
        start = max(record.start, 1)
        steps = range(start, min(start + _WATCHED, len(record.inputs)))
        with no_grad():
            _, state = model(self._tensor(record.inputs[:start]))
        xs = self._tensor(record.inputs[start : steps.stop])
        return [Reading([str(step) for step in steps], lambda: model(xs, state), times=True)]
