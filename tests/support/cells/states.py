"""Cells of several states, which read and become one another."""

from __future__ import annotations

from typing import Any

import tinyseq as ts
from support.cells.table import Draw, cell


@cell
def two_states_of_two_widths(draw: Draw) -> tuple[Any, Any]:
    """distribute, planning_loops: two states that need each other are one loop; the parts of their concatenation differ
    in width.
    """
    _, _, i, h = draw.sizes
    w, v = draw.weight(h + 3 + i, h), draw.weight(h, 3)

    def step(x: Any, state: Any) -> Any:
        a, b = state
        a = ts.tanh(ts.concat([a, b, x], -1) @ w)
        b = ts.sigmoid(a @ v) * b + ts.tanh(a @ v)
        return a * 2.0, (a, b)

    return step, draw.state(h, 3)


@cell
def two_layers_in_one_step(draw: Draw) -> tuple[Any, Any]:
    """distribute: two loops, of which the second reads the first's new state and not the old one."""
    _, _, i, h = draw.sizes
    w1, w2, head = draw.weight(h + i, h), draw.weight(2 * h, h), draw.weight(h, 2)

    def step(x: Any, state: Any) -> Any:
        low, high = state
        low = ts.tanh(ts.concat([low, x], -1) @ w1)
        high = ts.tanh(ts.concat([high, low], -1) @ w2)
        return high @ head, (low, high)

    return step, draw.state(h, h)


@cell
def upper_layer_reads_the_previous_lower(draw: Draw) -> tuple[Any, Any]:
    """distribute: the upper loop reads the lower state as it was before the step, from the first state on."""
    _, _, i, h = draw.sizes
    w1, w2 = draw.weight(h + i, h), draw.weight(2 * h, h)

    def step(x: Any, state: Any) -> Any:
        low, high = state
        new = ts.tanh(ts.concat([low, x], -1) @ w1)
        return high, (new, ts.sigmoid(ts.concat([high, low], -1) @ w2))

    return step, draw.state(h, h)


@cell
def swapped_states(draw: Draw) -> tuple[Any, Any]:
    """planning_loops: each state goes where the other is still read."""
    h = draw.sizes.hidden
    w = draw.weight(draw.sizes.inputs, h)

    def step(x: Any, state: Any) -> Any:
        a, b = state
        return a + x @ w, (b, a)

    return step, draw.state(h, h)


@cell
def swapped_and_changed(draw: Draw) -> tuple[Any, Any]:
    """planning_loops, distribute: a swap of which one half is changed; the other is passed on, and is an output."""
    _, _, i, h = draw.sizes
    w = draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        a, b = state
        return b, (b, ts.tanh(a + x @ w))

    return step, draw.state(h, h)


@cell
def fibonacci(draw: Draw) -> tuple[Any, Any]:
    """planning_loops: one state becomes the other, unchanged, while a step reads both."""

    def step(x: Any, state: Any) -> Any:
        a, b = state
        return a * x, ((a + b) * 0.5, a)

    return step, draw.state(draw.sizes.inputs, draw.sizes.inputs)


@cell
def three_states_in_a_ring(draw: Draw) -> tuple[Any, Any]:
    """planning_loops: a value passes through three states, so that exchanging two buffers will not do."""
    _, _, i, h = draw.sizes
    w = draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        a, b, c = state
        return a * b, (b, c, ts.tanh(a * 0.5 + x @ w))

    return step, draw.state(h, h, h)


@cell
def one_value_for_two_states(draw: Draw) -> tuple[Any, Any]:
    """planning_loops, differentiate: one value is two states and two outputs: it has one home, and four gradients
    arrive.
    """
    _, _, i, h = draw.sizes
    w = draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        a, b = state
        new = ts.tanh(ts.concat([a, x], -1) @ w + b)
        return (new, new), (new, new)

    return step, draw.state(h, h)


@cell
def dict_of_states(draw: Draw) -> tuple[Any, Any]:
    """unrolling: states and outputs in nested dicts whose keys come in different orders; an output is an old state."""
    _, _, i, h = draw.sizes
    w = draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(ts.concat([state["z"], x], -1) @ w)
        return {"out": new, "sum": state["a"]["sum"]}, {"a": {"sum": state["a"]["sum"] * 0.9 + new}, "z": new}

    return step, {"a": {"sum": draw.state(h)}, "z": draw.state(h)}
