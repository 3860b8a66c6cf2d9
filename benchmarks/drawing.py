"""How long pictures take: DOT of a 10,000-node unrolled graph, the folded SVG of a thousand steps, and memory.

    python benchmarks/drawing.py

Goals: the DOT in under 1 s, the folded SVG in under 2 s, both from a graph at hand; memory linear in nodes.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import tinyseq as ts
from tinyseq import nn
from tinyseq.drawing import draw, valued


class Tagger(nn.Module):
    """An LSTM and a head."""

    def __init__(self) -> None:
        self.lstm = nn.LSTM(16, 32)
        self.head = nn.Linear(32, 5)

    def forward(self, xs: ts.Tensor, targets: ts.Tensor) -> ts.Tensor:
        ys, _ = self.lstm(xs)
        return nn.cross_entropy(self.head(ys), targets)


def example(steps: int) -> tuple[ts.Tensor, ts.Tensor]:
    """Return an input of so many steps, and its targets."""
    return ts.randn(2, steps, 16), ts.tensor(np.zeros((2, steps), np.int64))


def seconds(work: Callable[[], Any], times: int = 5) -> float:
    """Return the median time of some calls."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def megabytes(work: Callable[[], Any]) -> float:
    """Return the peak of what a call allocates."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main() -> None:
    """Print the table."""
    model = Tagger()
    steps = 530
    unrolled = ts.trace(model, *example(steps)).unroll()
    long = ts.trace(model, *example(1000))
    eager = model(*example(1000))
    small = valued(model, *example(1000))
    plan = ts.compile(model)
    plan(*example(64))
    rows: list[tuple[str, Callable[[], Any]]] = [
        (f"DOT of {len(unrolled):,} nodes, unfolded", lambda: draw(unrolled, budget=None).dot),
        (f"SVG of {len(unrolled):,} nodes, unfolded", lambda: draw(unrolled, budget=None).svg),
        ("folded SVG, T = 1000, traced", lambda: draw(long).svg),
        ("folded SVG, T = 1000, eager", lambda: draw(eager).svg),
        ("folded SVG with gradients, T = 1000", lambda: draw(small, level="cell", gradients=True).svg),
        ("rolled SVG, T = 1000", lambda: draw(long, rolled=True).svg),
        ("model level SVG, T = 1000", lambda: draw(long, level="model").svg),
        ("SVG after the last pass", lambda: draw(plan).svg),
        ("SVG of the plan", lambda: draw(plan.plan).svg),
    ]
    print(f"{'':<46}{'seconds':>9}")
    for title, work in rows:
        print(f"{title:<46}{seconds(work, 3):>9.2f}", flush=True)
    print(f"\n{'memory of the unfolded picture':<46}{'nodes':>9}{'MB':>9}{'kB/node':>9}")
    for steps in (132, 265, 530):
        graph = ts.trace(model, *example(steps)).unroll()
        for title, work in (
            ("DOT", lambda graph=graph: draw(graph, budget=None).dot),
            ("SVG", lambda graph=graph: draw(graph, budget=None).svg),
        ):
            peak = megabytes(work)
            print(f"{title:<46}{len(graph):>9,}{peak:>9.1f}{1e3 * peak / len(graph):>9.2f}", flush=True)


if __name__ == "__main__":
    main()
