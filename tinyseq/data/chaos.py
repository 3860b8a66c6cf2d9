"""Chaotic and nonlinear series by their equations: NARMA-10, Mackey-Glass, Lorenz. All in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyseq.errors import DataError

Array = np.ndarray[Any, Any]
#: Over this a NARMA-10 series has left its attractor and grows without bound.
_NARMA_LIMIT = 10.0


def narma10(length: int, seed: int | np.random.Generator) -> tuple[Array, Array]:
    """Return random inputs u and the series y that they drive.

    y(t+1) = 0.3 y(t) + 0.05 y(t) Σ_{i=0..9} y(t-i) + 1.5 u(t-9) u(t) + 0.1,  u ~ U[0, 0.5),  y = 0 for t <= 9.
    The task is to tell y(t+1) from u(0) ... u(t): pair ``u[:-1]`` with ``y[1:]``. For a few inputs the series grows
    without bound; such inputs are drawn anew.

    Shapes: u and y float64 (length,).

    Source: Atiya and Parlos 2000, "New results on recurrent network training", eq. 86.
    """
    _positive("narma10: length", length)
    rng = np.random.default_rng(seed)
    while True:
        u = rng.uniform(0.0, 0.5, length)
        y = np.zeros(length)
        for t in range(9, length - 1):
            y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
            if y[t + 1] > _NARMA_LIMIT:
                break
        else:
            return u, y


def mackey_glass(
    length: int,
    *,
    tau: float = 17.0,
    beta: float = 0.2,
    gamma: float = 0.1,
    power: float = 10.0,
    start: float | Array = 1.2,
    sample: float = 1.0,
    step: float = 0.1,
    discard: int = 0,
) -> Array:
    """Return samples x(0), x(sample), ... of the Mackey-Glass delay equation.

    dx/dt = β x(t-τ) / (1 + x(t-τ)^n) - γ x(t). Integrated by the classical fourth-order Runge-Kutta method with the
    given step; x(t-τ) between two steps comes from the cubic Hermite polynomial through their values and slopes, so
    that the order stays four. At the default step of 0.1 the error of x(100) is below 1e-8.

    Args:
        length: how many samples to return.
        tau, beta, gamma, power: the equation's τ, β, γ and n; with τ = 17 the series is chaotic.
        start: x(t) for -τ <= t <= 0: one number, or τ/step + 1 values a step apart, the last of them x(0).
        sample: the time between samples, a multiple of ``step``.
        step: the time step of the integration; ``tau`` is a multiple of it.
        discard: how many samples to leave out at the beginning (the transient).

    Shapes: float64 (length,).

    Source: Mackey and Glass 1977, "Oscillation and chaos in physiological control systems", eq. 4b; parameters as in
    Jaeger and Haas 2004.
    """
    _positive("mackey_glass: length", length)
    lag, every = round(tau / step), round(sample / step)
    if lag < 1 or abs(lag * step - tau) > 1e-9 or every < 1 or abs(every * step - sample) > 1e-9:
        raise DataError(
            "mackey_glass: the step does not divide the delay and the sampling time",
            required="tau and sample multiples of step",
            got=f"tau={tau}, sample={sample}, step={step}",
        )
    history = np.full(lag + 1, start, np.float64) if np.ndim(start) == 0 else np.asarray(start, np.float64)
    if history.shape != (lag + 1,):
        raise DataError("mackey_glass: start", required=f"one number or {lag + 1} values", got=f"shape {history.shape}")

    def slope(now: float, delayed: float) -> float:
        return float(beta * delayed / (1.0 + delayed**power) - gamma * now)

    def middle(left: float, right: float, left_slope: float, right_slope: float) -> float:
        return (left + right) / 2.0 + step * (left_slope - right_slope) / 8.0

    x = history.tolist()  # x[lag + k] is x(k step)
    slopes = np.gradient(history, step).tolist()
    middles = [middle(*parts) for parts in zip(x, x[1:], slopes, slopes[1:], strict=False)]  # between x[k] and x[k + 1]
    for k in range(lag, lag + (length + discard - 1) * every):
        now, old, between, new = x[k], x[k - lag], middles[k - lag], x[k - lag + 1]
        k1 = slope(now, old)
        k2 = slope(now + step / 2.0 * k1, between)
        k3 = slope(now + step / 2.0 * k2, between)
        k4 = slope(now + step * k3, new)
        x.append(now + step / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4))
        middles.append(middle(now, x[-1], k1, slope(x[-1], new)))
    return np.array(x[lag::every][discard:])


def lorenz(
    length: int,
    *,
    sigma: float = 10.0,
    rho: float = 28.0,
    beta: float = 8.0 / 3.0,
    start: tuple[float, float, float] = (1.0, 1.0, 1.0),
    sample: float = 0.02,
    substeps: int = 4,
    discard: int = 0,
) -> Array:
    """Return samples of the Lorenz system.

    dx/dt = σ (y - x),  dy/dt = x (ρ - z) - y,  dz/dt = x y - β z. Integrated by the classical fourth-order Runge-Kutta
    method, ``substeps`` steps between two samples (by default a time step of 0.005).

    Args:
        length: how many samples to return.
        sigma, rho, beta: the equation's parameters; by default Lorenz's own, which are chaotic.
        start: (x, y, z) at time 0.
        sample: the time between samples.
        substeps: integration steps a sample.
        discard: how many samples to leave out at the beginning (the transient).

    Shapes: float64 (length, 3).

    Source: Lorenz 1963, "Deterministic nonperiodic flow", eqs. 25-27.
    """
    _positive("lorenz: length", length)
    _positive("lorenz: substeps", substeps)
    h = sample / substeps

    def slope(p: Array) -> Array:
        x, y, z = p
        return np.array([sigma * (y - x), x * (rho - z) - y, x * y - beta * z])

    point = np.array(start, np.float64)
    points = [point]
    for _ in range(length + discard - 1):
        for _ in range(substeps):
            k1 = slope(point)
            k2 = slope(point + h / 2.0 * k1)
            k3 = slope(point + h / 2.0 * k2)
            k4 = slope(point + h * k3)
            point = point + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        points.append(point)
    return np.array(points[discard:])


def _positive(what: str, value: int) -> None:
    if value < 1:
        raise DataError(what, required="at least 1", got=str(value))
