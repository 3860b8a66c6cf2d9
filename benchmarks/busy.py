"""How busy `tinyseq run` keeps a GPU: `python benchmarks/busy.py`. Needs PyTorch with CUDA, and CuPy.

Trains the language model of `examples/lstm.yaml` at another size, all in this process, as `tinyseq run` does: rows,
evaluations and checkpoints included. Printed for one period of evaluations, after two that warm up:
- the busy share: how much of the wall time some kernel or copy ran on the device, by CUPTI through PyTorch's profiler,
  which sees the kernels inside CUDA graphs;
- how much of the time that copies to the device took something else ran as well;
- without the profiler, in the next period: milliseconds a step with the evaluation, and between evaluations.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from gpu import keep

import tinyseq as ts
from tinyseq.train.loop.progress import SilentProgress

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "lstm.yaml"
RESULTS = Path(__file__).resolve().parent / "results" / "busy.json"
#: Steps between evaluations, between rows, and the rows after an evaluation where a window begins.
PERIOD, ROW = 150, 10
PROFILED = (2 * PERIOD + ROW, 3 * PERIOD + ROW)
TIMED = (3 * PERIOD + 2 * ROW, 4 * PERIOD + 2 * ROW)
BETWEEN = (TIMED[0], 4 * PERIOD - ROW)
#: Kinds of device activity that are told.
TOLD = 12


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of intervals."""
    total, last = 0.0, -np.inf
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, last))
        last = max(last, end)
    return total


class Watch(SilentProgress):
    """Measures between two rows of the run, each time with an idle device at both ends."""

    def __init__(self, torch: Any) -> None:
        super().__init__()
        self.torch, self.profiler = torch, None
        self.found: dict[str, Any] = {}
        self.at: dict[int, float] = {}

    def now(self) -> float:
        self.torch.cuda.synchronize()
        return time.perf_counter()

    def profile(self) -> Any:
        from torch.profiler import ProfilerActivity, profile

        return profile(activities=[ProfilerActivity.CUDA])

    def step(self, step: int, *_: Any) -> None:
        if step == ROW:
            with self.profile():  # CUPTI is slow to start the first time
                self.now()
        if step == PROFILED[0]:
            self.now()
            self.profiler = self.profile()
            self.profiler.__enter__()
        if step in (*PROFILED, *TIMED, *BETWEEN):
            self.at[step] = self.now()
        if step == PROFILED[1]:
            self.profiler.__exit__(None, None, None)
            self.account(self.profiler.events(), self.milliseconds(PROFILED))
        if step == TIMED[1]:
            self.found["milliseconds_a_step"] = self.milliseconds(TIMED)
            self.found["milliseconds_between_evaluations"] = self.milliseconds(BETWEEN)

    def milliseconds(self, window: tuple[int, int]) -> float:
        """Return how long a step of a window took."""
        begin, end = window
        return (self.at[end] - self.at[begin]) / (end - begin) * 1e3

    def account(self, events: Iterable[Any], wall: float) -> None:
        """Note what the profiler saw of the device, a step each; ``wall`` milliseconds is how long a step took."""
        steps = PROFILED[1] - PROFILED[0]
        spans: dict[str, list[tuple[float, float]]] = {}
        for event in events:
            if event.device_type == self.torch.autograd.DeviceType.CUDA:
                spans.setdefault(event.name, []).append((event.time_range.start / 1e3, event.time_range.end / 1e3))
        busy = covered(span for found in spans.values() for span in found) / steps
        copies = [span for name, found in spans.items() if "HtoD" in name for span in found]
        others = [span for name, found in spans.items() if "HtoD" not in name for span in found]
        beside = covered(others) + covered(copies) - covered([*others, *copies])
        kinds = {name: (len(found) / steps, sum(e - b for b, e in found) / steps) for name, found in spans.items()}
        self.found |= {
            "busy_share": busy / wall,
            "busy_milliseconds_a_step": busy,
            "profiled_milliseconds_a_step": wall,
            "copies_beside_others": beside / max(covered(copies), 1e-9),
            "activities_a_step": sum(count for count, _ in kinds.values()),
            "largest": dict(sorted(kinds.items(), key=lambda kind: -kind[1][1])[:TOLD]),
        }


def measure(torch: Any, backend: str, hidden: int, batch: int, steps: int) -> dict[str, Any]:
    watch = Watch(torch)
    sizes = {
        "model.hidden_size": hidden,
        "train.batch_size": batch,
        "train.bptt.every": steps,
        "train.bptt.back": steps,
    }
    periods = {"train.evaluate_every": PERIOD, "train.log_every": ROW, "train.steps": TIMED[1]}
    with tempfile.TemporaryDirectory() as folder:
        ts.run(
            EXAMPLE,
            overrides={**sizes, **periods, "sample.count": 0},
            backend=backend,
            output=folder,
            progress=watch,
        )
    return {"hidden": hidden, "batch": batch, "steps": steps, **watch.found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, nargs="*", default=[512], help="features of the state")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100, help="time steps of a batch")
    parser.add_argument("--write", action="store_true", help=f"leave the numbers in {RESULTS.name}")
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no GPU: install its CUDA wheel")
    torch.zeros(1, device="cuda")
    rows = []
    for hidden in options.hidden:
        row = measure(torch, "cupy", hidden, options.batch, options.steps)
        rows.append(row)
        print(
            f"H={hidden} B={options.batch} T={options.steps}: busy {row['busy_share']:.1%}, evaluations included "
            f"({row['busy_milliseconds_a_step']:.2f} of {row['profiled_milliseconds_a_step']:.2f} ms a step, "
            f"{row['activities_a_step']:.0f} activities), {row['copies_beside_others']:.0%} of the copies "
            f"to the device beside other work; without the profiler {row['milliseconds_a_step']:.2f} ms "
            f"a step, {row['milliseconds_between_evaluations']:.2f} between evaluations"
        )
        for name, (count, taken) in row["largest"].items():
            print(f"  {name[:70]:70s} {count:8.1f} a step {taken:8.3f} ms a step")
    if options.write:
        keep(RESULTS, torch, {"rows": rows})


if __name__ == "__main__":
    main()
