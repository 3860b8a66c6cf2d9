"""Unite: loops of one body over the same inputs become one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.passes import text, unindented
from tinyseq.autodiff import pick
from tinyseq.compiler.passes.unite import unite
from tinyseq.graph import Graph, Node, remake
from tinyseq.ops.scan import scan


def graphs(fn: Callable[..., Any]) -> tuple[Graph, Graph]:
    """Of a loop, and of its twin: the same body, but that what it carries is its output too."""
    x, h = (ts.Tensor(np.zeros(shape, np.float32)) for shape in ((1, 4, 3), (1, 3)))
    given = ts.trace(lambda x, h: ts.unroll(lambda x, h: (h * x, ts.tanh(h + x)), x, h)[1], x, h)
    one = next(node for node in given.nodes if node.op is scan)
    body: Graph = one.attrs["body"]
    attrs = {**one.attrs, "body": Graph([body.outputs[0], body.outputs[0]], body.inputs), **fn()}
    twin = remake(one, one.inputs, attrs, scan.infer(*one.inputs, **attrs))
    picked = [Node(pick, (node,), {"index": 1}, node.shape[1], node.dtype[1]) for node in (one, twin)]
    graph = Graph(picked, given.inputs)
    return graph, unite(graph)


#: A function, its graph before the pass and after it.
TEXTS: dict[str, tuple[Callable[..., Any], str, str]] = {
    "twins": (
        lambda: {},
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 3)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 3)
                %1 = x : float32(1, 3)
                %2 = mul(%0, %1) : float32(1, 3)
                %3 = add(%0, %1) : float32(1, 3)
                %4 = tanh(%3) : float32(1, 3)
                return %4, %2
            %5 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 3)
                %1 = x : float32(1, 3)
                %2 = add(%0, %1) : float32(1, 3)
                %3 = tanh(%2) : float32(1, 3)
                return %3, %3
            %6 = pick(%4) index=1 : float32(4, 1, 3)
            %7 = pick(%5) index=1 : float32(4, 1, 3)
            return %6, %7
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 3)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 3)
                %1 = x : float32(1, 3)
                %2 = mul(%0, %1) : float32(1, 3)
                %3 = add(%0, %1) : float32(1, 3)
                %4 = tanh(%3) : float32(1, 3)
                return %4, %2, %4
            %5 = pick(%4) index=1 : float32(4, 1, 3)
            %6 = pick(%4) index=2 : float32(4, 1, 3)
            return %5, %6
        """,
    ),
    "one runs backwards": (
        lambda: {"reverse": True},
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 3)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 3)
                %1 = x : float32(1, 3)
                %2 = mul(%0, %1) : float32(1, 3)
                %3 = add(%0, %1) : float32(1, 3)
                %4 = tanh(%3) : float32(1, 3)
                return %4, %2
            %5 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps, backwards
                %0 = h : float32(1, 3)
                %1 = x : float32(1, 3)
                %2 = add(%0, %1) : float32(1, 3)
                %3 = tanh(%2) : float32(1, 3)
                return %3, %3
            %6 = pick(%4) index=1 : float32(4, 1, 3)
            %7 = pick(%5) index=1 : float32(4, 1, 3)
            return %6, %7
        """,
        """
            %0 = x : float32(1, 4, 3)
            %1 = h : float32(1, 3)
            %2 = transpose(%0) axes=[1,0,2] : float32(4, 1, 3)
            %3 = given : int64(4)
            %4 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps
                %0 = h : float32(1, 3)
                %1 = x : float32(1, 3)
                %2 = mul(%0, %1) : float32(1, 3)
                %3 = add(%0, %1) : float32(1, 3)
                %4 = tanh(%3) : float32(1, 3)
                return %4, %2
            %5 = scan(%1, %2, %3) 1 carried, 2 sequences, 4 steps, backwards
                %0 = h : float32(1, 3)
                %1 = x : float32(1, 3)
                %2 = add(%0, %1) : float32(1, 3)
                %3 = tanh(%2) : float32(1, 3)
                return %3, %3
            %6 = pick(%4) index=1 : float32(4, 1, 3)
            %7 = pick(%5) index=1 : float32(4, 1, 3)
            return %6, %7
        """,
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_before_and_after(name: str) -> None:
    fn, before, after = TEXTS[name]
    graph, changed = graphs(fn)
    assert text(graph) == unindented(before)
    assert text(changed.verify()) == unindented(after)
