"""``tinyseq sweep``: train a config with many values of some settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.options import set_option
from tinyseq.cli.output import note, show, show_table
from tinyseq.terminal import printable

#: Rows of the table that is shown; trials.json has all.
_SHOWN = 10


@click.command("sweep", short_help="Train a config with many values of some settings.")
@click.argument("config", type=click.Path())
@click.option(
    "--over",
    multiple=True,
    required=True,
    metavar="KEY=VALUES",
    help="A setting and its values: a,b,c, low:high, low:high:log or low:high:STEP; may be given again.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help="How many, by all processes together.  [default: 20, of a grid all]",
)
@click.option(
    "--sampler",
    type=click.Choice(["tpe", "random", "grid"]),
    default="tpe",
    help="How values are drawn.  [default: tpe]",
)
@click.option("--prune/--no-prune", default=True, help="End trials that are behind the median.  [default: prune]")
@set_option
@click.option("--folder", type=click.Path(), metavar="FOLDER", help="Where; by default runs/sweeps/CONFIG's name.")
@click.option("--resume", is_flag=True, help="Take up trials whose process is gone, each from its last checkpoint.")
@click.option("--quiet", "-q", is_flag=True, help="Only the folder at the end.")
@debug_option
def command(
    config: str,
    over: tuple[str, ...],
    trials: int | None,
    sampler: Any,
    prune: bool,
    settings: list[Any],
    folder: str | None,
    resume: bool,
    quiet: bool,
) -> None:
    """Train CONFIG again and again with other values for some of its settings; write the best config.

    \b
    Example:
        tinyseq sweep lm.yaml --over train.optimizer.lr=1e-4:1e-2:log --over model.cell=lstm,gru --trials 40
        tinyseq sweep lm.yaml --over model.hidden_size=32:256:32 --sampler grid
        tinyseq plot runs/sweeps/lm
    The same line in another terminal, or on another machine that sees the folder, shares the work. Each trial is a run
    directory in trials/; trials.json has a row for each, and best.yaml is the best config. Ctrl-C ends a process after
    a checkpoint; --resume takes up what any process left, killed ones too.
    """
    from tinyseq.train.sweeps import sweep

    pairs = [_pair(text) for text in over]
    result = sweep(
        config,
        dict(pairs),
        trials=trials,
        sampler=sampler,
        prune=prune,
        folder=folder,
        resume=resume,
        overrides=settings,
        tell=(lambda line: None) if quiet else note,
    )
    if not quiet:
        _show(result)
    show(result.folder if quiet else f"\nall of it: {result.folder}")
    if result.best is None:
        reasons = dict.fromkeys(trial.error for trial in result.trials if trial.error)
        raise click.ClickException("no trial came to its end: " + ("; ".join(reasons) or "all were pruned"))


def _pair(text: str) -> tuple[str, str]:
    key, equals, values = text.partition("=")
    if not equals or not key.strip() or not values.strip():
        raise click.BadParameter(f"{text!r}: required KEY=VALUES, such as model.cell=lstm,gru", param_hint="'--over'")
    return key.strip(), values


def _show(result: Any) -> None:
    from rich.markup import escape
    from rich.table import Table

    sign = 1.0 if result.lower_is_better else -1.0
    ranked = sorted(result.trials, key=lambda t: (t.state != "done", t.value is None, sign * (t.value or 0.0)))
    keys = list(dict.fromkeys(key for trial in result.trials for key in trial.values))
    table = Table()
    table.add_column("trial", justify="right")
    for key in keys:
        table.add_column(escape(printable(key.split(".")[-1])), justify="right")
    table.add_column(f"{printable(result.measure)}, validation", justify="right")
    table.add_column("")
    for trial in ranked[:_SHOWN]:
        values = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in (trial.values.get(key, "") for key in keys)]
        value = "" if trial.value is None else f"{trial.value:.4g}"
        state = "best" if trial is result.best else trial.state
        table.add_row(str(trial.number), *(escape(printable(v)) for v in values), value, escape(printable(state)))
    show_table(table)
    if len(ranked) > _SHOWN:
        show(f"and {len(ranked) - _SHOWN} more: {Path(result.folder, 'trials.json')}")
    if result.best is not None:
        show(f"its config: {Path(result.folder, 'best.yaml')}")
