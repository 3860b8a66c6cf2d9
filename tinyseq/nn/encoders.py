"""Encoders: what is read, as states that a writer of sequences starts from and looks at."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tinyseq import trees
from tinyseq.creation import tensor
from tinyseq.nn.cells import Cell
from tinyseq.nn.layers import Dropout, Embedding, Linear
from tinyseq.nn.module import Module
from tinyseq.nn.positions import SinusoidalPositions
from tinyseq.nn.recurrent import Recurrent
from tinyseq.nn.transformer import TransformerEncoder
from tinyseq.ops.elementwise import relu, tanh
from tinyseq.ops.shape import concat, take
from tinyseq.tensors import Tensor


class Encoded(NamedTuple):
    """What was read.

    ``memory`` (batch, time, features) is looked at, its first ``lengths`` (batch,) steps; ``state``, a state a layer,
    is where a recurrent writer starts, None where the encoder has none.
    """

    memory: Tensor
    lengths: Tensor | None
    state: Any

    def repeat(self, copies: int) -> Encoded:
        """Return it with each row ``copies`` times, one after another."""
        if copies == 1:
            return self
        rows = [row for row in range(self.memory.shape[0]) for _ in range(copies)]
        again: Encoded = trees.map_leaves(lambda x: take(x, tensor(rows), 0), self)
        return again


class RecurrentEncoder(Module):
    """Embedding and recurrent layers: ids (batch, time) -> memory, and the last states.

    With ``bidirectional`` the two directions of a layer become one state, each part tanh([forward, backward] W + b)
    (Bahdanau, Cho and Bengio 2015, A.2.2, take the backward one alone).

    Args:
        recurrent: the layers, which read embeddings.
        vocabulary: how many entries the embedding has.
        dropout: probability, on embeddings and on the memory, in training.
    """

    def __init__(self, recurrent: Recurrent, vocabulary: int, *, dropout: float = 0.0) -> None:
        self.embedding = Embedding(vocabulary, recurrent.input_size)
        self.dropout = Dropout(dropout)
        self.recurrent = recurrent
        self.output_size = recurrent.output_size
        self.bridges = [StateBridge(cells) for cells in recurrent.layers] if recurrent.bidirectional else []

    def forward(self, ids: Tensor, lengths: Tensor) -> Encoded:
        ys, last = self.recurrent(self.dropout(self.embedding(ids)), lengths=lengths)
        if self.bridges:
            state = tuple(bridge(directions) for bridge, directions in zip(self.bridges, last, strict=True))
        else:
            state = tuple(directions[0] for directions in last)
        return Encoded(self.dropout(ys), lengths, state)


class StateBridge(Module):
    """States of several cells of one form become one: each part tanh([part_1, ..., part_n] W + b)."""

    def __init__(self, cells: list[Cell]) -> None:
        parts = [x for _, x in trees.leaves(cells[0].initial_state(1))]
        self.linears = [Linear(len(cells) * x.shape[-1], x.shape[-1]) for x in parts]

    def forward(self, states: tuple[Any, ...]) -> Any:
        linears = iter(self.linears)
        return trees.map_leaves(lambda *parts: tanh(next(linears)(concat(parts, axis=-1))), *states)


class TransformerTextEncoder(Module):
    """Embedding, positions and Transformer layers: ids (batch, time) -> memory.

    Layers normalise first (Xiong et al. 2020), so that they train without a warm-up.
    """

    def __init__(
        self, vocabulary: int, features: int, heads: int, num_layers: int, hidden_size: int, *, dropout: float = 0.0
    ) -> None:
        self.embedding = PositionedEmbedding(vocabulary, features, dropout=dropout)
        self.encoder = TransformerEncoder(features, heads, num_layers, hidden_size, dropout=dropout, norm_first=True)
        self.output_size = features

    def forward(self, ids: Tensor, lengths: Tensor) -> Encoded:
        return Encoded(self.encoder(self.embedding(ids), lengths=lengths), lengths, None)


class PositionedEmbedding(Module):
    """y_t = sqrt(features) W[id_t] + P_t (Vaswani et al. 2017, sec. 3.4 and 3.5)."""

    def __init__(self, vocabulary: int, features: int, *, dropout: float = 0.0) -> None:
        self.table = Embedding(vocabulary, features)
        self.positions = SinusoidalPositions(features)
        self.dropout = Dropout(dropout)
        self.factor = math.sqrt(features)

    def forward(self, ids: Tensor) -> Tensor:
        return self.dropout(self.positions(self.table(ids) * self.factor))


class FeatureEncoder(Module):
    """One vector: x (batch, features) -> the first state of a writer, and the vector as a memory of one step.

    v = relu(x W_1 + b_1), and each part of each layer's state is tanh(v W + b).

    Args:
        features: of a vector.
        hidden_size: units of v; also the features of the memory.
        cells: the writer's cells, one a layer, whose states are made.
    """

    def __init__(self, features: int, hidden_size: int, cells: list[Cell], *, dropout: float = 0.0) -> None:
        self.linear = Linear(features, hidden_size)
        self.dropout = Dropout(dropout)
        self.sizes = trees.map_leaves(lambda x: x.shape[-1], tuple(cell.initial_state(1) for cell in cells))
        self.linears = [Linear(hidden_size, size) for _, size in trees.leaves(self.sizes)]
        self.output_size = hidden_size

    def forward(self, x: Tensor) -> Encoded:
        v = self.dropout(relu(self.linear(x)))
        linears = iter(self.linears)
        state = trees.map_leaves(lambda _: tanh(next(linears)(v)), self.sizes)
        return Encoded(v[:, None], tensor([1] * x.shape[0]), state)
