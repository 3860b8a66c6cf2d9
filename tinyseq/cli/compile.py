"""``tinyseq compile``: what the compiler makes of a config's training step, pass by pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.options import set_option
from tinyseq.cli.output import echo, note, show, show_table
from tinyseq.errors import GraphError, did_you_mean

if TYPE_CHECKING:
    from tinyseq.compiler.function import CompiledFunction
    from tinyseq.compiler.pipeline import Pipeline, Stage


@click.command("compile", short_help="Show what the compiler makes of a config's training step.")
@click.argument("config", type=click.Path())
@click.option("--after", metavar="PASS", help="Print the graph after this pass; PASS:2 is its second time.")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False), metavar="FILE", help="With --after: draw it there instead."
)
@click.option("--without", multiple=True, metavar="PASS", help="Leave this pass out; may be given again.")
@click.option("--plan", is_flag=True, help="Print the plan: every instruction with its buffers and source line.")
@click.option("--verify", is_flag=True, help="Run every stage against the plain interpreter, and compare.")
@set_option
@debug_option
def command(
    config: str,
    after: str | None,
    out: str | None,
    without: tuple[str, ...],
    plan: bool,
    verify: bool,
    settings: list[Any],
) -> None:
    """Compile the forward and backward pass of CONFIG's model on its first batch, and show each pass.

    \b
    Examples:
        tinyseq compile examples/lstm.yaml                   a row a pass: nodes, kernels, FLOPs, bytes, memory, time
        tinyseq compile examples/lstm.yaml --after pack      the graph at that point
        tinyseq compile examples/lstm.yaml --after merge -o merged.svg
        tinyseq compile examples/lstm.yaml --plan
        tinyseq compile examples/lstm.yaml --without absorb  what that pass is worth: see the other rows
    """
    import tinyseq as ts
    from tinyseq.errors import DataError
    from tinyseq.train import load_config
    from tinyseq.train.loop.patience import told_where_long
    from tinyseq.train.running import prepared

    with told_where_long(note, "compiling"), prepared(load_config(config, settings)) as (task, model):
        if not task.compilable:
            raise DataError(f"the task {task.config.task!r} does not compile its loss", fix="tinyseq run CONFIG")
        arguments = task.feed(model, next(task.batches()), None).arguments

        def loss(*arguments: Any) -> Any:
            return task.loss(model, *arguments)

        fast = ts.compile(loss, verify=verify, pipeline=lambda own: _without(own, without))
        fast(*arguments)
        if after is not None:
            stage = _stage(fast.passes, after)
            if out is None:
                echo(stage.graph)
            else:
                ts.draw(fast, Path(out), after=after)
                show(out)
        elif plan:
            echo(_plan(fast))
        else:
            _table(fast)
        if verify:
            _verified(fast)


def _without(pipeline: Pipeline, names: tuple[str, ...]) -> Pipeline:
    try:
        return pipeline.without(*names)
    except GraphError as error:
        raise click.BadParameter(f"{error.what}; {error.fix}", param_hint="'--without'") from None


def _stage(stages: tuple[Stage, ...], wanted: str) -> Stage:
    """Return the stage of that name, the last of its kind unless a number says which."""
    name, _, number = wanted.partition(":")
    runs = [stage for stage in stages if stage.name == name]
    if not runs:
        names = list(dict.fromkeys(stage.name for stage in stages))
        raise click.BadParameter(f"no pass {name!r}; {did_you_mean(name, names)}", param_hint="'--after'")
    if not number:
        return runs[-1]
    if not number.isdecimal() or not 1 <= int(number) <= len(runs):
        raise click.BadParameter(f"{name} runs {len(runs)} time(s)", param_hint="'--after'")
    return runs[int(number) - 1]


def _table(fast: CompiledFunction[..., Any]) -> None:
    from rich.table import Table

    from tinyseq.compiler.report import costs

    table = Table(box=None, pad_edge=False)
    table.add_column("after", no_wrap=True)
    # Titles of two words stand on two lines, so that the table is within a terminal of 80 columns.
    for title in ("nodes", "kernels a step", "kernels", "GEMMs", "MFLOP", "MB moved", "MB planned", "ms"):
        table.add_column(title, justify="right")
    rows = costs(fast)
    for row in rows:
        table.add_row(
            row.name,
            f"{row.nodes:,}",
            f"{row.per_step:,}",
            f"{row.kernels:,}",
            f"{row.gemms:,}",
            f"{row.flops / 1e6:,.1f}",
            f"{row.bytes / 1e6:,.1f}",
            "" if row.memory is None else f"{row.memory / 1e6:,.2f}",
            f"{row.seconds * 1e3:.1f}",
            end_section=row.name == "trace",
        )
    show_table(table)
    echo(f"all passes and plan: {sum(row.seconds for row in rows) * 1e3:.0f} ms (costs counted besides)")
    _carries(fast)


def _carries(fast: CompiledFunction[..., Any]) -> None:
    from tinyseq.compiler.passes.linearise import linearise

    loops = [stage.graph for stage in fast.passes if stage.name == "trace"]
    if lines := [str(carry) for carry in linearise(loops[0])]:
        echo("carries, as traced:")
        for line in dict.fromkeys(lines):
            echo(f"  {line}")


def _plan(fast: CompiledFunction[..., Any]) -> str:
    plan = fast.plan
    buffers = [f"{b.label:<6} {b.kind:<6} {b.dtype}{b.shape}  slot {b.slot}, {b.nbytes:,} bytes" for b in plan.buffers]
    head = f"{len(plan.buffers)} buffers, {plan.memory:,} bytes in all; {len(plan.instructions)} instructions"
    entry = fast.entry_of_last_call()
    executable = entry.take()
    entry.give(executable)
    return "\n".join([head, *buffers, "", plan.listing(), *executable.notes()])


def _verified(fast: CompiledFunction[..., Any]) -> None:
    from tinyseq.compiler.report import verify

    echo("\nlargest difference from the plain interpreter, relative to each tensor's largest element")
    for name, difference in verify(fast):
        echo(f"  {name:<14}{difference:.1e}")
