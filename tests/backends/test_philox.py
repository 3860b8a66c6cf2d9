"""Random numbers: Philox4x32-10 against published answers, and the layout of the counter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyseq as ts
from support import reference
from tinyseq.backends.philox import philox4x32, random_bits, random_uniform
from tinyseq.graph import at_step
from tinyseq.ops.draws import uniform
from tinyseq.random import Generator

ONES = 0xFFFFFFFF

#: Random123's kat_vectors (Salmon et al. 2011): counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_random123s_known_answers(counter: tuple, key: tuple, words: tuple) -> None:
    assert tuple(int(word) for word in philox4x32(np, counter, key)) == words
    assert reference.philox4x32_10(counter, key) == words


def test_known_answers_as_arrays() -> None:
    counters = tuple(np.array([counter[i] for counter, key, _ in KNOWN if key == (0, 0)]) for i in range(4))
    (words,) = np.stack(philox4x32(np, counters, (0, 0)), axis=-1)
    assert tuple(int(word) for word in words) == KNOWN[0][2]


U32 = st.integers(0, ONES)


@given(st.tuples(U32, U32, U32, U32), st.tuples(U32, U32))
def test_arrays_agree_with_pythons_integers(counter: tuple, key: tuple) -> None:
    assert tuple(int(word) for word in philox4x32(np, counter, key)) == reference.philox4x32_10(counter, key)


@given(st.integers(0, 2**64 - 1), U32, U32, U32, st.lists(st.integers(0, 4), max_size=3).map(tuple))
def test_the_counters_layout(seed: int, site: int, call: int, step: int, shape: tuple[int, ...]) -> None:
    """Block of four elements, step, call, site; the seed is the key: as the module's docstring says."""
    drawn = random_uniform(np, shape, np.float64, seed, site, call, step)
    np.testing.assert_array_equal(drawn, reference.uniform(shape, seed, site, call, step))


def test_the_first_word_is_the_known_answer() -> None:
    assert random_bits(np, (5,), 0, 0, 0, 0)[:4].tolist() == list(KNOWN[0][2])


def test_a_draw_is_a_prefix_of_a_longer_one() -> None:
    long = random_bits(np, (1000,), 3, 1, 4, 1)
    for n in (0, 1, 3, 4, 5, 999):
        np.testing.assert_array_equal(random_bits(np, (n,), 3, 1, 4, 1), long[:n])
    np.testing.assert_array_equal(random_bits(np, (10, 100), 3, 1, 4, 1), long.reshape(10, 100))


def test_every_part_of_the_counter_matters() -> None:
    base = {"seed": 1, "site": 2, "call": 3, "step": 4}
    drawn = [random_bits(np, (64,), **base)]
    for name in base:
        drawn += [random_bits(np, (64,), **{**base, name: base[name] + change}) for change in (1, 1 << 20)]
    drawn.append(random_bits(np, (64,), **{**base, "seed": 1 + (1 << 40)}))
    for i, a in enumerate(drawn):
        for b in drawn[i + 1 :]:
            assert np.mean(a == b) < 0.05


def test_float32_and_float64_draws_are_equal() -> None:
    narrow = random_uniform(np, (10_000,), np.float32, 9, 0, 1, 0)
    wide = random_uniform(np, (10_000,), np.float64, 9, 0, 1, 0)
    assert (narrow.dtype, wide.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(narrow.astype(np.float64), wide)


def test_draws_are_uniform() -> None:
    n, bins = 400_000, 64
    x = random_uniform(np, (n,), np.float64, 11, 0, 1, 0)
    assert x.min() >= 0.0
    assert x.max() < 1.0
    assert abs(x.mean() - 0.5) < 4 * math.sqrt(1 / 12 / n)
    counts = np.bincount((x * bins).astype(int), minlength=bins)
    chi2 = ((counts - n / bins) ** 2 / (n / bins)).sum()
    assert abs(chi2 - (bins - 1)) < 5 * math.sqrt(2 * (bins - 1))
    for lag in (1, 2, 3, 4, 5):
        assert abs(np.corrcoef(x[:-lag], x[lag:])[0, 1]) < 4 / math.sqrt(n)


def test_every_bit_of_a_word_is_fair() -> None:
    words = random_bits(np, (100_000,), 5, 6, 7, 8)
    for bit in range(32):
        share = float(((words >> np.uint32(bit)) & np.uint32(1)).mean())
        assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(len(words))


def test_steps_are_independent() -> None:
    a, b = (random_uniform(np, (100_000,), np.float64, 5, 6, 7, step) for step in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(100_000)


# -- all steps at once -------------------------------------------------------------------------------------------------


def test_drawing_all_steps_at_once_agrees_with_a_draw_a_step() -> None:
    """The counter holds the step in a word of its own, so one call over (block, step) is what the loop draws."""
    steps, size, key = 7, 10, (12345, 0)
    blocks = np.arange((size + 3) // 4, dtype=np.uint64)
    words = philox4x32(np, (blocks, np.arange(steps, dtype=np.uint64)[:, None], 3, 2), key)
    at_once = np.stack([np.broadcast_to(w, (steps, len(blocks))) for w in words], -1).reshape(steps, -1)[:, :size]
    for step in range(steps):
        np.testing.assert_array_equal(random_bits(np, (size,), 12345, 2, 3, step), at_once[step].astype(np.uint32))


# -- the generator -----------------------------------------------------------------------------------------------------


def test_a_generator_goes_on_from_its_state() -> None:
    g = Generator(4)
    g.uniform((3,))
    state = g.state()
    a = g.normal((5,))
    g.restore(state)
    np.testing.assert_array_equal(g.normal((5,)), a)
    other = Generator(99)
    other.restore(state)
    np.testing.assert_array_equal(other.normal((5,)), a)


def test_calls_and_sites_differ() -> None:
    g = Generator(4)
    assert not np.array_equal(g.uniform((8,)), g.uniform((8,)))
    assert g.new_site() != g.new_site()
    assert g.key(1) != g.key(1)
    with at_step(3):
        first, second = g.key(1), g.key(1)
    assert first["step"] == second["step"] == 3
    assert first["call"] == second["call"]
    assert first["site"] != second["site"]  # two draws in one step


def test_a_permutation_is_one() -> None:
    g = Generator(4)
    order = g.permutation(1000)
    assert sorted(order.tolist()) == list(range(1000))
    assert order.tolist() != list(range(1000))
    assert g.permutation(0).tolist() == []


# -- dropout -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropouts_statistics(p: float) -> None:
    n = 200_000
    y = ts.dropout(ts.ones(n, dtype=ts.float64), p, seed=3).numpy()
    kept = y != 0
    assert abs(kept.mean() - (1 - p)) < 4 * math.sqrt(p * (1 - p) / n)
    np.testing.assert_allclose(y[kept], 1 / (1 - p), rtol=1e-15)
    assert abs(y.mean() - 1.0) < 4 * math.sqrt(p / (1 - p) / n)


def test_dropout_masks_differ_by_step_call_and_site_and_are_the_same_for_the_same() -> None:
    x = ts.ones(256)
    base = {"seed": 1, "site": 2, "call": 3, "step": 4}
    mask = ts.dropout(x, 0.5, **base).numpy() != 0
    np.testing.assert_array_equal(ts.dropout(x, 0.5, **base).numpy() != 0, mask)
    for name in base:
        other = ts.dropout(x, 0.5, **{**base, name: base[name] + 1}).numpy() != 0
        assert 0.3 < np.mean(other == mask) < 0.7


def test_dropout_layers_draw_anew_each_step_and_each_call() -> None:
    ts.seed(0)
    layer = ts.nn.Dropout(0.5)

    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        return layer(x), h

    xs = ts.ones(1, 3, 256)
    first, second = (ts.unroll(step, xs, ts.zeros(1, 1))[0].numpy()[0] != 0 for _ in range(2))
    masks = [*first, *second]
    for i, a in enumerate(masks):
        for b in masks[i + 1 :]:
            assert 0.3 < np.mean(a == b) < 0.7


def test_a_dropped_element_has_no_gradient_and_a_kept_one_is_scaled() -> None:
    x = ts.ones(100, requires_grad=True)
    y = ts.dropout(x, 0.75, seed=8)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_the_uniform_op_takes_its_call_as_an_input() -> None:
    """So that a compiled function draws anew each time: the call is a tensor, not a constant of the graph."""
    options = {"shape": (4,), "dtype": ts.float32, "seed": 1, "site": 0}
    graph = ts.trace(lambda call, step: uniform(call, step, **options), ts.tensor(5), ts.tensor(0))
    assert [node.name for node in graph.verify().inputs] == ["call", "step"]
    a, b, c = (uniform(ts.tensor(call), step, **options).numpy() for call, step in ((5, 0), (6, 0), (5, 1)))
    assert not np.array_equal(a, b)
    assert not np.array_equal(a, c)
