"""Series over time: the truth, and forecasts beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinyseq.figures.style import BLACK, BLUE, GREY, ORANGE, TALLEST, literal, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
#: How a kind of line is drawn.
_STYLES: dict[str, dict[str, Any]] = {
    "truth": {"color": BLACK, "linewidth": 1.3},
    "forecast": {"color": ORANGE, "linewidth": 1.6, "dashes": (5, 1.5)},
    "free": {"color": BLUE, "linewidth": 1.6, "dashes": (1.5, 1)},
    "baseline": {"color": GREY, "linewidth": 1.0, "dashes": (6, 2, 1, 2)},
}
#: Words on the horizontal axis.
_LABELS = 8


class Line(NamedTuple):
    """A line of a panel; ``kind`` is truth, forecast, free (on its own outputs) or baseline."""

    label: str
    kind: str
    xs: Array
    ys: Array


class Panel(NamedTuple):
    """One plot; ``mark`` is where what is known ends."""

    label: str
    lines: Sequence[Line]
    mark: float | None = None


@styled
def forecasts(panels: Sequence[Panel], title: str, *, times: Sequence[str] = (), axis: str = "") -> Figure:
    """Return panels one above the other.

    Args:
        panels: at least one.
        title: the heading.
        times: the words for x = 0, 1, ... where they are other than the numbers.
        axis: what the horizontal axis is.
    """
    figure = new_figure(height=min(max(3.2, 2.1 * len(panels) + 0.8), TALLEST))
    plots = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for plot, panel in zip(plots, panels, strict=True):
        for line in panel.lines:
            plot.plot(line.xs, line.ys, label=literal(line.label, 40), **_STYLES[line.kind])
        if panel.mark is not None:
            plot.axvline(panel.mark, color=GREY, linewidth=0.8, linestyle=":")
        plot.set_ylabel(literal(panel.label, 40))
        plot.grid(alpha=0.3)
        plot.margins(x=0.01)
        # Above the lines, never on them.
        plot.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2)
    if len(times):
        low = int(min(line.xs.min() for panel in panels for line in panel.lines))
        high = int(max(line.xs.max() for panel in panels for line in panel.lines))
        places = np.unique(np.linspace(low, high, min(_LABELS, high - low + 1)).round().astype(int))
        words = [literal(times[i], 16) if 0 <= i < len(times) else f"+{i - len(times) + 1}" for i in places]
        for plot in plots:
            plot.set_xticks(places, words)
    plots[-1].set_xlabel(literal(axis))
    figure.suptitle(literal(title, 90))
    return figure
