"""What mode the thread is in: whether ops are recorded, and whether a function is being traced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tinyseq.graph import Leaf


@dataclass
class Tracing:
    """What the tracing of a function gathers besides its graph."""

    #: The concrete tensors that the function uses, and the inputs that stand for them.
    captured: dict[Any, Leaf] = field(default_factory=dict)
    #: Inputs that are read anew at each call from the Python side: a learning rate, a count of draws.
    live: dict[Leaf, Callable[[], Any]] = field(default_factory=dict)
    #: What to do on the Python side after each call: counting steps.
    effects: list[Callable[[], None]] = field(default_factory=list)
    #: What Python-side values the trace depends on: how to read each, and what it was.
    guards: list[tuple[Callable[[], Any], Any]] = field(default_factory=list)
    #: Tensors that the function gives new values.
    assigned: dict[Any, Any] = field(default_factory=dict)


class _Mode(threading.local):
    recording = True
    tracing: Tracing | None = None


mode: Final = _Mode()


@contextmanager
def _recording(on: bool) -> Iterator[None]:
    outer, mode.recording = mode.recording, on
    try:
        yield
    finally:
        mode.recording = outer


def no_grad() -> Any:
    """Record nothing inside the ``with`` block: results need no gradient, and no graph is kept."""
    return _recording(False)


def enable_grad() -> Any:
    """Record again, inside a ``no_grad`` block."""
    return _recording(True)


def is_recording() -> bool:
    """Return whether ops on tensors that require a gradient are being recorded."""
    return mode.recording


@contextmanager
def tracing_into(tracing: Tracing) -> Iterator[Tracing]:
    """Trace inside the ``with`` block: ops are recorded on abstract tensors, and nothing is computed."""
    outer, mode.tracing = mode.tracing, tracing
    try:
        yield tracing
    finally:
        mode.tracing = outer


@contextmanager
def concrete() -> Iterator[None]:
    """Compute inside the ``with`` block, also where a function is being traced."""
    outer, mode.tracing = mode.tracing, None
    try:
        yield
    finally:
        mode.tracing = outer


def is_tracing() -> bool:
    """Return whether a function is being traced."""
    return mode.tracing is not None


def looked_at(read: Callable[[], Any]) -> Any:
    """Return a Python value that the graph depends on (a mode, a seed); a trace made with another is not used again."""
    value = read()
    if mode.tracing is not None:
        mode.tracing.guards.append((read, value))
    return value


def each_call(effect: Callable[[], None]) -> None:
    """Do something on the Python side: now or, in a traced function, after each call of it."""
    if mode.tracing is None:
        effect()
    else:
        mode.tracing.effects.append(effect)
