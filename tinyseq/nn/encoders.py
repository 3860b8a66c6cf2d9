"""Encoders: what is read, as states that a writer of sequences starts from and looks at."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tinyseq import trees
from tinyseq.creation import tensor
from tinyseq.errors import DataError
from tinyseq.nn.cells import Cell
from tinyseq.nn.layers import Dropout, Embedding, Linear
from tinyseq.nn.module import Module, buffer
from tinyseq.nn.positions import LearnedPositions, SinusoidalPositions
from tinyseq.nn.recurrent import Recurrent
from tinyseq.nn.transformer import TransformerEncoder
from tinyseq.ops.elementwise import relu, tanh
from tinyseq.ops.shape import concat, expand_dims, reshape, take
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
    """y_t = sqrt(features) W[id_t] + P_t (Vaswani et al. 2017, sec. 3.4 and 3.5).

    W starts with standard deviation 1 / sqrt(features), so that what is added to P starts with 1.
    """

    def __init__(self, vocabulary: int, features: int, *, dropout: float = 0.0) -> None:
        self.table = Embedding(vocabulary, features, std=max(features, 1) ** -0.5)
        self.positions = SinusoidalPositions(features)
        self.dropout = Dropout(dropout)
        self.factor = math.sqrt(features)

    def forward(self, ids: Tensor) -> Tensor:
        return self.dropout(self.positions(self.table(ids) * self.factor))


class FeatureEncoder(Module):
    """One vector: x (batch, features) -> the first state of a writer, and a memory to look at.

    x' = (x - shift) / scale;  v = relu(x' W_1 + b_1);  each part of each layer's state is tanh(v W + b).
    ``fit`` sets shift and scale to the mean and the deviation of training inputs. The memory is v, one step.

    Args:
        features: of a vector.
        hidden_size: units of v; also the features of the memory.
        cells: the writer's cells, one a layer, whose states are made.
        patches: integers (patches, points), which features belong to each patch of a picture. With them the memory is
            m_p = relu(x'[patch p] W_p + b_p) + P_p, the same weights for every patch and a learned P_p for its place,
            and v is made of all of it (Xu et al. 2015, with one layer in place of their convolutional network).
    """

    def __init__(
        self,
        features: int,
        hidden_size: int,
        cells: list[Cell],
        *,
        dropout: float = 0.0,
        patches: np.ndarray[Any, Any] | None = None,
    ) -> None:
        self.shift, self.scale = buffer(np.zeros(features)), buffer(np.ones(features))
        self.patches, self.output_size = patches, hidden_size
        if patches is not None:
            self.patch = Linear(patches.shape[1], hidden_size, init="he")
            self.places = LearnedPositions(len(patches), hidden_size)
            features = len(patches) * hidden_size
        self.linear = Linear(features, hidden_size)
        self.dropout = Dropout(dropout)
        self.sizes = trees.map_leaves(lambda x: x.shape[-1], tuple(cell.initial_state(1) for cell in cells))
        self.linears = [Linear(hidden_size, size) for _, size in trees.leaves(self.sizes)]

    def fit(self, x: np.ndarray[Any, Any]) -> None:
        """Measure shift and scale on training inputs (rows, features); what never changes there is not scaled."""
        deviation = x.std(0)
        self.shift.assign(tensor(x.mean(0), dtype=self.shift.dtype))
        self.scale.assign(tensor(np.where(deviation > 1e-6, deviation, 1.0), dtype=self.scale.dtype))

    def forward(self, x: Tensor) -> Encoded:
        x = (x - self.shift) / self.scale
        memory = None
        if self.patches is not None:
            cut = reshape(take(x, tensor(self.patches.reshape(-1)), 1), (x.shape[0], *self.patches.shape))
            memory = self.dropout(self.places(relu(self.patch(cut))))
            x = reshape(memory, (x.shape[0], -1))
        v = self.dropout(relu(self.linear(x)))
        linears = iter(self.linears)
        state = trees.map_leaves(lambda _: tanh(next(linears)(v)), self.sizes)
        return Encoded(expand_dims(v, 1) if memory is None else memory, None, state)


def patches_of(shape: tuple[int, ...], size: int) -> np.ndarray[Any, Any]:
    """Return which features belong to each square of a picture (rows, columns, ...): (patches, points).

    Squares are ``size`` wide and overlap by half; a border that is too narrow for one more is left out.

    Raises:
        DataError: no picture, or one smaller than a square.
    """
    if len(shape) < 2 or min(shape[:2]) < size:
        raise DataError("patches of a picture", required=f"at least {size} rows and columns", got=f"shape {shape}")
    numbers = np.arange(math.prod(shape)).reshape(*shape[:2], -1)
    starts = [range(0, extent - size + 1, max(size // 2, 1)) for extent in shape[:2]]
    return np.array([numbers[i : i + size, j : j + size].reshape(-1) for i in starts[0] for j in starts[1]])
