"""The gradient checker, tested: planted mistakes are caught, and right rules pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.errors import DtypeError, GraphError
from tinyseq.ops import OPS, Op
from tinyseq.ops.base import broadcast, promote
from tinyseq.testing import GradientError, check_grads

X = np.random.default_rng(0).standard_normal((3, 4))
Y = np.random.default_rng(1).standard_normal((3, 4))


@contextmanager
def planted(kernel: Callable[..., Any], *vjps: Any) -> Iterator[Op]:
    """An op with the gradient rules given; taken out of the registry again."""

    class Planted(Op):
        name = "planted"
        formula = "y = ?"
        reads = "xy"

        def infer(self, *inputs: Any, **attrs: Any) -> Any:
            return broadcast(self.name, *inputs), promote(*inputs)

        def kernel(self, xp: Any, *inputs: Any) -> Any:
            return kernel(*inputs)

    Planted.vjps = vjps
    try:
        yield Planted()
    finally:
        OPS.pop("planted", None)


def tensors(*arrays: np.ndarray) -> list[ts.Tensor]:
    return [ts.tensor(a) for a in arrays]


#: What is computed, and rules that are right for it.
RIGHT = {
    "square": (lambda x: x * x, [lambda g, y, x: 2.0 * g * x], [X]),
    "product": (lambda a, b: a * b, [lambda g, y, a, b: g * b, lambda g, y, a, b: g * a], [X, Y]),
    "row": (lambda a, b: a * b, [lambda g, y, a, b: g * b, lambda g, y, a, b: g * a], [X, Y[0]]),
    "matrix": (lambda a, b: a @ b, None, [X, Y.T]),
    "tanh": (lambda x: np.tanh(x), [lambda g, y, x: g * (1.0 - y * y)], [X]),
    "cube": (lambda x: x * x * x, [lambda g, y, x: 3.0 * g * x * x], [X]),
}

#: The same, with a mistake in the rules.
WRONG = {
    "factor": (lambda x: x * x, [lambda g, y, x: g * x], [X]),
    "factor near 1": (lambda x: x * x, [lambda g, y, x: 2.0001 * g * x], [X]),
    "sign": (lambda x: x * x, [lambda g, y, x: -2.0 * g * x], [X]),
    "missing term": (lambda x: x * x + x, [lambda g, y, x: 2.0 * g * x], [X]),
    "missing input": (lambda a, b: a * b, [lambda g, y, a, b: g * b, None], [X, Y]),
    "swapped inputs": (lambda a, b: a * b, [lambda g, y, a, b: g * a, lambda g, y, a, b: g * b], [X, Y]),
    "output for input": (lambda x: x * x, [lambda g, y, x: 2.0 * g * y], [X]),
    "no incoming gradient": (lambda x: x * x, [lambda g, y, x: 2.0 * x], [X]),
    "broadcast by mean": (
        lambda a, b: a + b,
        [lambda g, y, a, b: g, lambda g, y, a, b: ts.mean(g, 0)],
        [X, Y[0]],
    ),
    "broadcast by the first row": (
        lambda a, b: a + b,
        [lambda g, y, a, b: g, lambda g, y, a, b: g[0]],
        [X, Y[0]],
    ),
    "transposed": (lambda x: x.T * 1.0, [lambda g, y, x: ts.reshape(g, x.shape)], [X[:3, :3]]),
    "one element": (lambda x: x * 1.0, [lambda g, y, x: g * np.where(np.arange(12).reshape(3, 4) == 7, 0.0, 1.0)], [X]),
    "a constant": (lambda x: np.tanh(x), [lambda g, y, x: g * 0.0], [X]),
}

#: First derivative right, second wrong: the rule hides a factor from the sweep.
WRONG_SECOND = {
    "detached": (lambda x: x * x * x, [lambda g, y, x: 3.0 * g * ts.stop_gradient(x * x)], [X]),
    "detached half": (lambda x: x * x * x, [lambda g, y, x: 3.0 * g * x * ts.stop_gradient(x)], [X]),
    "in the incoming gradient": (lambda x: x * x, [lambda g, y, x: 2.0 * ts.stop_gradient(g) * x], [X]),
}


def nonlinear(op: Op) -> Callable[..., Any]:
    """Behind a nonlinearity what comes from above depends on the inputs, so its second derivative counts too."""
    return lambda *xs: ts.sin(op(*xs))


@pytest.mark.parametrize("name", [name for name in RIGHT if RIGHT[name][1]])
def test_right_rules_pass(name: str) -> None:
    kernel, vjps, arrays = RIGHT[name]
    with planted(kernel, *vjps) as op:
        check_grads(op, *tensors(*arrays))
        check_grads(nonlinear(op), *tensors(*arrays))


@pytest.mark.parametrize("name", WRONG)
def test_wrong_rules_are_caught(name: str) -> None:
    kernel, vjps, arrays = WRONG[name]
    with planted(kernel, *vjps) as op, pytest.raises(GradientError, match="order 1"):
        check_grads(op, *tensors(*arrays), order=1)


@pytest.mark.parametrize("name", WRONG_SECOND)
def test_wrong_second_derivatives_are_caught(name: str) -> None:
    kernel, vjps, arrays = WRONG_SECOND[name]
    with planted(kernel, *vjps) as op:
        check_grads(nonlinear(op), *tensors(*arrays), order=1)
        with pytest.raises(GradientError, match="order 2"):
            check_grads(nonlinear(op), *tensors(*arrays))


def test_wrong_for_one_of_several_outputs_is_caught() -> None:
    with planted(lambda x: x * x, lambda g, y, x: g * x) as op, pytest.raises(GradientError):
        check_grads(lambda x: (x * 2.0, op(x)), *tensors(X))


def test_wrong_at_another_argument_is_caught() -> None:
    with planted(lambda x: x * x, lambda g, y, x: g * x) as op, pytest.raises(GradientError):
        check_grads(lambda a, b: a + op(b), *tensors(X, Y))


def test_a_missing_gradient_is_caught() -> None:
    with pytest.raises(GradientError, match="order 1"):
        check_grads(lambda x: x + ts.stop_gradient(x), *tensors(X))
    with pytest.raises(GradientError, match="order 1"):
        check_grads(lambda x: ts.stop_gradient(x), *tensors(X))


def test_nan_is_caught() -> None:
    with pytest.raises(GradientError):
        check_grads(lambda x: x * float("nan"), *tensors(X))
    with planted(lambda x: x * 1.0, lambda g, y, x: g * float("nan")) as op, pytest.raises(GradientError):
        check_grads(op, *tensors(X))


def test_the_message_gives_both_numbers() -> None:
    with planted(lambda x: x * 3.0, lambda g, y, x: g * 6.0) as op, pytest.raises(GradientError) as caught:
        check_grads(lambda x: op(x).sum(), *tensors(X))
    numeric, analytic = (
        float(part.split(",")[0].split(" (")[0])
        for part in str(caught.value).replace("rules ", "give ").split("give ")[1:]
    )
    assert analytic == pytest.approx(2 * numeric, rel=1e-6)


def test_constant_integer_and_linear_outputs_pass() -> None:
    check_grads(lambda x: ts.ones(3, dtype=ts.float64), *tensors(X))
    check_grads(lambda x: (x * 2.0, ts.argmax(x, 1)), *tensors(X))
    check_grads(lambda x, n: x * float(n), *tensors(X), 3)
    check_grads(lambda x, i: x[i], ts.tensor(X), ts.tensor([0, 0, 1]))


def test_the_arguments_are_left_alone() -> None:
    x = ts.tensor(X, requires_grad=True)
    check_grads(lambda x: x * x, x)
    assert x.grad is None
    np.testing.assert_array_equal(x.numpy(), X)


def test_nothing_to_check_is_refused() -> None:
    with pytest.raises(DtypeError, match="float64"):
        check_grads(lambda x: x, ts.ones(3))
    with pytest.raises(GraphError, match="no floating-point output"):
        check_grads(lambda x: ts.argmax(x, 0), *tensors(X))
