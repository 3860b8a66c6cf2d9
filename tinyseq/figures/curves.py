"""Learning curves."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinyseq.figures.style import (
    BLUE,
    DASHES,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    PINK,
    SKY,
    YELLOW,
    literal,
    new_figure,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BASELINES = (GREY, GREEN, PINK, YELLOW)
#: Values over so many powers of ten are shown on a logarithmic axis.
_DECADES = 1.5


@styled
def learning_curves(
    rows: Iterable[Mapping[str, Any]],
    key: str,
    label: str,
    *,
    lower_is_better: bool = True,
    baselines: Mapping[str, Mapping[str, float]] | None = None,
    test: tuple[int, float] | None = None,
    title: str = "",
) -> Figure:
    """Return the measure over steps on training and validation, baselines as lines, the test as a star.

    Where training knows the loss alone (an accuracy is only taken on validation), the loss has a panel of its own.

    Args:
        rows: what the training loop recorded: ``step``, ``split`` (train or valid), metrics; read once.
        key: the metric that counts.
        label: its name on the axis.
        lower_is_better: which way is better.
        baselines: metrics by name, on the test data.
        test: the step of the weights that were tested, and their result.
        title: the heading.
    """
    points = _points(rows, key)
    alone = ("train", key) not in points
    some_loss = any(metric == "loss" for _, metric in points)
    panels = [("loss", "loss"), (key, label)] if alone and some_loss and key != "loss" else [(key, label)]
    figure = new_figure(height=2.3 * len(panels) + 1.2)
    plots = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for plot, (metric, name) in zip(plots, panels, strict=True):
        heights = _lines(plot, points, metric)
        if metric == key:
            heights += _marks(plot, key, baselines or {}, test)
            plot.set_ylabel(f"{name}\n({'lower' if lower_is_better else 'higher'} is better)")
        else:
            plot.set_ylabel(name)
        _axis(plot, heights)
    plots[-1].set_xlabel("step")
    figure.suptitle(literal(title))
    return figure


#: Of each split and metric, its steps and its values.
_Points = dict[tuple[str, str], tuple["array[int]", "array[float]"]]


def _points(rows: Iterable[Mapping[str, Any]], key: str) -> _Points:
    """Return the loss and a metric of all rows, of which there may be many: numbers side by side."""
    points: _Points = {}
    for row in rows:
        for metric in {"loss", key} & row.keys():
            steps, values = points.setdefault((row["split"], metric), (array("q"), array("d")))
            steps.append(row["step"])
            values.append(row[metric])
    return points


def _lines(plot: Any, points: _Points, key: str) -> list[float]:
    """Draw a metric on both splits; return its values."""
    styles = {
        "train": ("training", {"color": SKY, "linewidth": 1.2}),
        "valid": ("validation", {"color": BLUE, "linewidth": 1.8, "marker": MARKERS[0], "markersize": 4}),
    }
    heights: list[float] = []
    for split, (label, style) in styles.items():
        if (split, key) not in points:
            continue
        steps, values = points[split, key]
        if len(steps) == 1 and split == "train":
            style = {**style, "marker": "."}  # a line of one point would not be seen
        plot.plot(steps, values, label=label, **style)
        heights += values
    return heights


def _marks(
    plot: Any, key: str, baselines: Mapping[str, Mapping[str, float]], test: tuple[int, float] | None
) -> list[float]:
    """Draw what training is compared with; return the values."""
    heights = []
    for i, (name, metrics) in enumerate(baselines.items()):
        if key in metrics:
            heights.append(metrics[key])
            style = {"color": _BASELINES[i % len(_BASELINES)], "linestyle": DASHES[1:][i % (len(DASHES) - 1)]}
            plot.axhline(metrics[key], linewidth=1.4, label=f"{literal(name, 40)}, test: {metrics[key]:.3g}", **style)
    if test is not None:
        heights.append(test[1])
        plot.plot(
            *test, color=ORANGE, marker="*", markersize=13, linestyle="none", label=f"test: {test[1]:.3g}", zorder=5
        )
    return heights


def _axis(plot: Any, heights: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    plot.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    plot.grid(alpha=0.3)
    plot.margins(x=0.02)
    finite = [value for value in heights if math.isfinite(value)]
    if not finite:
        return
    low, high = min(finite), max(finite)
    if low > 0.0 and math.log10(high / low) > _DECADES:
        plot.set_yscale("log")
    else:
        margin = 0.05 * (high - low) or 0.1
        plot.set_ylim(low - margin, high + margin)
    # Beside the lines, never on them.
    plot.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
