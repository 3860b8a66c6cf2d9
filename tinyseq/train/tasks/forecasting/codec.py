"""What a forecaster knows of its series, and how it reads others: names, scale, records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyseq.data.series import Scaler, Series, read_series
from tinyseq.errors import DataError, did_you_mean
from tinyseq.train.tasks.codec import Codec
from tinyseq.train.tasks.forecasting.config import ForecastingConfig
from tinyseq.train.tasks.role import Array


class Record(NamedTuple):
    """A record: a series, and the number of the first value to be forecast; those before it are only known."""

    series: Series
    start: int


class SeriesCodec(Codec[ForecastingConfig]):
    """The columns by their names, and the scale of the training part: what a series is read by."""

    columns: tuple[str, ...]
    targets: tuple[str, ...]
    #: The places of the targets among the columns.
    chosen: list[int]
    #: The column that says when; it is only shown.
    time: str | None
    scaler: Scaler
    #: Of the targets in the training part: the mean, and how far a value is from the one before (MASE's unit).
    level: Array
    step_size: Array

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

    def metadata(self) -> Mapping[str, Any]:
        scale = {"mean": self.scaler.mean.tolist(), "std": self.scaler.std.tolist()}
        known = {"level": self.level.tolist(), "step_size": self.step_size.tolist()}
        return {"columns": list(self.columns), "targets": list(self.targets), "time": self.time, **scale, **known}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        self.take_names(metadata["columns"], metadata["targets"])
        self.time = metadata["time"]
        mean, std, self.level, self.step_size = (
            np.array(metadata[key], np.float64) for key in ("mean", "std", "level", "step_size")
        )
        self.scaler = Scaler(self.config.data.transform, mean, std)

    def read(self, path: Path, *, targets: bool = True) -> list[Record]:
        # The time column is only shown, so a file may lack it.
        series = read_series(path, self.columns, time=self.time, time_may_lack=True, missing=self.config.data.missing)
        window = self.config.data.window
        return [Record(series, min(window if window is not None else len(series) // 2, max(len(series) // 2, 1)))]

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
