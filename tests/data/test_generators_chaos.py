"""The chaotic series against independent integrations, and the equations evaluated again by plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from tinyseq.data.chaos import lorenz, mackey_glass, narma10
from tinyseq.errors import DataError


def test_narma_by_a_plain_loop():
    u, y = narma10(300, 7)
    assert u.shape == y.shape == (300,)
    assert u.min() >= 0.0
    assert u.max() < 0.5
    again = [0.0] * 300
    for t in range(9, 299):
        total = 0.0
        for i in range(10):
            total += again[t - i]
        again[t + 1] = 0.3 * again[t] + 0.05 * again[t] * total + 1.5 * u[t - 9] * u[t] + 0.1
    assert y == pytest.approx(np.array(again), abs=1e-14)
    assert (y[:10] == 0.0).all()


def test_narma_stays_bounded_even_for_inputs_that_diverge():
    for seed in range(30):
        _, y = narma10(5000, seed)
        assert np.isfinite(y).all()
        assert y.max() < 10.0


def fine_mackey_glass(times, tau, start, step=1e-3):
    """Euler's method extrapolated (Richardson) from two fine steps, constant history: no code in common with ours."""
    results = []
    for h in (step, step / 2):
        lag = round(tau / h)
        steps = round(times / h)
        x = np.empty(lag + steps + 1)
        x[: lag + 1] = start
        for k in range(lag, lag + steps):
            delayed = x[k - lag]
            x[k + 1] = x[k] + h * (0.2 * delayed / (1 + delayed**10) - 0.1 * x[k])
        results.append(x[lag :: round(1 / h)])
    return 2 * results[1] - results[0]


def test_mackey_glass_against_a_fine_integration():
    expected = fine_mackey_glass(60, 17.0, 1.2)
    assert mackey_glass(61) == pytest.approx(expected, abs=2e-6)


def test_mackey_glass_against_scipy_by_the_method_of_steps():
    """On (0, 17] the delayed value is the constant history: an ordinary equation, whose solution is an exponential;
    on (17, 34] it is that solution."""
    integrate = pytest.importorskip("scipy.integrate")
    drive = 0.2 * 1.2 / (1 + 1.2**10)

    def first(t):
        return drive / 0.1 + (1.2 - drive / 0.1) * np.exp(-0.1 * t)

    x = mackey_glass(35)
    assert x[:18] == pytest.approx(first(np.arange(18.0)), abs=1e-9)

    def slope(t, y):
        delayed = first(t - 17.0)
        return 0.2 * delayed / (1 + delayed**10) - 0.1 * y

    solved = integrate.solve_ivp(slope, (17, 34), [x[17]], t_eval=np.arange(17.0, 35.0), rtol=1e-11, atol=1e-12)
    assert x[17:] == pytest.approx(solved.y[0], abs=1e-8)


def test_mackey_glass_is_of_order_four():
    exact = mackey_glass(200, step=0.01)
    errors = [np.abs(mackey_glass(200, step=h) - exact).max() for h in (0.5, 0.25)]
    assert 12 < errors[0] / errors[1] < 20


def test_mackey_glass_options():
    x = mackey_glass(100)
    assert x[0] == 1.2
    assert mackey_glass(60, discard=40) == pytest.approx(x[40:], abs=0)
    assert mackey_glass(20, sample=5.0) == pytest.approx(x[::5], abs=0)
    still = np.full(171, 1.0)  # β / 2 = γ: the fixed point x = 1
    assert mackey_glass(50, start=still) == pytest.approx(np.ones(50), abs=1e-12)
    with pytest.raises(DataError, match="multiples of step"):
        mackey_glass(10, tau=17.03)
    with pytest.raises(DataError, match="171 values"):
        mackey_glass(10, start=np.ones(3))
    with pytest.raises(DataError, match="length"):
        mackey_glass(0)


def test_mackey_glass_is_chaotic_at_17_and_periodic_at_10():
    """A small difference grows at tau 17; at tau 10 the series comes back to itself."""
    a = mackey_glass(2001, start=1.2)
    b = mackey_glass(2001, start=1.2 + 1e-6)
    assert np.abs(a - b)[-500:].max() > 1e-3
    calm = mackey_glass(400, tau=10.0, discard=3000)
    assert min(np.abs(calm[lag:] - calm[:-lag]).max() for lag in range(20, 100)) < 0.05


def test_lorenz_against_scipy():
    integrate = pytest.importorskip("scipy.integrate")

    def slope(_, p):
        x, y, z = p
        return [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]

    times = np.arange(151) * 0.02
    solved = integrate.solve_ivp(slope, (0, 3), [1.0, 1.0, 1.0], t_eval=times, rtol=1e-11, atol=1e-12)
    ours = lorenz(151)
    assert ours.shape == (151, 3)
    assert ours == pytest.approx(solved.y.T, abs=2e-4)
    finer = lorenz(151, substeps=40)
    assert finer == pytest.approx(solved.y.T, abs=1e-7)


def test_lorenz_stays_on_its_attractor():
    points = lorenz(3000, discard=500)
    assert np.abs(points[:, :2]).max() < 30
    assert points[:, 2].min() > 0
    assert points[:, 2].max() < 50
    assert (points[:, 0] > 0).any()
    assert (points[:, 0] < 0).any()
    assert lorenz(10, discard=5) == pytest.approx(lorenz(15)[5:], abs=0)


def test_lorenz_fixed_point():
    edge = float(np.sqrt(8 / 3 * 27))
    assert lorenz(20, start=(edge, edge, 27.0)) == pytest.approx(np.tile([edge, edge, 27.0], (20, 1)), abs=1e-9)


def test_the_seed_decides():
    assert (narma10(50, 1)[1] == narma10(50, 1)[1]).all()
    assert (narma10(50, 1)[1] != narma10(50, 2)[1]).any()
    with pytest.raises(DataError, match="length"):
        narma10(0, 1)
