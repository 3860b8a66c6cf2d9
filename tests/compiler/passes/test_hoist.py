"""Hoist: what a step computes from constants alone is computed before the loop."""

from __future__ import annotations

import tinyseq as ts
from support.passes import acts, loop, stays
from tinyseq.compiler.passes.hoist import hoist


def test_a_weight_that_is_scaled() -> None:
    acts(
        hoist,
        loop(lambda x, h, w, v, b: ((new := ts.tanh(h @ (w * 2.0) + b)), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, w, b) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                w : float32(2, 2)
                b : float32(2)
                %0 = mul(w, 2.0) : float32(2, 2)
                %1 = matmul(h, %0) : float32(1, 2)
                %2 = add(%1, b) : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                return %3, %3
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = mul(w, 2.0) : float32(2, 2)
            %3 = scan(h, %1, %0, w, b, %2) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                b : float32(2)
                %0 : float32(2, 2)
                %1 = matmul(h, %0) : float32(1, 2)
                %2 = add(%1, b) : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                return %3, %3
            %4 = pick(%3) index=1 : float32(4, 1, 2)
            %5 = transpose(%4) axes=[1,0,2] : float32(1, 4, 2)
            %6 = pick(%3) index=0 : float32(1, 2)
            return %5, %6
        """,
    )


def test_a_chain_crosses_the_border_once() -> None:
    acts(
        hoist,
        loop(lambda x, h, w, v, b: ((new := h * ts.exp(ts.tanh(b) * 2.0)), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, b) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                b : float32(2)
                %0 = tanh(b) : float32(2)
                %1 = mul(%0, 2.0) : float32(2)
                %2 = exp(%1) : float32(2)
                %3 = mul(h, %2) : float32(1, 2)
                return %3, %3
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = tanh(b) : float32(2)
            %3 = mul(%2, 2.0) : float32(2)
            %4 = exp(%3) : float32(2)
            %5 = scan(h, %1, %0, b, %4) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                %0 : float32(2)
                %1 = mul(h, %0) : float32(1, 2)
                return %1, %1
            %6 = pick(%5) index=1 : float32(4, 1, 2)
            %7 = transpose(%6) axes=[1,0,2] : float32(1, 4, 2)
            %8 = pick(%5) index=0 : float32(1, 2)
            return %7, %8
        """,
    )


def test_what_the_input_goes_into_stays() -> None:
    stays(
        hoist,
        loop(lambda x, h, w, v, b: ((new := h + x @ v), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            v : float32(3, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, v) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                x : float32(1, 3)
                v : float32(3, 2)
                %0 = matmul(x, v) : float32(1, 2)
                %1 = add(h, %0) : float32(1, 2)
                return %1, %1
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
    )


def test_all_depends_on_the_state() -> None:
    stays(
        hoist,
        loop(lambda x, h, w, v, b: ((new := ts.tanh(h @ w) * 2.0), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, w) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                w : float32(2, 2)
                %0 = matmul(h, w) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                %2 = mul(%1, 2.0) : float32(1, 2)
                return %2, %2
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
    )
