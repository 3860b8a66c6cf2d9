"""What a tagger knows of its language: words, characters, tags; and how sentences are read and encoded by it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyseq import data
from tinyseq.creation import tensor
from tinyseq.data.batching import IGNORED
from tinyseq.data.compressed import suffix
from tinyseq.data.conll import UNTAGGED, Tagged, TaggedFile, TaggedForm, is_prose, read_tagged
from tinyseq.data.padding import MULTIPLE, pad
from tinyseq.data.text import load_text
from tinyseq.errors import DataError
from tinyseq.tensors import Tensor
from tinyseq.train.tasks.codec import Codec
from tinyseq.train.tasks.role import Array
from tinyseq.train.tasks.tagging.config import TaggingConfig

#: Characters of a word that are read; a longer word loses its middle.
LONGEST_WORD = 24


class SentenceCodec(Codec[TaggingConfig]):
    """The vocabularies of words and characters, the tags, and what the training file was read as."""

    words: data.Vocabulary
    characters: data.Vocabulary
    tags: tuple[str, ...]
    #: What the training file was read as; None before it is read, and where sentences are made.
    form: TaggedForm | None = None
    #: Whether tags are those of entities.
    entities: bool

    def metadata(self) -> Mapping[str, Any]:
        return {
            "words": self.words.state(),
            "characters": self.characters.state(),
            "tags": list(self.tags),
            "entities": self.entities,
            "form": None if self.form is None else dataclasses.asdict(self.form),
        }

    def restore(self, metadata: Mapping[str, Any]) -> None:
        self.words = data.Vocabulary.from_state(metadata.get("words"))
        self.characters = data.Vocabulary.from_state(metadata.get("characters"))
        self.tags = tuple(metadata["tags"])
        self.entities = metadata.get("entities", self.config.data.scheme != "none")
        form = metadata.get("form")
        self.form = None if form is None else TaggedForm(**{**form, "columns": tuple(form["columns"])})

    def read(self, path: Path, *, targets: bool = True) -> list[Tagged]:
        """Return the sentences of a file in one of the forms of CoNLL, read as the training file was.

        Without targets, a ``.txt`` file that is none of them has a sentence a line.
        """
        if not targets and suffix(path) == ".txt" and is_prose(path, self.form, self.tags):
            return [Tagged(tuple(line.split())) for line in load_text(path).text.split("\n") if line.strip()]
        return self.read_file(path, targets=targets).sentences

    def read_file(self, path: Path, *, targets: bool = True) -> TaggedFile:
        """Return what ``read_tagged`` finds, as the config says, and as the training file was read."""
        config = self.config.data
        return read_tagged(
            path,
            targets=targets,
            scheme="none" if self.form is not None and not self.entities else config.scheme,
            format=config.format,
            word=config.word,
            tag=config.tag,
            comments=config.comments,
            like=self.form,
        )

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
        characters, sizes = pad(spelled, multiple=2 * MULTIPLE)  # coarser: each goes with each length of sentences
        return tensor(words), tensor(lengths), tensor(characters), tensor(sizes)

    def numbers(self, sentences: Sequence[Tagged]) -> list[Array]:
        """Return the numbers of the sentences' tags; ``IGNORED`` for one that training has not seen, or for none.

        Raises:
            DataError: a sentence has no tags.
        """
        known = {tag: number for number, tag in enumerate(self.tags)}
        for row, sentence in enumerate(sentences):
            if sentence.tags is None:
                raise DataError("a sentence without tags", required="a tag for each word", where=f"sentence {row}")
        return [np.array([known.get(tag, IGNORED) for tag in s.tags or ()], np.int64) for s in sentences]

    def unseen(self, sentences: Iterable[Tagged]) -> Counter[str]:
        """Return the tags that training has not seen, and how often each is there."""
        known = {*self.tags, UNTAGGED}
        return Counter(tag for s in sentences for tag in s.tags or () if tag not in known)


def _shortened(word: str) -> str:
    return word if len(word) <= LONGEST_WORD else word[: LONGEST_WORD // 2] + word[-LONGEST_WORD // 2 :]
