"""Steps a second of a run in shards on one and two ranks of one thread, beside one rank unsharded and PyTorch's DDP.

    python benchmarks/distributed.py [--seconds 10] [--rivals]

The model is an LSTM over (batch 64, time 100) of 128 inputs and 512 units, trained by SGD to predict one number. Two
ranks need two idle cores: what it prints holds the load of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

BATCH, TIME, INPUT, HIDDEN = 64, 100, 128, 512


def measured(step: Any, seconds: float, together: Any = lambda done: done) -> float:
    """Return steps a second, after three that compile and warm up; all ranks stop after the same step."""
    for _ in range(3):
        step()
    began, count = time.perf_counter(), 0
    while True:
        step()
        count += 1
        if together(time.perf_counter() - began > seconds):
            return count / (time.perf_counter() - began)


def ours(shards: int, seconds: float, backend: str) -> None:
    import tinyseq as ts
    from tinyseq import backends, nn
    from tinyseq.threads import blas_threads
    from tinyseq.train.config.run_config import TrainConfig
    from tinyseq.train.loop.progress import NoProgress
    from tinyseq.train.loop.ranks import join
    from tinyseq.train.loop.sharded_step import ShardedStep
    from tinyseq.train.loop.train_step import TrainStep
    from tinyseq.train.tasks.learning import Feed

    class Net(nn.Module):
        def __init__(self) -> None:
            self.recurrent = nn.LSTM(INPUT, HIDDEN)
            self.readout = nn.Linear(HIDDEN, 1)

    class Task:
        compilable = True

        def count(self, batch: Any) -> int:
            return len(batch[0])

        def rows(self, batch: Any, rows: slice) -> Any:
            return batch[0][rows], batch[1][rows]

        def feed(self, model: Any, batch: Any, state: Any) -> Feed:
            return Feed((ts.tensor(batch[0]), ts.tensor(batch[1])), len(batch[0]) * TIME)

        def loss(self, model: Any, *arguments: Any) -> Any:
            xs, targets = arguments
            ys, _ = model.recurrent(xs)
            return nn.squared_error(model.readout(ys[:, -1]), targets, reduction="mean"), None

    ranks = join()
    rng = np.random.default_rng(0)
    batch = rng.standard_normal((BATCH, TIME, INPUT), np.float32), rng.standard_normal((BATCH, 1), np.float32)
    config = TrainConfig.model_validate(
        {"batch_size": BATCH, "shards": shards, "optimizer": {"name": "sgd", "lr": 0.01}}
    )
    with backends.use(backend), blas_threads(1):
        ts.seed(0)
        task: Any = Task()
        model, progress = Net(), NoProgress()
        if shards == 1:
            step: Any = TrainStep(task, model, config, progress, compiled=True)
        else:
            step = ShardedStep(task, model, config, progress, compiled=True, ranks=ranks)
        rate = measured(lambda: step(batch, None).loss, seconds, lambda done: ranks.broadcast(b"%d" % done) == b"1")
        assert step.compiled
    if ranks.first:
        print(json.dumps({"rate": rate}))


def ddp(rank: int, world: int, seconds: float, store: str) -> None:
    """One rank of PyTorch's DistributedDataParallel, by gloo."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    torch.manual_seed(0)

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = torch.nn.LSTM(INPUT, HIDDEN, batch_first=True)
            self.readout = torch.nn.Linear(HIDDEN, 1)

        def forward(self, xs: Any) -> Any:
            return self.readout(self.recurrent(xs)[0][:, -1])

    model = torch.nn.parallel.DistributedDataParallel(Net())
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    xs, targets = torch.randn(BATCH // world, TIME, INPUT), torch.randn(BATCH // world, 1)

    def step() -> None:
        optimizer.zero_grad()
        ((model(xs) - targets) ** 2).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def together(done: bool) -> bool:
        flag = torch.tensor([float(done)])
        dist.broadcast(flag, 0)
        return bool(flag.item())

    rate = measured(step, seconds, together)
    if rank == 0:
        print(json.dumps({"rate": rate}))
    dist.destroy_process_group()


def call(command: list[str]) -> float:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TINYSEQ_NUM_THREADS": "1"}
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return float(json.loads(out.splitlines()[-1])["rate"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rivals", action="store_true", help="PyTorch's DDP too")
    parser.add_argument("--backend", default="llvm")
    parser.add_argument("--inner", nargs="*", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inner:
        kind, *rest = args.inner
        if kind == "ours":
            ours(int(rest[0]), args.seconds, args.backend)
        else:
            ddp(int(rest[0]), int(rest[1]), args.seconds, rest[2])
        return
    me = [sys.executable, __file__, "--seconds", str(args.seconds), "--backend", args.backend, "--inner"]
    beside = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(beside) if beside.exists() else "mpiexec"
    print(
        f"LSTM {BATCH},{TIME},{INPUT},{HIDDEN}; {args.backend}; load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
    )
    rates = {
        "one rank, unsharded": call([*me, "ours", "1"]),
        "one rank, 2 shards": call([*me, "ours", "2"]),
        "one rank, 4 shards": call([*me, "ours", "4"]),
        "two ranks, 2 shards": call([mpiexec, "-n", "2", *me, "ours", "2"]),
        "two ranks, 4 shards": call([mpiexec, "-n", "2", *me, "ours", "4"]),
    }
    if args.rivals:
        for world in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                commands = [[*me, "ddp", str(rank), str(world), f"{folder}/store"] for rank in range(world)]
                others = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands[1:]]
                rates[f"torch DDP, gloo, {world} rank(s)"] = call(commands[0])
                for other in others:
                    other.wait()
    for name, rate in rates.items():
        print(f"{name:<26}{rate:8.3f} steps/s  {rate / rates['one rank, unsharded']:6.2f}")


if __name__ == "__main__":
    main()
