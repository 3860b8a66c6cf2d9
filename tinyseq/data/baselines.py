"""What counting alone reaches: unigram and bigram models, in bits a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Ids = np.ndarray[Any, np.dtype[np.int64]]
#: Additive smoothing constants that the validation part chooses from.
ALPHAS = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)


def ngram_bits(
    order: int, train: Ids, valid: Ids, tests: Sequence[Ids], vocabulary_size: int, alphas: Sequence[float] = ALPHAS
) -> tuple[float, list[float]]:
    """Return alpha, and the mean bits a token of an n-gram model on each test stream.

    p(w | context) = (count(context, w) + alpha) / (count(context) + alpha V), the counts from ``train``; alpha is the
    one of ``alphas`` with the fewest bits on ``valid``. Each stream is judged on every token but its first, the same
    positions as a model that reads it from the start.

    Args:
        order: 1 for a unigram model, 2 for a bigram model.
        train: the stream whose tokens are counted.
        valid: the stream that chooses alpha.
        tests: the streams to judge.
        vocabulary_size: V.
        alphas: the candidates.
    """
    counts = np.zeros((vocabulary_size,) * order)
    np.add.at(counts, _grams(train, order), 1.0)

    def bits(alpha: float, stream: Ids) -> float:
        totals = counts.sum(-1, keepdims=True) + alpha * vocabulary_size
        return float(-np.log2((counts + alpha) / totals)[_grams(stream, order)].mean())

    alpha = min(alphas, key=lambda candidate: bits(candidate, valid))
    return alpha, [bits(alpha, stream) for stream in tests]


def _grams(stream: Ids, order: int) -> tuple[Ids, ...]:
    """Return the index of (context, token) for every token but the first."""
    return (stream[1:],) if order == 1 else (stream[:-1], stream[1:])
