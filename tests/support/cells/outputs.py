"""Cells whose outputs and states are not the usual ones: old states, inputs, constants, numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinyseq as ts
from support.cells.table import F64, Draw, batchless, cell


@cell
def output_of_the_previous_step(draw: Draw) -> tuple[Any, Any]:
    """distribute: the head is done after the loop, on the states before each step: the first is there, the last is
    not.
    """
    _, _, i, h = draw.sizes
    w, head = draw.weight(h + i, h), draw.weight(h, 2)

    def step(x: Any, state: Any) -> Any:
        return state @ head, ts.tanh(ts.concat([state, x], -1) @ w)

    return step, draw.state(h)


@cell
def output_is_the_old_state(draw: Draw) -> tuple[Any, Any]:
    """planning_loops, prune: old states and new ones are two views of one buffer; the input is no output of the
    loop.
    """
    _, _, i, h = draw.sizes
    w = draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(ts.concat([state, x], -1) @ w)
        return (state, new, x), new

    return step, draw.state(h)


@cell
def state_that_never_changes(draw: Draw) -> tuple[Any, Any]:
    """prune: a state that is only passed on is a constant; then nothing is left of the loop."""
    _, _, i, h = draw.sizes
    w = draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        return ts.tanh(x @ w) * state, state

    return step, draw.state(h)


@cell
def state_is_the_previous_input(draw: Draw) -> tuple[Any, Any]:
    """planning_loops, differentiate: the next state is the input, which no kernel of the loop writes."""
    w = draw.weight(2 * draw.sizes.inputs, 3)

    def step(x: Any, state: Any) -> Any:
        return ts.tanh(ts.concat([state, x], -1) @ w), x

    return step, draw.state(draw.sizes.inputs)


@cell
def inputs_delayed_by_two(draw: Draw) -> tuple[Any, Any]:
    """planning_loops: states that are inputs of one and two steps ago, and outputs that read them."""
    i = draw.sizes.inputs
    w = draw.weight(i, 3)

    def step(x: Any, state: Any) -> Any:
        one, two = state
        return (two @ w, x + one * two), (x, one)

    return step, draw.state(i, i)


@cell
def state_is_a_weight(draw: Draw) -> tuple[Any, Any]:
    """planning_loops, differentiate: the next state is a constant: only the first step sees the state that is given."""
    batch, _, i, h = draw.sizes
    w, u = draw.weight(batch, h), draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        return ts.tanh(ts.concat([state, x], -1) @ u), w

    return step, draw.state(h)


@cell
def unused_input(draw: Draw) -> tuple[Any, Any]:
    """prune, differentiate: no step reads its input, which says how many steps there are all the same."""
    h = draw.sizes.hidden
    w = draw.weight(h, h)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(state @ w)
        return new, new

    return step, draw.state(h)


@cell
def unused_state(draw: Draw) -> tuple[Any, Any]:
    """prune: a state that no output reads is wanted after the last step."""
    h = draw.sizes.hidden
    w, v = draw.weight(draw.sizes.inputs, h), draw.weight(h, h)

    def step(x: Any, state: Any) -> Any:
        a, idle = state
        a = ts.tanh(a @ v + x @ w)
        return a, (a, idle * 0.5)

    return step, draw.state(h, h)


@batchless
def output_without_the_input(draw: Draw) -> tuple[Any, Any]:
    """distribute, batching: one output reads a state alone, one a weight alone: both have a value a step."""
    _, _, i, h = draw.sizes
    w, head, b = draw.weight(h + i, h), draw.weight(h, 2), draw.weight(3, 2)

    def step(x: Any, state: Any) -> Any:
        a, free = state
        free = free * 0.8
        return (free @ head, ts.tanh(b)), (ts.tanh(ts.concat([a, x], -1) @ w), free)

    return step, draw.state(h, h)


@cell
def step_counter(draw: Draw) -> tuple[Any, Any]:
    """kinds, differentiate: states of integers and of booleans, without gradients, beside one that has one."""
    batch, _, i, h = draw.sizes
    w = draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        a, count, odd = state
        count = count + 1
        odd = ts.where(odd, count == 7, True)
        a = ts.where(odd, ts.tanh(ts.concat([a, x], -1) @ w), a) / ts.cast(count, F64)
        return (a, count * 2 * 3), (a, count, odd)

    counts = ts.tensor(np.arange(batch).reshape(batch, 1))
    return step, (draw.state(h), counts, ts.tensor(np.arange(batch).reshape(batch, 1) % 2 == 0))


@batchless
def states_of_one_axis_and_none(draw: Draw) -> tuple[Any, Any]:
    """layout, planning_loops: states of one axis and of none: there are no features that could come first."""
    w = draw.weight(draw.sizes.inputs)

    def step(x: Any, state: Any) -> Any:
        row, number, vector = state
        row = ts.maximum(row, x @ w)
        number = number * 0.5 + x.mean()
        vector = ts.tanh(vector + x.sum(0))
        return row * number, (row, number, vector)

    return step, (draw(draw.sizes.batch), draw(), draw(draw.sizes.inputs))


@batchless
def vectors_without_a_batch_axis(draw: Draw) -> tuple[Any, Any]:
    """layout, absorb, gemm: vectors times matrices: there are no rows, and the sum's axis is the only one."""
    _, _, i, h = draw.sizes
    w, v = draw.weight(h + i, h), draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x.mean(0)], 0)
        state = ts.tanh(joined @ w + state) * ts.sigmoid(joined @ v + state)
        return state, state

    return step, draw(h)
