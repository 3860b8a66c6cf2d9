"""How far off forecasts are, beside those of naive ones: over observed values, in the series' own units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinyseq.data import forecasts
from tinyseq.errors import DataError
from tinyseq.train.tasks.forecasting.codec import Record
from tinyseq.train.tasks.forecasting.config import ForecastingConfig
from tinyseq.train.tasks.forecasting.forecaster import Forecaster
from tinyseq.train.tasks.forecasting.network import ForecastNet
from tinyseq.train.tasks.learning import Learning
from tinyseq.train.tasks.role import Array


class Judged(NamedTuple):
    """Forecasts, their truths, and the naive steps that errors are measured by; all (origins, horizon, targets)."""

    predicted: Array
    true: Array
    step: Array


class ForecastJudgement(Learning[ForecastingConfig], Forecaster):
    """A forecaster judged on records: errors over all origins, steps ahead and targets, where a truth was observed."""

    def evaluate_on(
        self, model: ForecastNet, records: Sequence[Record], *, batch_size: int | None = None
    ) -> dict[str, float]:
        """Return RMSE, MAE and MASE over all origins, steps ahead and targets; of several targets those of each too."""
        return self._metrics(self._judged(model, records, batch_size))

    def _judged(self, model: ForecastNet, records: Sequence[Record], batch_size: int | None) -> list[Judged]:
        if not records:
            raise DataError("forecasting: nothing to judge", required="at least one series", got="none")
        return [
            self._beside(record, origins, self.forecast(model, record, origins, batch_size))
            for record in records
            for origins in [self._origins(record)]
        ]

    def _beside(self, record: Record, origins: Array, predicted: Array) -> Judged:
        """Return forecasts beside their truths; a truth that was not observed is NaN."""
        true = forecasts.following(record.series.known()[:, self.chosen], origins, self.config.forecast.horizon)
        step = self.scale_of(record.series, record.start).step_size
        return Judged(predicted, true, np.broadcast_to(step, true.shape))

    def _metrics(self, judged: Sequence[Judged]) -> dict[str, float]:
        predicted, true, step = (np.concatenate([getattr(one, name) for one in judged]) for name in Judged._fields)
        metrics = {
            "rmse": forecasts.rmse(predicted, true),
            "mae": forecasts.mae(predicted, true),
            "mase": forecasts.mase(predicted, true, step),
        }
        if len(self.targets) > 1:  # each has a unit of its own
            for k, name in enumerate(self.targets):
                metrics[f"rmse_{name}"] = forecasts.rmse(predicted[..., k], true[..., k])
                metrics[f"mae_{name}"] = forecasts.mae(predicted[..., k], true[..., k])
        return metrics

    def details(
        self, model: ForecastNet, records: Sequence[Record], *, batch_size: int | None = None
    ) -> dict[str, Any]:
        """Return the season of MASE, and the RMSE of each target by step ahead; of several series their metrics too."""
        judged = self._judged(model, records, batch_size)
        predicted, true = (np.concatenate([getattr(one, name) for one in judged]) for name in ("predicted", "true"))
        by_step = {
            name: [forecasts.rmse(predicted[:, step, k], true[:, step, k]) for step in range(true.shape[1])]
            for k, name in enumerate(self.targets)
        }
        details = {"mase_season": self.config.forecast.season or 1, "rmse_by_step": by_step}
        if len(records) == 1:
            return details
        each = {record.series.group: self._metrics([one]) for record, one in zip(records, judged, strict=True)}
        return {**details, "series": each}

    def baselines(self) -> dict[str, dict[str, float]]:
        horizon, season = self.config.forecast.horizon, self.config.forecast.season
        found: dict[str, list[Judged]] = {}
        for record in self.part("test"):
            values, origins = record.series.values[:, self.chosen], self._origins(record)
            predictions = {"persistence": forecasts.persistence(values, origins, horizon)}
            if season is not None:
                predictions[f"seasonal ({season} ago)"] = forecasts.seasonal(values, origins, horizon, season)
            level = self.scale_of(record.series, record.start).level
            predictions["training mean"] = forecasts.constant(level, origins, horizon)
            for name, predicted in predictions.items():
                found.setdefault(name, []).append(self._beside(record, origins, predicted))
        return {name: self._metrics(judged) for name, judged in found.items()}
