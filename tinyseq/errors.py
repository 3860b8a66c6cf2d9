"""The exception family: what was required, what was got, where, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

#: Says where the program is (scope, time step, file and line); the graph part puts its own function here.
locate: list[Callable[[], str]] = []


class TinyseqError(Exception):
    """The base of every error that tinyseq raises on purpose.

    The parts stay readable as attributes (``required``, ``got``, ``where``, ``fix``), so a tool can show them in its
    own way; ``str(error)`` sets them one under the other and leaves out the empty ones.

    tinyseq's own; each is an error of Python's too (``ShapeError`` a ``ValueError``).

    >>> try:
    ...     ts.ones(2) + ts.ones(3)
    ... except ts.TinyseqError as error:
    ...     print(error.required)
    equal extents, or 1, on axis -1
    """

    #: True where the place in the user's program belongs to the message.
    located: ClassVar[bool] = False

    def __init__(self, what: str, *, required: str = "", got: str = "", where: str = "", fix: str = "") -> None:
        if self.located and not where and locate:
            where = locate[0]()
        self.what, self.required, self.got, self.where, self.fix = what, required, got, where, fix
        rows = (("required", required), ("got", got), ("where", where), ("try", fix))
        super().__init__("\n".join([what, *(f"  {label:<9}{text}" for label, text in rows if text)]))


class ShapeError(TinyseqError, ValueError):
    """Shapes that do not broadcast, multiply, join or index as an op requires."""

    located = True


class DtypeError(TinyseqError, TypeError):
    """A value whose type an op does not take."""

    located = True


class GraphError(TinyseqError, RuntimeError):
    """A graph used in a way it does not allow: freed, malformed, or not differentiable there."""


class MutationError(TinyseqError, TypeError):
    """An attempt to change a tensor in place; values are immutable."""

    located = True


class BackendError(TinyseqError, RuntimeError):
    """A backend that is unknown, not installed, without its device, or mixed with another."""


class ConfigError(TinyseqError, ValueError):
    """A configuration that cannot be read, or does not validate."""


class DataError(TinyseqError, ValueError):
    """Data that is missing, unreadable or not of the promised form."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the closest known word, or the sorted list of all where none is close."""
    names = sorted(known)
    import difflib  # a part of the import's time that only mistakes need

    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(names)}"
