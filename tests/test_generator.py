"""Random numbers: each thread has its own, and what one draws, counts or traces moves no other's."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import tinyseq as ts
from support.side_by_side import side_by_side, wait
from tinyseq import nn
from tinyseq.random import Generator, generator, seeded


def drawn(count=3):
    return [ts.rand(2).numpy().tolist() for _ in range(count)]


def test_a_thread_begins_with_the_main_threads_seed_and_has_drawn_nothing():
    ts.seed(5)
    first = drawn()
    (begun,), (found,) = side_by_side(generator.state), side_by_side(drawn)
    assert begun == Generator(5).state()
    assert found == first
    ts.seed(6)
    assert side_by_side(drawn) == [drawn()]


def test_what_a_thread_draws_seeds_and_numbers_moves_no_other():
    ts.seed(5)
    whole = drawn(4)
    ts.seed(5)
    first = drawn(2)

    def other():
        ts.seed(77)
        nn.Dropout(0.5)
        drawn(9)
        return generator.state()

    (state,) = side_by_side(other)
    assert state == {"seed": 77, "calls": 9, "sites": 1}
    assert first + drawn(2) == whole
    assert side_by_side(generator.state) == [Generator(5).state()], "only the main thread's seed is another's first"


def test_a_block_with_a_seed_of_its_own_leaves_what_follows_as_it_was():
    ts.seed(5)
    whole = drawn(4)
    ts.seed(5)
    first = drawn(2)

    def inner():
        with seeded(8):
            inside.extend(drawn(2))
            assert side_by_side(lambda: drawn(2)) == [inside], "a thread that begins inside has the block's seed"
            raise KeyError

    inside = []
    with pytest.raises(KeyError):
        inner()
    assert first + drawn(2) == whole
    ts.seed(8)
    assert inside == drawn(2)


def test_dropout_draws_while_another_thread_compiles():
    x = ts.ones(4, 8)
    layer = nn.Dropout(0.5)
    state = generator.state()
    alone = [layer(x).numpy() for _ in range(3)]
    traced, done = threading.Event(), threading.Event()

    def f(x):
        y = layer(x)
        traced.set()
        wait(done)
        return y + layer(x)

    def compiling():
        generator.restore(state)
        return [ts.compile(f)(x).numpy(), drawn(1)]

    def drawing():
        wait(traced)
        try:
            generator.restore(state)
            return [layer(x).numpy() for _ in range(3)]
        finally:
            done.set()

    (summed, following), found = side_by_side(compiling, drawing)
    np.testing.assert_array_equal(found, alone)
    np.testing.assert_array_equal(summed, alone[0] + alone[1])
    generator.restore({**state, "calls": state["calls"] + 2})
    assert following == drawn(1), "the call counted its own draws, and only these"


def test_a_function_compiled_in_one_thread_draws_from_the_thread_that_calls_it():
    layer, x = nn.Dropout(0.5), ts.ones(4, 8)
    fast = ts.compile(lambda x: layer(x))
    fast(x)

    def called(seed, f):
        ts.seed(seed)
        return [f(x).numpy() for _ in range(3)]

    for seed in (0, 3):  # the one that it was compiled with, and another
        found, eager = side_by_side(lambda seed=seed: called(seed, fast), lambda seed=seed: called(seed, layer))
        np.testing.assert_array_equal(found, eager)
