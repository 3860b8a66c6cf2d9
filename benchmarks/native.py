"""The llvm backend beside hand-tuned libraries and NumPy: forward and backward, softmax head of 65 classes.

    python benchmarks/native.py [--repeats 8] [--only lstm gru cells training compile scaling] [--no-jax]

One process, all peers in turn, again and again, five calls a turn, two threads each; minima, medians and the ratio time
of the other / ours (above 1: we are ahead), with the ratio asked for. Every peer computes the same loss from the same
weights; a disagreement stops the run. PyTorch runs its hand-written layers, and cells that no library has eagerly; JAX
runs `jit` of a hand-written `lax.scan`. At H=512 run it with MALLOC_MMAP_THRESHOLD_=1000000000
MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_TOP_PAD_=500000000, or page faults are what is measured.

Plans on NumPy are timed in a process of their own, for OpenBLAS's threads spin for a while after each product, and what
comes next in the same process would have only half of the cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from peers import (
    CLASSES,
    Size,
    flops,
    jax_scan,
    our_training,
    ours,
    problem,
    sgemm_rate,
    timed,
    torch_layer,
    torch_training,
)
from side_by_side import Step, Times, print_table

import tinyseq as ts
from tinyseq import nn

#: kind, size, and the ratios asked for against PyTorch and JAX.
ROWS: list[tuple[str, Size, float | None, float]] = [
    ("lstm", (32, 64, 64, 128), 1.25, 1.5),
    ("lstm", (32, 64, 128, 256), 1.2, 1.5),
    ("lstm", (64, 100, 128, 512), 1.1, 1.5),
    ("lstm", (1, 50, 16, 32), 3.0, 1.5),
    ("gru", (32, 64, 64, 128), 1.8, 1.5),
]
CELL_SIZE = (32, 64, 64, 128)


def on(backend: str, make: Callable[..., Step], *given: Any) -> Step:
    """A step that is compiled and run with a backend chosen."""
    inner = make(*given)

    def step() -> float:
        with ts.backend(backend):
            return inner()

    step.fast = getattr(inner, "fast", None)  # type: ignore[attr-defined]
    return step


# -- cells that no library has --------------------------------------------------------------------------------------


def peephole(m: Any, p: dict[str, Any], x: Any, state: Any) -> Any:
    """Gers and Schmidhuber 2000: the gates see the cell's state."""
    h, c = state
    hx = m.cat([h, x])
    f = m.sigmoid(hx @ p["Wf"] + p["pf"] * c + p["bf"])
    i = m.sigmoid(hx @ p["Wi"] + p["pi"] * c + p["bi"])
    c = f * c + i * m.tanh(hx @ p["Wc"] + p["bc"])
    o = m.sigmoid(hx @ p["Wo"] + p["po"] * c + p["bo"])
    h = o * m.tanh(c)
    return h, (h, c)


def invented(m: Any, p: dict[str, Any], x: Any, state: Any) -> Any:
    """A cell that exists nowhere: two leaky states that gate each other."""
    h, c = state
    hx = m.cat([h, x])
    a = m.sigmoid(hx @ p["Wf"] + p["bf"])
    b = m.tanh(hx @ p["Wc"] + p["bc"] + p["pf"] * c)
    e = m.sigmoid(hx @ p["Wi"] + p["bi"] + p["pi"] * h)
    c = a * c + (1.0 - a) * b
    h = e * h + (1.0 - e) * m.tanh(c * m.sigmoid(hx @ p["Wo"] + p["bo"]))
    return h, (h, c)


CELLS: dict[str, Callable[..., Any]] = {"peephole LSTM": peephole, "invented cell": invented}


class _Ours:
    tanh, sigmoid = staticmethod(ts.tanh), staticmethod(ts.sigmoid)

    @staticmethod
    def cat(parts: Any) -> Any:
        return ts.concat(parts, -1)


def cell_weights(inputs: int, hidden: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    scale = 1.0 / np.sqrt(hidden)
    p = {f"W{k}": rng.uniform(-scale, scale, (hidden + inputs, hidden)) for k in "fico"}
    p |= {f"b{k}": rng.uniform(-scale, scale, hidden) for k in "fico"}
    p |= {f"p{k}": rng.uniform(-scale, scale, hidden) for k in "fio"}
    p |= {"V": rng.uniform(-scale, scale, (hidden, CLASSES)), "d": np.zeros(CLASSES)}
    return {name: value.astype(np.float32) for name, value in p.items()}


def our_cell(equations: Callable[..., Any], p: dict[str, np.ndarray], xs: np.ndarray, targets: np.ndarray) -> Step:
    weights = {name: ts.tensor(value, requires_grad=True) for name, value in p.items()}
    x, t = ts.tensor(xs), ts.tensor(targets)
    zero = ts.zeros((xs.shape[0], len(p["bf"])))

    def loss(x: ts.Tensor, t: ts.Tensor) -> ts.Tensor:
        ys, _ = ts.unroll(lambda x, s: equations(_Ours, weights, x, s), x, (zero, zero))
        return nn.cross_entropy(ys @ weights["V"] + weights["d"], t)

    fast = ts.compile(loss)

    def step() -> float:
        for w in weights.values():
            w.grad = None
        value = fast(x, t)
        value.backward()
        return float(value)

    return step


def torch_cell(equations: Callable[..., Any], p: dict[str, np.ndarray], xs: np.ndarray, targets: np.ndarray) -> Step:
    import torch

    torch.set_num_threads(2)

    class Theirs:
        tanh, sigmoid = torch.tanh, torch.sigmoid

        @staticmethod
        def cat(parts: Any) -> Any:
            return torch.cat(parts, -1)

    weights = {name: torch.tensor(value, requires_grad=True) for name, value in p.items()}
    x, t = torch.tensor(xs), torch.tensor(targets).reshape(-1)
    zero = torch.zeros(xs.shape[0], len(p["bf"]))

    def step() -> float:
        for w in weights.values():
            w.grad = None
        state, ys = (zero, zero), []
        for i in range(x.shape[1]):
            y, state = equations(Theirs, weights, x[:, i], state)
            ys.append(y)
        logits = (torch.stack(ys, 1) @ weights["V"] + weights["d"]).reshape(-1, CLASSES)
        value = torch.nn.functional.cross_entropy(logits, t, reduction="sum")
        value.backward()
        return value.item()

    return step


# -- measuring -----------------------------------------------------------------------------------------------------


def report(title: str, times: Times, asked: dict[str, float | None], operations: float = 0.0) -> None:
    rate = operations / min(times["tinyseq llvm"])
    share = f", {rate / 1e9:.0f} GFLOP/s = {rate / sgemm_rate():.0%} of sgemm's" if operations else ""
    print_table(title + share, times, "tinyseq llvm", speedup=True, asked=asked)


def apart(program: str, **environment: str) -> list[float]:
    """Return the numbers that a program prints in a process of its own."""
    here = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=here,
        env={**os.environ, **environment},
    )
    return [float(word) for word in done.stdout.split()]


def alone(backend: str, kind: str, size: Size, training: bool) -> list[float]:
    """Time ours in a process of its own."""
    return apart(
        "import native\n"
        f"step = native.on({backend!r}, native.{'our_training' if training else 'ours'},"
        f" *native.problem({kind!r}, {size}))\n"
        f"print(*native.timed({{'ours': step}}, {2 if size[3] > 256 else 6})['ours'])"
    )


def layers(kind: str, repeats: int, jax: bool) -> None:
    for row, size, torch_ratio, jax_ratio in ROWS:
        if row != kind:
            continue
        given = problem(kind, size)
        peers = {"tinyseq llvm": on("llvm", ours, *given), "PyTorch layer": torch_layer(*given)}
        if jax:
            peers["JAX lax.scan"] = jax_scan(*given)
        times = timed(peers, max(repeats // 4, 2) if size[3] > 256 else repeats)
        times["tinyseq numpy"] = alone("numpy", kind, size, False)
        asked = {"PyTorch layer": torch_ratio, "JAX lax.scan": jax_ratio, "tinyseq numpy": 1.0}
        report(f"{kind.upper()}  B,T,I,H = {size}", times, asked, flops(kind, size))


def cells(repeats: int) -> None:
    _, _, inputs, hidden = CELL_SIZE
    _, _, _, xs, targets = problem("lstm", CELL_SIZE)
    p = cell_weights(inputs, hidden)
    for name, equations in CELLS.items():
        peers = {
            "tinyseq llvm": on("llvm", our_cell, equations, p, xs, targets),
            "PyTorch eager": torch_cell(equations, p, xs, targets),
        }
        report(f"{name}  B,T,I,H = {CELL_SIZE}", timed(peers, repeats), {"PyTorch eager": 3.0})


def training(repeats: int) -> None:
    for kind, size, torch_ratio, _ in ROWS:
        given = problem(kind, size)
        peers = {
            "tinyseq llvm": on("llvm", our_training, *given),
            "PyTorch layer": torch_training(*problem(kind, size)),
        }
        times = timed(peers, max(repeats // 4, 2) if size[3] > 256 else repeats)
        times["tinyseq numpy"] = alone("numpy", kind, size, True)
        title = f"{kind.upper()}, training step with clipping and Adam  B,T,I,H = {size}"
        report(title, times, {"PyTorch layer": torch_ratio, "tinyseq numpy": 1.0})


def compile_times() -> None:
    """Seconds of the first call, the best of three: trace, passes, plan, native code, a run; LLVM is loaded before."""
    print("\nFirst call of the textbook LSTM with gradients, B,I,H = 32, 64, 128  (asked: 1 s, from the cache 0.1 s)")
    for steps in (64, 1024):
        program = (
            "import native, time, tinyseq as ts\n"
            "with ts.backend('llvm'): ts.compile(lambda x: x + x)(ts.ones(3))\n"
            f"step = native.on('llvm', native.ours, *native.problem('lstm', (32, {steps}, 64, 128)))\n"
            "start = time.perf_counter(); step(); first = time.perf_counter() - start\n"
            "start = time.perf_counter(); step(); print(first, time.perf_counter() - start)"
        )
        best: dict[str, tuple[float, ...]] = {}
        for _ in range(3):
            with tempfile.TemporaryDirectory() as folder:
                for state in ("cold", "from cache"):
                    taken = tuple(apart(program, TINYSEQ_CACHE=folder))
                    best[state] = min(best.get(state, taken), taken)
        for state, (first, second) in best.items():
            print(f"  T = {steps:<6}{state:<12}{first:.3f}, of which one run {second:.3f}")


def scaling(repeats: int) -> None:
    from tinyseq.threads import limited

    print("\nThreads: milliseconds on 1 and 2, forward and backward")
    for kind, size, _, _ in ROWS:
        step = on("llvm", ours, *problem(kind, size))
        best = {}
        for count in (1, 2):
            with limited(count):
                best[count] = min(timed({"ours": step}, 2 if size[3] > 256 else repeats)["ours"]) * 1e3
        print(f"  {kind.upper():<5}{size!s:<20}{best[1]:>9.2f}{best[2]:>9.2f}   {best[1] / best[2]:.2f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("lstm", "gru", "cells", "training", "compile", "scaling")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, metavar="PART", help=", ".join(parts))
    parser.add_argument("--no-jax", action="store_true")
    options = parser.parse_args()
    for part in options.only:
        if part in ("lstm", "gru"):
            layers(part, options.repeats, not options.no_jax)
        elif part == "compile":
            compile_times()
        else:
            {"cells": cells, "training": training, "scaling": scaling}[part](options.repeats)


if __name__ == "__main__":
    main()
