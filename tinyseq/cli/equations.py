"""``tinyseq equations``: a cell's equations, read off its code."""

from __future__ import annotations

from pathlib import Path

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.output import echo, note


@click.command("equations", short_help="Print a cell's equations as LaTeX.")
@click.argument("what", metavar="CELL|CONFIG")
@click.option(
    "--rows", is_flag=True, help="Products in the code's order, x W; by default columns as in textbooks, W x."
)
@click.option("--out", "-o", type=click.Path(dir_okay=False), metavar="FILE", help="Draw them: .png, .svg or .pdf.")
@debug_option
def command(what: str, rows: bool, out: str | None) -> None:
    """Print a cell's equations as LaTeX, from the graph of its step: a registered cell, your own, or those of a model.

    \b
    Examples:
        tinyseq equations lstm
        tinyseq equations my_cells.py:MyCell -o equations.pdf
        tinyseq equations examples/translate.yaml
    """
    from tinyseq.figures import formulas, save
    from tinyseq.figures.style import check_format
    from tinyseq.nn.latex import display, equations_within
    from tinyseq.train import load_config
    from tinyseq.train.config.registry import find_cell
    from tinyseq.train.running import prepared

    if out is not None:
        if not Path(out).absolute().parent.is_dir():
            raise click.BadParameter(f"the folder {Path(out).parent} does not exist", param_hint="'-o'")
        check_format(Path(out))
    if Path(what).suffix in (".yaml", ".yml"):
        with prepared(load_config(what)) as (_, model):
            blocks = equations_within(model, columns=not rows)
    else:
        blocks = equations_within(find_cell(what)(2, 3), columns=not rows)
    for name, lines in blocks:
        echo(f"% {name}\n{display(lines)}")
    if out is not None:
        save(formulas(blocks), out)
        note(out)
