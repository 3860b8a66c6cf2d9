"""What commands print: results, which must arrive, and what is only shown, which fails nothing."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

from tinyseq.terminal import fitting, give_up, is_terminal, printable, tell

if TYPE_CHECKING:
    from rich.table import Table


def echo(text: object = "", *, nl: bool = True) -> None:
    """Print a result: as it is into a file or pipe, and on a terminal with escapes for what is not printable.

    Raises:
        OSError: it could not be written.
    """
    stream = sys.stdout
    shown = printable(str(text)) if is_terminal(stream) else str(text)
    stream.write(fitting(shown + "\n" * nl, stream))
    stream.flush()


def echo_json(value: Any, indent: int | None = None) -> None:
    """Print a result as JSON; numbers that JSON does not have are null.

    Raises:
        OSError: it could not be written.
    """
    from tinyseq.train.storage.plain import dumps

    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    echo(dumps(value, indent=indent, ascii=not encoding.startswith("utf")))


def show(text: object = "") -> None:
    """Print what is only shown, such as the end of a run or where a picture is; a stream that fails is told once."""
    _show(printable(str(text)) + "\n")


def show_table(table: Table) -> None:
    """Print a table that is only shown; its cells must be printable."""
    from rich.console import Console

    # Drawn apart, since the console itself fails where its stream does.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    drawn = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    Console(file=drawn, force_terminal=is_terminal(sys.stdout), highlight=False).print(table)
    drawn.seek(0)
    _show(drawn.read())


def _show(text: str) -> None:
    if not tell(text, sys.stdout, end=""):
        note("warning: standard output cannot be written to")
        give_up(sys.stdout)


def note(text: object) -> None:
    """Print a message on stderr, with escapes for what is not printable."""
    tell(printable(str(text)), sys.stderr)
