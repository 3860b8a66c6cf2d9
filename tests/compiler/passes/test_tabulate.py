"""Tabulate: what a loop looks up and multiplies is looked up as a product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.compiler.passes.tabulate import tabulate
from tinyseq.compiler.pipeline import Pipeline
from tinyseq.ops.linalg import matmul
from tinyseq.ops.scan import scan

E, W, V = (np.random.default_rng(n).standard_normal(shape) for n, shape in enumerate([(7, 3), (3, 5), (5, 7)]))


def with_tables(own: Pipeline) -> Pipeline:
    return own.with_pass(tabulate, after="merge")


def products(fn: Callable[..., Any], *args: Any) -> tuple[int, int]:
    """How many products stand before the loop, and within its step; and that the values are the same as eagerly."""
    fast = ts.compile(fn, verify=True, pipeline=with_tables)
    for found, expected in zip(fast(*args), fn(*args), strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
    (loop,) = [node for node in fast.graph.nodes if node.op is scan]
    inner = sum(node.op is matmul for node in loop.attrs["body"].nodes)
    return sum(node.op is matmul for node in fast.graph.nodes), inner


def chooses(e: Any, w: Any, rows: int = 2, steps: int = 4) -> tuple[int, int]:
    """Each step reads a row of a table, multiplies it, and chooses the next row by what comes of it."""
    e, w, v = (x if callable(x) else (lambda state, x=x: ts.tensor(x)) for x in (e, w, V))

    def step(x: ts.Tensor, state: Any) -> Any:
        token, h = state
        h = ts.tanh(e(h)[token] @ w(h) + h * 0.5)
        token = ts.argmax(h @ v(h) + x)
        return token, (token, h)

    first = ts.tensor(np.arange(rows)), ts.zeros(rows, 5, dtype=ts.float64)
    xs = ts.tensor(np.random.default_rng(9).standard_normal((rows, steps, 7)))
    return products(lambda xs, state: (ts.unroll(step, xs, state)[0],), xs, first)


def test_a_row_that_is_multiplied_is_a_row_of_a_product() -> None:
    assert chooses(E, W) == (1, 1)


@pytest.mark.parametrize(("rows", "steps", "before"), [(1, 1, 0), (1, 2, 1), (6, 1, 0), (7, 1, 1)])
def test_only_where_the_table_takes_no_longer_than_all_that_is_looked_up(rows: int, steps: int, before: int) -> None:
    assert chooses(E, W, rows, steps) == (before, 2 - before)


def test_a_table_or_a_weight_that_changes_stays_in_the_loop() -> None:
    assert chooses(lambda h: ts.tensor(E) * h.sum(), W) == (0, 2)
    assert chooses(E, lambda h: ts.tensor(W) * h.sum()) == (0, 2)


def test_what_is_known_beforehand_is_left_to_others() -> None:
    """Rows that no step chooses are read, and multiplied, for all steps at once."""

    def step(token: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h = ts.tanh(ts.tensor(E)[token] @ ts.tensor(W) + h)
        return h, h

    tokens = ts.tensor(np.arange(24).reshape(2, 12) % 7)
    before, inner = products(lambda xs, h: ts.unroll(step, xs, h), tokens, ts.zeros(2, 5, dtype=ts.float64))
    assert inner == 0
    assert before == 1


def test_it_has_gradients() -> None:
    e, w = (ts.tensor(x, requires_grad=True) for x in (E, W))

    def loss(xs: ts.Tensor, first: ts.Tensor) -> ts.Tensor:
        def step(x: ts.Tensor, token: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
            y = e[token] @ w
            return y, ts.argmax(y + x)

        return (ts.unroll(step, xs, first)[0] ** 2).sum()

    given = ts.tensor(np.random.default_rng(3).standard_normal((2, 8, 5))), ts.tensor(np.array([1, 4]))
    loss(*given).backward()
    assert e.grad is not None
    assert w.grad is not None
    expected = e.grad.numpy(), w.grad.numpy()
    e.grad = w.grad = None
    ts.compile(loss, verify=True, pipeline=with_tables)(*given).backward()
    for x, g in zip((e, w), expected, strict=True):
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), g, rtol=1e-12)
