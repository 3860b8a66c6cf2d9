"""One compiled function called by several threads, freely and in fixed orders: each gets its own numbers."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn

THREADS = 4
BACKENDS = ["numpy", "llvm"]


@pytest.fixture(autouse=True)
def _switching_often() -> Iterator[None]:
    """Threads take turns every few microseconds, so that each pair of lines is met in between."""
    outer = sys.getswitchinterval()
    sys.setswitchinterval(2e-6)
    yield
    sys.setswitchinterval(outer)


class Work:
    """A model and its loss: an LSTM, layers, a view as output; each thread has inputs, and gradients, of its own."""

    def __init__(self) -> None:
        ts.seed(3)
        self.rnn, self.norm, self.head = nn.LSTM(3, 4), nn.LayerNorm(4), nn.Linear(4, 5)
        for module in (self.rnn, self.norm, self.head):
            module.cast(np.float64)

    def __call__(self, x: Any, k: float) -> Any:
        ys, _ = self.rnn(x)
        y = self.head(self.norm(ys)) * k
        return ts.transpose(y, (1, 0, 2)).reshape(-1, 5)


def result(fn: Callable[..., Any], x: ts.Tensor, k: float) -> list[np.ndarray]:
    """The values and the gradient of the input; gradients of weights would be the threads' in common."""
    y = fn(x, k)
    (gradient,) = ts.gradients((y * y).sum(), [x])
    return [y.numpy().copy(), gradient.numpy().copy()]


def inputs(thread: int) -> list[tuple[ts.Tensor, float]]:
    """What a thread calls with, in turn: three shapes, so that some calls compile while others run."""
    rng = np.random.default_rng(thread)
    return [
        (ts.tensor(rng.normal(size=(rows, steps, 3)), requires_grad=True), 1.0 + thread + rows)
        for rows, steps in ((2, 3), (1, 2), (3, 3), (2, 3))
    ]


def together(run: Callable[[int], None]) -> None:
    """Run a function of its number in each thread, and raise what any of them raises."""
    failures: list[BaseException] = []
    start = threading.Barrier(THREADS)

    def body(number: int) -> None:
        try:
            start.wait()
            run(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=body, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def race(backend: str, seconds: float) -> int:
    """Let all threads call one function for some time, and compare each result; return how many there were."""
    work, counts = Work(), [0] * THREADS
    given = [inputs(number) for number in range(THREADS)]
    with ts.backend(backend):
        expected = [[result(work, x, k) for x, k in mine] for mine in given]
        fast = ts.compile(work)

    def run(number: int) -> None:
        until = time.monotonic() + seconds
        with ts.backend(backend):
            while time.monotonic() < until:
                for (x, k), right in zip(given[number], expected[number], strict=True):
                    for got, wanted in zip(result(fast, x, k), right, strict=True):
                        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)
                    counts[number] += 1

    together(run)
    return sum(counts)


@pytest.mark.parametrize("backend", BACKENDS)
def test_four_threads_call_one_compiled_function(backend: str) -> None:
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    assert race(backend, 2.0) >= 4 * THREADS


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_four_threads_for_a_minute(backend: str) -> None:
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    for _ in range(6):  # six functions: the first calls, which compile, are met six times
        assert race(backend, 10.0) >= 4 * THREADS


#: Who goes on next: a forward pass, or the backward pass of the one before.
SCHEDULES = ["0011", "0101", "0110", "010010110101", "001101101001", "011100011100"]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_passes_of_two_threads_in_a_fixed_order(backend: str, schedule: str) -> None:
    """Forward and backward passes of one function, in every thread its own, in the order that the schedule says."""
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    work = Work()
    given = [inputs(number)[0] for number in range(2)]
    with ts.backend(backend):
        expected = [result(work, x, k) for x, k in given]
        fast = ts.compile(work)
    turn, found = threading.Condition(), {0: [], 1: []}  # type: ignore[var-annotated]
    left = list(schedule)
    failures: list[BaseException] = []

    def body(number: int) -> None:
        pending: Any = None
        with ts.backend(backend):
            for _ in range(schedule.count(str(number))):
                with turn:
                    turn.wait_for(lambda: failures or left[0] == str(number))
                    if failures:
                        return
                    try:
                        x, k = given[number]
                        if pending is None:
                            pending = fast(x, k)
                        else:
                            (gradient,) = ts.gradients((pending * pending).sum(), [x])
                            found[number].append([pending.numpy().copy(), gradient.numpy().copy()])
                            pending = None
                    except BaseException as error:
                        failures.append(error)
                    left.pop(0)
                    left.append("")
                    turn.notify_all()

    threads = [threading.Thread(target=body, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    for number in range(2):
        assert len(found[number]) == schedule.count(str(number)) // 2
        for got in found[number]:
            for a, b in zip(got, expected[number], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
