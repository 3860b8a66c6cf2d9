"""Vocabularies: tokens to integers and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinyseq.errors import DataError

#: The entry that stands for every token that is not in the vocabulary.
UNKNOWN = "<unk>"


class Vocabulary:
    """Tokens, numbered from 0; with ``unknown`` the last number stands for every other token.

    A character is a token of length 1, so the name of the unknown entry can never be a character of a text.
    """

    def __init__(self, tokens: Iterable[str], *, unknown: bool = False) -> None:
        self.tokens = tuple(tokens)
        self._ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens) or UNKNOWN in self._ids:
            raise DataError("a vocabulary with a token twice", required=f"each token once, and none called {UNKNOWN}")
        #: The number of the unknown entry, or None.
        self.unknown: int | None = len(self.tokens) if unknown else None

    @classmethod
    def build(cls, tokens: Iterable[str], *, unknown: bool = False) -> Vocabulary:
        """Return the vocabulary of a text, sorted, so that it depends on the set of tokens only."""
        return cls(sorted(set(tokens)), unknown=unknown)

    def __len__(self) -> int:
        return len(self.tokens) + (self.unknown is not None)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def encode(self, tokens: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the numbers of tokens (a string is a sequence of characters).

        Raises:
            DataError: a token is not in the vocabulary, and there is no unknown entry.
        """
        if self.unknown is None and (missing := sorted(set(tokens) - self._ids.keys())):
            shown = ", ".join(map(repr, missing[:10]))
            first = next(i for i, token in enumerate(tokens) if token not in self._ids)
            raise DataError(
                "tokens that are not in the vocabulary",
                required=f"the {len(self.tokens)} tokens of the training text",
                got=f"{shown}{' and more' if len(missing) > 10 else ''}, first at position {first}",
                fix="leave them out, or train on a text that has them",
            )
        default = -1 if self.unknown is None else self.unknown
        return np.fromiter((self._ids.get(token, default) for token in tokens), np.int64, len(tokens))

    def decode(self, ids: Iterable[int], *, unknown: str = "\N{REPLACEMENT CHARACTER}") -> str:
        """Return the text of numbers; ``unknown`` is written for the unknown entry."""
        entries = (*self.tokens, unknown)
        return "".join(entries[int(i)] for i in ids)

    def lookup(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of numbers, one by one; ``<unk>`` for the unknown entry."""
        entries = (*self.tokens, UNKNOWN)
        return [entries[int(i)] for i in ids]

    def state(self) -> dict[str, Any]:
        """Return what ``from_state`` makes the same vocabulary of; it is plain JSON."""
        return {"tokens": list(self.tokens), "unknown": self.unknown is not None}

    @classmethod
    def from_state(cls, state: Any) -> Vocabulary:
        """Return the vocabulary of a state.

        Raises:
            DataError: it is no such state.
        """
        tokens = state.get("tokens") if isinstance(state, dict) else None
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise DataError("not the state of a vocabulary", required='{"tokens": [...], "unknown": true or false}')
        return cls(tokens, unknown=bool(state.get("unknown")))
