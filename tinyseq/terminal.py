"""Text for people: nothing in it acts on a terminal, no encoding loses it, and no stream that fails fails a run."""

from __future__ import annotations

import os
import sys
import unicodedata
from contextlib import suppress
from typing import TextIO

#: What a stream that is full, closed, gone, or written to by a signal's handler meanwhile may raise.
FAILURES = (OSError, ValueError, RuntimeError)
#: Joiners, which Persian, Indic scripts and emoji are written with; they move nothing.
_JOINERS = "\u200c\u200d"


def printable(text: str) -> str:
    """Return text with escapes for what is not printable, such as ``\\x1b``; line ends and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if _harmless(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def _harmless(char: str) -> bool:
    return char.isprintable() or char in "\n\t" or char in _JOINERS or unicodedata.category(char) == "Zs"


def fitting(text: str, stream: TextIO) -> str:
    """Return text with escapes for what the stream's encoding does not have."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal; one that is closed, or not there, is none."""
    with suppress(*FAILURES):
        return stream is not None and stream.isatty()
    return False


def tell(text: str, stream: TextIO | None, end: str = "\n") -> bool:
    """Write what is only shown, at once; return whether it could be written."""
    if stream is None:
        return True
    try:
        stream.write(fitting(text + end, stream))
        stream.flush()
    except FAILURES:
        return False
    return True


def settle(stream: TextIO | None) -> None:
    """Bring out what a process's own stream still holds, or let that, and all that comes, go nowhere.

    At its end Python would try again, and exit with 120.
    """
    if stream is None:
        return
    try:
        stream.flush()
    except FAILURES:
        give_up(stream)


def give_up(stream: TextIO) -> None:
    """Let what goes to a process's own stream go nowhere from now on."""
    with suppress(*FAILURES):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def open_standard_streams() -> None:
    """Give a process that was started without some of its standard streams (``2>&-``) ones that lead nowhere.

    Else the next file that is opened would take the place, and get what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for the process's life
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
