"""Expand: gates in one form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinyseq as ts
from support.passes import acts, stays, zeros
from tinyseq.compiler.passes.expand import expand
from tinyseq.graph import Graph


def traced(fn: Callable[..., Any]) -> Graph:
    """Of a row x of three features, weights w for two units, and a row y in float64."""
    return ts.trace(fn, zeros(1, 3), zeros(3, 2), zeros(1, 2, dtype=np.float64))


def test_a_sigmoid_is_a_tanh() -> None:
    acts(
        expand,
        traced(lambda x, w, y: ts.sigmoid(x @ w)),
        """
            x : float32(1, 3)
            w : float32(3, 2)
            %0 = matmul(x, w) : float32(1, 2)
            %1 = sigmoid(%0) : float32(1, 2)
            return %1
        """,
        """
            x : float32(1, 3)
            w : float32(3, 2)
            %0 = mul(w, 0.5) : float32(3, 2)
            %1 = matmul(x, %0) : float32(1, 2)
            %2 = tanh(%1) : float32(1, 2)
            %3 = mul(%2, 0.5) : float32(1, 2)
            %4 = add(%3, 0.5) : float32(1, 2)
            return %4
        """,
    )


def test_a_product_with_joined_values_is_a_sum_of_products() -> None:
    acts(
        expand,
        traced(lambda x, w, y: ts.concat([x[:, :1], x[:, :2]], 1) @ w),
        """
            x : float32(1, 3)
            w : float32(3, 2)
            %0 = slice(x) key=[:,:1] : float32(1, 1)
            %1 = slice(x) key=[:,:2] : float32(1, 2)
            %2 = concat(%0, %1) axis=1 : float32(1, 3)
            %3 = matmul(%2, w) : float32(1, 2)
            return %3
        """,
        """
            x : float32(1, 3)
            w : float32(3, 2)
            %0 = slice(x) key=[:,:1] : float32(1, 1)
            %1 = slice(w) key=[0:1] : float32(1, 2)
            %2 = matmul(%0, %1) : float32(1, 2)
            %3 = slice(x) key=[:,:2] : float32(1, 2)
            %4 = slice(w) key=[1:3] : float32(2, 2)
            %5 = matmul(%3, %4) : float32(1, 2)
            %6 = add(%2, %5) : float32(1, 2)
            return %6
        """,
    )


def test_products_come_first_in_a_sum_then_vectors() -> None:
    acts(
        expand,
        traced(lambda x, w, y: (x[:, :2] + w[0]) + x @ w),
        """
            x : float32(1, 3)
            w : float32(3, 2)
            %0 = slice(x) key=[:,:2] : float32(1, 2)
            %1 = slice(w) key=[0] : float32(2)
            %2 = add(%0, %1) : float32(1, 2)
            %3 = matmul(x, w) : float32(1, 2)
            %4 = add(%2, %3) : float32(1, 2)
            return %4
        """,
        """
            x : float32(1, 3)
            w : float32(3, 2)
            %0 = matmul(x, w) : float32(1, 2)
            %1 = slice(w) key=[0] : float32(2)
            %2 = add(%0, %1) : float32(1, 2)
            %3 = slice(x) key=[:,:2] : float32(1, 2)
            %4 = add(%2, %3) : float32(1, 2)
            return %4
        """,
    )


def test_a_factor_goes_into_the_weights_of_each_term() -> None:
    acts(
        expand,
        traced(lambda x, w, y: (x @ w + (x * x) @ w) * 0.5),
        """
            x : float32(1, 3)
            w : float32(3, 2)
            %0 = matmul(x, w) : float32(1, 2)
            %1 = mul(x, x) : float32(1, 3)
            %2 = matmul(%1, w) : float32(1, 2)
            %3 = add(%0, %2) : float32(1, 2)
            %4 = mul(%3, 0.5) : float32(1, 2)
            return %4
        """,
        """
            x : float32(1, 3)
            w : float32(3, 2)
            %0 = mul(w, 0.5) : float32(3, 2)
            %1 = matmul(x, %0) : float32(1, 2)
            %2 = mul(x, x) : float32(1, 3)
            %3 = matmul(%2, %0) : float32(1, 2)
            %4 = add(%1, %3) : float32(1, 2)
            return %4
        """,
    )


def test_a_factor_of_2_stays_where_it_is() -> None:
    stays(
        expand,
        traced(lambda x, w, y: (x @ w + w[0]) * 2.0),
        """
            x : float32(1, 3)
            w : float32(3, 2)
            %0 = matmul(x, w) : float32(1, 2)
            %1 = slice(w) key=[0] : float32(2)
            %2 = add(%0, %1) : float32(1, 2)
            %3 = mul(%2, 2.0) : float32(1, 2)
            return %3
        """,
    )


def test_so_does_a_very_small_one() -> None:
    stays(
        expand,
        traced(lambda x, w, y: (x @ w + w[0]) * 2.0**-11),
        """
            x : float32(1, 3)
            w : float32(3, 2)
            %0 = matmul(x, w) : float32(1, 2)
            %1 = slice(w) key=[0] : float32(2)
            %2 = add(%0, %1) : float32(1, 2)
            %3 = mul(%2, 0.00048828125) : float32(1, 2)
            return %3
        """,
    )


def test_so_does_one_of_a_sum_in_two_dtypes() -> None:
    stays(
        expand,
        traced(lambda x, w, y: (x @ w + y) * 0.5),
        """
            x : float32(1, 3)
            w : float32(3, 2)
            y : float64(1, 2)
            %0 = matmul(x, w) : float32(1, 2)
            %1 = add(%0, y) : float64(1, 2)
            %2 = mul(%1, 0.5) : float64(1, 2)
            return %2
        """,
    )


def test_so_does_one_of_a_product_that_is_read_elsewhere() -> None:
    stays(
        expand,
        traced(lambda x, w, y: ((a := x @ w) * 0.5, ts.exp(a))),
        """
            x : float32(1, 3)
            w : float32(3, 2)
            %0 = matmul(x, w) : float32(1, 2)
            %1 = mul(%0, 0.5) : float32(1, 2)
            %2 = exp(%0) : float32(1, 2)
            return %1, %2
        """,
    )
