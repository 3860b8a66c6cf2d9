"""A cell of one's own in plain Python: it learns to say at the end which symbol came first.

    python examples/own_cell.py

The minimal gated unit (Zhou et al. 2016), written as its paper writes it, compiled with its whole training step.
"""

from __future__ import annotations

import numpy as np

import tinyseq as ts
from tinyseq import nn, optim
from tinyseq.ops.elementwise import sigmoid, tanh


class MinimalGatedUnit(nn.Cell):
    """f = σ([h, x] W_f + b_f);  h~ = tanh([f h, x] W_h + b_h);  h' = (1 - f) h + f h~."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W_f = nn.parameter(nn.init.recurrent(hidden_size, input_size))
        self.b_f = nn.parameter(nn.init.full(hidden_size, value=-1.0))  # to remember at first
        self.W_h = nn.parameter(nn.init.recurrent(hidden_size, input_size))
        self.b_h = nn.parameter(nn.init.zeros(hidden_size))

    def step(self, x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        """Return the output and the new state, which are the same here."""
        f = sigmoid(ts.concat([h, x], axis=-1) @ self.W_f + self.b_f)
        h_tilde = tanh(ts.concat([f * h, x], axis=-1) @ self.W_h + self.b_h)
        h = (1 - f) * h + f * h_tilde
        return h, h


def batch(rng: np.random.Generator, rows: int, time: int, symbols: int) -> tuple[ts.Tensor, ts.Tensor]:
    """Draw sequences of symbols, one-hot, and the first of each."""
    drawn = rng.integers(symbols, size=(rows, time))
    return ts.tensor(np.eye(symbols, dtype=np.float32)[drawn]), ts.tensor(drawn[:, 0])


def main(steps: int = 150, time: int = 12, symbols: int = 4) -> float:
    """Train, and return the share of new sequences whose first symbol is told right."""
    ts.seed(0)
    rng = np.random.default_rng(0)
    cell, head = MinimalGatedUnit(symbols, 24), nn.Linear(24, symbols)
    optimizer = optim.Adam(cell.parameters() + head.parameters(), lr=0.01)

    @ts.compile
    def train_step(xs: ts.Tensor, targets: ts.Tensor) -> ts.Tensor:
        _, last = ts.unroll(cell, xs)
        loss = nn.cross_entropy(head(last), targets, reduction="mean")
        loss.backward()
        optim.clip_grad_norm(optimizer.parameters, 1.0)
        optimizer.step()
        return loss

    for _ in range(steps):
        train_step(*batch(rng, 64, time, symbols))
    xs, targets = batch(rng, 500, time, symbols)
    told = head(ts.unroll(cell, xs)[1]).numpy().argmax(axis=1)
    return float((told == targets.numpy()).mean())


if __name__ == "__main__":
    right = main()
    print(f"{right:.1%} of the first symbols are told right; guessing gives 25 %")
    assert right > 0.95
