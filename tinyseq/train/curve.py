"""The learning curve as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyseq.train.tasks.base import Measure

#: Okabe and Ito's palette, told apart with any colour vision; shapes and dashes say the same again.
_TRAIN, _VALID, _TEST = "#56B4E9", "#0072B2", "#D55E00"
_BASELINES = ("#666666", "#009E73", "#CC79A7", "#E69F00")
_DASHES = ((6, 3), (2, 2), (8, 2, 2, 2), (1, 3))


def draw_curve(
    rows: Sequence[Mapping[str, Any]],
    measure: Measure,
    baselines: Mapping[str, Mapping[str, float]],
    test: tuple[int, float] | None,
    title: str,
    path: Path,
) -> None:
    """Write a PNG: the measure over steps on training and validation, baselines as dashed lines, the test as a star.

    Args:
        rows: what the loop recorded.
        measure: the number on the upright axis.
        baselines: metrics by name.
        test: the step of the weights that were tested, and their result.
        title: the heading.
        path: where to.
    """
    # No pyplot: it would keep global state, and look for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    key = measure.key
    points = {
        split: [(row["step"], row[key]) for row in rows if row["split"] == split and key in row]
        for split in ("train", "valid")
    }
    if points["train"]:
        axes.plot(*zip(*points["train"], strict=True), color=_TRAIN, linewidth=1.2, label="training")
    if points["valid"]:
        axes.plot(
            *zip(*points["valid"], strict=True), color=_VALID, linewidth=2, marker="o", markersize=4, label="validation"
        )
    heights = [value for pairs in points.values() for _, value in pairs]
    for i, (name, metrics) in enumerate(baselines.items()):
        if key in metrics:
            heights.append(metrics[key])
            axes.axhline(
                metrics[key],
                color=_BASELINES[i % len(_BASELINES)],
                linewidth=1.5,
                dashes=_DASHES[i % len(_DASHES)],
                label=f"{name}, test: {metrics[key]:.2f}",
            )
    if test is not None:
        axes.plot(
            *test, color=_TEST, marker="*", markersize=14, linestyle="none", label=f"test: {test[1]:.2f}", zorder=5
        )
        heights.append(test[1])
    axes.set_xlabel("step")
    axes.set_ylabel(f"{measure.label} ({'lower' if measure.lower_is_better else 'higher'} is better)")
    axes.set_title(title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.margins(x=0.02)
    if heights:
        low, high = min(heights), max(heights)
        margin = 0.05 * (high - low) or 0.1
        axes.set_ylim(low - margin, high + margin)
        axes.legend(frameon=False)
    figure.savefig(path)
