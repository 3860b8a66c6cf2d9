"""``tinyseq evaluate``: how good a trained model is."""

from __future__ import annotations

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.output import echo_json


@click.command("evaluate", short_help="Judge a trained model, on its test data or a file.")
@click.argument("run", type=click.Path())
@click.argument("file", type=click.Path(), required=False)
@click.option("--batch-size", type=click.IntRange(min=1), help="Inputs computed at once; by default as in training.")
@click.option("--details", is_flag=True, help="More than the metrics, such as a confusion matrix.")
@debug_option
def command(run: str, file: str | None, batch_size: int | None, details: bool) -> None:
    """Print the metrics of RUN's model, a JSON object, on the test part of the run's data, or on FILE.

    \b
    Example:
        tinyseq evaluate runs/classify
        tinyseq evaluate runs/classify mine.tsv --details
    RUN is a run directory, or the folder of several: its newest. FILE is in the format that the task trains on.
    """
    from tinyseq.train import load

    trained = load(run)
    metrics = dict(trained.evaluate(file, batch_size=batch_size))
    if details:
        metrics |= trained.details(file, batch_size=batch_size)
    echo_json(metrics, indent=2)
