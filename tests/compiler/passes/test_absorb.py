"""Absorb: an input projection goes back into the product of the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.passes import text, unindented
from tinyseq.compiler.passes.absorb import absorb
from tinyseq.compiler.passes.distribute import distribute
from tinyseq.graph import Graph


def zeros(*shape: int, dtype: Any = np.float32) -> ts.Tensor:
    return ts.Tensor(np.zeros(shape, dtype))


def graphs(fn: Callable[..., Any]) -> tuple[Graph, Graph]:
    """Of a step of one row, three features, two units: x and h, weights of each, a bias."""
    x, h = zeros(1, 4, 3), zeros(1, 2)
    w, v, b = zeros(2, 2), zeros(3, 2), zeros(2)
    graph = ts.trace(lambda x, h, w, v, b: ts.unroll(lambda x, h: fn(x, h, w, v, b), x, h), x, h, w, v, b)
    graph = distribute(graph)
    return graph, absorb(graph)


#: A function, its graph before the pass and after it.
TEXTS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "a projection and a bias": (
        lambda x, h, w, v, b: ((new := ts.tanh(h @ w + (x @ v + b))), new),
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = w : float32(2, 2)
            %3 = v : float32(3, 2)
            %4 = b : float32(2)
            %5 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %6 = given : int64(4)
            %7 = matmul(%5, %3) : float32(4, 1, 2)
            %8 = add(%7, %4) : float32(4, 1, 2)
            %9 = scan(%1, %5, %6, %8, %2, %3, %4) 1 carried, 3 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = w : float32(2, 2)
                %2 = matmul(%0, %1) : float32(1, 2)
                %3 = given : float32(1, 2)
                %4 = add(%2, %3) : float32(1, 2)
                %5 = tanh(%4) : float32(1, 2)
                return %5, %5
            %10 = pick(%9) index=0 : float32(1, 2)
            %11 = pick(%9) index=1 : float32(4, 1, 2)
            %12 = transpose(%11) axes=[1,0,2] : float32(1, 4, 2)
            return %12, %10
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 2)
            %2 = w : float32(2, 2)
            %3 = v : float32(3, 2)
            %4 = b : float32(2)
            %5 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %6 = given : int64(4)
            %7 = matmul(%5, %3) : float32(4, 1, 2)
            %8 = add(%7, %4) : float32(4, 1, 2)
            %9 = constant() values=[1.0] dtype=float32 : float32(1)
            %10 = broadcast_to(%9) shape=[1,1] : float32(1, 1)
            %11 = reshape(%4) shape=[1,2] : float32(1, 2)
            %12 = concat(%2, %3, %11) axis=0 : float32(6, 2)
            %13 = scan(%1, %5, %6, %8, %2, %3, %4, %10, %12) 1 carried, 3 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = x : float32(1, 3)
                %2 = given : float32(1, 1)
                %3 = given : float32(6, 2)
                %4 = concat(%0, %1, %2) axis=1 : float32(1, 6)
                %5 = matmul(%4, %3) : float32(1, 2)
                %6 = tanh(%5) : float32(1, 2)
                return %6, %6
            %14 = pick(%13) index=0 : float32(1, 2)
            %15 = pick(%13) index=1 : float32(4, 1, 2)
            %16 = transpose(%15) axes=[1,0,2] : float32(1, 4, 2)
            return %16, %14
        """,
    ),
    "a projection in another precision": (
        lambda x, h, w, v, b: (
            (new := (h @ w + x.cast(np.float64) @ v.cast(np.float64)).cast(np.float32)),
            new,
        ),
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
                %2 = cast(%1) dtype=float64 : float64(1, 3)
                %3 = w : float32(2, 2)
                %4 = v : float32(3, 2)
                %5 = matmul(%0, %3) : float32(1, 2)
                %6 = cast(%4) dtype=float64 : float64(3, 2)
                %7 = matmul(%2, %6) : float64(1, 2)
                %8 = add(%5, %7) : float64(1, 2)
                %9 = cast(%8) dtype=float32 : float32(1, 2)
                return %9, %9
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
            %6 = scan(%1, %4, %5, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 2)
                %1 = x : float32(1, 3)
                %2 = cast(%1) dtype=float64 : float64(1, 3)
                %3 = w : float32(2, 2)
                %4 = v : float32(3, 2)
                %5 = matmul(%0, %3) : float32(1, 2)
                %6 = cast(%4) dtype=float64 : float64(3, 2)
                %7 = matmul(%2, %6) : float64(1, 2)
                %8 = add(%5, %7) : float64(1, 2)
                %9 = cast(%8) dtype=float32 : float32(1, 2)
                return %9, %9
            %7 = pick(%6) index=0 : float32(1, 2)
            %8 = pick(%6) index=1 : float32(4, 1, 2)
            %9 = transpose(%8) axes=[1,0,2] : float32(1, 4, 2)
            return %9, %7
        """,
    ),
    "nothing to add": (
        lambda x, h, w, v, b: ((new := ts.tanh(h @ w)), new),
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
                return %3, %3
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
                return %3, %3
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
