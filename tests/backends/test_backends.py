"""The backend protocol, and what the NumPy backend adds to NumPy: the error function, scatter-add, memory."""

from __future__ import annotations

import math
import sys
import threading
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinyseq as ts
from support.side_by_side import side_by_side, wait
from tinyseq import backends
from tinyseq.backends.base import Backend
from tinyseq.backends.numpy import NumpyBackend
from tinyseq.errors import BackendError

NUMPY = backends.load("numpy")


def test_the_numpy_backend_keeps_the_protocol() -> None:
    assert isinstance(NUMPY, Backend)
    assert NUMPY.xp is np
    assert backends.load("numpy") is NUMPY
    assert set(backends.names()) >= {"numpy", "cupy", "auto"}
    assert backends.of(np.ones(1)) is NUMPY
    assert backends.of(np.float32(1.0)) is NUMPY


def test_a_thread_begins_on_the_default_backend_and_changes_no_other() -> None:
    def other() -> tuple[str, str]:
        with backends.use("numpy", "tf32"):
            used.set()
            wait(looked)
            return begun, backends.precision()

    def looking() -> str:
        wait(used)
        looked.set()
        return backends.precision()

    used, looked = threading.Event(), threading.Event()
    with backends.use("numpy", "tf32"):
        (begun,) = side_by_side(backends.precision)
    assert side_by_side(other, looking) == [("fp32", "tf32"), "fp32"]


def test_threads_that_ask_for_a_backend_at_once_get_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrays of a second instance would be the first one's, with its memory and streams."""
    begun, go = threading.Event(), threading.Event()

    def create() -> NumpyBackend:
        made.append(NumpyBackend())
        begun.set()
        go.wait(0.2)  # until the other thread is here too, which it must not be
        return made[-1]

    def second() -> Backend:
        wait(begun)
        return backends.load("slow")

    made: list[NumpyBackend] = []
    module = ModuleType("slow_backend")
    vars(module)["create"] = create
    monkeypatch.setitem(sys.modules, "slow_backend", module)
    monkeypatch.setitem(backends.BACKENDS, "slow", "slow_backend:create")
    monkeypatch.setattr(backends, "_loaded", dict(backends._loaded))
    assert side_by_side(lambda: backends.load("slow"), second) == made * 2


def test_to_and_from_the_host() -> None:
    a = np.ones((2, 3))
    there = NUMPY.from_host(a)
    a[0, 0] = 5.0
    assert there[0, 0] == 1.0
    assert NUMPY.to_host(there) is there


def test_memory_and_description() -> None:
    assert NUMPY.memory().get("peak_bytes", 1 << 20) >= 1 << 20
    described = NUMPY.describe()
    assert described["backend"] == "numpy"
    assert described["numpy"] == np.__version__
    assert described["device"]


# -- the error function ------------------------------------------------------------------------------------------------


def exact(x: np.ndarray) -> np.ndarray:
    return np.array([math.erf(v) for v in x.astype(np.float64)])


@pytest.mark.parametrize(("dtype", "ulps"), [(np.float64, 8), (np.float32, 4)])
def test_erf_on_a_dense_grid(dtype: type, ulps: int) -> None:
    x = np.concatenate([np.linspace(-7, 7, 40_001), np.geomspace(1e-30, 1, 2_000), -np.geomspace(1e-30, 1, 500)])
    x = x.astype(dtype)
    y, expected = NUMPY.erf(x), exact(x)
    assert y.dtype == dtype
    error = np.abs(y.astype(np.float64) - expected) / np.spacing(np.abs(expected).astype(dtype)).astype(np.float64)
    print(f"\nerf in {np.dtype(dtype)}: at most {error.max():.2f} units in the last place, at {x[error.argmax()]}")
    assert error.max() <= ulps


@given(hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(-10, 10)))
def test_erf_is_odd_bounded_and_matches_libm(x: np.ndarray) -> None:
    y = NUMPY.erf(x)
    np.testing.assert_array_equal(NUMPY.erf(-x), -y)
    assert (np.abs(y) <= 1.0).all()
    np.testing.assert_allclose(y, exact(x), rtol=2e-15, atol=5e-324)


def test_erf_at_the_ends() -> None:
    for dtype in (np.float32, np.float64):
        x = np.array([0.0, -0.0, np.inf, -np.inf, 40.0, -40.0, np.finfo(dtype).max], dtype=dtype)
        y = NUMPY.erf(x)
        np.testing.assert_array_equal(y, [0.0, -0.0, 1.0, -1.0, 1.0, -1.0, 1.0])
        np.testing.assert_array_equal(np.signbit(y), np.signbit(x))
        assert np.isnan(NUMPY.erf(np.array([np.nan], dtype=dtype))).all()
    assert NUMPY.erf(np.zeros((0, 3))).shape == (0, 3)
    assert NUMPY.erf(np.float64(0.5)).shape == ()


def test_erf_is_nowhere_decreasing() -> None:
    for dtype, slack in ((np.float64, 4), (np.float32, 4)):
        y = NUMPY.erf(np.linspace(-6, 6, 100_001).astype(dtype))
        assert np.diff(y).min() >= -slack * np.finfo(dtype).eps


# -- scatter_add -------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(-3, 2), max_size=12), st.integers(0, 3))
def test_scatter_add_counts_every_repeat(places: list[int], width: int) -> None:
    updates = np.arange(1.0, 1.0 + len(places) * width).reshape(len(places), width)
    expected = np.zeros((3, width))
    for place, row in zip(places, updates, strict=True):
        expected[place] += row
    found = NUMPY.scatter_add((3, width), (np.array(places, dtype=np.int64),), updates)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scatter_add_keeps_the_dtype_and_the_updates(dtype: type) -> None:
    updates = np.ones(4, dtype=dtype)
    updates.flags.writeable = False
    found = NUMPY.scatter_add((2,), (np.array([0, 0, 0, 1]),), updates)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, [3.0, 1.0])


# -- on a GPU ----------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
def test_cupy_agrees_with_numpy() -> None:
    x = np.linspace(-3, 3, 101)
    with ts.backend("cupy"):
        t = ts.tensor(x, requires_grad=True)
        y = ts.gelu(t) * ts.softmax(t) + ts.dropout(t, 0.5, seed=1)
        y.sum().backward()
        assert t.grad is not None
        there = [y.numpy(), t.grad.numpy(), ts.tensor(x).backend.erf(t.value).get()]
    t = ts.tensor(x, requires_grad=True)
    y = ts.gelu(t) * ts.softmax(t) + ts.dropout(t, 0.5, seed=1)
    y.sum().backward()
    assert t.grad is not None
    for a, b in zip(there, [y.numpy(), t.grad.numpy(), NUMPY.erf(x)], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("chosen", "expected"), [("numpy", "numpy"), ("llvm", "llvm"), ("auto", None), (None, None)])
def test_auto_is_what_the_environment_names_else_the_best_that_works(
    chosen: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chosen is None:
        monkeypatch.delenv(backends.VARIABLE)
    else:
        monkeypatch.setenv(backends.VARIABLE, chosen)
    with ts.backend("auto") as found:
        assert found.name == expected or (expected is None and found.name in {"cupy", "llvm"})


def test_auto_never_falls_behind_what_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(backends.VARIABLE, "nump")
    with pytest.raises(BackendError, match="did you mean 'numpy'"), ts.backend("auto"):
        pass


def test_numpy_says_what_would_be_faster_and_llvm_does_not() -> None:
    with ts.backend("numpy"):
        assert 'pip install "tinyseq[llvm]"' in backends.faster()
    with ts.backend("llvm"):
        assert backends.faster() == ""
