"""Each cell unrolled eagerly, forward and backward, beside PyTorch eager at the same equations.

    python benchmarks/cells.py [--repeats 15] [--only lstm gru ...] [--threads 2]

A cell is unrolled in Python over the same inputs from the same weights, on both sides by the same lines of its
equations; the loss is half the sum of the squared outputs. Loss and gradients are compared first. Then all run in one
process, in turn. The ratio is ours / PyTorch's: below 1 we are ahead; none should be over 1.5.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from side_by_side import interleaved, print_table, ratios, require_same

import tinyseq as ts
from tinyseq import nn
from tinyseq.threads import blas_threads

BATCH, STEPS, INPUTS, HIDDEN = 32, 64, 64, 128
LIMIT = 1.5
#: The cells with a part that PyTorch has as one kernel: they are compared with it spelled out, and with it fused.
FUSED = ("layernorm_lstm", "layernorm_gru")
#: What is measured: a title, the cell's name and its options.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn": ("rnn", {}),
    "lstm": ("lstm", {}),
    "peephole_lstm": ("peephole_lstm", {}),
    "gru, reset before": ("gru", {"reset": "before"}),
    "gru, reset after": ("gru", {"reset": "after"}),
    "indrnn": ("indrnn", {"bound": 0.9}),
    "layernorm_lstm": ("layernorm_lstm", {}),
    "layernorm_gru": ("layernorm_gru", {}),
    "esn": ("esn", {"leak": 0.7}),
}

# The equations in PyTorch: (torch, parameters, x, state) -> (y, state), as the cells' docstrings have them.


def rnn(t: Any, p: Any, x: Any, h: Any) -> Any:
    h = t.tanh(x @ p["W_xh"] + h @ p["W_hh"] + p["b_h"])
    return h, h


def lstm(t: Any, p: Any, x: Any, state: Any) -> Any:
    h, c = state
    hx = t.cat([h, x], 1)
    f = t.sigmoid(hx @ p["W_f"] + p["b_f"])
    i = t.sigmoid(hx @ p["W_i"] + p["b_i"])
    c_tilde = t.tanh(hx @ p["W_c"] + p["b_c"])
    o = t.sigmoid(hx @ p["W_o"] + p["b_o"])
    c = f * c + i * c_tilde
    h = o * t.tanh(c)
    return h, (h, c)


def peephole_lstm(t: Any, p: Any, x: Any, state: Any) -> Any:
    h, c = state
    hx = t.cat([h, x], 1)
    f = t.sigmoid(hx @ p["W_f"] + p["p_f"] * c + p["b_f"])
    i = t.sigmoid(hx @ p["W_i"] + p["p_i"] * c + p["b_i"])
    c_tilde = t.tanh(hx @ p["W_c"] + p["b_c"])
    c = f * c + i * c_tilde
    o = t.sigmoid(hx @ p["W_o"] + p["p_o"] * c + p["b_o"])
    h = o * t.tanh(c)
    return h, (h, c)


def gru(t: Any, p: Any, x: Any, h: Any) -> Any:
    hx = t.cat([h, x], 1)
    r = t.sigmoid(hx @ p["W_r"] + p["b_r"])
    z = t.sigmoid(hx @ p["W_z"] + p["b_z"])
    if "W_hh" in p:
        h_tilde = t.tanh(x @ p["W_xh"] + p["b_h"] + r * (h @ p["W_hh"] + p["b_hh"]))
    else:
        h_tilde = t.tanh(t.cat([r * h, x], 1) @ p["W_h"] + p["b_h"])
    h = (1.0 - z) * h + z * h_tilde
    return h, h


def indrnn(t: Any, p: Any, x: Any, h: Any) -> Any:
    h = t.relu(x @ p["W"] + p["u"] * h + p["b"])
    return h, h


def norm(t: Any, p: Any, name: str, x: Any) -> Any:
    gain, bias = p[f"{name}.gain"], p.get(f"{name}.bias")
    if p["fused"]:
        return t.nn.functional.layer_norm(x, x.shape[-1:], gain, bias, 1e-5)
    deviation = x - x.mean(-1, keepdim=True)
    y = deviation / t.sqrt((deviation * deviation).mean(-1, keepdim=True) + 1e-5) * gain
    return y if bias is None else y + bias


def layernorm_lstm(t: Any, p: Any, x: Any, state: Any) -> Any:
    h, c = state
    gates = norm(t, p, "norm_h", h @ p["W_h"]) + norm(t, p, "norm_x", x @ p["W_x"]) + p["b"]
    f, i, o, g = t.split(gates, HIDDEN, -1)
    c = t.sigmoid(f) * c + t.sigmoid(i) * t.tanh(g)
    h = t.sigmoid(o) * t.tanh(norm(t, p, "norm_c", c))
    return h, (h, c)


def layernorm_gru(t: Any, p: Any, x: Any, h: Any) -> Any:
    z, r = t.split(norm(t, p, "norm_h", h @ p["W_h"]) + norm(t, p, "norm_x", x @ p["W_x"]) + p["b"], HIDDEN, -1)
    h_tilde = t.tanh(norm(t, p, "norm_xh", x @ p["W"]) + t.sigmoid(r) * norm(t, p, "norm_hh", h @ p["U"]) + p["b_h"])
    h = (1.0 - t.sigmoid(z)) * h + t.sigmoid(z) * h_tilde
    return h, h


def esn(t: Any, p: Any, x: Any, h: Any) -> Any:
    h = 0.3 * h + 0.7 * t.tanh(x @ p["W_in"] + p["b_in"] + h @ p["W"])
    return h, h


EQUATIONS: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (rnn, lstm, peephole_lstm, gru, indrnn, layernorm_lstm, layernorm_gru, esn)
}


def our_step(cell: nn.Cell, xs: np.ndarray) -> tuple[Callable[[], float], Callable[[], dict[str, np.ndarray]]]:
    """Return a forward and backward pass, and what reads the gradients it left.

    A reservoir learns nothing: there the inputs are differentiated by.
    """
    learned = dict(cell.named_parameters())
    inputs = ts.tensor(xs, requires_grad=not learned)
    wanted = learned or {"xs": inputs}

    def step() -> float:
        for value in wanted.values():
            value.grad = None
        ys, _ = ts.unroll(cell, inputs)
        loss = 0.5 * (ys * ys).sum()
        loss.backward()
        return float(loss.item())

    return step, lambda: {name: value.grad.numpy() for name, value in wanted.items()}


def torch_step(
    cell: nn.Cell, equations: Callable[..., Any], xs: np.ndarray, threads: int, fused: bool = False
) -> tuple[Callable[[], float], Callable[[], dict[str, np.ndarray]]]:
    """Return the same of PyTorch, with the same weights."""
    import torch

    torch.set_num_threads(threads)
    learned = dict(cell.named_parameters())
    p: dict[str, Any] = {
        name: torch.tensor(value.numpy(), requires_grad=name in learned) for name, value in cell.state_dict().items()
    }
    p["fused"] = fused
    inputs = torch.tensor(xs, requires_grad=not learned)
    wanted = {name: p[name] for name in learned} or {"xs": inputs}
    start = cell.initial_state(len(xs))

    def step() -> float:
        for value in wanted.values():
            value.grad = None
        state = torch.zeros(len(xs), HIDDEN)
        state = (state, torch.zeros(len(xs), HIDDEN)) if isinstance(start, tuple) else state
        ys = []
        for t in range(xs.shape[1]):
            y, state = equations(torch, p, inputs[:, t], state)
            ys.append(y)
        out = torch.stack(ys, 1)
        loss = 0.5 * (out * out).sum()
        loss.backward()
        return float(loss.item())

    return step, lambda: {name: value.grad.numpy() for name, value in wanted.items()}


def compare(title: str, repeats: int, threads: int) -> dict[str, tuple[float, float]]:
    """Check one cell's numbers, time it, print the table and return each peer's ratios of minima and medians."""
    name, options = CASES[title]
    ts.seed(0)
    cell = nn.CELLS[name](INPUTS, HIDDEN, **options)
    xs = np.random.default_rng(0).standard_normal((BATCH, STEPS, INPUTS)).astype(np.float32)
    ours, our_gradients = our_step(cell, xs)
    steps, peers = {"tinyseq": ours}, {}
    for peer, fused in {"PyTorch eager": False, **({"PyTorch, fused norm": True} if name in FUSED else {})}.items():
        steps[peer], peers[peer] = torch_step(cell, EQUATIONS[name], xs, threads, fused)
    require_same({peer: step() for peer, step in steps.items()}, tolerance=1e-4)
    for peer, their_gradients in peers.items():
        expected = their_gradients()
        for path, gradient in our_gradients().items():
            error = np.abs(gradient - expected[path]).max() / np.abs(expected[path]).max()
            assert error < 1e-3, f"{title}, {peer}: the gradient of {path} differs by {error:.1e}"
    times = interleaved(steps, repeats)
    print_table(f"{title}  ({repeats} interleaved repeats)", times)
    return {peer: ratios(times, peer) for peer in peers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2, help="of the BLAS on both sides")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CELL")
    options = parser.parse_args()
    print(f"{options.threads} threads, B={BATCH} T={STEPS} I={INPUTS} H={HIDDEN}, float32, forward and backward")
    with blas_threads(options.threads):
        found = {title: compare(title, options.repeats, options.threads) for title in options.only}
    print(f"\nours / the peer's, minimum and median; over {LIMIT} is marked")
    for title, peers in found.items():
        for peer, (low, middle) in peers.items():
            print(f"  {title:<20}{peer:<22}{low:>6.2f}{middle:>8.2f}{'  <' if low > LIMIT else ''}")


if __name__ == "__main__":
    main()
