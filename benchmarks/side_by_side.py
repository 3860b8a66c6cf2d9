"""Timing peers beside each other: in one process, in turn, again and again; minimum and median of each."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median

Step = Callable[[], float]
Times = dict[str, list[float]]


def interleaved(steps: Mapping[str, Step], repeats: int, calls: int = 1) -> Times:
    """Run every step in turn, ``calls`` times a turn, ``repeats`` times over; return the seconds of each call.

    What slows the machine down for a while so meets all of them. Garbage is collected before a turn.
    """
    times: Times = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            gc.collect()
            for _ in range(calls):
                start = time.perf_counter()
                step()
                times[name].append(time.perf_counter() - start)
    return times


def require_same(values: Mapping[str, float], ours: str = "tinyseq", tolerance: float = 1e-3) -> None:
    """Stop where a peer computes another number than ours."""
    for name, value in values.items():
        assert abs(value - values[ours]) < tolerance * abs(value), f"{name} computes {value}, {ours} {values[ours]}"


def print_table(
    title: str,
    times: Times,
    ours: str = "tinyseq",
    *,
    speedup: bool = False,
    asked: Mapping[str, float | None] | None = None,
) -> None:
    """Print minimum and median of each, and the ratio of ours to it (below 1: ours is ahead).

    With ``speedup`` the ratio is that of it to ours (above 1: ours is ahead), beside the one ``asked`` for.
    """
    width = max(18, *map(len, times))
    heads = ("theirs/ours", "by median") if speedup else ("ours/min", "ours/median")
    print(f"\n{title}")
    columns = f"{'min ms':>9}{'median ms':>11}{heads[0]:>13}{heads[1]:>13}{'asked' if asked else '':>8}"
    print(f"  {'':<{width}}{columns}".rstrip())
    for name, t in times.items():
        low, middle = ratios(times, ours, name) if speedup else ratios(times, name, ours)
        wanted = (asked or {}).get(name) or ""
        line = f"  {name:<{width}}{min(t) * 1e3:>9.2f}{median(t) * 1e3:>11.2f}{low:>13.2f}{middle:>13.2f}{wanted:>8}"
        print(line.rstrip(), flush=True)


def ratios(times: Times, peer: str, ours: str = "tinyseq") -> tuple[float, float]:
    """Return ours / the peer's: of the minima, and of the medians."""
    return min(times[ours]) / min(times[peer]), median(times[ours]) / median(times[peer])
