"""A soak: one small run, stopped and gone on with at random, its memory, descriptors and threads watched.

    python benchmarks/soak.py [--steps 200000] [--seconds 28800] [--longest 8000] [--backend numpy] [--seed 0]

The run evaluates every 250 steps and writes a checkpoint every 100. It goes on in this process, ``ts.run`` after
``ts.run``, each stopped by an interrupt after a random stretch of steps, until all steps are made or the time is over.
A JSON line a stretch: steps, the resident set in MiB, descriptors, threads, mappings. The last line tells how far each
of them moved from the first quarter of the soak to its end, and whether the steps are as many as the run's rows say.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import resource
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import tinyseq as ts
from tinyseq.train.loop.progress import SilentProgress

CONFIG = {
    "task": "language_model",
    "name": "soak",
    "model": {"hidden_size": 16, "embedding_size": 8, "dropout": 0.1},
    "train": {
        "batch_size": 4,
        "bptt": {"every": 8},
        "evaluate_every": 250,
        "log_every": 10,
        "checkpoint": {"every": 100, "keep": 2},
    },
    "sample": {"count": 0},
}


class Reached(KeyboardInterrupt):
    """The end of a stretch; a real Ctrl-C ends the soak."""


class Stopping(SilentProgress):
    """Interrupts the run at a step, as Ctrl-C does; the run saves, and raises again."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.reached = at, 0

    def step(self, step: int, metrics: Mapping[str, float], rate: float) -> None:
        self.reached = step
        if step >= self.at:
            raise Reached

    def note(self, message: str) -> None: ...


def state() -> dict[str, float]:
    """Return what must not grow; free memory is handed back first, where the C library does so on demand."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    mappings = Path("/proc/self/maps").read_text().count("\n")
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return {
        "mebibytes": round(resident / 2**20, 1),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "mappings": mappings,
    }


def soak(steps: int, seconds: float, longest: int, backend: str, seed: int, output: Path) -> None:
    """Run, stop and go on until all steps are made or the time is over."""
    chance, began, done, seen = random.Random(seed), time.monotonic(), 0, []
    while done < steps and time.monotonic() - began < seconds:
        progress = Stopping(done + chance.randint(50, longest))
        with suppress(Reached):
            ts.run({**CONFIG, "backend": backend}, steps=steps, output=output, resume=True, progress=progress)
        done = progress.reached
        seen.append({"steps": done, "seconds": round(time.monotonic() - began), **state()})
        print(json.dumps(seen[-1]), flush=True)
    quarter, last = seen[len(seen) // 4], seen[-1]
    rows = [json.loads(line) for line in (output / "soak" / "0001" / "metrics.jsonl").read_text().splitlines()]
    counted = [row["step"] for row in rows if row["split"] == "train"]
    print(
        json.dumps(
            {
                "stretches": len(seen),
                "steps": last["steps"],
                "moved": {key: round(last[key] - quarter[key], 1) for key in state()},
                "rows_in_order": counted == sorted(set(counted)),
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=28_800)
    parser.add_argument("--longest", type=int, default=8000, help="steps of a stretch")
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak(asked.steps, asked.seconds, asked.longest, asked.backend, asked.seed, Path(folder))
