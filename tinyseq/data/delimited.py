"""Rows of fields in text files: how a file is written (told, or found out), and its rows, cut where CSV cuts them."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from tinyseq.data.numerals import is_missing, is_number
from tinyseq.data.text import UTF16, not_utf8, read_raw, utf16_unmarked
from tinyseq.data.times import is_date
from tinyseq.errors import DataError

#: What separates fields, by the words that a config may use.
SEPARATORS: Final = {"tab": "\t", "comma": ",", "semicolon": ";", "bar": "|", "space": " "}
#: In the order in which they are believed where several would do.
_TRIED: Final = ("\t", ";", "|", ",")
#: Bytes and rows from which it is found out how a file is written.
_SAMPLE, _ROWS = 1 << 16, 100
#: Fields that are cut at once.
_CHUNK = 1 << 13
#: Rows that are cut at once: more are too many lists for the garbage collector, and for the processor's cache.
_MOST = 1 << 10
#: Lines that a question shows, and letters of each.
_SHOWN, _WIDTH = 3, 90


@dataclass(frozen=True)
class Form:
    """How a table is written; what is None is found out, or asked where it is not certain.

    Args:
        separator: what stands between fields, a letter or a key of ``SEPARATORS``; "space" is any run of blanks.
        header: whether the first line names the columns; without, they are called "1", "2", ...
        names: the columns' names, in place of those in the file.
        skip: lines before the header, or before the first row.
        quotes: whether a field may stand in quotes; by default it may, but not between tabs.
        comment: what lines begin with that are no rows.
        decimal: the decimal mark, "." or ",".
        missing: what marks a missing value, besides empty fields, NA and their like.
        encoding: a name that Python knows; by default UTF-8, or UTF-16 with a byte order mark.
    """

    separator: str | None = None
    header: bool | None = None
    names: tuple[str, ...] | None = None
    skip: int = 0
    quotes: bool | None = None
    comment: str | None = None
    decimal: str | None = None
    missing: tuple[str, ...] | None = None
    encoding: str | None = None


@dataclass(frozen=True)
class Dialect:
    """How a file turned out to be written."""

    separator: str
    quotes: bool
    header: bool
    names: tuple[str, ...]
    #: Columns whose names are not in the file.
    nameless: frozenset[str]
    #: Lines before the header, or before the first row.
    skip: int
    comment: str
    encoding: str
    shown: tuple[str, ...]
    #: Whether all fields that were looked at are numbers.
    numbers: bool


def question(what: str, shown: Sequence[str], *, required: str, where: str, fix: str) -> DataError:
    """Return an error that asks: it shows the first lines, what would be taken for what, and the config that says."""
    return DataError(what, required=required, got=f"\n{' ' * 11}".join(shown), where=where, fix=fix)


def _printable(line: str) -> str:
    line = line.rstrip("\r\n")
    line = line if len(line) <= _WIDTH else line[: _WIDTH - 3] + "..."
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode("ascii") for c in line)


class Delimited:
    """The bytes of a file, and how they are cut into rows."""

    def __init__(self, path: Path, form: Form) -> None:
        self.path, self.form = path, form
        self.raw = read_raw(path)
        self.encoding = _encoding(self.raw, form, path)
        if not self.raw.strip():
            raise DataError(
                "the table is empty", required="a row or more", got=f"{path}: {len(self.raw)} bytes, no characters"
            )
        if form.encoding is None and (error := _utf16(path, self.raw, self.encoding)):
            raise error
        self.dialect = self._find()

    # How it is written.

    def _find(self) -> Dialect:
        lines, whole = self._sample()
        form, path = self.form, self.path
        if form.separator is None:
            refuse_other_forms(path, [line for line in lines if not (form.comment and line.startswith(form.comment))])
        skip = form.skip
        told = re.fullmatch(r"sep=(.)\s*", next(iter(lines), ""))
        if told and form.separator is None:  # what Excel reads and writes
            self.form = form = replace(form, separator=told[1], skip=skip + 1)
            skip, lines = skip + 1, lines[1:]
        if form.comment is None:
            skip += self._remarks(lines)
        lines = lines[skip - form.skip :]
        comment = form.comment or ""
        separator, quotes = self._separator(lines, whole, comment)
        rows, _ = self._cut(lines, whole, separator, quotes, comment)
        if separator == "\t" and not quotes and form.quotes is None and _quoted_whole(rows):
            raise question(
                "quotes around fields, or letters like others",
                [_printable(line) for line in lines[:_SHOWN]],
                required="to be told which: between tabs both are usual",
                where=str(path),
                fix="data.quotes: true if they stand around fields; data.quotes: false if they are letters",
            )
        if not rows:
            rows = [name.split(separator) for name in lines if name.strip()][:1]
        if not rows:
            raise DataError("a table without rows", required="a row or more", got=f"{path}: blank lines")
        shown = tuple(_printable(line) for line in lines if line.strip())[:_SHOWN]
        where = f"{path}, line {skip + 1}"
        header = self._header(rows, shown, where)
        self._written = tuple(rows[0])
        self._widths = Counter(map(len, rows[1:]))
        if header and form.header is None:
            self._one_line_of_names(rows, shown, skip)
        first = [name.strip() for name in rows[0]] if header else [str(i + 1) for i in range(len(rows[0]))]
        if header and all(len(name) > 1 and name[0] == name[-1] == "'" for name in first):
            first = [name[1:-1] for name in first]
        if header and _names_rows(rows):
            first = ["", *first]  # as R writes it: what names the rows has no name itself
        names = [name or f"Unnamed: {place}" for place, name in enumerate(first)]
        nameless = frozenset(name for name, given in zip(names, first, strict=True) if not given)
        if form.names is not None:
            if len(form.names) != len(names):
                raise question(
                    "data.names are not as many as the columns",
                    shown,
                    required=f"{len(names)} names, one for each column",
                    where=where,
                    fix=f"got {len(form.names)}: {', '.join(form.names)}",
                )
            names, nameless = list(form.names), frozenset()
        twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
        if twice is not None:
            raise DataError(
                "two columns of one name",
                required="each once",
                got=repr(twice),
                where=where,
                fix="data.header: false if that line is a row; or data.names with a name for each column",
            )
        body = rows[1:] if header else rows
        numbers = bool(body) and not quotes_in(lines) and all(_plain(field) for row in body for field in row)
        return Dialect(separator, quotes, header, tuple(names), nameless, skip, comment, self.encoding, shown, numbers)

    def _sample(self) -> tuple[list[str], bool]:
        """Return the first lines, all of them whole, and whether they are the whole file."""
        size = _SAMPLE
        while True:
            part = self.raw[:size]
            text = io.TextIOWrapper(io.BytesIO(part), self.encoding, errors="replace", newline="")
            lines = list(islice(text, self.form.skip + _ROWS + 1))
            whole = size >= len(self.raw) and len(lines) <= self.form.skip + _ROWS
            if size < len(self.raw) and len(lines) <= self.form.skip + _ROWS:
                del lines[-1:]  # it may be cut
            if size >= len(self.raw) or len(lines) > self.form.skip + _SHOWN:
                lines = lines[self.form.skip :]
                return lines, whole
            size *= 8

    def _remarks(self, lines: Sequence[str]) -> int:
        """Return how many first lines are remarks: they begin with #, and are not of the form of the rows."""
        count = 0
        while count < len(lines) and (not lines[count].strip() or lines[count].lstrip().startswith("#")):
            count += 1
        if count == len(lines) or not any(line.strip() for line in lines[:count]):
            return 0
        separator, _ = self._separator(lines[count:], False, "")
        width = len(next(csv.reader(lines[count : count + 1], delimiter=separator), []))
        found = [len(row) for row in csv.reader(lines[:count], delimiter=separator)]
        if width < 2 or (count == 1 and found == [width]):
            return 0
        if width in found:
            raise question(
                "lines that begin with #: remarks, or the names of the columns",
                [_printable(line) for line in lines[: count + 1]],
                required="to be told which",
                where=str(self.path),
                fix='data.comment: "#" if they are remarks; or data.skip, the number of lines before the names',
            )
        return count

    def _separator(self, lines: Sequence[str], whole: bool, comment: str) -> tuple[str, bool]:
        form = self.form
        if form.separator is not None:
            separator = SEPARATORS.get(form.separator, form.separator)
            return separator, self._quoted(lines, whole, separator, comment)
        good = {}
        for mark in _TRIED:
            quoted = self._quoted(lines, whole, mark, comment)
            rows, fine = self._cut(lines, whole, mark, quoted, comment)
            if fine and rows and len(rows[0]) > 1 and _even(rows):
                good[mark] = rows, quoted
        if not good:
            rows = [line.split() for line in lines if line.strip()]
            blanks = bool(rows) and len(rows[0]) > 1 and not any(mark in line for line in lines for mark in "\t;|")
            if blanks and _even(rows) and all(is_number(field) for row in rows[1:] for field in row[1:]):
                return " ", quotes_in(lines)
            first = next((line for line in lines if line.strip() and not (comment and line.startswith(comment))), "")
            bare = "".join(first.split('"')[::2])
            mark = "\t" if "\t" in bare else max(_TRIED[1:], key=lambda one: (bare.count(one), one == ","))
            return mark, self._quoted(lines, whole, mark, comment)
        if len(good) > 1 and "\t" not in good:
            # A decimal comma stands in numbers; a semicolon between commas stands in words.
            inner = {
                mark: [field for row in rows[1:] or rows for field in row if any(o in field for o in good if o != mark)]
                for mark, (rows, _) in good.items()
            }
            clean = [m for m, found in inner.items() if all(map(is_number, found))]
            if len(clean) == 1 or (clean and clean[0] != ","):
                good = {clean[0]: good[clean[0]]}
            else:
                raise question(
                    "what separates fields cannot be told",
                    [_printable(line) for line in lines[:_SHOWN]],
                    required=" or ".join(map(repr, good)),
                    where=str(self.path),
                    fix=f'data.separator: "{next(iter(good))}"',
                )
        mark = next(iter(good))
        return mark, good[mark][1]

    def _quoted(self, lines: Sequence[str], whole: bool, separator: str, comment: str) -> bool:
        """Return whether fields may be quoted: between tabs, only where the names are."""
        if self.form.quotes is not None or separator != "\t":
            return self.form.quotes is not False
        first = next((line for line in lines if line.strip()), "").rstrip("\r\n").split("\t")
        return any(len(name) > 1 and name.startswith('"') and name.endswith('"') for name in first)

    def _cut(
        self, lines: Sequence[str], whole: bool, separator: str, quotes: bool, comment: str
    ) -> tuple[list[list[str]], bool]:
        """Return the rows of the first lines, and whether they are well formed."""
        reader = _reader(lines, separator, quotes)
        rows: list[list[str]] = []
        with whole_fields():
            try:
                rows += (r for r in reader if not _blank(r) and not (comment and r[0].lstrip().startswith(comment)))
            except csv.Error:  # where lines follow, it may be a quote that they close
                return rows, not whole and reader.line_num >= len(lines)
        return rows, True

    def _header(self, rows: Sequence[Sequence[str]], shown: Sequence[str], where: str) -> bool:
        """Return whether the first row has the names, where the file tells: names are words, and no numbers."""
        if self.form.header is not None:
            return self.form.header
        first, others = [field.strip() for field in rows[0]], rows[1 : _ROWS // 2]
        data = [place for place, field in enumerate(first) if field and (is_number(field) or is_date(field))]
        runs = [field for field in first if field]
        if (
            not first[0]
            and len(runs) == len(first) - 1
            and runs
            in (
                [str(i) for i in range(len(runs))],
                [str(i + 1) for i in range(len(runs))],
            )
        ):
            return True  # a DataFrame whose columns have numbers, with its index

        def alike(place: int) -> bool:
            found = [row[place].strip() for row in others if place < len(row)]
            return all(is_number(f) or is_date(f) or is_missing(f) for f in found)

        if not any(alike(place) for place in data):
            return True
        raise question(
            "the first line may be a row, or the names of the columns",
            shown,
            required="to be told which: as names, its numbers would not be read as numbers",
            where=where,
            fix='data.header: false if it is a row (columns are then called "1", "2", ..., or as data.names says); '
            "data.header: true if it has the names",
        )

    def _one_line_of_names(self, rows: Sequence[Sequence[str]], shown: Sequence[str], skip: int) -> None:
        """Ask, where names take several lines: under the first stand units, or more names, over columns of numbers."""
        body = [[field.strip() for field in row] for row in rows[: _ROWS // 2]]
        width, more = max(map(len, body)), 1
        while more < len(body) - 2 and _is_second(body[more], body[more + 1 :], width):
            more += 1
        if more == 1 or {len(body[0]), *map(len, body[more:])} != {width}:
            return
        over = [tuple(row[place] if place < len(row) else "" for row in body[:more]) for place in range(width)]
        whole = len({parts[0] for parts in over}) == width and all(parts[0] for parts in over)
        names = [
            parts[0] if whole else " ".join(filter(None, parts)) or f"column {n}" for n, parts in enumerate(over, 1)
        ]
        raise question(
            f"names of columns in {more} lines, or a line of units",
            shown,
            required="a line of names, and rows below it",
            where=f"{self.path}, line {skip + 2}",
            fix=f"data: {{skip: {skip + more}, header: false, names: {json.dumps(names, ensure_ascii=False)}}}; "
            f"data.header: true if line {skip + 2} is a row",
        )

    # Its rows.

    def chunks(self) -> Iterator[tuple[list[list[str]], list[int] | range]]:
        """Yield rows, all of one width, and the lines in which they end.

        Raises:
            DataError: a row of another width, or one that is malformed.
        """
        dialect = self.dialect
        text = io.TextIOWrapper(io.BytesIO(self.raw), dialect.encoding, newline="")
        width, size = len(dialect.names), min(max(8, _CHUNK // len(dialect.names)), _MOST)
        before = 0
        for _ in range(dialect.skip):
            before += bool(text.readline())
        names = list(self._written) if dialect.header and width > 1 else None
        header = dialect.header
        try:
            for rows, start, end in cut_rows(text, dialect.separator, dialect.quotes, self.path, before, size):
                lines: list[int] | range = range(start + 1, start + len(rows) + 1)
                even = width > 1 and start + len(rows) == end
                if header or dialect.comment or not even or set(map(len, rows)) != {width}:
                    rows, lines, header = self._sift(rows, start, header)
                if names in rows:
                    raise self._names_again(lines[rows.index(names)])
                if rows:
                    yield rows, lines
        except UnicodeDecodeError as error:
            raise self._undecoded(error) from None

    def _names_again(self, line: int) -> DataError:
        return DataError(
            "the names of the columns again, among the rows",
            required="one line of names: the first",
            got=_printable(self.dialect.separator.join(self._written)),
            where=f"{self.path}, line {line}",
            fix=f"take the line out, where files were put together: sed -i {line}d {self.path.name}",
        )

    def _sift(self, rows: list[list[str]], line: int, header: bool) -> tuple[list[list[str]], list[int], bool]:
        """Return the rows without blank lines, remarks and the header, and the line in which each ends."""
        dialect, kept, lines = self.dialect, [], []
        width = len(dialect.names)
        for row in rows:
            line += 1 + sum(_breaks(field) for field in row if "\n" in field or "\r" in field)
            if _blank(row) or (dialect.comment and row[0].lstrip().startswith(dialect.comment)):
                continue
            if header:
                header = False
                continue
            if len(row) > width and not any(field.strip() for field in row[width:]):
                row = row[:width]  # separators at the end of the line
            if len(row) != width:
                raise self._ragged(row, line)
            kept.append(row)
            lines.append(line)
        return kept, lines, header

    def _ragged(self, row: Sequence[str], line: int) -> DataError:
        dialect = self.dialect
        names = ", ".join(dialect.names[:20]) + (", ..." if len(dialect.names) > 20 else "")
        mark = next((word for word, one in SEPARATORS.items() if one == dialect.separator), repr(dialect.separator))
        return DataError(
            "a ragged row",
            required=f"{len(dialect.names)} fields: {names}",
            got=f"{len(row)} fields, cut at each {mark}: " + _printable(dialect.separator.join(row)),
            where=f"{self.path}, line {line}",
            fix=self._evened(row)
            + "every row needs a field for every column; text with the separator in it is quoted in a CSV file; "
            "data.separator, data.skip and data.comment say what else a file may have",
        )

    def _evened(self, row: Sequence[str]) -> str:
        """Return what is likely meant by a row of another width, and the setting for it."""
        dialect, width = self.dialect, len(self.dialect.names)
        lines, _ = self._sample()
        mark = re.match(r"\s*([%;@!*]|//)", lines[dialect.skip - self.form.skip])
        if mark is not None:
            return f'data.comment: "{mark[1]}" if lines that begin with it are remarks; '
        if self._widths and (most := self._widths.most_common(1)[0][0]) > width:
            for place, line in enumerate(lines):
                if len(next(csv.reader([line], delimiter=dialect.separator), ())) == most:
                    return f"data.skip: {self.form.skip + place} if names stand below lines of another kind; "
        if dialect.separator == "\t" and not dialect.quotes and any(field.startswith('"') for field in row):
            return "data.quotes: true if quotes stand around fields; "
        first = row[0].strip()
        if first and len(row) < width:
            start = first[0] if not first[0].isalnum() else first.split()[0]
            return f"data.comment: {json.dumps(start, ensure_ascii=False)} if the line is a remark; "
        return ""

    def _undecoded(self, error: UnicodeDecodeError) -> DataError:
        if self.encoding != "utf-8-sig":
            return DataError(
                f"the table is not {self.encoding}", got=str(error.reason), where=str(self.path), fix="data.encoding"
            )
        try:
            self.raw.decode("utf-8-sig")
        except UnicodeDecodeError as exact:
            found = not_utf8(self.path, self.raw, exact)
            return DataError(
                found.what,
                required=found.required,
                got=found.got,
                where=found.where,
                fix=f"data.encoding: cp1252, or whatever it is in; or {found.fix}",
            )
        return DataError("the text file is not UTF-8", got=str(error), where=str(self.path))


def _utf16(path: Path, raw: bytes, encoding: str) -> DataError | None:
    return utf16_unmarked(path, raw[:_SAMPLE], "data.encoding: utf-16-{}; or ") if encoding == "utf-8-sig" else None


def cut_rows(
    lines: Iterable[str], separator: str, quotes: bool, path: str | Path, before: int = 0, size: int = 1
) -> Iterator[tuple[list[list[str]], int, int]]:
    """Yield so many rows at once, and the lines, from 1, after which they begin and in which they end.

    Args:
        lines: with their ends.
        separator, quotes: see ``Form``.
        path: of the file, for messages.
        before: lines that were read before these.
        size: rows at once.

    Raises:
        DataError: a malformed row.
    """
    reader = _reader(lines, separator, quotes)
    with whole_fields():
        while True:
            start = before + reader.line_num
            try:
                rows = list(islice(reader, size))
            except csv.Error as error:
                raise DataError(
                    "a malformed row",
                    required='fields in quotes that end with them, quotes within written twice: ""',
                    got=str(error),
                    where=f"{path}, line {before + reader.line_num}",
                    fix="data.quotes: false if quotes are letters like others; where quotes within have a backslash "
                    f"""before them: sed 's/\\\\"/""/g' {Path(path).name} > mended.csv""",
                ) from None
            if not rows:
                return
            yield rows, start, before + reader.line_num


#: What the first line of a file of another form looks like, what it is, and what to do.
_OTHER_FORMS: Final = (
    (re.compile(r"\s*<(!doctype|html|\?xml|tmx|svg|table)\b", re.IGNORECASE), "HTML or XML",
     "a page that shows a file has a link to it (raw, download); of XML, write rows or pairs, one a line"),
    (re.compile(r"\s*\{.*\}\s*"), "JSON lines",
     'in Python: pandas.read_json("{name}", lines=True).to_csv("{stem}.csv", index=False)'),
    (re.compile(r"\s*[\[{]\s*(?:[{\[\"].*)?"), "JSON",
     'in Python: pandas.read_json("{name}").to_csv("{stem}.csv", index=False)'),
    (re.compile(r"__label__\S+\s.*\s*"), "fastText's labels",
     r"sed 's/^__label__\([^ ]*\) /\1\t/' {name} > {stem}.tsv; data: {{header: false, target: '1', text: '2'}}"),
    (re.compile(r"[-+.\w]+(?: \d+:[-+.\deE]+)+\s*"), "LIBSVM's sparse vectors",
     'in Python: sklearn.datasets.load_svmlight_file("{name}"), and write columns'),
    (re.compile(r"\s*\(\s*\((?:S|NP|VP|X|TOP|ROOT|FRAG|SINV|SQ|SBARQ?|UCP|INTJ)\b.*\s*"), "trees of the Penn Treebank",
     "in Python: nltk.Tree.fromstring(TREE).pos() has the words with their tags; write one a line"),
    (re.compile(r"\s*(?:\S+/[A-Z$.,:`'#-]+(?:\s+|$)){3,}"), "a sentence a line, word/TAG",
     r"sed 's#/\([^/ ]*\) *#\t\1\n#g' {name} > {stem}.tsv"),
    (re.compile(r"@relation\b.*\s*", re.IGNORECASE), "ARFF",
     'data: {{comment: "@", header: false}}, and data.names, the names of its @attribute lines'),
)  # fmt: skip


def refuse_other_forms(path: str | Path, lines: Sequence[str]) -> None:
    """Tell what a text file is that is no table, nor lines of words.

    Raises:
        DataError: its first lines show it to be of another form.
    """
    first = next((line for line in lines if line.strip()), "")
    for pattern, what, fix in _OTHER_FORMS:
        if pattern.match(first) if what.startswith("HTML") else pattern.fullmatch(first):
            raise DataError(
                f"a file of another form: {what}",
                required="rows of fields, or lines of words",
                got=_printable(first),
                where=str(path),
                fix=fix.format(name=Path(path).name, stem=Path(path).name.partition(".")[0]),
            )


def _quoted_whole(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether all fields that begin with a quote are written as CSV has it, quotes within them twice."""
    fields = [field[1:-1] for row in rows for field in row if field.startswith('"') and len(field) > 1]
    whole = all(field.endswith('"') for row in rows for field in row if field.startswith('"'))
    return whole and any('""' in field for field in fields) and not any('"' in f.replace('""', "") for f in fields)


def _is_second(row: Sequence[str], others: Sequence[Sequence[str]], width: int) -> bool:
    """Return whether a row is no row like the others: words over numbers, and nothing that is found below."""
    over = 0
    for place in range(width):
        field = row[place] if place < len(row) else ""
        found = [other[place] for other in others if place < len(other) and not is_missing(other[place])]
        if not field:
            continue
        if is_number(field) or is_date(field) or field in found:
            return False
        over += len(found) > 1 and not is_missing(field) and all(is_number(f) or is_date(f) for f in found)
    blank = len(row) > 1 and len([field for field in row if field]) <= 1  # the index's name, and nothing else
    return over > 0 or (blank and bool(row[0]) and not any(other[0] == row[0] for other in others))


def _encoding(raw: bytes, form: Form, path: Path) -> str:
    if form.encoding is not None:
        try:
            name = codecs.lookup(form.encoding).name
        except LookupError:
            raise DataError(
                f"data.encoding: unknown encoding {form.encoding!r}",
                required="a name that Python knows, such as cp1252",
            ) from None
        return "utf-8-sig" if name == "utf-8" else name
    return "utf-16" if raw.startswith(UTF16) else "utf-8-sig"


def _reader(lines: Any, separator: str, quotes: bool) -> Any:
    quoting: Any = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    if separator == " ":
        lines = (" ".join(line.split()) if '"' not in line else line.strip() for line in lines)
        return csv.reader(lines, delimiter=" ", quoting=quoting, strict=quotes, skipinitialspace=True)
    return csv.reader(lines, delimiter=separator, quoting=quoting, strict=quotes)


def _blank(row: Sequence[str]) -> bool:
    return not row or (len(row) == 1 and not row[0].strip())


def _even(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether all rows are as wide as the first, separators at their ends left out of account."""
    width = len(rows[0])
    if all(len(row) == width or (len(row) > width and not any(map(str.strip, row[width:]))) for row in rows[1:]):
        return True
    return _names_rows(rows)


def _names_rows(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether all rows have one field more than the first, and begin with a name of their own."""
    body = rows[1:]
    wider = len(body) > 1 and all(len(row) == len(rows[0]) + 1 and row[-1].strip() for row in body)
    titled = wider and len(body) > 2 and _is_second(body[0], body[1:], len(body[0]))  # names below a title
    return wider and not titled and len({row[0] for row in body}) == len(body)


def _plain(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return field.isascii() and "_" not in field


def quotes_in(lines: Sequence[str]) -> bool:
    """Return whether a quote stands in one of the lines."""
    return any('"' in line for line in lines)


def _breaks(field: str) -> int:
    return field.count("\n") + field.count("\r") - field.count("\r\n")


_limits = threading.Lock()
_reading = 0
_limit = 0


@contextmanager
def whole_fields() -> Iterator[None]:
    """Take fields of any length; the csv module's limit, one for all threads, is as it was when the last is done."""
    global _reading, _limit
    with _limits:
        if _reading == 0:
            _limit = csv.field_size_limit(2**31 - 1)
        _reading += 1
    try:
        yield
    finally:
        with _limits:
            _reading -= 1
            if _reading == 0:
                csv.field_size_limit(_limit)


def with_header(form: Form, header: bool | None) -> Form:
    """Return the form with ``header``, where that is said."""
    return form if header is None else replace(form, header=header)
