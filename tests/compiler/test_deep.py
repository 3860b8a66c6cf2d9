"""Steps that are deep, not only long: more terms and views than Python's stack has frames."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts

TERMS = 1_500
Step = Callable[[Any, Any], Any]


def terms_with_and_without_state(x: Any, h: Any) -> Any:
    """For ``distribute``, which adds up first what needs no state."""
    total = h * 1.0
    for i in range(TERMS):
        total = total + (ts.sin(x) if i % 2 else ts.cos(h))
    return ts.tanh(total * 1e-3)


def a_factor_before_a_sum_of_products(x: Any, h: Any) -> Any:
    """For ``expand``, which moves it through the sum into the weights."""
    w = ts.tensor(np.eye(4) * 1e-3)
    total = h @ w
    for i in range(TERMS):
        total = total + (x if i % 2 else h) @ w
    return ts.tanh(total * 0.5)


def views_of_views(x: Any, h: Any) -> Any:
    """For the scan's derivative, which makes a view again instead of keeping it."""
    y = ts.tanh(x + h)
    for _ in range(TERMS // 2):  # a transpose and a reshape, which together are no view of the first value
        y = y.swapaxes(0, 1).reshape(2, 4)
    return y * y * 0.1


@pytest.mark.parametrize("step", [terms_with_and_without_state, a_factor_before_a_sum_of_products, views_of_views])
def test_a_deep_step_compiles_and_gives_what_it_gives_eagerly(step: Step) -> None:
    assert sys.getrecursionlimit() < TERMS
    rng = np.random.default_rng(0)
    xs, h = ts.tensor(rng.standard_normal((2, 2, 4))), ts.tensor(rng.standard_normal((2, 4)))

    def loss(xs: Any, h: Any) -> Any:
        ys, last = ts.unroll(lambda x, h: (new := step(x, h), new), xs, h)
        return (ys * ys).sum() + last.sum()

    fn = ts.value_and_grad(loss)
    expected, gradient = fn(xs, h)
    value, found = ts.compile(fn)(xs, h)
    np.testing.assert_allclose(value.numpy(), expected.numpy(), rtol=1e-12)
    np.testing.assert_allclose(found.numpy(), gradient.numpy(), rtol=1e-9, atol=1e-12)
