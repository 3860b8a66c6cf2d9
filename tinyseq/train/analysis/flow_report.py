"""The flow of gradients in words, for several models side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyseq.figures.flow import short
from tinyseq.train.analysis.gradflow import Flow

Array = np.ndarray[Any, Any]


def factor_per_step(jacobians: Array) -> float:
    """Return what a gradient is multiplied by at each step back, on average, from the largest finite lag."""
    norms = jacobians[::-1]
    lags = np.flatnonzero(np.isfinite(norms) & (norms > 0.0))
    if not len(lags) or lags[-1] == 0:
        return math.nan
    return math.exp(math.log(norms[lags[-1]]) / lags[-1])


def verdict(jacobians: Array) -> str:
    """Return in words what becomes of a gradient: after how many steps back it has halved, or doubled."""
    rate = factor_per_step(jacobians)
    if len(jacobians) == 1:
        return "has one step only"
    if math.isnan(rate):
        return "does not depend"
    steps = math.inf if rate == 1.0 else abs(math.log(2.0) / math.log(rate))
    return "is kept" if steps > 10 * len(jacobians) else f"{'halves' if rate < 1.0 else 'doubles'} in {steps:.1f} steps"


def flow_table(flows: Sequence[Flow], steps: int) -> str:
    """Return a table: a row a state, with norms at some steps and lags, and what they amount to.

    A state with other steps than ``steps`` (of a decoder, of words' letters) is told at its own first, middle and last.
    """
    middle = steps // 2
    head = ["state", *(f"dL/ds_{t}" for t in (0, middle, steps - 1)), *(f"lag {k}" for k in (1, middle, steps - 1))]
    rows = [[*head, "a step", "a gradient"]]
    for flow in flows:
        for label, norms in flow.gradients.items():
            jacobians = flow.jacobians[label]
            lags = jacobians[::-1]
            values = [
                *(norms[i] for i in (0, len(norms) // 2, -1)),
                lags[min(1, len(lags) - 1)],
                lags[len(lags) // 2],
                lags[-1],
            ]
            words = [f"{value:.1e}" for value in values]
            rate = f"{factor_per_step(jacobians):.3f}"
            rows.append([f"{flow.label}: {short(label, flow.gradients)}", *words, rate, verdict(jacobians)])
    return aligned(rows)


def bias_table(flows: Sequence[Flow]) -> str:
    """Return a table: two rows a model, cosine and norm ratio of the truncated gradient, a column a k."""
    rows = [["", *(f"k={row.steps}" for row in flows[0].bias)]]
    for flow in flows:
        rows.append([f"{flow.label}: cosine", *(f"{row.cosine:.3f}" for row in flow.bias)])
        rows.append([f"{flow.label}: norm ratio", *(f"{row.norm_ratio:.3g}" for row in flow.bias)])
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines, the first column flush left, the others flush right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
