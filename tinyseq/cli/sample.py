"""``tinyseq sample``: text from a trained model."""

from __future__ import annotations

import math

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.output import echo


def _temperature(ctx: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not (0.0 <= value < math.inf):
        raise click.BadParameter(f"required 0 or more, got {value}")
    return value


@click.command("sample", short_help="Write text with a trained model.")
@click.argument("run", type=click.Path())
@click.option("--prime", metavar="TEXT", help="The text to go on from; by default as in the run's config.")
@click.option("--length", type=click.IntRange(min=1), help="How many characters.")
@click.option(
    "--temperature", type=float, callback=_temperature, help="1 as learned, lower is bolder, 0 the likeliest each time."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same text.")
@debug_option
def command(run: str, prime: str | None, length: int | None, temperature: float | None, seed: int) -> None:
    """Write text with the model of RUN, a run directory (or the folder of several: its newest).

    \b
    Example:
        tinyseq sample runs/lstm --prime "The " --length 300 --temperature 0.7
    """
    from tinyseq.errors import DataError
    from tinyseq.train import load
    from tinyseq.train.tasks.presentation import WritesText

    trained = load(run)
    if not isinstance(trained.task, WritesText):
        raise DataError(
            f"the task {trained.config.task} does not write text", required="a run of a language model", got=run
        )
    start, text = trained.task.sample(trained.model, prime=prime, length=length, temperature=temperature, seed=seed)
    echo(f"{start}{text}")
