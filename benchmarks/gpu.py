"""The compiled textbook LSTM on a GPU against cuDNN: `python benchmarks/gpu.py`. Needs PyTorch with CUDA, and CuPy.

Forward and backward, T = 100, one process, CUDA events, warm, medians, ours and theirs in turn, at equal precision.
cuDNN is measured twice: as `nn.LSTM` is called, and captured into a CUDA graph, which takes PyTorch's own time away.
Printed beside the ratios: how the loops run, launches, bytes that a run moves, the share of the roofline, and the time
that capturing the graphs took.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinyseq as ts
from tinyseq import nn

#: (batch, inputs, hidden), T = 100; and the ratio of cuDNN's time to ours that is aimed at.
CASES = [
    (64, 64, 64, 0.8),
    (64, 128, 128, 0.8),
    (64, 256, 256, 0.8),
    (64, 512, 512, 0.8),
    (64, 1024, 1024, 0.8),
    (1, 128, 128, 0.8),
]
STEPS = 100
RESULTS = Path(__file__).resolve().parent / "results" / "gpu.json"


def milliseconds(torch: Any, turns: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Return the median time of each, measured in turn on PyTorch's default stream, which is CuPy's too."""
    times: dict[str, list[float]] = {name: [] for name in turns}
    for turn in range(repeats + 5):
        for name, run in turns.items():
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            begin.record()
            run()
            end.record()
            torch.cuda.synchronize()
            if turn >= 5:
                times[name].append(begin.elapsed_time(end))
    return {name: statistics.median(found) for name, found in times.items()}


def ceilings(torch: Any) -> dict[str, float]:
    """Return what the device reaches: bytes a second of a large copy, operations a second of a large product."""
    source = torch.randn(1 << 28, device="cuda")
    target = torch.empty_like(source)
    square = torch.randn(8192, 8192, device="cuda")
    found = {}

    def multiply(tf32: bool) -> Callable[[], None]:
        def run() -> None:
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.mm(square, square)

        return run

    runs = {"copy": lambda: target.copy_(source), "fp32": multiply(False), "tf32": multiply(True)}
    times = milliseconds(torch, runs, 10)
    found["bytes"] = 2 * source.numel() * source.element_size() / times["copy"] * 1e3
    return found | {key: 2 * 8192**3 / times[key] * 1e3 for key in ("fp32", "tf32")}


def textbook(torch: Any, batch: int, inputs: int, hidden: int) -> Callable[[], None]:
    """The four gates on [h, x], as the textbook writes them, in PyTorch's eager mode."""
    weights = [torch.randn(hidden + inputs, hidden, device="cuda") * 0.05 for _ in range(4)]
    biases = [torch.zeros(hidden, device="cuda") for _ in range(4)]
    for p in (*weights, *biases):
        p.requires_grad_()
    xs = torch.randn(STEPS, batch, inputs, device="cuda")

    def run() -> None:
        h = c = torch.zeros(batch, hidden, device="cuda")
        total = 0.0
        for x in xs:
            z = torch.cat([h, x], -1)
            f, i, g, o = (z @ w + b for w, b in zip(weights, biases, strict=True))
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            total = total + h.sum()
        total.backward()

    return run


def captured(torch: Any, run: Callable[[], None]) -> Callable[[], None]:
    """Capture a run into a CUDA graph, as PyTorch's documentation says: warm up on another stream first."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def measure(
    torch: Any, batch: int, inputs: int, hidden: int, precision: str, repeats: int, peak: dict[str, float]
) -> dict[str, Any]:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    layer = torch.nn.LSTM(inputs, hidden).cuda()
    xs = torch.randn(STEPS, batch, inputs, device="cuda")

    def theirs() -> None:
        layer(xs)[0].sum().backward()

    # Gradients of a graph lie where they lay when it was captured.
    replayed = captured(torch, theirs)

    with ts.backend("cupy", precision=precision):
        cell = nn.LSTMCell(inputs, hidden)
        fast = ts.compile(lambda x: ts.unroll(cell, x)[0].sum())
        own = ts.tensor(np.random.default_rng(0).normal(size=(batch, STEPS, inputs)), dtype=np.float32)

        def ours() -> None:
            fast(own).backward()
            for p in cell.parameters():
                p.grad = None

        turns = {"ours": ours, "cudnn": theirs, "cudnn_graph": replayed}
        found = milliseconds(torch, turns, repeats)
        found |= milliseconds(torch, {"pytorch_eager": textbook(torch, batch, inputs, hidden)}, max(repeats // 5, 3))
        executable = fast.entry_of_last_call().take()
    lowered = executable.lowered
    moved, counts = lowered.bytes(), lowered.counts()
    operations = 3 * 2 * STEPS * batch * (inputs + hidden) * 4 * hidden
    seconds = found["ours"] / 1e3
    return {
        "batch": batch, "inputs": inputs, "hidden": hidden, "steps": STEPS, "precision": precision,
        "milliseconds": found,
        "cudnn_over_ours": found["cudnn"] / found["ours"],
        "cudnn_graph_over_ours": found["cudnn_graph"] / found["ours"],
        "eager_over_ours": found["pytorch_eager"] / found["ours"],
        "loops": lowered.loops, "launches": counts, "bytes": moved,
        "roofline_share": max(moved / peak["bytes"], operations / peak[precision]) / seconds,
        "capture_seconds": executable.capture_seconds,
    }  # fmt: skip


def keep(path: Path, torch: Any, numbers: dict[str, Any]) -> None:
    """Write numbers with the date, the device and the versions that they are of."""
    import cupy

    record = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "cupy": cupy.__version__,
        "cuda_driver": cupy.cuda.runtime.driverGetVersion(),
        **numbers,
    }
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--write", action="store_true", help=f"add the numbers to {RESULTS.name}")
    options = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("PyTorch sees no GPU: install its CUDA wheel")
    peak = ceilings(torch)
    print(", ".join(f"{name} {rate / 1e12:.1f} T/s" for name, rate in peak.items()))
    rows = []
    for batch, inputs, hidden, aim in CASES:
        for precision in ("fp32", "tf32"):
            row = {**measure(torch, batch, inputs, hidden, precision, options.repeats, peak), "aim": aim}
            rows.append(row)
            times = ", ".join(f"{name} {t:.2f} ms" for name, t in row["milliseconds"].items())
            print(
                f"B={batch} I={inputs} H={hidden} {precision}: {times}; cuDNN / ours {row['cudnn_over_ours']:.2f} "
                f"(aim {aim}), in a graph {row['cudnn_graph_over_ours']:.2f}, "
                f"eager / ours {row['eager_over_ours']:.1f}; {row['loops'][0]}; {row['launches']}, "
                f"{row['bytes'] / 2**20:.0f} MiB, {row['roofline_share']:.0%} of the roofline, "
                f"capture {row['capture_seconds'] * 1e3:.0f} ms"
            )
    if options.write:
        keep(RESULTS, torch, {"a_second": peak, "rows": rows})


if __name__ == "__main__":
    main()
