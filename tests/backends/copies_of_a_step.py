"""Prints the copies between host and device that a compiled training step makes, by the driver's own record.

PyTorch's profiler reads that record. Beside CuPy it now and then corrupts the heap when the process ends, so this is a
process of its own (`test_gpu.py` starts it), and one that ends at once.
"""

from __future__ import annotations

import json
import os
import warnings

import numpy as np
import torch
from test_dispatch_training import Model
from torch.profiler import ProfilerActivity, profile

import tinyseq as ts
from tinyseq import optim


def copies() -> list[str]:
    with ts.backend("cupy"):
        model = Model()
        optimizer = optim.Adam(model.parameters(), lr=1e-3)
        rng = np.random.default_rng(0)

        def move(ids: ts.Tensor, targets: ts.Tensor) -> ts.Tensor:
            loss = model(ids, targets)
            loss.backward()
            optim.clip_grad_norm(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            return loss

        moved = ts.compile(move)

        def step() -> float:
            ids, targets = (ts.tensor(rng.integers(0, 7, (3, 6))) for _ in range(2))
            return float(moved(ids, targets).item())

        for _ in range(3):
            step()
        activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
        with profile(activities=activities):
            step()  # what the profiler itself needs
        with profile(activities=activities) as found:
            step()
            torch.cuda.synchronize()
    return [event.name for event in found.events() if event.name.startswith("Memcpy")]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(copies()), flush=True)
    os._exit(0)
