"""One compiled function called by several threads: each call's numbers are those that it has alone."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

import tinyseq as ts
from support.side_by_side import side_by_side
from tinyseq import nn

THREADS = 4
BACKENDS = [
    "numpy",
    pytest.param("llvm", marks=pytest.mark.skipif(not importlib.util.find_spec("llvmlite"), reason="no llvmlite")),
]


@pytest.fixture(autouse=True)
def _switching(monkeypatch, tmp_path_factory):
    """Threads change places after a few bytecodes, not after 5 ms; object code goes to a folder of its own."""
    monkeypatch.setenv("TINYSEQ_CACHE", str(tmp_path_factory.mktemp("objects")))
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def called_at_once(backend, count):
    """Call one function in four threads, so many times each, with two lengths; compare each value and gradient.

    Half of the results are kept until the next call is made, so that executables are taken and given back out of turn.
    """
    model, head = nn.Recurrent("lstm", 8, 48, dropout=0.0), nn.Linear(48, 5)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((16, 6 + number % 2, 8)).astype(np.float32) for number in range(THREADS)]

    def loss(x):
        return (head(model(x)[0]) ** 2).mean()

    fast = ts.compile(loss)

    def call(x):
        y = fast(x)
        return y, lambda: (y.numpy().tobytes(), ts.gradients(y, [x])[0].numpy().tobytes())

    def calls(array):
        with ts.backend(backend):
            held, found = None, set()
            for number in range(count):
                y = call(ts.tensor(array, requires_grad=True))
                if held is not None:
                    found.add(held[1]())
                    held = None
                if number % 2:
                    held = y
                else:
                    found.add(y[1]())
            return found

    with ts.backend(backend):
        alone = [{call(ts.tensor(array, requires_grad=True))[1]()} for array in arrays]
    assert side_by_side(*[lambda array=array: calls(array) for array in arrays]) == alone


@pytest.mark.parametrize("backend", BACKENDS)
def test_four_threads_that_call_one_function(backend):
    called_at_once(backend, 150)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_four_threads_that_call_one_function_for_about_a_minute(backend):
    called_at_once(backend, {"numpy": 1_500, "llvm": 12_000}[backend])
