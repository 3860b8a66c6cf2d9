"""What a model looks at, as maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinyseq.figures.style import TALLEST, WIDTH, framed, new_figure, sequential, styled, token

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class AttentionMap(NamedTuple):
    """Weights (written, read), each row summing to 1, with the tokens that were read and written."""

    read: list[str]
    written: list[str]
    weights: np.ndarray[Any, Any]


@styled
def attention_maps(maps: Sequence[AttentionMap], *, rows: str = "written", columns: str = "read") -> Figure:
    """Return a panel a sentence: what was read across, what was written downwards, darker is more weight.

    Args:
        maps: at least one.
        rows: what the rows are.
        columns: what the columns are.
    """
    most = max(float(one.weights.max()) for one in maps)
    steep = any(len(token(label)) > 2 for one in maps for label in one.read)
    longest = max(len(label) for one in maps for label in one.written)
    column, row = 0.2 if steep else 0.17, 0.17
    width = min(max(column * max(len(one.read) for one in maps) + 0.08 * longest + 1.4, 4.0), WIDTH)
    heights = [max(row * len(one.written), 0.3) for one in maps]
    around = (0.35 if steep else 0.0) + (0.45 if columns else 0.3)
    figure = new_figure(width, min(sum(heights) + around * len(maps), TALLEST))
    plots = figure.subplots(len(maps), 1, squeeze=False, height_ratios=heights)[:, 0]
    image: Any = None
    for plot, one in zip(plots, maps, strict=True):
        image = plot.imshow(one.weights, cmap=sequential(), vmin=0.0, vmax=most, aspect="auto", interpolation="nearest")
        plot.set_xticks(range(len(one.read)), [token(text) for text in one.read])
        plot.set_yticks(range(len(one.written)), [token(text) for text in one.written])
        if steep:
            plot.tick_params("x", labelrotation=90)
        plot.tick_params(length=0)
        framed(plot)
        plot.set_xlabel(columns)
        plot.set_ylabel(rows)
    figure.colorbar(image, ax=plots, label="attention", fraction=0.04, pad=0.02)
    return figure
