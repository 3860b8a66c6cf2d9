"""Which class was taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyseq.figures.style import WIDTH, framed, literal, new_figure, sequential, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: With more classes than this the counts would not fit into their fields at 8 points.
_MOST_COUNTS = 16
#: Of more classes than this, not each can have its name at 8 points.
_MOST_NAMES = 45


@styled
def confusion_matrix(matrix: np.ndarray[Any, Any], classes: Sequence[str], title: str = "") -> Figure:
    """Return a matrix of counts: a row is what it is, a column what it was taken for, the colour the share of its row.

    Args:
        matrix: counts (classes, classes).
        classes: their names.
        title: the heading.
    """
    count = len(classes)
    totals = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    side = min(max(0.42 * count, 2.2), WIDTH - 2.4)
    longest = max((len(name) for name in classes), default=1)
    figure = new_figure(side + 1.9 + 0.05 * min(longest, 20), side + 1.2)
    plot = figure.add_subplot()
    image = plot.imshow(shares, cmap=sequential(), vmin=0.0, vmax=1.0)
    each = -(-count // _MOST_NAMES)
    names = [literal(name, 20) for name in classes[::each]]
    steep = longest > 3 and count > 2
    plot.set_xticks(range(0, count, each), names, rotation=45 if steep else 0, ha="right" if steep else "center",
                    rotation_mode="anchor" if steep else None)  # fmt: skip
    plot.set_yticks(range(0, count, each), names)
    framed(plot)
    plot.set_xlabel("taken for")
    plot.set_ylabel("is")
    if count <= _MOST_COUNTS:
        for i, j in np.ndindex(count, count):
            ink = "white" if shares[i, j] > 0.5 else "black" if matrix[i, j] else "#8a8a8a"
            plot.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", color=ink, fontsize=8)
    figure.colorbar(image, ax=plot, label="share of the row", shrink=0.8)
    figure.suptitle(literal(title, 70))
    return figure
