"""The forecaster: recurrent layers, and at each step a readout of what follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyseq import nn
from tinyseq.ops.shape import concat, expand_dims, reshape
from tinyseq.tensors import Tensor
from tinyseq.train.config.model_sections import RecurrentConfig


class ForecastNet(nn.Module):
    """Recurrent layers over the columns, and at each step a linear readout of the next ``horizon`` values."""

    def __init__(self, config: RecurrentConfig, columns: int, targets: Sequence[int], horizon: int, last: bool) -> None:
        self.targets, self.horizon, self.last = tuple(targets), horizon, last
        self.recurrent = config.build(columns)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.recurrent.output_size, horizon * len(self.targets))

    def forward(self, xs: Tensor, state: Any = None, *, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """Return forecasts (batch, time, horizon, targets) and the last state."""
        ys, state = self.recurrent(xs, state, lengths=lengths)
        forecast: Tensor = self.head(self.dropout(ys))
        forecast = reshape(forecast, (*xs.shape[:2], self.horizon, len(self.targets)))
        if self.last:
            forecast = forecast + expand_dims(concat([xs[:, :, i : i + 1] for i in self.targets], -1), 2)
        return forecast, state
