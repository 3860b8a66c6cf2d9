"""Forecasts: what any model has to beat, and how far off one is.

A forecast is made at an origin t, when values up to t are known, of the ``horizon`` values that follow. Arrays of
forecasts have the shape (origins, horizon, columns).
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


def rmse(predicted: Array, true: Array) -> float:
    """Root mean squared error."""
    return math.sqrt(float(np.mean((predicted - true) ** 2)))


def mae(predicted: Array, true: Array) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(predicted - true)))


def nrmse(predicted: Array, true: Array, variance: Array | float | None = None) -> float:
    """Root mean squared error over the standard deviation: 1 for a forecast of the mean (Jaeger and Haas 2004).

    Args:
        predicted, true: (..., columns).
        variance: of each column; by default that of ``true``. Columns are averaged after the division.
    """
    axes = tuple(range(true.ndim - 1))
    spread = np.var(true, axis=axes) if variance is None else variance
    return math.sqrt(float(np.mean(np.mean((predicted - true) ** 2, axis=axes) / spread)))


def naive_step(values: Array) -> Array:
    """Return the mean absolute step of each column: the in-sample error of the naive forecast, MASE's unit.

    Raises:
        DataError: a column that never changes.
    """
    scale: Array = np.abs(np.diff(values, axis=0)).mean(0)
    if not (scale > 0.0).all():
        raise DataError("a series that never changes", required="values that change in the training part")
    return scale


def mase(predicted: Array, true: Array, scale: Array) -> float:
    """Mean absolute scaled error (Hyndman and Koehler 2006): below 1 is better than the naive forecast in training.

    Args:
        predicted, true: (..., columns).
        scale: ``naive_step`` of the training part.
    """
    return float(np.mean(np.abs(predicted - true) / scale))
