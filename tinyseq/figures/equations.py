"""Equations as a figure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tinyseq.figures.style import literal, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@styled
def formulas(blocks: Sequence[tuple[str, Sequence[str]]]) -> Figure:
    """Return blocks of a heading and equations, LaTeX that mathtext knows, aligned at their equals signs."""
    rows = [row for heading, lines in blocks for row in (("", heading), *((line, "") for line in lines), ("", ""))][:-1]
    sides = [line.partition(" = ") for line, _ in rows]
    middle = 0.3 + max(_width(left) for left, _, _ in sides)
    step = 0.32
    figure = new_figure(max(3.0, middle + 0.4 + max(_width(right) for _, _, right in sides)), step * len(rows) + 0.3)
    height = figure.get_figheight()
    at = 1.0 / figure.get_figwidth()
    for number, (line, heading) in enumerate(rows):
        y = 1.0 - (0.15 + step * (number + 0.5)) / height
        if heading:
            figure.text(0.15 * at, y, literal(heading), va="center", fontsize=10, fontweight="bold")
        elif line:
            left, _, right = line.partition(" = ")
            font: dict[str, Any] = {"fontsize": 13, "math_fontfamily": "cm", "va": "center"}  # as books are set
            figure.text(middle * at, y, f"${left}$", ha="right", **font)
            figure.text((middle + 0.06) * at, y, f"$= {right}$", ha="left", **font)
    return figure


def _width(latex: str) -> float:
    """Return about how many inches a formula takes; wide enough rather than exact."""
    letters = re.sub(
        r"\\(?:mathrm|tilde|hat|bar|dot)\b|[{}^_\s]|\\,", "", re.sub(r"\\(?!mathrm|tilde|hat)[a-z]+", "ooo", latex)
    )
    return 0.115 * len(letters)
