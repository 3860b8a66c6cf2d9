"""Linear recurrences, forward and backward: our plan, our loop without `chunk`, and PyTorch's parallel forms.

    python benchmarks/linear.py [--repeats 5] [--threads 2] [--rows mingru scalar_gla]

minGRU by the scan in logarithms of its paper (Feng et al. 2024, appendix B.2.1); linear attention with one decay a head
in chunks of 64 (Yang et al. 2024), as PyTorch code would write it by hand. Projections are part of both; weights are
the same, and losses are compared before. llvm, float32, one process, in turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from side_by_side import interleaved, print_table, require_same

import tinyseq as ts
from tinyseq import nn
from tinyseq.threads import blas_threads

CHUNK = 64
#: Cell, its options, B, T, H.
ROWS = [("mingru", {}, 8, 4096, 256), ("scalar_gla", {"heads": 4}, 4, 2048, 256)]


def mingru(x: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    """h_t = (1 - z_t) h_{t-1} + z_t g_t for all t, from sums of logarithms; the first state is 0."""
    k, a = x @ w["W_z"] + w["b_z"], x @ w["W_h"] + w["b_h"]
    log_g = torch.where(a >= 0, (torch.relu(a) + 0.5).log(), -torch.nn.functional.softplus(-a))
    decay = torch.cumsum(-torch.nn.functional.softplus(k), 1)
    return (decay + torch.logcumsumexp(log_g - torch.nn.functional.softplus(-k) - decay, 1)).exp()


def scalar_gla(x: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    """Chunks: products within, a loop over the states between."""
    batch, time, _ = x.shape
    heads = w["W_a"].shape[1]

    def cut(y: torch.Tensor) -> torch.Tensor:
        return y.view(batch, time // CHUNK, CHUNK, heads, -1).transpose(2, 3)

    q, k, v = (cut(x @ w[name]) for name in ("W_q", "W_k", "W_v"))
    q = q * q.shape[-1] ** -0.5
    d = torch.cumsum(torch.nn.functional.logsigmoid(cut(x @ w["W_a"] + w["b_a"])), 3)
    mask = torch.ones(CHUNK, CHUNK, dtype=torch.bool).tril()
    within = (d - d.transpose(3, 4)).masked_fill(~mask, -torch.inf).exp()
    y = ((q @ k.transpose(3, 4)) * within) @ v
    last = d[..., -1:, :]
    added = (k * (last - d).exp()).transpose(3, 4) @ v
    state, states = torch.zeros_like(added[:, 0]), []
    for n in range(added.shape[1]):
        states.append(state)
        state = last[:, n].exp() * state + added[:, n]
    y = y + (q * d.exp()) @ torch.stack(states, 1)
    return y.transpose(2, 3).reshape(batch, time, -1)


PEERS: dict[str, Callable[..., torch.Tensor]] = {"mingru": mingru, "scalar_gla": scalar_gla}


def ours(layer: nn.Recurrent, x: np.ndarray, fn: Any) -> Callable[[], float]:
    """Return a step: the loss, and gradients of all weights."""
    given, parameters = ts.tensor(x), list(layer.parameters())

    def step() -> float:
        with ts.backend("llvm"):
            for p in parameters:
                p.grad = None
            loss = fn(given)
            loss.backward()
            value: float = loss.item()
            return value

    return step


def theirs(cell: str, layer: nn.Recurrent, x: np.ndarray) -> Callable[[], float]:
    """Return the same step of PyTorch's."""
    weights = {
        name.rpartition(".")[2]: torch.tensor(p.numpy().copy(), requires_grad=True)
        for name, p in layer.named_parameters()
    }
    given = torch.tensor(x)

    def step() -> float:
        for w in weights.values():
            w.grad = None
        loss = (PEERS[cell](given, weights) ** 2).mean()
        loss.backward()
        return loss.item()

    return step


def measure(cell: str, options: dict[str, Any], batch: int, time: int, width: int, repeats: int) -> None:
    """Print a table for a row."""
    ts.seed(0)
    layer = nn.Recurrent(nn.cell_factory(cell, **options), width, width)
    x = np.random.default_rng(0).standard_normal((batch, time, width)).astype(np.float32)

    def loss(x: ts.Tensor) -> ts.Tensor:
        return (layer(x)[0] ** 2).mean()

    steps = {
        "tinyseq": ours(layer, x, ts.compile(loss)),
        "without chunk": ours(layer, x, ts.compile(loss, pipeline=lambda usual: usual.without("chunk"))),
        "PyTorch, parallel": theirs(cell, layer, x),
    }
    require_same({name: step() for name, step in steps.items()})
    print_table(f"{cell} {batch},{time},{width}", interleaved(steps, repeats), speedup=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of BLAS, of PyTorch and of ours")
    parser.add_argument("--rows", nargs="+", choices=list(PEERS), default=list(PEERS))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with blas_threads(args.threads):
        for row in ROWS:
            if row[0] in args.rows:
                measure(*row, args.repeats)


if __name__ == "__main__":
    main()
