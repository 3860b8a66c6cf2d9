"""What mode the thread is in: whether ops are recorded, and whether a function is being traced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol, TypeVar

from tinyseq.graph import Leaf, Node


class Tracing(Protocol):
    """What runs ops while a function is traced; see tracing.py."""

    effects: list[Callable[[], None]]
    guards: list[tuple[Callable[[], Any], Any]]
    checks: list[Node]
    #: Tensors whose values are of the trace: those that are given, and those that have been given new ones.
    arguments: dict[Any, Any]
    assigned: dict[Any, Any]
    repeatable: bool
    #: Watches what a step of a loop, traced once for all steps, changes around it.
    observe: Callable[[Any], AbstractContextManager[None]]

    def record(self, op: Any, inputs: Any, attrs: Any) -> Any: ...
    def holder_of(self, x: Any) -> Leaf | None: ...
    def touch(self, leaf: Leaf) -> None: ...
    def node_of(self, x: Any) -> Node: ...
    def assign(self, x: Any, value: Any) -> None: ...
    def look(self, x: Any) -> Any: ...
    def read_live(self, read: Callable[[], Any], dtype: Any) -> Any: ...
    def sweep(self, seeds: Any, wanted: Any, create_graph: bool) -> Any: ...
    def constant(self, node: Node) -> None: ...
    def anchored(self, x: Any, followed: bool) -> Any: ...
    def pin(self, sources: frozenset[int], *, but_for_zero: bool = False) -> None: ...


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


def no_grad() -> AbstractContextManager[None]:
    """Record nothing inside the ``with`` block: results need no gradient, and no graph is kept.

    As ``torch.no_grad``.

    >>> x = ts.tensor([3.0], requires_grad=True)
    >>> with ts.no_grad():
    ...     y = x * 2.0
    ...
    >>> y, y.requires_grad
    (tensor([6.]), False)
    """
    return _recording(False)


def enable_grad() -> AbstractContextManager[None]:
    """Record again, inside a ``no_grad`` block.

    As ``torch.enable_grad``.

    >>> x = ts.tensor([3.0], requires_grad=True)
    >>> with ts.no_grad(), ts.enable_grad():
    ...     y = x * 2.0
    ...
    >>> ts.gradients(y.sum(), [x])
    [tensor([2.])]
    """
    return _recording(True)


def is_recording() -> bool:
    """Return whether ops on tensors that require a gradient are being recorded."""
    return mode.recording


Traces = TypeVar("Traces", bound=Tracing)


@contextmanager
def tracing_into(tracing: Traces) -> Iterator[Traces]:
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
