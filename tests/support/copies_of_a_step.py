"""Prints the copies between host and device that a compiled training step makes, by the driver's own record.

PyTorch's profiler reads that record. Beside CuPy it now and then corrupts the heap when the process ends, so this is a
process of its own (`test_gpu.py` starts it), and one that ends at once.
"""

from __future__ import annotations

import json
import os
import warnings

import torch
from torch.profiler import ProfilerActivity, profile

import tinyseq as ts
from support.device_training import training_step


def copies() -> list[str]:
    with ts.backend("cupy"):
        step = training_step("compiled step")
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
