"""Distribute: what needs no state is done for all steps at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.passes import text, unindented
from tinyseq.compiler.passes.distribute import distribute
from tinyseq.graph import Graph


def zeros(*shape: int, dtype: Any = np.float32) -> ts.Tensor:
    return ts.Tensor(np.zeros(shape, dtype))


def graphs(fn: Callable[..., Any]) -> tuple[Graph, Graph]:
    """Of a step of one row, three features, two units: x and h, weights of each, a bias."""
    x, h = zeros(1, 4, 3), zeros(1, 2)
    w, v, b = zeros(2, 2), zeros(3, 2), zeros(2)
    graph = ts.trace(lambda x, h, w, v, b: ts.unroll(lambda x, h: fn(x, h, w, v, b), x, h), x, h, w, v, b)
    return graph, distribute(graph)


#: A function, its graph before the pass and after it.
TEXTS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "the input projection before the loop": (
        lambda x, h, w, v, b: ((new := ts.tanh(h @ w + x @ v)), new),
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = w : float32(2, 2)
            %3 = v : float32(3, 2)
            %4 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %5 = given : int64(4)
            %6 = scan(%1, %4, %5, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = x : float32(1, 3)
                %2 = w : float32(2, 2)
                %3 = v : float32(3, 2)
                %4 = matmul(%0, %2) : float32(1, 2)
                %5 = matmul(%1, %3) : float32(1, 2)
                %6 = add(%4, %5) : float32(1, 2)
                %7 = tanh(%6) : float32(1, 2)
                return %7, %7
            %7 = pick(%6) index=0 : float32(1, 2)
            %8 = pick(%6) index=1 : float32(4, 1, 2)
            %9 = transpose(%8) axes=[1,0,2] : float32(1, 4, 2)
            return %9, %7
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = w : float32(2, 2)
            %3 = v : float32(3, 2)
            %4 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %5 = given : int64(4)
            %6 = matmul(%4, %3) : float32(4, 1, 2)
            %7 = scan(%1, %4, %5, %6, %2, %3) 1 carried, 3 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = w : float32(2, 2)
                %2 = matmul(%0, %1) : float32(1, 2)
                %3 = given : float32(1, 2)
                %4 = add(%2, %3) : float32(1, 2)
                %5 = tanh(%4) : float32(1, 2)
                return %5, %5
            %8 = pick(%7) index=0 : float32(1, 2)
            %9 = pick(%7) index=1 : float32(4, 1, 2)
            %10 = transpose(%9) axes=[1,0,2] : float32(1, 4, 2)
            return %10, %8
        """,
    ),
    "a head after the loop": (
        lambda x, h, w, v, b: ((new := ts.tanh(h + b)) @ w, new),
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = w : float32(2, 2)
            %3 = b : float32(2)
            %4 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %5 = given : int64(4)
            %6 = scan(%1, %4, %5, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = w : float32(2, 2)
                %2 = b : float32(2)
                %3 = add(%0, %2) : float32(1, 2)
                %4 = tanh(%3) : float32(1, 2)
                %5 = matmul(%4, %1) : float32(1, 2)
                return %4, %5
            %7 = pick(%6) index=0 : float32(1, 2)
            %8 = pick(%6) index=1 : float32(4, 1, 2)
            %9 = transpose(%8) axes=[1,0,2] : float32(1, 4, 2)
            return %9, %7
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = w : float32(2, 2)
            %3 = b : float32(2)
            %4 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %5 = given : int64(4)
            %6 = scan(%1, %4, %5, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = b : float32(2)
                %2 = add(%0, %1) : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                return %3, %3
            %7 = pick(%6) index=0 : float32(1, 2)
            %8 = pick(%6) index=1 : float32(4, 1, 2)
            %9 = matmul(%8, %2) : float32(4, 1, 2)
            %10 = transpose(%9) axes=[1,0,2] : float32(1, 4, 2)
            return %10, %7
        """,
    ),
    "numbers are no terms to be added up first": (
        lambda x, h, w, v, b: ((new := h + 2.0 + 3.0), new),
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = add(%0, 2.0) : float32(1, 2)
                %2 = add(%1, 3.0) : float32(1, 2)
                return %2, %2
            %5 = pick(%4) index=0 : float32(1, 2)
            %6 = pick(%4) index=1 : float32(4, 1, 2)
            %7 = transpose(%6) axes=[1,0,2] : float32(1, 4, 2)
            return %7, %5
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = add(%0, 2.0) : float32(1, 2)
                %2 = add(%1, 3.0) : float32(1, 2)
                return %2, %2
            %5 = pick(%4) index=0 : float32(1, 2)
            %6 = pick(%4) index=1 : float32(4, 1, 2)
            %7 = transpose(%6) axes=[1,0,2] : float32(1, 4, 2)
            return %7, %5
        """,
    ),
    "booleans are not added up first": (
        lambda x, h, w, v, b: ((new := h + (x[:, :2] > 0) + (x[:, :2] < 1)), new),
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = x : float32(1, 3)
                %2 = slice(%1) key=[:,:2] : float32(1, 2)
                %3 = greater(%2, 0) : bool(1, 2)
                %4 = add(%0, %3) : float32(1, 2)
                %5 = slice(%1) key=[:,:2] : float32(1, 2)
                %6 = less(%5, 1) : bool(1, 2)
                %7 = add(%4, %6) : float32(1, 2)
                return %7, %7
            %5 = pick(%4) index=0 : float32(1, 2)
            %6 = pick(%4) index=1 : float32(4, 1, 2)
            %7 = transpose(%6) axes=[1,0,2] : float32(1, 4, 2)
            return %7, %5
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = slice(%2) key=[:,:,:2] : float32(4, 1, 2)
            %5 = greater(%4, 0) : bool(4, 1, 2)
            %6 = slice(%2) key=[:,:,:2] : float32(4, 1, 2)
            %7 = less(%6, 1) : bool(4, 1, 2)
            %8 = scan(%1, %2, %3, %5, %7) 1 carried, 4 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = given : bool(1, 2)
                %2 = given : bool(1, 2)
                %3 = add(%0, %1) : float32(1, 2)
                %4 = add(%3, %2) : float32(1, 2)
                return %4, %4
            %9 = pick(%8) index=0 : float32(1, 2)
            %10 = pick(%8) index=1 : float32(4, 1, 2)
            %11 = transpose(%10) axes=[1,0,2] : float32(1, 4, 2)
            return %11, %9
        """,
    ),
    "all needs the state": (
        lambda x, h, w, v, b: ((new := ts.tanh(h * h)), new),
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = mul(%0, %0) : float32(1, 2)
                %2 = tanh(%1) : float32(1, 2)
                return %2, %2
            %5 = pick(%4) index=0 : float32(1, 2)
            %6 = pick(%4) index=1 : float32(4, 1, 2)
            %7 = transpose(%6) axes=[1,0,2] : float32(1, 4, 2)
            return %7, %5
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = mul(%0, %0) : float32(1, 2)
                %2 = tanh(%1) : float32(1, 2)
                return %2, %2
            %5 = pick(%4) index=0 : float32(1, 2)
            %6 = pick(%4) index=1 : float32(4, 1, 2)
            %7 = transpose(%6) axes=[1,0,2] : float32(1, 4, 2)
            return %7, %5
        """,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_before_and_after(name: str) -> None:
    fn, before, after = TEXTS[name]
    graph, changed = graphs(fn)
    assert text(graph) == unindented(before)
    assert text(changed.verify()) == unindented(after)
