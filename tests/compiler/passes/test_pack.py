"""Pack: equal ops on neighbouring lanes become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinyseq as ts
from support.passes import acts, stays, zeros
from tinyseq.compiler.passes.pack import pack
from tinyseq.graph import Graph


def traced(fn: Callable[..., Any]) -> Graph:
    """Of two lanes of two columns in x, vectors b and c for them, and d in float64."""
    return ts.trace(fn, zeros(2, 4), zeros(2), zeros(2), zeros(2, dtype=np.float64))


def test_one_op_on_two_lanes() -> None:
    acts(
        pack,
        traced(lambda x, b, c, d: (ts.tanh(x[:, :2]), ts.tanh(x[:, 2:]))),
        """
            x : float32(2, 4)
            %0 = slice(x) key=[:,:2] : float32(2, 2)
            %1 = tanh(%0) : float32(2, 2)
            %2 = slice(x) key=[:,2:] : float32(2, 2)
            %3 = tanh(%2) : float32(2, 2)
            return %1, %3
        """,
        """
            x : float32(2, 4)
            %0 = tanh(x) : float32(2, 4)
            %1 = slice(%0) key=[:,0:2] : float32(2, 2)
            %2 = slice(%0) key=[:,2:4] : float32(2, 2)
            return %1, %2
        """,
    )


def test_with_biases() -> None:
    acts(
        pack,
        traced(lambda x, b, c, d: (x[:, :2] + b) * (x[:, 2:] + c)),
        """
            x : float32(2, 4)
            b : float32(2)
            c : float32(2)
            %0 = slice(x) key=[:,:2] : float32(2, 2)
            %1 = add(%0, b) : float32(2, 2)
            %2 = slice(x) key=[:,2:] : float32(2, 2)
            %3 = add(%2, c) : float32(2, 2)
            %4 = mul(%1, %3) : float32(2, 2)
            return %4
        """,
        """
            x : float32(2, 4)
            b : float32(2)
            c : float32(2)
            %0 = concat(b, c) axis=0 : float32(4)
            %1 = add(x, %0) : float32(2, 4)
            %2 = slice(%1) key=[:,0:2] : float32(2, 2)
            %3 = slice(%1) key=[:,2:4] : float32(2, 2)
            %4 = mul(%2, %3) : float32(2, 2)
            return %4
        """,
    )


def test_with_one_number() -> None:
    acts(
        pack,
        traced(lambda x, b, c, d: (x[:, :2] * 0.5, x[:, 2:] * 0.5)),
        """
            x : float32(2, 4)
            %0 = slice(x) key=[:,:2] : float32(2, 2)
            %1 = mul(%0, 0.5) : float32(2, 2)
            %2 = slice(x) key=[:,2:] : float32(2, 2)
            %3 = mul(%2, 0.5) : float32(2, 2)
            return %1, %3
        """,
        """
            x : float32(2, 4)
            %0 = mul(x, 0.5) : float32(2, 4)
            %1 = slice(%0) key=[:,0:2] : float32(2, 2)
            %2 = slice(%0) key=[:,2:4] : float32(2, 2)
            return %1, %2
        """,
    )


def test_other_ops_stay() -> None:
    stays(
        pack,
        traced(lambda x, b, c, d: (ts.tanh(x[:, :2]), ts.exp(x[:, 2:]))),
        """
            x : float32(2, 4)
            %0 = slice(x) key=[:,:2] : float32(2, 2)
            %1 = tanh(%0) : float32(2, 2)
            %2 = slice(x) key=[:,2:] : float32(2, 2)
            %3 = exp(%2) : float32(2, 2)
            return %1, %3
        """,
    )


def test_other_numbers_stay_and_0_and_minus_0_are_two() -> None:
    stays(
        pack,
        traced(lambda x, b, c, d: (ts.maximum(x[:, :2], 0.0), ts.maximum(x[:, 2:], -0.0))),
        """
            x : float32(2, 4)
            %0 = slice(x) key=[:,:2] : float32(2, 2)
            %1 = maximum(%0, 0.0) : float32(2, 2)
            %2 = slice(x) key=[:,2:] : float32(2, 2)
            %3 = maximum(%2, -0.0) : float32(2, 2)
            return %1, %3
        """,
    )


def test_biases_of_other_dtypes_stay() -> None:
    stays(
        pack,
        traced(lambda x, b, c, d: (x[:, :2] + b, x[:, 2:] + d)),
        """
            x : float32(2, 4)
            b : float32(2)
            d : float64(2)
            %0 = slice(x) key=[:,:2] : float32(2, 2)
            %1 = add(%0, b) : float32(2, 2)
            %2 = slice(x) key=[:,2:] : float32(2, 2)
            %3 = add(%2, d) : float64(2, 2)
            return %1, %3
        """,
    )


def test_biases_of_one_number_stay() -> None:
    stays(
        pack,
        ts.trace(lambda x, b, c: (x[:, :2] + b, x[:, 2:] + c), zeros(2, 4), zeros(1), zeros(1)),
        """
            x : float32(2, 4)
            b : float32(1)
            c : float32(1)
            %0 = slice(x) key=[:,:2] : float32(2, 2)
            %1 = add(%0, b) : float32(2, 2)
            %2 = slice(x) key=[:,2:] : float32(2, 2)
            %3 = add(%2, c) : float32(2, 2)
            return %1, %3
        """,
    )


def test_lanes_with_a_gap_between_them_stay() -> None:
    stays(
        pack,
        traced(lambda x, b, c, d: (ts.tanh(x[:, :1]), ts.tanh(x[:, 2:]))),
        """
            x : float32(2, 4)
            %0 = slice(x) key=[:,:1] : float32(2, 1)
            %1 = tanh(%0) : float32(2, 1)
            %2 = slice(x) key=[:,2:] : float32(2, 2)
            %3 = tanh(%2) : float32(2, 2)
            return %1, %3
        """,
    )


def test_a_lane_that_is_computed_from_the_other_stays() -> None:
    stays(
        pack,
        ts.trace(lambda x, y: ts.maximum(x[:, 2:], ts.exp(ts.maximum(x[:, :2], ts.exp(y)))), zeros(2, 4), zeros(2, 2)),
        """
            x : float32(2, 4)
            y : float32(2, 2)
            %0 = slice(x) key=[:,2:] : float32(2, 2)
            %1 = slice(x) key=[:,:2] : float32(2, 2)
            %2 = exp(y) : float32(2, 2)
            %3 = maximum(%1, %2) : float32(2, 2)
            %4 = exp(%3) : float32(2, 2)
            %5 = maximum(%0, %4) : float32(2, 2)
            return %5
        """,
    )
