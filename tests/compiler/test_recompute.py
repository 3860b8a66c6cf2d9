"""Recomputation: the same numbers from tiles, and memory that grows as the square root of the length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn
from tinyseq.compiler.capture import trace_function
from tinyseq.compiler.pipeline import run_passes
from tinyseq.compiler.planning import make_plan

LOOPS: list[tuple[int, bool, dict[str, Any]]] = [
    (12, False, {}),
    (13, False, {"truncate": 3}),
    (12, True, {"truncate": 5}),
    (12, False, {"truncate": 2, "lengths": [12, 5, 0]}),
    (10, True, {"lengths": [3, 10, 7]}),
]


# Tiles of one step are the most to compile, and one that holds all steps is the same in every loop.
@pytest.mark.parametrize(
    ("steps", "time", "bidirectional", "options"),
    [
        *((steps, *loop) for steps in (True, 4) for loop in LOOPS),
        (1, *LOOPS[1]),
        (1, *LOOPS[4]),
        (100, *LOOPS[3]),
    ],
)
def test_tiles_give_the_same_values_and_gradients(
    steps: bool | int, time: int, bidirectional: bool, options: dict[str, Any]
) -> None:
    ts.seed(0)
    model = nn.LSTM(4, 6, num_layers=2, bidirectional=bidirectional, dropout=0.3).cast(ts.float64)
    xs = ts.randn(3, time, 4, dtype=ts.float64, requires_grad=True)

    def fn(x: ts.Tensor) -> ts.Tensor:
        ys, last = model(x, **options)
        return (ys * ys).sum() + sum((part * part).sum() for _, part in ts.trees.leaves(last))

    def run(call: Any) -> list[np.ndarray]:
        ts.seed(1)
        model.zero_grad()
        xs.grad = None
        loss = call(xs)
        loss.backward()
        return [loss.numpy(), *(p.grad.numpy() for p in [xs, *model.parameters()])]

    expected = run(fn)
    fast = ts.compile(fn, recompute=steps, verify=True)
    for _ in range(2):
        for got, want in zip(run(fast), expected, strict=True):
            assert np.abs(got - want).max() <= 1e-12 * max(np.abs(want).max(), 1.0)


def test_memory_for_intermediate_values_grows_as_the_square_root() -> None:
    """Beyond inputs, and four times the outputs (they, their gradient, and a copy of each in the order of time)."""
    model = nn.LSTM(4, 16)

    def beyond(time: int, recompute: bool) -> int:
        traced = trace_function(lambda x: (model(x)[0] ** 2).sum(), (ts.zeros(2, time, 4),), {})
        plan = make_plan(run_passes(traced.graph, list(traced.captured.values()), recompute=recompute).graph, 1)
        given = sum(b.nbytes for b in plan.buffers if b.kind == "input")
        return plan.memory - given - 4 * (2 * time * 16 * 4)

    short, long = beyond(100, True), beyond(6400, True)  # 64 times as long: 8 times the memory
    assert long <= 8 * max(short, 1)
    assert beyond(6400, False) >= 5 * max(long, 1)
