"""Forecasts: what any model has to beat, and how far off one is.

A forecast is made at an origin t, when values up to t are known, of the ``horizon`` values that follow. Arrays of
forecasts have the shape (origins, horizon, columns). A truth that is NaN was never observed, and counts in no error.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyseq.errors import DataError

Array = np.ndarray[Any, Any]


def following(values: Array, origins: Array, horizon: int) -> Array:
    """Return the values (time, columns) that follow each origin: (origins, horizon, columns)."""
    targets: Array = values[origins[:, None] + 1 + np.arange(horizon)]
    return targets


def persistence(values: Array, origins: Array, horizon: int) -> Array:
    """Foretell that everything stays as it is at the origin."""
    return np.repeat(values[origins][:, None], horizon, axis=1)


def seasonal(values: Array, origins: Array, horizon: int, season: int) -> Array:
    """Foretell the last known value of the same phase of the season.

    Raises:
        DataError: an origin with less than a season before it.
    """
    ahead = 1 + np.arange(horizon)
    sources = origins[:, None] + ahead - season * -(-ahead // season)
    if sources.min() < 0:
        raise DataError(
            "seasonal forecast",
            required=f"a season of {season} values before each origin",
            got=f"an origin with {int(origins.min()) + 1}",
        )
    predicted: Array = values[sources]
    return predicted


def constant(level: Array, origins: Array, horizon: int) -> Array:
    """Foretell the same level (columns,), such as the mean of the training part, always."""
    return np.broadcast_to(level, (len(origins), horizon, len(level)))


def _mean(errors: Array) -> float:
    """Return the mean of errors, those of truths that were not observed left out."""
    missing = np.isnan(errors)
    if not missing.any():
        return float(np.mean(errors))
    if missing.all():
        raise DataError("nothing to judge by", required="a value that was observed", got="missing values alone")
    return float(np.mean(errors[~missing]))


def rmse(predicted: Array, true: Array) -> float:
    """Root mean squared error."""
    return math.sqrt(_mean((predicted - true) ** 2))


def mae(predicted: Array, true: Array) -> float:
    """Mean absolute error."""
    return _mean(np.abs(predicted - true))


def nrmse(predicted: Array, true: Array, variance: Array | float | None = None) -> float:
    """Return the root mean squared error over the standard deviation: 1 for a forecast of the mean.

    Of the field's definitions this is that of Jaeger and Haas (2004); others divide by the range or by the mean, see
    docs/measures.md.

    Args:
        predicted, true: (..., columns).
        variance: of each column; by default that of ``true``. Columns are averaged after the division.
    """
    axes = tuple(range(true.ndim - 1))
    spread = np.var(true, axis=axes) if variance is None else variance
    return math.sqrt(float(np.mean(np.mean((predicted - true) ** 2, axis=axes) / spread)))


def naive_step(values: Array, season: int = 1, observed: Array | None = None) -> Array:
    """Return the mean absolute step of each column over a season: the in-sample error of the naive forecast.

    It is MASE's unit. A season of 1 is the naive forecast of Hyndman and Koehler (2006), a longer one the seasonal
    naive forecast.

    Args:
        values: (time, columns), the last one carried on where none was observed.
        season: how many steps back the forecast looks.
        observed: which were; steps to others are left out. None: all.

    Raises:
        DataError: a column that never changes, or no more values than a season has.
    """
    if len(values) <= season:
        raise DataError(
            "a series too short for its season",
            required=f"more than {season} values in the training part",
            got=str(len(values)),
            fix="a shorter season, or a longer series",
        )
    steps = np.abs(values[season:] - values[:-season])
    if observed is None:
        scale: Array = steps.mean(0)
    else:
        scale = np.where(observed[season:], steps, 0.0).sum(0) / np.maximum(observed[season:].sum(0), 1)
    if not (scale > 0.0).all():
        raise DataError(
            f"a series that never changes{f' from season to season of {season}' if season > 1 else ''}",
            required="values that change in the training part",
        )
    return scale


def mase(predicted: Array, true: Array, scale: Array) -> float:
    """Return the mean absolute scaled error: below 1 is better than the naive forecast was in training.

    Args:
        predicted, true: (..., columns).
        scale: ``naive_step`` of the training part, over a step or over a season.
    """
    return _mean(np.abs(predicted - true) / scale)
