"""``tinyseq replay``: run a step again that was not finite."""

from __future__ import annotations

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.output import echo


@click.command("replay", short_help="Run a step again whose numbers went wrong.")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False))
@debug_option
def command(bundle: str) -> None:
    """Run the step in BUNDLE again, op by op, and say where the first value that is not finite comes from.

    \b
    Example:
        tinyseq replay runs/lstm/0001/nonfinite-step-00000120.safetensors
    A run leaves the bundle when its loss or gradient is not finite; it needs neither the run nor its data. The exit
    code is 3 where the step goes wrong again, 0 where it does not.
    """
    from tinyseq.train.analysis.replay import replay

    error = replay(bundle)
    if error is not None:
        raise error
    echo("all values of the step are finite when its ops run one by one")
