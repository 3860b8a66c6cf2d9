"""States and gates over time, the words under the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinyseq.figures.style import TALLEST, WIDTH, diverging, literal, new_figure, sequential, styled, token

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
#: Inches that a column needs at 8 points: of upright letters, and of words that stand on end.
_LETTER, _WORD = 0.105, 0.15
#: Words under the columns, where they are times and not each of them counts.
_TIMES = 10


class Track(NamedTuple):
    """A cell's values: (time, units) by label, the range of each where it is known, and a name."""

    name: str
    values: Mapping[str, Array]
    ranges: Mapping[str, tuple[float, float]] = {}


@styled
def activations(tracks: Sequence[Track], tokens: Sequence[str], title: str = "", *, times: bool = False) -> Figure:
    """Return heat maps over time, a row a label, a column of panels a cell, with the tokens under the time steps.

    Values between 0 and 1 (gates) run from white to dark blue, others from blue through white to orange. Where tokens
    would not fit at 8 points, the first that do are shown, and the heading says so; ``times`` labels only some.

    Args:
        tracks: cells side by side, such as the two directions of a layer.
        tokens: one a time step.
        title: the heading.
        times: whether the tokens are times, or numbers of steps.
    """
    labels = list(dict.fromkeys(label for track in tracks for label in track.values))
    room = (WIDTH - 0.7) / len(tracks) - 0.75
    upright = all(len(token(text)) == 1 for text in tokens)
    fit = len(tokens) if times else min(len(tokens), int(room / (_LETTER if upright else _WORD)))
    if fit < len(tokens):
        title = f"{title}\n(the first {fit} of {len(tokens)} steps)".strip()
    each = max(min((TALLEST - 1.5) / len(labels), 1.1), 0.5)
    figure = new_figure(height=each * len(labels) + (1.0 if upright or times else 1.5))
    plots = figure.subplots(len(labels), len(tracks), squeeze=False, sharex="col")
    for column, track in enumerate(tracks):
        for row, label in enumerate(labels):
            plot = plots[row, column]
            if label not in track.values:
                plot.axis("off")
                continue
            values = track.values[label][:fit]
            image = _panel(plot, values, track.ranges.get(label))
            bar = figure.colorbar(image, ax=plot, pad=0.02, aspect=8, ticks=[image.norm.vmin, image.norm.vmax])
            bar.ax.set_yticklabels([f"{image.norm.vmin:.2g}", f"{image.norm.vmax:.2g}"])
            bar.outline.set_visible(False)
            plot.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=11)
        _name_steps(plots[:, column], tokens[:fit], upright=upright, times=times)
        if track.name:
            plots[0, column].set_title(literal(track.name, 40))
    figure.suptitle(literal(title, 200))
    return figure


def _panel(plot: Any, values: Array, bounds: tuple[float, float] | None) -> Any:
    """Draw (time, units) with time across."""
    if bounds is None:
        finite = np.abs(values[np.isfinite(values)])
        most = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
        bounds = (-most, most)
    cmap = diverging() if bounds[0] < 0 else sequential()
    plot.set_yticks([])
    plot.tick_params(length=0)
    plot.spines[:].set_visible(False)
    return plot.imshow(values.T, cmap=cmap, vmin=bounds[0], vmax=bounds[1], aspect="auto", interpolation="nearest")


def _name_steps(plots: Any, tokens: Sequence[str], *, upright: bool, times: bool) -> None:
    """Write the tokens under the lowest panel that is there."""
    plot = next(plot for plot in plots[::-1] if plot.axison)
    places = range(len(tokens))
    if times:
        places = np.unique(np.linspace(0, len(tokens) - 1, min(_TIMES, len(tokens))).round().astype(int))  # type: ignore[assignment]
    plot.set_xticks(list(places), [token(tokens[i]) for i in places])
    plot.tick_params("x", labelrotation=0 if upright or times else 90, labelbottom=True)
