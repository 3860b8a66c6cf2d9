"""An exception at any line that a compiled call runs leaves nothing behind: the next calls give the right numbers.

Ctrl-C may raise between any two lines, in native code's Python half too, where threads are handed their shares. So the
lines that a call runs are counted, and then the call is made once for each with an exception raised there, by
``sys.settrace``; after each come calls that are compared with the eager ones. A sample of the lines at each run, all of
them with ``-m slow``.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import tinyseq as ts
from tinyseq import threads
from tinyseq.compiler.target import TARGETS

PACKAGE = str(Path(ts.__file__).parent)
#: Lines of each program that are interrupted at each run.
SAMPLE = 40

#: Raised while an object is dropped, an interrupt is told and lost, as Python does; what it leaves is compared too.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Interrupt(BaseException):
    """Like KeyboardInterrupt, but nobody else's."""


def interrupted(call: Callable[[], Any], at: int | None) -> int:
    """Make a call, an exception raised at the line that comes as number ``at``; return how many lines it ran."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            count += 1
            if count == at:
                raise Interrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except Interrupt:
        pass
    finally:
        sys.settrace(before)
    return count


class Program:
    """A function, compiled once, with its inputs and its right answers."""

    def __init__(self, fn: Callable[..., ts.Tensor], *shapes: tuple[int, ...]) -> None:
        rng = np.random.default_rng(0)
        self.arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
        self.fn, self.fast = fn, ts.compile(fn)
        self.right = self.results(fn, self.arrays)
        self.others = [array[::-1].copy() * 0.5 for array in self.arrays]
        self.right_others = self.results(fn, self.others)

    @staticmethod
    def results(fn: Callable[..., ts.Tensor], arrays: list[np.ndarray]) -> list[np.ndarray]:
        tensors = [ts.tensor(array, requires_grad=True) for array in arrays]
        loss = fn(*tensors)
        loss.backward()
        return [loss.numpy(), *(x.grad.numpy() for x in tensors)]

    def call(self) -> None:
        self.results(self.fast, self.arrays)

    def call_others(self) -> None:
        self.results(self.fast, self.others)

    def check(self) -> None:
        for arrays, right in ((self.others, self.right_others), (self.arrays, self.right)):
            for got, expected in zip(self.results(self.fast, arrays), right, strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def lstm(x: ts.Tensor, W: ts.Tensor, U: ts.Tensor, c: ts.Tensor) -> ts.Tensor:
    def step(x: ts.Tensor, state: tuple[ts.Tensor, ts.Tensor]) -> Any:
        h, c = state
        i, f, o, g = ts.split(x @ W + h @ U, 6, -1)
        c = ts.sigmoid(f) * c + ts.sigmoid(i) * ts.tanh(g)
        h = ts.sigmoid(o) * ts.tanh(c)
        return h, (h, c)

    ys, _ = ts.unroll(step, x, (c * 0.0, c))
    return (ys * ys).sum()


def layers(x: ts.Tensor, w: ts.Tensor) -> ts.Tensor:
    """Large enough that inputs are read and results written where the caller has them."""
    return (ts.tanh(ts.tanh(x @ w) @ w) ** 2).mean()


def mixed(x: ts.Tensor, w: ts.Tensor) -> ts.Tensor:
    """With a product that is left to NumPy, between native functions."""
    return (ts.tanh(ts.einsum("ij,jk->ik", ts.tanh(x), w)) ** 2).sum()


PROGRAMS: dict[str, tuple[Callable[..., ts.Tensor], list[tuple[int, ...]]]] = {
    "lstm": (lstm, [(4, 5, 3), (3, 24), (6, 24), (4, 6)]),
    "layers": (layers, [(96, 96), (96, 96)]),
    "mixed": (mixed, [(20, 20), (20, 20)]),
}


@contextmanager
def chosen(backend: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A backend, native code shared by three threads at every chance."""
    if backend == "numpy":
        with ts.backend("numpy"):
            yield
        return
    pytest.importorskip("llvmlite")
    from support.native import shared_by

    with shared_by(monkeypatch, 3):
        yield


def blas_counts() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def sweep(name: str, backend: str, monkeypatch: pytest.MonkeyPatch, most: int | None) -> None:
    fn, shapes = PROGRAMS[name]
    begun = native_threads()
    with chosen(backend, monkeypatch):
        program = Program(fn, *shapes)
        for _ in range(3):
            program.check()
        before = blas_counts()
        lines = interrupted(program.call, None)
        assert lines > 5
        step = 1 if most is None else max(lines // most, 1)
        for number, at in enumerate(range(1, lines + 1, step)):
            # In turn the arrays of the call before, and others.
            interrupted(program.call if number % 2 else program.call_others, at)
            program.check()
            assert blas_counts() == before, f"line {at}"
            assert threads.allowed() == threads.available(), f"line {at}"
        # A team goes when nobody holds it, and what an interrupted call left may wait for the garbage collector.
        end = time.monotonic() + 10.0
        while native_threads() > max(2 + 2, begun) and time.monotonic() < end:
            gc.collect()
            time.sleep(0.05)
        assert native_threads() <= max(2 + 2, begun), "threads of teams that are gone"


def native_threads() -> int:
    return sum(thread.name == "tinyseq" for thread in threading.enumerate())


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_sample_of_lines(name: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(name, backend, monkeypatch, SAMPLE)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_line(name: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(name, backend, monkeypatch, None)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("place", ["compiler/lower/llvm", "threads.py"])
def test_every_line_of_handing_work_out(place: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the lines above, those of the executable, its threads and limits; all of them at each run."""
    monkeypatch.setitem(globals(), "PACKAGE", str(Path(PACKAGE, place)))
    sweep(name, "llvm", monkeypatch, None)


def test_two_exceptions_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second in what the first made run: at each line of the executable that follows."""
    pytest.importorskip("llvmlite")
    monkeypatch.setitem(globals(), "PACKAGE", str(Path(PACKAGE, "compiler", "lower")))
    with chosen("llvm", monkeypatch):
        program = Program(layers, *PROGRAMS["layers"][1])
        program.check()
        lines = interrupted(program.call, None)
        for first in range(1, lines, 5):
            for second in range(1, 40, 7):
                interrupted(program.call, first)
                interrupted(program.call, second)
                program.check()


def test_a_limit_ends_with_the_frame_that_asked_for_it() -> None:
    """At whatever line an exception ends it."""

    def call() -> None:
        with threads.limited(native=1, blas=1):
            assert threads.allowed() == 1

    before = blas_counts()
    lines = interrupted(call, None)
    for at in range(1, lines + 1):
        interrupted(call, at)
        assert (blas_counts(), threads.allowed()) == (before, threads.available()), f"line {at}"


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_executable_itself_may_be_used_again(name: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiled function may throw away one that an exception went through; nobody need."""
    fn, shapes = PROGRAMS[name]
    with chosen(backend, monkeypatch):
        program = Program(fn, *shapes)
        program.call()
        executable = TARGETS[backend].executable(program.fast.plan)
        seed = np.ones((), np.float32)
        sets = [(program.arrays, program.right), (program.others, program.right_others)]
        sets += [([array.copy() for array in arrays], right) for arrays, right in sets]

        def run(arrays: list[np.ndarray]) -> list[np.ndarray]:
            return [*executable.forward_list(arrays, 1), *executable.backward_list([seed], 1)]

        def call() -> None:
            run(sets[0][0])
            run(sets[0][0])
            run(sets[3][0])

        lines = interrupted(call, None)
        step = 1 if (name, backend) == ("layers", "llvm") else max(lines // SAMPLE, 1)
        for at in range(1, lines + 1, step):
            interrupted(call, at)
            for arrays, right in (sets[at % 4], sets[0]):
                for got, expected in zip(run(arrays), right, strict=True):
                    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
