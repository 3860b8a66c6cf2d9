"""Generated kernels whose threads share work, against PyTorch's own: `python benchmarks/gpu_kernels.py`, on a GPU.

Sums, softmax, einsum and gradients of indexing in float32. Time on the device alone: ours is the captured graph of the
plan (all of its kernels), theirs the one call; CUDA events, warm, medians, in turn. The share of the roofline is that
of the bytes that must be read and written, by the bandwidth of a large copy.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from gpu import ceilings, keep, milliseconds

import tinyseq as ts

Shape = tuple[int, ...]
RESULTS = Path(__file__).resolve().parent / "results" / "gpu_kernels.json"
#: name -> our function, theirs, the shapes that it takes, and (rows) where the last argument is indices into them.
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[Shape], int]] = {
    "sum of rows (6400, 512)": (lambda x: x.sum(1), lambda t, x: x.sum(1), [(6400, 512)], 0),
    "sum of long rows (64, 50000)": (lambda x: x.sum(1), lambda t, x: x.sum(1), [(64, 50_000)], 0),
    "sum of columns (6400, 2048)": (lambda x: x.sum(0), lambda t, x: x.sum(0), [(6400, 2048)], 0),
    "sum of columns (6400, 30)": (lambda x: x.sum(0), lambda t, x: x.sum(0), [(6400, 30)], 0),
    "sum of all (4M)": (lambda x: x.sum(), lambda t, x: x.sum(), [(1 << 22,)], 0),
    "max of rows (6400, 512)": (lambda x: x.max(1), lambda t, x: x.amax(1), [(6400, 512)], 0),
    "softmax (6400, 64)": (lambda x: ts.softmax(x), lambda t, x: t.softmax(x, -1), [(6400, 64)], 0),
    "softmax (6400, 1000)": (lambda x: ts.softmax(x), lambda t, x: t.softmax(x, -1), [(6400, 1000)], 0),
    "log_softmax (6400, 10000)": (
        lambda x: ts.log_softmax(x), lambda t, x: t.log_softmax(x, -1), [(6400, 10_000)], 0,
    ),
    "log_softmax (640, 50000)": (lambda x: ts.log_softmax(x), lambda t, x: t.log_softmax(x, -1), [(640, 50_000)], 0),
    "scores bsh,bh->bs (64, 100, 512)": (
        lambda x, y: ts.einsum("bsh,bh->bs", x, y), lambda t, x, y: t.einsum("bsh,bh->bs", x, y),
        [(64, 100, 512), (64, 512)], 0,
    ),
    "context bs,bsh->bh (64, 100, 512)": (
        lambda x, y: ts.einsum("bs,bsh->bh", x, y), lambda t, x, y: t.einsum("bs,bsh->bh", x, y),
        [(64, 100), (64, 100, 512)], 0,
    ),
    **{
        f"gradient of an embedding ({rows}, {width}), {count} indices": (
            lambda g, i, rows=rows, width=width: ts.scatter_add(g, i, key=("array",), shape=(rows, width)),
            lambda t, g, i, rows=rows, width=width: t.zeros(rows, width, device="cuda").index_add_(0, i, g),
            [(count, width), (count,)], rows,
        )
        for rows, width, count in ((30, 32, 6_400), (5_000, 128, 6_400), (50_000, 512, 6_400), (50_000, 128, 100_000))
    },
}  # fmt: skip


def measure(torch: Any, name: str, bandwidth: float, repeats: int) -> dict[str, Any]:
    own, other, shapes, rows = CASES[name]
    rng = np.random.default_rng(0)
    arrays: list[Any] = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    if rows:
        arrays[-1] = np.minimum(rng.zipf(1.5, shapes[-1]), rows) - 1  # as words are: few of them often
    with ts.backend("cupy"), ts.no_grad():
        fast = ts.compile(own)
        for _ in range(3):
            result = fast(*map(ts.tensor, arrays))
        executable = fast.entry_of_last_call().take()
    theirs = [torch.tensor(x, device="cuda") for x in arrays]

    def replay() -> None:
        for graph in executable.graphs.values():
            graph.launch()

    found = milliseconds(torch, {"ours": replay, "pytorch": lambda: other(torch, *theirs)}, repeats)
    moved = sum(x.nbytes for x in arrays) + result.numpy().nbytes
    return {
        "what": name,
        "microseconds": {who: time * 1e3 for who, time in found.items()},
        "kernels": executable.lowered.counts()["kernels"],
        "pytorch_over_ours": found["pytorch"] / found["ours"],
        "roofline_share": moved / bandwidth / found["ours"] * 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--write", action="store_true", help=f"leave the numbers in {RESULTS.name}")
    options = parser.parse_args()
    import torch

    bandwidth = ceilings(torch)["bytes"]
    rows = []
    for name in CASES:
        row = measure(torch, name, bandwidth, options.repeats)
        rows.append(row)
        times = ", ".join(f"{who} {time:.1f} us" for who, time in row["microseconds"].items())
        print(
            f"{name}: {times}, PyTorch / ours {row['pytorch_over_ours']:.2f}, {row['kernels']} kernels, "
            f"{row['roofline_share']:.0%} of the roofline"
        )
    if options.write:
        keep(RESULTS, torch, {"bytes_a_second": bandwidth, "rows": rows})


if __name__ == "__main__":
    main()
