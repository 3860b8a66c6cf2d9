"""Initial values, drawn on the host from the generator that ``ts.seed`` sets, so that every backend starts alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinyseq.random import generator

Array = np.ndarray[Any, Any]


def zeros(*shape: int) -> Array:
    """Return zeros."""
    return np.zeros(shape)


def uniform(*shape: int, bound: float) -> Array:
    """Return draws uniform on [-bound, bound)."""
    return (2.0 * generator.uniform(shape) - 1.0) * bound


def normal(*shape: int, std: float) -> Array:
    """Return normal draws of mean 0."""
    return generator.normal(shape) * std


def glorot(fan_in: int, fan_out: int) -> Array:
    """Return (fan_in, fan_out) draws uniform within sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, eq. 16)."""
    return uniform(fan_in, fan_out, bound=math.sqrt(6.0 / max(fan_in + fan_out, 1)))


def he(fan_in: int, fan_out: int) -> Array:
    """Return (fan_in, fan_out) normal draws with variance 2 / fan_in (He et al. 2015, eq. 10)."""
    return normal(fan_in, fan_out, std=math.sqrt(2.0 / max(fan_in, 1)))


def orthogonal(rows: int, columns: int, gain: float = 1.0) -> Array:
    """Return a matrix with orthonormal rows or columns (Saxe et al. 2014), scaled by ``gain``."""
    q, r = np.linalg.qr(generator.normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diagonal(r))  # without the signs the draw would not be uniform over rotations
    return gain * (q if rows >= columns else q.T)


def recurrent(hidden_size: int, input_size: int) -> Array:
    """Return W for ``[h, x] @ W``: the rows of h orthogonal, the rows of x Glorot."""
    return np.concatenate([orthogonal(hidden_size, hidden_size), glorot(input_size, hidden_size)])
