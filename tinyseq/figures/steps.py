"""States and gates over time, the words under the columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinyseq.figures.style import TALLEST, WIDTH, diverging, framed, literal, new_figure, sequential, styled, token

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]
#: Inches that a column needs at 8 points: of upright letters, and of words that stand on end.
_LETTER, _WORD = 0.105, 0.15
#: Up to so many panels go one above the other.
_STACKED = 12
#: Up to so many units have their numbers beside them.
_NUMBERED = 6
#: Words under the columns, where they are times and not each of them counts.
_TIMES = 10


class Track(NamedTuple):
    """A cell's values: (time, units) by label, the range of each where it is known, and a name."""

    name: str
    values: Mapping[str, Array]
    ranges: Mapping[str, tuple[float, float]] = {}


@styled
def activations(
    tracks: Sequence[Track], tokens: Sequence[str], title: str = "", *, times: bool = False, units: int | None = None
) -> Figure:
    """Return heat maps over time, a row a label, a column of panels a cell, with the tokens under the time steps.

    What is never negative (gates) runs from white to dark blue, other values from blue through white to orange. Tokens
    that do not fit at 8 points are left out with their steps, and the heading says so; ``times`` labels only some.

    Args:
        tracks: cells side by side, such as the two directions of a layer.
        tokens: one a time step.
        title: the heading.
        times: whether the tokens are times, or numbers of steps.
        units: show only so many units, those whose state (the last label) varies most; all by default.
    """
    upright = all(len(token(text)) == 1 for text in tokens)
    column = _LETTER if upright else _WORD
    beside = int(((WIDTH - 0.7) / len(tracks) - 0.75) / column)
    rows = sum(len(track.values) for track in tracks)
    # Side by side, unless the steps do not fit so, and the panels do one above the other.
    stacked = not times and len(tokens) > beside and len(tracks) > 1 and rows <= _STACKED
    columns = [tracks] if stacked else [[track] for track in tracks]
    fit = len(tokens) if times else min(len(tokens), int(((WIDTH - 0.7) / len(columns) - 0.75) / column))
    if fit < len(tokens):
        title = f"{title}\n(the first {fit} of {len(tokens)} steps)".strip()
    count = max(sum(len(track.values) for track in group) for group in columns)
    each = max(min((TALLEST - 1.5) / count, 1.1), 0.5)
    figure = new_figure(height=min(each * count + (1.0 if upright or times else 1.5), TALLEST))
    grid = figure.subplots(count, len(columns), squeeze=False, sharex="col")
    for place, group in enumerate(columns):
        plots = iter(grid[:, place])
        for track in group:
            chosen = _varying(track, units)
            for row, (label, values) in enumerate(track.values.items()):
                plot = next(plots)
                kept = chosen if chosen is not None and values.shape[1] > chosen.max() else np.arange(values.shape[1])
                _panel(figure, plot, label, values[:fit, kept], track.ranges.get(label))
                if kept is chosen and len(chosen) <= _NUMBERED:
                    plot.set_yticks(range(len(chosen)), map(str, chosen))
                if row == 0 and track.name:
                    plot.set_title(literal(track.name, 40))
        for plot in plots:
            plot.axis("off")
        _name_steps(grid[:, place], tokens[:fit], upright=upright, times=times)
    figure.suptitle(literal(title, 200))
    return figure


def _varying(track: Track, units: int | None) -> Array | None:
    """Return which units vary most in the last label's values, in their order; None for all."""
    last = [*track.values.values()][-1]
    if units is None or units >= last.shape[1]:
        return None
    return np.sort(np.argsort(-last.std(0), kind="stable")[:units])


def _panel(figure: Any, plot: Any, label: str, values: Array, bounds: tuple[float, float] | None) -> None:
    """Draw (time, units) with time across, and its scale beside it."""
    if bounds is None:
        finite = np.abs(values[np.isfinite(values)])
        most = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
        bounds = (0.0 if finite.size and values.min() >= 0 else -most, most)
    cmap = diverging() if bounds[0] < 0 else sequential()
    image = plot.imshow(values.T, cmap=cmap, vmin=bounds[0], vmax=bounds[1], aspect="auto", interpolation="nearest")
    plot.set_yticks([])
    plot.tick_params(length=0)
    framed(plot)
    plot.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=11, labelpad=8)
    bar = figure.colorbar(image, ax=plot, pad=0.02, aspect=8, ticks=list(bounds))
    bar.ax.set_yticklabels([f"{bound:.2g}" for bound in bounds])
    bar.outline.set_visible(False)


def _name_steps(plots: Any, tokens: Sequence[str], *, upright: bool, times: bool) -> None:
    """Write the tokens under the lowest panel that is there."""
    plot = next(plot for plot in plots[::-1] if plot.axison)
    places = range(len(tokens))
    if times:
        places = np.unique(np.linspace(0, len(tokens) - 1, min(_TIMES, len(tokens))).round().astype(int))  # type: ignore[assignment]
    plot.set_xticks(list(places), [token(tokens[i]) for i in places])
    plot.tick_params("x", labelrotation=0 if upright or times else 90, labelbottom=True)
