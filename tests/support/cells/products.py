"""Cells that multiply by memories, by states, by the left, and in odd ranks."""

from __future__ import annotations

from typing import Any

import tinyseq as ts
from support.cells.table import Draw, batchless, cell


@cell
def attention_over_a_memory(draw: Draw) -> tuple[Any, Any]:
    """batching, layout: a stack of matrices that is the same in all steps, times a state: three axes in the loop."""
    batch, _, i, h = draw.sizes
    w, memory = draw.weight(2 * h + i, h), draw.weight(batch, 6, h)

    def step(x: Any, state: Any) -> Any:
        scores = (memory @ ts.expand_dims(state, 2))[:, :, 0]
        context = (ts.expand_dims(ts.softmax(scores, -1), 1) @ memory)[:, 0]
        new = ts.tanh(ts.concat([state, context, x], -1) @ w)
        return new, new

    return step, draw.state(h)


@cell
def attention_by_einsum(draw: Draw) -> tuple[Any, Any]:
    """describe, differentiate: an einsum of three operands of which one changes: native where there is a form for
    it.
    """
    batch, _, i, h = draw.sizes
    w, memory, keys = draw.weight(2 * h + i, h), draw.weight(batch, 6, h), draw.weight(h, h)

    def step(x: Any, state: Any) -> Any:
        weights = ts.softmax(ts.einsum("bsh,hk,bk->bs", memory, keys, state), axis=-1)
        context = ts.einsum("bs,bsh->bh", weights, memory)
        new = ts.tanh(ts.concat([state, context, x], -1) @ w)
        return (new, weights), new

    return step, draw.state(h)


@cell
def additive_attention(draw: Draw) -> tuple[Any, Any]:
    """hoist: the memory's projection leaves the loop, its sum with the state's stays."""
    batch, _, i, h = draw.sizes
    w, u, v, memory = draw.weight(h, h), draw.weight(h, h), draw.weight(h), draw.weight(batch, 6, h)
    out = draw.weight(2 * h + i, h)

    def step(x: Any, state: Any) -> Any:
        scores = ts.tanh(memory @ w + ts.expand_dims(state @ u, 1)) @ v
        context = (ts.expand_dims(ts.softmax(scores, -1), 2) * memory).sum(1)
        new = ts.tanh(ts.concat([state, context, x], -1) @ out)
        return new, new

    return step, draw.state(h)


@batchless
def heads_read_the_input(draw: Draw) -> tuple[Any, Any]:
    """distribute, batching: (batch, inputs) @ (heads, inputs, n): time as a leading axis would fall on the heads."""
    batch, _, i, h = draw.sizes
    keys, left, right = draw.weight(batch, i, h), draw.weight(batch, 3, batch), draw.weight(batch, i, i)

    def step(x: Any, state: Any) -> Any:
        a = (x @ keys).mean(0)
        b = left @ x  # a stack of matrices times one matrix that changes from step to step
        c = x.mean(0) @ right  # a vector that changes, times a stack
        state = ts.tanh(state + a)
        return (state, b, c), state

    return step, draw.state(h)


@cell
def weights_on_the_left(draw: Draw) -> tuple[Any, Any]:
    """layout, absorb, merge: the weight is the left operand, and the state is transposed."""
    _, _, i, h = draw.sizes
    w, v = draw.weight(h, h), draw.weight(h, i)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(w @ state.T + v @ x.T).T
        return new, new

    return step, draw.state(h)


@cell
def product_of_states(draw: Draw) -> tuple[Any, Any]:
    """layout, accumulate: a state times itself: no operand is a matrix from outside."""
    _, _, i, h = draw.sizes
    w = draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(ts.softmax(state @ state.T, -1) @ state + x @ w)
        return (new @ new.T, new), new

    return step, draw.state(h)


@cell
def weights_made_in_the_step(draw: Draw) -> tuple[Any, Any]:
    """hoist, expand: each step makes its weights from weights alone: once, outside, and so for their gradients."""
    _, _, i, h = draw.sizes
    w, v, u, g = draw.weight(h, 2), draw.weight(2, h), draw.weight(i, h), draw.weight(h)

    def step(x: Any, state: Any) -> Any:
        low_rank = w @ v
        normal = g * low_rank / ts.sqrt((low_rank * low_rank).sum(0) + 0.1)
        new = ts.tanh(state @ normal + x @ ts.stop_gradient(u) + x @ (u * 2.0 * 0.25))
        return new, new

    return step, draw.state(h)


@cell
def weights_as_a_state(draw: Draw) -> tuple[Any, Any]:
    """layout, merge: the right operand is a state: no weight that could be laid out, or joined, before the loop."""
    batch, _, i, h = draw.sizes
    w, v = draw.weight(i, h), draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        a, weights = state
        a = ts.tanh((ts.expand_dims(a, 1) @ weights)[:, 0] + x @ w)
        weights = weights * 0.9 + ts.einsum("bi,bj->bij", a, x @ v) * 0.1
        return a, (a, weights)

    return step, (draw.state(h), draw(batch, h, h))


@cell
def tied_weights(draw: Draw) -> tuple[Any, Any]:
    """layout, accumulate: one weight multiplied by as it is and transposed: two layouts, one gradient."""
    _, _, i, h = draw.sizes
    w, u = draw.weight(h, h), draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(ts.tanh(state @ w) @ w.T + x @ u)
        return new @ u.T, new

    return step, draw.state(h)


@cell
def convolution_over_a_window(draw: Draw) -> tuple[Any, Any]:
    """planning_loops: the window moves on by one within its own buffer, and the input takes the last place."""
    batch, _, i, h = draw.sizes
    w = draw.weight(3 * i, h)

    def step(x: Any, window: Any) -> Any:
        window = ts.concat([window[:, 1:], ts.expand_dims(x, 1)], 1)
        return ts.relu(ts.reshape(window, (batch, 3 * i)) @ w), window

    return step, draw(batch, 3, i)
