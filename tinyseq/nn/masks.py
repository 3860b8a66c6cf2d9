"""Masks: True where something counts, or may be looked at."""

from __future__ import annotations

from tinyseq import backends
from tinyseq.ops.elementwise import where
from tinyseq.ops.reduce import softmax
from tinyseq.tensors import Tensor

#: Stands for minus infinity among scores: its exponential is 0 beside any other score, and a row of nothing else
#: gives no NaN.
FAR_BELOW = -1e30


def causal_mask(time: int) -> Tensor:
    """Return (time, time), True where column j <= row i: a position sees itself and what came before.

    As ``torch.nn.Transformer.generate_square_subsequent_mask``, where True is what is seen.

    >>> nn.causal_mask(3).cast(ts.int64)
    tensor([[1, 0, 0],
            [1, 1, 0],
            [1, 1, 1]])
    """
    steps = backends.current().xp.arange(time)
    return Tensor(steps <= steps[:, None])


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax over the last axis of the scores that ``mask`` lets through; rows without any give 0, not NaN."""
    if mask is None:
        return softmax(scores, -1)
    weights: Tensor = where(mask, softmax(where(mask, scores, FAR_BELOW), -1), 0.0)
    return weights
