"""Where exceptions end: a message for a person, an exit code for a program, and no traceback unless asked for."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

import tinyseq
from tinyseq.cli.output import note
from tinyseq.errors import ConfigError, TinyseqError
from tinyseq.starting import INTERRUPTED

FAILURE, USAGE, DIVERGED = 1, 2, 3
_DEBUG = "tinyseq.debug"
F = TypeVar("F", bound=Callable[..., Any])


def debug_option(command: F) -> F:
    """Give a command the option ``--debug``."""

    def keep(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        ctx.meta[_DEBUG] = value  # shared with the group's context, where errors are caught

    option = click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=keep,
        help="Show the traceback of errors.",
    )
    return option(command)


def guarded(ctx: click.Context, invoke: Callable[[click.Context], Any]) -> Any:
    """Call ``invoke``; on an error print what is wrong and exit with the code that stands for it."""
    try:
        return invoke(ctx)
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise  # click's own: usage errors have exit code 2 already
    except KeyboardInterrupt as interrupt:
        if not _told_elsewhere(interrupt):
            note("interrupted")
        ctx.exit(getattr(interrupt, "exit_code", INTERRUPTED))  # a signal other than Ctrl-C has its own
    except TinyseqError as error:
        if _told_elsewhere(error):
            ctx.exit(_code(error))
        _traceback(ctx)
        # A config's problems are each a line that an editor can jump to: nothing is put before them.
        lead = "" if isinstance(error, ConfigError) and ": error: " in str(error) else "error: "
        note("\n".join([f"{lead}{error}", *getattr(error, "__notes__", [])]))
        ctx.exit(_code(error))
    except BrokenPipeError:
        raise  # whoever read the output has had enough; click ends quietly
    except OSError as error:
        _traceback(ctx)
        place = f": {error.filename}" if error.filename else ""
        note(f"error: {error.strerror or error}{place}")
        ctx.exit(FAILURE)
    except MemoryError as error:
        _traceback(ctx)
        note(f"error: out of memory: {error}\n  try      smaller sizes: batch_size, hidden_size, bptt")
        ctx.exit(FAILURE)
    except Exception as error:
        _traceback(ctx)
        where = _line_of_yours(error) or "not an error that tinyseq knows: a cell of your own, or a bug in tinyseq"
        note(
            f"error: {type(error).__name__}: {error}\n"
            f"  where    {where}\n"
            "  try      the same command with --debug, which shows where it comes from"
        )
        ctx.exit(FAILURE)


def _line_of_yours(error: Exception) -> str:
    """Return the innermost line of a file that tinyseq has called and that is not installed; "" where there is none."""
    import sysconfig  # not needed where nothing fails

    package = str(Path(tinyseq.__file__).parent) + os.sep
    # Where files begin that are nobody's own: tinyseq's, installed packages', Python's.
    installed = (package, "<", *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")))
    frames = traceback.extract_tb(error.__traceback__)
    called = next((i for i, frame in enumerate(frames) if frame.filename.startswith(package)), len(frames))
    for frame in reversed(frames[called:]):
        if not frame.filename.startswith(installed):
            return f"{frame.filename}:{frame.lineno}, in {frame.name}: {frame.line}"
    return ""


def _told_elsewhere(error: BaseException) -> bool:
    """Whether the first rank of a run tells of it, for all."""
    return getattr(error, "told_elsewhere", False)


def _code(error: TinyseqError) -> int:
    # Only a command that trains can diverge, and then the loop is loaded; imported here, it would slow --help down.
    if isinstance(error, ArithmeticError):
        return DIVERGED
    return USAGE if isinstance(error, ConfigError) else FAILURE


def _traceback(ctx: click.Context) -> None:
    if ctx.meta.get(_DEBUG):
        note(traceback.format_exc())
