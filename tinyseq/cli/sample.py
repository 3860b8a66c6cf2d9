"""``tinyseq sample``: text from a trained model."""

from __future__ import annotations

import math

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.options import say_what_compiles, verbose_option
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
@click.option(
    "--top-k", type=click.IntRange(min=0), help="Only so many characters may follow, the likeliest; 0 for all."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same text.")
@verbose_option
@debug_option
def command(
    run: str,
    prime: str | None,
    length: int | None,
    temperature: float | None,
    top_k: int | None,
    seed: int,
    verbose: bool,
) -> None:
    """Write text with the model of RUN, a run directory (or the folder of several: its newest).

    \b
    Example:
        tinyseq sample runs/lstm --prime "The " --length 300 --temperature 0.7
    """
    from tinyseq.train import load

    if verbose:
        say_what_compiles()
    echo(load(run).sample(prime, length=length, temperature=temperature, top_k=top_k, seed=seed))
