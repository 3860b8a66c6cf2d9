"""Cells with all kinds of ops in the step."""

from __future__ import annotations

from typing import Any

import tinyseq as ts
from support.cells.table import Draw, batchless, cell
from tinyseq import nn


@cell
def wide_state_by_concat(draw: Draw) -> tuple[Any, Any]:
    """pack, planning_loops: the state is a concatenation of two gates, each written to its part of the next place."""
    _, _, i, h = draw.sizes
    w, v = draw.weight(2 * h + i, h), draw.weight(2 * h + i, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        new = ts.concat([ts.tanh(joined @ w), ts.sigmoid(joined @ v)], -1)
        return new, new

    return step, draw.state(2 * h)


@cell
def concat_of_concats(draw: Draw) -> tuple[Any, Any]:
    """expand, planning_loops: a concatenation within a concatenation, and used twice: the places of parts of parts."""
    _, _, i, h = draw.sizes
    w = draw.weight(h + 2 * i, h)

    def step(x: Any, state: Any) -> Any:
        inner = ts.concat([x, ts.tanh(x)], -1)
        new = ts.tanh(ts.concat([inner, state], -1) @ w)
        return ts.concat([inner, ts.concat([new, inner], -1)], -1), new

    return step, draw.state(h)


@cell
def state_written_into_a_concat(draw: Draw) -> tuple[Any, Any]:
    """planning_loops: the new state, twice, and the old one in one concatenation; overlapping slices in another."""
    _, _, i, h = draw.sizes
    w = draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(ts.concat([state, x], -1) @ w)
        return (ts.concat([new, new, state], -1), ts.concat([new[:, :2], new[:, 1:]], -1)), new

    return step, draw.state(h)


@cell
def slices_stacks_and_splits(draw: Draw) -> tuple[Any, Any]:
    """pack, planning: views of views, of every other column and from the end, and a split that looks like lanes."""
    _, _, i, h = draw.sizes
    w = draw.weight(h + i, 3 * h)

    def step(x: Any, state: Any) -> Any:
        wide = ts.concat([state, x], -1) @ w
        a, b, c = ts.split(wide, [h, h, h], axis=-1)
        d, e = ts.split(ts.tanh(wide[:, ::-1][:, : 2 * h]), h)
        new = ts.stack([a, b, c, d, e], 1).tanh().mean(1)
        first, *_, last = ts.unstack(new, 1)
        return (new[:, -1], wide[..., 1::2], first - last, new[:, None]), new

    return step, draw.state(h)


@cell
def indices(draw: Draw) -> tuple[Any, Any]:
    """gathering, indexing: places that are found in the step; where one comes twice its gradients are added up."""
    _, _, i, h = draw.sizes
    w, table = draw.weight(h + i, h), draw.weight(max(h, 5), h)
    order = [h - 1, 0, 1]

    def step(x: Any, state: Any) -> Any:
        best = ts.argmax(state, 1)
        looked = ts.embedding(table, best)
        new = ts.tanh(ts.concat([state + looked, x], -1) @ w)
        picked = ts.gather(new, ts.expand_dims(best, 1), 1)
        return (new[:, order], ts.take(new, ts.tensor([0, 0]), axis=1), picked, best), new

    return step, draw.state(h)


@cell
def choices(draw: Draw) -> tuple[Any, Any]:
    """pack, operations: a choice between lanes computes both and has the gradient of one; so for extremes and clip."""
    _, _, i, h = draw.sizes
    w, v = draw.weight(h + i, h), draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        a, b = joined @ w, joined @ v
        chosen = ts.where(a > b, ts.tanh(a), ts.relu(b) * 0.5)
        new = ts.clip(ts.maximum(chosen, state * 0.3) + ts.minimum(a, 0.1), -0.9, 0.9)
        return (new, a.max(-1), b.min(1, keepdims=True), ts.abs(a) <= 0.3), new

    return step, draw.state(h)


@cell
def normalisations(draw: Draw) -> tuple[Any, Any]:
    """reducing: sums and extremes of a step's rows, with their axis and without, and what is scaled by them."""
    _, _, i, h = draw.sizes
    w, gain, bias = draw.weight(h + i, h), draw.weight(h), draw.weight(h)

    def step(x: Any, state: Any) -> Any:
        a = ts.concat([state, x], -1) @ w
        centred = a - a.mean(-1, keepdims=True)
        new = ts.tanh(centred / ts.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-3) * gain + bias)
        outputs = ts.softmax(new, -1), ts.log_softmax(a, axis=1), ts.logsumexp(new, -1), ts.cumsum(new, 1)
        return (*outputs, ts.var(new, -1)), new

    return step, draw.state(h)


@cell
def functions(draw: Draw) -> tuple[Any, Any]:
    """operations: the element-wise functions and their gradients, in one step."""
    _, _, i, h = draw.sizes
    w, v = draw.weight(h, h), draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        a = state @ w + x @ v
        b = ts.softplus(a) + ts.erf(a) * ts.exp(-ts.abs(a)) + ts.log1p(a * a) + ts.sin(a) * ts.cos(a) + ts.gelu(a)
        c = ts.sqrt(b * b + 1.0) ** 0.5 / (1.0 + ts.exp(a.clip(None, 1.0))) - ts.expm1(-a * a) + ts.log(a * a + 0.5)
        return (a**2, 2.0 - b, 1.0 / (b * b + 1.0), -a, ts.sign(a)), ts.tanh(c)

    return step, draw.state(h)


@batchless
def axes_moved_about(draw: Draw) -> tuple[Any, Any]:
    """layout, batching: reshapes, transposes and pads that make something else of a step's rows and features."""
    batch, _, i, h = draw.sizes
    w = draw.weight(h + i, 2 * h)

    def step(x: Any, state: Any) -> Any:
        wide = ts.tanh(ts.concat([state, x], -1) @ w)
        cube = ts.transpose(ts.reshape(wide, (batch, 2, h)), 1, 0, 2)
        new = ts.reshape(ts.swapaxes(cube, 0, 1), (batch, 2 * h))[:, h:] + ts.flip(cube[0], 1)
        padded = ts.pad(new, ((0, 0), (1, 2)))
        return (cube, padded, ts.broadcast_to(new[:, :1], (2, batch, h)), ts.tril(new.T @ new)), ts.tanh(new)

    return step, draw.state(h)


@cell
def dropout_in_the_step(draw: Draw) -> tuple[Any, Any]:
    """hoist, simplify: three draws a step from constants alone: not one for all steps, and no two of them equal."""
    _, _, i, h = draw.sizes
    w, drop = draw.weight(h + i, h), nn.Dropout(0.4)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(ts.concat([drop(state), drop(x)], -1) @ w)
        return drop(new), new

    return step, draw.state(h)


@cell
def stopped_gradients(draw: Draw) -> tuple[Any, Any]:
    """differentiate: the gradient stops at one of two states and at the input, and goes on through the others."""
    _, _, i, h = draw.sizes
    w, v = draw.weight(h + i, h), draw.weight(h, h)

    def step(x: Any, state: Any) -> Any:
        a, b = state
        a = ts.tanh(ts.concat([a, x.detach()], -1) @ w)
        b = ts.tanh(ts.stop_gradient(b) @ v + a)
        return a * b, (a, b)

    return step, draw.state(h, h)


@cell
def scaled_again_and_again(draw: Draw) -> tuple[Any, Any]:
    """simplify, expand: chains of factors and of zeros that are added: which may go, which (x * 0) must stay."""
    _, _, i, h = draw.sizes
    w, v, b = draw.weight(h, h), draw.weight(i, h), draw.weight(h)

    def step(x: Any, state: Any) -> Any:
        a = ((state @ w + x @ v + b) * 0.5 * 3.0 + 0.0) * 1.0
        new = ts.tanh(((a + a) * 0.25 - 0.0) * 2) + (0.1 * -a) * -1.0
        return new * 0.0 + 2 * new, ts.tanh(new)

    return step, draw.state(h)


@batchless
def everything_depends_on_the_input_alone(draw: Draw) -> tuple[Any, Any]:
    """distribute, prune: no step reads the state: nothing is left of the loop, nor of the first state's gradient."""
    _, _, i, h = draw.sizes
    w, v, u = draw.weight(i, h), draw.weight(h, h), draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        a = ts.tanh(x @ w) @ v
        return ts.softmax(ts.relu(a) * ts.sigmoid(x @ u), -1).sum(0), a

    return step, draw.state(h)
