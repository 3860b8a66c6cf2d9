"""Optimisers and clipping: known values, states, refusals; against PyTorch in tests/parity."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn, optim
from tinyseq.errors import DataError, ShapeError

OPTIMIZERS: dict[str, Callable[[list[ts.Tensor]], optim.Optimizer]] = {
    "sgd": lambda p: optim.SGD(p, 0.1),
    "momentum": lambda p: optim.SGD(p, 0.05, momentum=0.9),
    "nesterov": lambda p: optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: optim.RMSprop(p, 0.02),
    "rmsprop-all": lambda p: optim.RMSprop(p, 0.02, momentum=0.5, centered=True),
    "adam": lambda p: optim.Adam(p, 0.1),
    "adamw": lambda p: optim.AdamW(p, 0.1),
}


def leaf(values: object, dtype: type = np.float64) -> ts.Tensor:
    return ts.tensor(np.asarray(values, dtype=dtype), requires_grad=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_they_find_the_bottom_of_a_bowl(name: str, dtype: type) -> None:
    p = leaf([3.0, -2.0], dtype)
    opt = OPTIMIZERS[name]([p])
    target = ts.tensor([1.0, 0.5], dtype=dtype)
    for _ in range(300):
        opt.zero_grad()
        nn.squared_error(p, target).backward()
        opt.step()
    np.testing.assert_allclose(p.numpy(), target.numpy(), atol=0.05)
    assert p.dtype == dtype
    assert p.requires_grad
    assert opt.steps == 300


def first_step(make: Callable[[list[ts.Tensor]], optim.Optimizer], gradient: float = 2.0) -> float:
    p = leaf(1.0)
    opt = make([p])
    p.grad = ts.tensor(np.float64(gradient))
    opt.step()
    return float(p.item())


def test_first_steps_by_hand() -> None:
    assert first_step(lambda p: optim.SGD(p, 0.1)) == pytest.approx(1 - 0.1 * 2)
    assert first_step(lambda p: optim.SGD(p, 0.1, weight_decay=0.5)) == pytest.approx(1 - 0.1 * 2.5)
    assert first_step(lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True)) == pytest.approx(1 - 0.1 * (2 + 1.8))
    assert first_step(lambda p: optim.Adam(p, 0.1)) == pytest.approx(0.9)
    assert first_step(lambda p: optim.AdamW(p, 0.1, weight_decay=0.5)) == pytest.approx(1 - 0.05 - 0.1)
    assert first_step(lambda p: optim.RMSprop(p, 0.1, alpha=0.75)) == pytest.approx(1 - 0.1 * 2 / math.sqrt(0.25 * 4))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_goes_on_exactly(name: str) -> None:
    def gradients(p: ts.Tensor, count: int, opt: optim.Optimizer, rng: np.random.Generator) -> None:
        for _ in range(count):
            p.grad = ts.tensor(rng.normal(size=p.shape))
            opt.step()

    whole, part = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    rng = np.random.default_rng(0)
    first = OPTIMIZERS[name]([whole])
    gradients(whole, 8, first, rng)

    rng = np.random.default_rng(0)
    before = OPTIMIZERS[name]([part])
    gradients(part, 3, before, rng)
    saved = before.state_dict()
    gradients(part, 1, before, np.random.default_rng(7))  # what comes later does not reach what was saved
    resumed = leaf([1.0, 2.0])
    again = OPTIMIZERS[name]([resumed])
    rng = np.random.default_rng(0)
    gradients(resumed, 3, again, rng)
    fresh = OPTIMIZERS[name]([resumed])
    fresh.load_state_dict(saved)
    gradients(resumed, 5, fresh, rng)
    np.testing.assert_array_equal(resumed.numpy(), whole.numpy())
    assert fresh.steps == 8


def test_a_parameter_without_a_gradient_stays_and_recorded_graphs_keep_the_old_values() -> None:
    p, q = leaf([1.0]), leaf([1.0])
    loss = (p * p).sum()
    opt = optim.SGD([p, q], 0.5)
    loss.backward()
    y = (p * 3.0).sum()
    opt.step()
    assert p.item() == 0.0
    assert q.item() == 1.0
    assert y.item() == 3.0
    opt.zero_grad()
    assert p.grad is None
    opt.step()
    assert p.item() == 0.0


@pytest.mark.parametrize(
    ("call", "family", "words"),
    [
        (lambda p: optim.SGD([], 0.1), DataError, ["SGD", "no parameters"]),
        (lambda p: optim.SGD([p, p], 0.1), DataError, ["twice"]),
        (lambda p: optim.SGD([ts.ones(2)], 0.1), DataError, ["requires_grad"]),
        (lambda p: optim.Adam([p], 0.0), DataError, ["lr", "over 0"]),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), DataError, ["betas", "1.0"]),
        (lambda p: optim.SGD([p], 0.1, nesterov=True), DataError, ["nesterov"]),
        (lambda p: optim.SGD([p], 0.1, momentum=1.0), DataError, ["momentum"]),
        (lambda p: optim.RMSprop([p], alpha=1.0), DataError, ["alpha"]),
        (lambda p: optim.AdamW([p], weight_decay=-1.0), DataError, ["AdamW", "weight_decay"]),
        (lambda p: optim.Adam([p]).load_state_dict(optim.SGD([p], 0.1).state_dict()), DataError, ["another optimiser"]),
        (lambda p: optim.Adam([p]).load_state_dict({"lr": 1, "steps": 0, "state": []}), DataError, ["another model"]),
        (lambda p: optim.Adam([p]).load_state_dict(optim.Adam([leaf([1.0, 2.0])]).state_dict()), ShapeError, ["(2,)"]),
    ],
)
def test_refused_with_words(call, family, words: list[str]) -> None:
    with pytest.raises(family) as caught:
        call(leaf(1.0))
    assert [word for word in words if word not in str(caught.value)] == []


def with_gradients(*values: object) -> list[ts.Tensor]:
    made = []
    for value in values:
        p = leaf(np.zeros(np.shape(value)))
        p.grad = ts.tensor(np.asarray(value, dtype=np.float64))
        made.append(p)
    return made


def test_clipping_by_norm() -> None:
    parameters = [*with_gradients([3.0], [[4.0, 0.0]]), leaf([1.0])]
    assert optim.clip_grad_norm(parameters, 1.0).item() == pytest.approx(5.0)
    np.testing.assert_allclose(parameters[0].grad.numpy(), [0.6])
    np.testing.assert_allclose(parameters[1].grad.numpy(), [[0.8, 0.0]])
    assert parameters[2].grad is None
    assert optim.clip_grad_norm(parameters, 2.0).item() == pytest.approx(1.0)  # below the limit: nothing changes
    np.testing.assert_allclose(parameters[0].grad.numpy(), [0.6])
    zero = with_gradients([0.0, 0.0])
    assert optim.clip_grad_norm(zero, 1.0).item() == 0.0
    np.testing.assert_array_equal(zero[0].grad.numpy(), [0.0, 0.0])


def test_grad_norm_is_joint_and_finite_only_where_all_gradients_are() -> None:
    assert optim.grad_norm(with_gradients([3.0, 0.0], [4.0])).item() == pytest.approx(5.0)
    assert math.isinf(optim.grad_norm(with_gradients([3.0], [math.inf])).item())
    assert math.isnan(optim.grad_norm(with_gradients([math.nan, 1.0])).item())
    with pytest.raises(DataError, match="gradient"):
        optim.grad_norm([leaf([1.0])])


def test_clipping_by_value() -> None:
    (p,) = with_gradients([-3.0, 0.25, 3.0])
    optim.clip_grad_value([p, leaf([1.0])], 0.5)
    np.testing.assert_array_equal(p.grad.numpy(), [-0.5, 0.25, 0.5])


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_clipping_refuses(limit: float) -> None:
    with pytest.raises(DataError, match="over 0"):
        optim.clip_grad_norm(with_gradients([1.0]), limit)
    with pytest.raises(DataError, match="over 0"):
        optim.clip_grad_value(with_gradients([1.0]), limit)
    with pytest.raises(DataError, match="no parameter has a gradient"):
        optim.clip_grad_norm([leaf([1.0])], 1.0)
