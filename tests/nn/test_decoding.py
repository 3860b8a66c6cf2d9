"""Greedy and beam search on hand-made models: a model is a table of log p by what was written."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.errors import DataError
from tinyseq.nn.decoding import Hypothesis, beam, choose, greedy, largest, log_softmax, select

END, A, B = 0, 1, 2


def trellis(table):
    """A model that remembers all it wrote: the state is a row of tokens, the table is read at that row."""

    def step(tokens, state):
        written = [(*row[row >= 0].tolist(), int(t)) for row, t in zip(state, tokens, strict=True)]
        new = np.concatenate([state, tokens[:, None]], axis=1)
        with np.errstate(divide="ignore"):
            return np.log(np.array([table(w[1:]) for w in written])), new  # the first token is the start

    return step


def first(rows):
    return np.full((rows, 1), -1)


def treacherous(written):
    """`a` looks better at first, but all that follows it is worse than what follows `b`."""
    return {
        (): [0.0, 0.6, 0.4],
        (A,): [0.4, 0.3, 0.3],
        (B,): [0.95, 0.03, 0.02],
    }.get(written, [0.5, 0.25, 0.25])


def test_beam_finds_what_greedy_misses():
    (one,) = greedy(trellis(treacherous), first(1), 1, start=END, end=END, limit=5)
    assert one.tokens == [A]
    assert one.log_p == pytest.approx(np.log(0.6 * 0.4))
    (found,) = beam(trellis(treacherous), first(2), 1, width=2, start=END, end=END, limit=5, length_power=0.0)
    assert found[0].tokens == [B]
    assert found[0].log_p == pytest.approx(np.log(0.4 * 0.95))


def random_table(seed, vocabulary):
    def table(written):
        rng = np.random.default_rng([seed, *written])
        p = rng.random(vocabulary) ** 3
        return p / p.sum()

    return table


@pytest.mark.parametrize("seed", range(6))
def test_beam_of_width_one_is_greedy(seed):
    step = trellis(random_table(seed, 4))
    several = greedy(step, first(3), 3, start=END, end=END, limit=6)
    beams = beam(step, first(3), 3, width=1, start=END, end=END, limit=6)
    for one, (other,) in zip(several, beams, strict=True):
        assert (one.tokens, one.ended) == (other.tokens, other.ended)
        assert one.log_p == pytest.approx(other.log_p)


@pytest.mark.parametrize("power", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_beam_wide_enough_is_exhaustive(seed, power):
    vocabulary, limit = 3, 4
    table = random_table(seed, vocabulary)
    every = []
    for length in range(limit):  # and the end
        for tokens in itertools.product([A, B], repeat=length):
            p = [table(tokens[:i])[t] for i, t in enumerate((*tokens, END))]
            every.append(Hypothesis(list(tokens), float(np.log(p).sum()), True))
    best = max(every, key=lambda h: h.score(power))
    width = 40
    step = trellis(table)
    (found,) = beam(step, first(width), 1, width=width, start=END, end=END, limit=limit, length_power=power)
    assert found[0].tokens == best.tokens
    assert found[0].log_p == pytest.approx(best.log_p)
    scores = {tuple(h.tokens): h.log_p for h in found if h.ended}
    assert scores == pytest.approx({tuple(h.tokens): h.log_p for h in every})


def test_length_power_makes_up_for_length():
    def table(written):
        return [0.4, 0.6, 0.0] if not written else [0.9, 0.05, 0.05]

    options = {"width": 3, "start": END, "end": END, "limit": 4}
    short = beam(trellis(table), first(3), 1, length_power=0.0, **options)[0][0]
    # log p: the end at once log 0.4 = -0.92; `a` and the end log 0.54 = -0.62, over 2 tokens -0.31.
    assert short.tokens == [A]
    scores = {tuple(h.tokens): h.score(1.0) for h in beam(trellis(table), first(3), 1, **options)[0] if h.ended}
    assert scores[(A,)] == pytest.approx(np.log(0.54) / 2)
    assert scores[()] == pytest.approx(np.log(0.4))


def test_items_do_not_touch_one_another():
    tables = [random_table(seed, 4) for seed in range(3)]

    def step(tokens, state):
        log_p = np.zeros((len(tokens), 4))
        for item, table in enumerate(tables):
            part = slice(item * 3, item * 3 + 3)
            log_p[part] = trellis(table)(tokens[part], state[part])[0]
        return log_p, np.concatenate([state, tokens[:, None]], axis=1)

    together = beam(step, first(9), 3, width=3, start=END, end=END, limit=5)
    for table, found in zip(tables, together, strict=True):
        (alone,) = beam(trellis(table), first(3), 1, width=3, start=END, end=END, limit=5)
        assert [h.tokens for h in found] == [h.tokens for h in alone]


def test_what_never_ends_is_cut_and_comes_last():
    (one,) = greedy(trellis(lambda w: [0.0, 1.0, 0.0]), first(1), 1, start=END, end=END, limit=4)
    assert one == Hypothesis([A] * 4, 0.0, False)
    table = lambda w: [0.1, 0.9, 0.0]  # noqa: E731
    (found,) = beam(trellis(table), first(2), 1, width=2, start=END, end=END, limit=3)
    assert found[0].ended
    assert not found[-1].ended


def test_select_and_log_softmax():
    state = {"h": ts.tensor([[1.0], [2.0]]), "n": np.array([3, 4]), "none": None}
    chosen = select(state, np.array([1, 1, 0]))
    assert chosen["h"].numpy().ravel().tolist() == [2.0, 2.0, 1.0]
    assert chosen["n"].tolist() == [4, 4, 3]
    found = log_softmax(np.array([[1.0, 2.0, 800.0]]), forbidden=2)
    np.testing.assert_allclose(np.exp(found), [[1 / (1 + np.e), np.e / (1 + np.e), 0.0]])


def test_limits_are_checked():
    with pytest.raises(DataError, match="limit"):
        greedy(trellis(treacherous), first(1), 1, start=END, end=END, limit=0)
    with pytest.raises(DataError, match="width"):
        beam(trellis(treacherous), first(1), 1, width=0, start=END, end=END, limit=2)


def test_a_choice_follows_the_tempered_distribution():
    logits = ts.tensor(np.log(np.tile([0.1, 0.6, 0.3], (1000, 1))))
    draws = ts.tensor((np.arange(1000) + 0.5) / 1000)

    def shares(*how):
        return np.bincount(choose(logits, draws, *how).numpy(), minlength=3) / 1000

    np.testing.assert_allclose(shares(1.0), [0.1, 0.6, 0.3], atol=0.002)
    np.testing.assert_allclose(shares(0.5), np.array([0.01, 0.36, 0.09]) / 0.46, atol=0.002)
    np.testing.assert_allclose(shares(1.0, 2), [0.0, 2 / 3, 1 / 3], atol=0.002)
    np.testing.assert_array_equal(shares(None), [0.0, 1.0, 0.0])


def test_no_draw_falls_behind_the_last_class_that_has_a_share():
    logits = ts.tensor([[0.0, 1.0, -np.inf, -np.inf]])
    assert choose(logits, ts.tensor([np.nextafter(1.0, 0.0)]), 1e-3).numpy() == [1]
    assert choose(logits, ts.tensor([0.0]), 1.0).numpy() == [0]
    assert choose(ts.zeros(1, 2), ts.tensor([0.5]), 1.0).numpy() == [1]  # a class's share ends before its bound


@pytest.mark.parametrize("classes", [6, 40, 513])
def test_the_largest_are_those_not_below_the_last_of_them(classes):
    """As by sorting; whole numbers, so that many are alike, and some out of the question."""
    logits = np.random.default_rng(0).integers(0, 9, (5, classes)).astype(np.float32)
    logits[:, 1] = -np.inf
    for count in (1, 2, 5, classes - 1, classes, classes + 1):
        bound = np.sort(logits, -1)[:, -min(count, classes), None]
        np.testing.assert_array_equal(
            largest(ts.tensor(logits), count).numpy(),
            np.where(logits < bound, -np.inf, logits),
        )
