"""Writers: a sequence, token by token, from what an encoder read.

A writer's calls all take the token before each position, (batch, time): the truth in training (teacher forcing), what
it wrote itself when it decodes, a mixture of both in scheduled sampling. One entry of its vocabulary both starts and
ends a sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinyseq.creation import tensor
from tinyseq.nn.cells import Cell
from tinyseq.nn.decoders import AttentionDecoder, BahdanauDecoder, LuongDecoder
from tinyseq.nn.decoding import Array, Step
from tinyseq.nn.encoders import Encoded, PositionedEmbedding
from tinyseq.nn.layers import Dropout, Embedding, Linear
from tinyseq.nn.module import Module
from tinyseq.nn.recurrent import Stack
from tinyseq.nn.transformer import TransformerDecoder
from tinyseq.ops.elementwise import stop_gradient, where
from tinyseq.ops.predicates import less
from tinyseq.ops.reduce import cumsum, mean, softmax, sum_
from tinyseq.ops.shape import concat, expand_dims, reshape
from tinyseq.registry import Registry
from tinyseq.tensors import Tensor
from tinyseq.unrolling import unroll


class Writer(Module):
    """The base of writers."""

    def forward(self, previous: Tensor, encoded: Encoded) -> Tensor:
        """Return the logits of each position, all in one table: (batch * time, vocabulary)."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def scheduled(self, previous: Tensor, encoded: Encoded, keep: Tensor, draws: Tensor) -> Tensor:
        """Return logits where only the positions in ``keep`` read the true token before them (Bengio et al. 2015).

        The others read one that the writer draws from its own distribution; no gradient flows through the draw.

        Args:
            previous: true tokens before each position (batch, time).
            encoded: what was read.
            keep: booleans (batch, time).
            draws: uniform numbers in [0, 1), (batch, time), that the draws are made with.
        """
        raise NotImplementedError(f"{type(self).__name__} has no scheduled sampling")

    def stepper(self, encoded: Encoded, copies: int = 1) -> tuple[Step, Any]:
        """Return the step and the first state for ``nn.decoding``, each row ``copies`` times; the step gives logits."""
        raise NotImplementedError(f"{type(self).__name__} does not go step by step")

    @property
    def attends(self) -> bool:
        """Whether it looks at what was read, so that ``weights`` are not None."""
        return False

    def weights(self, previous: Tensor, encoded: Encoded) -> Tensor | None:
        """Return what each position looks at, (batch, time, memory time); None where nothing is looked at."""
        return None


class Unaided(NamedTuple):
    """The output of a decoder that looks at nothing."""

    output: Tensor
    weights: None = None


class UnaidedCell(Module):
    """A cell as a decoder that sees no more of what was read than the state it starts from (Sutskever et al. 2014)."""

    def __init__(self, make_cell: Callable[..., Cell], input_size: int, hidden_size: int, memory_size: int) -> None:
        self.cell = make_cell(input_size, hidden_size)
        self.output_size = self.cell.output_size

    def over(self, memory: Tensor, memory_lengths: Tensor | None = None) -> UnaidedCell:
        """Return itself: there is no memory."""
        return self

    def state_from(self, inner: Any) -> Any:
        """Return the cell's first state."""
        return inner

    def step(self, x: Tensor, state: Any) -> tuple[Unaided, Any]:
        """Return (y_t, s_t) for x_t and s_{t-1}."""
        y, state = self.cell.step(x, state)
        return Unaided(y), state


#: Name -> (make_cell, input_size, hidden_size, memory_size) -> what a recurrent writer steps with.
ATTENTIONS: Registry[Callable[..., AttentionDecoder | UnaidedCell]] = Registry(
    "attention",
    {
        "additive": BahdanauDecoder,
        "dot": LuongDecoder,
        "none": UnaidedCell,
    },
)


class RecurrentWriter(Writer):
    """Embedding of the token before, recurrent layers with or without attention, logits.

    Args:
        make_cell: (input_size, hidden_size) -> cell.
        vocabulary: how many entries.
        memory_size: features of the memory.
        attention: a name in ``ATTENTIONS``.
    """

    def __init__(
        self,
        make_cell: Callable[..., Cell],
        vocabulary: int,
        embedding_size: int,
        hidden_size: int,
        memory_size: int,
        *,
        attention: str = "none",
        num_layers: int = 1,
        dropout: float = 0.0,
        residual: bool = False,
    ) -> None:
        self.embedding = Embedding(vocabulary, embedding_size)
        self.dropout = Dropout(dropout)

        def make_stack(input_size: int, hidden_size: int) -> Stack:
            cells = [make_cell(input_size, hidden_size)]
            while len(cells) < num_layers:
                cells.append(make_cell(cells[-1].output_size, hidden_size))
            return Stack(cells, dropout=dropout, residual=residual)

        self.decoder = ATTENTIONS.find(attention)(make_stack, embedding_size, hidden_size, memory_size)
        self.head = Linear(self.decoder.output_size, vocabulary)

    @property
    def cells(self) -> list[Cell]:
        """The cells, one a layer."""
        stack = self.decoder.cell
        assert isinstance(stack, Stack)
        return stack.cells

    def forward(self, previous: Tensor, encoded: Encoded) -> Tensor:
        ys = self._run(previous, encoded)
        return self.head(reshape(ys.output, (-1, ys.output.shape[-1])))

    def scheduled(self, previous: Tensor, encoded: Encoded, keep: Tensor, draws: Tensor) -> Tensor:
        cell, state = self._begin(encoded)

        def step(x: tuple[Tensor, Tensor, Tensor], state: tuple[Any, Tensor]) -> tuple[Tensor, Any]:
            truth, keep, draw = x
            inner, own = state
            y, inner = cell.step(where(expand_dims(keep, -1), truth, own), inner)
            logits = self.head(self.dropout(y.output))
            return logits, (inner, self.dropout(self.embedding(drawn(logits, draw))))

        xs = self.dropout(self.embedding(previous))
        logits, _ = unroll(step, (xs, keep, draws), (state, xs[:, 0]))
        return reshape(logits, (-1, logits.shape[-1]))

    def stepper(self, encoded: Encoded, copies: int = 1) -> tuple[Step, Any]:
        cell, state = self._begin(encoded.repeat(copies))

        def step(tokens: Array, state: Any) -> tuple[Array, Any]:
            y, state = cell.step(self.dropout(self.embedding(tensor(tokens))), state)
            return self.head(self.dropout(y.output)).numpy(), state

        return step, state

    @property
    def attends(self) -> bool:
        return not isinstance(self.decoder, UnaidedCell)

    def weights(self, previous: Tensor, encoded: Encoded) -> Tensor | None:
        weights: Tensor | None = self._run(previous, encoded).weights
        return weights

    def _begin(self, encoded: Encoded) -> tuple[Any, Any]:
        return self.decoder.over(encoded.memory, encoded.lengths), self.decoder.state_from(encoded.state)

    def _run(self, previous: Tensor, encoded: Encoded) -> Any:
        cell, state = self._begin(encoded)
        ys, _ = unroll(cell, self.dropout(self.embedding(previous)), state)
        return ys._replace(output=self.dropout(ys.output))


class TransformerWriter(Writer):
    """Embedding and positions, Transformer decoder layers over the memory, logits; layers normalise first."""

    def __init__(
        self, vocabulary: int, features: int, heads: int, num_layers: int, hidden_size: int, *, dropout: float = 0.0
    ) -> None:
        self.embedding = PositionedEmbedding(vocabulary, features, dropout=dropout)
        self.decoder = TransformerDecoder(features, heads, num_layers, hidden_size, dropout=dropout, norm_first=True)
        self.head = Linear(features, vocabulary)

    def forward(self, previous: Tensor, encoded: Encoded) -> Tensor:
        ys = self.decoder(self.embedding(previous), encoded.memory, memory_lengths=encoded.lengths)
        return self.head(reshape(ys, (-1, ys.shape[-1])))

    def scheduled(self, previous: Tensor, encoded: Encoded, keep: Tensor, draws: Tensor) -> Tensor:
        """Two passes (Mihaylova and Martins 2019): what the first one, on true tokens, draws is read by the second."""
        batch, time = previous.shape
        logits = stop_gradient(self(previous, encoded))
        own = reshape(drawn(logits, reshape(draws, (-1,))), (batch, time))
        own = concat([previous[:, :1], own[:, :-1]], axis=1)
        return self(where(keep, previous, own), encoded)

    def stepper(self, encoded: Encoded, copies: int = 1) -> tuple[Step, Any]:
        repeated = encoded.repeat(copies)

        def step(tokens: Array, state: Array) -> tuple[Array, Any]:
            written = np.concatenate([state, tokens[:, None]], axis=1)
            logits = self(tensor(written), repeated).numpy()
            return logits.reshape(*written.shape, -1)[:, -1], written

        return step, np.zeros((repeated.memory.shape[0], 0), np.int64)

    @property
    def attends(self) -> bool:
        return True

    def weights(self, previous: Tensor, encoded: Encoded) -> Tensor | None:
        """The last layer's, the mean over its heads."""
        x, last = self.embedding(previous), self.decoder.layers[-1]
        for layer in self.decoder.layers[:-1]:
            x = layer(x, encoded.memory, memory_lengths=encoded.lengths)
        x = x + last.look(last.norm1(x), None, None, True)
        _, heads = last.multihead_attn(last.norm2(x), encoded.memory, lengths=encoded.lengths)
        return mean(heads, 1)


class EncoderDecoder(Module):
    """An encoder and a writer."""

    def __init__(self, encoder: Module, writer: Writer) -> None:
        self.encoder, self.writer = encoder, writer

    def forward(self, previous: Tensor, *inputs: Tensor) -> Tensor:
        """Return the logits (batch * time, vocabulary) of each position."""
        return self.writer(previous, self.encoder(*inputs))


def drawn(logits: Tensor, draws: Tensor) -> Tensor:
    """Return tokens (...) drawn from softmax(logits) (..., vocabulary) by uniform numbers (...): the inverse of Σ p."""
    below = cumsum(softmax(stop_gradient(logits), -1), -1)
    tokens: Tensor = sum_(less(below, expand_dims(draws, -1) * below[..., -1:]).cast(np.int64), -1)
    return tokens
