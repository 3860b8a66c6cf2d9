"""What a forecaster knows of its series, and how it reads others: names, scale, records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyseq import given
from tinyseq.data import forecasts
from tinyseq.data.series import Scaler, Series, read_many
from tinyseq.errors import DataError, did_you_mean
from tinyseq.train.tasks.codec import Codec
from tinyseq.train.tasks.forecasting.config import ForecastingConfig
from tinyseq.train.tasks.measure import Measure
from tinyseq.train.tasks.role import Array


class Record(NamedTuple):
    """A record: a series, and the number of the first value to be forecast; those before it are only known."""

    series: Series
    start: int


class SeriesScale(NamedTuple):
    """What is known of a series from its training part.

    ``level`` is the mean of each target, ``step_size`` how far a value is from that a season before (MASE's unit).
    """

    scaler: Scaler
    level: Array
    step_size: Array

    @classmethod
    def fit(cls, series: Series, transform: str, chosen: Sequence[int], season: int) -> SeriesScale:
        """Return the scale of a series of which all is known.

        Raises:
            DataError: the transform does not take its values, or a target never changes.
        """
        known = series.known()
        observed = None if series.observed is None else series.observed[:, chosen]
        try:
            step = forecasts.naive_step(series.values[:, chosen], season, observed)
        except DataError as error:
            raise DataError(
                error.what, required=error.required, got=error.got, where=series.name, fix=error.fix
            ) from None
        level = np.nanmean(known[:, chosen], 0) if observed is not None else known[:, chosen].mean(0)
        return cls(Scaler.fit(known, transform), level, step)

    def state(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        scale = {"mean": self.scaler.mean.tolist(), "std": self.scaler.std.tolist()}
        return {**scale, "level": self.level.tolist(), "step_size": self.step_size.tolist()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], transform: str) -> SeriesScale:
        """Return it of what ``state`` gave."""
        mean, std, level, step = (np.array(state[key], np.float64) for key in ("mean", "std", "level", "step_size"))
        return cls(Scaler(transform, mean, std), level, step)


class SeriesCodec(Codec[ForecastingConfig]):
    """The columns by their names, and the scale of the training part: what a series is read by.

    Of several series each has a scale of its own.
    """

    columns: tuple[str, ...]
    targets: tuple[str, ...]
    #: The places of the targets among the columns.
    chosen: list[int]
    #: What the axis of time is called, if it has a name.
    time: str | None
    #: By what a series is called in its file; of the only one, "".
    scales: dict[str, SeriesScale]
    #: What "better" means: errors of several targets, or several series, have no common unit but their naive steps.
    measure: Measure

    @property
    def scaler(self) -> Scaler:
        """The scaler of the only series, or of the first."""
        return next(iter(self.scales.values())).scaler

    def scale_of(self, series: Series, known: int) -> SeriesScale:
        """Return the scale of a series: as trained, or, where it is another, of its first ``known`` values."""
        if self._alone:
            return self.scales[""]
        if series.group in self.scales:
            return self.scales[series.group]
        season = self.config.forecast.season or 1
        return SeriesScale.fit(series.until(max(known, 2)), self.config.data.transform, self.chosen, season)

    @property
    def _alone(self) -> bool:
        return list(self.scales) == [""]

    def take_names(self, columns: Sequence[str], targets: Sequence[str]) -> None:
        """Take over the names of what is read and of what is forecast."""
        for name in targets:
            if name not in columns:
                raise DataError(
                    f"data.targets: {name!r} is not among the columns",
                    required=f"one of: {', '.join(columns)}",
                    fix=did_you_mean(name, columns),
                )
        self.columns, self.targets = tuple(columns), tuple(targets)
        self.chosen = [self.columns.index(name) for name in targets]

    def take_scales(self, scales: dict[str, SeriesScale]) -> None:
        """Take over the scales of the series, and with them what is compared."""
        self.scales = scales
        if len(self.targets) > 1 or not self._alone:
            meaning = "1 is as far off as the naive forecast was in training"
            self.measure = Measure("mase", "mean absolute scaled error", meaning=meaning)

    def metadata(self) -> Mapping[str, Any]:
        names = {"columns": list(self.columns), "targets": list(self.targets), "time": self.time}
        if self._alone:
            return {**names, **self.scales[""].state()}
        return {**names, "scales": {key: scale.state() for key, scale in self.scales.items()}}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        self.take_names(metadata["columns"], metadata["targets"])
        self.time = metadata["time"]
        states = metadata.get("scales", {"": metadata})
        transform = self.config.data.transform
        self.take_scales({key: SeriesScale.from_state(state, transform) for key, state in states.items()})

    def read(self, path: Path, *, targets: bool = True) -> list[Record]:
        config = self.config.data
        plan = config.plan(known=True)
        found = read_many(path, None if plan.wide else self.columns, plan=plan, form=config.form())
        return [Record(series, self._start(len(series))) for series in found]

    def _start(self, length: int) -> int:
        half = max(length // 2, 1)
        return half if self.config.data.window is None else min(self.config.data.window, half)

    def records(self, inputs: Iterable[Any]) -> list[Record]:
        records = []
        for number, values in enumerate(inputs):
            array = given.array(values, np.float64)
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
