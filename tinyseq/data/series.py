"""Series of numbers from CSV files with named columns, and their scaling."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyseq.errors import DataError, did_you_mean
from tinyseq.files import read_bytes
from tinyseq.registry import Registry

Array = np.ndarray[Any, Any]
#: Fields that stand for a missing value.
MISSING: Final = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})


@dataclass(frozen=True)
class Series:
    """Numbers over time: ``values`` float64 (time, columns), and what each row is called (a year, a date)."""

    name: str
    columns: tuple[str, ...]
    values: Array
    times: tuple[str, ...]
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.values)


def read_series(
    path: str | Path,
    columns: Sequence[str] | None = None,
    *,
    time: str | None = None,
    time_may_lack: bool = False,
    missing: str = "refuse",
) -> Series:
    """Read a CSV file: a header with the names of the columns, then a row a time step.

    Fields are separated by commas or, where the header has none, by semicolons or tabs.

    Args:
        path: the file, UTF-8.
        columns: which columns, in this order; None: all but ``time``.
        time: the column that says when; None: rows are numbered from 0.
        time_may_lack: whether rows are numbered too where the file has no column ``time``.
        missing: "refuse" a missing value, or "carry" the last one on (which looks at nothing that comes later).

    Raises:
        DataError: the file is not there, a column is unknown, a row is ragged, a value is missing or no number. The
            message names the line of the file and the column.
    """
    path = Path(path)
    try:
        raw = read_bytes(path)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise DataError("the series cannot be read", required="a CSV file", got=f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError("the series is not UTF-8", got=f"{path}: byte {error.start}", fix="save it as UTF-8") from None
    first = text.split("\n", 1)[0]
    delimiter = next((mark for mark in ",;\t" if mark in first), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [name.strip() for name in next(_rows(reader, path), [])]
    if time_may_lack and time not in header:
        time = None
    wanted = _columns(path, header, columns, time)
    rows: list[list[float]] = []
    times: list[str] = []
    for fields in _rows(reader, path):
        if not fields:
            continue  # a blank line
        line = reader.line_num
        if len(fields) != len(header):
            raise DataError(
                "a ragged row",
                required=f"{len(header)} fields: {', '.join(header)}",
                got=f"{len(fields)} fields",
                where=f"{path}, line {line}",
            )
        row = dict(zip(header, fields, strict=True))
        last = rows[-1] if rows else None
        rows.append([_number(row[name], name, f"{path}, line {line}", missing, last, i) for i, name in wanted])
        times.append(row[time].strip() if time is not None else str(len(times)))
    if len(rows) < 2:
        raise DataError("a series without rows", required="a header and at least 2 rows", got=f"{path}: {len(rows)}")
    names = tuple(name for _, name in wanted)
    return Series(path.name, names, np.array(rows), tuple(times), hashlib.sha256(raw).hexdigest())


def _rows(reader: Any, path: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError("a malformed row", got=str(error), where=f"{path}, line {reader.line_num}") from None


def _columns(path: Path, header: list[str], columns: Sequence[str] | None, time: str | None) -> list[tuple[int, str]]:
    where = f"{path}, line 1"
    if not any(header):
        raise DataError("a CSV file without a header", required="a first line with the names of the columns", got=where)
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError("two columns of one name", required="each name once", got=repr(twice), where=where)
    wanted = [name for name in header if name != time] if columns is None else list(columns)
    for name in [*wanted, *([time] if time is not None else [])]:
        if name not in header:
            raise DataError(
                f"there is no column {name!r}",
                required=f"one of: {', '.join(header)}",
                where=where,
                fix=did_you_mean(name, header),
            )
    return list(enumerate(wanted))


def _number(field: str, column: str, where: str, missing: str, last: list[float] | None, index: int) -> float:
    word = field.strip()
    if word.lower() in MISSING:
        if missing == "carry" and last is not None:
            return last[index]
        raise DataError(
            "a missing value",
            required="a number",
            got=repr(field) if missing == "refuse" else f"{field!r}, and no value before it to carry on",
            where=f"{where}, column {column!r}",
            fix="fill it in, or data.missing: carry" if missing == "refuse" else "leave the first rows out",
        )
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(
            "not a number", required="a finite number", got=repr(field), where=f"{where}, column {column!r}"
        )
    return value


#: Name -> (forth, back): what is done to values before they are standardised.
TRANSFORMS: Registry[tuple[Callable[[Array], Array], Callable[[Array], Array]]] = Registry(
    "transform",
    {
        "none": (lambda x: x, lambda z: z),
        "sqrt": (np.sqrt, lambda z: np.maximum(z, 0.0) ** 2),
        "log": (np.log1p, np.expm1),
    },
)


@dataclass(frozen=True)
class Scaler:
    """z = (g(x) - mean) / std a column, g a transform by name; fitted on the training part alone."""

    transform: str
    mean: Array
    std: Array

    @classmethod
    def fit(cls, values: Array, transform: str = "none") -> Scaler:
        """Return the scaler of values (time, columns); a constant column keeps its scale.

        Raises:
            DataError: the transform takes no negative values, and there are some.
        """
        forth = TRANSFORMS[transform][0](_admissible(values, transform))
        std = forth.std(0)
        return cls(transform, forth.mean(0), np.where(std > 0.0, std, 1.0))

    def apply(self, values: Array) -> Array:
        """Return z, float64, for values (..., columns)."""
        scaled: Array = (TRANSFORMS[self.transform][0](_admissible(values, self.transform)) - self.mean) / self.std
        return scaled

    def invert(self, z: Array, columns: Sequence[int] | None = None) -> Array:
        """Return x for z (..., columns), or for those columns only."""
        chosen = slice(None) if columns is None else list(columns)
        return TRANSFORMS[self.transform][1](z.astype(np.float64) * self.std[chosen] + self.mean[chosen])


def _admissible(values: Array, transform: str) -> Array:
    if transform != "none" and (values < 0.0).any():
        raise DataError(
            f"the transform {transform} of negative values",
            required="values of at least 0",
            got=f"a least value of {values.min():g}",
            fix="data.transform: none",
        )
    return values
