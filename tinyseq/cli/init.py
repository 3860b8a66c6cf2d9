"""``tinyseq init``: a config to start from."""

from __future__ import annotations

from pathlib import Path

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.output import echo, show


@click.command("init", short_help="Write a commented config to start from.")
@click.argument("kind", required=False)
@click.option("--out", "-o", type=click.Path(dir_okay=False), metavar="FILE", help="Write it there; never over a file.")
@debug_option
def command(kind: str | None, out: str | None) -> None:
    """Print a config of some KIND, every setting with what it means; without KIND, list the kinds.

    \b
    Examples:
        tinyseq init
        tinyseq init tagging -o mine.yaml
        tinyseq run mine.yaml
    Each runs as it is, on data that is at hand; to train on a file of yours, set data.path.
    """
    from tinyseq.train.config.templates import starter, starters

    if kind is None:
        known = starters()
        width = max(map(len, known)) + 2
        echo("\n".join(f"{name:<{width}}{one.about}" for name, one in known.items()))
        return
    text = starter(kind)
    if out is None:
        echo(text, nl=False)
        return
    try:
        with open(out, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.BadParameter(f"{out} is there already", param_hint="'-o'") from None
    show(Path(out))
