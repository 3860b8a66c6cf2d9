"""Networks from one input to one output: recurrent layers and a pooling of them, or, for a vector, an MLP."""

from __future__ import annotations

import itertools
from typing import Annotated

from pydantic import Field

from tinyseq import nn
from tinyseq.nn.pooling import POOLINGS
from tinyseq.ops.elementwise import relu
from tinyseq.tensors import Tensor
from tinyseq.train.config.model_sections import RecurrentConfig
from tinyseq.train.config.section import OneOf


class SummaryConfig(RecurrentConfig):
    """What learns: recurrent layers and how they are summed up; for vectors the layers of an MLP."""

    embedding_size: int = Field(32, ge=1, description="Features of a token's learned vector (text).")
    pooling: Annotated[str, OneOf(POOLINGS)] = Field(
        "final", description="One vector for a sequence: its final outputs, their mean, or attention over them."
    )
    layers: list[int] = Field(default=[64], description="Units of each hidden layer of the MLP (vectors).")


class SequenceNet(nn.Module):
    """Features over time -> recurrent layers -> pooling -> outputs."""

    def __init__(self, config: SummaryConfig, features: int, outputs: int) -> None:
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = config.build(features)
        self.pooling = POOLINGS[config.pooling](self.recurrent.output_size, config.bidirectional)
        self.head = nn.Linear(self.recurrent.output_size, outputs)

    def forward(self, xs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return (batch, outputs) for (batch, time, features)."""
        ys, _ = self.recurrent(xs, lengths=lengths)
        outputs: Tensor = self.head(self.dropout(self.pooling(ys, lengths)))
        return outputs

    @property
    def attends(self) -> bool:
        """Whether the pooling weighs the steps."""
        return isinstance(self.pooling, nn.AttentionPooling)

    def weights(self, xs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return how much each step counts, (batch, time), where the network ``attends``."""
        ys, _ = self.recurrent(xs, lengths=lengths)
        weights: Tensor = self.pooling.weights(ys, lengths)  # type: ignore[attr-defined]
        return weights


class TextNet(nn.Module):
    """Tokens -> embeddings -> ``SequenceNet``."""

    def __init__(self, config: SummaryConfig, vocabulary_size: int, outputs: int) -> None:
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.sequence = SequenceNet(config, config.embedding_size, outputs)

    def forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return (batch, outputs) for ids (batch, time)."""
        outputs: Tensor = self.sequence(self.dropout(self.embedding(ids)), lengths)
        return outputs

    @property
    def attends(self) -> bool:
        """Whether the pooling weighs the steps."""
        return self.sequence.attends

    def weights(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return how much each token counts, (batch, time), where the network ``attends``."""
        return self.sequence.weights(self.embedding(ids), lengths)


class MLP(nn.Module):
    """y = W_n relu(... relu(W_1 x + b_1) ...) + b_n, dropout on each hidden layer."""

    def __init__(self, config: SummaryConfig, features: int, outputs: int) -> None:
        sizes = [features, *config.layers]
        self.hidden = [nn.Linear(a, b, init="he") for a, b in itertools.pairwise(sizes)]
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(sizes[-1], outputs)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return (batch, outputs) for (batch, features)."""
        for layer in self.hidden:
            x = self.dropout(relu(layer(x)))
        outputs: Tensor = self.head(x)
        return outputs
