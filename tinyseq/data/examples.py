"""Examples: an input with its target, read from tables; and their split into training, validation and test."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyseq.data.splitting import split_examples
from tinyseq.data.tables import Table, read_table
from tinyseq.data.text import load_text
from tinyseq.errors import DataError

Array = np.ndarray[Any, Any]

__all__ = ["READ_TARGETS", "Example", "read_keys", "read_sequences", "read_texts", "read_vectors", "split_examples"]


class Example(NamedTuple):
    """An input (a text; numbers (features,) or (time, features)) and its target (a label, numbers), None if unknown."""

    input: Any
    target: Any = None


def _labels(table: Table, column: str) -> list[Any]:
    return table.texts(column)


def _values(table: Table, column: str) -> list[Any]:
    return list(table.numbers([column]))


#: How targets are read from their column: as labels, or as numbers (1,).
READ_TARGETS: dict[str, Callable[[Table, str], list[Any]]] = {"label": _labels, "number": _values}


def _targets(table: Table, column: str, kind: str, required: bool) -> list[Any]:
    if not required and column not in table.columns:
        return [None] * len(table)
    return READ_TARGETS[kind](table, column)


def read_texts(
    path: str | Path, *, text: str, target: str, kind: str = "label", targets: bool = True, header: bool = True
) -> list[Example]:
    """Return an example for each row of a table; without targets, a ``.txt`` file has a text a line instead.

    Args:
        path: a TSV or CSV file.
        text, target: the columns' names.
        kind: of targets, a key of ``READ_TARGETS``.
        targets: whether there must be targets.
        header: see ``read_table``.

    Raises:
        DataError: see ``read_table``; or a column is not there, or a value missing.
    """
    if not targets and Path(path).suffix == ".txt":
        return [Example(line.strip()) for line in load_text(path).text.split("\n") if line.strip()]
    table = read_table(path, header=header)
    return [*map(Example, table.texts(text), _targets(table, target, kind, targets))]


def read_vectors(
    path: str | Path,
    *,
    columns: Sequence[str] | None,
    target: str,
    kind: str,
    targets: bool = True,
    header: bool = True,
    apart: Collection[str] = (),
) -> list[Example]:
    """Return an example for each row: the numbers of ``columns``, float64 (features,).

    None for ``columns``: all but the target and those ``apart``.
    """
    table = read_table(path, header=header)
    names = _features(table, columns, {target, *apart})
    return [*map(Example, table.numbers(names), _targets(table, target, kind, targets))]


def read_sequences(
    path: str | Path,
    *,
    sequence: str,
    columns: Sequence[str] | None,
    target: str,
    kind: str,
    targets: bool = True,
    header: bool = True,
    apart: Collection[str] = (),
) -> list[Example]:
    """Return an example for each run of rows with one value in the column ``sequence``: a row is a time step.

    The target stands in each of its rows, and is the same in all of them.

    Raises:
        DataError: see ``read_table``; or the target changes within a sequence, or a sequence comes back later.
    """
    table = read_table(path, header=header)
    keys = table.texts(sequence)
    names = _features(table, columns, {target, sequence, *apart})
    values, target_of = table.numbers(names), _targets(table, target, kind, targets)
    starts = [row for row in range(len(keys)) if row == 0 or keys[row] != keys[row - 1]]
    seen: set[str] = set()
    examples = []
    for start, end in zip(starts, [*starts[1:], len(keys)], strict=True):
        if keys[start] in seen:
            raise DataError(
                "a sequence in two places",
                required="the rows of a sequence one after another",
                got=f"{keys[start]!r} again",
                where=table.place(start, sequence),
            )
        seen.add(keys[start])
        for row in range(start + 1, end):
            if target_of[row] != target_of[start]:
                raise DataError(
                    "the target changes within a sequence",
                    required=f"{table.rows[start][table.index(target)]!r}, as in line {table.lines[start]}",
                    got=repr(table.rows[row][table.index(target)]),
                    where=table.place(row, target),
                )
        examples.append(Example(values[start:end], target_of[start]))
    return examples


def _features(table: Table, columns: Sequence[str] | None, others: set[str]) -> list[str]:
    names = [name for name in table.columns if name not in others] if columns is None else list(columns)
    if not names:
        raise DataError("no column of features", required="at least one", got=", ".join(table.columns))
    return names


def read_keys(path: str | Path, column: str, *, header: bool = True, sequence: str | None = None) -> list[str]:
    """Return a column's text for each row, or for the first row of each run with one value in ``sequence``."""
    table = read_table(path, header=header)
    found = table.texts(column)
    if sequence is None:
        return found
    runs = table.texts(sequence)
    return [key for row, key in enumerate(found) if row == 0 or runs[row] != runs[row - 1]]
