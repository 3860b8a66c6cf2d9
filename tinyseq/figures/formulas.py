"""Equations as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinyseq.figures.style import literal, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def formulas(blocks: Sequence[tuple[str, Sequence[str]]]) -> Figure:
    """Return blocks of a heading and equations, LaTeX that mathtext knows, aligned at their equals signs."""
    rows = [row for heading, lines in blocks for row in (("", heading), *((line, "") for line in lines), ("", ""))][:-1]
    widest = max((len(line) for line, _ in rows), default=0)
    step = 0.32
    figure = new_figure(max(4.0, 0.062 * widest + 1.2), step * len(rows) + 0.3)
    height = figure.get_figheight()
    at = 1.0 / figure.get_figwidth()
    for number, (line, heading) in enumerate(rows):
        y = 1.0 - (0.15 + step * (number + 0.5)) / height
        if heading:
            figure.text(0.15 * at, y, literal(heading), va="center", fontsize=10, fontweight="bold")
        elif line:
            left, _, right = line.partition(" = ")
            figure.text(1.15 * at, y, f"${left}$", va="center", ha="right", fontsize=12)
            figure.text(1.2 * at, y, f"$= {right}$", va="center", ha="left", fontsize=12)
    return figure
