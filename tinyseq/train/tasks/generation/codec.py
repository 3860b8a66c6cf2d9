"""What a writer of sentences knows of its language, and how inputs and sentences are encoded by it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinyseq import data
from tinyseq.data.batching import IGNORED, Ids
from tinyseq.data.examples import Example
from tinyseq.data.padding import pad
from tinyseq.data.tokens import find_level
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.codec import Codec
from tinyseq.train.tasks.generation.config import W

#: The entry of a target vocabulary that stands before the first token and after the last.
END = "<end>"


class GenerationCodec(Codec[W]):
    """The target vocabulary, and the encoder's inputs, which each kind of task has its own of."""

    targets: data.Vocabulary
    #: The most tokens of a training target, its end included.
    longest: int

    def __init__(self, config: W) -> None:
        super().__init__(config)
        self.level = find_level(self.level_name)

    # What a task of this kind says about its inputs.

    @property
    @abstractmethod
    def level_name(self) -> str:
        """The level of the target sentences."""

    @abstractmethod
    def inputs(self, sources: Sequence[Any], multiple: int = 1) -> tuple[Tensor, ...]:
        """Return what the encoder is called with."""

    @abstractmethod
    def size(self, source: Any) -> int:
        """Return how long an input is; similar ones are put into one batch."""

    @abstractmethod
    def show(self, source: Any) -> Any:
        """Return an input as it stands in a prediction: plain JSON."""

    def source_tokens(self, source: Any) -> list[str]:
        """Return the names of the memory's steps, for the picture of attention."""
        return []

    # Sentences.

    def metadata(self) -> Mapping[str, Any]:
        return {"targets": self.targets.state(), "longest": self.longest}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        self.targets = data.Vocabulary.from_state(metadata.get("targets"))
        self.longest = int(metadata["longest"])

    def teach(self, examples: Sequence[Example], multiple: int = 1) -> tuple[Ids, Ids, int]:
        """Return the tokens before each position and those at it, (batch, time), and how many count."""
        rows = [self.targets.encode([*self.level.cut(e.target or ""), END]) for e in examples]
        following, _ = pad(rows, fill=IGNORED, multiple=multiple)
        previous = np.roll(following, 1, axis=1)
        previous[:, 0] = self.end
        return np.where(previous == IGNORED, self.end, previous), following, sum(map(len, rows))

    @property
    def end(self) -> int:
        """The number of the entry that starts and ends a sentence."""
        return int(self.targets.encode([END])[0])
