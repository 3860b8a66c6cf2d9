"""Tables in text files: TSV, CSV and their like, kept by columns, with the place of every field for messages."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyseq.data import numerals
from tinyseq.data.delimited import Delimited, Dialect, Form, question, with_header
from tinyseq.errors import DataError, did_you_mean

Array = np.ndarray[Any, Any]
#: Stands between the packed fields of a column; a field that has it is kept unpacked.
_MARK: Final = "\x1f"
#: Names of columns that number or name the rows, in small letters.
INDEX_NAMES: Final = frozenset(
    {
        "id",
        "index",
        "idx",
        "row",
        "rownames",
        "row_names",
        "row.names",
        "rowid",
        "row_id",
        "obs",
        "no",
        "nr",
        "#",
        "sno",
    }
)
#: The same at the end of a longer name: PassengerId, user_id, Customer ID.
_ID: Final = re.compile(r".*(?:[a-z]I[Dd]|[\W_][Ii][Dd])")
#: Rows from which on a running number in a column is no chance.
_FEW = 5


class _Column:
    """The fields of a column, in packed chunks: a text each, which takes no more memory than the file does."""

    def __init__(self, marked: bool) -> None:
        #: Whether the mark may stand in a field.
        self.marked = marked
        self.chunks: list[bytes | tuple[str, ...]] = []

    def add(self, fields: tuple[str, ...]) -> None:
        packed = _MARK.join(fields)
        whole = not self.marked or packed.count(_MARK) == len(fields) - 1
        self.chunks.append(packed.encode("utf-8", "surrogatepass") if whole else fields)

    def parts(self) -> Iterator[Sequence[str]]:
        for chunk in self.chunks:
            yield chunk.decode("utf-8", "surrogatepass").split(_MARK) if isinstance(chunk, bytes) else chunk

    def __iter__(self) -> Iterator[str]:
        for part in self.parts():
            yield from part


class Table:
    """The rows of a file as text, kept by columns.

    Of a file of numbers alone only the numbers are kept beside its bytes; its fields are cut when they are asked for.
    """

    def __init__(self, source: Delimited) -> None:
        self.dialect: Dialect = source.dialect
        self.form = source.form
        self.name = str(source.path)
        self.columns = source.dialect.names
        self.sha256 = hashlib.sha256(source.raw).hexdigest()
        self._source: Delimited | None = source
        self._text: list[_Column] | None = None
        self._lines: list[list[int] | range] = []
        self._plain = _loaded(source)
        self._count = 0 if self._plain is None else len(self._plain)
        if self._plain is None:
            self._read()
            self._source = None
        if not self._count:
            raise DataError("a table without rows", required="a row or more under the header", got=f"{self.name}: none")

    def __len__(self) -> int:
        return self._count

    def _read(self) -> list[_Column]:
        if self._text is not None:
            return self._text
        assert self._source is not None
        marked = _MARK.encode() in self._source.raw
        columns = [_Column(marked) for _ in self.columns]
        self._count = 0
        empty: list[list[str]] = []
        for rows, lines in self._source.chunks():
            # Rows of separators alone are left out at the end, where spreadsheets put them, and kept before others.
            full = len(rows)
            while full and len(self.columns) > 1 and not any(map(str.strip, rows[full - 1])):
                full -= 1
            if full and empty:
                self._add(columns, empty)
                empty = []
            self._add(columns, rows[:full])
            empty += rows[full:]
            self._lines.append(lines)
        self._text = columns
        return columns

    def _add(self, columns: list[_Column], rows: list[list[str]]) -> None:
        if rows:
            self._count += len(rows)
            for column, fields in zip(columns, zip(*rows, strict=True), strict=True):
                column.add(fields)

    @property
    def rows(self) -> list[list[str]]:
        """The rows, a list of fields each."""
        return [list(row) for row in zip(*self._read(), strict=True)]

    @property
    def lines(self) -> list[int]:
        """The line in which each row ends, counted from 1."""
        self._read()
        return [line for part in self._lines for line in part][: self._count]

    def index(self, column: str) -> int:
        """Return the number of a column.

        Raises:
            DataError: there is none of that name.
        """
        if column not in self.columns:
            raise question(
                f"there is no column {column!r}",
                self.dialect.shown,
                required=f"one of: {', '.join(self.columns[:30])}{', ...' if len(self.columns) > 30 else ''}",
                where=f"{self.name}, line {self.dialect.skip + 1}",
                fix=did_you_mean(column, self.columns)
                + (
                    "; or data.header: false if that line is a row"
                    if self.dialect.header and len(self.columns) < 30
                    else ""
                ),
            )
        return self.columns.index(column)

    def place(self, row: int, column: str) -> str:
        """Return where a field is, in words."""
        return f"{self.name}, line {self.lines[row]}, column {column!r}"

    def field(self, row: int, column: str) -> str:
        """Return a field as it stands."""
        for part in self._read()[self.index(column)].parts():
            if row < len(part):
                return part[row]
            row -= len(part)
        raise IndexError(row)

    def fields(self, column: str) -> list[str]:
        """Return a column as it stands."""
        return list(self._read()[self.index(column)])

    def head(self, column: str) -> list[str]:
        """Return the first fields of a column, enough of them to see what it may be."""
        return list(next(self._read()[self.index(column)].parts()))

    def texts(self, column: str) -> list[str]:
        """Return a column as text, spaces at the ends cut off.

        Raises:
            DataError: a field is empty.
        """
        found = list(map(str.strip, self._read()[self.index(column)]))
        if not all(found):
            row = found.index("")
            raise DataError("a missing value", required="text", got="an empty field", where=self.place(row, column))
        return found

    def labels(self, column: str) -> list[str]:
        """Return a column as ``texts`` does; labels that are equal are one string."""
        seen: dict[str, str] = {}
        return [seen.setdefault(text, text) for text in self.texts(column)]

    def numbers(self, columns: Sequence[str], *, missing: bool = False) -> Array:
        """Return columns as float64 (rows, columns).

        Args:
            columns: their names.
            missing: whether values may be missing; they are then NaN.

        Raises:
            DataError: a value is no finite number, or missing; or it cannot be told how numbers are written.
        """
        indices = [self.index(name) for name in columns]
        if self._plain is not None and self.form.decimal != ",":
            values = self._plain if indices == list(range(len(self.columns))) else self._plain[:, indices]
            odd: list[int] = []
        else:
            values, odd = self._converted(columns, indices)
        if odd:
            self._write_odd(columns, indices, odd, values)
        values = self._without_sentinels(columns, values)
        if not missing and np.isnan(values).any():
            row, place = (int(i) for i in np.argwhere(np.isnan(values))[0])
            raise DataError(
                "a missing value",
                required="a finite number",
                got=repr(self.field(row, columns[place]).strip()),
                where=self.place(row, columns[place]),
                fix="fill the value in, or leave the row out; data.missing says what else may be done",
            )
        return values

    def _converted(self, columns: Sequence[str], indices: Sequence[int]) -> tuple[Array, list[int]]:
        """Return the numbers that Python reads, and which columns have others."""
        values, odd = np.empty((len(self), len(indices))), []
        text = self._read()
        for place, index in enumerate(indices):
            at = 0
            for part in text[index].parts():
                found = numerals.plain(part)
                if found is None:
                    odd.append(place)
                    break
                values[at : at + len(part), place] = found
                at += len(part)
        return values, list(range(len(indices))) if self.form.decimal == "," else odd

    def _write_odd(self, columns: Sequence[str], indices: Sequence[int], odd: list[int], values: Array) -> None:
        """Fill in the columns whose numbers are written in another way, or which miss some."""
        marks = self.form.missing or ()
        decimal = self.form.decimal or self._decimal(columns, indices, odd, marks)
        for place in range(len(indices)) if decimal == "," else odd:
            fields = list(self._read()[indices[place]])
            values[:, place], wrong = numerals.read(fields, decimal, marks)
            if wrong >= 0:
                raise self._no_number(columns[place], wrong, decimal)

    def _decimal(self, columns: Sequence[str], indices: Sequence[int], odd: Sequence[int], marks: Sequence[str]) -> str:
        notation = numerals.Notation()
        for place in odd:
            notation.take(self._read()[indices[place]], marks)
        if notation.decimal == ",":
            for place in set(range(len(indices))) - set(odd):
                notation.take(self._read()[indices[place]], marks)
        if notation.mixed:
            raise question(
                "decimal points and decimal commas in one file",
                self.dialect.shown,
                required="one decimal mark",
                where=f"{self.name}: {notation.witness['.']!r} and {notation.witness[',']!r}",
                fix='data.decimal: "." or ","; columns that are no numbers are left out by data.columns',
            )
        if notation.decimal is None:
            if self.dialect.separator == ";":
                return ","  # a file has semicolons because its commas are decimal
            raise question(
                "a number that can be read in two ways",
                self.dialect.shown,
                required="to be told the decimal mark",
                where=f"{self.name}: {notation.unsure!r}",
                fix='data.decimal: "." if the comma groups thousands, data.decimal: "," if it is decimal',
            )
        return notation.decimal

    def _no_number(self, column: str, row: int, decimal: str) -> DataError:
        field = self.field(row, column).strip()
        signs = numerals.is_number(field)
        if not any(map(numerals.is_number, head := self.head(column)[:100])):
            kept = [n for n in self.columns if n != column and any(map(numerals.is_number, self.head(n)[:100]))]
            return DataError(
                f"not a number: the column {column!r} has text",
                required="columns of numbers",
                got=", ".join(map(repr, list(dict.fromkeys(map(str.strip, head)))[:4])),
                where=self.place(row, column),
                fix=f"data.columns, without it (and the target): {_listed(kept)}; or numbers for its words in the file",
            )
        return DataError(
            "numbers of several kinds in one column" if signs else "not a number",
            required="a finite number" + (", with the same sign (%, a currency) as those before it" if signs else ""),
            got=repr(field[:80]),
            where=self.place(row, column),
            fix=f"the decimal mark is {decimal!r}; data.decimal says another, data.missing_marks what is missing; "
            "data.columns leaves columns out",
        )

    def _without_sentinels(self, columns: Sequence[str], values: Array) -> Array:
        """Return the values; NaN for marks that are numbers, where they are told, and a question where they are not."""
        marks = self.form.missing
        if marks is not None:
            told = [float(mark) for mark in marks if numerals.is_number(mark) and _is_float(mark)]
            return np.where(np.isin(values, told), np.nan, values) if told else values
        for place, name in enumerate(columns):
            found = numerals.sentinel(values[:, place])
            if found is not None:
                row = int(np.argmax(values[:, place] == found))
                raise question(
                    f"{found:g} may mark a missing value",
                    self.dialect.shown,
                    required="to be told: as it stands, it would be a value like others",
                    where=self.place(row, name),
                    fix=f'data.missing_marks: ["{found:g}"] if it does, data.missing_marks: [] if it does not',
                )
        return values

    def features(self, others: set[str]) -> list[str]:
        """Return the columns that are read where nobody says which: all but ``others``, and no index.

        Raises:
            DataError: a column may be an index, or a feature.
        """
        found = []
        for name in self.columns:
            if name in others:
                continue
            looks = self._looks(name)
            if looks == "index":
                continue
            if looks:
                keep = [n for n in self.columns if n not in others]
                without = [n for n in keep if n != name]
                raise question(
                    f"the column {name!r} {looks}",
                    self.dialect.shown,
                    required="to be told whether it is read: the order of the rows may give the target away",
                    where=self.name,
                    fix=f"data.columns: {_listed(without)}; with it: data.columns: {_listed(keep)}",
                )
            found.append(name)
        return found

    def _looks(self, name: str) -> str:
        """Return "index" for a column that numbers or names the rows, what makes it look like one, or nothing."""
        nameless = name in self.dialect.nameless or name.lower().startswith("unnamed:")
        head = numerals.plain(self.head(name))
        named = nameless or name.lower() in INDEX_NAMES or _ID.fullmatch(name) is not None
        if not named and (head is None or not _counts(head)):
            return ""
        fields = self.fields(name)
        if nameless and not any(map(str.strip, fields)):
            return "index"  # a column of nothing
        values = numerals.plain(fields)
        runs = values is not None and len(values) > 1 and _counts(values)
        distinct = len(set(fields)) == len(fields) and (not nameless or name == self.columns[0])
        if named and (runs or (distinct and len(fields) > 1)):
            return "index"
        if nameless:
            return "has no name"
        if named:
            return "is called like one that names the rows"
        if runs and len(fields) >= _FEW:
            return f"counts the rows: {fields[0]}, {fields[1]}, {fields[2]}, ..."
        return ""


def _counts(values: Array) -> bool:
    return bool(values[0] in (0, 1) and (np.diff(values) == 1).all())


def _listed(names: Sequence[str]) -> str:
    shown = [name if name.replace("_", "").isalpha() else f'"{name}"' for name in names[:8]]
    return f"[{', '.join(shown)}{', ...' if len(names) > 8 else ''}]"


def _is_float(mark: str) -> bool:
    try:
        float(mark)
    except ValueError:
        return False
    return True


def _loaded(source: Delimited) -> Array | None:
    """Return the numbers of a file of nothing else, or None."""
    dialect = source.dialect
    if not dialect.numbers or dialect.comment or dialect.encoding != "utf-8-sig" or len(dialect.separator) != 1:
        return None
    if b'"' in source.raw or b"_" in source.raw or not source.raw.removeprefix(b"\xef\xbb\xbf").isascii():
        return None
    text = source.raw.removeprefix(b"\xef\xbb\xbf")
    lines = text.split(b"\n", dialect.skip + 1)
    if text.count(b"\r") != text.count(b"\r\n") or not lines[min(dialect.skip, len(lines) - 1)].strip():
        return None  # lines are not what NumPy takes for lines
    try:
        found = np.loadtxt(
            io.BytesIO(text),
            delimiter=None if dialect.separator == " " else dialect.separator,
            comments=None,
            skiprows=dialect.skip + dialect.header,
            ndmin=2,
        )
    except ValueError:
        return None
    return found if found.shape[1] == len(dialect.names) and np.isfinite(found).all() else None


def read_table(path: str | Path, *, header: bool | None = None, form: Form | None = None) -> Table:
    """Read a file of rows: fields separated by tabs, semicolons, bars or commas; quoted as CSV has it, but not by tabs.

    How the file is written is found out, and asked where that is not certain; ``form`` says it. Blank lines are passed
    over; a line ends at a line feed, a carriage return or both.

    Args:
        path: the file.
        header: whether the first line names the columns; else they are called "1", "2", ...
        form: how the file is written.

    Raises:
        DataError: the file cannot be read, has no rows, a column's name twice, or a row with another number of fields.
    """
    return Table(Delimited(Path(path), with_header(form or Form(), header)))
