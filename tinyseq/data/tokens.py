"""Tokens: what a text is cut into. A level is a way to cut, and to put together again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tinyseq.data.vocabulary import UNKNOWN, Vocabulary
from tinyseq.registry import Registry

#: A word with its inner apostrophes and hyphens, a number, an entry in angle brackets, a line end, or one other sign.
_WORD = re.compile(r"\d+(?:[.,:]\d+)*|\w+(?:['’-]\w+)*|<\w+>|\n|[^\w\s]")
#: No space before these, and none after those.
_CLOSING: Final = frozenset(".,;:!?)]}%”’\n")
_OPENING: Final = frozenset("([{“‘$#\n")


@dataclass(frozen=True)
class Level:
    """How a text becomes tokens and tokens become a text.

    ``unit`` is the word for one token, ``bits`` what metrics call bits a token.
    """

    name: str
    unit: str
    bits: str
    cut: Callable[[str], list[str]]
    join: Callable[[Iterable[str]], str]


def _join_words(words: Iterable[str]) -> str:
    text, last = "", "\n"
    for word in words:
        text += word if word in _CLOSING or last in _OPENING else f" {word}"
        last = word
    return text


#: Level -> cutting and joining; a level of one's own joins with ``LEVELS.register("mine", Level(...))``.
LEVELS: Registry[Level] = Registry(
    "level",
    {
        # Every character, spaces included: nothing is lost.
        "char": Level("char", "character", "bpc", list, "".join),
        # Words, numbers, signs and line ends; how many spaces stood between them is not kept.
        "word": Level("word", "word", "bpw", _WORD.findall, _join_words),
    },
)


def find_level(name: str) -> Level:
    """Return a level by its name.

    Raises:
        DataError: there is none of that name.
    """
    return LEVELS.find(name)


def build_vocabulary(
    texts: Iterable[Sequence[str]],
    *,
    specials: Sequence[str] = (),
    min_count: int = 1,
    max_size: int | None = None,
    unknown: bool | None = None,
) -> Vocabulary:
    """Return the vocabulary of tokenised texts, its tokens sorted, so that it does not depend on their order.

    Args:
        texts: lists of tokens.
        specials: entries that stand first, of no text.
        min_count: a token that is rarer is left out.
        max_size: the most tokens that are kept, the most frequent ones (of equals the first in the alphabet).
        unknown: whether there is an entry for what is left out; None: only if something is.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    given = counts.pop(UNKNOWN, 0) > 0  # a text may come with its rare words already replaced
    frequent = sorted((token for token, n in counts.items() if n >= min_count), key=lambda t: (-counts[t], t))
    kept = frequent[:max_size]
    if unknown is None:
        unknown = given or len(kept) < len(counts)
    return Vocabulary((*specials, *sorted(kept)), unknown=unknown)


def vocabulary_of(train: Iterable[Sequence[str]], held_out: Iterable[str], **options: Any) -> Vocabulary:
    """Return ``build_vocabulary`` of the training texts; with an entry for unknown tokens also where held-out ones are.

    Args:
        train: lists of tokens.
        held_out: the tokens of validation and test texts.
        options: as in ``build_vocabulary``, ``unknown`` excepted.
    """
    vocabulary = build_vocabulary(train, **options)
    if vocabulary.unknown is None and any(token not in vocabulary for token in held_out):
        return Vocabulary(vocabulary.tokens, unknown=True)
    return vocabulary
