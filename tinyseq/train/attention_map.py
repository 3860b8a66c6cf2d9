"""What a writer looks at while it writes, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class AttentionMap(NamedTuple):
    """Weights (written, read), each row summing to 1, with the tokens that were read and written."""

    read: list[str]
    written: list[str]
    weights: np.ndarray[Any, Any]


def draw_attention(maps: Sequence[AttentionMap], path: Path) -> None:
    """Write a PNG: one panel a sentence, what was written downwards, what was read across, darker is more weight."""
    # No pyplot: it would keep global state, and look for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [max(0.28 * len(one.written), 1.2) + 1.0 for one in maps]
    width = max(0.28 * max(len(one.read) for one in maps) + 2.0, 4.0)
    figure = Figure(figsize=(min(width, 24), min(sum(heights), 24)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, one in zip(figure.subplots(len(maps), 1, squeeze=False)[:, 0], maps, strict=True):
        image = axes.imshow(one.weights, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
        axes.set_xticks(range(len(one.read)), [_shown(token) for token in one.read])
        axes.set_yticks(range(len(one.written)), [_shown(token) for token in one.written])
        if any(len(token) > 2 for token in one.read[:-1]):
            axes.tick_params("x", labelrotation=60)
        axes.set_xlabel("read")
        axes.set_ylabel("written")
        figure.colorbar(image, ax=axes, label="attention")
    figure.savefig(path)


def _shown(token: str) -> str:
    """Return a label: a space would be invisible, and a dollar sign starts a formula."""
    return {" ": "␣", "\n": "↵"}.get(token, token).replace("$", r"\$")
