"""What a sweep found: the measure of its trials, one after the other and by each setting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tinyseq.figures.style import BLUE, GREY, ORANGE, literal, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Panels beside each other.
_COLUMNS = 3
#: Values of a setting over so many powers of ten are shown on a logarithmic axis.
_DECADES = 1.0


class SweepPoint(NamedTuple):
    """A trial: its number, its value, whether it came to its end, and its settings."""

    number: int
    value: float
    done: bool
    settings: Mapping[str, Any]


@styled
def sweep_trials(points: Sequence[SweepPoint], label: str, *, lower_is_better: bool = True, title: str = "") -> Figure:
    """Return the measure over the trials with the best so far, and over the values of each setting.

    Args:
        points: the trials that have a value.
        label: the measure's name on the axis.
        lower_is_better: which way is better.
        title: the heading.
    """
    keys = list(dict.fromkeys(key for point in points for key in point.settings))
    rows = -(-(len(keys) + 1) // _COLUMNS)
    figure = new_figure(height=2.4 * rows + 0.8)
    plots = list(figure.subplots(rows, min(len(keys) + 1, _COLUMNS), squeeze=False, sharey=True).flat)
    first, *others = plots
    _scatter(first, [point.number for point in points], points)
    done = [point for point in points if point.done]
    best = list(itertools.accumulate((point.value for point in done), min if lower_is_better else max))
    first.step([point.number for point in done], best, where="post", color=ORANGE, linewidth=1.4, label="best so far")
    first.set_xlabel("trial")
    for plot, key in zip(others, keys, strict=False):
        values: list[Any] = [point.settings.get(key) for point in points]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            _scatter(plot, values, points)
            if min(values) > 0 and math.log10(max(values) / min(values)) > _DECADES:
                plot.set_xscale("log")
        else:
            names = list(dict.fromkeys(map(str, values)))
            _scatter(plot, [names.index(str(value)) for value in values], points)
            plot.set_xticks(range(len(names)), [literal(name, 16) for name in names])
            plot.margins(x=0.3)
        plot.set_xlabel(literal(key.split(".")[-1]))
    for plot in plots[len(keys) + 1 :]:
        plot.set_visible(False)
    for plot in plots:
        plot.grid(alpha=0.3)
    plots[0].set_ylabel(f"{literal(label)}, validation\n({'lower' if lower_is_better else 'higher'} is better)")
    figure.legend(*first.get_legend_handles_labels(), frameon=False, loc="outside lower center", ncols=3)
    figure.suptitle(literal(title))
    return figure


def _scatter(plot: Any, across: Sequence[Any], points: Sequence[SweepPoint]) -> None:
    for done, color, marker, label in ((True, BLUE, "o", "trial"), (False, GREY, "x", "pruned")):
        drawn = [(x, point.value) for x, point in zip(across, points, strict=True) if point.done == done]
        if drawn:
            plot.scatter(*zip(*drawn, strict=True), s=18, color=color, marker=marker, label=label)
