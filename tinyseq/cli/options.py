"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


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
