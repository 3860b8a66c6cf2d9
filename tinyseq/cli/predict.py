"""``tinyseq predict``: what a trained model says of new inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.output import echo, echo_json, note


@click.command("predict", short_help="Apply a trained model to a file.")
@click.argument("run", type=click.Path())
@click.argument("file", type=click.Path())
@click.option("--text", is_flag=True, help="For people: text instead of JSON.")
@click.option("--picture", type=click.Path(dir_okay=False), metavar="FILE", help="Draw it too, where the task can.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Inputs computed at once; by default as in training.")
@debug_option
def command(run: str, file: str, text: bool, picture: str | None, batch_size: int | None) -> None:
    """Print what RUN's model predicts for each input in FILE, a line of JSON an input.

    \b
    Example:
        tinyseq predict runs/classify new.txt
        tinyseq predict runs/tagging new.conll --text
    RUN is a run directory, or the folder of several: its newest. FILE is in the format that the task trains on; targets
    may be missing.
    """
    from tinyseq.figures import save
    from tinyseq.figures.style import check_format
    from tinyseq.train import load

    if picture is not None:
        check_format(Path(picture))  # before anything is computed
    trained = load(run)
    predictions: list[dict[str, Any]] = []
    for prediction in trained.predictions(file, batch_size=batch_size):
        if text:
            echo(trained.task.as_text(prediction))
        else:
            echo_json(prediction)
        if picture is not None:
            predictions.append(prediction)
    if picture is not None:
        save(trained.task.picture(predictions), picture)
        note(picture)
