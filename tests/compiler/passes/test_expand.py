"""Expand: gates in one form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.passes import text, unindented
from tinyseq.compiler.passes.expand import expand
from tinyseq.graph import Graph


def graphs(fn: Callable[..., Any]) -> tuple[Graph, Graph]:
    x, w, y = (
        ts.Tensor(np.zeros((1, 3), np.float32)),
        ts.Tensor(np.zeros((3, 2), np.float32)),
        ts.Tensor(np.zeros((1, 2))),
    )
    graph = ts.trace(fn, x, w, y)
    return graph, expand(graph)


#: A function, its graph before the pass and after it.
TEXTS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "a sigmoid": (
        lambda x, w, y: ts.sigmoid(x @ w),
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = matmul(%0, %1) : float32(1, 2)
            %3 = sigmoid(%2) : float32(1, 2)
            return %3
        """,
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = mul(%1, 0.5) : float32(3, 2)
            %3 = matmul(%0, %2) : float32(1, 2)
            %4 = tanh(%3) : float32(1, 2)
            %5 = mul(%4, 0.5) : float32(1, 2)
            %6 = add(%5, 0.5) : float32(1, 2)
            return %6
        """,
    ),
    "a product with joined values": (
        lambda x, w, y: ts.concat([x[:, :1], x[:, :2]], 1) @ w,
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = slice(%0) key=[:,:1] : float32(1, 1)
            %3 = slice(%0) key=[:,:2] : float32(1, 2)
            %4 = concat(%2, %3) axis=1 : float32(1, 3)
            %5 = matmul(%4, %1) : float32(1, 2)
            return %5
        """,
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = slice(%0) key=[:,:1] : float32(1, 1)
            %3 = slice(%0) key=[:,:2] : float32(1, 2)
            %4 = slice(%1) key=[0:1] : float32(1, 2)
            %5 = matmul(%2, %4) : float32(1, 2)
            %6 = slice(%1) key=[1:3] : float32(2, 2)
            %7 = matmul(%3, %6) : float32(1, 2)
            %8 = add(%5, %7) : float32(1, 2)
            return %8
        """,
    ),
    "sums in order": (
        lambda x, w, y: (x[:, :2] + w[0]) + x @ w,
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = slice(%0) key=[:,:2] : float32(1, 2)
            %3 = slice(%1) key=[0] : float32(2)
            %4 = add(%2, %3) : float32(1, 2)
            %5 = matmul(%0, %1) : float32(1, 2)
            %6 = add(%4, %5) : float32(1, 2)
            return %6
        """,
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = slice(%0) key=[:,:2] : float32(1, 2)
            %3 = slice(%1) key=[0] : float32(2)
            %4 = matmul(%0, %1) : float32(1, 2)
            %5 = add(%4, %3) : float32(1, 2)
            %6 = add(%5, %2) : float32(1, 2)
            return %6
        """,
    ),
    "a factor of 2 stays where it is": (
        lambda x, w, y: (x @ w + w[0]) * 2.0,
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = matmul(%0, %1) : float32(1, 2)
            %3 = slice(%1) key=[0] : float32(2)
            %4 = add(%2, %3) : float32(1, 2)
            %5 = mul(%4, 2.0) : float32(1, 2)
            return %5
        """,
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = matmul(%0, %1) : float32(1, 2)
            %3 = slice(%1) key=[0] : float32(2)
            %4 = add(%2, %3) : float32(1, 2)
            %5 = mul(%4, 2.0) : float32(1, 2)
            return %5
        """,
    ),
    "so does one of another dtype": (
        lambda x, w, y: (x @ w + y) * 0.5,
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = y : float64(1, 2)
            %3 = matmul(%0, %1) : float32(1, 2)
            %4 = add(%3, %2) : float64(1, 2)
            %5 = mul(%4, 0.5) : float64(1, 2)
            return %5
        """,
        """
            %0 = x : float32(1, 3)
            %1 = w : float32(3, 2)
            %2 = y : float64(1, 2)
            %3 = matmul(%0, %1) : float32(1, 2)
            %4 = add(%3, %2) : float64(1, 2)
            %5 = mul(%4, 0.5) : float64(1, 2)
            return %5
        """,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_before_and_after(name: str) -> None:
    fn, before, after = TEXTS[name]
    graph, changed = graphs(fn)
    assert text(graph) == unindented(before)
    assert text(changed.verify()) == unindented(after)
