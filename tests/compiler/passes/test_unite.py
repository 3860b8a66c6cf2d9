"""Unite: loops of one body over the same inputs become one."""

from __future__ import annotations

from typing import Any

import tinyseq as ts
from support.passes import acts, stays, zeros
from tinyseq.autodiff import pick
from tinyseq.compiler.passes.unite import unite
from tinyseq.graph import Graph, Node, remake
from tinyseq.ops.scan import scan


def twins(**changed: Any) -> Graph:
    """A loop, and its twin: the same body, but that what it carries is its output; ``changed`` of its attributes."""
    given = ts.trace(lambda x, h: ts.unroll(step, x, h)[1], zeros(1, 4, 3), zeros(1, 3))
    one = next(node for node in given.nodes if node.op is scan)
    body: Graph = one.attrs["body"]
    attrs = {**one.attrs, "body": Graph([body.outputs[0], body.outputs[0]], body.inputs), **changed}
    twin = remake(one, one.inputs, attrs, scan.infer(*one.inputs, **attrs))
    picked = [Node(pick, (node,), {"index": 1}, node.shape[1], node.dtype[1]) for node in (one, twin)]
    return Graph(picked, given.inputs)


def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
    return h * x, ts.tanh(h + x)


def test_twins() -> None:
    acts(
        unite,
        twins(),
        """
            x : float32(1, 4, 3)
            h : float32(1, 3)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0) 1 carried, 2 sequences, 4 steps
                h : float32(1, 3)
                x : float32(1, 3)
                %0 = add(h, x) : float32(1, 3)
                %1 = tanh(%0) : float32(1, 3)
                %2 = mul(h, x) : float32(1, 3)
                return %1, %2
            %3 = pick(%2) index=1 : float32(4, 1, 3)
            %4 = scan(h, %1, %0) 1 carried, 2 sequences, 4 steps
                h : float32(1, 3)
                x : float32(1, 3)
                %0 = add(h, x) : float32(1, 3)
                %1 = tanh(%0) : float32(1, 3)
                return %1, %1
            %5 = pick(%4) index=1 : float32(4, 1, 3)
            return %3, %5
        """,
        """
            x : float32(1, 4, 3)
            h : float32(1, 3)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0) 1 carried, 2 sequences, 4 steps
                h : float32(1, 3)
                x : float32(1, 3)
                %0 = add(h, x) : float32(1, 3)
                %1 = tanh(%0) : float32(1, 3)
                %2 = mul(h, x) : float32(1, 3)
                return %1, %2, %1
            %3 = pick(%2) index=1 : float32(4, 1, 3)
            %4 = pick(%2) index=2 : float32(4, 1, 3)
            return %3, %4
        """,
    )


def test_one_that_runs_backwards_stays() -> None:
    stays(
        unite,
        twins(reverse=True),
        """
            x : float32(1, 4, 3)
            h : float32(1, 3)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0) 1 carried, 2 sequences, 4 steps
                h : float32(1, 3)
                x : float32(1, 3)
                %0 = add(h, x) : float32(1, 3)
                %1 = tanh(%0) : float32(1, 3)
                %2 = mul(h, x) : float32(1, 3)
                return %1, %2
            %3 = pick(%2) index=1 : float32(4, 1, 3)
            %4 = scan(h, %1, %0) 1 carried, 2 sequences, 4 steps, backwards
                h : float32(1, 3)
                x : float32(1, 3)
                %0 = add(h, x) : float32(1, 3)
                %1 = tanh(%0) : float32(1, 3)
                return %1, %1
            %5 = pick(%4) index=1 : float32(4, 1, 3)
            return %3, %5
        """,
    )


def test_bodies_that_were_not_made_from_one_another_stay() -> None:
    stays(
        unite,
        ts.trace(lambda x, h: (ts.unroll(step, x, h)[1], ts.unroll(step, x, h)[1]), zeros(1, 4, 3), zeros(1, 3)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 3)
            %0 : int64(4)
            %1 : int64(4)
            %2 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %3 = scan(h, %2, %0) 1 carried, 2 sequences, 4 steps
                h : float32(1, 3)
                x : float32(1, 3)
                %0 = add(h, x) : float32(1, 3)
                %1 = tanh(%0) : float32(1, 3)
                %2 = mul(h, x) : float32(1, 3)
                return %1, %2
            %4 = pick(%3) index=0 : float32(1, 3)
            %5 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %6 = scan(h, %5, %1) 1 carried, 2 sequences, 4 steps
                h : float32(1, 3)
                x : float32(1, 3)
                %0 = add(h, x) : float32(1, 3)
                %1 = tanh(%0) : float32(1, 3)
                %2 = mul(h, x) : float32(1, 3)
                return %1, %2
            %7 = pick(%6) index=0 : float32(1, 3)
            return %4, %7
        """,
    )
