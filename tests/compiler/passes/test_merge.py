"""Merge: products with one left operand become one product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.passes import text, unindented
from tinyseq.compiler.passes.merge import merge
from tinyseq.graph import Graph


def graphs(fn: Callable[..., Any]) -> tuple[Graph, Graph]:
    x, w, v = (ts.Tensor(np.zeros(shape, np.float32)) for shape in ((1, 3), (3, 2), (3, 4)))
    u = ts.Tensor(np.zeros((3, 2)))
    graph = ts.trace(fn, x, w, v, u)
    return graph, merge(graph)


#: A function, its graph before the pass and after it.
TEXTS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "two products": (
        lambda x, w, v, u: (ts.tanh(x @ w), ts.exp(x @ v)),
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = v : float32(3, 4)
            %3 = matmul(%0, %1) : float32(1, 2)
            %4 = tanh(%3) : float32(1, 2)
            %5 = matmul(%0, %2) : float32(1, 4)
            %6 = exp(%5) : float32(1, 4)
            return %4, %6
        """,
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = v : float32(3, 4)
            %3 = concat(%2, %1) axis=1 : float32(3, 6)
            %4 = matmul(%0, %3) : float32(1, 6)
            %5 = slice(%4) key=[:,0:4] : float32(1, 4)
            %6 = slice(%4) key=[:,4:6] : float32(1, 2)
            %7 = tanh(%6) : float32(1, 2)
            %8 = exp(%5) : float32(1, 4)
            return %7, %8
        """,
    ),
    "of other left operands": (
        lambda x, w, v, u: (x @ w, (x * x) @ v),
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = v : float32(3, 4)
            %3 = matmul(%0, %1) : float32(1, 2)
            %4 = mul(%0, %0) : float32(1, 3)
            %5 = matmul(%4, %2) : float32(1, 4)
            return %3, %5
        """,
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = v : float32(3, 4)
            %3 = matmul(%0, %1) : float32(1, 2)
            %4 = mul(%0, %0) : float32(1, 3)
            %5 = matmul(%4, %2) : float32(1, 4)
            return %3, %5
        """,
    ),
    "of other dtypes": (
        lambda x, w, v, u: (x @ w, x @ u),
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = u : float64(3, 2)
            %3 = matmul(%0, %1) : float32(1, 2)
            %4 = matmul(%0, %2) : float64(1, 2)
            return %3, %4
        """,
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = u : float64(3, 2)
            %3 = matmul(%0, %1) : float32(1, 2)
            %4 = matmul(%0, %2) : float64(1, 2)
            return %3, %4
        """,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_before_and_after(name: str) -> None:
    fn, before, after = TEXTS[name]
    graph, changed = graphs(fn)
    assert text(graph) == unindented(before)
    assert text(changed.verify()) == unindented(after)
