"""Merge: products with one left operand become one product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinyseq as ts
from support.passes import acts, stays, zeros
from tinyseq.compiler.passes.merge import merge
from tinyseq.graph import Graph


def traced(fn: Callable[..., Any]) -> Graph:
    """Of a row x of three features, weights w and v for two and four units, and u in float64."""
    return ts.trace(fn, zeros(1, 3), zeros(3, 2), zeros(3, 4), zeros(3, 2, dtype=np.float64))


def test_two_products() -> None:
    acts(
        merge,
        traced(lambda x, w, v, u: (ts.tanh(x @ w), ts.exp(x @ v))),
        """
            x : float32(1, 3)
            w : float32(3, 2)
            v : float32(3, 4)
            %0 = matmul(x, w) : float32(1, 2)
            %1 = tanh(%0) : float32(1, 2)
            %2 = matmul(x, v) : float32(1, 4)
            %3 = exp(%2) : float32(1, 4)
            return %1, %3
        """,
        """
            x : float32(1, 3)
            w : float32(3, 2)
            v : float32(3, 4)
            %0 = concat(v, w) axis=1 : float32(3, 6)
            %1 = matmul(x, %0) : float32(1, 6)
            %2 = slice(%1) key=[:,4:6] : float32(1, 2)
            %3 = tanh(%2) : float32(1, 2)
            %4 = slice(%1) key=[:,0:4] : float32(1, 4)
            %5 = exp(%4) : float32(1, 4)
            return %3, %5
        """,
    )


def test_lanes_that_meet_the_same_ops_come_to_stand_side_by_side() -> None:
    acts(
        merge,
        ts.trace(
            lambda x, a, b, c: (ts.tanh(x @ a), ts.exp(x @ b), ts.tanh(x @ c)),
            zeros(1, 3),
            zeros(3, 1),
            zeros(3, 2),
            zeros(3, 4),
        ),
        """
            x : float32(1, 3)
            a : float32(3, 1)
            b : float32(3, 2)
            c : float32(3, 4)
            %0 = matmul(x, a) : float32(1, 1)
            %1 = tanh(%0) : float32(1, 1)
            %2 = matmul(x, b) : float32(1, 2)
            %3 = exp(%2) : float32(1, 2)
            %4 = matmul(x, c) : float32(1, 4)
            %5 = tanh(%4) : float32(1, 4)
            return %1, %3, %5
        """,
        """
            x : float32(1, 3)
            a : float32(3, 1)
            b : float32(3, 2)
            c : float32(3, 4)
            %0 = concat(b, a, c) axis=1 : float32(3, 7)
            %1 = matmul(x, %0) : float32(1, 7)
            %2 = slice(%1) key=[:,2:3] : float32(1, 1)
            %3 = tanh(%2) : float32(1, 1)
            %4 = slice(%1) key=[:,0:2] : float32(1, 2)
            %5 = exp(%4) : float32(1, 2)
            %6 = slice(%1) key=[:,3:7] : float32(1, 4)
            %7 = tanh(%6) : float32(1, 4)
            return %3, %5, %7
        """,
    )


def test_in_a_loop_by_weights_from_outside() -> None:
    acts(
        merge,
        ts.trace(
            lambda x, h, a, c: ts.unroll(lambda x, h: ((new := ts.tanh(h @ a) * ts.exp(h @ c)), new), x, h),
            zeros(1, 4, 3),
            zeros(1, 2),
            zeros(2, 2),
            zeros(2, 2),
        ),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            a : float32(2, 2)
            c : float32(2, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, a, c) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                a : float32(2, 2)
                c : float32(2, 2)
                %0 = matmul(h, a) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                %2 = matmul(h, c) : float32(1, 2)
                %3 = exp(%2) : float32(1, 2)
                %4 = mul(%1, %3) : float32(1, 2)
                return %4, %4
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            a : float32(2, 2)
            c : float32(2, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, a, c) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                a : float32(2, 2)
                c : float32(2, 2)
                %0 = concat(c, a) axis=1 : float32(2, 4)
                %1 = matmul(h, %0) : float32(1, 4)
                %2 = slice(%1) key=[:,2:4] : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                %4 = slice(%1) key=[:,0:2] : float32(1, 2)
                %5 = exp(%4) : float32(1, 2)
                %6 = mul(%3, %5) : float32(1, 2)
                return %6, %6
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
    )


def test_products_of_other_left_operands_stay() -> None:
    stays(
        merge,
        traced(lambda x, w, v, u: (x @ w, (x * x) @ v)),
        """
            x : float32(1, 3)
            w : float32(3, 2)
            v : float32(3, 4)
            %0 = matmul(x, w) : float32(1, 2)
            %1 = mul(x, x) : float32(1, 3)
            %2 = matmul(%1, v) : float32(1, 4)
            return %0, %2
        """,
    )


def test_products_of_other_dtypes_stay() -> None:
    stays(
        merge,
        traced(lambda x, w, v, u: (x @ w, x @ u)),
        """
            x : float32(1, 3)
            w : float32(3, 2)
            u : float64(3, 2)
            %0 = matmul(x, w) : float32(1, 2)
            %1 = matmul(x, u) : float64(1, 2)
            return %0, %1
        """,
    )


def test_products_by_what_is_computed_stay() -> None:
    stays(
        merge,
        traced(lambda x, w, v, u: (x @ w, x @ (v * 2.0))),
        """
            x : float32(1, 3)
            w : float32(3, 2)
            v : float32(3, 4)
            %0 = matmul(x, w) : float32(1, 2)
            %1 = mul(v, 2.0) : float32(3, 4)
            %2 = matmul(x, %1) : float32(1, 4)
            return %0, %2
        """,
    )
