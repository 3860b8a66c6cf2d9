"""Layers: linear, embedding, dropout, and cells stacked over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinyseq.errors import DataError, ShapeError
from tinyseq.nn import init
from tinyseq.nn.cells import Cell, LSTMCell, RNNCell
from tinyseq.nn.module import Module, parameter
from tinyseq.ops import nn as ops
from tinyseq.ops.shape import concat
from tinyseq.random import generator
from tinyseq.tensors import Tensor
from tinyseq.unrolling import unroll


class Linear(Module):
    """y = x W + b over the last axis: (..., in_features) -> (..., out_features)."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True) -> None:
        self.in_features, self.out_features = in_features, out_features
        self.W = parameter(init.glorot(in_features, out_features))
        self.b = parameter(init.zeros(out_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1:] != (self.in_features,):
            raise ShapeError("Linear: feature size", required=f"(..., {self.in_features})", got=str(x.shape))
        y = x @ self.W
        return y if self.b is None else y + self.b


class Embedding(Module):
    """Rows of a learned table: integers (...) -> (..., features)."""

    def __init__(self, num_embeddings: int, features: int) -> None:
        self.num_embeddings, self.features = num_embeddings, features
        self.W = parameter(init.normal(num_embeddings, features, std=features**-0.5))

    def forward(self, ids: Tensor) -> Tensor:
        result: Tensor = ops.embedding(self.W, ids)
        return result


class Dropout(Module):
    """In training, zero each element with probability p and scale the rest by 1 / (1 - p); else the identity."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p < 1.0:
            raise DataError("Dropout: the probability is out of range", required="0 <= p < 1", got=str(p))
        self.p = p
        self.site = generator.new_site()

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0.0:
            return x
        result: Tensor = ops.dropout(x, self.p, **generator.key(self.site))
        return result


class Recurrent(Module):
    """Cells over time, stacked: each layer reads the outputs of the one below.

    Args:
        make_cell: (input_size, hidden_size) -> cell, called once a layer and direction.
        input_size: features of the input.
        hidden_size: features of each cell's output.
        num_layers: how many layers.
        bidirectional: a second cell a layer that reads from the end; outputs are joined, forward first.
        dropout: probability, applied to the outputs of every layer but the last, in training.

    Calling it with xs (batch, time, input_size) returns ys (batch, time, hidden_size or twice that) and the last
    state: a tuple a layer, each a tuple of one state a direction.
    """

    def __init__(
        self,
        make_cell: Callable[[int, int], Cell],
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        if num_layers < 1:
            raise DataError("num_layers", required="at least 1", got=str(num_layers))
        directions = 2 if bidirectional else 1
        self.input_size, self.hidden_size, self.bidirectional = input_size, hidden_size, bidirectional
        self.layers = [
            [make_cell(hidden_size * directions if layer else input_size, hidden_size) for _ in range(directions)]
            for layer in range(num_layers)
        ]
        for layer, cells in enumerate(self.layers):
            for cell, suffix in zip(cells, ("", "_reverse"), strict=False):
                cell.name = f"{type(self).__name__.lower()}{layer}{suffix}"
        self.dropout = Dropout(dropout)

    def initial_state(self, batch: int) -> Any:
        """Return the initial state, a tuple a layer of a state a direction."""
        return tuple(tuple(cell.initial_state(batch) for cell in cells) for cells in self.layers)

    def forward(
        self,
        xs: Tensor,
        state: Any = None,
        *,
        lengths: Tensor | Sequence[int] | None = None,
        truncate: int | None = None,
    ) -> tuple[Tensor, Any]:
        if len(xs.shape) != 3 or xs.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: the input", required=f"(batch, time, {self.input_size})", got=str(xs.shape)
            )
        state = self.initial_state(xs.shape[0]) if state is None else state
        if len(state) != len(self.layers):
            raise ShapeError("a state of another model", required=f"{len(self.layers)} layers", got=str(len(state)))
        last = []
        for depth, (cells, states) in enumerate(zip(self.layers, state, strict=True)):
            if depth:
                xs = self.dropout(xs)
            runs = [
                unroll(cell, xs, s, lengths=lengths, truncate=truncate, reverse=bool(direction))
                for direction, (cell, s) in enumerate(zip(cells, states, strict=True))
            ]
            xs = concat([ys for ys, _ in runs], axis=-1) if len(runs) > 1 else runs[0][0]
            last.append(tuple(s for _, s in runs))
        return xs, tuple(last)


class RNN(Recurrent):
    """Vanilla recurrent layers; see ``RNNCell`` and ``Recurrent``."""

    def __init__(self, input_size: int, hidden_size: int, *, nonlinearity: str = "tanh", **options: Any) -> None:
        super().__init__(lambda i, h: RNNCell(i, h, nonlinearity=nonlinearity), input_size, hidden_size, **options)


class LSTM(Recurrent):
    """Long short-term memory layers; see ``LSTMCell`` and ``Recurrent``."""

    def __init__(self, input_size: int, hidden_size: int, *, forget_bias: float = 1.0, **options: Any) -> None:
        super().__init__(lambda i, h: LSTMCell(i, h, forget_bias=forget_bias), input_size, hidden_size, **options)
