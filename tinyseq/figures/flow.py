"""How gradients flow back through time, for several models side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tinyseq.figures.style import COLOURS, DASHES, GREY, MARKERS, TALLEST, literal, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]


class Bias(Protocol):
    """How the gradient truncated every ``steps`` steps differs from the full one."""

    @property
    def steps(self) -> int: ...
    @property
    def cosine(self) -> float: ...
    @property
    def norm_ratio(self) -> float: ...


class Flow(Protocol):
    """What was measured of a model: gradient and Jacobian norms by state, an entry a step; the bias of truncation."""

    @property
    def label(self) -> str: ...
    @property
    def gradients(self) -> Mapping[str, Array]: ...
    @property
    def jacobians(self) -> Mapping[str, Array]: ...
    @property
    def bias(self) -> Sequence[Bias]: ...


class Updates(Protocol):
    """The losses of a few updates, and whether a number was no longer finite."""

    @property
    def losses(self) -> Array: ...
    @property
    def diverged(self) -> bool: ...


def short(label: str, labels: Iterable[str]) -> str:
    """``recurrent/lstm0.c`` -> ``lstm0.c``, where no other label ends so."""
    last = label.rpartition("/")[2]
    return last if sum(other.rpartition("/")[2] == last for other in labels) == 1 else label


@styled
def gradient_flow(flows: Sequence[Flow], watched: Mapping[str, Mapping[str, Updates]] | None = None) -> Figure:
    """Return gradient norms by step, Jacobian norms by lag, the bias of truncation, and updates if watched.

    Args:
        flows: one a model; one alone has a colour a state, of several each has a colour, and dashes tell states.
        watched: for each model's label the updates without and with clipping, by what they are called.
    """
    lines = sum(len(flow.gradients) + 2 for flow in flows)
    figure = new_figure(height=min(5.6 + 0.09 * lines, TALLEST))
    plots = figure.subplots(2, 2).ravel()
    for number, flow in enumerate(flows):
        prefix = f"{flow.label}: " if len(flows) > 1 else ""
        for index, (label, norms) in enumerate(flow.gradients.items()):
            style = _style(index if len(flows) == 1 else number, index)
            if len(flows) > 1:  # dashes tell states apart, and markers models
                style |= {
                    "marker": MARKERS[number % len(MARKERS)],
                    "markersize": 4,
                    "markevery": max(len(norms) // 8, 1),
                }
            name = literal(f"{prefix}{short(label, flow.gradients)}", 40)
            plots[0].plot(_positive(norms), label=name, **style)
            plots[1].plot(_positive(flow.jacobians[label][::-1]), label=name, **style)
        ks = [row.steps for row in flow.bias]
        for index, (how, values) in enumerate(
            (("cosine", [row.cosine for row in flow.bias]), ("norm ratio", [row.norm_ratio for row in flow.bias]))
        ):
            marker = {"marker": MARKERS[number % len(MARKERS)], "markersize": 4}
            plots[2].plot(ks, values, label=literal(f"{prefix}{how}", 40), **_style(number, index), **marker)
    for plot in plots[:2]:
        plot.set_yscale("log")
    plots[1].axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    plots[2].axhline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    plots[2].set_xscale("log", base=2)
    ratios = [row.norm_ratio for flow in flows for row in flow.bias if math.isfinite(row.norm_ratio)]
    if ratios and max(ratios) > 4.0:
        plots[2].set_yscale("symlog", linthresh=1.0)
    _name(plots[0], "Gradient of the loss by each state", "time step $t$", r"$\|\partial L\,/\,\partial s_t\|$")
    _name(plots[1], "How far a gradient reaches", "lag $T - t$", r"$\|\partial s_T\,/\,\partial s_t\|_2$")
    _name(plots[2], "Bias of truncation", "gradients cut every $k$ steps", "truncated against full")
    if watched:
        _draw_updates(plots[3], [flow.label for flow in flows], watched)
        for plot in plots:
            _legend_below(plot)
    else:
        plots[3].axis("off")
        place = {"loc": "upper left", "bbox_to_anchor": (0.0, 1.0)}
        plots[3].legend(*plots[0].get_legend_handles_labels(), title="states (above)", frameon=False, **place)
        _legend_below(plots[2])
    return figure


def _style(colour: int, dash: int) -> dict[str, Any]:
    return {"color": COLOURS[colour % len(COLOURS)], "linestyle": DASHES[dash % len(DASHES)], "linewidth": 1.6}


def _draw_updates(plot: Any, labels: Sequence[str], watched: Mapping[str, Mapping[str, Updates]]) -> None:
    for label, runs in watched.items():
        for index, (how, run) in enumerate(runs.items()):
            style = _style(labels.index(label), index)
            name = literal(f"{label}: {how}", 40)
            plot.plot(np.arange(1, len(run.losses) + 1), run.losses, label=name, **style)
            if run.diverged and len(run.losses):
                plot.plot(len(run.losses), run.losses[-1], color=style["color"], marker="x", markersize=9, ls="none")
    plot.set_yscale("log")
    _name(plot, "Training, with and without clipping\n(x: no longer finite)", "update", "loss")


def _name(plot: Any, title: str, x: str, y: str) -> None:
    plot.set_title(title)
    plot.set_xlabel(x)
    plot.set_ylabel(y)
    plot.grid(alpha=0.3)


def _legend_below(plot: Any) -> None:
    """In the plot there is always a line in the way."""
    plot.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=1)


def _positive(values: Array) -> Array:
    """A logarithm has no place for 0: such points are left out, as those that are not numbers are."""
    return np.where(np.isfinite(values) & (values > 0.0), values, np.nan)
