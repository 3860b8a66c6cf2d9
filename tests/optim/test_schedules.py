"""Learning-rate schedules; against PyTorch in tests/parity."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import optim
from tinyseq.errors import DataError


def optimizer(lr: float = 0.2) -> optim.SGD:
    return optim.SGD([ts.ones(1, requires_grad=True)], lr)


def rates(schedule: optim.Schedule, steps: int) -> list[float]:
    opt = optimizer(1.0)
    scheduler = optim.Scheduler(opt, schedule)
    found = []
    for _ in range(steps):
        found.append(opt.lr)
        scheduler.step()
    return found


def test_by_hand() -> None:
    assert rates(optim.Constant(), 3) == [1.0, 1.0, 1.0]
    assert rates(optim.StepDecay(2, 0.5), 5) == [1.0, 1.0, 0.5, 0.5, 0.25]
    np.testing.assert_allclose(rates(optim.Cosine(4, 0.2), 6), [1.0, 0.8828427, 0.6, 0.3171573, 0.2, 0.2])
    np.testing.assert_allclose(rates(optim.Linear(4, 0.2), 6), [1.0, 0.8, 0.6, 0.4, 0.2, 0.2])
    np.testing.assert_allclose(rates(optim.WarmUp(4, start=0.2), 6), [0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    np.testing.assert_allclose(
        rates(optim.WarmUp(2, optim.StepDecay(2, 0.5), start=0.5), 6), [0.5, 0.75, 1, 1, 0.5, 0.5]
    )


def test_plateau() -> None:
    opt = optimizer(1.0)
    scheduler = optim.Scheduler(opt, optim.WarmUp(1, optim.Plateau(0.5, 1, minimum=0.2), start=0.9))
    found = []
    for metric in [1.0, 1.0, 1.0, 0.5, 0.6, float("nan"), 0.6, 0.6, 0.6, 0.6]:
        scheduler.step(metric)
        found.append(opt.lr)
    assert found == [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]
    scheduler.step()  # without a metric nothing is noted
    assert opt.lr == 0.2


def test_a_state_goes_on() -> None:
    def make() -> tuple[optim.Optimizer, optim.Scheduler]:
        opt = optimizer(1.0)
        return opt, optim.Scheduler(opt, optim.WarmUp(2, optim.Plateau(0.5, 0), start=0.5))

    metrics = [3.0, 2.0, 2.0, 1.0, 1.0, 1.0]
    opt, scheduler = make()
    for metric in metrics:
        scheduler.step(metric)
    first, half = make()
    for metric in metrics[:3]:
        half.step(metric)
    second, rest = make()
    rest.load_state_dict(half.state_dict())
    assert second.lr == first.lr
    for metric in metrics[3:]:
        rest.step(metric)
    assert second.lr == opt.lr
    with pytest.raises(DataError, match="schedule"):
        rest.load_state_dict({"count": 1, "first": 1.0})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: optim.StepDecay(0), ["StepDecay", "every", "at least 1"]),
        (lambda: optim.StepDecay(1, 0.0), ["gamma"]),
        (lambda: optim.Cosine(0), ["steps"]),
        (lambda: optim.Cosine(3, 1.5), ["minimum"]),
        (lambda: optim.WarmUp(0), ["steps"]),
        (lambda: optim.WarmUp(3, start=0.0), ["start"]),
        (lambda: optim.Plateau(1.0), ["gamma"]),
        (lambda: optim.Plateau(mode="least"), ["mode", "'min' or 'max'"]),
        (lambda: optim.Plateau(patience=-1), ["patience"]),
    ],
)
def test_refused_with_words(call, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == []
