"""Distribute: what needs no state is done for all steps at once."""

from __future__ import annotations

import tinyseq as ts
from support.passes import acts, loop, stays, zeros
from tinyseq.compiler.passes.distribute import FEW_ELEMENTS, distribute
from tinyseq.compiler.passes.tile import tile


def test_the_input_projection_goes_before_the_loop() -> None:
    acts(
        distribute,
        loop(lambda x, h, w, v, b: ((new := ts.tanh(h @ w + x @ v)), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            v : float32(3, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, w, v) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                x : float32(1, 3)
                w : float32(2, 2)
                v : float32(3, 2)
                %0 = matmul(h, w) : float32(1, 2)
                %1 = matmul(x, v) : float32(1, 2)
                %2 = add(%0, %1) : float32(1, 2)
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
            v : float32(3, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = matmul(%1, v) : float32(4, 1, 2)
            %3 = scan(h, %1, %0, %2, w, v) 1 carried, 3 sequences, 4 steps
                h : float32(1, 2)
                %0 : float32(1, 2)
                w : float32(2, 2)
                %1 = matmul(h, w) : float32(1, 2)
                %2 = add(%1, %0) : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                return %3, %3
            %4 = pick(%3) index=1 : float32(4, 1, 2)
            %5 = transpose(%4) axes=[1,0,2] : float32(1, 4, 2)
            %6 = pick(%3) index=0 : float32(1, 2)
            return %5, %6
        """,
    )


def test_a_head_goes_after_the_loop() -> None:
    acts(
        distribute,
        loop(lambda x, h, w, v, b: ((new := ts.tanh(h + b)) @ w, new)),
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
                %0 = add(h, b) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                %2 = matmul(%1, w) : float32(1, 2)
                return %1, %2
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
            %2 = scan(h, %1, %0, w, b) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                b : float32(2)
                %0 = add(h, b) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = matmul(%3, w) : float32(4, 1, 2)
            %5 = transpose(%4) axes=[1,0,2] : float32(1, 4, 2)
            %6 = pick(%2) index=0 : float32(1, 2)
            return %5, %6
        """,
    )


def test_what_needs_no_state_is_added_up_first() -> None:
    acts(
        distribute,
        loop(lambda x, h, w, v, b: ((new := h @ w + x @ v + b), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            v : float32(3, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, w, v, b) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                x : float32(1, 3)
                w : float32(2, 2)
                v : float32(3, 2)
                b : float32(2)
                %0 = matmul(h, w) : float32(1, 2)
                %1 = matmul(x, v) : float32(1, 2)
                %2 = add(%0, %1) : float32(1, 2)
                %3 = add(%2, b) : float32(1, 2)
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
            v : float32(3, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = matmul(%1, v) : float32(4, 1, 2)
            %3 = add(%2, b) : float32(4, 1, 2)
            %4 = scan(h, %1, %0, %3, w, v, b) 1 carried, 3 sequences, 4 steps
                h : float32(1, 2)
                %0 : float32(1, 2)
                w : float32(2, 2)
                %1 = matmul(h, w) : float32(1, 2)
                %2 = add(%1, %0) : float32(1, 2)
                return %2, %2
            %5 = pick(%4) index=1 : float32(4, 1, 2)
            %6 = transpose(%5) axes=[1,0,2] : float32(1, 4, 2)
            %7 = pick(%4) index=0 : float32(1, 2)
            return %6, %7
        """,
    )


def test_a_state_that_needs_no_other_gets_a_loop_of_its_own() -> None:
    acts(
        distribute,
        ts.trace(
            lambda x, h: ts.unroll(lambda x, s: (s[1], (low := ts.tanh(s[0] + x), ts.exp(s[1] * low))), x, (h, h)),
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
                %3 = tanh(%2) : float32(1, 2)
                %4 = mul(%1, %3) : float32(1, 2)
                %5 = exp(%4) : float32(1, 2)
                return %3, %5, %1
            %3 = pick(%2) index=2 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            %6 = pick(%2) index=1 : float32(1, 2)
            return %4, %5, %6
        """,
        """
            x : float32(1, 4, 2)
            h : float32(1, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 2)
            %2 = scan(h, %1, %0) 1 carried, 2 sequences, 4 steps
                %0 : float32(1, 2)
                x : float32(1, 2)
                %1 = add(%0, x) : float32(1, 2)
                %2 = tanh(%1) : float32(1, 2)
                return %2, %2
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = scan(h, %1, %0, %3) 1 carried, 3 sequences, 4 steps
                %0 : float32(1, 2)
                %1 : float32(1, 2)
                %2 = mul(%0, %1) : float32(1, 2)
                %3 = exp(%2) : float32(1, 2)
                return %3, %0
            %5 = pick(%4) index=1 : float32(4, 1, 2)
            %6 = transpose(%5) axes=[1,0,2] : float32(1, 4, 2)
            %7 = pick(%2) index=0 : float32(1, 2)
            %8 = pick(%4) index=0 : float32(1, 2)
            return %6, %7, %8
        """,
    )


def test_states_that_need_each_other_stay_together() -> None:
    stays(
        distribute,
        ts.trace(
            lambda x, h: ts.unroll(lambda x, s: (s[0], (ts.tanh(s[1]), ts.exp(s[2]), s[0] * x)), x, (h, h, h)),
            zeros(1, 4, 2),
            zeros(1, 2),
        ),
        """
            x : float32(1, 4, 2)
            h : float32(1, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 2)
            %2 = scan(h, h, h, %1, %0) 3 carried, 2 sequences, 4 steps
                %0 : float32(1, 2)
                %1 : float32(1, 2)
                %2 : float32(1, 2)
                x : float32(1, 2)
                %3 = tanh(%1) : float32(1, 2)
                %4 = exp(%2) : float32(1, 2)
                %5 = mul(%0, x) : float32(1, 2)
                return %3, %4, %5, %0
            %3 = pick(%2) index=3 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            %6 = pick(%2) index=1 : float32(1, 2)
            %7 = pick(%2) index=2 : float32(1, 2)
            return %4, %5, %6, %7
        """,
    )


def test_numbers_are_no_terms_to_be_added_up_first() -> None:
    stays(
        distribute,
        loop(lambda x, h, w, v, b: ((new := h + 2.0 + 3.0), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                %0 = add(h, 2.0) : float32(1, 2)
                %1 = add(%0, 3.0) : float32(1, 2)
                return %1, %1
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
    )


def test_booleans_are_not_added_up_first() -> None:
    acts(
        distribute,
        loop(lambda x, h, w, v, b: ((new := h + (x[:, :2] > 0) + (x[:, :2] < 1)), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                x : float32(1, 3)
                %0 = slice(x) key=[:,:2] : float32(1, 2)
                %1 = greater(%0, 0) : bool(1, 2)
                %2 = add(h, %1) : float32(1, 2)
                %3 = slice(x) key=[:,:2] : float32(1, 2)
                %4 = less(%3, 1) : bool(1, 2)
                %5 = add(%2, %4) : float32(1, 2)
                return %5, %5
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = slice(%1) key=[:,:,:2] : float32(4, 1, 2)
            %3 = greater(%2, 0) : bool(4, 1, 2)
            %4 = slice(%1) key=[:,:,:2] : float32(4, 1, 2)
            %5 = less(%4, 1) : bool(4, 1, 2)
            %6 = scan(h, %1, %0, %3, %5) 1 carried, 4 sequences, 4 steps
                h : float32(1, 2)
                %0 : bool(1, 2)
                %1 : bool(1, 2)
                %2 = add(h, %0) : float32(1, 2)
                %3 = add(%2, %1) : float32(1, 2)
                return %3, %3
            %7 = pick(%6) index=1 : float32(4, 1, 2)
            %8 = transpose(%7) axes=[1,0,2] : float32(1, 4, 2)
            %9 = pick(%6) index=0 : float32(1, 2)
            return %8, %9
        """,
    )


def test_many_elements_stay() -> None:
    stays(
        distribute,
        ts.trace(
            lambda x, h: ts.unroll(lambda x, h: ((new := h * ts.exp(x)), new), x, h),
            zeros(1, 2, FEW_ELEMENTS + 1),
            zeros(1, FEW_ELEMENTS + 1),
        ),
        """
            x : float32(1, 2, 2049)
            h : float32(1, 2049)
            %0 : int64(2)
            %1 = transpose(x) axes=[1,0,2] : float32(2, 1, 2049)
            %2 = scan(h, %1, %0) 1 carried, 2 sequences, 2 steps
                h : float32(1, 2049)
                x : float32(1, 2049)
                %0 = exp(x) : float32(1, 2049)
                %1 = mul(h, %0) : float32(1, 2049)
                return %1, %1
            %3 = pick(%2) index=1 : float32(2, 1, 2049)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 2, 2049)
            %5 = pick(%2) index=0 : float32(1, 2049)
            return %4, %5
        """,
    )


def test_a_loop_that_is_computed_again_stays_whole() -> None:
    stays(
        distribute,
        tile(loop(lambda x, h, w, v, b: ((new := ts.tanh(h @ w + x @ v)), new)), 2),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            w : float32(2, 2)
            v : float32(3, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = slice(%1) key=[0:2] : float32(2, 1, 3)
            %3 = slice(%0) key=[0:2] : int64(2)
            %4 = scan(h, %2, %3, w, v) 1 carried, 2 sequences, 2 steps, to be computed again
                h : float32(1, 2)
                x : float32(1, 3)
                w : float32(2, 2)
                v : float32(3, 2)
                %0 = matmul(h, w) : float32(1, 2)
                %1 = matmul(x, v) : float32(1, 2)
                %2 = add(%0, %1) : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                return %3, %3
            %5 = pick(%4) index=1 : float32(2, 1, 2)
            %6 = pick(%4) index=0 : float32(1, 2)
            %7 = slice(%1) key=[2:4] : float32(2, 1, 3)
            %8 = slice(%0) key=[2:4] : int64(2)
            %9 = scan(%6, %7, %8, w, v) 1 carried, 2 sequences, 2 steps, to be computed again
                h : float32(1, 2)
                x : float32(1, 3)
                w : float32(2, 2)
                v : float32(3, 2)
                %0 = matmul(h, w) : float32(1, 2)
                %1 = matmul(x, v) : float32(1, 2)
                %2 = add(%0, %1) : float32(1, 2)
                %3 = tanh(%2) : float32(1, 2)
                return %3, %3
            %10 = pick(%9) index=1 : float32(2, 1, 2)
            %11 = concat(%5, %10) axis=0 : float32(4, 1, 2)
            %12 = transpose(%11) axes=[1,0,2] : float32(1, 4, 2)
            %13 = pick(%9) index=0 : float32(1, 2)
            return %12, %13
        """,
    )


def test_all_needs_the_state() -> None:
    stays(
        distribute,
        loop(lambda x, h, w, v, b: ((new := ts.tanh(h * h)), new)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0) 1 carried, 2 sequences, 4 steps
                h : float32(1, 2)
                %0 = mul(h, h) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
    )
