"""What surviving costs: a checkpoint of 10 million parameters, the check for numbers that are not finite, and memory.

    python benchmarks/checkpoint.py [--only checkpoint] [--steps 10000]

Prints, as JSON lines:
- ``checkpoint``: a model of 10 M parameters with Adam. ``path``: how long the training path is held up (copies);
  ``written``: until the file, 30 M numbers, is on the disk (digest, write, flush, rename); ``read``: back, checked,
  and ``read_against_file_and_sha256`` how many times as long as the bytes alone and one SHA-256 of them take.
- ``finite``: the share of a training step that the check for finite numbers takes, and that being able to rewind takes,
  for a small and for a usual language model, compiled.
- ``memory``: the resident set after each tenth of a long run, in MiB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tinyseq as ts
from tinyseq import nn, optim
from tinyseq.optim.schedules import Constant
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.train_state import TrainState
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.running import prepared
from tinyseq.train.storage import checkpoint_file
from tinyseq.train.storage.checkpoint_manager import CheckpointConfig, CheckpointManager, Checkpoints


def tell(kind: str, **facts: object) -> None:
    print(json.dumps({kind: facts}), flush=True)


def measure_checkpoint() -> None:
    model = nn.LSTM(1024, 1024)
    model.more = nn.Linear(1024, 1600)
    optimizer = optim.Adam(model.parameters())
    train_state = TrainState(model, optimizer, optim.Scheduler(optimizer, Constant()))
    path, written, read, bare = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        place = Checkpoints(Path(folder) / "checkpoints")
        manager = CheckpointManager(place, CheckpointConfig(), print)
        for step in range(1, 9):
            train_state.step = step
            began = time.perf_counter()
            manager.save(train_state.capture())
            path.append(time.perf_counter() - began)
            manager.finish()
            written.append(time.perf_counter() - began)
            began = time.perf_counter()
            checkpoint_file.read(place.path(step))
            read.append(time.perf_counter() - began)
            began = time.perf_counter()
            hashlib.sha256(place.path(step).read_bytes()).hexdigest()
            bare.append(time.perf_counter() - began)
        size = place.path(8).stat().st_size
    tell(
        "checkpoint",
        parameters=model.num_parameters(),
        megabytes=round(size / 1e6),
        path_seconds=[round(seconds, 3) for seconds in path],
        written_seconds=[round(seconds, 3) for seconds in written],
        read_seconds=[round(seconds, 3) for seconds in read],
        read_against_file_and_sha256=round(statistics.median(read) / statistics.median(bare), 2),
    )


def timed(work: Callable[[], object], count: int) -> float:
    times = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


class Unchecked(TrainStep):
    """Moves the weights without looking at the gradients' norm."""

    def _clip(self) -> ts.Tensor:
        return ts.tensor(0.0)


def measure_check() -> None:
    for name, size, batch, every in (("small", 32, 8, 16), ("usual", 128, 32, 64)):
        config = parse_config(
            {
                "task": "language_model",
                "model": {"hidden_size": size},
                # Where gradients are clipped their norm is there anyway; here it is all that the check adds.
                "train": {"batch_size": batch, "bptt": {"every": every}, "clip_norm": None},
            }
        )
        with prepared(config) as (task, model), np.errstate(all="ignore"):
            made = [kind(task, model, config.train, SilentProgress(), compiled=True) for kind in (TrainStep, Unchecked)]
            batches = task.batches()
            first = next(batches)
            state = [train_step(first, None) for train_step in made][0].state  # noqa: RUF015  (both are to compile now)
            times: list[list[float]] = [[], []]
            for turn in range(600 if name == "small" else 160):  # in turn, so that both meet the same machine
                batch_ = next(batches)
                for train_step, taken in list(zip(made, times, strict=True))[:: 1 if turn % 2 else -1]:
                    began = time.perf_counter()
                    found = train_step(batch_, state)
                    taken.append(time.perf_counter() - began)
            checked, unchecked = (statistics.quantiles(taken, n=10)[0] for taken in times)
            nonfinite = timed(lambda found=found: found.nonfinite, 200)
            remember = timed(made[0]._before, 200)
        tell(
            "finite",
            model=name,
            parameters=model.num_parameters(),
            step_ms=round(checked * 1e3, 2),
            check_percent_without_clipping=round(100 * (checked - unchecked + nonfinite) / unchecked, 2),
            check_percent_with_clipping=round(100 * nonfinite / checked, 3),
            rewind_percent=round(100 * remember / checked, 2),
        )


def measure_memory(steps: int) -> None:
    config = {
        "task": "language_model",
        "model": {"hidden_size": 16, "embedding_size": 8, "dropout": 0.1},
        "train": {"steps": steps, "batch_size": 4, "bptt": {"every": 8}, "evaluate_every": steps // 10},
        "sample": {"count": 0},
    }
    sizes: list[float] = []

    class Watching(SilentProgress):
        def evaluated(self, step: int, metrics: object, best: bool) -> None:
            with open("/proc/self/statm") as file:
                sizes.append(round(int(file.read().split()[1]) * resource.getpagesize() / 2**20, 1))

    with tempfile.TemporaryDirectory() as folder:
        ts.run(config, output=folder, progress=Watching())
    tell("memory", steps=steps, mebibytes=sizes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=["checkpoint", "finite", "memory"])
    parser.add_argument("--steps", type=int, default=10_000)
    asked = parser.parse_args()
    kinds = {"checkpoint": measure_checkpoint, "finite": measure_check, "memory": lambda: measure_memory(asked.steps)}
    for kind, measure in kinds.items():
        if asked.only in (None, kind):
            measure()
