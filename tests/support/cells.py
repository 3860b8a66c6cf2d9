"""Cells that no pass was written for, as functions to compile: what they compute is odd on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

import tinyseq as ts
from tinyseq import nn

F64 = np.float64


class Sizes(NamedTuple):
    batch: int = 3
    time: int = 5
    inputs: int = 2
    hidden: int = 4


@dataclass
class Case:
    """A function to compile, its arguments, and the tensors that it closes over."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    weights: list[ts.Tensor] = field(default_factory=list)

    def tensors(self) -> list[ts.Tensor]:
        """Return all that may get a gradient."""
        given = [x for _, x in ts.trees.leaves(self.args) if isinstance(x, ts.Tensor)]
        return [x for x in [*given, *self.weights] if x.requires_grad]


class Draw:
    """Makes float64 tensors; it remembers those that are weights."""

    def __init__(self, sizes: Sizes, seed: int = 0) -> None:
        self.rng, self.sizes = np.random.default_rng(seed), sizes
        self.weights: list[ts.Tensor] = []

    def __call__(self, *shape: int, grad: bool = True) -> ts.Tensor:
        return ts.tensor(self.rng.normal(0.0, 0.6, shape), requires_grad=grad)

    def weight(self, *shape: int) -> ts.Tensor:
        self.weights.append(self(*shape))
        return self.weights[-1]

    def state(self, *widths: int) -> Any:
        """One state of the batch for each width."""
        states = tuple(self(self.sizes.batch, width) for width in widths)
        return states if len(states) > 1 else states[0]

    def xs(self) -> ts.Tensor:
        return self(self.sizes.batch, self.sizes.time, self.sizes.inputs)


Make = Callable[[Draw], tuple[Any, Any]]
#: name -> (draw) -> (step, initial state).
CELLS: dict[str, Make] = {}
#: Cells whose states or outputs have no batch axis in front, which lengths need.
BATCHLESS: set[str] = set()
#: name -> (sizes) -> Case: what is not one cell over one sequence.
FUNCTIONS: dict[str, Callable[[Sizes], Case]] = {}


def cell(make: Make) -> Make:
    CELLS[make.__name__] = make
    return make


def batchless(make: Make) -> Make:
    BATCHLESS.add(make.__name__)
    return cell(make)


def function(make: Callable[[Sizes], Case]) -> Callable[[Sizes], Case]:
    FUNCTIONS[make.__name__] = make
    return make


def cell_case(name: str, sizes: Sizes | None = None, **options: Any) -> Case:
    """The cell over a sequence; ``options`` are those of ``ts.unroll``."""
    draw = Draw(sizes or Sizes())
    step, state = CELLS[name](draw)

    def fn(xs: Any, state: Any) -> Any:
        return ts.unroll(step, xs, state, **options)

    return Case(fn, (draw.xs(), state), draw.weights)


# -- several states ----------------------------------------------------------------------------------------------------


@cell
def two_states_of_two_widths(draw: Draw) -> tuple[Any, Any]:
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
    _, _, i, h = draw.sizes
    w1, w2 = draw.weight(h + i, h), draw.weight(2 * h, h)

    def step(x: Any, state: Any) -> Any:
        low, high = state
        new = ts.tanh(ts.concat([low, x], -1) @ w1)
        return high, (new, ts.sigmoid(ts.concat([high, low], -1) @ w2))

    return step, draw.state(h, h)


@cell
def swapped_states(draw: Draw) -> tuple[Any, Any]:
    h = draw.sizes.hidden
    w = draw.weight(draw.sizes.inputs, h)

    def step(x: Any, state: Any) -> Any:
        a, b = state
        return a + x @ w, (b, a)

    return step, draw.state(h, h)


@cell
def swapped_and_changed(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w = draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        a, b = state
        return b, (b, ts.tanh(a + x @ w))

    return step, draw.state(h, h)


@cell
def fibonacci(draw: Draw) -> tuple[Any, Any]:
    def step(x: Any, state: Any) -> Any:
        a, b = state
        return a * x, ((a + b) * 0.5, a)

    return step, draw.state(draw.sizes.inputs, draw.sizes.inputs)


@cell
def three_states_in_a_ring(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w = draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        a, b, c = state
        return a * b, (b, c, ts.tanh(a * 0.5 + x @ w))

    return step, draw.state(h, h, h)


@cell
def one_value_for_two_states(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w = draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        a, b = state
        new = ts.tanh(ts.concat([a, x], -1) @ w + b)
        return (new, new), (new, new)

    return step, draw.state(h, h)


@cell
def dict_of_states(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w = draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(ts.concat([state["z"], x], -1) @ w)
        return {"out": new, "sum": state["a"]["sum"]}, {"a": {"sum": state["a"]["sum"] * 0.9 + new}, "z": new}

    return step, {"a": {"sum": draw.state(h)}, "z": draw.state(h)}


# -- gates -------------------------------------------------------------------------------------------------------------


@cell
def gate_fed_by_a_gate(draw: Draw) -> tuple[Any, Any]:
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
    """A product of two columns whose lanes scale whole states: the lanes are as wide as 1, what they meet is not."""
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
    _, _, i, h = draw.sizes
    w, v, b, c = draw.weight(h + i, h), draw.weight(h + i, h), draw.weight(1), draw.weight(1)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        new = ts.sigmoid(joined @ w + b) * ts.sigmoid(joined @ v + c)
        return new, new

    return step, draw.state(h)


@cell
def biases_of_two_axes(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w, v, b, c = draw.weight(h + i, h), draw.weight(h + i, h), draw.weight(1, h), draw.weight(1, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        new = ts.sigmoid(joined @ w + b) * ts.sigmoid(joined @ v + c)
        return new, new

    return step, draw.state(h)


@cell
def biases_per_row(draw: Draw) -> tuple[Any, Any]:
    batch, _, i, h = draw.sizes
    w, v, b, c = draw.weight(h + i, h), draw.weight(h + i, h), draw.weight(batch, 1), draw.weight(batch, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        new = ts.sigmoid(joined @ w + b) * ts.sigmoid(joined @ v + c)
        return new, new

    return step, draw.state(h)


@cell
def gates_of_two_widths(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w, v, u = draw.weight(h + i, h), draw.weight(h + i, 3), draw.weight(3, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        new = ts.sigmoid(joined @ w) * ts.tanh(ts.sigmoid(joined @ v) @ u)
        return new, new

    return step, draw.state(h)


@cell
def one_gate_used_twice(draw: Draw) -> tuple[Any, Any]:
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
    _, _, i, h = draw.sizes
    w, v = draw.weight(h + i, h), draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        a, b = ts.tanh(joined @ w), ts.tanh(joined @ v)
        return a * a - b * b, a * b

    return step, draw.state(h)


@cell
def multiplicative(draw: Draw) -> tuple[Any, Any]:
    """The product of two projections (Krause et al. 2016) goes into every gate."""
    _, _, i, h = draw.sizes
    w, v, u = draw.weight(i, h), draw.weight(h, h), draw.weight(h + i, 2 * h)

    def step(x: Any, state: Any) -> Any:
        m = (x @ w) * (state @ v)
        z, candidate = ts.split(ts.concat([m, x], -1) @ u, draw.sizes.hidden)
        new = ts.sigmoid(z) * state + ts.tanh(candidate)
        return new, new * 0.7

    return step, draw.state(h)


# -- outputs and states that are not the usual ones --------------------------------------------------------------------


@cell
def output_of_the_previous_step(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w, head = draw.weight(h + i, h), draw.weight(h, 2)

    def step(x: Any, state: Any) -> Any:
        return state @ head, ts.tanh(ts.concat([state, x], -1) @ w)

    return step, draw.state(h)


@cell
def output_is_the_old_state(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w = draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(ts.concat([state, x], -1) @ w)
        return (state, new, x), new

    return step, draw.state(h)


@cell
def state_that_never_changes(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w = draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        return ts.tanh(x @ w) * state, state

    return step, draw.state(h)


@cell
def running_sum(draw: Draw) -> tuple[Any, Any]:
    def step(x: Any, state: Any) -> Any:
        return state, state + x

    return step, draw.state(draw.sizes.inputs)


@cell
def running_sum_of_products(draw: Draw) -> tuple[Any, Any]:
    h = draw.sizes.hidden
    w = draw.weight(draw.sizes.inputs, h)

    def step(x: Any, state: Any) -> Any:
        return x, state + x @ w

    return step, draw.state(h)


@cell
def running_sum_that_is_read(draw: Draw) -> tuple[Any, Any]:
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
    """A' = A + k vᵀ, read in the same step: linear attention."""
    batch, _, i, h = draw.sizes
    w_k, w_v, w_q = draw.weight(i, h), draw.weight(i, 3), draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        k, v, q = (ts.expand_dims(x @ w, 1) for w in (w_k, w_v, w_q))
        state = state + ts.swapaxes(k, 1, 2) @ v
        return (q @ state)[:, 0], state

    return step, draw(batch, h, 3)


@cell
def fast_weights_not_read(draw: Draw) -> tuple[Any, Any]:
    """The same sum, wanted only at the end, with its value of the step before as a second state."""
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
    """The sum is read by the state that it is made of: it must stay in the loop."""
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
    """A sum over steps and rows: the form that weight gradients have, in the forward pass."""
    _, _, i, h = draw.sizes
    u = draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        a, total, before = state
        a = ts.tanh(ts.concat([a, x], -1) @ u)
        return x * (total.sum() + before.sum()), (a, total + a.T @ x, total)

    return step, (draw.state(h), draw(h, i), draw(h, i))


@cell
def state_is_the_previous_input(draw: Draw) -> tuple[Any, Any]:
    w = draw.weight(2 * draw.sizes.inputs, 3)

    def step(x: Any, state: Any) -> Any:
        return ts.tanh(ts.concat([state, x], -1) @ w), x

    return step, draw.state(draw.sizes.inputs)


@cell
def inputs_delayed_by_two(draw: Draw) -> tuple[Any, Any]:
    i = draw.sizes.inputs
    w = draw.weight(i, 3)

    def step(x: Any, state: Any) -> Any:
        one, two = state
        return (two @ w, x + one * two), (x, one)

    return step, draw.state(i, i)


@cell
def state_is_a_weight(draw: Draw) -> tuple[Any, Any]:
    batch, _, i, h = draw.sizes
    w, u = draw.weight(batch, h), draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        return ts.tanh(ts.concat([state, x], -1) @ u), w

    return step, draw.state(h)


@cell
def unused_input(draw: Draw) -> tuple[Any, Any]:
    h = draw.sizes.hidden
    w = draw.weight(h, h)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(state @ w)
        return new, new

    return step, draw.state(h)


@cell
def unused_state(draw: Draw) -> tuple[Any, Any]:
    h = draw.sizes.hidden
    w, v = draw.weight(draw.sizes.inputs, h), draw.weight(h, h)

    def step(x: Any, state: Any) -> Any:
        a, idle = state
        a = ts.tanh(a @ v + x @ w)
        return a, (a, idle * 0.5)

    return step, draw.state(h, h)


@batchless
def output_without_the_input(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w, head, b = draw.weight(h + i, h), draw.weight(h, 2), draw.weight(3, 2)

    def step(x: Any, state: Any) -> Any:
        a, free = state
        free = free * 0.8
        return (free @ head, ts.tanh(b)), (ts.tanh(ts.concat([a, x], -1) @ w), free)

    return step, draw.state(h, h)


@cell
def step_counter(draw: Draw) -> tuple[Any, Any]:
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
    _, _, i, h = draw.sizes
    w, v = draw.weight(h + i, h), draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x.mean(0)], 0)
        state = ts.tanh(joined @ w + state) * ts.sigmoid(joined @ v + state)
        return state, state

    return step, draw(h)


# -- memories, products of odd ranks -----------------------------------------------------------------------------------


@cell
def attention_over_a_memory(draw: Draw) -> tuple[Any, Any]:
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
    """(batch, inputs) @ (heads, inputs, n): time as a leading axis would fall on the heads."""
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
    _, _, i, h = draw.sizes
    w, v = draw.weight(h, h), draw.weight(h, i)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(w @ state.T + v @ x.T).T
        return new, new

    return step, draw.state(h)


@cell
def product_of_states(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w = draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(ts.softmax(state @ state.T, -1) @ state + x @ w)
        return (new @ new.T, new), new

    return step, draw.state(h)


@cell
def weights_made_in_the_step(draw: Draw) -> tuple[Any, Any]:
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
    _, _, i, h = draw.sizes
    w, u = draw.weight(h, h), draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(ts.tanh(state @ w) @ w.T + x @ u)
        return new @ u.T, new

    return step, draw.state(h)


@cell
def convolution_over_a_window(draw: Draw) -> tuple[Any, Any]:
    batch, _, i, h = draw.sizes
    w = draw.weight(3 * i, h)

    def step(x: Any, window: Any) -> Any:
        window = ts.concat([window[:, 1:], ts.expand_dims(x, 1)], 1)
        return ts.relu(ts.reshape(window, (batch, 3 * i)) @ w), window

    return step, draw(batch, 3, i)


# -- other ops in the step ---------------------------------------------------------------------------------------------


@cell
def wide_state_by_concat(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w, v = draw.weight(2 * h + i, h), draw.weight(2 * h + i, h)

    def step(x: Any, state: Any) -> Any:
        joined = ts.concat([state, x], -1)
        new = ts.concat([ts.tanh(joined @ w), ts.sigmoid(joined @ v)], -1)
        return new, new

    return step, draw.state(2 * h)


@cell
def concat_of_concats(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w = draw.weight(h + 2 * i, h)

    def step(x: Any, state: Any) -> Any:
        inner = ts.concat([x, ts.tanh(x)], -1)
        new = ts.tanh(ts.concat([inner, state], -1) @ w)
        return ts.concat([inner, ts.concat([new, inner], -1)], -1), new

    return step, draw.state(h)


@cell
def state_written_into_a_concat(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w = draw.weight(h + i, h)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(ts.concat([state, x], -1) @ w)
        return (ts.concat([new, new, state], -1), ts.concat([new[:, :2], new[:, 1:]], -1)), new

    return step, draw.state(h)


@cell
def slices_stacks_and_splits(draw: Draw) -> tuple[Any, Any]:
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
    _, _, i, h = draw.sizes
    w, drop = draw.weight(h + i, h), nn.Dropout(0.4)

    def step(x: Any, state: Any) -> Any:
        new = ts.tanh(ts.concat([drop(state), drop(x)], -1) @ w)
        return drop(new), new

    return step, draw.state(h)


@cell
def stopped_gradients(draw: Draw) -> tuple[Any, Any]:
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
    _, _, i, h = draw.sizes
    w, v, b = draw.weight(h, h), draw.weight(i, h), draw.weight(h)

    def step(x: Any, state: Any) -> Any:
        a = ((state @ w + x @ v + b) * 0.5 * 3.0 + 0.0) * 1.0
        new = ts.tanh(((a + a) * 0.25 - 0.0) * 2) + (0.1 * -a) * -1.0
        return new * 0.0 + 2 * new, ts.tanh(new)

    return step, draw.state(h)


@batchless
def everything_depends_on_the_input_alone(draw: Draw) -> tuple[Any, Any]:
    _, _, i, h = draw.sizes
    w, v, u = draw.weight(i, h), draw.weight(h, h), draw.weight(i, h)

    def step(x: Any, state: Any) -> Any:
        a = ts.tanh(x @ w) @ v
        return ts.softmax(ts.relu(a) * ts.sigmoid(x @ u), -1).sum(0), a

    return step, draw.state(h)


# -- more than a cell and a sequence -----------------------------------------------------------------------------------


@function
def memory_as_an_argument(sizes: Sizes) -> Case:
    draw = Draw(sizes)
    batch, _, i, h = sizes
    w = draw.weight(2 * h + i, h)

    def fn(xs: Any, state: Any, *, memory: Any) -> Any:
        memory = ts.tanh(memory)

        def step(x: Any, h: Any) -> Any:
            attention = ts.softmax(ts.einsum("bsh,bh->bs", memory, h), -1)
            new = ts.tanh(ts.concat([h, ts.einsum("bs,bsh->bh", attention, memory), x], -1) @ w)
            return new, new

        return ts.unroll(step, xs, state)

    memory = draw(batch, 6, h)
    return Case(lambda xs, state, memory: fn(xs, state, memory=memory), (draw.xs(), draw.state(h), memory), [w])


@function
def encoder_and_decoder(sizes: Sizes) -> Case:
    """Two scans: the second attends to the outputs of the first, and starts from its last state."""
    draw = Draw(sizes)
    _, _, i, h = sizes
    w, u, head = draw.weight(h + i, h), draw.weight(2 * h + i, h), draw.weight(h, 3)

    def fn(xs: Any, state: Any) -> Any:
        def encode(x: Any, s: Any) -> Any:
            s = ts.tanh(ts.concat([s, x], -1) @ w)
            return s, s

        memory, last = ts.unroll(encode, xs, state)

        def decode(x: Any, s: Any) -> Any:
            attention = ts.softmax((memory @ ts.expand_dims(s, 2))[:, :, 0], -1)
            context = (ts.expand_dims(attention, 1) @ memory)[:, 0]
            s = ts.tanh(ts.concat([s, context, x], -1) @ u)
            return s @ head, s

        return ts.unroll(decode, xs[:, :-1] if sizes.time > 1 else xs, last)

    return Case(fn, (draw.xs(), draw.state(h)), draw.weights)


@function
def inputs_of_several_parts(sizes: Sizes) -> Case:
    draw = Draw(sizes)
    _, _, i, h = sizes
    w = draw.weight(h + i, h)

    def fn(xs: Any, state: Any) -> Any:
        def step(x: Any, s: Any) -> Any:
            s = ts.tanh(ts.concat([s, x["a"][0]], -1) @ w) * x["b"]
            return {"y": (s, x["b"])}, s

        return ts.unroll(step, xs, state)

    parts = {"a": [draw.xs(), None], "b": draw(sizes.batch, sizes.time, 1)}
    return Case(fn, (parts, draw.state(h)), [w])


@function
def rows_joined_in_a_step(sizes: Sizes) -> Case:
    """A state and an input of one width, joined as further rows."""
    draw = Draw(sizes)
    batch, _, i, _ = sizes
    w = draw.weight(i, i)

    def step(x: Any, s: Any) -> Any:
        rows = ts.tanh(ts.concat([s, x], 0) @ w)
        s = rows[:batch] + 0.5 * rows[batch:]
        return s, s

    return Case(lambda xs, state: ts.unroll(step, xs, state), (draw.xs(), draw.state(i)), draw.weights)


@function
def a_sequence_within_a_step(sizes: Sizes) -> Case:
    """Each step reads a short sequence of its own, with a cell of its own, lengths, truncation and dropout."""
    draw = Draw(sizes)
    _, _, i, h = sizes
    w, v = draw.weight(h + i, h), draw.weight(2 * h, h)
    drop = nn.Dropout(0.3)

    def inner(x: Any, s: Any) -> Any:
        s = ts.tanh(ts.concat([s, x], -1) @ w)
        return drop(s), s

    def step(x: Any, s: Any) -> Any:
        words = ts.stack([x, 0.5 * x, -x], 1)
        ys, _ = ts.unroll(inner, words, s, lengths=np.arange(sizes.batch) % 3 + 1, truncate=2)
        s = ts.tanh(ts.concat([s, ys.sum(1)], -1) @ v)
        return s, s

    return Case(lambda xs, state: ts.unroll(step, xs, state), (draw.xs(), draw.state(h)), draw.weights)


@function
def twice_over_the_same_sequence(sizes: Sizes) -> Case:
    """One cell, forwards and backwards, and once more over its own outputs."""
    draw = Draw(sizes)
    _, _, i, h = sizes
    w, v = draw.weight(h + i, h), draw.weight(2 * h, i)

    def step(x: Any, s: Any) -> Any:
        s = ts.tanh(ts.concat([s, x], -1) @ w)
        return s, s

    def fn(xs: Any, state: Any) -> Any:
        forward, a = ts.unroll(step, xs, state)
        backward, b = ts.unroll(step, xs, state, reverse=True)
        again, c = ts.unroll(step, ts.concat([forward, backward], -1) @ v, a)
        return again, (a, b, c), forward, backward

    return Case(fn, (draw.xs(), draw.state(h)), draw.weights)


@function
def loss_of_a_model(sizes: Sizes) -> Case:
    model, head = nn.LSTM(sizes.inputs, sizes.hidden, num_layers=2, dropout=0.3), nn.Linear(sizes.hidden, 5)
    draw = Draw(sizes)
    for module in (model, head):
        module.cast(F64)
    targets = ts.tensor(draw.rng.integers(0, 5, (sizes.batch, sizes.time)))

    def fn(xs: Any, targets: Any) -> Any:
        ys, last = model(xs)
        return nn.cross_entropy(head(ys), targets), last

    return Case(fn, (draw.xs(), targets), [*model.parameters(), *head.parameters()])


@function
def no_gradient_anywhere(sizes: Sizes) -> Case:
    draw = Draw(sizes)
    w = draw(sizes.hidden + sizes.inputs, sizes.hidden, grad=False)

    def step(x: Any, s: Any) -> Any:
        s = ts.tanh(ts.concat([s, x], -1) @ w)
        return s, s

    xs = draw(sizes.batch, sizes.time, sizes.inputs, grad=False)
    return Case(lambda xs, state: ts.unroll(step, xs, state), (xs, draw(sizes.batch, sizes.hidden, grad=False)))


@function
def plain_function(sizes: Sizes) -> Case:
    draw = Draw(sizes)
    w, b = draw.weight(sizes.inputs, 4), draw.weight(4)

    def fn(xs: Any, factor: Any) -> Any:
        a = ts.tanh(xs @ w + b) * factor
        return {"a": a, "b": b, "in": xs, "loss": (a * a).sum() + b.sum(), "none": ts.sign(a), "same": a}

    return Case(fn, (draw.xs(), draw()), draw.weights)


@function
def attention_without_a_scan(sizes: Sizes) -> Case:
    draw = Draw(sizes)
    layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.2).cast(F64)
    return Case(lambda xs: layer(xs), (draw(sizes.batch, sizes.time, 4),), layer.parameters())


def registered(name: str, sizes: Sizes | None = None, **options: Any) -> Case:
    """A cell of ``nn.CELLS`` over a sequence, with weights that differ and a state that is not zero."""
    sizes = sizes or Sizes()
    draw = Draw(sizes, seed=3)
    one = nn.CELLS[name](sizes.inputs, sizes.hidden).cast(F64)
    one.load_state_dict({path: draw.rng.normal(0.1, 0.5, v.shape) for path, v in one.state_dict().items()})
    state = ts.trees.map_leaves(lambda s: draw(*s.shape), one.initial_state(sizes.batch))
    return Case(lambda xs, state: ts.unroll(one, xs, state, **options), (draw.xs(), state), one.parameters())


def recurrent(sizes: Sizes | None = None, kind: str = "lstm", call: dict[str, Any] | None = None, **opts: Any) -> Case:
    """A stack of layers of ``nn``; ``call`` are the options of a call, the others those of the module."""
    sizes = sizes or Sizes()
    draw = Draw(sizes, seed=4)
    model = nn.Recurrent(kind, sizes.inputs, sizes.hidden, **opts).cast(F64)
    return Case(lambda xs: model(xs, **(call or {})), (draw.xs(),), model.parameters())


NAMES = [*CELLS, *FUNCTIONS]
#: Options of ``ts.unroll``, one alone and all together.
UNROLLINGS: list[dict[str, Any]] = [
    {"reverse": True},
    {"truncate": 2},
    {"lengths": [5, 2, 0]},
    {"lengths": [5, 4, 1], "truncate": 2, "reverse": True},
]


def case_of(name: str, sizes: Sizes | None = None) -> Case:
    """The cell over a sequence, or the function, of that name."""
    ts.seed(0)
    return FUNCTIONS[name](sizes or Sizes()) if name in FUNCTIONS else cell_case(name, sizes)
