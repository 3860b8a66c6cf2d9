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
from tinyseq.data.series import Scaler, Series, read_many
from tinyseq.errors import DataError
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.base import Task
from tinyseq.train.tasks.forecasting.codec import Record, SeriesScale
from tinyseq.train.tasks.forecasting.config import ForecastingConfig
from tinyseq.train.tasks.forecasting.judgement import ForecastJudgement
from tinyseq.train.tasks.forecasting.network import ForecastNet
from tinyseq.train.tasks.forecasting.presentation import ForecastPresentation
from tinyseq.train.tasks.learning import Feed
from tinyseq.train.tasks.measure import Measure
from tinyseq.train.tasks.overview import Overview, amounts, counted, some
from tinyseq.train.tasks.role import Array, Prepared


class Batch(NamedTuple):
    """A training batch, standardised: inputs (batch, time, columns), targets (batch, time, horizon, targets).

    A target that was not observed is NaN.
    """

    inputs: Array
    targets: Array
    skip: int
    fresh: bool


class Forecasting(ForecastJudgement, ForecastPresentation, Task[ForecastingConfig]):
    """Standardised by the training part alone; judged in the series' own units against naive forecasts.

    With ``data.window`` a forecast sees that many values. Without, rows of the training part are read on with the state
    carried over (truncated backpropagation through time), and judging reads the series from its beginning.
    """

    Config = ForecastingConfig
    measure = Measure("rmse", "root mean squared error", meaning="in the unit of the series")
    compilable = True

    #: The series of the file, and the first of them, which mostly is the only one.
    every = Prepared[list[Series]]()
    series = Prepared[Series]()
    #: Part -> the rows of the first series that are forecast in it.
    ranges = Prepared[dict[str, range]]()

    # Training.

    def prepare(self) -> None:
        config = self.config.data
        path, plan = sunspots_path() if config.path is None else Path(config.path), config.plan()
        self.every = read_many(path, config.columns, plan=plan, form=config.form())
        self.series, self.time = self.every[0], None if plan.time is None else ", ".join([plan.time, *plan.more])
        self.take_names(self.series.columns, config.targets or self.series.columns)
        self.ranges = self._ranges(self.series)
        scales = {}
        for series in self.every:
            train = series.until(len(self._ranges(series)["train"]))
            scales[series.group] = SeriesScale.fit(
                train, config.transform, self.chosen, self.config.forecast.season or 1
            )
            Scaler.fit(series.values, config.transform)  # refuses what the transform does not take, wherever it is
        self.take_scales(scales)
        self.batches()  # refuses a series that is too short for the batches before anything is computed

    def _ranges(self, series: Series) -> dict[str, range]:
        """Return the rows of a series that are forecast in each part."""
        parts = split(range(len(series)), self.config.data.split)
        horizon = self.config.forecast.horizon
        for name in ("train", "valid", "test"):
            part = getattr(parts, name)
            if len(part) < horizon + (name == "train"):
                raise DataError(
                    f"the series is too short: its {name} part has nothing to forecast",
                    required=f"a horizon of {horizon} steps in each part",
                    got=f"{len(part)} of {len(series)} rows, split {self.config.data.split}",
                    where=series.name,
                )
        return {"train": parts.train, "valid": parts.valid, "test": parts.test}

    def build(self) -> ForecastNet:
        config = self.config.forecast
        return ForecastNet(self.config.model, len(self.columns), self.chosen, config.horizon, config.from_last)

    def least(self) -> ForecastNet:
        return ForecastNet(self.config.model, 1, [0], self.config.forecast.horizon, self.config.forecast.from_last)

    def batches(self) -> Iterator[Batch]:
        train, config = self.config.train, self.config.data
        stretches = [self._stretch(series) for series in self.every]
        longest = max(len(inputs) for inputs, _ in stretches)
        length = longest // train.batch_size if config.window is None else longest
        need = train.bptt.every if config.window is None else config.window
        if length < need:
            raise DataError(
                "the training part is too short for its batches",
                required=f"{train.batch_size} rows of {need} steps" if config.window is None else f"{need} steps",
                got=f"{longest} steps",
                fix="a smaller train.batch_size or train.bptt.every"
                if config.window is None
                else "a smaller data.window, or null",
            )
        if config.window is None:
            ((inputs, targets),) = stretches
            return self._read_on(inputs, targets, length)
        return self._windows(stretches, config.window)

    def _stretch(self, series: Series) -> tuple[Array, Array]:
        """Return the training part of a series, standardised: inputs (time, columns) and what follows each."""
        horizon, dtype = self.config.forecast.horizon, self.config.dtype
        part, scaler = series.until(len(self._ranges(series)["train"])), self.scale_of(series, 0).scaler
        inputs = scaler.apply(part.values[: len(part) - horizon]).astype(dtype)
        z = scaler.apply(part.known())[:, self.chosen]
        return inputs, forecasts.following(z, np.arange(len(inputs)), horizon).astype(dtype)

    def _windows(self, stretches: Sequence[tuple[Array, Array]], window: int) -> Iterator[Batch]:
        rng = np.random.default_rng(self.config.seed)
        # A window lies within one series; a series that is shorter than it has none.
        begins = np.cumsum([0, *(len(inputs) for inputs, _ in stretches[:-1])])
        starts = np.concatenate(
            [begin + np.arange(len(inputs) - window + 1) for begin, (inputs, _) in zip(begins, stretches, strict=True)]
        )
        inputs, targets = (np.concatenate([stretch[side] for stretch in stretches]) for side in (0, 1))
        size, skip = self.config.train.batch_size, self.config.data.warmup
        while True:
            rows = starts[rng.integers(0, len(starts), size)][:, None] + np.arange(window)
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

    def count(self, batch: Batch) -> int:
        return len(batch.inputs)

    def rows(self, batch: Batch, rows: slice) -> Batch:
        return batch._replace(inputs=batch.inputs[rows], targets=batch.targets[rows])

    def feed(self, model: ForecastNet, batch: Batch, state: Any) -> Feed:
        if state is None or batch.fresh:
            state = model.recurrent.initial_state(len(batch.inputs))
        counted = batch.targets[:, batch.skip :]
        weights = self._weights(counted)
        counts = () if weights is None else (tensor(weights),)
        arguments = (tensor(batch.inputs), tensor(np.nan_to_num(counted)), state, batch.skip, *counts)
        known = None if weights is None else int((~np.isnan(counted)).sum())
        return Feed(arguments, counted.shape[0] * counted.shape[1], known)

    def _weights(self, targets: Array) -> Array | None:
        """Return how much each target counts: 0 where it was not observed; None where all of the series' were.

        The squares of the weights have the mean 1, so that a mean of weighted squares is one over observed targets.
        """
        if all(series.observed is None for series in self.every):
            return None
        known = ~np.isnan(targets)
        found: Array = known * np.sqrt(known.size / max(int(known.sum()), 1))
        return found.astype(targets.dtype)

    def loss(self, model: ForecastNet, *arguments: Any) -> tuple[Tensor, Any]:
        inputs, targets, state, skip, *weights = arguments
        predicted, state = model(inputs, state)
        predicted = predicted[:, skip:] if skip else predicted
        for weight in weights:
            predicted, targets = predicted * weight, targets * weight
        return nn.squared_error(predicted, targets, reduction="mean"), state

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
        parts = [(series, self._ranges(series)[split]) for series in self.every]
        return [Record(series.until(part.stop), max(part.start, 1)) for series, part in parts]

    def overview(self) -> Overview:
        facts, config, series = self.describe_data(), self.config, self.series
        many = [f"{len(self.every)} series told apart by {config.data.group}"] if len(self.every) > 1 else []
        when = f"{series.times[0]} to {series.times[-1]}" + (f" by {self.time}" if self.time else "")
        notes = [str(facts[key]) for key in ("order", "missing") if key in facts]
        read = [str(config.data.path or series.name), *many, f"columns {some(self.columns)}", when, *notes]
        window, season = config.data.window, config.forecast.season
        past = "all before it" if window is None else f"it and the {window - 1:,} before"
        ahead = counted(config.forecast.horizon, "step")
        predicts = f"{some(self.targets)}, {ahead} after each row, from {past}"
        return Overview(", ".join(read), amounts(facts, "row"), predicts + (f"; season {season}" if season else ""))

    def describe_data(self) -> dict[str, Any]:
        series = self.series
        facts: dict[str, Any] = {"series": series.name, "sha256": series.sha256, "rows": len(series)}
        if len(self.every) > 1:
            facts = {"series": len(self.every), "sha256": series.sha256, "rows": sum(map(len, self.every))}
        facts |= {"columns": list(series.columns)}
        notes = dict.fromkeys(one.note for one in self.every if one.note)
        if notes:
            facts["order"] = "; ".join(list(notes)[:3]) + ("; ..." if len(notes) > 3 else "")
        missing = sum(0 if one.observed is None else int((~one.observed).sum()) for one in self.every)
        if missing:
            facts["missing"] = f"{missing} values, carried on; they count in no error"
        sizes = {name: sum(len(self._ranges(one)[name]) for one in self.every) for name in self.ranges}
        return {**facts, "from": series.times[0], "to": series.times[-1], **sizes}
