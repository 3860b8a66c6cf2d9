"""Hooks on kernels: what is called after each op that a thread computes, for finding faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from tinyseq.ops.base import OPS, Op, Xp

#: Called with an op, its inputs and its outputs, after its kernel.
Observer = Callable[[Op, tuple[Any, ...], tuple[Any, ...]], None]


@contextmanager
def watched(observe: Observer) -> Iterator[None]:
    """Call ``observe`` after each kernel that this thread runs inside the ``with`` block: for finding faults.

    Kernels are wrapped only meanwhile, so that watching costs nothing where nobody watches.
    """
    _watchers.enter()
    outer = _watching.observers
    _watching.observers = (*outer, observe)
    try:
        yield
    finally:
        _watching.observers = outer
        _watchers.leave()


class _Watching(threading.local):
    observers: tuple[Observer, ...] = ()


class _Watchers:
    """How many watch, in all threads; while there are any, the kernels of all ops are wrapped."""

    def __init__(self) -> None:
        self.count = 0
        self.lock = threading.Lock()
        self.ops: list[Op] = []

    def enter(self) -> None:
        with self.lock:
            self.count += 1
            if self.count == 1:
                self.ops = list(OPS.values())
                for op in self.ops:
                    vars(op)["kernel"] = _wrapped(op)

    def leave(self) -> None:
        with self.lock:
            self.count -= 1
            if self.count == 0:
                for op in self.ops:
                    del vars(op)["kernel"]


_watching: Final = _Watching()
_watchers: Final = _Watchers()


def _wrapped(op: Op) -> Callable[..., Any]:
    kernel = op.kernel

    def observed(xp: Xp, *inputs: Any, **attrs: Any) -> Any:
        found = kernel(xp, *inputs, **attrs)
        if _watching.observers:
            # A NumPy scalar would be made an array later, and another one than was seen here.
            found = np.asarray(found) if isinstance(found, np.generic) else found
            for observe in _watching.observers:
                observe(op, inputs, found if isinstance(found, tuple) else (found,))
        return found

    return observed
