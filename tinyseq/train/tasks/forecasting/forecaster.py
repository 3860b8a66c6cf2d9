"""What a network forecasts, in the units of the series: at each origin, and by its own forecasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyseq.creation import tensor
from tinyseq.data.padding import pad
from tinyseq.data.series import Series
from tinyseq.errors import DataError
from tinyseq.modes import no_grad
from tinyseq.ops.shape import concat, expand_dims
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.forecasting.codec import Record, SeriesCodec
from tinyseq.train.tasks.forecasting.network import ForecastNet
from tinyseq.train.tasks.role import Array


class Forecaster(SeriesCodec):
    """A codec with a network put to use on its records: what judgement and pictures share."""

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
        scaler = self.scale_of(record.series, record.start).scaler
        z = scaler.apply(record.series.values).astype(self.config.dtype)
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
        return scaler.invert(predicted, self.chosen)

    def run_on(self, model: ForecastNet, series: Series, steps: int) -> Array:
        """Return the values after the series' end, (steps, targets), each forecast from those before it.

        Where the model forecasts all that it reads, each forecast is its next input (it runs free); else it stops at
        its horizon.
        """
        if set(self.targets) != set(self.columns):
            (only,) = self.forecast(model, Record(series, len(series)), np.array([len(series) - 1]))
            return np.asarray(only[:steps])
        scaler = self.scale_of(series, len(series)).scaler
        z = scaler.apply(series.values[-(self.config.data.window or 0) :]).astype(self.config.dtype)
        order = [self.targets.index(name) for name in self.columns]
        with no_grad():
            ys, state = model(tensor(z[None]))
            first = ys[:, -1, 0]
        parts = [first.numpy()[:, None]]
        if steps > 1:
            loop = self.loop_of(model, "free", _free_step(model, order))
            parts += loop(np.zeros((1, steps - 1), bool), (first, state))
        return scaler.invert(np.concatenate(parts, 1)[0, :steps], self.chosen)


def _free_step(model: ForecastNet, order: list[int]) -> Callable[..., tuple[Tensor, Any]]:
    """Return a step that reads its last forecast; ``order`` says where in it each column stands."""

    def step(_: Any, now: Any) -> tuple[Tensor, Any]:
        last, state = now
        ys, state = model(expand_dims(concat([last[:, i : i + 1] for i in order], -1), 1), state)
        return ys[:, 0, 0], (ys[:, 0, 0], state)

    return step
