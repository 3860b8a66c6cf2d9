"""Tables in text files: TSV and CSV, with the place of every field for messages."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyseq.data.text import load_text
from tinyseq.errors import DataError, did_you_mean

Array = np.ndarray[Any, Any]
#: Fields that stand for a missing value.
MISSING: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})


@dataclass(frozen=True)
class Table:
    """The rows of a file as text; ``lines`` are their line numbers, counted from 1."""

    name: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    sha256: str

    def __len__(self) -> int:
        return len(self.rows)

    def index(self, column: str) -> int:
        """Return the number of a column.

        Raises:
            DataError: there is none of that name.
        """
        if column not in self.columns:
            raise DataError(
                f"there is no column {column!r}",
                required=f"one of: {', '.join(self.columns)}",
                where=f"{self.name}, line 1",
                fix=did_you_mean(column, self.columns),
            )
        return self.columns.index(column)

    def place(self, row: int, column: str) -> str:
        """Return where a field is, in words."""
        return f"{self.name}, line {self.lines[row]}, column {column!r}"

    def texts(self, column: str) -> list[str]:
        """Return a column as text, spaces at the ends cut off.

        Raises:
            DataError: a field is empty.
        """
        index = self.index(column)
        fields = [row[index].strip() for row in self.rows]
        for row, text in enumerate(fields):
            if not text:
                raise DataError("a missing value", required="text", got="an empty field", where=self.place(row, column))
        return fields

    def numbers(self, columns: Sequence[str]) -> Array:
        """Return columns as float64 (rows, columns).

        Raises:
            DataError: a value is missing, or no finite number.
        """
        indices = [(name, self.index(name)) for name in columns]
        numbers = [[self._number(row, name, i) for name, i in indices] for row in range(len(self.rows))]
        return np.array(numbers, np.float64).reshape(len(self.rows), len(indices))

    def _number(self, row: int, column: str, index: int) -> float:
        field = self.rows[row][index].strip()
        missing = field.lower() in MISSING
        try:
            value = math.nan if missing else float(field)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(
                "a missing value" if missing else "not a number",
                required="a finite number",
                got=repr(field),
                where=self.place(row, column),
                fix="fill the value in, or leave the row out",
            )
        return value


def read_table(path: str | Path, *, header: bool = True) -> Table:
    """Read a UTF-8 file of rows: fields separated by tabs (never quoted), else by commas or semicolons (quoted as CSV).

    What separates them is read off the first line. Blank lines are passed over.

    Args:
        path: the file.
        header: whether the first line names the columns; else they are called "1", "2", ...

    Raises:
        DataError: the file cannot be read, has no rows, a column's name twice, or a row with another number of fields.
    """
    corpus = load_text(path)
    first = corpus.text.lstrip("\n").split("\n", 1)[0]
    delimiter = next((mark for mark in "\t,;" if mark in first), ",")
    reader = csv.reader(
        corpus.text.splitlines(keepends=True),
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL,
        strict=True,
    )
    rows, lines = [], []
    try:
        for row in reader:
            if any(field.strip() for field in row):
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError("a malformed row", got=str(error), where=f"{path}, line {reader.line_num}") from None
    if not rows:
        raise DataError("a table without rows", required="a row or more", got=f"{path}: blank lines")
    names = [name.strip() for name in rows[0]] if header else [str(i + 1) for i in range(len(rows[0]))]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError("two columns of one name", required="each once", got=repr(twice), where=f"{path}, line 1")
    if header:
        del rows[0], lines[0]
    if not rows:
        raise DataError("a table without rows", required="a row or more under the header", got=f"{path}: none")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise DataError(
                "a ragged row",
                required=f"{len(names)} fields: {', '.join(names)}",
                got=f"{len(row)} fields",
                where=f"{path}, line {line}",
                fix="every row needs a field for every column; text with the separator in it is quoted in a CSV file",
            )
    return Table(str(path), tuple(names), rows, lines, corpus.sha256)
