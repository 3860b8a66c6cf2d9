"""The tagger: what a word is and how it is spelled, read in both directions."""

from __future__ import annotations

from tinyseq import nn
from tinyseq.ops.shape import concat, reshape
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.tagging.config import TaggerConfig


class Tagger(nn.Module):
    """[word vector, last outputs over its characters] -> recurrent layers -> logits of each word's tag."""

    def __init__(self, config: TaggerConfig, words: int, characters: int, tags: int) -> None:
        self.words = nn.Embedding(words, config.embedding_size)
        features = config.embedding_size
        self.characters: nn.Embedding | None = None
        if config.characters:
            small = config.model_copy(
                update={"hidden_size": config.characters, "num_layers": 1, "bidirectional": True, "dropout": 0.0}
            )
            self.characters = nn.Embedding(characters, config.characters)
            self.spelling = small.build(config.characters)
            self.summary_of_word = nn.FinalPooling(self.spelling.output_size, True)
            features += self.spelling.output_size
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = config.build(features)
        self.head = nn.Linear(self.recurrent.output_size, tags)

    def forward(self, words: Tensor, lengths: Tensor, characters: Tensor, sizes: Tensor) -> Tensor:
        """Return logits (batch, time, tags).

        Args:
            words: (batch, time).
            lengths: (batch,), words of each sentence.
            characters: (batch * time, characters).
            sizes: (batch * time,), characters of each word.
        """
        xs = self.words(words)
        if self.characters is not None:
            ys, _ = self.spelling(self.characters(characters), lengths=sizes)
            spelled = reshape(self.summary_of_word(ys, sizes), (*words.shape, -1))
            xs = concat([xs, spelled], axis=-1)
        ys, _ = self.recurrent(self.dropout(xs), lengths=lengths)
        logits: Tensor = self.head(self.dropout(ys))
        return logits
