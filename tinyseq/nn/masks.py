"""Masks: True where something counts, or may be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyseq import backends
from tinyseq.creation import arange, tensor
from tinyseq.errors import ShapeError
from tinyseq.ops.elementwise import where, within
from tinyseq.ops.reduce import softmax
from tinyseq.ops.shape import reshape
from tinyseq.tensors import Tensor

#: Stands for minus infinity among scores: its exponential is 0 beside any other score, and a row of nothing else
#: gives no NaN.
FAR_BELOW = -1e30


def length_mask(lengths: Tensor | Sequence[int], time: int) -> Tensor:
    """Return (batch, time), True at the first ``lengths[b]`` steps of row b.

    Raises:
        ShapeError: not one integer a row.
        DataError: a length below 0 or over ``time``.
    """
    counts = lengths if isinstance(lengths, Tensor) else tensor(np.asarray(lengths))
    if len(counts.shape) != 1 or counts.dtype.kind not in "iu":
        raise ShapeError("lengths", required="integers (batch,)", got=f"{counts.dtype}{counts.shape}")
    counts = within(counts, 0, time, what="a length is out of range", required=f"0 to {time}", rows=True)
    return arange(time) < reshape(counts, (-1, 1))


def causal_mask(time: int) -> Tensor:
    """Return (time, time), True where column j <= row i: a position sees itself and what came before."""
    steps = backends.current().xp.arange(time)
    return Tensor(steps <= steps[:, None])


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax over the last axis of the scores that ``mask`` lets through; rows without any give 0, not NaN."""
    if mask is None:
        return softmax(scores, -1)
    weights: Tensor = where(mask, softmax(where(mask, scores, FAR_BELOW), -1), 0.0)
    return weights


def align(mask: Any, x: Tensor) -> Tensor:
    """Give a mask over the leading axes of x, such as (batch, time), the axes that it lacks.

    Raises:
        ShapeError: its extents are not those of x.
    """
    if tuple(mask.shape) != x.shape[: len(mask.shape)]:
        raise ShapeError("a mask does not fit", required=f"leading axes of {x.shape}", got=str(tuple(mask.shape)))
    return reshape(mask, (*mask.shape, *(1,) * (len(x.shape) - len(mask.shape))))
