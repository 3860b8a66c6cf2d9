"""Whose the cores are: limits that overlap in any order, and the turn that one call has."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tinyseq import threads
from tinyseq.threads import Turn, limited, sole_owner


@pytest.fixture(autouse=True)
def _many_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(threads, "available", lambda: 8)
    with threadpool_limits(3, "blas"):
        yield


def blas() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_limits_end_in_any_order(order: tuple[int, ...]) -> None:
    """The least of those that live holds; with the last one all is as it was."""
    counts = [2, 1, 4]
    limits: list[AbstractContextManager[None]] = [limited(native=n, blas=n) for n in counts]
    for number, limit in enumerate(limits):
        limit.__enter__()
        assert (threads.allowed(), blas()) == (min(counts[: number + 1]), {min(counts[: number + 1])})
    for number in order:
        limits[number].__exit__(None, None, None)
        counts[number] = 99
        assert threads.allowed() == min(*counts, 8)
        assert blas() == {3 if min(counts) == 99 else min(counts)}


def test_none_changes_nothing_and_each_owner_has_its_own() -> None:
    with limited():
        assert (threads.allowed(), blas()) == (8, {3})
    with limited(native=2):
        assert (threads.allowed(), blas()) == (2, {3})
        with sole_owner():
            assert (threads.allowed(), blas()) == (2, {1})
        assert blas() == {3}
        with limited(native=1), sole_owner():  # native code has one thread: there is nobody to wait for
            assert blas() == {3}
    assert (threads.allowed(), blas()) == (8, {3})


def test_two_generators_that_are_interleaved() -> None:
    def held() -> Iterator[int]:
        with limited(native=1, blas=1):
            yield 1
            yield 2

    first, second = held(), held()
    assert [next(first), next(second), next(first), next(second)] == [1, 1, 2, 2]
    first.close()
    assert (threads.allowed(), blas()) == (1, {1})
    assert next(second, None) is None
    assert (threads.allowed(), blas()) == (8, {3})
    third = held()
    next(third)
    del third  # thrown away, not ended
    assert (threads.allowed(), blas()) == (8, {3})


def test_many_threads_at_once() -> None:
    def some(_: int) -> None:
        for count in (1, 2, 1):
            with limited(native=count, blas=count), sole_owner():
                assert threads.allowed() <= count

    with ThreadPoolExecutor(6) as several:
        list(several.map(some, range(120)))
    assert (threads.allowed(), blas()) == (8, {3})


def test_a_turn_is_one_callers() -> None:
    turn, inside = Turn(), []

    def call(depth: int) -> bool:
        frame = sys._getframe()
        taken = turn.take(frame)
        if taken:
            inside.append(call(depth + 1) if depth < 3 else True)
            turn.give(frame)
        return taken

    assert call(0)
    assert inside == [False], "within a call that has it"
    assert call(3), "and after"


def test_a_turn_that_was_not_given_back_is_free() -> None:
    turn = Turn()
    entered, done = threading.Event(), threading.Event()

    def forgetful() -> bool:
        return turn.take(sys._getframe())

    def holding() -> None:
        assert turn.take(sys._getframe())
        entered.set()
        done.wait()

    assert forgetful()
    assert forgetful()
    other = threading.Thread(target=holding)
    other.start()
    entered.wait()
    assert not forgetful(), "another thread has it"
    done.set()
    other.join()
    assert forgetful()


def test_a_run_may_limit_threads_without_the_compiler() -> None:
    program = (
        "import sys, tinyseq.train, tinyseq.threads as t\n"
        "with t.blas_threads(1): pass\n"
        "print([m for m in sys.modules if m.startswith(('llvmlite', 'tinyseq.compiler.lower.llvm'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
