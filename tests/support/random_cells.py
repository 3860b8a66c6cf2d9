"""Random cells and random functions, as Hypothesis draws them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import tinyseq as ts
from support.cells import Case, Draw, Sizes

WIDTHS = (1, 3, 4)

SIZES = Sizes(2, 4, 3, 4)


class Builder:
    """Draws the ops of a step one after another; the same choices are replayed each time the step is called."""

    def __init__(self, data: st.DataObject, draw: Draw) -> None:
        self.data, self.draw = data, draw
        self.weights: dict[tuple[int, int, int], ts.Tensor] = {}
        self.rows: list[tuple[Any, ...]] = []

    def pick(self, *choices: Any) -> Any:
        return self.data.draw(st.sampled_from(choices))

    def weight(self, rows: int, columns: int) -> ts.Tensor:
        """A weight that may be shared, scaled so that activations stay bounded."""
        key = (rows, columns, self.pick(0, 1, 2))
        if key not in self.weights:
            w = self.draw.weight(rows, columns)
            w.value = w.value / np.sqrt(rows)
            self.weights[key] = w
        return self.weights[key]

    def program(self, widths: list[int], length: int) -> list[int]:
        """Choose ``length`` ops; values are numbered, those given first; returns the width of each."""
        widths = list(widths)
        for _ in range(length):
            a = self.data.draw(st.integers(0, len(widths) - 1))
            same = [i for i, w in enumerate(widths) if w == widths[a]]
            kind = self.pick(
                "product", "product", "joined", "sigmoid", "tanh", "relu", "scale", "concat", "slice",
                "add", "sub", "mul", "lerp", "bias", "where", "max", "softmax", "mean", "stop",
            )  # fmt: skip
            b = self.pick(*same)
            if kind == "product":
                row: tuple[Any, ...] = (kind, a, self.weight(widths[a], self.pick(*WIDTHS)))
                width = row[2].shape[1]
            elif kind == "joined":
                other = self.data.draw(st.integers(0, len(widths) - 1))
                w = self.weight(widths[a] + widths[other], self.pick(*WIDTHS))
                row, width = (kind, a, other, w), w.shape[1]
            elif kind == "concat":
                other = self.data.draw(st.integers(0, len(widths) - 1))
                row, width = (kind, a, other), widths[a] + widths[other]
                if width > 12:
                    row, width = ("tanh", a), widths[a]
            elif kind == "slice":
                start = self.data.draw(st.integers(0, widths[a] - 1))
                stop = self.data.draw(st.integers(start + 1, widths[a]))
                row, width = (kind, a, start, stop), stop - start
            elif kind == "bias":
                row, width = (kind, a, self.weight(1, self.pick(1, widths[a]))), widths[a]
            elif kind == "scale":
                row, width = (kind, a, self.pick(0.5, 0.25, 1.0, -1.0, 0.0)), widths[a]
            elif kind == "mean":
                row, width = (kind, a), 1
            else:
                row, width = (kind, a, b, self.pick(*same)), widths[a]
            self.rows.append(row)
            widths.append(width)
        return widths

    def play(self, values: list[Any]) -> list[Any]:
        values = list(values)
        for kind, a, *rest in self.rows:
            values.append(OPS[kind](values, values[a], *rest))
        return values


OPS: dict[str, Callable[..., Any]] = {
    "product": lambda v, a, w: a @ w,
    "joined": lambda v, a, other, w: ts.concat([a, v[other]], -1) @ w,
    "concat": lambda v, a, other: ts.concat([a, v[other]], -1),
    "slice": lambda v, a, start, stop: a[:, start:stop],
    "bias": lambda v, a, w: a + w[0],
    "scale": lambda v, a, factor: a * factor,
    "mean": lambda v, a: a.mean(-1, keepdims=True),
    "sigmoid": lambda v, a, *_: ts.sigmoid(a),
    "tanh": lambda v, a, *_: ts.tanh(a),
    "relu": lambda v, a, *_: ts.relu(a),
    "softmax": lambda v, a, *_: ts.softmax(a, -1),
    "stop": lambda v, a, *_: ts.stop_gradient(a),
    "add": lambda v, a, b, *_: a + v[b],
    "sub": lambda v, a, b, *_: a - v[b],
    "mul": lambda v, a, b, *_: ts.tanh(a) * v[b],
    "max": lambda v, a, b, *_: ts.maximum(a, v[b]),
    "where": lambda v, a, b, c: ts.where(v[c] > 0.1, a, v[b]),
    "lerp": lambda v, a, b, c: ts.sigmoid(v[c]) * a + (1.0 - ts.sigmoid(v[c])) * v[b],
}


def fitted(builder: Builder, widths: list[int], value: int, width: int) -> Callable[[list[Any]], Any]:
    """A value as a state of a given width, squashed; by a product where its own width is another."""
    if builder.pick(True, False, False) and widths[value] == width:
        return lambda v: ts.clip(v[value], -2.0, 2.0)  # may be the old state, the input, or another state's value
    w = builder.weight(widths[value], width)
    return lambda v: ts.tanh(v[value] @ w) if widths[value] != width else ts.tanh(v[value])


@st.composite
def random_cells(choose: Any) -> Case:
    data = choose(st.data())
    draw = Draw(SIZES, seed=choose(st.integers(0, 5)))
    builder = Builder(data, draw)
    states = [builder.pick(*WIDTHS) for _ in range(choose(st.integers(1, 3)))]
    widths = builder.program([SIZES.inputs, *states], choose(st.integers(2, 10)))
    last = len(widths) - 1
    nexts: list[Callable[[list[Any]], Any]] = []
    for k, width in enumerate(states):
        same = [i for i in range(1 + len(states)) if widths[i] == width]
        if builder.pick(True, False, False, False):
            chosen = builder.pick(*same)  # the state itself, another one, or the input: delays, swaps and constants
            nexts.append(lambda v, chosen=chosen: v[chosen])
        else:
            nexts.append(fitted(builder, widths, max(last - k, 0), width))
    outputs = data.draw(st.lists(st.integers(0, last), min_size=1, max_size=3))
    options = builder.pick(
        {}, {}, {"reverse": True}, {"truncate": 2}, {"lengths": [4, 1]}, {"lengths": [0, 3], "reverse": True}
    )

    def step(x: Any, state: Any) -> Any:
        values = builder.play([x, *state])
        return tuple(values[i] for i in outputs), tuple(new(values) for new in nexts)

    initial = tuple(draw(SIZES.batch, width) for width in states)
    return Case(lambda xs, state: ts.unroll(step, xs, state, **options), (draw.xs(), initial), draw.weights)


@st.composite
def random_functions(choose: Any) -> Case:
    data = choose(st.data())
    draw = Draw(SIZES, seed=choose(st.integers(0, 5)))
    builder = Builder(data, draw)
    given_widths = [builder.pick(*WIDTHS) for _ in range(choose(st.integers(1, 3)))]
    widths = builder.program(given_widths, choose(st.integers(1, 14)))
    outputs = data.draw(st.lists(st.integers(0, len(widths) - 1), min_size=1, max_size=4))

    def fn(*args: Any) -> Any:
        values = builder.play(list(args))
        return [values[i] for i in outputs]

    return Case(fn, tuple(draw(SIZES.batch, width) for width in given_widths), draw.weights)


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
