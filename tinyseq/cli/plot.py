"""``tinyseq plot``: figures of a run."""

from __future__ import annotations

from pathlib import Path

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.output import echo, show


@click.command("plot", short_help="Draw a figure of a run: curves, gates, attention, ...")
@click.argument("run", type=click.Path())
@click.argument("figure", required=False)
@click.option("--input", "-i", "text", metavar="TEXT", help="The input that it is drawn of; by default test data.")
@click.option(
    "--file", "-f", type=click.Path(), metavar="FILE", help="Inputs from a file instead, as predict reads it."
)
@click.option("--layer", metavar="NAME", help="Whose activations; by default the first layer's.")
@click.option("--units", type=click.IntRange(min=1), metavar="N", help="Activations of the N units that vary most.")
@click.option(
    "--steps", type=click.IntRange(2, 100_000), help="Over how many steps gradients are followed.  [default: 32]"
)
@click.option("--out", "-o", type=click.Path(dir_okay=False), metavar="FILE", help=".png, .svg or .pdf; FIGURE.png.")
@debug_option
def command(
    run: str,
    figure: str | None,
    text: str | None,
    file: str | None,
    layer: str | None,
    units: int | None,
    steps: int | None,
    out: str | None,
) -> None:
    """Draw a FIGURE of RUN, a run directory or the folder of several (its newest); without FIGURE, say which there are.

    \b
    Examples:
        tinyseq plot runs/lstm                                              which figures there are
        tinyseq plot runs/lstm curves -o curves.pdf
        tinyseq plot runs/lstm activations --input "The quick brown fox" --units 6 -o gates.png
        tinyseq plot runs/translate attention --input "9 May 1998" -o attention.svg
    \b
    Figures, of any run of a recurrent network:
        curves        loss and measure over the steps of training
        gradients     how far gradients reach back through time
        activations   states and gates of a cell at each step of an input
        equations     what a cell computes at each step
    and by its task:
        attention     what the model looks at in an input
        confusion     which class was taken for which
        forecast      the truth, and forecasts beside it
        scatter       predicted numbers against true ones
    and of a sweep's folder:
        trials        the measure over the trials, and over each setting
    """
    from tinyseq.figures import save
    from tinyseq.figures.style import check_format
    from tinyseq.train import load
    from tinyseq.train.analysis import pictures
    from tinyseq.train.storage.run_directory import RunDirectory
    from tinyseq.train.sweeps import SWEEP

    if text is not None and file is not None:
        raise click.UsageError("--input and --file: one of the two")
    of_sweep = Path(run, SWEEP).is_file()
    if of_sweep and figure not in (None, "trials"):
        raise click.BadParameter(f"{figure!r}: a sweep has the figure 'trials'", param_hint="'FIGURE'")
    if of_sweep:
        figure = "trials"
    if figure is None:
        for name in load(run).figures():
            echo(f"{name:<13} {pictures.FIGURES.get(name, '')}")
        return
    path = Path(out if out is not None else f"{figure}.png")
    if not path.absolute().parent.is_dir():
        raise click.BadParameter(f"the folder {path.parent} does not exist", param_hint="'-o'")
    check_format(path)  # before anything is computed
    if of_sweep:
        drawn = pictures.sweep(run)
    elif figure == "curves":  # there may be no weights
        drawn = pictures.curves(RunDirectory.find(run))
    else:
        inputs = file if text is None else [text]
        drawn = load(run).figure(figure, inputs, layer=layer, units=units, steps=steps or pictures.FLOW_STEPS)
    save(drawn, path)
    show(path)
