"""Hoist: what a step computes from constants alone is computed before the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.passes import text, unindented
from tinyseq.compiler.passes.hoist import hoist
from tinyseq.graph import Graph


def zeros(*shape: int, dtype: Any = np.float32) -> ts.Tensor:
    return ts.Tensor(np.zeros(shape, dtype))


def graphs(fn: Callable[..., Any]) -> tuple[Graph, Graph]:
    """Of a step of one row, three features, two units: x and h, weights of each, a bias."""
    x, h = zeros(1, 4, 3), zeros(1, 2)
    w, v, b = zeros(2, 2), zeros(3, 2), zeros(2)
    graph = ts.trace(lambda x, h, w, v, b: ts.unroll(lambda x, h: fn(x, h, w, v, b), x, h), x, h, w, v, b)
    return graph, hoist(graph)


#: A function, its graph before the pass and after it.
TEXTS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "a weight that is scaled": (
        lambda x, h, w, v, b: ((new := ts.tanh(h @ (w * 2.0) + b)), new),
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
                %3 = mul(%1, 2.0) : float32(2, 2)
                %4 = matmul(%0, %3) : float32(1, 2)
                %5 = add(%4, %2) : float32(1, 2)
                %6 = tanh(%5) : float32(1, 2)
                return %6, %6
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
            %6 = mul(%2, 2.0) : float32(2, 2)
            %7 = scan(%1, %4, %5, %2, %3, %6) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = b : float32(2)
                %2 = given : float32(2, 2)
                %3 = matmul(%0, %2) : float32(1, 2)
                %4 = add(%3, %1) : float32(1, 2)
                %5 = tanh(%4) : float32(1, 2)
                return %5, %5
            %8 = pick(%7) index=0 : float32(1, 2)
            %9 = pick(%7) index=1 : float32(4, 1, 2)
            %10 = transpose(%9) axes=[1,0,2] : float32(1, 4, 2)
            return %10, %8
        """,
    ),
    "all depends on the state": (
        lambda x, h, w, v, b: ((new := ts.tanh(h @ w) * 2.0), new),
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = w : float32(2, 2)
            %3 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %4 = given : int64(4)
            %5 = scan(%1, %3, %4, %2) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = w : float32(2, 2)
                %2 = matmul(%0, %1) : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                %4 = mul(%3, 2.0) : float32(1, 2)
                return %4, %4
            %6 = pick(%5) index=0 : float32(1, 2)
            %7 = pick(%5) index=1 : float32(4, 1, 2)
            %8 = transpose(%7) axes=[1,0,2] : float32(1, 4, 2)
            return %8, %6
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = w : float32(2, 2)
            %3 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %4 = given : int64(4)
            %5 = scan(%1, %3, %4, %2) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = w : float32(2, 2)
                %2 = matmul(%0, %1) : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                %4 = mul(%3, 2.0) : float32(1, 2)
                return %4, %4
            %6 = pick(%5) index=0 : float32(1, 2)
            %7 = pick(%5) index=1 : float32(4, 1, 2)
            %8 = transpose(%7) axes=[1,0,2] : float32(1, 4, 2)
            return %8, %6
        """,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_before_and_after(name: str) -> None:
    fn, before, after = TEXTS[name]
    graph, changed = graphs(fn)
    assert text(graph) == unindented(before)
    assert text(changed.verify()) == unindented(after)
