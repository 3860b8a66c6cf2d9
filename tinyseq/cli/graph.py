"""``tinyseq graph``: a picture of a model's graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.options import set_option


@click.command("graph", short_help="Draw the graph of a config's model.")
@click.argument("config", type=click.Path())
@click.option("--steps", type=click.IntRange(min=1), default=3, show_default=True, help="Time steps to unroll.")
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help=".svg, .png, .pdf or .dot; by default CONFIG.svg.",
)
@set_option
@debug_option
def command(config: str, steps: int, out: str | None, settings: list[Any]) -> None:
    """Draw the graph of CONFIG's model, from the input to the loss, unrolled over a few time steps.

    \b
    Example:
        tinyseq graph examples/lstm.yaml --steps 3 -o lstm.svg
    """
    from tinyseq.train import load_config
    from tinyseq.train.running import draw_example, prepared

    path = Path(out) if out is not None else Path(Path(config).stem + ".svg")
    if not path.absolute().parent.is_dir():
        raise click.BadParameter(f"the folder {path.parent} does not exist", param_hint="'-o'")
    with prepared(load_config(config, settings)) as (task, model):
        draw_example(task, model, steps, path)
    click.echo(path)
