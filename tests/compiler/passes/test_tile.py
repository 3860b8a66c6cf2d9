"""Tile: a loop in tiles, to be computed again one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.passes import text, unindented
from tinyseq.compiler.passes.tile import tile
from tinyseq.graph import Graph


def graphs(fn: Callable[..., Any]) -> tuple[Graph, Graph]:
    """Of three features in four steps of one row; tiles of two steps."""
    x, h = (ts.Tensor(np.zeros(shape, np.float32)) for shape in ((1, 4, 3), (1, 3)))
    graph = ts.trace(fn, x, h)
    return graph, tile(graph, 2)


#: A function, its graph before the pass and after it.
TEXTS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "a loop": (
        lambda x, h: ts.unroll(lambda x, h: ((new := ts.tanh(h + x)), new), x, h),
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 3)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 3)
                %1 = x : float32(1, 3)
                %2 = add(%0, %1) : float32(1, 3)
                %3 = tanh(%2) : float32(1, 3)
                return %3, %3
            %5 = pick(%4) index=0 : float32(1, 3)
            %6 = pick(%4) index=1 : float32(4, 1, 3)
            %7 = transpose(%6) axes=[1,0,2] : float32(1, 4, 3)
            return %7, %5
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 3)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = slice(%2) key=[0:2] : float32(2, 1, 3)
            %5 = slice(%3) key=[0:2] : int64(2)
            %6 = scan(%1, %4, %5) 1 carried, 2 sequences, 2 steps
                %0 = h : float32(1, 3)
                %1 = x : float32(1, 3)
                %2 = add(%0, %1) : float32(1, 3)
                %3 = tanh(%2) : float32(1, 3)
                return %3, %3
            %7 = pick(%6) index=0 : float32(1, 3)
            %8 = pick(%6) index=1 : float32(2, 1, 3)
            %9 = slice(%2) key=[2:4] : float32(2, 1, 3)
            %10 = slice(%3) key=[2:4] : int64(2)
            %11 = scan(%7, %9, %10) 1 carried, 2 sequences, 2 steps
                %0 = h : float32(1, 3)
                %1 = x : float32(1, 3)
                %2 = add(%0, %1) : float32(1, 3)
                %3 = tanh(%2) : float32(1, 3)
                return %3, %3
            %12 = pick(%11) index=0 : float32(1, 3)
            %13 = pick(%11) index=1 : float32(2, 1, 3)
            %14 = concat(%8, %13) axis=0 : float32(4, 1, 3)
            %15 = transpose(%14) axes=[1,0,2] : float32(1, 4, 3)
            return %15, %12
        """,
    ),
    "no loop": (
        lambda x, h: ts.tanh(x[:, 0] + h),
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 3)
            %2 = slice(%0) key=[:,0] : float32(1, 3)
            %3 = add(%2, %1) : float32(1, 3)
            %4 = tanh(%3) : float32(1, 3)
            return %4
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 3)
            %2 = slice(%0) key=[:,0] : float32(1, 3)
            %3 = add(%2, %1) : float32(1, 3)
            %4 = tanh(%3) : float32(1, 3)
            return %4
        """,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_before_and_after(name: str) -> None:
    fn, before, after = TEXTS[name]
    graph, changed = graphs(fn)
    assert text(graph) == unindented(before)
    assert text(changed.verify()) == unindented(after)
