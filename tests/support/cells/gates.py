"""Cells of gates: what can be one product, and one op on the wide value."""

from __future__ import annotations

from typing import Any

import tinyseq as ts
from support.cells.table import Draw, cell


@cell
def gate_fed_by_a_gate(draw: Draw) -> tuple[Any, Any]:
    """merge: the second gate's product reads the first gate, so they cannot be one."""
    _, _, i, h = draw.sizes
    w, v, u = draw.weight(h + i, h), draw.weight(2 * h, h), draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        r = ts.sigmoid(ts.concat([state, x], -1) @ w)
        z = ts.sigmoid(ts.concat([r, state], -1) @ v)
        new = z * state + (1.0 - z) * ts.tanh(ts.concat([r * state, x], -1) @ u)
        return new, new

    return step, draw.state(h)


@cell
def minimal_gated_unit(draw: Draw) -> tuple[Any, Any]:
    """merge, pack: only the input's halves of the two products can be one; the state's must wait for each other."""
    _, _, i, h = draw.sizes
    w_f, w_h, b_f, b_h = draw.weight(h + i, h), draw.weight(h + i, h), draw.weight(h), draw.weight(h)

    def step(x: Any, state: Any) -> Any:
        f = ts.sigmoid(ts.concat([state, x], -1) @ w_f + b_f)
        candidate = ts.tanh(ts.concat([f * state, x], -1) @ w_h + b_h)
        new = (1.0 - f) * state + f * candidate
        return new, new

    return step, draw.state(h)


@cell
def shared_weights(draw: Draw) -> tuple[Any, Any]:
    """differentiate, accumulate: one weight in three products, once transposed: its gradient is the sum of all."""
    _, _, i, h = draw.sizes
    w, v = draw.weight(h, h), draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        a, b = state
        a = ts.tanh(a @ w + x @ v)
        b = ts.sigmoid(b @ w + a @ w.T + x @ v)
        return a - b, (a, b)

    return step, draw.state(h, h)


@cell
def gates_of_one_column(draw: Draw) -> tuple[Any, Any]:
    """pack: a product of two columns whose lanes scale whole states: the lanes are as wide as 1, what they meet is
    not.
    """
    _, _, i, h = draw.sizes
    w, v = draw.weight(h + i, 2), draw.weight(h + i, 2 * h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        gates, wide = ts.sigmoid(joined @ w), ts.tanh(joined @ v)
        new = wide[:, :h] * gates[:, 0:1] + wide[:, h:] * gates[:, 1:2]
        return new, new

    return step, draw.state(h)


@cell
def biases_of_one_number(draw: Draw) -> tuple[Any, Any]:
    """pack: biases of one number each cannot stand side by side, each is stretched over a lane."""
    _, _, i, h = draw.sizes
    w, v, b, c = draw.weight(h + i, h), draw.weight(h + i, h), draw.weight(1), draw.weight(1)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        new = ts.sigmoid(joined @ w + b) * ts.sigmoid(joined @ v + c)
        return new, new

    return step, draw.state(h)


@cell
def biases_of_two_axes(draw: Draw) -> tuple[Any, Any]:
    """pack: biases (1, h), of another rank than a vector, are joined along their last axis."""
    _, _, i, h = draw.sizes
    w, v, b, c = draw.weight(h + i, h), draw.weight(h + i, h), draw.weight(1, h), draw.weight(1, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        new = ts.sigmoid(joined @ w + b) * ts.sigmoid(joined @ v + c)
        return new, new

    return step, draw.state(h)


@cell
def biases_per_row(draw: Draw) -> tuple[Any, Any]:
    """pack, absorb: biases (batch, 1) and (batch, h): neither is a vector of the features, which a product could
    carry.
    """
    batch, _, i, h = draw.sizes
    w, v, b, c = draw.weight(h + i, h), draw.weight(h + i, h), draw.weight(batch, 1), draw.weight(batch, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        new = ts.sigmoid(joined @ w + b) * ts.sigmoid(joined @ v + c)
        return new, new

    return step, draw.state(h)


@cell
def gates_of_two_widths(draw: Draw) -> tuple[Any, Any]:
    """merge, pack: lanes of two widths in one product: where each begins, and which ops can be joined at all."""
    _, _, i, h = draw.sizes
    w, v, u = draw.weight(h + i, h), draw.weight(h + i, 3), draw.weight(3, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        new = ts.sigmoid(joined @ w) * ts.tanh(ts.sigmoid(joined @ v) @ u)
        return new, new

    return step, draw.state(h)


@cell
def one_gate_used_twice(draw: Draw) -> tuple[Any, Any]:
    """pack: each lane goes into two ops, and each of these has its own neighbour."""
    _, _, i, h = draw.sizes
    w, v = draw.weight(h + i, h), draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        a, b = joined @ w, joined @ v
        new = ts.tanh(a) * ts.sigmoid(a) + ts.tanh(b) * ts.sigmoid(b)
        return new, ts.tanh(new)

    return step, draw.state(h)


@cell
def squares_of_gates(draw: Draw) -> tuple[Any, Any]:
    """pack: an op that reads one lane twice, and one that reads two lanes of the same wide value."""
    _, _, i, h = draw.sizes
    w, v = draw.weight(h + i, h), draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        a, b = ts.tanh(joined @ w), ts.tanh(joined @ v)
        return a * a - b * b, a * b

    return step, draw.state(h)


@cell
def multiplicative(draw: Draw) -> tuple[Any, Any]:
    """distribute: of two factors (Krause et al. 2016) one can leave the loop; their product, and what reads it,
    cannot.
    """
    _, _, i, h = draw.sizes
    w, v, u = draw.weight(i, h), draw.weight(h, h), draw.weight(h + i, 2 * h)

    def step(x: Any, state: Any) -> Any:
        m = (x @ w) * (state @ v)
        z, candidate = ts.split(ts.concat([m, x], -1) @ u, draw.sizes.hidden)
        new = ts.sigmoid(z) * state + ts.tanh(candidate)
        return new, new * 0.7

    return step, draw.state(h)
