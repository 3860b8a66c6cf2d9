"""Learning-rate schedules: a factor of the configured rate, by how far the run has come."""

from __future__ import annotations

import math
from collections.abc import Callable

#: Name -> factor at progress 0 to 1 (after warm-up), before ``final`` is mixed in.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda progress: 1.0,
    "linear": lambda progress: 1.0 - progress,
    "cosine": lambda progress: 0.5 * (1.0 + math.cos(math.pi * progress)),
}


def factor(name: str, step: int, steps: int, *, warmup: int = 0, final: float = 0.0) -> float:
    """Return what the learning rate is multiplied by at ``step`` (from 1) of ``steps``.

    The rate rises linearly over ``warmup`` steps, then falls from 1 to ``final`` by the named schedule.
    """
    if step <= warmup:
        return step / warmup
    progress = (step - 1 - warmup) / max(steps - warmup, 1)
    return final + (1.0 - final) * SCHEDULES[name](progress)
