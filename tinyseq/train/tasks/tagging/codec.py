"""What a tagger knows of its language: words, characters, tags; and how sentences are read and encoded by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyseq import data
from tinyseq.creation import tensor
from tinyseq.data.conll import Tagged, read_conll
from tinyseq.data.padding import pad
from tinyseq.data.text import load_text
from tinyseq.errors import DataError, did_you_mean
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.codec import Codec
from tinyseq.train.tasks.role import Array
from tinyseq.train.tasks.tagging.config import TaggingConfig

#: Sentences are padded to a multiple of this many words, words to one of so many characters: few shapes are compiled.
MULTIPLE = 8
#: Characters of a word that are read; a longer word loses its middle.
LONGEST_WORD = 24


class SentenceCodec(Codec[TaggingConfig]):
    """The vocabularies of words and characters, and the tags."""

    words: data.Vocabulary
    characters: data.Vocabulary
    tags: tuple[str, ...]

    def metadata(self) -> Mapping[str, Any]:
        return {"words": self.words.state(), "characters": self.characters.state(), "tags": list(self.tags)}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        self.words = data.Vocabulary.from_state(metadata.get("words"))
        self.characters = data.Vocabulary.from_state(metadata.get("characters"))
        self.tags = tuple(metadata["tags"])

    def read(self, path: Path, *, targets: bool = True) -> list[Tagged]:
        """Return the sentences of a CoNLL file; without targets, a ``.txt`` file has a sentence a line instead."""
        if not targets and path.suffix == ".txt":
            return [Tagged(tuple(line.split())) for line in load_text(path).text.split("\n") if line.strip()]
        return read_conll(path, targets=targets, scheme=self.config.data.scheme)

    def records(self, inputs: Iterable[Any]) -> list[Tagged]:
        sentences = []
        for number, value in enumerate(inputs):
            words = value.split() if isinstance(value, str) else list(value)
            if not words or not all(isinstance(word, str) and word for word in words):
                raise DataError(
                    f"input {number} is not a sentence", required="a list of words, or a str", got=repr(value)[:80]
                )
            sentences.append(Tagged(tuple(words)))
        return sentences

    def encode(self, sentences: Sequence[Tagged]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what the network reads of sentences: words, their number, characters, their number a word."""
        words, lengths = pad([self.words.encode(s.words) for s in sentences], multiple=MULTIPLE)
        spelled: list[Array] = []
        for sentence in sentences:
            spelled += [self.characters.encode(_shortened(word)) for word in sentence.words]
            spelled += [np.zeros(0, np.int64)] * (words.shape[1] - len(sentence.words))
        characters, sizes = pad(spelled, multiple=MULTIPLE)
        return tensor(words), tensor(lengths), tensor(characters), tensor(sizes)

    def numbers(self, sentences: Sequence[Tagged]) -> list[Array]:
        """Return the numbers of the sentences' tags.

        Raises:
            DataError: a sentence has none, or one that training did not know.
        """
        known = {tag: number for number, tag in enumerate(self.tags)}
        for row, sentence in enumerate(sentences):
            if sentence.tags is None:
                raise DataError("a sentence without tags", required="a tag for each word", where=f"sentence {row}")
            for word, tag in zip(sentence.words, sentence.tags, strict=True):
                if tag not in known:
                    raise DataError(
                        "a tag that training did not know",
                        required=f"one of: {', '.join(self.tags)}",
                        got=f"{tag} of {word!r}",
                        where=f"sentence {row}",
                        fix=did_you_mean(tag, self.tags),
                    )
        return [np.array([known[tag] for tag in s.tags or ()], np.int64) for s in sentences]


def _shortened(word: str) -> str:
    return word if len(word) <= LONGEST_WORD else word[: LONGEST_WORD // 2] + word[-LONGEST_WORD // 2 :]
