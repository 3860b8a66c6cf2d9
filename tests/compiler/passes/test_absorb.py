"""Absorb: a projection of the input, or a bias, that each step adds to its product goes into that product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinyseq as ts
from support.passes import acts, loop, stays
from tinyseq.compiler.passes.absorb import absorb
from tinyseq.compiler.passes.distribute import distribute
from tinyseq.compiler.passes.hoist import hoist
from tinyseq.graph import Graph


def after_distribute(step: Callable[..., Any]) -> Graph:
    """A loop as ``absorb`` finds it: what needs no state was done before it, once or for all steps."""
    return distribute(hoist(loop(step)))


def test_a_projection_and_a_bias() -> None:
    acts(
        absorb,
        after_distribute(lambda x, h, w, v, b: ((new := ts.tanh(h @ w + (x @ v + b))), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            v : float32(3, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = matmul(%1, v) : float32(4, 1, 2)
            %3 = add(%2, b) : float32(4, 1, 2)
            %4 = scan(h, %1, %0, %3, w, v, b) 1 carried, 3 sequences, 4 steps
                h : float32(1, 2)
                %0 : float32(1, 2)
                w : float32(2, 2)
                %1 = matmul(h, w) : float32(1, 2)
                %2 = add(%1, %0) : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                return %3, %3
            %5 = pick(%4) index=1 : float32(4, 1, 2)
            %6 = transpose(%5) axes=[1,0,2] : float32(1, 4, 2)
            %7 = pick(%4) index=0 : float32(1, 2)
            return %6, %7
        """,
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            v : float32(3, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = matmul(%1, v) : float32(4, 1, 2)
            %3 = add(%2, b) : float32(4, 1, 2)
            %4 = constant() values=[1.0] dtype=float32 : float32(1)
            %5 = broadcast_to(%4) shape=[1,1] : float32(1, 1)
            %6 = reshape(b) shape=[1,2] : float32(1, 2)
            %7 = concat(w, v, %6) axis=0 : float32(6, 2)
            %8 = scan(h, %1, %0, %3, w, v, b, %5, %7) 1 carried, 3 sequences, 4 steps
                h : float32(1, 2)
                x : float32(1, 3)
                %0 : float32(1, 1)
                %1 : float32(6, 2)
                %2 = concat(h, x, %0) axis=1 : float32(1, 6)
                %3 = matmul(%2, %1) : float32(1, 2)
                %4 = tanh(%3) : float32(1, 2)
                return %4, %4
            %9 = pick(%8) index=1 : float32(4, 1, 2)
            %10 = transpose(%9) axes=[1,0,2] : float32(1, 4, 2)
            %11 = pick(%8) index=0 : float32(1, 2)
            return %10, %11
        """,
    )


def test_a_projection_alone() -> None:
    acts(
        absorb,
        after_distribute(lambda x, h, w, v, b: ((new := ts.tanh(h @ w + x @ v)), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            v : float32(3, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = matmul(%1, v) : float32(4, 1, 2)
            %3 = scan(h, %1, %0, %2, w, v) 1 carried, 3 sequences, 4 steps
                h : float32(1, 2)
                %0 : float32(1, 2)
                w : float32(2, 2)
                %1 = matmul(h, w) : float32(1, 2)
                %2 = add(%1, %0) : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                return %3, %3
            %4 = pick(%3) index=1 : float32(4, 1, 2)
            %5 = transpose(%4) axes=[1,0,2] : float32(1, 4, 2)
            %6 = pick(%3) index=0 : float32(1, 2)
            return %5, %6
        """,
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            v : float32(3, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = matmul(%1, v) : float32(4, 1, 2)
            %3 = concat(w, v) axis=0 : float32(5, 2)
            %4 = scan(h, %1, %0, %2, w, v, %3) 1 carried, 3 sequences, 4 steps
                h : float32(1, 2)
                x : float32(1, 3)
                %0 : float32(5, 2)
                %1 = concat(h, x) axis=1 : float32(1, 5)
                %2 = matmul(%1, %0) : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                return %3, %3
            %5 = pick(%4) index=1 : float32(4, 1, 2)
            %6 = transpose(%5) axes=[1,0,2] : float32(1, 4, 2)
            %7 = pick(%4) index=0 : float32(1, 2)
            return %6, %7
        """,
    )


def test_a_bias_alone() -> None:
    acts(
        absorb,
        after_distribute(lambda x, h, w, v, b: ((new := ts.tanh(h @ w + b)), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, w, b) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                w : float32(2, 2)
                b : float32(2)
                %0 = matmul(h, w) : float32(1, 2)
                %1 = add(%0, b) : float32(1, 2)
                %2 = tanh(%1) : float32(1, 2)
                return %2, %2
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = constant() values=[1.0] dtype=float32 : float32(1)
            %3 = broadcast_to(%2) shape=[1,1] : float32(1, 1)
            %4 = reshape(b) shape=[1,2] : float32(1, 2)
            %5 = concat(w, %4) axis=0 : float32(3, 2)
            %6 = scan(h, %1, %0, w, b, %3, %5) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                %0 : float32(1, 1)
                %1 : float32(3, 2)
                %2 = concat(h, %0) axis=1 : float32(1, 3)
                %3 = matmul(%2, %1) : float32(1, 2)
                %4 = tanh(%3) : float32(1, 2)
                return %4, %4
            %7 = pick(%6) index=1 : float32(4, 1, 2)
            %8 = transpose(%7) axes=[1,0,2] : float32(1, 4, 2)
            %9 = pick(%6) index=0 : float32(1, 2)
            return %8, %9
        """,
    )


def test_a_projection_in_another_precision_stays() -> None:
    stays(
        absorb,
        after_distribute(
            lambda x, h, w, v, b: ((new := (h @ w + x.cast(np.float64) @ v.cast(np.float64)).cast(np.float32)), new)
        ),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            v : float32(3, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = cast(v) dtype=float64 : float64(3, 2)
            %3 = scan(h, %1, %0, w, v, %2) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                x : float32(1, 3)
                w : float32(2, 2)
                %0 : float64(3, 2)
                %1 = matmul(h, w) : float32(1, 2)
                %2 = cast(x) dtype=float64 : float64(1, 3)
                %3 = matmul(%2, %0) : float64(1, 2)
                %4 = add(%1, %3) : float64(1, 2)
                %5 = cast(%4) dtype=float32 : float32(1, 2)
                return %5, %5
            %4 = pick(%3) index=1 : float32(4, 1, 2)
            %5 = transpose(%4) axes=[1,0,2] : float32(1, 4, 2)
            %6 = pick(%3) index=0 : float32(1, 2)
            return %5, %6
        """,
    )


def test_a_product_that_is_read_twice_stays() -> None:
    stays(
        absorb,
        after_distribute(lambda x, h, w, v, b: (ts.exp(a := h @ w), ts.tanh(a + b))),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, w, b) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                w : float32(2, 2)
                b : float32(2)
                %0 = matmul(h, w) : float32(1, 2)
                %1 = add(%0, b) : float32(1, 2)
                %2 = tanh(%1) : float32(1, 2)
                %3 = exp(%0) : float32(1, 2)
                return %2, %3
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
    )


def test_a_product_by_what_the_loop_computes_stays() -> None:
    stays(
        absorb,
        after_distribute(lambda x, h, w, v, b: ((new := ts.tanh(h @ (w * h[0]) + b)), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, w, b) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                w : float32(2, 2)
                b : float32(2)
                %0 = slice(h) key=[0] : float32(2)
                %1 = mul(w, %0) : float32(2, 2)
                %2 = matmul(h, %1) : float32(1, 2)
                %3 = add(%2, b) : float32(1, 2)
                %4 = tanh(%3) : float32(1, 2)
                return %4, %4
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
    )


def test_what_is_no_projection_stays() -> None:
    stays(
        absorb,
        after_distribute(lambda x, h, w, v, b: ((new := ts.tanh(h @ w + ts.exp(x @ v))), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            v : float32(3, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = matmul(%1, v) : float32(4, 1, 2)
            %3 = exp(%2) : float32(4, 1, 2)
            %4 = scan(h, %1, %0, %3, w, v) 1 carried, 3 sequences, 4 steps
                h : float32(1, 2)
                %0 : float32(1, 2)
                w : float32(2, 2)
                %1 = matmul(h, w) : float32(1, 2)
                %2 = add(%1, %0) : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                return %3, %3
            %5 = pick(%4) index=1 : float32(4, 1, 2)
            %6 = transpose(%5) axes=[1,0,2] : float32(1, 4, 2)
            %7 = pick(%4) index=0 : float32(1, 2)
            return %6, %7
        """,
    )


def test_nothing_is_added() -> None:
    stays(
        absorb,
        after_distribute(lambda x, h, w, v, b: ((new := ts.tanh(h @ w)), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, w) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                w : float32(2, 2)
                %0 = matmul(h, w) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
    )
