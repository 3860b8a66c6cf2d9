"""Prune: dead and duplicate inputs, states and outputs of loops go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.passes import text, unindented
from tinyseq.compiler.passes.prune import prune
from tinyseq.graph import Graph


def zeros(*shape: int, dtype: Any = np.float32) -> ts.Tensor:
    return ts.Tensor(np.zeros(shape, dtype))


def graphs(fn: Callable[..., Any]) -> tuple[Graph, Graph]:
    """Of a step of one row, three features, two units: x and h, weights of each, a bias."""
    x, h = zeros(1, 4, 3), zeros(1, 2)
    w, v, b = zeros(2, 2), zeros(3, 2), zeros(2)
    graph = ts.trace(lambda x, h, w, v, b: ts.unroll(lambda x, h: fn(x, h, w, v, b), x, h), x, h, w, v, b)
    return graph, prune(graph)


#: A function, its graph before the pass and after it.
TEXTS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "a state that nobody reads": (
        lambda x, h, w, v, b: (x, h * 2.0 + b),
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = b : float32(2)
            %3 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %4 = given : int64(4)
            %5 = scan(%1, %3, %4, %2) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = x : float32(1, 3)
                %2 = mul(%0, 2.0) : float32(1, 2)
                %3 = b : float32(2)
                %4 = add(%2, %3) : float32(1, 2)
                return %4, %1
            %6 = pick(%5) index=0 : float32(1, 2)
            %7 = pick(%5) index=1 : float32(4, 1, 3)
            %8 = transpose(%7) axes=[1,0,2] : float32(1, 4, 3)
            return %8, %6
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = b : float32(2)
            %3 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %4 = scan(%1, %2) 1 carried, 0 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = mul(%0, 2.0) : float32(1, 2)
                %2 = b : float32(2)
                %3 = add(%1, %2) : float32(1, 2)
                return %3
            %5 = pick(%4) index=0 : float32(1, 2)
            %6 = transpose(%3) axes=[1,0,2] : float32(1, 4, 3)
            return %6, %5
        """,
    ),
    "an output that is passed through": (
        lambda x, h, w, v, b: (x * x, h),
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = x : float32(1, 3)
                %2 = mul(%1, %1) : float32(1, 3)
                return %0, %2
            %5 = pick(%4) index=0 : float32(1, 2)
            %6 = pick(%4) index=1 : float32(4, 1, 3)
            %7 = transpose(%6) axes=[1,0,2] : float32(1, 4, 3)
            return %7, %5
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = scan(%2) 0 carried, 1 sequences, 4 steps
                %0 = x : float32(1, 3)
                %1 = mul(%0, %0) : float32(1, 3)
                return %1
            %4 = pick(%3) index=0 : float32(4, 1, 3)
            %5 = transpose(%4) axes=[1,0,2] : float32(1, 4, 3)
            return %5, %1
        """,
    ),
    "all is read": (
        lambda x, h, w, v, b: ((new := h + b), new),
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = b : float32(2)
            %3 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %4 = given : int64(4)
            %5 = scan(%1, %3, %4, %2) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = b : float32(2)
                %2 = add(%0, %1) : float32(1, 2)
                return %2, %2
            %6 = pick(%5) index=0 : float32(1, 2)
            %7 = pick(%5) index=1 : float32(4, 1, 2)
            %8 = transpose(%7) axes=[1,0,2] : float32(1, 4, 2)
            return %8, %6
        """,
        """
            %0 = h : float32(1, 2)
            %1 = b : float32(2)
            %2 = scan(%0, %1) 1 carried, 0 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = b : float32(2)
                %2 = add(%0, %1) : float32(1, 2)
                return %2, %2
            %3 = pick(%2) index=0 : float32(1, 2)
            %4 = pick(%2) index=1 : float32(4, 1, 2)
            %5 = transpose(%4) axes=[1,0,2] : float32(1, 4, 2)
            return %5, %3
        """,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_before_and_after(name: str) -> None:
    fn, before, after = TEXTS[name]
    graph, changed = graphs(fn)
    assert text(graph) == unindented(before)
    assert text(changed.verify()) == unindented(after)
