"""The flow of gradients in words and as a figure, for several models side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyseq.errors import DataError
from tinyseq.train.gradflow import Flow, Updates

Array = np.ndarray[Any, Any]
#: Okabe and Ito's palette, one colour a model; dashes tell its states apart, also on grey paper.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1, 1.5)))
_MARKERS = "osD^vPX"


def short(label: str, labels: Iterable[str]) -> str:
    """``recurrent/lstm0.c`` -> ``lstm0.c``, where no other label ends so."""
    last = label.rpartition("/")[2]
    return last if sum(other.rpartition("/")[2] == last for other in labels) == 1 else label


def factor_per_step(jacobians: Array) -> float:
    """Return what a gradient is multiplied by at each step back, on average, from the largest finite lag."""
    norms = jacobians[::-1]
    lags = np.flatnonzero(np.isfinite(norms) & (norms > 0.0))
    if not len(lags) or lags[-1] == 0:
        return math.nan
    return math.exp(math.log(norms[lags[-1]]) / lags[-1])


def verdict(jacobians: Array) -> str:
    """Return in words what becomes of a gradient: after how many steps back it has halved, or doubled."""
    rate = factor_per_step(jacobians)
    if len(jacobians) == 1:
        return "has one step only"
    if math.isnan(rate):
        return "does not depend"
    steps = math.inf if rate == 1.0 else abs(math.log(2.0) / math.log(rate))
    return "is kept" if steps > 10 * len(jacobians) else f"{'halves' if rate < 1.0 else 'doubles'} in {steps:.1f} steps"


def flow_table(flows: Sequence[Flow], steps: int) -> str:
    """Return a table: a row a state, with norms at some steps and lags, and what they amount to.

    A state with other steps than ``steps`` (of a decoder, of words' letters) is told at its own first, middle and last.
    """
    middle = steps // 2
    head = ["state", *(f"dL/ds_{t}" for t in (0, middle, steps - 1)), *(f"lag {k}" for k in (1, middle, steps - 1))]
    rows = [[*head, "a step", "a gradient"]]
    for flow in flows:
        for label, norms in flow.gradients.items():
            jacobians = flow.jacobians[label]
            lags = jacobians[::-1]
            values = [
                *(norms[i] for i in (0, len(norms) // 2, -1)),
                lags[min(1, len(lags) - 1)],
                lags[len(lags) // 2],
                lags[-1],
            ]
            words = [f"{value:.1e}" for value in values]
            rate = f"{factor_per_step(jacobians):.3f}"
            rows.append([f"{flow.label}: {short(label, flow.gradients)}", *words, rate, verdict(jacobians)])
    return aligned(rows)


def bias_table(flows: Sequence[Flow]) -> str:
    """Return a table: two rows a model, cosine and norm ratio of the truncated gradient, a column a k."""
    rows = [["", *(f"k={row.steps}" for row in flows[0].bias)]]
    for flow in flows:
        rows.append([f"{flow.label}: cosine", *(f"{row.cosine:.3f}" for row in flow.bias)])
        rows.append([f"{flow.label}: norm ratio", *(f"{row.norm_ratio:.3g}" for row in flow.bias)])
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines, the first column flush left, the others flush right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def draw_flow(flows: Sequence[Flow], watched: Mapping[str, Mapping[str, Updates]], path: Path) -> None:
    """Write a figure: gradient norms by step, Jacobian norms by lag, the bias of truncation, and updates if watched.

    Args:
        flows: one a model.
        watched: for each model's label the updates without and with clipping, by what they are called; or nothing.
        path: where to, .png, .svg or .pdf.

    Raises:
        DataError: another ending.
    """
    # No pyplot: it would keep global state, and look for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise DataError("the figure's format", required=".png, .svg or .pdf", got=str(path))
    panels = 4 if watched else 3
    figure = Figure(figsize=(10, 8) if watched else (13, 4.8), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    plots = figure.subplots(2, 2).ravel() if watched else figure.subplots(1, panels)
    for number, flow in enumerate(flows):
        colour = _COLOURS[number % len(_COLOURS)]
        for index, (label, norms) in enumerate(flow.gradients.items()):
            style: dict[str, Any] = {"color": colour, "linestyle": _DASHES[index % len(_DASHES)], "linewidth": 1.6}
            name = f"{flow.label}: {short(label, flow.gradients)}"
            plots[0].plot(_positive(norms), label=name, **style)
            plots[1].plot(_positive(flow.jacobians[label][::-1]), label=name, **style)
        ks = [row.steps for row in flow.bias]
        marker = {"color": colour, "marker": _MARKERS[number % len(_MARKERS)], "markersize": 4, "linewidth": 1.6}
        plots[2].plot(ks, [row.cosine for row in flow.bias], label=f"{flow.label}: cosine", **marker)
        plots[2].plot(
            ks,
            [row.norm_ratio for row in flow.bias],
            label=f"{flow.label}: norm ratio",
            linestyle=(0, (5, 1.5)),
            **marker,
        )
    for plot in plots[:2]:
        plot.set_yscale("log")
    plots[1].axhline(1.0, color="#666666", linewidth=0.8, linestyle=":")
    plots[2].axhline(1.0, color="#666666", linewidth=0.8, linestyle=":")
    plots[2].set_xscale("log", base=2)
    ratios = [row.norm_ratio for flow in flows for row in flow.bias if math.isfinite(row.norm_ratio)]
    if ratios and max(ratios) > 4.0:
        plots[2].set_yscale("symlog", linthresh=1.0)
    _name(plots[0], "Gradient of the loss by each state", "time step t", "||dL/ds_t||")
    _name(plots[1], "How far a gradient reaches", "lag T - t", "||ds_T/ds_t||, spectral")
    _name(plots[2], "Bias of truncation", "gradients cut every k steps", "truncated against full")
    if watched:
        _draw_updates(plots[3], [flow.label for flow in flows], watched)
    figure.savefig(path)


def _draw_updates(plot: Any, labels: Sequence[str], watched: Mapping[str, Mapping[str, Updates]]) -> None:
    for label, runs in watched.items():
        colour = _COLOURS[labels.index(label) % len(_COLOURS)]
        for index, (how, run) in enumerate(runs.items()):
            style: dict[str, Any] = {"color": colour, "linestyle": _DASHES[index % len(_DASHES)], "linewidth": 1.6}
            plot.plot(np.arange(1, len(run.losses) + 1), run.losses, label=f"{label}: {how}", **style)
            if run.diverged and len(run.losses):
                plot.plot(len(run.losses), run.losses[-1], color=colour, marker="x", markersize=9, linestyle="none")
    plot.set_yscale("log")
    _name(plot, "Training, with and without clipping (x: no longer finite)", "update", "loss")


def _name(plot: Any, title: str, x: str, y: str) -> None:
    plot.set_title(title, fontsize=10)
    plot.set_xlabel(x)
    plot.set_ylabel(y)
    plot.grid(alpha=0.3)
    # Below the plot: in it there is always a line in the way.
    plot.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)


def _positive(values: Array) -> Array:
    """A logarithm has no place for 0: such points are left out, as those that are not numbers are."""
    return np.where(np.isfinite(values) & (values > 0.0), values, np.nan)
