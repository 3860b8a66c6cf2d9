"""``tinyseq gradflow``: how gradients flow back through time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyseq.cli.boundary import debug_option
from tinyseq.cli.options import set_option
from tinyseq.cli.output import echo, show

if TYPE_CHECKING:
    from tinyseq.train.analysis import gradflow


@click.command("gradflow", short_help="Measure how gradients flow through time.")
@click.argument("configs", nargs=-1, required=True, type=click.Path(), metavar="CONFIG [CONFIG ...]")
@click.option("--steps", type=click.IntRange(2, 100_000), default=64, show_default=True, help="Time steps, T.")
@click.option("--clip", type=click.FloatRange(min=0.0, min_open=True), help="Train with and without this clip_norm.")
@click.option("--updates", type=click.IntRange(min=1), default=60, show_default=True, help="How many, with --clip.")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of the configs'.")
@click.option("--out", "-o", type=click.Path(dir_okay=False), metavar="FIGURE", help="Draw it: .png, .svg or .pdf.")
@set_option
@debug_option
def command(
    configs: tuple[str, ...],
    steps: int,
    clip: float | None,
    updates: int,
    seed: int | None,
    out: str | None,
    settings: list[Any],
) -> None:
    """Measure, in freshly initialised models, what becomes of a gradient on its way back through time.

    \b
    Examples:
        tinyseq gradflow examples/gradflow/rnn.yaml examples/gradflow/lstm.yaml --steps 128 -o flow.png
        tinyseq gradflow examples/gradflow/explode.yaml --clip 1 -o clip.png
    For each state of each layer: the norm of the loss's gradient by it at each step, and the norm of the Jacobian of
    the last state by it (vanishing: towards 0 with the lag; exploding: away). Then the bias of truncation: the angle
    (cosine) and the length (ratio) of the gradient truncated every k steps, against the full one. With --clip, a few
    updates are made with and without clipping. All of it in float64.
    """
    import numpy as np

    from tinyseq.figures import gradient_flow, save
    from tinyseq.figures.style import check_format
    from tinyseq.train import load_config
    from tinyseq.train.analysis.gradflow import measure
    from tinyseq.train.analysis.gradflow import updates as train_on
    from tinyseq.train.config.overrides import as_overrides
    from tinyseq.train.running import prepared

    if out is not None and not Path(out).absolute().parent.is_dir():
        raise click.BadParameter(f"the folder {Path(out).parent} does not exist", param_hint="'-o'")
    if out is not None:
        check_format(Path(out))  # before anything is computed
    overrides = {"dtype": "float64", **({} if seed is None else {"seed": seed})}
    flows: list[gradflow.Flow] = []
    watched: dict[str, dict[str, gradflow.Updates]] = {}
    for path, label in zip(configs, _labels(configs), strict=True):
        config = load_config(path, [*settings, *as_overrides(overrides)])
        with np.errstate(all="ignore"):  # what overflows is shown as such
            with prepared(config) as (task, model):
                flows.append(measure(task, model, steps, label))
            for how, limit in (("not clipped", None), (f"clipped at {clip:g}" if clip else "", clip)):
                if clip is None:
                    break
                with prepared(config) as (task, model):
                    watched.setdefault(label, {})[how] = train_on(task, model, config.train, updates, limit)
    _show(flows, watched, steps)
    if out is not None:
        save(gradient_flow(flows, watched), out)
        show(f"\n{out}")


def _labels(configs: tuple[str, ...]) -> list[str]:
    """Name models by their files, and files of one name by their folders too."""
    stems = [Path(path).stem for path in configs]
    labels = [s if stems.count(s) == 1 else str(Path(p).with_suffix("")) for s, p in zip(stems, configs, strict=True)]
    return [label if labels.count(label) == 1 else f"{label} ({i + 1})" for i, label in enumerate(labels)]


def _show(flows: list[gradflow.Flow], watched: dict[str, dict[str, gradflow.Updates]], steps: int) -> None:
    from tinyseq.train.analysis.flow_report import bias_table, flow_table

    echo(f"Norms over {steps} steps: of the loss's gradient by a state s_t, and of ds_T/ds_t by the lag T - t")
    echo(flow_table(flows, steps))
    echo("\nThe bias of truncation: the gradient cut every k steps against the full one")
    echo(bias_table(flows))
    for label, runs in watched.items():
        echo(f"\nTraining of {label}: the same weights, the same batches")
        for how, run in runs.items():
            end = "is no longer finite" if run.diverged else f"ends at {run.losses[-1]:.4g}"
            norms = f"; gradient norms {run.norms.min():.2g} to {run.norms.max():.2g}" if len(run.norms) else ""
            echo(f"  {how}: the loss {end} after {len(run.losses)} updates{norms}")
