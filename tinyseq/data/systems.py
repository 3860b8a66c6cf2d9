"""The series that echo state networks are judged on, by name: inputs, the outputs to learn, and the names of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from tinyseq.data import chaos
from tinyseq.data.bounds import Bounds, Discarded
from tinyseq.registry import Registry

Array = np.ndarray[Any, Any]
#: A delay in units of time, the time between two samples, and the parameter of Lorenz's equations.
Delay = Annotated[float, Bounds(0.1, 10_000.0)]
Step = Annotated[float, Bounds(1e-4, 1.0)]
Rayleigh = Annotated[float, Bounds(0.0, 350.0)]


@dataclass(frozen=True)
class System:
    """Inputs (time, inputs) and targets (time, outputs), aligned: target t is told from inputs up to t.

    ``free``: a target is the next input, so that a model can run on by its own outputs.
    """

    inputs: Array
    targets: Array
    input_names: tuple[str, ...]
    target_names: tuple[str, ...]
    free: bool


def _onward(values: Array, names: tuple[str, ...]) -> System:
    return System(values[:-1], values[1:], names, names, True)


def mackey_glass(
    length: int, seed: int, *, tau: Delay = 17.0, discard: Discarded = 1000, squash: bool = True
) -> System:
    """Mackey-Glass, a sample a time unit, forecast from itself.

    Args:
        length: how many steps.
        seed: not used: the equation is started as always, x = 1.2.
        tau: the delay; 17 mildly chaotic, 30 wildly.
        discard: samples of the transient that are left out.
        squash: take tanh(x - 1), as Jaeger (2001) does.
    """
    x = chaos.mackey_glass(length + 1, tau=tau, discard=discard)
    return _onward((np.tanh(x - 1.0) if squash else x)[:, None], ("x",))


def lorenz(length: int, seed: int, *, sample: Step = 0.02, discard: Discarded = 500, rho: Rayleigh = 28.0) -> System:
    """Lorenz's system, all three coordinates, forecast from themselves; each divided by 10.

    Args:
        length: how many steps.
        seed: not used: it starts at (1, 1, 1).
        sample: time between steps.
        discard: samples of the transient that are left out.
        rho: the equation's ρ.
    """
    points = chaos.lorenz(length + 1, sample=sample, discard=discard, rho=rho)
    return _onward(points / 10.0, ("x", "y", "z"))


def narma10(length: int, seed: int) -> System:
    """NARMA-10: y driven by random inputs u, told from u alone."""
    u, y = chaos.narma10(length + 1, seed)
    return System(u[:-1, None], y[1:, None], ("u",), ("y",), False)


#: Name -> (length, seed, **options) -> system.
SYSTEMS: Registry[Callable[..., System]] = Registry(
    "system", {"lorenz": lorenz, "mackey_glass": mackey_glass, "narma10": narma10}
)
