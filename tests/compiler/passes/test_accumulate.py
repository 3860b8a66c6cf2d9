"""Accumulate: a state that only sums becomes one contraction after the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.passes import text, unindented
from tinyseq.compiler.passes.accumulate import accumulate
from tinyseq.graph import Graph
from tinyseq.ops import shape as sh


def graphs(fn: Callable[..., Any]) -> tuple[Graph, Graph]:
    """Of three features in four steps of two rows, and a sum that begins with zeros."""
    x, total = (ts.Tensor(np.zeros(shape, np.float32)) for shape in ((2, 4, 3), (3, 3)))
    graph = ts.trace(lambda x, s: ts.unroll(fn, x, sh.zeros_like(s))[1], x, total)
    return graph, accumulate(graph)


#: A function, its graph before the pass and after it.
TEXTS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "a sum of products": (
        lambda x, s: (x, s + x.T @ x),
        """
            %0 = x : float32(2, 4, 3)
            %1 = s : float32(3, 3)
            %2 = zeros_like(%1) shape=[3,3] : float32(3, 3)
            %3 = transpose(%0) axes=[1,0,2] : float32(4, 2, 3)
            %4 = given : int64(4)
            %5 = scan(%2, %3, %4) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(3, 3)
                %1 = x : float32(2, 3)
                %2 = transpose(%1) axes=[1,0] : float32(3, 2)
                %3 = matmul(%2, %1) : float32(3, 3)
                %4 = add(%0, %3) : float32(3, 3)
                return %4, %1
            %6 = pick(%5) index=0 : float32(3, 3)
            return %6
        """,
        """
            %0 = x : float32(2, 4, 3)
            %1 = transpose(%0) axes=[1,0,2] : float32(4, 2, 3)
            %2 = given : int64(4)
            %3 = scan(%1, %2) 0 carried, 2 sequences, 4 steps
                %0 = x : float32(2, 3)
                return %0
            %4 = pick(%3) index=0 : float32(4, 2, 3)
            %5 = reshape(%4) shape=[8,3] : float32(8, 3)
            %6 = transpose(%5) axes=[1,0] : float32(3, 8)
            %7 = reshape(%4) shape=[8,3] : float32(8, 3)
            %8 = matmul(%6, %7) : float32(3, 3)
            return %8
        """,
    ),
    "a sum that is read in each step": (
        lambda x, s: (x @ s, s + x.T @ x),
        """
            %0 = x : float32(2, 4, 3)
            %1 = s : float32(3, 3)
            %2 = zeros_like(%1) shape=[3,3] : float32(3, 3)
            %3 = transpose(%0) axes=[1,0,2] : float32(4, 2, 3)
            %4 = given : int64(4)
            %5 = scan(%2, %3, %4) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(3, 3)
                %1 = x : float32(2, 3)
                %2 = matmul(%1, %0) : float32(2, 3)
                %3 = transpose(%1) axes=[1,0] : float32(3, 2)
                %4 = matmul(%3, %1) : float32(3, 3)
                %5 = add(%0, %4) : float32(3, 3)
                return %5, %2
            %6 = pick(%5) index=0 : float32(3, 3)
            return %6
        """,
        """
            %0 = x : float32(2, 4, 3)
            %1 = s : float32(3, 3)
            %2 = zeros_like(%1) shape=[3,3] : float32(3, 3)
            %3 = transpose(%0) axes=[1,0,2] : float32(4, 2, 3)
            %4 = given : int64(4)
            %5 = scan(%2, %3, %4) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(3, 3)
                %1 = x : float32(2, 3)
                %2 = matmul(%1, %0) : float32(2, 3)
                %3 = transpose(%1) axes=[1,0] : float32(3, 2)
                %4 = matmul(%3, %1) : float32(3, 3)
                %5 = add(%0, %4) : float32(3, 3)
                return %5, %2
            %6 = pick(%5) index=0 : float32(3, 3)
            return %6
        """,
    ),
    "no sum": (
        lambda x, s: (x, s * 0.5 + x.T @ x),
        """
            %0 = x : float32(2, 4, 3)
            %1 = s : float32(3, 3)
            %2 = zeros_like(%1) shape=[3,3] : float32(3, 3)
            %3 = transpose(%0) axes=[1,0,2] : float32(4, 2, 3)
            %4 = given : int64(4)
            %5 = scan(%2, %3, %4) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(3, 3)
                %1 = x : float32(2, 3)
                %2 = mul(%0, 0.5) : float32(3, 3)
                %3 = transpose(%1) axes=[1,0] : float32(3, 2)
                %4 = matmul(%3, %1) : float32(3, 3)
                %5 = add(%2, %4) : float32(3, 3)
                return %5, %1
            %6 = pick(%5) index=0 : float32(3, 3)
            return %6
        """,
        """
            %0 = x : float32(2, 4, 3)
            %1 = s : float32(3, 3)
            %2 = zeros_like(%1) shape=[3,3] : float32(3, 3)
            %3 = transpose(%0) axes=[1,0,2] : float32(4, 2, 3)
            %4 = given : int64(4)
            %5 = scan(%2, %3, %4) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(3, 3)
                %1 = x : float32(2, 3)
                %2 = mul(%0, 0.5) : float32(3, 3)
                %3 = transpose(%1) axes=[1,0] : float32(3, 2)
                %4 = matmul(%3, %1) : float32(3, 3)
                %5 = add(%2, %4) : float32(3, 3)
                return %5, %1
            %6 = pick(%5) index=0 : float32(3, 3)
            return %6
        """,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_before_and_after(name: str) -> None:
    fn, before, after = TEXTS[name]
    graph, changed = graphs(fn)
    assert text(graph) == unindented(before)
    assert text(changed.verify()) == unindented(after)
