"""Batches of sequences of unequal length: padding, and putting similar lengths together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
#: How many batches are drawn at once, to be sorted by length: large wastes little padding, small mixes better.
POOL = 32
#: What time is rounded up to a multiple of where a model is compiled for each shape.
MULTIPLE = 8


def pad(sequences: Sequence[Any], fill: Any = 0, multiple: int = 1) -> tuple[Array, Array]:
    """Return (batch, time, ...), each sequence filled up at its end, and the lengths.

    Args:
        sequences: at least one array (time, ...); they agree in all but time.
        fill: what stands past the end.
        multiple: time is rounded up to a multiple of this (and is at least this), and long times by less than half, to
            8, 16, 24, 32, 48, 64, 96, 128, ... for 8: each shape that occurs is compiled for itself.
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    lengths = np.array([len(array) for array in arrays], np.int64)
    units = -(-max(int(lengths.max()), 1) // multiple)
    step = 1 if multiple == 1 else 1 << max((units - 1).bit_length() - 2, 0)
    time = -(-units // step) * step * multiple
    first = arrays[int(lengths.argmax())]
    padded = np.full((len(arrays), time, *first.shape[1:]), fill, first.dtype)
    for row, array in enumerate(arrays):
        padded[row, : len(array)] = array
    return padded, lengths


def by_length(lengths: Sequence[int] | Array, batch_size: int) -> list[Array]:
    """Return the numbers of all sequences in batches of similar length: every one once, none left out."""
    order = np.argsort(np.asarray(lengths), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def shuffled(lengths: Sequence[int] | Array, batch_size: int, rng: np.random.Generator) -> Iterator[Array]:
    """Yield numbers of sequences in batches for ever: every one once an epoch, in random order, by similar length.

    An epoch is shuffled, cut into pools of ``POOL`` batches, and each pool sorted by length; its batches come in random
    order. The last batch of an epoch may be smaller.
    """
    sizes = np.asarray(lengths)
    while True:
        order = rng.permutation(len(sizes))
        for start in range(0, len(order), batch_size * POOL):
            pool = order[start : start + batch_size * POOL]
            pool = pool[np.argsort(sizes[pool], kind="stable")]
            batches = [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
            for i in rng.permutation(len(batches)):
                yield batches[i]
