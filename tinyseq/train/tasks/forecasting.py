"""Forecasting: read a series, forecast what follows at every step."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import Field

from tinyseq import nn
from tinyseq.creation import tensor
from tinyseq.data import forecasts
from tinyseq.data.at_hand import sunspots_path
from tinyseq.data.batching import split
from tinyseq.data.padding import pad
from tinyseq.data.series import Scaler, Series, read_series
from tinyseq.errors import DataError, did_you_mean
from tinyseq.figures import Line, Panel, save
from tinyseq.figures import forecasts as draw_forecasts
from tinyseq.modes import no_grad
from tinyseq.tensors import Tensor
from tinyseq.train.config.model_sections import RecurrentConfig
from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.config.source import Problem
from tinyseq.train.tasks.base import Feed, Measure, Reading, Task
from tinyseq.train.tasks.forecaster import ForecastConfig, ForecastNet, SeriesConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
#: How much of the past a picture of a forecast shows, in horizons, and at least so many steps.
_PAST, _LEAST_PAST = 4, 40


class ForecastingConfig(RunConfig):
    """A run of the task ``forecasting``."""

    data: SeriesConfig = Field(default_factory=SeriesConfig, description="What is read.")
    model: RecurrentConfig = Field(default_factory=RecurrentConfig, description="What learns.")
    forecast: ForecastConfig = Field(default_factory=ForecastConfig, description="What is forecast.")

    def contradictions(self) -> Iterator[Problem]:
        if self.model.bidirectional:
            yield Problem(("model", "bidirectional"), "a forecast must not read from the end; required false")
        bptt = self.train.bptt
        if self.data.window is None and bptt.depth != bptt.every:
            message = (
                f"forecasting reads on by whole chunks (data.window: null); required null or `every`, got {bptt.back}"
            )
            yield Problem(("train", "bptt", "back"), message, involves=(("data", "window"), ("train", "bptt", "every")))


class Record(NamedTuple):
    """A record: a series, and the number of the first value to be forecast; those before it are only known."""

    series: Series
    start: int


class Batch(NamedTuple):
    """A training batch, standardised: inputs (batch, time, columns), targets (batch, time, horizon, targets)."""

    inputs: Array
    targets: Array
    skip: int
    fresh: bool


class Forecasting(Task[ForecastingConfig]):
    """Standardised by the training part alone; judged in the series' own units against naive forecasts.

    With ``data.window`` a forecast sees that many values. Without, rows of the training part are read on with the state
    carried over (truncated backpropagation through time), and judging reads the series from its beginning.
    """

    Config = ForecastingConfig
    measure = Measure("rmse", "root mean squared error")
    compilable = True

    # Training.

    def prepare(self) -> None:
        config = self.config.data
        path, time = (sunspots_path(), "year") if config.path is None else (Path(config.path), config.time)
        self.series = read_series(path, config.columns, time=time, missing=config.missing)
        self.time = time
        self._name(self.series.columns, config.targets or self.series.columns)
        parts = split(range(len(self.series)), config.split)
        self.ranges = {"train": parts.train, "valid": parts.valid, "test": parts.test}
        horizon = self.config.forecast.horizon
        for name, part in self.ranges.items():
            if len(part) < horizon + (name == "train"):
                raise DataError(
                    f"the series is too short: its {name} part has nothing to forecast",
                    required=f"a horizon of {horizon} steps in each part",
                    got=f"{len(part)} of {len(self.series)} rows, split {config.split}",
                )
        known = self.series.values[: len(parts.train)]
        self.scaler = Scaler.fit(known, config.transform)
        Scaler.fit(self.series.values, config.transform)  # refuses what the transform does not take, wherever it is
        self.level = known[:, self.chosen].mean(0)
        self.step_size = forecasts.naive_step(known[:, self.chosen], self.config.forecast.season or 1)
        self.batches()  # refuses a series that is too short for the batches before anything is computed

    def _name(self, columns: Sequence[str], targets: Sequence[str]) -> None:
        for name in targets:
            if name not in columns:
                raise DataError(
                    f"data.targets: {name!r} is not among the columns",
                    required=f"one of: {', '.join(columns)}",
                    fix=did_you_mean(name, columns),
                )
        self.columns, self.targets = tuple(columns), tuple(targets)
        self.chosen = [self.columns.index(name) for name in targets]

    def build(self) -> ForecastNet:
        config = self.config.forecast
        return ForecastNet(self.config.model, len(self.columns), self.chosen, config.horizon, config.from_last)

    def batches(self) -> Iterator[Batch]:
        train, config, horizon = self.config.train, self.config.data, self.config.forecast.horizon
        z = self.scaler.apply(self.series.values[: len(self.ranges["train"])])
        inputs = z[: len(z) - horizon].astype(self.config.dtype)
        targets = forecasts.following(z[:, self.chosen], np.arange(len(inputs)), horizon).astype(self.config.dtype)
        length = len(inputs) // train.batch_size if config.window is None else len(inputs)
        need = train.bptt.every if config.window is None else config.window
        if length < need:
            raise DataError(
                "the training part is too short for its batches",
                required=f"{train.batch_size} rows of {need} steps" if config.window is None else f"{need} steps",
                got=f"{len(inputs)} steps",
                fix="a smaller train.batch_size or train.bptt.every"
                if config.window is None
                else "a smaller data.window, or null",
            )
        if config.window is None:
            return self._read_on(inputs, targets, length)
        return self._windows(inputs, targets, config.window)

    def _windows(self, inputs: Array, targets: Array, window: int) -> Iterator[Batch]:
        rng = np.random.default_rng(self.config.seed)
        starts = len(inputs) - window + 1
        size, skip = self.config.train.batch_size, self.config.data.warmup
        while True:
            rows = rng.integers(0, starts, size)[:, None] + np.arange(window)
            yield Batch(inputs[rows], targets[rows], skip, True)

    def _read_on(self, inputs: Array, targets: Array, length: int) -> Iterator[Batch]:
        train = self.config.train
        size, every = train.batch_size, train.bptt.every
        overlap = train.bptt.depth - every
        if overlap:
            raise DataError(
                "forecasting reads on by whole chunks", required="train.bptt.back: null", got=str(train.bptt.back)
            )
        inputs, targets = (a[: size * length].reshape(size, length, *a.shape[1:]) for a in (inputs, targets))
        return (
            Batch(inputs[:, at : at + every], targets[:, at : at + every], 0, at == 0)
            for _ in itertools.count()
            for at in range(0, length - every + 1, every)
        )

    def feed(self, model: ForecastNet, batch: Batch, state: Any) -> Feed:
        if state is None or batch.fresh:
            state = model.recurrent.initial_state(len(batch.inputs))
        counted = batch.targets[:, batch.skip :]
        return Feed((tensor(batch.inputs), tensor(counted), state, batch.skip), counted.shape[0] * counted.shape[1])

    def loss(self, model: ForecastNet, *arguments: Any) -> tuple[Tensor, Any]:
        inputs, targets, state, skip = arguments
        predicted, state = model(inputs, state)
        return nn.squared_error(predicted[:, skip:] if skip else predicted, targets, reduction="mean"), state

    # Judgement.

    def part(self, split: str) -> list[Record]:
        part = self.ranges[split]
        series = self.series
        known = Series(series.name, series.columns, series.values[: part.stop], series.times[: part.stop])
        return [Record(known, max(part.start, 1))]

    def _origins(self, record: Record) -> Array:
        origins = np.arange(record.start - 1, len(record.series) - self.config.forecast.horizon)
        if not len(origins):
            raise DataError(
                f"{record.series.name}: nothing to judge",
                required=f"at least {record.start + self.config.forecast.horizon} rows",
                got=str(len(record.series)),
            )
        return origins

    def forecast(self, model: ForecastNet, record: Record, origins: Array, batch_size: int | None = None) -> Array:
        """Return what the model forecasts at each origin, in the series' units: (origins, horizon, targets)."""
        z = self.scaler.apply(record.series.values).astype(self.config.dtype)
        window, size = self.config.data.window, batch_size or self.config.train.batch_size
        with no_grad():
            if window is None:
                predicted = model(tensor(z[None, : int(origins.max()) + 1]))[0].numpy()[0][origins]
            else:
                parts = []
                for first in range(0, len(origins), size):
                    seen = [z[max(0, t + 1 - window) : t + 1] for t in origins[first : first + size]]
                    inputs, lengths = pad(seen)
                    ys = model(tensor(inputs), lengths=tensor(lengths))[0].numpy()
                    parts.append(ys[np.arange(len(seen)), lengths - 1])
                predicted = np.concatenate(parts)
        return self.scaler.invert(predicted, self.chosen)

    def run_on(self, model: ForecastNet, series: Series, steps: int) -> Array:
        """Return the values after the series' end, (steps, targets), each forecast from those before it.

        Where the model forecasts all that it reads, each forecast is its next input (it runs free); else it stops at
        its horizon.
        """
        if set(self.targets) != set(self.columns):
            (only,) = self.forecast(model, Record(series, 1), np.array([len(series) - 1]))
            return np.asarray(only[:steps])
        z = self.scaler.apply(series.values[-(self.config.data.window or 0) :]).astype(self.config.dtype)
        order = [self.targets.index(name) for name in self.columns]
        values = []
        with no_grad():
            ys, state = model(tensor(z[None]))
            for _ in range(steps):
                values.append(ys.numpy()[0, -1, 0])
                ys, state = model(tensor(values[-1][order][None, None]), state)
        return self.scaler.invert(np.array(values), self.chosen)

    def _figures(self, predicted: Array, true: Array) -> dict[str, float]:
        return {
            "rmse": forecasts.rmse(predicted, true),
            "mae": forecasts.mae(predicted, true),
            "mase": forecasts.mase(predicted, true, self.step_size),
        }

    def evaluate_on(
        self, model: ForecastNet, records: Sequence[Record], *, batch_size: int | None = None
    ) -> dict[str, float]:
        """Return RMSE, MAE and MASE over all origins, steps ahead and targets."""
        return self._figures(*self._pairs(model, records, batch_size))

    def _pairs(self, model: ForecastNet, records: Sequence[Record], batch_size: int | None) -> tuple[Array, Array]:
        predicted, true = [], []
        for record in records:
            origins = self._origins(record)
            predicted.append(self.forecast(model, record, origins, batch_size))
            values = record.series.values[:, self.chosen]
            true.append(forecasts.following(values, origins, self.config.forecast.horizon))
        if not true:
            raise DataError("forecasting: nothing to judge", required="at least one series", got="none")
        return np.concatenate(predicted), np.concatenate(true)

    def details(
        self, model: ForecastNet, records: Sequence[Record], *, batch_size: int | None = None
    ) -> dict[str, Any]:
        """Return the season of MASE, and the RMSE of each target, a number for each step ahead."""
        predicted, true = self._pairs(model, records, batch_size)
        errors = np.sqrt(np.mean((predicted - true) ** 2, axis=0))  # (horizon, targets)
        season = self.config.forecast.season or 1
        return {
            "mase_season": season,
            "rmse_by_step": {name: errors[:, k].tolist() for k, name in enumerate(self.targets)},
        }

    def baselines(self) -> dict[str, dict[str, float]]:
        (record,) = self.part("test")
        values, horizon, season = (
            record.series.values[:, self.chosen],
            self.config.forecast.horizon,
            self.config.forecast.season,
        )
        origins = self._origins(record)
        true = forecasts.following(values, origins, horizon)
        predictions = {"persistence": forecasts.persistence(values, origins, horizon)}
        if season is not None:
            predictions[f"seasonal ({season} ago)"] = forecasts.seasonal(values, origins, horizon, season)
        predictions["training mean"] = forecasts.constant(self.level, origins, horizon)
        return {name: self._figures(predicted, true) for name, predicted in predictions.items()}

    def describe_data(self) -> dict[str, Any]:
        series = self.series
        facts = {"series": series.name, "sha256": series.sha256, "rows": len(series), "columns": list(series.columns)}
        return {**facts, "from": series.times[0], "to": series.times[-1], **{n: len(p) for n, p in self.ranges.items()}}

    # What a run leaves behind.

    def metadata(self) -> Mapping[str, Any]:
        scale = {"mean": self.scaler.mean.tolist(), "std": self.scaler.std.tolist()}
        known = {"level": self.level.tolist(), "step_size": self.step_size.tolist()}
        return {"columns": list(self.columns), "targets": list(self.targets), "time": self.time, **scale, **known}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        self._name(metadata["columns"], metadata["targets"])
        self.time = metadata["time"]
        mean, std, self.level, self.step_size = (
            np.array(metadata[key], np.float64) for key in ("mean", "std", "level", "step_size")
        )
        self.scaler = Scaler(self.config.data.transform, mean, std)

    def write(self, model: ForecastNet, directory: Path) -> str:
        (record,) = self.part("test")
        series, origins = record.series, self._origins(record)
        predicted = self.forecast(model, record, origins)
        with open(directory / "forecast.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["time", "target", "ahead", "truth", "forecast"])
            for t, rows in zip(origins, predicted, strict=True):
                for j, row in enumerate(rows):
                    for k, (name, value) in enumerate(zip(self.targets, row, strict=True)):
                        truth = series.values[t + 1 + j, self.chosen[k]]
                        writer.writerow([series.times[t + 1 + j], name, j + 1, f"{truth:.6g}", f"{value:.6g}"])
        save(self._figure(model, record), directory / "forecast.png")
        last = [
            f"  {series.times[t + 1]}  {predicted[i, 0, 0]:10.4g}  (true {series.values[t + 1, self.chosen[0]]:.4g})"
            for i, t in enumerate(origins)
        ]
        return "\n".join([f"{self.targets[0]}, a step ahead, the last of them:", *last[-8:]])

    def _figure(self, model: ForecastNet, record: Record) -> Figure:
        """Return the truth of what is forecast, the forecasts, and how the model runs on by its own forecasts."""
        series, origins, horizon = record.series, self._origins(record), self.config.forecast.horizon
        predicted, ahead = self.forecast(model, record, origins), origins + 1
        known = Series(series.name, series.columns, series.values[: record.start], series.times[: record.start])
        free = self.run_on(model, known, min(self.config.forecast.steps, len(series) - record.start))
        since = max(0, record.start - max(_LEAST_PAST, len(predicted) // 2))
        panels = []
        for k, name in enumerate(self.targets):
            values = series.values[:, self.chosen[k]]
            lines = [
                Line("truth", "truth", np.arange(since, len(values)), values[since:]),
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

    def figures(self, model: ForecastNet, records: Sequence[Record]) -> Mapping[str, Callable[[], Figure]]:
        return {"forecast": lambda: self._figure(model, records[0])}

    def readings(self, model: ForecastNet, record: Record) -> list[Reading]:
        """Return the last steps that a forecast sees."""
        seen = slice(-(self.config.data.window or _LEAST_PAST), None)
        z = self.scaler.apply(record.series.values[seen]).astype(self.config.dtype)
        return [Reading(list(record.series.times[seen]), lambda: model(tensor(z[None])), times=True)]

    def example(self, model: ForecastNet, steps: int) -> Tensor:
        """Return the loss over a stretch of steps; a ``warmup`` is kept to, but for the last step."""
        config = self.config
        rng = np.random.default_rng(config.seed)
        z = rng.standard_normal((steps + config.forecast.horizon, len(self.columns)))
        if hasattr(self, "series") and len(self.series) >= len(z):
            z = self.scaler.apply(self.series.values[: len(z)])
        targets = forecasts.following(z[:, self.chosen], np.arange(steps), config.forecast.horizon)
        skip = min(config.data.warmup, steps - 1)
        inputs = tensor(z[None, :steps].astype(config.dtype), name="x")
        truth = tensor(targets[None, skip:].astype(config.dtype), name="targets")
        return self.loss(model, inputs, truth, None, skip)[0]

    # Use.

    def read(self, path: Path, *, targets: bool = True) -> list[Record]:
        series = read_series(path, self.columns, time=self._time_of(path), missing=self.config.data.missing)
        window = self.config.data.window
        return [Record(series, min(window if window is not None else len(series) // 2, max(len(series) // 2, 1)))]

    def _time_of(self, path: Path) -> str | None:
        """The time column is only shown: a file may lack it."""
        if self.time is None or not path.is_file():
            return None
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            return self.time if self.time in [name.strip(' "\r\n') for name in file.readline().split(",")] else None

    def records(self, inputs: Iterable[Any]) -> list[Record]:
        records = []
        for number, values in enumerate(inputs):
            array = np.asarray(values, np.float64)
            array = array[:, None] if array.ndim == 1 else array
            if array.ndim != 2 or array.shape[1] != len(self.columns) or not len(array) or not np.isfinite(array).all():
                raise DataError(
                    f"input {number}",
                    required=f"finite numbers (time, {len(self.columns)}): {', '.join(self.columns)}",
                    got=f"shape {np.shape(values)}" if np.isfinite(array).all() else "values that are not finite",
                )
            name = f"input {number}"
            records.append(Record(Series(name, self.columns, array, tuple(map(str, range(len(array))))), 1))
        return records

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
