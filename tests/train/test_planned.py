"""A model from plans: only for shapes that come again, only without gradients, and to the same values."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn
from tinyseq.train.loop.planned import EAGER_CALLS, PLANS, PlannedModel


def inputs(time: int = 4) -> ts.Tensor:
    return ts.tensor(np.random.default_rng(time).standard_normal((2, time, 3)).astype(np.float32))


def test_shapes_that_come_again_are_compiled_once() -> None:
    model = nn.LSTM(3, 4)
    planned = PlannedModel(model)
    expected = {time: model(inputs(time))[0].numpy() for time in (4, 5, 6)}
    with ts.no_grad():
        for number in range(EAGER_CALLS + 3):
            for time in (4, 5, 6)[: 1 if number > 1 else 3]:
                np.testing.assert_allclose(planned(inputs(time))[0].numpy(), expected[time], rtol=1e-5, atol=1e-6)
            assert planned._function is not None
            assert planned._function.compilations == (number >= EAGER_CALLS)
    assert planned.hidden_size == 4


def test_with_gradients_it_is_the_model() -> None:
    model = nn.LSTM(3, 4)
    planned = PlannedModel(model)
    for _ in range(EAGER_CALLS + 2):
        planned(inputs())[0].sum().backward()
    assert planned._function is not None
    assert planned._function.compilations == 0
    assert model.parameters()[0].grad is not None


def test_what_cannot_be_compiled_runs_eagerly_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    class Looks(nn.Module):
        def forward(self, x: ts.Tensor) -> ts.Tensor:
            return x * 2.0 if float(x.sum()) < 1e9 else x

    planned = PlannedModel(Looks())
    with ts.no_grad(), caplog.at_level("INFO", "tinyseq.compiler"):
        for _ in range(EAGER_CALLS + 3):
            np.testing.assert_array_equal(planned(inputs()).numpy(), 2.0 * inputs().numpy())
    assert caplog.text.count("not compiled, runs eagerly") == 1


def test_few_shapes_are_compiled_of_many() -> None:
    planned = PlannedModel(nn.LSTM(3, 4))
    with ts.no_grad():
        for time in range(1, PLANS + 4):
            for _ in range(EAGER_CALLS + 1):
                planned(inputs(time))
    assert planned._function is not None
    assert planned._function.compilations == PLANS
