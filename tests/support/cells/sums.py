"""Cells that add up over time: which sums may leave the loop as one product."""

from __future__ import annotations

from typing import Any

import tinyseq as ts
from support.cells.table import Draw, batchless, cell


@cell
def running_sum(draw: Draw) -> tuple[Any, Any]:
    """accumulate: a sum that is read in each step must be made in each step."""

    def step(x: Any, state: Any) -> Any:
        return state, state + x

    return step, draw.state(draw.sizes.inputs)


@cell
def running_sum_of_products(draw: Draw) -> tuple[Any, Any]:
    """distribute, accumulate: a sum that is read after the last step only, and an output that is the input."""
    h = draw.sizes.hidden
    w = draw.weight(draw.sizes.inputs, h)

    def step(x: Any, state: Any) -> Any:
        return x, state + x @ w

    return step, draw.state(h)


@cell
def running_sum_that_is_read(draw: Draw) -> tuple[Any, Any]:
    """accumulate: the output reads the sum in each step: one product after the loop comes too late."""
    h = draw.sizes.hidden
    w, v = draw.weight(draw.sizes.inputs, h), draw.weight(h, h)

    def step(x: Any, state: Any) -> Any:
        a, total = state
        a = ts.tanh(a @ v + x @ w)
        total = total + a @ v
        return total, (a, total)

    return step, draw.state(h, h)


@cell
def fast_weights(draw: Draw) -> tuple[Any, Any]:
    """distribute, batching: A' = A + k vᵀ, read in the same step (linear attention): k vᵀ is made for all steps at
    once.
    """
    batch, _, i, h = draw.sizes
    w_k, w_v, w_q = draw.weight(i, h), draw.weight(i, 3), draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        k, v, q = (ts.expand_dims(x @ w, 1) for w in (w_k, w_v, w_q))
        state = state + ts.swapaxes(k, 1, 2) @ v
        return (q @ state)[:, 0], state

    return step, draw(batch, h, 3)


@cell
def fast_weights_not_read(draw: Draw) -> tuple[Any, Any]:
    """accumulate, prune: the same sum, wanted only at the end, with its value of the step before as a second state."""
    batch, _, i, h = draw.sizes
    w_k, w_v, u = draw.weight(h, h), draw.weight(h, 3), draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        total, _, a = state
        a = ts.tanh(ts.concat([a, x], -1) @ u)
        k, v = ts.expand_dims(a @ w_k, 1), ts.expand_dims(a @ w_v, 1)
        return a, (total + ts.swapaxes(k, 1, 2) @ v, total, a)

    return step, (draw(batch, h, 3), draw(batch, h, 3), draw.state(h))


@cell
def fast_weight_programmer(draw: Draw) -> tuple[Any, Any]:
    """accumulate, distribute: the sum is read by the state that it is made of: it must stay in the loop."""
    batch, _, i, h = draw.sizes
    w_k, w_q, u = draw.weight(h, h), draw.weight(i, h), draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        total, a = state
        k = ts.expand_dims(ts.tanh(a @ w_k), 1)
        total = total + ts.swapaxes(k, 1, 2) @ ts.expand_dims(a, 1)
        a = ts.tanh((ts.expand_dims(x @ w_q, 1) @ total)[:, 0] + x @ u)
        return a, (total, a)

    return step, (draw(batch, h, h), draw.state(h))


@batchless
def gram_matrix(draw: Draw) -> tuple[Any, Any]:
    """accumulate: a sum over steps and rows, the form of a weight's gradient, in the forward pass, and read there."""
    _, _, i, h = draw.sizes
    u = draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        a, total, before = state
        a = ts.tanh(ts.concat([a, x], -1) @ u)
        return x * (total.sum() + before.sum()), (a, total + a.T @ x, total)

    return step, (draw.state(h), draw(h, i), draw(h, i))
