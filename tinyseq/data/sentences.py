"""Sentence pairs in tables: source, tab, target, one pair a line; other columns where one says which they are.

The decks of Anki and the pairs of Tatoeba are such tables: with lines at the top that say how the rest is written, with
a column for whom to thank, with HTML in sentences.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from tinyseq.data.compressed import suffix
from tinyseq.data.delimited import SEPARATORS, cut_rows, refuse_other_forms
from tinyseq.data.numerals import is_number
from tinyseq.data.text import load_text
from tinyseq.errors import DataError, did_you_mean

#: A column: its number, from 1, or its name in the first line.
Column = int | str
#: How much of a malformed line a message shows, and of each column of one that is asked about.
SHOWN, _FIELD = 60, 24
#: A line at the top that says how the rest is written: docs.ankiweb.net, "Text files", "File headers".
_SAID = re.compile(
    r"#(separator|html|columns|notetype|deck|tags|guid|if matches|(?:notetype|deck|tags|guid) column):(.*)",
    re.IGNORECASE,
)
_SEPARATORS: Final = {**SEPARATORS, "pipe": "|", "colon": ":"}
#: Whom to thank for a pair, as manythings.org/anki has it in its third column.
_ATTRIBUTION = re.compile(r"CC-BY\b.*tatoeba\.org", re.IGNORECASE)
#: What columns of sentences are called.
_NAMES: Final = (
    "source target src trg tgt input output sentence translation en de fr es it pt nl ru zh ja ar hi tr pl cs sv ko vi "
    "uk el he fi da no nb hu ro bg eng deu fra spa ita por rus english german french spanish italian portuguese dutch "
    "russian chinese japanese arabic hindi turkish polish czech swedish korean vietnamese ukrainian greek hebrew"
)
_LANGUAGES: Final = frozenset(_NAMES.split())
_LINK = re.compile(r"https?://\S+")
_BREAK = re.compile(r"<(?:br|/?div|/?p|/?li|hr)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[a-z][^<>]*>|\[sound:[^\]]*\]", re.IGNORECASE)
_HTML = re.compile(
    r"</?(?:br|div|p|b|i|u|span|font|a|img|li|ul)\b[^<>]*>|&(?:nbsp|amp|lt|gt|quot|#\d+);", re.IGNORECASE
)


@dataclass
class _Rows:
    """Rows with the numbers of their lines, and what the file says of itself."""

    path: str | Path
    separator: str
    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    #: The columns' names, where the file has a line of them by itself.
    names: list[str] = field(default_factory=list)
    #: Columns, from 0, that hold no sentence: tags, decks.
    others: set[int] = field(default_factory=set)
    html: bool = False
    #: Whether this is CSV, whose first line may have names, and nothing that says so.
    guessed: bool = False

    def where(self, row: int) -> str:
        return f"{self.path}, line {self.lines[row]}"

    def take_names(self) -> None:
        """Take the columns' names from the first line, unless the file said them."""
        if not self.names:
            self.names = self.rows.pop(0)
            self.lines.pop(0)
        if not self.rows:
            raise DataError("a file without a pair", required="lines below the names", got=str(self.path))

    def shown(self, row: int) -> str:
        return repr(self.separator.join(self.rows[row])[:SHOWN])


def read_pairs(
    path: str | Path,
    *,
    source: Column | None = None,
    target: Column | None = None,
    html: bool | None = None,
    targets: bool = True,
) -> list[tuple[str, str | None]]:
    """Return the pairs of a UTF-8 file; lines without any text are passed over.

    Args:
        path: the file: TSV, CSV (``.csv``), or what Anki exports.
        source, target: their columns, by number from 1, or by name, and then the first line has the names. None where
            two columns have sentences: the first and the second, or the other one of the one that is given.
        html: whether tags and entities are taken out; None: where the file says that it has them.
        targets: whether each line must have its target; else a line may be a source alone, its target None.

    Raises:
        DataError: the file cannot be read, which columns are meant cannot be told, or a line lacks one or its text.
    """
    table = _read(path)
    alone = not targets and max(map(len, table.rows)) == 1  # sources, with or without their name above
    if (isinstance(source, str) or isinstance(target, str)) and not (alone and table.rows[0][0] != source):
        table.take_names()
    columns = _Columns(0, 1) if alone else _columns(table, source, target)
    if source is None and target is None and not alone:
        if table.guessed or {value.lower() for value in table.rows[0]} <= _LANGUAGES:
            raise _unnamed(table)
        if not _quoted_as_letters(table):
            raise _quotes(table)
    plain = _without_html if (table.html if html is None else html) else str.strip
    pairs: list[tuple[str, str | None]] = []
    for number in range(len(table.rows)):
        first, second = map(plain, _two(table, number, columns, targets))
        if not first or (targets and not second):
            raise DataError(
                f"a pair without its {'target' if first else 'source'}",
                required="text in both columns",
                got=table.shown(number),
                where=table.where(number),
                fix="complete the pair, or leave the line out",
            )
        pairs.append((first, second or None))
    return pairs


def _read(path: str | Path) -> _Rows:
    lines = load_text(path).text.split("\n")
    table = _Rows(path, "\t")
    begin = 0
    while begin < len(lines) and (said := _SAID.fullmatch(lines[begin].strip())):
        _hear(table, said[1].lower(), said[2].strip())
        begin += 1
    first = next((line for line in lines if line.strip()), "")
    if "\t" not in first:
        refuse_other_forms(path, [first])
    if suffix(path) == ".csv" and not begin:
        bare = "".join(first.split('"')[::2])
        table.separator, table.guessed = max(",;\t", key=bare.count), True
    quoted = begin > 0 or table.guessed  # in a plain table quotes are quotes: nothing but tabs and lines' ends parts it
    ended = (f"{line}\n" for line in lines[begin:])
    for (row,), start, _ in cut_rows(ended, table.separator, quoted, path, begin):
        if any(value.strip() for value in row):
            table.rows.append([" ".join(value.split("\n")).strip() for value in row])
            table.lines.append(start + 1)
    if not table.rows:
        raise DataError("a file without a pair", required="source and target in each line", got=str(table.path))
    return table


def _hear(table: _Rows, key: str, value: str) -> None:
    """Take over what a line at the top says."""
    if key == "separator":
        table.separator = _SEPARATORS.get(value.lower(), value[:1] or "\t")
    elif key == "html":
        table.html = value.lower() == "true"
    elif key == "columns":
        table.names = [name.strip() for name in value.split(table.separator)]
    elif key.endswith(" column") and value.isdecimal():
        table.others.add(int(value) - 1)


class _Columns(NamedTuple):
    """The columns of sources and targets, from 0, and how many a line may have (None: any number)."""

    source: int
    target: int
    most: int | None = None


def _columns(table: _Rows, source: Column | None, target: Column | None) -> _Columns:
    first, second = (None if column is None else _place(table, column) for column in (source, target))
    if first is not None and second is not None:
        if first == second:
            raise DataError("source and target are one column", required="two columns", got=f"{source!r}, {target!r}")
        return _Columns(first, second)
    ((width, _),) = Counter(map(len, table.rows)).most_common(1)
    if width == 1:  # each line says for itself whether it lacks its target
        one, other = (0, 1) if second != 0 and first != 1 else (1, 0)
        return _Columns(one, other, 2)
    texts = _texts(table, width)
    given = [column for column in (first, second) if column is not None]
    left = [column for column in texts if column not in given]
    if len(left) + len(given) != 2:
        raise _ask(table, texts, width)
    first = left.pop(0) if first is None else first
    return _Columns(first, left[0] if second is None else second, width)


def _place(table: _Rows, column: Column) -> int:
    if isinstance(column, int):
        if column < 1:
            raise DataError("a column's number", required="1 or more", got=str(column))
        return column - 1
    if column not in table.names:
        raise DataError(
            f"no column {column!r}",
            required="a name in the first line",
            got=", ".join(map(repr, table.names)) or "a file without names",
            where=str(table.path),
            fix=did_you_mean(column, table.names) if table.names else "the columns' numbers, from 1",
        )
    return table.names.index(column)


def _texts(table: _Rows, width: int) -> list[int]:
    """Return the columns that may hold sentences: neither tags, nor whom to thank, nor a third one without anything."""
    found = []
    for column in range(width):
        values = [row[column] for row in table.rows if column < len(row) and row[column]]
        thanks = bool(values) and all(map(_ATTRIBUTION.search, values))
        if column not in table.others and not thanks and (values or column < 2):
            found.append(column)
    return found


def _ask(table: _Rows, texts: Sequence[int], width: int) -> DataError:
    """Return the question which columns are meant, with the answer that looks likeliest."""
    number = next(number for number, row in enumerate(table.rows) if len(row) == width)
    values = ", ".join(f"{n}: {value[:_FIELD]!r}" for n, value in enumerate(table.rows[number], start=1))
    below = table.rows[1:] if table.guessed else table.rows
    values_of = {column: [row[column] for row in below if column < len(row)] for column in texts}
    # Numbers are no sentences, nor is what is the same in each line, such as the name of a language.
    wordy = [
        column
        for column, found in values_of.items()
        if len({*found, ""}) > 2 and not all(is_number(value) or _LINK.fullmatch(value) for value in found)
    ]
    first, second = (column + 1 for column in (wordy if len(wordy) > 1 else [*texts, *range(width)])[:2])
    return DataError(
        "which columns are source and target cannot be told",
        required="two columns of sentences, or data.source and data.target: numbers from 1, or names of the first line",
        got=f"{width} columns, {values}",
        where=table.where(number),
        fix=f"if they are {first} and {second}: data: {{source: {first}, target: {second}}}",
    )


def _unnamed(table: _Rows) -> DataError:
    """Return the question whether the first line is a pair or has the columns' names."""
    one, other = ([*table.rows[0], "", ""])[:2]
    names = ", ".join(f"{key}: {json.dumps(v, ensure_ascii=False)}" for key, v in (("source", one), ("target", other)))
    return DataError(
        f"whether the first line of a {'CSV ' if table.guessed else ''}file has names cannot be told",
        required="data.source and data.target: names of the first line, or numbers from 1 where it is a pair",
        got=f"{len(table.rows[0])} columns, 1: {one[:_FIELD]!r}, 2: {other[:_FIELD]!r}",
        where=table.where(0),
        fix=f"data: {{{names}}}, or data: {{source: 1, target: 2}}",
    )


def _quoted_as_letters(table: _Rows) -> bool:
    """Return whether quotes of a plain table are letters: they do not stand around each field."""
    fields = [value for row in table.rows for value in row[:2]]
    return table.guessed or len(fields) < 4 or not all(len(f) > 1 and f[0] == f[-1] == '"' for f in fields)


def _quotes(table: _Rows) -> DataError:
    name = Path(table.path).name
    return DataError(
        "quotes around all sentences",
        required="sentences as they are, a tab between; or a file .csv, in which quotes stand around fields",
        got=table.shown(0),
        where=table.where(0),
        fix=f"mv {name} {Path(name).stem}.csv; or data: {{source: 1, target: 2}}, and quotes are letters",
    )


def _two(table: _Rows, number: int, columns: _Columns, targets: bool) -> tuple[str, str]:
    """Return source and target of a row; a row of one column is a source alone."""
    row = table.rows[number]
    if len(row) == 1 and not targets:
        return row[0], ""
    needed = max(columns.source, columns.target if targets else 0) + 1
    if not needed <= len(row) <= (columns.most or len(row)):
        raise DataError(
            "a line is not a pair of sentences",
            required=f"source in column {columns.source + 1} and target in column {columns.target + 1}, a tab between"
            if table.separator == "\t"
            else f"at least {needed} columns",
            got=f"{len(row) - 1} {'tabs' if table.separator == chr(9) else 'separators'} in {table.shown(number)}",
            where=table.where(number),
            fix=_mend(table, row) if len(row) == 1 else "",
        )
    return row[columns.source], row[columns.target] if columns.target < len(row) else ""


def _mend(table: _Rows, row: Sequence[str]) -> str:
    if " ||| " in row[0]:
        return f"it must be a tab: sed 's/ ||| /\\t/' {Path(table.path).name} > pairs.tsv"
    return "it must be a tab, not spaces; of two files with a sentence a line: paste sources targets > pairs.tsv"


def _without_html(text: str) -> str:
    return " ".join(html.unescape(_TAG.sub("", _BREAK.sub(" ", text))).split())


def html_in(sentences: Sequence[str]) -> int:
    """Return how many sentences have tags or entities of HTML in them."""
    return sum(_HTML.search(sentence) is not None for sentence in sentences)
