"""Timing peers beside each other: in one process, in turn, again and again; minimum and median of each."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median

Step = Callable[[], float]
Times = dict[str, list[float]]


def interleaved(steps: Mapping[str, Step], repeats: int) -> Times:
    """Run every step once, in turn, ``repeats`` times over; return the seconds of each run.

    What slows the machine down for a while so meets all of them. Garbage is collected before a run, not during.
    """
    times: Times = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            gc.collect()
            start = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - start)
    return times


def require_same(values: Mapping[str, float], ours: str = "tinyseq", tolerance: float = 1e-3) -> None:
    """Stop where a peer computes another number than ours."""
    for name, value in values.items():
        assert abs(value - values[ours]) < tolerance * abs(value), f"{name} computes {value}, {ours} {values[ours]}"


def print_table(title: str, times: Times, ours: str = "tinyseq") -> None:
    """Print minimum and median of each, and the ratio of ours to it (below 1: ours is ahead)."""
    width = max(16, *map(len, times))
    print(f"\n{title}")
    print(f"  {'':<{width}}{'min ms':>9}{'median ms':>11}{'ours/min':>10}{'ours/median':>13}")
    for name, t in times.items():
        low, middle = ratios(times, name, ours)
        print(f"  {name:<{width}}{min(t) * 1e3:>9.2f}{median(t) * 1e3:>11.2f}{low:>10.2f}{middle:>13.2f}")


def ratios(times: Times, peer: str, ours: str = "tinyseq") -> tuple[float, float]:
    """Return ours / the peer's: of the minima, and of the medians."""
    return min(times[ours]) / min(times[peer]), median(times[ours]) / median(times[peer])
