"""CoNLL files: a word a line with its tag in the last column, an empty line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tinyseq.data.text import load_text
from tinyseq.errors import DataError

#: Outside of any entity, or the beginning or inside of one.
_TAG = re.compile(r"O|[BI]-\S+")


class Tagged(NamedTuple):
    """A sentence: its words, and a tag for each, or None where they are not known."""

    words: tuple[str, ...]
    tags: tuple[str, ...] | None = None


def read_conll(path: str | Path, *, targets: bool = True, scheme: str = "iob2") -> list[Tagged]:
    """Return the sentences of a UTF-8 file.

    Columns are separated by spaces or tabs; the first is the word, the last the tag, those between are not read.
    Lines ``-DOCSTART-`` and comments (``# `` and text) are passed over.

    Args:
        path: the file.
        targets: whether each word must have its tag; else a file of words alone is taken too.
        scheme: "iob2", where every entity begins with B-; "iob1" (CoNLL-2003 as it was published, B- only between
            neighbours of one kind), which is turned into iob2; "none" for tags that are no entities, such as parts of
            speech.

    Raises:
        DataError: the file cannot be read, or a line has too few columns, another number than the first, or a tag that
            is not of the scheme; the message names the line.
    """
    sentences: list[Tagged] = []
    words: list[str] = []
    tags: list[str] = []
    width = 0
    for number, line in enumerate([*load_text(path).text.split("\n"), ""], start=1):
        fields = line.split()
        if not fields or fields[0] == "-DOCSTART-":
            if words:
                sentences.append(Tagged(tuple(words), _finished(tags, scheme) if width > 1 else None))
            words, tags = [], []
            continue
        if len(fields) > 1 and fields[0] == "#" and not words:
            continue
        where = f"{path}, line {number}"
        width = width or len(fields)
        if len(fields) < 2 and targets:
            raise DataError("a word without its tag", required="a word, a space, its tag", got=repr(line), where=where)
        if len(fields) != width:
            raise DataError(
                "a line with another number of columns",
                required=f"{width}, as in the lines before it",
                got=f"{len(fields)}: {line[:60]!r}",
                where=where,
                fix="an empty line between sentences; no spaces within a word or a tag",
            )
        words.append(fields[0])
        if width > 1:
            tags.append(_checked(fields[-1], tags[-1] if tags else "O", scheme, where))
    if not sentences:
        raise DataError("a file without sentences", required="words with tags, a line each", got=str(path))
    return sentences


def _checked(tag: str, before: str, scheme: str, where: str) -> str:
    if scheme == "none":
        return tag
    if not _TAG.fullmatch(tag):
        raise DataError(
            "not a tag of named entities",
            required="O, B-KIND or I-KIND",
            got=repr(tag),
            where=where,
            fix="scheme: none, for tags that are no entities",
        )
    if scheme == "iob2" and tag[0] == "I" and before[1:] != tag[1:]:
        raise DataError(
            "an entity that does not begin",
            required=f"B-{tag[2:]} at its first word",
            got=f"{tag} after {before}",
            where=where,
            fix="scheme: iob1, if the file is written so",
        )
    return tag


def _finished(tags: list[str], scheme: str) -> tuple[str, ...]:
    """Return IOB2 tags: a first I- becomes B- (in IOB1 a B- stands only after an entity of its kind)."""
    if scheme != "iob1":
        return tuple(tags)
    return tuple(
        "B" + tag[1:] if tag[0] == "I" and before[1:] != tag[1:] else tag
        for before, tag in zip(["O", *tags], tags, strict=False)
    )


def most_frequent_tags(sentences: Sequence[Tagged]) -> tuple[dict[str, str], str]:
    """Return each word's most frequent tag, and the most frequent of all, for words that were never seen."""
    counts: dict[str, dict[str, int]] = {}
    totals: dict[str, int] = {}
    for sentence in sentences:
        for word, tag in zip(sentence.words, sentence.tags or (), strict=True):
            of_word = counts.setdefault(word, {})
            of_word[tag] = of_word.get(tag, 0) + 1
            totals[tag] = totals.get(tag, 0) + 1
    best = {word: max(sorted(of_word), key=of_word.__getitem__) for word, of_word in counts.items()}
    return best, max(sorted(totals), key=totals.__getitem__)
