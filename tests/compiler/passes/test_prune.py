"""Prune: dead and duplicate inputs, states and outputs of loops go."""

from __future__ import annotations

import tinyseq as ts
from support.passes import acts, loop, zeros
from tinyseq.compiler.passes.prune import prune
from tinyseq.compiler.passes.simplify import simplify


def test_an_input_that_nothing_reads() -> None:
    acts(
        prune,
        loop(lambda x, h, w, v, b: ((new := h + b), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, b) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                b : float32(2)
                %0 = add(h, b) : float32(1, 2)
                return %0, %0
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
        """
            h : float32(1, 2)
            b : float32(2)
            %0 = scan(h, b) 1 carried, 0 sequences, 4 steps
                h : float32(1, 2)
                b : float32(2)
                %0 = add(h, b) : float32(1, 2)
                return %0, %0
            %1 = pick(%0) index=1 : float32(4, 1, 2)
            %2 = transpose(%1) axes=[1,0,2] : float32(1, 4, 2)
            %3 = pick(%0) index=0 : float32(1, 2)
            return %2, %3
        """,
    )


def test_an_output_that_is_the_input() -> None:
    acts(
        prune,
        loop(lambda x, h, w, v, b: (x, h * 2.0 + b)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, b) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                x : float32(1, 3)
                b : float32(2)
                %0 = mul(h, 2.0) : float32(1, 2)
                %1 = add(%0, b) : float32(1, 2)
                return %1, x
            %3 = pick(%2) index=1 : float32(4, 1, 3)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 3)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            b : float32(2)
            %0 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %1 = transpose(%0) axes=[1,0,2] : float32(1, 4, 3)
            %2 = scan(h, b) 1 carried, 0 sequences, 4 steps
                h : float32(1, 2)
                b : float32(2)
                %0 = mul(h, 2.0) : float32(1, 2)
                %1 = add(%0, b) : float32(1, 2)
                return %1
            %3 = pick(%2) index=0 : float32(1, 2)
            return %1, %3
        """,
    )


def test_a_state_that_never_changes() -> None:
    acts(
        prune,
        loop(lambda x, h, w, v, b: (x * x, h)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                x : float32(1, 3)
                %0 = mul(x, x) : float32(1, 3)
                return h, %0
            %3 = pick(%2) index=1 : float32(4, 1, 3)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 3)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            %0 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %1 = scan(%0) 0 carried, 1 sequences, 4 steps
                x : float32(1, 3)
                %0 = mul(x, x) : float32(1, 3)
                return %0
            %2 = pick(%1) index=0 : float32(4, 1, 3)
            %3 = transpose(%2) axes=[1,0,2] : float32(1, 4, 3)
            return %3, h
        """,
    )


def test_a_state_that_nobody_reads() -> None:
    acts(
        prune,
        ts.trace(
            lambda x, h: ts.unroll(lambda x, s: (s[0] * x, (s[0] + x, s[1] * 0.5)), x, (h, h))[0],
            zeros(1, 4, 2),
            zeros(1, 2),
        ),
        """
            x : float32(1, 4, 2)
            h : float32(1, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 2)
            %2 = scan(h, h, %1, %0) 2 carried, 2 sequences, 4 steps
                %0 : float32(1, 2)
                %1 : float32(1, 2)
                x : float32(1, 2)
                %2 = add(%0, x) : float32(1, 2)
                %3 = mul(%1, 0.5) : float32(1, 2)
                %4 = mul(%0, x) : float32(1, 2)
                return %2, %3, %4
            %3 = pick(%2) index=2 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            return %4
        """,
        """
            x : float32(1, 4, 2)
            h : float32(1, 2)
            %0 = transpose(x) axes=[1,0,2] : float32(4, 1, 2)
            %1 = scan(h, %0) 1 carried, 1 sequences, 4 steps
                %0 : float32(1, 2)
                x : float32(1, 2)
                %1 = add(%0, x) : float32(1, 2)
                %2 = mul(%0, x) : float32(1, 2)
                return %1, %2
            %2 = pick(%1) index=1 : float32(4, 1, 2)
            %3 = transpose(%2) axes=[1,0,2] : float32(1, 4, 2)
            return %3
        """,
    )


def test_a_sequence_that_is_given_twice() -> None:
    acts(
        prune,
        simplify(
            ts.trace(
                lambda x, h: ts.unroll(lambda xs, h: ((new := h + xs[0] * xs[1]), new), (x, x), h),
                zeros(1, 4, 2),
                zeros(1, 2),
            )
        ),
        """
            x : float32(1, 4, 2)
            h : float32(1, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 2)
            %2 = scan(h, %1, %1, %0) 1 carried, 3 sequences, 4 steps
                h : float32(1, 2)
                %0 : float32(1, 2)
                %1 : float32(1, 2)
                %2 = mul(%0, %1) : float32(1, 2)
                %3 = add(h, %2) : float32(1, 2)
                return %3, %3
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
        """
            x : float32(1, 4, 2)
            h : float32(1, 2)
            %0 = transpose(x) axes=[1,0,2] : float32(4, 1, 2)
            %1 = scan(h, %0) 1 carried, 1 sequences, 4 steps
                h : float32(1, 2)
                x : float32(1, 2)
                %0 = mul(x, x) : float32(1, 2)
                %1 = add(h, %0) : float32(1, 2)
                return %1, %1
            %2 = pick(%1) index=1 : float32(4, 1, 2)
            %3 = transpose(%2) axes=[1,0,2] : float32(1, 4, 2)
            %4 = pick(%1) index=0 : float32(1, 2)
            return %3, %4
        """,
    )


def test_nothing_is_left_of_a_loop_that_nobody_needs() -> None:
    acts(
        prune,
        loop(lambda x, h, w, v, b: (x, h)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                x : float32(1, 3)
                return h, x
            %3 = pick(%2) index=1 : float32(4, 1, 3)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 3)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            %0 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %1 = transpose(%0) axes=[1,0,2] : float32(1, 4, 3)
            return %1, h
        """,
    )


def test_a_state_that_only_another_one_reads_is_needed() -> None:
    acts(
        prune,
        ts.trace(
            lambda x, h: ts.unroll(lambda x, s: (s[0], (s[0] + s[1], s[1] * x)), x, (h, h))[0],
            zeros(1, 4, 2),
            zeros(1, 2),
        ),
        """
            x : float32(1, 4, 2)
            h : float32(1, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 2)
            %2 = scan(h, h, %1, %0) 2 carried, 2 sequences, 4 steps
                %0 : float32(1, 2)
                %1 : float32(1, 2)
                x : float32(1, 2)
                %2 = add(%0, %1) : float32(1, 2)
                %3 = mul(%1, x) : float32(1, 2)
                return %2, %3, %0
            %3 = pick(%2) index=2 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            return %4
        """,
        """
            x : float32(1, 4, 2)
            h : float32(1, 2)
            %0 = transpose(x) axes=[1,0,2] : float32(4, 1, 2)
            %1 = scan(h, h, %0) 2 carried, 1 sequences, 4 steps
                %0 : float32(1, 2)
                %1 : float32(1, 2)
                x : float32(1, 2)
                %2 = add(%0, %1) : float32(1, 2)
                %3 = mul(%1, x) : float32(1, 2)
                return %2, %3, %0
            %2 = pick(%1) index=2 : float32(4, 1, 2)
            %3 = transpose(%2) axes=[1,0,2] : float32(1, 4, 2)
            return %3
        """,
    )
