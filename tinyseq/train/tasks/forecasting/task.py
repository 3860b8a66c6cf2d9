"""Forecasting: read a series, forecast what follows at every step."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyseq import nn
from tinyseq.creation import tensor
from tinyseq.data import forecasts
from tinyseq.data.at_hand import sunspots_path
from tinyseq.data.batching import split
from tinyseq.data.series import Scaler, Series, read_series
from tinyseq.errors import DataError
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.forecasting.codec import Record
from tinyseq.train.tasks.forecasting.config import ForecastingConfig
from tinyseq.train.tasks.forecasting.network import ForecastNet
from tinyseq.train.tasks.forecasting.presentation import ForecastPresentation
from tinyseq.train.tasks.learning import Feed, Measure
from tinyseq.train.tasks.role import Array, Prepared


class Batch(NamedTuple):
    """A training batch, standardised: inputs (batch, time, columns), targets (batch, time, horizon, targets)."""

    inputs: Array
    targets: Array
    skip: int
    fresh: bool


class Forecasting(ForecastPresentation, Task[ForecastingConfig]):
    """Standardised by the training part alone; judged in the series' own units against naive forecasts.

    With ``data.window`` a forecast sees that many values. Without, rows of the training part are read on with the state
    carried over (truncated backpropagation through time), and judging reads the series from its beginning.
    """

    Config = ForecastingConfig
    measure = Measure("rmse", "root mean squared error")
    compilable = True

    series = Prepared[Series]()
    #: Part -> the rows of the series that are forecast in it.
    ranges = Prepared[dict[str, range]]()

    # Training.

    def prepare(self) -> None:
        config = self.config.data
        path, time = (sunspots_path(), "year") if config.path is None else (Path(config.path), config.time)
        self.series = read_series(path, config.columns, time=time, missing=config.missing)
        self.time = time
        self.take_names(self.series.columns, config.targets or self.series.columns)
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
        self.level, self.step_size = known[:, self.chosen].mean(0), forecasts.naive_step(known[:, self.chosen])
        self.batches()  # refuses a series that is too short for the batches before anything is computed

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

    def example(self, model: ForecastNet, steps: int) -> Tensor:
        """Return the loss over a stretch of steps; a ``warmup`` is kept to, but for the last step."""
        config = self.config
        rng = np.random.default_rng(config.seed)
        z = rng.standard_normal((steps + config.forecast.horizon, len(self.columns)))
        series = Forecasting.series.of(self)
        if series is not None and len(series) >= len(z):
            z = self.scaler.apply(series.values[: len(z)])
        targets = forecasts.following(z[:, self.chosen], np.arange(steps), config.forecast.horizon)
        skip = min(config.data.warmup, steps - 1)
        inputs = tensor(z[None, :steps].astype(config.dtype), name="x")
        truth = tensor(targets[None, skip:].astype(config.dtype), name="targets")
        return self.loss(model, inputs, truth, None, skip)[0]

    # Judgement.

    def part(self, split: str) -> list[Record]:
        part = self.ranges[split]
        series = self.series
        known = Series(series.name, series.columns, series.values[: part.stop], series.times[: part.stop])
        return [Record(known, max(part.start, 1))]

    def evaluate_on(
        self, model: ForecastNet, records: Sequence[Record], *, batch_size: int | None = None
    ) -> dict[str, float]:
        """Return RMSE, MAE and MASE over all origins, steps ahead and targets."""
        return self._metrics(*self._pairs(model, records, batch_size))

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

    def _metrics(self, predicted: Array, true: Array) -> dict[str, float]:
        return {
            "rmse": forecasts.rmse(predicted, true),
            "mae": forecasts.mae(predicted, true),
            "mase": forecasts.mase(predicted, true, self.step_size),
        }

    def details(
        self, model: ForecastNet, records: Sequence[Record], *, batch_size: int | None = None
    ) -> dict[str, Any]:
        """Return the RMSE of each target, a number for each step ahead."""
        predicted, true = self._pairs(model, records, batch_size)
        errors = np.sqrt(np.mean((predicted - true) ** 2, axis=0))  # (horizon, targets)
        return {"rmse_by_step": {name: errors[:, k].tolist() for k, name in enumerate(self.targets)}}

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
        return {name: self._metrics(predicted, true) for name, predicted in predictions.items()}

    def describe_data(self) -> dict[str, Any]:
        series = self.series
        facts = {"series": series.name, "sha256": series.sha256, "rows": len(series), "columns": list(series.columns)}
        return {**facts, "from": series.times[0], "to": series.times[-1], **{n: len(p) for n, p in self.ranges.items()}}
