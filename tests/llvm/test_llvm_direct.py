"""Large arrays are read and written where the caller has them: nobody sees a difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import tinyseq as ts
from tinyseq.compiler.lower.llvm import executable

N = 96  # a matrix of float64 is larger than what is copied


@pytest.fixture(autouse=True)
def _llvm() -> Iterator[None]:
    with ts.backend("llvm"):
        yield


def matrix(seed: int, **options: bool) -> ts.Tensor:
    return ts.tensor(np.random.default_rng(seed).normal(size=(N, N)), **options)


def test_what_is_direct_in_a_gradient() -> None:
    """Both operands and what arrives from above, and the gradient that has a slot of its own."""
    fast = ts.compile(lambda x, w: ts.tanh(x @ w).sum())
    fast(matrix(0, requires_grad=True), matrix(1, requires_grad=True)).backward()
    found = fast.entry_of_last_call().take()
    assert isinstance(found, executable.Executable)
    assert None not in found.borrowed
    assert len(found.lent) == 1


def test_results_of_earlier_calls_stay() -> None:
    fast = ts.compile(lambda x, w: ts.tanh(x @ w))
    given = [(matrix(2 * i), matrix(2 * i + 1)) for i in range(3)]
    results = [fast(x, w) for x, w in given]
    for (x, w), y in zip(given, results, strict=True):
        np.testing.assert_allclose(y.numpy(), np.tanh(x.numpy() @ w.numpy()), rtol=1e-12)


def test_two_forward_passes_before_the_backward_passes() -> None:
    """Each backward pass sees the arrays of its own forward pass, also where the caller has let go of them."""
    fast = ts.compile(lambda x, w: (ts.tanh(x @ w) ** 2).sum())
    weights, losses = [matrix(i, requires_grad=True) for i in (10, 11)], []
    for i, w in enumerate(weights):
        losses.append(fast(matrix(i), w))
        matrix(20 + i).numpy().copy()  # takes the place of what is free by now
    for loss in losses:
        loss.backward()
    for i, w in enumerate(weights):
        wanted = matrix(10 + i, requires_grad=True)
        (ts.tanh(matrix(i) @ wanted) ** 2).sum().backward()
        assert w.grad is not None
        assert wanted.grad is not None
        np.testing.assert_allclose(w.grad.numpy(), wanted.grad.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "view",
    [lambda x: x.T, lambda x: ts.flip(x, 0), lambda x: ts.broadcast_to(x[0], (N, N))],
    ids=["turned", "flipped", "one row"],
)
def test_views_are_copied(view: Callable[[ts.Tensor], ts.Tensor]) -> None:
    """An array that does not lie as the plan reads it, in turn with one that does."""
    fast = ts.compile(lambda x: ts.exp(x) + 1.0)
    for x in (matrix(0), view(matrix(1)), matrix(2)):
        np.testing.assert_allclose(fast(x).numpy(), np.exp(x.numpy()) + 1.0, rtol=1e-12)


def test_one_array_given_twice_and_returned_as_it_is() -> None:
    fast = ts.compile(lambda x, y: (x + y, x, x + y))
    x = matrix(0)
    total, same, again = fast(x, x)
    np.testing.assert_array_equal(total.numpy(), 2 * x.numpy())
    np.testing.assert_array_equal(again.numpy(), total.numpy())
    assert same is x  # as eagerly


def test_a_gradient_that_the_forward_pass_has_made_already() -> None:
    """Nothing is left for the backward pass to write."""
    fast = ts.compile(lambda x: (x * 3.0).sum())
    for _ in range(2):
        x = matrix(0, requires_grad=True)
        fast(x).backward()
        assert x.grad is not None
        np.testing.assert_array_equal(x.grad.numpy(), np.full((N, N), 3.0))
