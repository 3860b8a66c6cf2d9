"""What a language model knows of its language: the vocabulary; and how lines are read by it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tinyseq import data
from tinyseq.data.tokens import find_level
from tinyseq.errors import DataError
from tinyseq.train.tasks.codec import Codec
from tinyseq.train.tasks.language_model.config import LanguageModelConfig


class TextCodec(Codec[LanguageModelConfig]):
    """The vocabulary of the training text.

    Where tokens are left out of it, or the held-out text has others, they share one entry, ``<unk>``, in the model and
    in the baselines alike; else there is none.
    """

    vocabulary: data.Vocabulary
    #: What a sample goes on from unless something else is given: the first line of the test text.
    first_line: str

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__(config)
        self.level = find_level(config.data.level)

    def metadata(self) -> Mapping[str, Any]:
        return {"vocabulary": self.vocabulary.state(), "prime": self.first_line}

    def restore(self, metadata: Mapping[str, Any]) -> None:
        self.vocabulary = data.Vocabulary.from_state(metadata.get("vocabulary"))
        self.first_line = str(metadata.get("prime", ""))

    def read(self, path: Path, *, targets: bool = True) -> list[str]:
        """Return the lines of a text file; what comes next in it is the target."""
        return data.load_text(path).text.splitlines(keepends=True)

    def records(self, inputs: Iterable[Any]) -> list[str]:
        lines = list(inputs)
        for number, line in enumerate(lines):
            if not isinstance(line, str):
                raise DataError("not a text", required="a str", got=repr(line)[:80], where=f"input {number}")
        return lines
