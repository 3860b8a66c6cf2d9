"""Eager textbook LSTM, forward and backward: tinyseq beside PyTorch, MyGrad, HIPS autograd and bare NumPy.

    python benchmarks/eager_lstm.py [--repeats 15] [--profile]

Every peer runs the same textbook cell (four gates on concat([h, x])), unrolled in Python, with a linear head of 65
classes and cross-entropy, on the same numbers. All run in one process, in turn, again and again; the minimum and the
median of each are printed, and the ratio of ours to each peer's (below 1: we are ahead). A peer that is not installed
is left out and named.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from side_by_side import interleaved, print_table, require_same

SIZES = {"B=32 T=64 I=64 H=128": (32, 64, 64, 128), "B=1 T=50 I=16 H=32": (1, 50, 16, 32)}
CLASSES = 65
GATES = ("f", "i", "c", "o")


def problem(batch: int, steps: int, inputs: int, hidden: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    values = {f"W_{g}": rng.standard_normal((hidden + inputs, hidden)) * 0.1 for g in GATES}
    values |= {f"b_{g}": rng.standard_normal(hidden) * 0.1 for g in GATES}
    values |= {"V": rng.standard_normal((hidden, CLASSES)) * 0.1, "d": np.zeros(CLASSES)}
    values |= {"xs": rng.standard_normal((batch, steps, inputs))}
    data = {name: value.astype(np.float32) for name, value in values.items()}
    data["targets"] = rng.integers(0, CLASSES, (batch, steps))
    return data


def tinyseq_step(data: dict[str, np.ndarray]) -> Callable[[], float]:
    import tinyseq as ts
    from tinyseq import nn

    inputs = data["xs"].shape[2]
    cell = nn.LSTMCell(inputs, data["b_f"].shape[0])
    head = nn.Linear(data["V"].shape[0], CLASSES)
    cell.load_state_dict({name: data[name] for name, _ in cell.named_parameters()})
    head.load_state_dict({"W": data["V"], "b": data["d"]})
    xs, targets = ts.tensor(data["xs"]), ts.tensor(data["targets"])
    parameters = cell.parameters() + head.parameters()

    def step() -> float:
        for p in parameters:
            p.grad = None
        ys, _ = ts.unroll(cell, xs)
        loss = nn.cross_entropy(head(ys), targets)
        loss.backward()
        return loss.item()

    return step


def torch_step(data: dict[str, np.ndarray]) -> Callable[[], float]:
    import torch

    torch.set_num_threads(2)
    p = {k: torch.tensor(v, requires_grad=True) for k, v in data.items() if k not in ("xs", "targets")}
    xs, targets = torch.tensor(data["xs"]), torch.tensor(data["targets"])
    batch, steps, _ = xs.shape
    hidden = data["b_f"].shape[0]

    def step() -> float:
        for v in p.values():
            v.grad = None
        h, c = torch.zeros(batch, hidden), torch.zeros(batch, hidden)
        ys = []
        for t in range(steps):
            hx = torch.cat([h, xs[:, t]], 1)
            f = torch.sigmoid(hx @ p["W_f"] + p["b_f"])
            i = torch.sigmoid(hx @ p["W_i"] + p["b_i"])
            g = torch.tanh(hx @ p["W_c"] + p["b_c"])
            o = torch.sigmoid(hx @ p["W_o"] + p["b_o"])
            c = f * c + i * g
            h = o * torch.tanh(c)
            ys.append(h)
        logits = torch.stack(ys, 1) @ p["V"] + p["d"]
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, CLASSES), targets.reshape(-1), reduction="sum")
        loss.backward()
        return loss.item()

    return step


def mygrad_step(data: dict[str, np.ndarray]) -> Callable[[], float]:
    import mygrad as mg
    from mygrad.nnet import sigmoid, softmax_crossentropy

    p = {k: mg.tensor(v) for k, v in data.items() if k not in ("xs", "targets")}
    batch, steps, _ = data["xs"].shape
    hidden = data["b_f"].shape[0]

    def step() -> float:
        for v in p.values():
            v.null_grad()
        h = c = mg.tensor(np.zeros((batch, hidden), np.float32), constant=True)
        ys = []
        for t in range(steps):
            hx = mg.concatenate([h, data["xs"][:, t]], 1)
            f = sigmoid(hx @ p["W_f"] + p["b_f"])
            i = sigmoid(hx @ p["W_i"] + p["b_i"])
            g = mg.tanh(hx @ p["W_c"] + p["b_c"])
            o = sigmoid(hx @ p["W_o"] + p["b_o"])
            c = f * c + i * g
            h = o * mg.tanh(c)
            ys.append(h)
        logits = mg.stack(ys, 1) @ p["V"] + p["d"]
        n = batch * steps
        loss = softmax_crossentropy(logits.reshape(n, CLASSES), data["targets"].reshape(-1)) * n
        loss.backward()
        return loss.item()

    return step


def autograd_step(data: dict[str, np.ndarray]) -> Callable[[], float]:
    import autograd.numpy as anp
    from autograd import value_and_grad

    batch, steps, _ = data["xs"].shape
    hidden = data["b_f"].shape[0]
    rows, columns = np.arange(batch)[:, None], np.arange(steps)[None]

    def sigmoid(x: Any) -> Any:
        return 0.5 * anp.tanh(0.5 * x) + 0.5

    def loss(p: dict[str, Any]) -> Any:
        h = c = np.zeros((batch, hidden), np.float32)
        ys = []
        for t in range(steps):
            hx = anp.concatenate([h, data["xs"][:, t]], 1)
            f = sigmoid(hx @ p["W_f"] + p["b_f"])
            i = sigmoid(hx @ p["W_i"] + p["b_i"])
            g = anp.tanh(hx @ p["W_c"] + p["b_c"])
            o = sigmoid(hx @ p["W_o"] + p["b_o"])
            c = f * c + i * g
            h = o * anp.tanh(c)
            ys.append(h)
        logits = anp.stack(ys, 1) @ p["V"] + p["d"]
        shifted = logits - anp.max(logits, -1, keepdims=True)
        logp = shifted - anp.log(anp.sum(anp.exp(shifted), -1, keepdims=True))
        return -anp.sum(logp[rows, columns, data["targets"]])

    both = value_and_grad(loss)
    p = {k: v for k, v in data.items() if k not in ("xs", "targets")}
    return lambda: float(both(p)[0])


def numpy_step(data: dict[str, np.ndarray]) -> Callable[[], float]:
    """The same kernel calls by hand, with no tape: the floor for an eager engine on NumPy."""
    batch, steps, _ = data["xs"].shape
    hidden = data["b_f"].shape[0]

    def sigmoid(x: np.ndarray) -> np.ndarray:
        y = np.tanh(x * 0.5)
        y *= 0.5
        y += 0.5
        return y

    def step() -> float:
        h = c = np.zeros((batch, hidden), np.float32)
        tape, ys = [], []
        for t in range(steps):
            hx = np.concatenate((h, data["xs"][:, t]), 1)
            f = sigmoid(hx @ data["W_f"] + data["b_f"])
            i = sigmoid(hx @ data["W_i"] + data["b_i"])
            g = np.tanh(hx @ data["W_c"] + data["b_c"])
            o = sigmoid(hx @ data["W_o"] + data["b_o"])
            old, c = c, f * c + i * g
            tc = np.tanh(c)
            h = o * tc
            tape.append((hx, f, i, g, o, old, tc))
            ys.append(h)
        stacked = np.stack(ys, 1).reshape(batch * steps, hidden)
        logits = stacked @ data["V"] + data["d"]
        shifted = logits - logits.max(-1, keepdims=True)
        logp = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        flat = data["targets"].reshape(-1)
        rows = np.arange(flat.size)
        dlogits = np.exp(logp)
        dlogits[rows, flat] -= 1
        dV, dd = stacked.T @ dlogits, dlogits.sum(0)
        dys = (dlogits @ data["V"].T).reshape(batch, steps, hidden)
        grads = {n: np.zeros_like(data[n]) for g in GATES for n in (f"W_{g}", f"b_{g}")}
        dh = dc = np.zeros((batch, hidden), np.float32)
        for t in range(steps - 1, -1, -1):
            hx, f, i, g, o, old, tc = tape[t]
            dh = dh + dys[:, t]
            dc = dc + dh * o * (1 - tc * tc)
            dgates = {
                "o": dh * tc * (o * (1 - o)),
                "f": dc * old * (f * (1 - f)),
                "i": dc * g * (i * (1 - i)),
                "c": dc * i * (1 - g * g),
            }
            dhx = np.zeros_like(hx)
            for name, d in dgates.items():
                grads[f"W_{name}"] += hx.T @ d
                grads[f"b_{name}"] += d.sum(0)
                dhx += d @ data[f"W_{name}"].T
            dc = dc * f
            dh = dhx[:, :hidden]
        assert dV.shape[1] == dd.size
        return float(-logp[rows, flat].sum())

    return step


PEERS: dict[str, Callable[[dict[str, np.ndarray]], Callable[[], float]]] = {
    "tinyseq": tinyseq_step,
    "PyTorch eager": torch_step,
    "MyGrad": mygrad_step,
    "HIPS autograd": autograd_step,
    "NumPy by hand": numpy_step,
}


def compare(label: str, size: tuple[int, int, int, int], repeats: int) -> None:
    data = problem(*size)
    steps: dict[str, Callable[[], float]] = {}
    for name, make in PEERS.items():
        try:
            steps[name] = make(data)
        except ImportError as error:
            print(f"  {name}: left out ({error})")
    losses = {name: step() for name, step in steps.items()}
    require_same(losses)
    title = f"{label}  (loss {losses['tinyseq']:.4f}, {repeats} interleaved repeats)"
    print_table(title, interleaved(steps, repeats))


def profile(size: tuple[int, int, int, int]) -> None:
    step = tinyseq_step(problem(*size))
    step()
    profiler = cProfile.Profile()
    profiler.enable()
    for _ in range(10):
        step()
    profiler.disable()
    pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--profile", action="store_true", help="print where our time goes, at the small size")
    options = parser.parse_args()
    for label, size in SIZES.items():
        compare(label, size, options.repeats)
    if options.profile:
        profile(SIZES["B=1 T=50 I=16 H=32"])


if __name__ == "__main__":
    main()
