"""The classic tasks, by their definitions: each sequence is decoded again by a plain loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinyseq.data import classic
from tinyseq.errors import DataError


@pytest.mark.parametrize("length", [2, 3, 10, 101])
def test_adding_sums_the_two_marked_numbers(length):
    inputs, targets = classic.adding_problem(200, length, 1)
    assert inputs.shape == (200, length, 2)
    assert inputs.dtype == targets.dtype == np.float32
    for row, target in zip(inputs, targets, strict=True):
        marked = [t for t in range(length) if row[t, 1] == 1.0]
        assert len(marked) == 2
        assert marked[0] < length // 2 <= marked[1]
        assert set(row[:, 1]) <= {0.0, 1.0}
        assert target == pytest.approx(float(row[marked[0], 0]) + float(row[marked[1], 0]), abs=1e-6)
    assert inputs[:, :, 0].min() >= 0.0
    assert inputs[:, :, 0].max() <= 1.0


def test_adding_baseline_and_places():
    inputs, targets = classic.adding_problem(40_000, 10, 2)
    assert targets.mean() == pytest.approx(1.0, abs=0.01)
    assert targets.var() == pytest.approx(1 / 6, abs=0.004)  # two uniform numbers: 2 / 12
    assert inputs[:, :, 1].mean(0) == pytest.approx(np.full(10, 0.2), abs=0.02)  # every step is marked as often


@pytest.mark.parametrize(("delay", "symbols", "alphabet"), [(1, 10, 8), (7, 10, 8), (30, 3, 2)])
def test_copy_memory(delay, symbols, alphabet):
    inputs, targets = classic.copy_memory(50, delay, 3, symbols=symbols, alphabet=alphabet)
    assert inputs.shape == targets.shape == (50, delay + 2 * symbols)
    blank, go = alphabet, alphabet + 1
    for row, target in zip(inputs.tolist(), targets.tolist(), strict=True):
        word = row[:symbols]
        assert all(0 <= letter < alphabet for letter in word)
        assert row == word + [blank] * (delay - 1) + [go] + [blank] * symbols
        assert target == [blank] * (symbols + delay) + word
    assert set(np.unique(inputs[:, :symbols])) == set(range(alphabet))


def test_copy_baseline_is_that_of_the_paper_and_of_the_best_memoryless_answer():
    assert classic.copy_baseline(100) == pytest.approx(10 * math.log(8) / 120)
    _, targets = classic.copy_memory(2000, 20, 0)
    # By step, the best answer without memory is the frequency of each token there.
    losses = []
    for t in range(targets.shape[1]):
        frequency = np.bincount(targets[:, t], minlength=10) / 2000
        losses.append(-sum(f * math.log(f) for f in frequency if f > 0))
    assert classic.copy_baseline(20) == pytest.approx(np.mean(losses), rel=0.01)


@pytest.mark.parametrize("lengths", [(30, 40), (100, 110), (12, 12)])
def test_temporal_order(lengths):
    inputs, sizes, labels = classic.temporal_order(500, 4, lengths=lengths)
    assert inputs.shape == (500, lengths[1])
    least = lengths[0]
    seen = set()
    for row, size, label in zip(inputs, sizes, labels, strict=True):
        word = "".join(classic.ORDER_SYMBOLS[i] for i in row)
        assert lengths[0] <= size <= lengths[1]
        assert word[0] == "E"
        assert set(word[size - 1 :]) == {"B"}
        assert set(word[1 : size - 1]) <= set("abcdXY")
        places = [t for t, symbol in enumerate(word) if symbol in "XY"]
        assert len(places) == 2
        assert least // 10 <= places[0] <= least // 5
        assert least // 2 <= places[1] <= 3 * least // 5
        assert classic.ORDER_CLASSES[label] == word[places[0]] + word[places[1]]
        seen.add((int(label), int(size)))
    assert {label for label, _ in seen} == {0, 1, 2, 3}
    assert {size for _, size in seen} == set(range(lengths[0], lengths[1] + 1))


def test_temporal_order_places_are_those_of_the_paper():
    inputs, _, _ = classic.temporal_order(2000, 0, lengths=(100, 110))
    places = np.argwhere(inputs >= 6)[:, 1].reshape(-1, 2)
    assert (places.min(0) == [10, 50]).all()
    assert (places.max(0) == [20, 60]).all()


@pytest.mark.parametrize("n", [1, 2, 3, 17])
def test_anbncn_sets_are_those_of_the_language(n):
    symbols, follows = classic.anbncn(n)
    assert "".join(classic.ABC_SYMBOLS[i] for i in symbols) == "S" + "a" * n + "b" * n + "c" * n
    language = ["S" + "a" * k + "b" * k + "c" * k + "T" for k in range(1, n + 3)]
    for t in range(len(symbols)):
        prefix = "".join(classic.ABC_SYMBOLS[i] for i in symbols[: t + 1])
        allowed = {word[t + 1] for word in language if word.startswith(prefix) and len(word) > t + 1}
        assert {classic.ABC_SYMBOLS[i] for i in np.flatnonzero(follows[t])} == allowed


def test_anbncn_batch_pads():
    inputs, follows, lengths = classic.anbncn_batch([3, 1])
    assert inputs.shape == (2, 10)
    assert follows.shape == (2, 10, 5)
    assert lengths.tolist() == [10, 4]
    assert (inputs[1, 4:] == 4).all()
    assert not follows[1, 4:].any()
    for row, n in enumerate([3, 1]):
        symbols, sets = classic.anbncn(n)
        assert (inputs[row, : len(symbols)] == symbols).all()
        assert (follows[row, : len(symbols)] == sets).all()


MAKERS = [
    lambda seed: classic.adding_problem(5, 8, seed),
    lambda seed: classic.copy_memory(5, 8, seed),
    lambda seed: classic.temporal_order(5, seed),
]


@pytest.mark.parametrize("make", MAKERS)
def test_the_seed_decides(make):
    for a, b in zip(make(5), make(5), strict=True):
        assert (a == b).all()
    assert any((a != b).any() for a, b in zip(make(5), make(6), strict=True))
    rng = np.random.default_rng(5)
    first, second = make(rng), make(rng)
    assert all((a == b).all() for a, b in zip(first, make(5), strict=True))
    assert any((a != b).any() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: classic.adding_problem(1, 1, 0), "length"),
        (lambda: classic.copy_memory(1, 0, 0), "delay"),
        (lambda: classic.copy_memory(1, 5, 0, symbols=0), "symbols"),
        (lambda: classic.copy_memory(1, 5, 0, alphabet=0), "alphabet"),
        (lambda: classic.temporal_order(1, 0, lengths=(40, 30)), r"\(40, 30\)"),
        (lambda: classic.temporal_order(1, 0, lengths=(5, 30)), "least"),
        (lambda: classic.anbncn(0), "at least 1"),
    ],
)
def test_impossible_sizes(call, words):
    with pytest.raises(DataError, match=words):
        call()
