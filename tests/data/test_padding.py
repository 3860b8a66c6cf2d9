"""Padding and bucketing: nothing is lost, nothing comes twice."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinyseq.data.padding import by_length, pad, shuffled

SIZES = st.lists(st.integers(0, 30), min_size=1, max_size=60)


@given(SIZES, st.integers(1, 9))
def test_pad_keeps_every_sequence(sizes, multiple):
    sequences = [np.arange(1, size + 1) for size in sizes]
    padded, lengths = pad(sequences, fill=-1, multiple=multiple)
    assert lengths.tolist() == sizes
    assert padded.shape[1] % multiple == 0
    assert padded.shape[1] >= 1
    for row, sequence in zip(padded, sequences, strict=True):
        assert row[: len(sequence)].tolist() == sequence.tolist()
        assert (row[len(sequence) :] == -1).all()


def test_pad_keeps_features_and_dtype():
    padded, _ = pad([np.ones((2, 3), np.float32), np.zeros((0, 3), np.float32)])
    assert (padded.shape, padded.dtype, padded.sum()) == ((2, 2, 3), np.float32, 6.0)


@given(SIZES, st.integers(1, 9))
def test_by_length_takes_each_once_in_order_of_length(sizes, batch_size):
    batches = by_length(sizes, batch_size)
    order = [int(i) for batch in batches for i in batch]
    assert sorted(order) == list(range(len(sizes)))
    assert [sizes[i] for i in order] == sorted(sizes)
    assert all(len(batch) == batch_size for batch in batches[:-1])


@given(SIZES, st.integers(1, 9))
def test_shuffled_takes_each_once_an_epoch(sizes, batch_size):
    batches = shuffled(sizes, batch_size, np.random.default_rng(0))
    for _ in range(2):
        seen: list[int] = []
        while len(seen) < len(sizes):
            seen += [int(i) for i in next(batches)]
        assert sorted(seen) == list(range(len(sizes)))


def test_shuffled_is_random_and_repeatable():
    def first(seed):
        return [batch.tolist() for batch in itertools.islice(shuffled([5] * 40, 4, np.random.default_rng(seed)), 10)]

    assert first(0) == first(0) != first(1)


def test_long_sequences_have_few_shapes_and_little_padding():
    shapes = {n: pad([np.zeros(n)], multiple=8)[0].shape[1] for n in range(1, 257)}
    assert sorted(set(shapes.values())) == [8, 16, 24, 32, 48, 64, 96, 128, 192, 256]
    assert all(n <= shape < max(n * 1.5, n + 8) for n, shape in shapes.items())
    assert pad([np.zeros(33)])[0].shape[1] == 33
