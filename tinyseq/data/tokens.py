"""Tokens: what a text is cut into. A level is a way to cut, and to put together again."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tinyseq.data.vocabulary import UNKNOWN, Vocabulary
from tinyseq.errors import DataError
from tinyseq.registry import Registry

#: No space before these, and none after those.
_CLOSING: Final = frozenset(".,;:!?)]}%”’\n،؛؟।॥…")
_OPENING: Final = frozenset("([{“‘$#¿¡\n")
#: What ends a line of a text that was cut before: given, or the line's end itself.
_END_OF_LINE: Final = "<eos>"
_GIVEN: Final = re.compile(rf"{_END_OF_LINE}[^\S\n]*\n|\n|\S+")
#: How much of a text is looked at for scripts without spaces, and the share of letters that makes one of them told.
_LOOKED_AT: Final = 1_000_000
_SHARE: Final = 0.1


@dataclass(frozen=True)
class Level:
    """How a text becomes tokens and tokens become a text.

    ``unit`` is the word for one token, ``bits`` what metrics call bits a token; ``given`` says that the text comes cut.
    """

    name: str
    unit: str
    bits: str
    cut: Callable[[str], list[str]]
    join: Callable[[Iterable[str]], str]
    given: bool = False

    def tidy(self, text: str) -> str:
        """Return a text as its tokens are put together: as a model would write it."""
        return self.join(self.cut(text))


@functools.cache
def _words() -> Any:
    """Return the pattern of a token: an entry in angle brackets, a line end, or what lies between word boundaries.

    The boundaries are those of Unicode (UAX #29), so that marks stay with their letters in every script. Hyphens join
    letters too, as they do not there: well-known, 64-bit, but 1990-1995 is three tokens.
    """
    import regex  # on use: a run at another level does without it

    # What separates words is in none, though U+202F joins for Unicode: U+200B, and every space.
    sign, end = r"[^\s\u200b]", r"(?:\b|(?=[\s\u200b]))"
    word = rf"\w{sign}*?{end}"
    return regex.compile(rf"(?w)</?\w+>|\n|{word}(?:(?:(?<!\d)[-‐‑]|[-‐‑](?!\d)){word})*|{sign}+?{end}")


def _cut_words(text: str) -> list[str]:
    found: list[str] = _words().findall(text)
    return found


def _join_words(words: Iterable[str]) -> str:
    parts: list[str] = []
    last, quoted = "\n", False  # quoted: a straight quote stands open in this line
    for word in words:
        opened = quoted and last == '"'
        if not (word in _CLOSING or last in _OPENING or (word == '"' and quoted) or opened) or _continues(word):
            parts.append(" " if last != "\n" else "")
        parts.append(word)
        quoted = word != "\n" and quoted != (word == '"')
        last = word
    return "".join(parts)


def _continues(word: str) -> bool:
    """Return whether a token would become part of what stands before it: it begins with a mark that joins."""
    return not (word[0].isprintable() and (word[0].isalnum() or word[0].isascii())) and word not in _CLOSING


def _cut_given(text: str) -> list[str]:
    return [token.strip() or "\n" for token in _GIVEN.findall(text)]


def _join_given(tokens: Iterable[str]) -> str:
    parts: list[str] = []
    for token in tokens:
        parts.append(token if token == "\n" or not parts or parts[-1].endswith("\n") else f" {token}")
        if token == _END_OF_LINE:
            parts.append("\n")
    return "".join(parts)


#: Level -> cutting and joining; a level of one's own joins with ``LEVELS.register("mine", Level(...))``.
LEVELS: Registry[Level] = Registry(
    "level",
    {
        # Every character, spaces included: nothing is lost.
        "char": Level("char", "character", "bpc", list, "".join),
        # Words, numbers, signs and line ends; how many spaces stood between them is not kept.
        "word": Level("word", "word", "bpw", _cut_words, _join_words),
        # What stands between blanks, as it is, and line ends: a text that was cut before.
        "tokens": Level("tokens", "token", "bpt", _cut_given, _join_given, given=True),
    },
)


def find_level(name: str) -> Level:
    """Return a level by its name.

    Raises:
        DataError: there is none of that name.
    """
    return LEVELS.find(name)


def scripts_without_spaces(text: str) -> list[str]:
    """Return the scripts of a text's beginning whose words no space separates: Thai, Lao, Khmer, Chinese, Japanese...

    Only those that make up a tenth of its letters, or more: a name in another script is no such text.
    """
    import regex

    start = text[:_LOOKED_AT]
    if start.isascii():
        return []
    han, kana = (len(regex.findall(kind, start)) for kind in (r"\p{Han}", r"[\p{Hiragana}\p{Katakana}]"))
    counts = {"Japanese": han + kana} if kana > _SHARE * han else {"Chinese": han}
    for letter in regex.findall(r"\p{Line_Break=Complex_Context}", start):
        name = unicodedata.name(letter, "an unnamed script").split(" ")[0].capitalize()
        counts[name] = counts.get(name, 0) + 1
    enough = _SHARE * len(regex.findall(r"[\p{L}\p{M}]", start))
    return [name for name, count in counts.items() if count and count >= enough]


def uncut(level: Level, text: str) -> str:
    """Return what is to be said of a text whose words this level cannot cut, and what to do; empty where it can."""
    if level.cut is not _cut_words or not (scripts := scripts_without_spaces(text)):
        return ""
    return (
        f"level word does not cut words of {' and '.join(scripts)}, which no space separates: a token is a sign; "
        "data.level: char says so, or cut the words beforehand, a space between them, and data.level: tokens keeps them"
    )


def beginning(line: str, level: Level, most: int = 80) -> str:
    """Return the first words of a line, whole ones, of at most so many characters; of a longer word its first token."""
    if len(line) <= most:
        return line
    words = line[: most + 1].rsplit(maxsplit=1)
    if len(words) > 1:
        return words[0]
    tokens = level.cut(line)
    size = next((size for size in range(2, len(tokens) + 1) if len(level.join(tokens[:size])) > most), len(tokens) + 1)
    return level.join(tokens[: size - 1])


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

    Raises:
        DataError: a text has a token that is spelled like an entry of no text.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return vocabulary_of_counts(counts, specials=specials, min_count=min_count, max_size=max_size, unknown=unknown)


def vocabulary_of_counts(
    counts: Counter[str],
    *,
    specials: Sequence[str] = (),
    min_count: int = 1,
    max_size: int | None = None,
    unknown: bool | None = None,
) -> Vocabulary:
    """Return the vocabulary of tokens that were counted; the arguments are those of ``build_vocabulary``."""
    counts = +counts
    given = counts.pop(UNKNOWN, 0) > 0  # a text may come with its rare words already replaced
    if taken := sorted(set(specials) & counts.keys()):
        raise DataError(
            f"the text has the token {taken[0]!r}, which stands for something else here",
            required=f"texts without {', '.join(map(repr, specials))}",
            fix="write it another way, such as without its brackets",
        )
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
