"""``tinyseq check``: is a config right, and what does it cost?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyseq.cli.boundary import FAILURE, debug_option
from tinyseq.cli.options import set_option
from tinyseq.cli.output import echo, echo_json, note
from tinyseq.machine import free_memory

if TYPE_CHECKING:
    from tinyseq.train.analysis.inspection import Inspection


@click.command("check", short_help="Validate a config, count what it costs, check its gradients.")
@click.argument("config", type=click.Path())
@set_option
@click.option("--only-config", is_flag=True, help="Validate the file alone; read no data and build no model.")
@click.option("--json", "as_json", is_flag=True, help="For programs: an object of JSON instead of a table.")
@debug_option
@click.pass_context
def command(ctx: click.Context, config: str, settings: list[Any], only_config: bool, as_json: bool) -> None:
    """Validate CONFIG, build its model, count parameters, FLOPs, memory and time of a step, and check the gradients.

    \b
    Examples:
        tinyseq check examples/lstm.yaml
        tinyseq check examples/lstm.yaml --set model.cell=gru --set hidden_size=512
        tinyseq check mine.yaml --only-config           for an editor or a commit hook: in a few tenths of a second
    Every mistake in the file is told at once, as file:line:column: error: key: what is wrong. Gradients are compared
    with central differences on one small batch in float64; for a cell of your own that is the proof of its gradient.
    Exit codes: 0 all is right, 1 data or gradients are not, 2 the config is not.
    """
    from tinyseq.train.config.run_config import load_config

    checked = load_config(config, settings)
    if only_config:
        echo(f"{config}: valid, a run of the task {checked.task}")
        return
    from tinyseq.train.analysis.inspection import inspect
    from tinyseq.train.running import run_name

    inspection = inspect(checked)
    results = Path(checked.output, checked.name or run_name(Path(config)))
    if as_json:
        echo_json(inspection.plain(), indent=2)
    else:
        echo(f"{config}: valid, a run of the task {checked.task}\n{_table(inspection, results)}")
    if inspection.gradient is not None and not inspection.gradient.right:
        g = inspection.gradient
        note(
            f"error: the gradients of {len(g.wrong)} parameters are wrong: {', '.join(g.wrong)}\n"
            f"  required {g.numeric:.9g}, by central differences along a random direction in {g.parameter}\n"
            f"  got      {g.analytic:.9g}, from backward()\n"
            "  try      ts.testing.check_grads on the cell's step: an op that cuts or replaces gradients (detach, "
            "stop_gradient, round)"
        )
        ctx.exit(FAILURE)


def _table(inspection: Inspection, results: Path) -> str:
    from tinyseq.train.loop.progress import duration

    parts = ", ".join(f"{name} {count:,}" for name, count in inspection.parameters.items() if count)
    data = ", ".join(
        f"{key} {_shown(value)}" for key, value in inspection.data.items() if value is not None and key != "sha256"
    )
    rows = [*inspection.overview.items(), ("results", f"a new directory in {results}")]
    rows += [("note", note) for note in inspection.notes]
    rows += [("data", data), ("parameters", f"{sum(inspection.parameters.values()):,}: {parts}")]
    if inspection.flops is not None:
        per = f", {inspection.flops / inspection.tokens:,.0f} a token" if inspection.tokens else ""
        rows.append(("arithmetic", f"{_scaled(inspection.flops)}FLOP a step, forward and backward{per}"))
    memory = ", ".join(f"{name} {_scaled(size)}B" for name, size in inspection.memory.items())
    rows.append(("memory", f"{_scaled(sum(inspection.memory.values()))}B: {memory}"))
    free = free_memory()
    if free is not None and sum(inspection.memory.values()) > free:
        rows.append(("", f"MORE than the {_scaled(free)}B that are free here: a smaller batch_size, bptt or model"))
    if inspection.seconds is not None:
        whole = duration(inspection.seconds * (inspection.steps or 0))
        rows.append(
            (
                "time",
                f"{inspection.seconds * 1e3:,.3g} ms a step, measured here: {whole} for {inspection.steps:,} steps",
            )
        )
    if inspection.not_compiled:
        rows.append(("compiled", f"no: {inspection.not_compiled}"))
    if inspection.gradient is not None:
        verdict = "agree with" if inspection.gradient.right else "DIFFER from"
        rows.append(
            ("gradients", f"{verdict} central differences, to {inspection.gradient.error:.1e} relative (float64)")
        )
    return "\n".join(f"  {name:<12}{text}" for name, text in rows)


def _shown(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _scaled(number: float) -> str:
    for unit in ("", "k", "M", "G"):
        if number < 1000.0:
            return f"{number:,.3g} {unit}"
        number /= 1000.0
    return f"{number:,.3g} T"
