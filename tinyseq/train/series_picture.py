"""Series as a picture: the truth, and forecasts beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyseq.errors import DataError

Array = np.ndarray[Any, Any]
#: How a kind of line is drawn: Okabe and Ito's colours, and dashes and markers that say the same on grey paper.
_STYLES: dict[str, dict[str, Any]] = {
    "truth": {"color": "#000000", "linewidth": 1.3},
    "forecast": {"color": "#D55E00", "linewidth": 1.6, "dashes": (5, 1.5)},
    "free": {"color": "#0072B2", "linewidth": 1.6, "dashes": (1.5, 1)},
    "baseline": {"color": "#999999", "linewidth": 1.0, "dashes": (6, 2, 1, 2)},
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


def draw_series(panels: Sequence[Panel], title: str, path: Path, *, times: Sequence[str] = (), axis: str = "") -> None:
    """Write a PNG or SVG of panels one above the other.

    Args:
        panels: at least one.
        title: the heading.
        path: where to; the ending says which format.
        times: the words for x = 0, 1, ... where they are other than the numbers.
        axis: what the horizontal axis is.

    Raises:
        DataError: the ending is neither ``.png``, ``.svg`` nor ``.pdf``.
    """
    # No pyplot: it would keep global state, and look for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise DataError("the picture's format", required=".png, .svg or .pdf", got=str(path))
    figure = Figure(figsize=(9, max(4.0, 2.6 * len(panels))), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    plots = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for plot, panel in zip(plots, panels, strict=True):
        for line in panel.lines:
            plot.plot(line.xs, line.ys, label=line.label, **_STYLES[line.kind])
        if panel.mark is not None:
            plot.axvline(panel.mark, color="#666666", linewidth=0.8, linestyle=":")
        plot.set_ylabel(panel.label)
        plot.grid(alpha=0.3)
        plot.margins(x=0.01)
        # Beside the lines, never on them.
        plot.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2)
    last = plots[-1]
    if len(times):
        low = int(min(line.xs.min() for panel in panels for line in panel.lines))
        high = int(max(line.xs.max() for panel in panels for line in panel.lines))
        places = np.unique(np.linspace(low, high, min(_LABELS, high - low + 1)).round().astype(int))
        for plot in plots:
            plot.set_xticks(places)
            plot.set_xticklabels([times[i] if 0 <= i < len(times) else f"+{i - len(times) + 1}" for i in places])
    last.set_xlabel(axis)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path)
