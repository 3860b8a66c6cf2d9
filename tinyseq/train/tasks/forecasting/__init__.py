"""Forecasting, a file a role: what is known of series, what is forecast, how it is shown, how it is learned."""

from tinyseq.train.tasks.forecasting.config import ForecastingConfig
from tinyseq.train.tasks.forecasting.task import Forecasting

__all__ = ["Forecasting", "ForecastingConfig"]
