"""The network of a language model."""

from __future__ import annotations

from typing import Any

from tinyseq import nn
from tinyseq.ops.shape import reshape
from tinyseq.tensors import Tensor
from tinyseq.train.config.registry import build_recurrent
from tinyseq.train.tasks.language_model.config import ModelConfig


class LanguageModelNet(nn.Module):
    """Token -> embedding -> recurrent layers -> logits of the next token."""

    def __init__(self, config: ModelConfig, vocabulary_size: int) -> None:
        self.embedding = nn.Embedding(vocabulary_size, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = build_recurrent(
            config.cell,
            config.embedding_size,
            config.hidden_size,
            num_layers=config.num_layers,
            dropout=config.dropout,
            residual=config.residual,
            options=config.options,
        )
        self.head = nn.Linear(self.recurrent.output_size, vocabulary_size)

    def forward(self, ids: Tensor, state: Any = None, *, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """Return the features (batch, time, hidden) that the head reads, and the last state."""
        xs = self.dropout(self.embedding(ids))
        ys, state = self.recurrent(xs, state, lengths=lengths)
        return self.dropout(ys), state

    def logits(self, ys: Tensor) -> Tensor:
        """Return the head's logits, all positions in one product: (batch * time, vocabulary)."""
        logits: Tensor = self.head(reshape(ys, (-1, ys.shape[-1])))
        return logits

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return the logits (rows, vocabulary) of what follows tokens (rows,), and the new state."""
        y, state = self.recurrent.step(self.dropout(self.embedding(tokens)), state)
        return self.head(self.dropout(y)), state
