"""What is more than a cell over a sequence, and what has no sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

import tinyseq as ts
from support.cells.table import F64, Case, Draw, Sizes, function
from tinyseq import nn


@function
def memory_as_an_argument(sizes: Sizes) -> Case:
    """hoist, differentiate: what the loop takes for constant is computed from an argument, which gets its gradient."""
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
    """distribute, differentiate: two scans: the second attends to the outputs of the first, and starts from its last
    state.
    """
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
    """unrolling, prune: inputs in a tree with a hole in it, one of them narrow, and an output as it came in."""
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
    """planning_loops: a state and an input of one width, joined as further rows: the buffer is as wide as a row."""
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
    """unrolling: each step reads a short sequence of its own, with a cell of its own, lengths, truncation and
    dropout.
    """
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
    """unite, simplify: one cell, forwards and backwards, and once more over its own outputs: alike, and not equal."""
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
    """merge, absorb, differentiate: two LSTM layers with dropout, a head and a loss: loop upon loop, as in training."""
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
    """differentiate: nothing requires a gradient: there is no backward graph, and nothing is kept for one."""
    draw = Draw(sizes)
    w = draw(sizes.hidden + sizes.inputs, sizes.hidden, grad=False)

    def step(x: Any, s: Any) -> Any:
        s = ts.tanh(ts.concat([s, x], -1) @ w)
        return s, s

    xs = draw(sizes.batch, sizes.time, sizes.inputs, grad=False)
    return Case(lambda xs, state: ts.unroll(step, xs, state), (xs, draw(sizes.batch, sizes.hidden, grad=False)))


@function
def plain_function(sizes: Sizes) -> Case:
    """planning: no loop; outputs that are an argument, a weight, and one value twice."""
    draw = Draw(sizes)
    w, b = draw.weight(sizes.inputs, 4), draw.weight(4)

    def fn(xs: Any, factor: Any) -> Any:
        a = ts.tanh(xs @ w + b) * factor
        return {"a": a, "b": b, "in": xs, "loss": (a * a).sum() + b.sum(), "none": ts.sign(a), "same": a}

    return Case(fn, (draw.xs(), draw()), draw.weights)


@function
def attention_without_a_scan(sizes: Sizes) -> Case:
    """merge, pack: no loop: what queries, keys and values have in common is joined in the graph itself."""
    draw = Draw(sizes)
    layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.2).cast(F64)
    return Case(lambda xs: layer(xs), (draw(sizes.batch, sizes.time, 4),), layer.parameters())
