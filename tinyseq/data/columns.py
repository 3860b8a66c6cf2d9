"""Columns of a tagged file: how lines are cut, which are comments, and which column is the word, which the tag."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tinyseq.data.delimited import question
from tinyseq.data.schemes import written_as
from tinyseq.errors import DataError, did_you_mean

_UNIVERSAL: Final = "ADJ ADP ADV AUX CCONJ CONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X"
_PENN: Final = (
    "CC CD DT EX FW IN JJ JJR JJS LS MD NN NNS NNP NNPS PDT POS PRP PRP$ RB RBR RBS RP TO UH VB VBD VBG VBN VBP VBZ "
    "WDT WP WP$ WRB , . : `` '' \" ( ) $ # -LRB- -RRB- HYPH NFP ADD AFX GW XX"
)
#: Parts of speech by which a column of tags is known: those of the Universal Dependencies and of the Penn Treebank.
PARTS_OF_SPEECH: Final = frozenset(f"{_UNIVERSAL} {_PENN}".split())
#: Names by which a first line is known to name the columns.
_WORD_NAMES: Final = frozenset({"word", "words", "token", "tokens", "form", "text"})
_TAG_NAMES: Final = frozenset({"tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "pos", "upos", "xpos"})
_BLANKS: Final = re.compile(r"[ \t]+")
_KEY: Final = re.compile(r"#\s*[\w.:]+\s*=|#\s*(newdoc|newpar|begin document|end document)\b")
#: Lines that an error shows, and characters of each.
_SHOWN, _WIDE = 4, 70


class WordLine(NamedTuple):
    """A line of a file, cut into its fields; ``number`` counts from 1."""

    number: int
    fields: list[str]


@dataclass(frozen=True)
class ColumnChoice:
    """Which columns are the word and the tag, counted from 0; ``tag`` is None where there is none."""

    word: int
    tag: int | None


def is_document(line: str) -> bool:
    """Return whether a line only says that a document begins."""
    return line.split(maxsplit=1)[:1] == ["-DOCSTART-"]


def cutter(lines: Sequence[str]) -> re.Pattern[str]:
    """Return what separates the fields of lines: a tab where all have one, else several of them, or blanks."""
    tabs = [line.count("\t") for line in lines]
    strict, runs = re.compile("\t"), re.compile("\t+")
    if min(tabs) > 0:
        if len(set(tabs)) == 1:
            return strict
        if len({len(runs.split(line.strip("\t"))) for line in lines}) == 1:
            return runs
    if len({len(_BLANKS.split(line.strip(" \t"))) for line in lines}) > 1 and sum(map(bool, tabs)) * 2 > len(lines):
        return strict
    return _BLANKS


def cut(line: str, separator: re.Pattern[str]) -> list[str]:
    """Return the fields of a line."""
    return separator.split(line if separator.pattern == "\t" else line.strip(" \t"))


def column_number(name: int | str, names: Sequence[str], where: str, key: str) -> int:
    """Return the number, from 0, of a column that is asked for by name or by number from 1.

    Raises:
        DataError: there is no such column.
    """
    number = int(name) if isinstance(name, int) or name.isdecimal() else None
    if number is not None and 1 <= number <= len(names):
        return number - 1
    for same in (str.__str__, str.casefold):
        found = [same(one) for one in names]
        if number is None and found.count(same(str(name))) == 1:
            return found.index(same(str(name)))
    numbered = ", ".join(f"{i} {one}" if one != str(i) else one for i, one in enumerate(names, start=1))
    raise DataError(
        f"there is no column {name!r} for data.{key}",
        required=f"one of: {numbered}",
        where=where,
        fix="a number, counted from 1" if number is not None else did_you_mean(str(name), names),
    )


def header(first: WordLine, asked: Sequence[int | str | None], known: Sequence[str]) -> bool:
    """Return whether a file's first line names its columns, some of them ``known`` from another file."""
    if {field.strip() for field in first.fields} <= {name for name in known if not name.isdecimal()}:
        return True
    names = {field.strip().casefold() for field in first.fields}
    wanted = {one.casefold() for one in asked if isinstance(one, str) and not one.isdecimal()}
    return bool(wanted and wanted <= names) or bool(len(names) > 1 and names & _WORD_NAMES and names & _TAG_NAMES)


def width_of(lines: Sequence[WordLine]) -> int:
    """Return how many columns most lines have."""
    return Counter(len(line.fields) for line in lines).most_common(1)[0][0]


def words_among_comments(
    lines: Sequence[tuple[int, str]],
    separator: re.Pattern[str],
    width: int,
    tags: set[str],
    where: str,
    inside: Callable[[int], bool],
) -> set[int]:
    """Return the numbers of those lines that begin with ``#`` and are words with their tag, no comments.

    ``inside`` says whether a line stands within a sentence, where no comment does.

    Raises:
        DataError: it cannot be told.
    """
    found = set()
    kind = _evidence(tags) if tags else ""
    for number, line in lines:
        fields = cut(line, separator)
        if len(fields) != width:
            if inside(number):
                found.add(number)  # and is told to be ragged
            continue
        known = fields[-1] in tags or (bool(kind) and _fits(fields[-1], kind))
        if known or width == 1 or separator is not _BLANKS:
            found.add(number)
        elif not kind and not _KEY.match(line):
            raise DataError(
                "a line that may be a comment or a word",
                required="# WORD with a tag that other words have, or a comment",
                got=repr(line[:_WIDE]),
                where=f"{where}, line {number}",
                fix="data: {comments: true}, if lines that begin with # are comments; data: {comments: false}, if not",
            )
    return found


def choose(
    sentences: Sequence[Sequence[WordLine]],
    names: Sequence[str],
    *,
    word: int | None,
    tag: int | None,
    targets: bool,
    scheme: str,
    where: str,
) -> ColumnChoice:
    """Return which columns are the word and the tag of a file that does not say so.

    The word is the first and the tag the last column (CoNLL-2000 to -2003, WNUT) where what stands in them speaks for
    it, and nothing for another.

    Raises:
        DataError: more than one reading is possible; the message shows the lines, and the YAML for each.
    """
    width = len(names)
    if word is not None and (tag is not None or width == 1):
        return ColumnChoice(word, tag)
    if width == 1:
        return ColumnChoice(0, None)
    values = [{line.fields[i] for lines in sentences for line in lines} for i in range(width)]
    evidence = [_evidence(found) for found in values]
    if width == 2 and (word, tag) != (None, None):
        return ColumnChoice(
            1 - tag if word is None and tag is not None else word or 0, 1 - (word or 0) if tag is None else tag
        )
    reason = _doubt(sentences, values, evidence, word, tag, scheme)
    if not reason:
        first = 0 if tag != 0 else width - 1
        last = width - 1
        if width == 2 and evidence[0] and not evidence[1]:
            first, last = 1, 0
        return ColumnChoice(first if word is None else word, last if tag is None else tag)
    if not targets and word is not None:
        return ColumnChoice(word, None)
    raise question(
        f"uncertain which column is the word and which the tag: {reason}",
        shown(sentences),
        required="data.word and data.tag, columns by number (or by name, where line 1 names them)",
        where=where,
        fix=_suggested(width, evidence, word, tag, _numbered(sentences)),
    )


def shown(sentences: Sequence[Sequence[WordLine]]) -> list[str]:
    """Return the first lines of a file with their columns numbered."""
    rows = [line for lines in sentences for line in lines][:_SHOWN]
    texts = (" | ".join(f"{i} {field}" for i, field in enumerate(line.fields, start=1)) for line in rows)
    return [text if len(text) <= _WIDE else text[:_WIDE] + "..." for text in texts]


def _evidence(values: set[str]) -> str:
    """Return what speaks for a column's being tags: "entities", "parts of speech", or nothing."""
    if values == {"O"} or written_as(values):
        return "entities"
    return "parts of speech" if values <= PARTS_OF_SPEECH and any(value.isalpha() for value in values) else ""


def _fits(tag: str, kind: str) -> bool:
    """Return whether a tag may stand among those of such evidence."""
    return tag in PARTS_OF_SPEECH if kind == "parts of speech" else _evidence({tag}) == kind


def _kinds(values: set[str]) -> set[str]:
    pattern = written_as(values)
    return {match["kind"] for value in values if pattern and (match := pattern.fullmatch(value))}


def _numbered(sentences: Sequence[Sequence[WordLine]]) -> bool:
    """Return whether the first column counts the words of each sentence."""
    long = [[line.fields[0] for line in lines] for lines in sentences if len(lines) > 1]
    return bool(long) and any(
        all(field == str(i) for field, i in zip(fields, range(start, start + len(fields)), strict=True))
        for fields in long[:1]
        for start in (0, 1)
    )


def _doubt(
    sentences: Sequence[Sequence[WordLine]],
    values: Sequence[set[str]],
    evidence: Sequence[str],
    word: int | None,
    tag: int | None,
    scheme: str,
) -> str:
    """Return why the usual reading is not sure; "" where it is."""
    width = len(values)
    if word is None and _numbered(sentences):
        return "the first column counts the words"
    if tag is not None:
        return ""
    others = [i for i in range(width - 1) if i != word]
    if width == 2:
        if not any(evidence) and 10 <= 2 * len(values[0]) <= len(values[1]):
            return f"the first column has {len(values[0])} values, the second {len(values[1])}"
        return ""
    if evidence[-1] == "entities":
        if scheme == "none":
            return "scheme: none, and the last column has tags of entities"
        if values[-1] == {"O"} and "entities" in evidence[:-1]:
            return f"the last column is O throughout, column {evidence.index('entities') + 1} is not"
        same = [i for i in others if _kinds(values[i]) & _kinds(values[-1])]
        return f"columns {same[0] + 1} and {width} have tags of the same entities" if same else ""
    for what in ("entities", "parts of speech"):
        if rivals := [i for i in others if evidence[i] == what]:
            return f"column {rivals[0] + 1} looks like {what}" + (", the last too" if evidence[-1] == what else "")
    if evidence[-1]:
        return ""
    return "" if scheme not in ("auto", "none") else f"there are {width} columns, and none looks like tags"


def _suggested(width: int, evidence: Sequence[str], word: int | None, tag: int | None, numbered: bool) -> str:
    """Return the YAML for what may be meant."""
    free = range(int(numbered), width)
    tags = [tag] if tag is not None else [i for i in free if evidence[i]] or [width - 1, 0]
    words = [word] if word is not None else [i for i in free if not evidence[i]][:2] or [free[0]]
    choices = [f"data: {{word: {w + 1}, tag: {t + 1}}}" for t in tags for w in words if w != t]
    return ", or ".join(choices[:3]) or "data: {word: 1, tag: 2}"
