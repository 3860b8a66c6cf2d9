"""``tinyseq report``: a run as one HTML page."""

from __future__ import annotations

from pathlib import Path

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.output import show


@click.command("report", short_help="Gather a run into one HTML page.")
@click.argument("run", type=click.Path())
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False), metavar="FILE", help="By default report.html in the run directory."
)
@debug_option
def command(run: str, out: str | None) -> None:
    """Write RUN, a run directory or the folder of several (its newest), as one HTML page.

    \b
    Example:
        tinyseq report runs/lstm
        tinyseq report runs/lstm/0001 -o lstm.html
    Results and baselines, every figure that the task has, samples and predictions, equations, the graph, the config and
    the environment. The page needs no network and no other file, follows the reader's light or dark mode, and prints.
    """
    from tinyseq.train.storage.run_directory import RunDirectory
    from tinyseq.train.trained import report

    path = Path(out) if out is not None else RunDirectory.find(run).path / "report.html"
    if not path.absolute().parent.is_dir():
        raise click.BadParameter(f"the folder {path.parent} does not exist", param_hint="'-o'")
    report(run, path)
    show(path)
