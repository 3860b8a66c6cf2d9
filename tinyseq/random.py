"""The seed, and the counters that make each draw a different one."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from tinyseq.backends.philox import random_bits, random_uniform
from tinyseq.errors import GraphError
from tinyseq.graph import here, locate
from tinyseq.modes import looked_at, mode


class Generator:
    """A seed and a count of calls. Each draw is a pure function of (seed, site, call, step); see backends/philox.py.

    A ``site`` is a place in the program that draws (each Dropout has its own). Draws made in a time step share the call
    number of their ``unroll`` and differ by step, so that drawing for all steps at once gives the same numbers.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.calls, self.sites = int(seed), 0, 0
        #: While a function is traced: the input that stands for ``calls``, and ``calls`` when tracing began.
        self.counter: Any = None
        self.begun = 0

    def new_site(self) -> int:
        """Return a number for one more place that draws; 0 is for initial values."""
        self.sites += 1
        return self.sites

    def advance(self) -> int:
        """Count one more call and return its number."""
        self.calls += 1
        return self.calls

    def key(self, site: int) -> dict[str, Any]:
        """Return seed, site, call and step for a draw made here and now."""
        place, seed = here.place, looked_at(self._seed)
        if place.clock is None:
            return {"seed": seed, "site": site, "call": self._number(self.advance()), "step": 0}
        place.draws[0] += 1
        site += place.draws[0] << 16
        return {"seed": seed, "site": site, "call": self._number(self.calls), "step": place.clock}

    def _seed(self) -> int:
        return self.seed

    def _number(self, call: int) -> Any:
        return call if self.counter is None else self.counter + (call - self.begun)

    @contextmanager
    def counting(self, counter: Any) -> Iterator[Callable[[], int]]:
        """While tracing, count calls from an input; yields a function that tells how many a call of the trace makes."""
        outer = self.counter, self.begun
        self.counter, self.begun = counter, self.calls
        start, made = self.calls, 0
        try:
            yield lambda: made
        finally:
            made = self.calls - start
            self.calls = start
            self.counter, self.begun = outer

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """Draw float64 numbers on [0, 1), on the host, so that every backend starts from the same values.

        Raises:
            GraphError: a function is being traced, and a plan would have these same numbers at each call.
        """
        return np.asarray(random_uniform(np, shape, np.float64, **self._key_on_host()))

    def normal(self, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """Draw float64 standard normal numbers, on the host (Box and Muller 1958)."""
        first, second = self.uniform((2, *shape))
        return np.asarray(np.sqrt(-2.0 * np.log1p(-first)) * np.cos(2.0 * math.pi * second))

    def permutation(self, n: int) -> np.ndarray[Any, Any]:
        """Draw an order of n things, on the host."""
        return np.argsort(random_bits(np, (n,), **self._key_on_host()), kind="stable")

    def _key_on_host(self) -> dict[str, Any]:
        if mode.tracing is not None and mode.tracing.repeatable:
            raise GraphError(
                "a compiled function draws numbers that are to stay: initial weights, an order",
                required="what is drawn once to be drawn outside of it: its tensors are its inputs",
                where=locate(),
                fix="make the layer before, and close over it; ts.rand and ts.randn draw anew at each call",
            )
        if mode.tracing is not None:  # a picture of one call: its numbers are those of the moment
            return {"seed": self.seed, "site": 0, "call": self.advance(), "step": 0}
        return self.key(0)

    def state(self) -> dict[str, int]:
        """Return what the next draw depends on."""
        return {"seed": self.seed, "calls": self.calls, "sites": self.sites}

    def restore(self, state: dict[str, int]) -> None:
        """Go on from a state."""
        self.seed, self.calls, self.sites = state["seed"], state["calls"], state["sites"]


class _OfEachThread(Generator, threading.local):
    """One name for a generator a thread; a new thread's has the main thread's seed, and has drawn nothing.

    So nothing that another thread draws, counts or traces changes what this one draws. Threads that shall draw
    different numbers need seeds of their own: two new ones draw the same.
    """

    main_seed: ClassVar[int] = 0

    def __init__(self) -> None:  # called anew in each thread that looks at it
        super().__init__(self.main_seed)

    def restore(self, state: dict[str, int]) -> None:
        super().restore(state)
        if threading.current_thread() is threading.main_thread():
            type(self).main_seed = self.seed


#: The generator that layers and creation functions of this thread draw from.
generator: Generator = _OfEachThread()


def seed(value: int) -> None:
    """Start the random numbers of this thread anew: same seed, same program, same numbers, on every backend.

    Each thread has its own. One that gives no seed itself begins with that of the main thread, as if it had just been
    given there.

    Raises:
        GraphError: a function is being traced: its plan would not start anew.

    As ``numpy.random.seed``, ``torch.manual_seed``.

    >>> ts.seed(1)
    >>> x = ts.rand(3)
    >>> ts.seed(1)
    >>> ts.rand(3) - x
    tensor([0., 0., 0.])
    """
    if mode.tracing is not None:
        raise GraphError("ts.seed in a compiled function", fix="ts.seed(...) before the call", where=locate())
    generator.restore(Generator(value).state())


@contextmanager
def seeded(value: int) -> Iterator[None]:
    """Start anew inside the ``with`` block; what follows it draws as if nothing had been drawn inside."""
    before = generator.state()
    seed(value)
    try:
        yield
    finally:
        generator.restore(before)
