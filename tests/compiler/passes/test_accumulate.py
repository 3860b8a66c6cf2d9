"""Accumulate: a state that only sums becomes one contraction after the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tinyseq as ts
from support.passes import acts, stays, zeros
from tinyseq.compiler.passes.accumulate import accumulate
from tinyseq.graph import Graph
from tinyseq.ops import shape as sh


def summing(step: Callable[..., Any], *shape: int) -> Graph:
    """Four steps of two rows of three features; the sum begins with zeros."""
    return ts.trace(lambda x, s: ts.unroll(step, x, sh.zeros_like(s))[1], zeros(2, 4, 3), zeros(*shape))


def test_a_sum_of_products() -> None:
    acts(
        accumulate,
        summing(lambda x, s: (x, s + x.T @ x), 3, 3),
        """
            x : float32(2, 4, 3)
            s : float32(3, 3)
            %0 : int64(4)
            %1 = zeros_like(s) shape=[3,3] : float32(3, 3)
            %2 = transpose(x) axes=[1,0,2] : float32(4, 2, 3)
            %3 = scan(%1, %2, %0) 1 carried, 2 sequences, 4 steps
                h : float32(3, 3)
                x : float32(2, 3)
                %0 = transpose(x) axes=[1,0] : float32(3, 2)
                %1 = matmul(%0, x) : float32(3, 3)
                %2 = add(h, %1) : float32(3, 3)
                return %2, x
            %4 = pick(%3) index=0 : float32(3, 3)
            return %4
        """,
        """
            x : float32(2, 4, 3)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 2, 3)
            %2 = scan(%1, %0) 0 carried, 2 sequences, 4 steps
                x : float32(2, 3)
                return x
            %3 = pick(%2) index=0 : float32(4, 2, 3)
            %4 = reshape(%3) shape=[8,3] : float32(8, 3)
            %5 = transpose(%4) axes=[1,0] : float32(3, 8)
            %6 = reshape(%3) shape=[8,3] : float32(8, 3)
            %7 = matmul(%5, %6) : float32(3, 3)
            return %7
        """,
    )


def test_a_sum_of_rows() -> None:
    acts(
        accumulate,
        summing(lambda x, s: (x, s + sh.sum_to(x, (3,))), 3),
        """
            x : float32(2, 4, 3)
            s : float32(3)
            %0 : int64(4)
            %1 = zeros_like(s) shape=[3] : float32(3)
            %2 = transpose(x) axes=[1,0,2] : float32(4, 2, 3)
            %3 = scan(%1, %2, %0) 1 carried, 2 sequences, 4 steps
                h : float32(3)
                x : float32(2, 3)
                %0 = sum_to(x) shape=[3] : float32(3)
                %1 = add(h, %0) : float32(3)
                return %1, x
            %4 = pick(%3) index=0 : float32(3)
            return %4
        """,
        """
            x : float32(2, 4, 3)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 2, 3)
            %2 = scan(%1, %0) 0 carried, 2 sequences, 4 steps
                x : float32(2, 3)
                return x
            %3 = pick(%2) index=0 : float32(4, 2, 3)
            %4 = sum_to(%3) shape=[3] : float32(3)
            return %4
        """,
    )


def test_a_sum_that_is_read_in_each_step_stays() -> None:
    stays(
        accumulate,
        summing(lambda x, s: (x @ s, s + x.T @ x), 3, 3),
        """
            x : float32(2, 4, 3)
            s : float32(3, 3)
            %0 : int64(4)
            %1 = zeros_like(s) shape=[3,3] : float32(3, 3)
            %2 = transpose(x) axes=[1,0,2] : float32(4, 2, 3)
            %3 = scan(%1, %2, %0) 1 carried, 2 sequences, 4 steps
                h : float32(3, 3)
                x : float32(2, 3)
                %0 = transpose(x) axes=[1,0] : float32(3, 2)
                %1 = matmul(%0, x) : float32(3, 3)
                %2 = add(h, %1) : float32(3, 3)
                %3 = matmul(x, h) : float32(2, 3)
                return %2, %3
            %4 = pick(%3) index=0 : float32(3, 3)
            return %4
        """,
    )


def test_a_sum_that_fades_stays() -> None:
    stays(
        accumulate,
        summing(lambda x, s: (x, s * 0.5 + x.T @ x), 3, 3),
        """
            x : float32(2, 4, 3)
            s : float32(3, 3)
            %0 : int64(4)
            %1 = zeros_like(s) shape=[3,3] : float32(3, 3)
            %2 = transpose(x) axes=[1,0,2] : float32(4, 2, 3)
            %3 = scan(%1, %2, %0) 1 carried, 2 sequences, 4 steps
                h : float32(3, 3)
                x : float32(2, 3)
                %0 = mul(h, 0.5) : float32(3, 3)
                %1 = transpose(x) axes=[1,0] : float32(3, 2)
                %2 = matmul(%1, x) : float32(3, 3)
                %3 = add(%0, %2) : float32(3, 3)
                return %3, x
            %4 = pick(%3) index=0 : float32(3, 3)
            return %4
        """,
    )


def test_a_sum_of_anything_but_products_and_rows_stays() -> None:
    stays(
        accumulate,
        summing(lambda x, s: (x, s + ts.exp(x)), 2, 3),
        """
            x : float32(2, 4, 3)
            s : float32(2, 3)
            %0 : int64(4)
            %1 = zeros_like(s) shape=[2,3] : float32(2, 3)
            %2 = transpose(x) axes=[1,0,2] : float32(4, 2, 3)
            %3 = scan(%1, %2, %0) 1 carried, 2 sequences, 4 steps
                h : float32(2, 3)
                x : float32(2, 3)
                %0 = exp(x) : float32(2, 3)
                %1 = add(h, %0) : float32(2, 3)
                return %1, x
            %4 = pick(%3) index=0 : float32(2, 3)
            return %4
        """,
    )


def test_a_product_with_a_constant_stays() -> None:
    stays(
        accumulate,
        ts.trace(
            lambda x, s, w: ts.unroll(lambda x, s: (x, s + x @ w), x, sh.zeros_like(s))[1],
            zeros(2, 4, 3),
            zeros(2, 2),
            zeros(3, 2),
        ),
        """
            x : float32(2, 4, 3)
            s : float32(2, 2)
            w : float32(3, 2)
            %0 : int64(4)
            %1 = zeros_like(s) shape=[2,2] : float32(2, 2)
            %2 = transpose(x) axes=[1,0,2] : float32(4, 2, 3)
            %3 = scan(%1, %2, %0, w) 1 carried, 2 sequences, 4 steps
                h : float32(2, 2)
                x : float32(2, 3)
                w : float32(3, 2)
                %0 = matmul(x, w) : float32(2, 2)
                %1 = add(h, %0) : float32(2, 2)
                return %1, x
            %4 = pick(%3) index=0 : float32(2, 2)
            return %4
        """,
    )
