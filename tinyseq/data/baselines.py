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
    # Only n-grams that occur are kept: a table of all of them would not fit for words.
    contexts, grams = _grams(train, order, vocabulary_size)
    known, counts = np.unique(grams, return_counts=True)
    totals = np.bincount(contexts, minlength=vocabulary_size)

    def bits(alpha: float, stream: Ids) -> float:
        contexts, grams = _grams(stream, order, vocabulary_size)
        place = np.minimum(np.searchsorted(known, grams), len(known) - 1)
        count = np.where(known[place] == grams, counts[place], 0)
        return float(-np.log2((count + alpha) / (totals[contexts] + alpha * vocabulary_size)).mean())

    alpha = min(alphas, key=lambda candidate: bits(candidate, valid))
    return alpha, [bits(alpha, stream) for stream in tests]


def _grams(stream: Ids, order: int, vocabulary_size: int) -> tuple[Ids, Ids]:
    """Return the context, and context and token as one number, for every token but the first."""
    contexts = stream[:-1] if order > 1 else np.zeros(len(stream) - 1, np.int64)
    return contexts, contexts * vocabulary_size + stream[1:]
