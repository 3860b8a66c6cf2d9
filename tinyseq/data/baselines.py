"""What counting alone reaches: unigram and bigram models, in bits a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Ids = np.ndarray[Any, Any]
#: So many tokens are counted at once.
_PART = 1 << 22
#: So many n-grams, where no more are possible, have a place each.
_TABLE = 1 << 20
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
    known, counts = _counted(train, order, vocabulary_size)
    totals = np.bincount(known // vocabulary_size, counts, vocabulary_size)  # of contexts

    def bits(alpha: float, grams: Ids, times: Ids) -> float:
        place = np.minimum(np.searchsorted(known, grams), len(known) - 1)
        count = np.where(known[place] == grams, counts[place], 0)
        share = (count + alpha) / (totals[grams // vocabulary_size] + alpha * vocabulary_size)
        return float(-(np.log2(share) * times).sum() / times.sum())

    chosen_by = _counted(valid, order, vocabulary_size)
    alpha = min(alphas, key=lambda candidate: bits(candidate, *chosen_by))
    return alpha, [bits(alpha, *_counted(stream, order, vocabulary_size)) for stream in tests]


def _counted(stream: Ids, order: int, vocabulary_size: int) -> tuple[Ids, Ids]:
    """Return the n-grams at every token but the first, each as one number, context first, and how often each is there.

    A long stream is counted part by part: its numbers may be bytes, and n-grams of them are eight times as large.
    """
    parts = (_grams(stream, start, order, vocabulary_size) for start in range(1, len(stream), _PART))
    if (possible := vocabulary_size**order) <= _TABLE:
        table = sum((np.bincount(grams, minlength=possible) for grams in parts), np.zeros(possible, np.int64))
        there = np.flatnonzero(table)
        return there, table[there]
    known = counts = np.zeros(0, np.int64)
    for grams in parts:
        found, times = np.unique(grams, return_counts=True)
        known, where = np.unique(np.concatenate([known, found]), return_inverse=True)
        counts = np.bincount(where, np.concatenate([counts, times]), len(known)).astype(np.int64)
    return known, counts


def _grams(stream: Ids, start: int, order: int, vocabulary_size: int) -> Ids:
    """Return the n-grams that end in one part of a stream."""
    grams = stream[start : start + _PART].astype(np.int64)
    if order > 1:
        grams += stream[start - 1 : start - 1 + len(grams)].astype(np.int64) * vocabulary_size
    return grams
