"""The learning-rate schedules that a config may name, and what its settings mean to each."""

from __future__ import annotations

from collections.abc import Callable

from tinyseq import optim
from tinyseq.optim import Schedule
from tinyseq.registry import Registry


def _constant(steps: int, final: float, mode: str) -> Schedule:
    return optim.Constant()


def _linear(steps: int, final: float, mode: str) -> Schedule:
    return optim.Linear(steps, final)


def _cosine(steps: int, final: float, mode: str) -> Schedule:
    return optim.Cosine(steps, final)


def _step(steps: int, final: float, mode: str, *, every: int | None = None, gamma: float = 0.1) -> Schedule:
    """A fall by ``gamma`` every so many steps; by default at each third of the run."""
    return optim.StepDecay(every if every is not None else max(-(-steps // 3), 1), gamma)


def _plateau(
    steps: int,
    final: float,
    mode: str,
    *,
    gamma: float = 0.5,
    patience: int = 3,
    threshold: float = 1e-4,
    cooldown: int = 0,
) -> Schedule:
    """A fall by ``gamma`` when more than ``patience`` looks at the validation part in a row brought nothing better."""
    return optim.Plateau(gamma, patience, mode=mode, threshold=threshold, cooldown=cooldown, minimum=final)


#: Name -> (steps after the warm-up, final share, "min" or "max" as the measure is better, **options) -> schedule.
SCHEDULES: Registry[Callable[..., Schedule]] = Registry(
    "schedule",
    {
        "constant": _constant,
        "linear": _linear,
        "step": _step,
        "cosine": _cosine,
        "plateau": _plateau,
    },
)


def register_schedule(name: str, factory: Callable[..., Schedule]) -> None:
    """Make a schedule known to ``train.schedule.name:``; the factory's arguments are as in ``SCHEDULES``."""
    SCHEDULES.register(name, factory)


def make_schedule(
    name: str, steps: int, *, warmup: int = 0, final: float = 0.0, mode: str = "min", **options: object
) -> Schedule:
    """Return the schedule of a run of so many steps.

    With ``warmup`` the rate first rises: step t of it has t / (warmup + 1) of the full rate.
    """
    then = SCHEDULES[name](max(steps - warmup, 1), final, mode, **options)
    return optim.WarmUp(warmup, then, start=1.0 / (warmup + 1)) if warmup else then
