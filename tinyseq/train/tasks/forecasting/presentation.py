"""Forecasts for a reader: rows, a table, pictures of truth and forecast."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyseq.creation import tensor
from tinyseq.errors import DataError
from tinyseq.figures import Line, Panel, save
from tinyseq.figures import forecasts as draw_forecasts
from tinyseq.train.tasks.forecasting.codec import Record
from tinyseq.train.tasks.forecasting.config import ForecastingConfig
from tinyseq.train.tasks.forecasting.forecaster import Forecaster
from tinyseq.train.tasks.forecasting.network import ForecastNet
from tinyseq.train.tasks.presentation import Presentation, Reading

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: How much of the past a picture of a forecast shows, in horizons, and at least so many steps.
_PAST, _LEAST_PAST = 4, 40


class ForecastPresentation(Forecaster, Presentation[ForecastingConfig]):
    """What follows a series; and of a series that is known, how well it was forecast."""

    def predict(
        self, model: ForecastNet, records: Sequence[Record], *, batch_size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield what follows each series: a list for each target, beside the end of what is known."""
        for record in records:
            series, steps = record.series, self.config.forecast.steps
            ahead = self.run_on(model, series, steps)
            past = max(_PAST * len(ahead), _LEAST_PAST)
            yield {
                "series": series.name,
                "after": series.times[-1],
                "forecast": {name: ahead[:, k].tolist() for k, name in enumerate(self.targets)},
                "known": {n: series.values[-past:, c].tolist() for n, c in zip(self.targets, self.chosen, strict=True)},
                "times": list(series.times[-past:]),
            }

    def as_text(self, prediction: Mapping[str, Any]) -> str:
        rows = [f"{prediction['series']}, after {prediction['after']}:"]
        for name, values in prediction["forecast"].items():
            rows.append(f"  {name}: " + " ".join(f"{value:.4g}" for value in values))
        return "\n".join(rows)

    def leave(self, model: ForecastNet, records: Sequence[Record], directory: Path) -> str:
        """Leave ``forecast.csv``, every forecast beside its truth, and ``forecast.png``."""
        several = len(records) > 1
        with open(directory / "forecast.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*(["series"] if several else []), "time", "target", "ahead", "truth", "forecast"])
            for record in records:
                group = [record.series.group] if several else []
                writer.writerows([*group, *row] for row in self._rows(model, record))
        record = records[0]
        series, origins = record.series, self._origins(record)[-8:]
        save(self._figure(model, record), directory / "forecast.png")
        predicted, known = self.forecast(model, record, origins), series.known()
        last = [
            f"  {series.times[t + 1]}  {predicted[i, 0, 0]:10.4g}  (true {known[t + 1, self.chosen[0]]:.4g})"
            for i, t in enumerate(origins)
        ]
        name = f"{series.name}: {self.targets[0]}" if several else self.targets[0]
        return "\n".join([f"{name}, a step ahead, the last of them:", *last])

    def _rows(self, model: ForecastNet, record: Record) -> Iterator[list[Any]]:
        """Yield every forecast of a record beside its truth, which is empty where none was observed."""
        series, known, origins = record.series, record.series.known(), self._origins(record)
        for t, rows in zip(origins, self.forecast(model, record, origins), strict=True):
            for j, row in enumerate(rows):
                for k, (name, value) in enumerate(zip(self.targets, row, strict=True)):
                    truth = known[t + 1 + j, self.chosen[k]]
                    shown = "" if np.isnan(truth) else f"{truth:.6g}"
                    yield [series.times[t + 1 + j], name, j + 1, shown, f"{value:.6g}"]

    def picture(self, predictions: Sequence[Mapping[str, Any]]) -> Figure:
        panels = []
        for prediction in predictions:
            for name, values in prediction["forecast"].items():
                known = prediction["known"][name]
                last = len(known) - 1  # the forecast goes on from the last known value
                lines = [
                    Line("known", "truth", np.arange(len(known)), np.array(known)),
                    Line("forecast", "forecast", last + np.arange(len(values) + 1), np.array([known[-1], *values])),
                ]
                panels.append(Panel(f"{prediction['series']}\n{name}" if len(predictions) > 1 else name, lines, last))
        if not panels:
            raise DataError("a picture of no predictions", required="at least one", got="none")
        times = predictions[0]["times"] if len(predictions) == 1 else ()
        return draw_forecasts(panels, "forecast", times=times, axis=self.time or "step")

    def figures(self, model: ForecastNet, records: Sequence[Record]) -> Mapping[str, Callable[[], Figure]]:
        return {"forecast": lambda: self._figure(model, records[0])}

    def _figure(self, model: ForecastNet, record: Record) -> Figure:
        """Return the truth of what is forecast, the forecasts, and how the model runs on by its own forecasts."""
        series, origins, horizon = record.series, self._origins(record), self.config.forecast.horizon
        predicted, ahead = self.forecast(model, record, origins), origins + 1
        free = self.run_on(
            model, series.until(record.start), min(self.config.forecast.steps, len(series) - record.start)
        )
        since = max(0, record.start - max(_LEAST_PAST, len(predicted) // 2))
        panels = []
        for k, name in enumerate(self.targets):
            values, truth = series.values[:, self.chosen[k]], series.known()[:, self.chosen[k]]
            lines = [
                Line("truth", "truth", np.arange(since, len(values)), truth[since:]),
                Line("persistence", "baseline", ahead, values[origins]),
                Line(
                    f"{horizon} ahead" if horizon > 1 else "a step ahead",
                    "forecast",
                    ahead + horizon - 1,
                    predicted[:, -1, k],
                ),
                Line("by its own forecasts", "free", record.start + np.arange(len(free)), free[:, k]),
            ]
            panels.append(Panel(name, lines, record.start - 0.5))
        title = f"{series.name}: forecast from {series.times[record.start]} on"
        return draw_forecasts(panels, title, times=series.times, axis=self.time or "step")

    def readings(self, model: ForecastNet, record: Record) -> list[Reading]:
        """Return the last steps that a forecast sees."""
        seen = slice(-(self.config.data.window or _LEAST_PAST), None)
        scaler = self.scale_of(record.series, len(record.series)).scaler
        z = scaler.apply(record.series.values[seen]).astype(self.config.dtype)
        return [Reading(list(record.series.times[seen]), lambda: model(tensor(z[None])), times=True)]
