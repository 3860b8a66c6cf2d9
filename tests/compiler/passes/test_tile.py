"""Tile: a loop in tiles, to be computed again one by one."""

from __future__ import annotations

import tinyseq as ts
from support.passes import acts, loop, stays, zeros
from tinyseq.compiler.passes.tile import tile
from tinyseq.graph import Graph


def tiles_of_two(graph: Graph) -> Graph:
    return tile(graph, 2)


def test_a_loop() -> None:
    acts(
        tiles_of_two,
        loop(lambda x, h, w, v, b: ((new := ts.tanh(h + b)), new)),
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
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
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
            %2 = slice(%1) key=[0:2] : float32(2, 1, 3)
            %3 = slice(%0) key=[0:2] : int64(2)
            %4 = scan(h, %2, %3, b) 1 carried, 2 sequences, 2 steps, to be computed again
                h : float32(1, 2)
                b : float32(2)
                %0 = add(h, b) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
            %5 = pick(%4) index=1 : float32(2, 1, 2)
            %6 = pick(%4) index=0 : float32(1, 2)
            %7 = slice(%1) key=[2:4] : float32(2, 1, 3)
            %8 = slice(%0) key=[2:4] : int64(2)
            %9 = scan(%6, %7, %8, b) 1 carried, 2 sequences, 2 steps, to be computed again
                h : float32(1, 2)
                b : float32(2)
                %0 = add(h, b) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
            %10 = pick(%9) index=1 : float32(2, 1, 2)
            %11 = concat(%5, %10) axis=0 : float32(4, 1, 2)
            %12 = transpose(%11) axes=[1,0,2] : float32(1, 4, 2)
            %13 = pick(%9) index=0 : float32(1, 2)
            return %12, %13
        """,
    )


def test_a_loop_that_runs_backwards_begins_with_the_last_tile() -> None:
    acts(
        tiles_of_two,
        loop(lambda x, h, w, v, b: ((new := ts.tanh(h + b)), new), reverse=True),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, b) 1 carried, 2 sequences, 4 steps, backwards
                h : float32(1, 2)
                b : float32(2)
                %0 = add(h, b) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
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
            %2 = slice(%1) key=[2:4] : float32(2, 1, 3)
            %3 = slice(%0) key=[2:4] : int64(2)
            %4 = scan(h, %2, %3, b) 1 carried, 2 sequences, 2 steps, backwards, to be computed again
                h : float32(1, 2)
                b : float32(2)
                %0 = add(h, b) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
            %5 = pick(%4) index=0 : float32(1, 2)
            %6 = slice(%1) key=[0:2] : float32(2, 1, 3)
            %7 = slice(%0) key=[0:2] : int64(2)
            %8 = scan(%5, %6, %7, b) 1 carried, 2 sequences, 2 steps, backwards, to be computed again
                h : float32(1, 2)
                b : float32(2)
                %0 = add(h, b) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
            %9 = pick(%8) index=1 : float32(2, 1, 2)
            %10 = pick(%4) index=1 : float32(2, 1, 2)
            %11 = concat(%9, %10) axis=0 : float32(4, 1, 2)
            %12 = transpose(%11) axes=[1,0,2] : float32(1, 4, 2)
            %13 = pick(%8) index=0 : float32(1, 2)
            return %12, %13
        """,
    )


def test_a_gradient_that_is_cut_is_cut_between_tiles() -> None:
    acts(
        tiles_of_two,
        loop(lambda x, h, w, v, b: ((new := ts.tanh(h + b)), new), truncate=2),
        """
            x : float32(1, 4, 3)
            h : float32(1, 2)
            b : float32(2)
            %0 : int64(4)
            %1 = transpose(x) axes=[1,0,2] : float32(4, 1, 3)
            %2 = scan(h, %1, %0, b) 1 carried, 2 sequences, 4 steps, cut every 2
                h : float32(1, 2)
                b : float32(2)
                %0 = add(h, b) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
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
            %2 = slice(%1) key=[0:2] : float32(2, 1, 3)
            %3 = slice(%0) key=[0:2] : int64(2)
            %4 = scan(h, %2, %3, b) 1 carried, 2 sequences, 2 steps, cut every 2, to be computed again
                h : float32(1, 2)
                b : float32(2)
                %0 = add(h, b) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
            %5 = pick(%4) index=1 : float32(2, 1, 2)
            %6 = pick(%4) index=0 : float32(1, 2)
            %7 = stop_gradient(%6) : float32(1, 2)
            %8 = slice(%1) key=[2:4] : float32(2, 1, 3)
            %9 = slice(%0) key=[2:4] : int64(2)
            %10 = scan(%7, %8, %9, b) 1 carried, 2 sequences, 2 steps, cut every 2, to be computed again
                h : float32(1, 2)
                b : float32(2)
                %0 = add(h, b) : float32(1, 2)
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
            %11 = pick(%10) index=1 : float32(2, 1, 2)
            %12 = concat(%5, %11) axis=0 : float32(4, 1, 2)
            %13 = transpose(%12) axes=[1,0,2] : float32(1, 4, 2)
            %14 = pick(%10) index=0 : float32(1, 2)
            return %13, %14
        """,
    )


def test_a_loop_no_longer_than_a_tile_stays() -> None:
    stays(
        lambda graph: tile(graph, 4),
        loop(lambda x, h, w, v, b: ((new := ts.tanh(h + b)), new)),
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
                %1 = tanh(%0) : float32(1, 2)
                return %1, %1
            %3 = pick(%2) index=1 : float32(4, 1, 2)
            %4 = transpose(%3) axes=[1,0,2] : float32(1, 4, 2)
            %5 = pick(%2) index=0 : float32(1, 2)
            return %4, %5
        """,
    )


def test_no_loop() -> None:
    stays(
        tiles_of_two,
        ts.trace(lambda x, h: ts.tanh(x[:, 0] + h), zeros(1, 4, 3), zeros(1, 3)),
        """
            x : float32(1, 4, 3)
            h : float32(1, 3)
            %0 = slice(x) key=[:,0] : float32(1, 3)
            %1 = add(%0, h) : float32(1, 3)
            %2 = tanh(%1) : float32(1, 3)
            return %2
        """,
    )
