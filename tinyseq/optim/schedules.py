"""Learning-rate schedules: a factor on the optimiser's first learning rate, by how many steps were made.

A schedule counts what its user counts: updates or epochs. ``Scheduler`` applies one to an optimiser.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tinyseq.errors import DataError
from tinyseq.optim.optimizers import Optimizer, require


class Schedule:
    """The base, and the constant schedule's twin: ``factor(count)`` after ``count`` steps; ``observe(metric)``.

    As ``torch.optim.lr_scheduler.LambdaLR``'s function.

    >>> class Halving(optim.Schedule):
    ...     def factor(self, count):
    ...         return 0.5**count
    ...
    >>> Halving().factor(3)
    0.125
    """

    def factor(self, count: int) -> float:
        """Return what the first learning rate is multiplied by after ``count`` steps."""
        raise NotImplementedError(f"{type(self).__name__} has no factor")

    def observe(self, metric: float) -> None:
        """Take note of a validation metric; most schedules do not mind it."""

    def state_dict(self) -> dict[str, Any]:
        """Return what the schedule has learned from metrics."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""


class Constant(Schedule):
    """factor = 1.

    As ``torch.optim.lr_scheduler.ConstantLR`` of factor 1.

    >>> optim.Constant().factor(100)
    1.0
    """

    def factor(self, count: int) -> float:
        return 1.0


class Linear(Schedule):
    """factor = m + (1 - m) (1 - count / steps): from 1 straight down to ``minimum`` m, where it stays.

    As ``torch.optim.lr_scheduler.LinearLR``.

    >>> [optim.Linear(10, 0.5).factor(n) for n in (0, 5, 10, 20)]
    [1.0, 0.75, 0.5, 0.5]
    """

    def __init__(self, steps: int, minimum: float = 0.0) -> None:
        require("Linear", "steps", steps, steps >= 1, "at least 1")
        require("Linear", "minimum", minimum, 0.0 <= minimum <= 1.0, "0 to 1, a share of the first learning rate")
        self.steps, self.minimum = steps, minimum

    def factor(self, count: int) -> float:
        return 1.0 - (1.0 - self.minimum) * min(count / self.steps, 1.0)


class StepDecay(Schedule):
    """factor = γ^floor(count / every): a fall every so many steps.

    As ``torch.optim.lr_scheduler.StepLR``.

    >>> [optim.StepDecay(10, 0.5).factor(n) for n in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """

    def __init__(self, every: int, gamma: float = 0.1) -> None:
        require("StepDecay", "every", every, every >= 1, "at least 1")
        require("StepDecay", "gamma", gamma, gamma > 0.0, "over 0")
        self.every, self.gamma = every, gamma

    def factor(self, count: int) -> float:
        return float(self.gamma ** (count // self.every))


class Cosine(Schedule):
    """factor = m + (1 - m) (1 + cos(π count / steps)) / 2: from 1 to ``minimum`` m, where it stays.

    Loshchilov and Hutter 2017, eq. 5, without restarts.

    As ``torch.optim.lr_scheduler.CosineAnnealingLR``.

    >>> [round(optim.Cosine(10).factor(n), 4) for n in (0, 5, 10)]
    [1.0, 0.5, 0.0]
    """

    def __init__(self, steps: int, minimum: float = 0.0) -> None:
        require("Cosine", "steps", steps, steps >= 1, "at least 1")
        require("Cosine", "minimum", minimum, 0.0 <= minimum <= 1.0, "0 to 1, a share of the first learning rate")
        self.steps, self.minimum = steps, minimum

    def factor(self, count: int) -> float:
        done = min(count / self.steps, 1.0)
        return self.minimum + (1.0 - self.minimum) * (1.0 + math.cos(math.pi * done)) / 2.0


class WarmUp(Schedule):
    """factor = s + (1 - s) count / steps, from ``start`` s to 1; after ``steps`` steps the schedule ``then`` begins.

    Goyal et al. 2017, sec. 2.2.

    >>> [optim.WarmUp(10, start=0.5).factor(n) for n in (0, 5, 10)]
    [0.5, 0.75, 1.0]
    """

    def __init__(self, steps: int, then: Schedule | None = None, *, start: float = 0.1) -> None:
        require("WarmUp", "steps", steps, steps >= 1, "at least 1")
        require("WarmUp", "start", start, 0.0 < start <= 1.0, "0 < start <= 1: at 0 the first step would do nothing")
        self.steps, self.start = steps, start
        self.then = Constant() if then is None else then

    def factor(self, count: int) -> float:
        if count < self.steps:
            return self.start + (1.0 - self.start) * count / self.steps
        return self.then.factor(count - self.steps)

    def observe(self, metric: float) -> None:
        self.then.observe(metric)

    def state_dict(self) -> dict[str, Any]:
        return self.then.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.then.load_state_dict(state)


class Plateau(Schedule):
    """factor <- γ factor when ``patience`` + 1 metrics in a row were not better than the best by ``threshold`` of it.

    Args:
        gamma: how far it falls.
        patience: how many metrics without improvement are borne.
        mode: "min" where a lower metric is better, "max" where a higher one is.
        threshold: the least relative improvement.
        cooldown: how many metrics after a fall do not count.
        minimum: the lowest factor.

    As ``torch.optim.lr_scheduler.ReduceLROnPlateau``.

    >>> schedule = optim.Plateau(0.5, patience=1)
    >>> for loss in (3.0, 3.0, 3.0):
    ...     schedule.observe(loss)
    ...
    >>> schedule.factor(3)
    0.5
    """

    def __init__(
        self,
        gamma: float = 0.1,
        patience: int = 10,
        *,
        mode: str = "min",
        threshold: float = 1e-4,
        cooldown: int = 0,
        minimum: float = 0.0,
    ) -> None:
        require("Plateau", "gamma", gamma, 0.0 < gamma < 1.0, "0 < gamma < 1")
        require("Plateau", "patience", patience, patience >= 0, "0 or more")
        require("Plateau", "mode", mode, mode in ("min", "max"), "'min' or 'max'")
        self.gamma, self.patience, self.mode, self.threshold = gamma, patience, mode, threshold
        self.cooldown, self.minimum = cooldown, minimum
        self.now, self.best, self.bad, self.rest = 1.0, math.inf if mode == "min" else -math.inf, 0, 0

    def factor(self, count: int) -> float:
        return self.now

    def observe(self, metric: float) -> None:
        metric = float(metric)
        lower = metric < self.best * (1.0 - self.threshold)
        higher = metric > self.best * (1.0 + self.threshold)
        if lower if self.mode == "min" else higher:
            self.best, self.bad = metric, 0
        else:  # NaN comes here too: it is no improvement
            self.bad += 1
        if self.rest:
            self.rest, self.bad = self.rest - 1, 0
        if self.bad > self.patience:
            self.now, self.rest, self.bad = max(self.now * self.gamma, self.minimum), self.cooldown, 0

    def state_dict(self) -> dict[str, Any]:
        return {"now": self.now, "best": self.best, "bad": self.bad, "rest": self.rest}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.now, self.best, self.bad, self.rest = (state[key] for key in ("now", "best", "bad", "rest"))


class Scheduler:
    """Applies a schedule to an optimiser: lr = first lr · factor(count); ``step()`` counts, after the optimiser's step.

    Each group of parameters keeps its own first learning rate. ``step(metric)`` passes a validation metric on to the
    schedule.

    As ``torch.optim.lr_scheduler.LRScheduler``.

    >>> opt = optim.SGD([ts.ones(1, requires_grad=True)], lr=0.4)
    >>> scheduler = optim.Scheduler(opt, optim.StepDecay(1, 0.5))
    >>> scheduler.step()
    >>> opt.lr
    0.2
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule) -> None:
        self.optimizer, self.schedule = optimizer, schedule
        #: Each group's learning rate before the schedule.
        self.first: list[float] = []
        self.count = 0
        self._apply()

    def _apply(self) -> None:
        groups, factor = self.optimizer.param_groups, self.schedule.factor(self.count)
        self.first += [group["lr"] for group in groups[len(self.first) :]]  # of groups that are new
        for group, first in zip(groups, self.first, strict=True):
            group["lr"] = first * factor

    def step(self, metric: float | None = None) -> None:
        """Count one more step, and set the optimiser's learning rate for the next."""
        self.count += 1
        if metric is not None:
            self.schedule.observe(metric)
        self._apply()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next learning rates depend on."""
        return {"first": list(self.first), "count": self.count, "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; one of before there were groups has one first learning rate, for all.

        Raises:
            DataError: it is not of a scheduler, or of one with other groups.
        """
        if missing := {"first", "count", "schedule"} - state.keys():
            raise DataError("Scheduler: not a state of one", required=", ".join(sorted(missing)), got=", ".join(state))
        groups, first = len(self.optimizer.param_groups), state["first"]
        rates = [float(rate) for rate in first] if isinstance(first, list) else [float(first)] * groups
        if len(rates) != groups:
            raise DataError("Scheduler: a state of other groups", required=str(groups), got=str(len(rates)))
        self.first, self.count = rates, int(state["count"])
        self.schedule.load_state_dict(state["schedule"])
        self._apply()
