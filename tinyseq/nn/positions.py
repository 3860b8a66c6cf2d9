"""Positional encodings: attention itself does not know the order of a sequence."""

from __future__ import annotations

import numpy as np

from tinyseq.creation import tensor
from tinyseq.errors import ShapeError
from tinyseq.nn import init
from tinyseq.nn.layers import require_features
from tinyseq.nn.module import Module, parameter
from tinyseq.tensors import Tensor


def sinusoids(time: int, features: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return P (time, features), P[t, 2i] = sin(t / 10000^(2i / features)), P[t, 2i+1] = cos of the same.

    Vaswani et al. 2017, section 3.5.
    """
    i = np.arange(features) // 2
    angles = np.arange(time)[:, None] / 10000.0 ** (2.0 * i / max(features, 1))
    return np.where(np.arange(features) % 2 == 0, np.sin(angles), np.cos(angles))


class SinusoidalPositions(Module):
    """y_t = x_t + P_t, P fixed sines and cosines (Vaswani et al. 2017, sec. 3.5): (batch, time, features), any time.

    >>> nn.SinusoidalPositions(2)(ts.zeros(1, 2, 2))
    tensor([[[0.    , 1.    ],
             [0.8415, 0.5403]]])
    """

    def __init__(self, features: int) -> None:
        self.features = features

    def forward(self, x: Tensor, *, start: int = 0) -> Tensor:
        """Add the encodings of positions start, start + 1, ...; step by step, a decoder counts ``start`` up."""
        require_features("SinusoidalPositions", x, self.features)
        return x + tensor(sinusoids(start + x.shape[1], self.features)[start:], dtype=x.dtype)


class LearnedPositions(Module):
    """y_t = x_t + P_t, P (max_time, features) learned (Gehring et al. 2017, sec. 3.1).

    Raises:
        ShapeError: a sequence that goes beyond ``max_time``.

    >>> nn.LearnedPositions(10, 4).num_parameters()
    40
    """

    def __init__(self, max_time: int, features: int) -> None:
        self.max_time, self.features = max_time, features
        self.P = parameter(init.normal(max_time, features, std=0.02))

    def forward(self, x: Tensor, *, start: int = 0) -> Tensor:
        """Add the encodings of positions start, start + 1, ..."""
        require_features("LearnedPositions", x, self.features)
        end = start + x.shape[1]
        if not 0 <= start <= end <= self.max_time:
            raise ShapeError(
                "LearnedPositions: the sequence is too long",
                required=f"at most {self.max_time} positions",
                got=f"positions {start} to {end}",
                fix="a larger max_time, or SinusoidalPositions",
            )
        return x + self.P[start:end]
