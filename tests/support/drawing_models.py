"""Graphs to draw."""

from __future__ import annotations

from typing import Any

import tinyseq as ts
from tinyseq import nn


class LanguageModel(nn.Module):
    """An LSTM and a head."""

    def __init__(self, layers: int = 1, bidirectional: bool = False) -> None:
        self.rnn = nn.LSTM(8, 4, num_layers=layers, bidirectional=bidirectional)
        self.head = nn.Linear(8 if bidirectional else 4, 5)

    def forward(self, xs: ts.Tensor, targets: ts.Tensor, truncate: int | None = None) -> Any:
        ys, _ = self.rnn(xs, truncate=truncate)
        return nn.cross_entropy(self.head(ys), targets)


def language_model(steps: int = 3, *, truncate: int | None = None, eager: bool = False, **options: Any) -> Any:
    """The loss of a language model: a graph, or with ``eager`` a tensor."""
    model = LanguageModel(**options)
    xs, targets = ts.randn(2, steps, 8), ts.tensor([[1] * steps] * 2)
    return model(xs, targets, truncate) if eager else ts.trace(model, xs, targets, truncate)


class Leaky(nn.Cell):
    """A user's own cell, with a state of its own names."""

    def __init__(self) -> None:
        self.hidden_size = 4
        self.W = nn.parameter(nn.init.zeros(12, 4))

    def initial_state(self, batch: int) -> dict[str, ts.Tensor]:
        return {"memory": ts.zeros(batch, 4), "trace": ts.zeros(batch, 4)}

    def step(self, x: ts.Tensor, state: dict[str, ts.Tensor]) -> Any:
        memory = (ts.concat([state["memory"], x], axis=-1) @ self.W).tanh()
        return memory, {"memory": memory, "trace": state["trace"] * 0.9 + memory}
