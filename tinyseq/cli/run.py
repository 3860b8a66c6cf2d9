"""``tinyseq run``: train as a config says."""

from __future__ import annotations

from typing import Any

import click

from tinyseq import backends
from tinyseq.cli.boundary import debug_option
from tinyseq.cli.options import NameOf, say_what_compiles, set_option
from tinyseq.cli.output import note, show, show_table
from tinyseq.terminal import printable


@click.command("run", short_help="Train as a config says.")
@click.argument("config", type=click.Path())
@set_option
@click.option("--backend", type=NameOf(backends.names), help="Instead of the config's.")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of the config's.")
@click.option("--steps", type=click.IntRange(min=1), help="Instead of the config's train.steps.")
@click.option("--eager", is_flag=True, help="Leave the compiler out; the same numbers, to rounding, and slower.")
@click.option("--output", type=click.Path(), metavar="FOLDER", help="Where run directories are made; by default runs.")
@click.option(
    "--resume", is_flag=True, help="Go on with the newest run of CONFIG from its last checkpoint, bit for bit."
)
@click.option(
    "--resume-from",
    type=click.Path(exists=True),
    metavar="PATH",
    help="The same, from this checkpoint or run directory.",
)
@click.option(
    "--on-nonfinite",
    type=click.Choice(["stop", "skip"]),
    help="A loss or gradient that is not finite: stop and say where it began, or leave the step out.",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress, and of the result only the run directory.")
@click.option(
    "--verbose", "-v", is_flag=True, help="Show the resolved config and the model first, and say what is compiled."
)
@debug_option
def command(
    config: str,
    settings: list[Any],
    backend: str | None,
    seed: int | None,
    steps: int | None,
    eager: bool,
    output: str | None,
    resume: bool,
    resume_from: str | None,
    on_nonfinite: str | None,
    quiet: bool,
    verbose: bool,
) -> None:
    """Train as CONFIG, a YAML file, says; leave everything in a new directory.

    \b
    Example:
        tinyseq run examples/lstm.yaml
        tinyseq run examples/lstm.yaml --steps 100 --seed 1
        tinyseq run examples/lstm.yaml --resume
        tinyseq run examples/lstm.yaml --set model.cell=gru --set train.optimizer.lr=0.01
    The directory, such as runs/lstm/0001, then holds the configs, metrics.jsonl, result.json, weights.safetensors,
    curve.png, graph.svg, samples.txt and checkpoints. Ctrl-C finishes the step, saves and ends; a second one ends at
    once. --resume goes on, after that as after a crash.
    """
    from tinyseq import train
    from tinyseq.train.loop.progress import choose

    overrides: dict[str, Any] = {"seed": seed, "steps": steps, "backend": backend, "output": output}
    if verbose:
        say_what_compiles()
        _show_plan(config, settings, {**overrides, "compile": False if eager else None})
    result = train.run(
        config,
        overrides=settings,
        **overrides,
        eager=eager,
        on_nonfinite=on_nonfinite,
        resume=resume_from or resume,
        progress=choose(quiet=quiet),
    )
    if result.told_elsewhere:
        return
    if quiet:
        show(result.directory)
    else:
        _show_result(result)


def _show_plan(path: str, settings: list[Any], overrides: dict[str, Any]) -> None:
    from tinyseq.train import load_config
    from tinyseq.train.config import yaml
    from tinyseq.train.config.overrides import as_overrides
    from tinyseq.train.running import prepared

    given = {"train.steps" if key == "steps" else key: value for key, value in overrides.items() if value is not None}
    config = load_config(path, [*settings, *as_overrides(given)])
    note(yaml.write(config.model_dump(mode="json")))
    with prepared(config) as (task, model):
        note(f"{model}\n\n{yaml.write(task.describe_data())}")


def _show_result(result: Any) -> None:
    from rich.markup import escape
    from rich.table import Table

    facts = result.result
    keys = [key for key, value in result.metrics.items() if key != "loss" and not isinstance(value, int)]  # no counts
    table = Table()
    table.add_column("test, unseen in training")
    for key in keys:
        table.add_column(printable(key), justify="right")
    for name, values in {**result.baselines, "this run": result.metrics}.items():
        table.add_row(escape(printable(name)), *(f"{values[key]:.3f}" if key in values else "" for key in keys))
    show_table(table)
    show(
        f"{facts['steps']:,} steps, {facts['tokens']:,} tokens in {facts['seconds']:.0f} s "
        f"({facts['tokens_per_second']:,.0f} tokens/s), {facts['parameters']:,} parameters"
    )
    for remark in result.remarks:
        show(f"remark: {remark}")
    if result.preview:
        show("\n" + result.preview.rstrip())
    show(f"\nall of it: {result.directory}")
