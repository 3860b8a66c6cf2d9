"""Schemes by which tags mean entities: IOB1, IOB2, IOBES, BILOU and BMES; what is read is IOB2 from then on."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from tinyseq.errors import DataError

#: What a letter says of its word: begins an entity, is inside, ends it, or is all of it.
_ROLES: Final = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "W": "S"}
#: Name -> the letters of a scheme. One that has letters for ends has every entity end with one.
SCHEMES: Final = {
    "iob1": "BIO",
    "iob2": "BIO",
    "iobes": "BIOES",
    "bilou": "BILOU",
    "bmes": "BMEOS",
    # The same by other names.
    "bio": "BIO",
    "bioes": "BIOES",
    "bioul": "BILOU",
}
_LETTERS: Final = "[" + "".join(_ROLES) + "]"
#: How letter and kind are written, the usual way first; the last is for entities of one kind.
_WRITTEN: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?P<letter>{_LETTERS})-(?P<kind>.+)",
        rf"(?P<letter>{_LETTERS})_(?P<kind>.+)",
        rf"(?P<kind>.+)[-_](?P<letter>{_LETTERS})",
        rf"(?P<letter>{_LETTERS})(?P<kind>)-?",
    )
)
#: The kind where tags name none.
_NAMELESS: Final = "_"


class Span(NamedTuple):
    """An entity: its kind, its first word and the one after its last."""

    kind: str
    start: int
    end: int


@functools.lru_cache(maxsize=4096)
def _parsed(tag: str) -> tuple[str, str]:
    """Return a tag's role, "O" for one that is of no entity, and its kind."""
    found = _WRITTEN[0].fullmatch(tag) or _WRITTEN[-1].fullmatch(tag)
    return (_ROLES[found["letter"]], found["kind"] or _NAMELESS) if found else ("O", "")


def continues(tag: str) -> bool:
    """Return whether a tag says that its word goes on with an entity."""
    return _parsed(tag)[0] in ("I", "E")


def _continues(role: str, kind: str, role_before: str, kind_before: str) -> bool:
    """Return whether a word belongs to the entity of the word before it."""
    return role in "IE" and role_before in "BI" and kind == kind_before


def spans(tags: Sequence[str]) -> set[Span]:
    """Return the entities of tags of any scheme, ill-formed ones as conlleval and seqeval (default mode) read them.

    An I- after O, or after an entity of another kind, begins an entity; B- and S- always do, and after E- or S- the
    next one begins. L- and U- are read as E- and S-, M- as I-.

    Source: conlleval of Tjong Kim Sang and Buchholz 2000, ``startOfChunk`` and ``endOfChunk``; seqeval of Nakayama.
    """
    found = set()
    start, before = -1, ("O", "")
    for position, tag in enumerate([*tags, "O"]):
        role, kind = _parsed(tag)
        if not _continues(role, kind, *before):
            if start >= 0:
                found.add(Span(before[1], start, position))
            start = -1 if role == "O" else position
        before = (role, kind)
    return found


def written_as(tags: Collection[str]) -> re.Pattern[str] | None:
    """Return how tags are written if they are those of entities, None if they are of another kind (or only O)."""
    inside = [tag for tag in tags if tag != "O"]
    for pattern in _WRITTEN:
        matches = [pattern.fullmatch(tag) for tag in inside]
        letters = {match["letter"] for match in matches if match}
        if not inside or None in matches or not (letters & {"B", "I"} or "O" in tags):
            continue
        # Parts of speech may look so by chance; a scheme has more than one letter, and mostly an O.
        if pattern is _WRITTEN[0] or (len(letters) > 1 and ("O" in tags or letters == set("BMES"))):
            return pattern
    return None


def partly_entities(tags: Collection[str]) -> list[str]:
    """Return the tags that are none of entities, where at least half of the others are; else nothing."""
    others = sorted(tag for tag in tags if tag != "O" and not _WRITTEN[0].fullmatch(tag))
    inside = [tag for tag in tags if tag != "O" and tag not in others]
    return others if len(inside) >= len(others) > 0 and any(tag[0] in "BI" for tag in inside) else []


def outside(tags: Collection[str]) -> str:
    """Return the mark that stands for O among tags of entities, where O itself is not used."""
    marks = [mark for mark in ("_", "-") if mark in tags] if "O" not in tags else []
    return marks[0] if len(marks) == 1 and written_as({*tags, "O"} - {*marks}) else ""


def usual(tag: str, pattern: re.Pattern[str]) -> str:
    """Return a tag in the usual way of writing: ``PER_B`` becomes ``B-PER``; what is no entity's stays."""
    match = pattern.fullmatch(tag)
    return f"{match['letter']}-{match['kind'] or _NAMELESS}" if match else tag


def to_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the entities of tags of any scheme as IOB2."""
    found = ["O"] * len(tags)
    for kind, start, end in spans(tags):
        found[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tuple(found)


def faults(tags: Sequence[str], scheme: str) -> list[tuple[int, str]]:
    """Return where a sentence's tags break a scheme: the word's number, and how."""
    found: list[tuple[int, str]] = []
    before, previous, ends = ("O", ""), "O", "E" in SCHEMES[scheme] or "L" in SCHEMES[scheme]
    for position, tag in enumerate([*tags, "O"]):
        role, kind = _parsed(tag)
        goes_on = _continues(role, kind, *before)
        if scheme == "iob1":
            if role == "B" and before[1] != kind:
                found.append((position, f"{tag} after {previous}: B- stands only after an entity of the same kind"))
        elif role in "IE" and not goes_on:
            found.append((position, f"{tag} after {previous}"))
        elif ends and before[0] in "BI" and not goes_on:
            found.append((position, f"{tag if position < len(tags) else 'the end of the sentence'} after {previous}"))
        before, previous = (role, kind), tag
    return found


def checked(tag: str, scheme: str, where: str) -> str:
    """Return a tag if its letter is of the scheme.

    Raises:
        DataError: it is not.
    """
    letters = sorted(set(SCHEMES[scheme]) - {"O"})
    if tag == "O" or (_WRITTEN[0].fullmatch(tag) and tag[0] in letters):
        return tag
    raise DataError(
        "not a tag of named entities" if not _WRITTEN[0].fullmatch(tag) else f"not a tag of the scheme {scheme}",
        required="O, " + " or ".join(f"{letter}-KIND" for letter in letters),
        got=repr(tag),
        where=where,
        fix="scheme: auto, which reads every scheme, or scheme: none, for tags that are no entities",
    )


def name_of(sentences: Sequence[Sequence[str]]) -> tuple[str, int]:
    """Return the scheme that tags are of, as far as they show it, and how many of them break it."""
    letters = {tag[:1] or "O" for tags in sentences for tag in tags}
    broken = {
        name: sum(len(faults(tags, name)) for tags in sentences)
        for name in ("iob2", "iob1", "iobes", "bilou", "bmes")
        if letters <= set(SCHEMES[name])
    } or {"iobes": sum(len(faults(tags, "iobes")) for tags in sentences)}
    best = min(broken, key=broken.__getitem__)
    # A few stray I- are faults of IOB2; IOB1 is a habit of the whole file.
    if best == "iob1" and broken[best] and broken["iob2"] <= 2 * broken[best]:
        best = "iob2"
    return best, broken[best]
