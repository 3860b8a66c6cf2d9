"""What a model says against what is true, point by point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinyseq.figures.style import BLUE, GREY, literal, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def agreement(truth: np.ndarray[Any, Any], predicted: np.ndarray[Any, Any], label: str = "", title: str = "") -> Figure:
    """Return a point an example, true value across and predicted value upwards; on the diagonal the two agree."""
    figure = new_figure(4.5, 4.4)
    plot = figure.add_subplot()
    ends = [float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))]
    plot.plot(ends, ends, color=GREY, linewidth=1.0, dashes=(5, 2), label="truth", zorder=1)
    size = float(np.clip(4000 / max(len(truth), 1), 4, 30))
    plot.scatter(truth, predicted, s=size, color=BLUE, alpha=0.5, linewidths=0, label="predictions", zorder=2)
    plot.set_aspect("equal", adjustable="datalim")
    what = f" {label}" if label else ""
    plot.set_xlabel(literal(f"true{what}"))
    plot.set_ylabel(literal(f"predicted{what}"))
    plot.grid(alpha=0.3)
    plot.legend(frameon=False, loc="upper left")
    figure.suptitle(literal(title, 70))
    return figure
