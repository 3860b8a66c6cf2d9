"""Pack: equal ops on neighbouring lanes become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.passes import text, unindented
from tinyseq.compiler.passes.pack import pack
from tinyseq.graph import Graph


def graphs(fn: Callable[..., Any]) -> tuple[Graph, Graph]:
    x, b, c = (ts.Tensor(np.zeros(shape, np.float32)) for shape in ((2, 4), (2,), (2,)))
    d = ts.Tensor(np.zeros(2))
    graph = ts.trace(fn, x, b, c, d)
    return graph, pack(graph)


#: A function, its graph before the pass and after it.
TEXTS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "one op on two lanes": (
        lambda x, b, c, d: (ts.tanh(x[:, :2]), ts.tanh(x[:, 2:])),
        """
            %0 = x : float32(2, 4)
            %1 = slice(%0) key=[:,:2] : float32(2, 2)
            %2 = tanh(%1) : float32(2, 2)
            %3 = slice(%0) key=[:,2:] : float32(2, 2)
            %4 = tanh(%3) : float32(2, 2)
            return %2, %4
        """,
        """
            %0 = x : float32(2, 4)
            %1 = tanh(%0) : float32(2, 4)
            %2 = slice(%1) key=[:,0:2] : float32(2, 2)
            %3 = slice(%1) key=[:,2:4] : float32(2, 2)
            return %2, %3
        """,
    ),
    "with biases": (
        lambda x, b, c, d: (x[:, :2] + b) * (x[:, 2:] + c),
        """
            %0 = x : float32(2, 4)
            %1 = b : float32(2)
            %2 = c : float32(2)
            %3 = slice(%0) key=[:,:2] : float32(2, 2)
            %4 = add(%3, %1) : float32(2, 2)
            %5 = slice(%0) key=[:,2:] : float32(2, 2)
            %6 = add(%5, %2) : float32(2, 2)
            %7 = mul(%4, %6) : float32(2, 2)
            return %7
        """,
        """
            %0 = x : float32(2, 4)
            %1 = b : float32(2)
            %2 = c : float32(2)
            %3 = concat(%1, %2) axis=0 : float32(4)
            %4 = add(%0, %3) : float32(2, 4)
            %5 = slice(%4) key=[:,0:2] : float32(2, 2)
            %6 = slice(%4) key=[:,2:4] : float32(2, 2)
            %7 = mul(%5, %6) : float32(2, 2)
            return %7
        """,
    ),
    "other numbers": (
        lambda x, b, c, d: (ts.maximum(x[:, :2], 0.0), ts.maximum(x[:, 2:], -0.0)),
        """
            %0 = x : float32(2, 4)
            %1 = slice(%0) key=[:,:2] : float32(2, 2)
            %2 = maximum(%1, 0.0) : float32(2, 2)
            %3 = slice(%0) key=[:,2:] : float32(2, 2)
            %4 = maximum(%3, -0.0) : float32(2, 2)
            return %2, %4
        """,
        """
            %0 = x : float32(2, 4)
            %1 = slice(%0) key=[:,:2] : float32(2, 2)
            %2 = maximum(%1, 0.0) : float32(2, 2)
            %3 = slice(%0) key=[:,2:] : float32(2, 2)
            %4 = maximum(%3, -0.0) : float32(2, 2)
            return %2, %4
        """,
    ),
    "biases of other dtypes": (
        lambda x, b, c, d: (x[:, :2] + b, x[:, 2:] + d),
        """
            %0 = x : float32(2, 4)
            %1 = b : float32(2)
            %2 = d : float64(2)
            %3 = slice(%0) key=[:,:2] : float32(2, 2)
            %4 = add(%3, %1) : float32(2, 2)
            %5 = slice(%0) key=[:,2:] : float32(2, 2)
            %6 = add(%5, %2) : float64(2, 2)
            return %4, %6
        """,
        """
            %0 = x : float32(2, 4)
            %1 = b : float32(2)
            %2 = d : float64(2)
            %3 = slice(%0) key=[:,:2] : float32(2, 2)
            %4 = add(%3, %1) : float32(2, 2)
            %5 = slice(%0) key=[:,2:] : float32(2, 2)
            %6 = add(%5, %2) : float64(2, 2)
            return %4, %6
        """,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_before_and_after(name: str) -> None:
    fn, before, after = TEXTS[name]
    graph, changed = graphs(fn)
    assert text(graph) == unindented(before)
    assert text(changed.verify()) == unindented(after)
