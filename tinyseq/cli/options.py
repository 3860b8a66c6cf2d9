"""Options that several commands have."""

from __future__ import annotations

import ast
import inspect
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from tinyseq.errors import did_you_mean

F = TypeVar("F", bound=Callable[..., Any])


class NameOf(click.ParamType):  # type: ignore[type-arg]  # generic in some versions of click
    """The type of an option that takes one of some names, which are asked for when it is used: more may join."""

    name = "name"

    def __init__(self, names: Callable[[], Sequence[str]]) -> None:
        self.names = names

    def get_metavar(self, *args: Any, **kwargs: Any) -> str:
        return f"[{'|'.join(self.names())}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.names():
            self.fail(f"{value!r}: {did_you_mean(str(value), self.names())}", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self.names() if name.startswith(incomplete)]


def with_help(command: click.Command) -> click.Command:
    """Return a command with its help, which is its function's docstring: where Python left that out (-OO), from the
    source.
    """
    if command.help is None and command.callback is not None:
        with suppress(OSError, SyntaxError):  # no source
            (function,) = ast.parse(inspect.getsource(command.callback)).body
            command.help = ast.get_docstring(function)  # type: ignore[arg-type]
    return command


def set_option(command: F) -> F:
    """Give a command ``--set KEY=VALUE``; it gets them, read but not yet checked, as ``settings``."""

    def read(ctx: click.Context, _: click.Parameter, values: tuple[str, ...]) -> list[Any]:
        if not values:
            return []
        from tinyseq.train.config.overrides import parse_override

        return [parse_override(value, "--set") for value in values]

    option = click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        callback=read,
        help="Replace a setting of the config, such as train.steps=10; may be given again.",
    )
    return option(command)


def verbose_option(command: F) -> F:
    """Give a command ``--verbose``."""
    return click.option("--verbose", "-v", is_flag=True, help="Say what is compiled, and what is not and why.")(command)


def say_what_compiles() -> None:
    """Print the compiler's notes, such as a compilation for new shapes, as lines on stderr."""
    log = logging.getLogger("tinyseq.compiler")
    log.setLevel(logging.INFO)
    log.addHandler(logging.StreamHandler())
