"""Examples: an input with its target, read from tables; and their split into training, validation and test."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyseq.data.compressed import suffix
from tinyseq.data.delimited import Form, question
from tinyseq.data.splitting import split_examples
from tinyseq.data.tables import Table, read_table
from tinyseq.data.text import load_text
from tinyseq.data.times import readings
from tinyseq.errors import DataError, did_you_mean

Array = np.ndarray[Any, Any]

__all__ = [
    "READ_TARGETS",
    "Example",
    "Examples",
    "read_keys",
    "read_sequences",
    "read_texts",
    "read_vectors",
    "read_wide",
    "split_examples",
]


class Example(NamedTuple):
    """An input (a text; numbers (features,) or (time, features)) and its target (a label, numbers), None if unknown."""

    input: Any
    target: Any = None


class Examples(list[Example]):
    """Examples of a file, and the columns that their inputs were read from."""

    columns: tuple[str, ...] = ()


def _labels(table: Table, column: str) -> list[Any]:
    return table.labels(column)


def _values(table: Table, column: str) -> list[Any]:
    return list(table.numbers([column]))


#: How targets are read from their column: as labels, or as numbers (1,).
READ_TARGETS: dict[str, Callable[[Table, str], list[Any]]] = {"label": _labels, "number": _values}


def _targets(table: Table, column: str, kind: str, required: bool) -> list[Any]:
    if not required and column not in table.columns:
        return [None] * len(table)
    return READ_TARGETS[kind](table, column)


def read_texts(
    path: str | Path,
    *,
    text: str,
    target: str,
    kind: str = "label",
    targets: bool = True,
    header: bool | None = None,
    form: Form | None = None,
) -> Examples:
    """Return an example for each row of a table; without targets, a ``.txt`` file has a text a line instead.

    Args:
        path: a TSV or CSV file.
        text, target: the columns' names.
        kind: of targets, a key of ``READ_TARGETS``.
        targets: whether there must be targets.
        header, form: see ``read_table``.

    Raises:
        DataError: see ``read_table``; or a column is not there, or a value missing.
    """
    if not targets and suffix(path) == ".txt":
        return Examples(Example(line.strip()) for line in load_text(path).text.split("\n") if line.strip())
    table = read_table(path, header=header, form=form)
    for name in (text, *([target] if targets else [])):
        if name not in table.columns:
            raise _which(table, name)
    found = Examples(map(Example, table.texts(text), _targets(table, target, kind, targets)))
    found.columns = (text,)
    return found


def _which(table: Table, name: str) -> DataError:
    """Return the question which column has the text and which the label, with what they seem to be."""
    names = table.columns
    if len(names) < 2:
        table.index(name)
    fields = {column: table.fields(column) for column in names[:50]}
    lengths = {column: sum(map(len, found)) for column, found in fields.items()}
    text = max(lengths, key=lambda column: lengths[column])
    label = min((c for c in fields if c != text and any(fields[c])), key=lambda c: len(set(fields[c])), default=text)
    places = [str(names.index(column) + 1) for column in (text, label)]
    fix = f"data: {{text: {json.dumps(text)}, target: {json.dumps(label)}}}, if that is what they are"
    if table.dialect.header:
        fix += f'; if the first line is a row: data: {{header: false, text: "{places[0]}", target: "{places[1]}"}}'
    return question(
        f"there is no column {name!r}",
        table.dialect.shown,
        required=f"to be told which column is which; there are: {', '.join(names[:30])}",
        where=table.name,
        fix=fix,
    )


def read_vectors(
    path: str | Path,
    *,
    columns: Sequence[str] | None,
    target: str,
    kind: str,
    targets: bool = True,
    header: bool | None = None,
    form: Form | None = None,
    missing: bool = False,
    apart: Collection[str] = (),
) -> Examples:
    """Return an example for each row: the numbers of ``columns``, float64 (features,).

    Args:
        path: the file.
        columns: what is read; None: all but the target and what numbers the rows.
        target: the target's column.
        kind, targets: see ``read_texts``.
        header, form: see ``read_table``.
        missing: whether numbers may be missing; they are then NaN.
        apart: columns that are no features unless they are named.
    """
    table = read_table(path, header=header, form=form)
    _target_there(table, target, targets)
    names = _features(table, columns, {target, *apart})
    found = Examples(map(Example, table.numbers(names, missing=missing), _targets(table, target, kind, targets)))
    found.columns = tuple(names)
    return found


def read_sequences(
    path: str | Path,
    *,
    sequence: str,
    columns: Sequence[str] | None,
    target: str,
    kind: str,
    targets: bool = True,
    header: bool | None = None,
    form: Form | None = None,
    time: str | None = None,
    missing: bool = False,
    apart: Collection[str] = (),
) -> Examples:
    """Return an example for each run of rows with one value in the column ``sequence``: a row is a time step.

    The target stands in each of its rows, and is the same in all of them. Arguments are those of ``read_vectors``, and

    Args:
        sequence: the column that tells sequences apart.
        time: the column that says when; the rows of a sequence are put in its order, and it is not read.

    Raises:
        DataError: see ``read_table``; or the target changes within a sequence, or a sequence comes back later.
    """
    table = read_table(path, header=header, form=form)
    if sequence not in table.columns:
        raise question(
            f"there is no column {sequence!r}",
            table.dialect.shown,
            required=f"the column that tells sequences apart; there are: {', '.join(table.columns[:30])}",
            where=table.name,
            fix="data.sequence, its name; or data.layout: wide if each row is a sequence, a column a step",
        )
    _target_there(table, target, targets)
    keys = table.labels(sequence)
    names = _features(table, columns, {target, sequence, *([time] if time is not None else []), *apart})
    values, target_of = table.numbers(names, missing=missing), _targets(table, target, kind, targets)
    starts = [row for row in range(len(keys)) if row == 0 or keys[row] != keys[row - 1]]
    seen: set[str] = set()
    examples = Examples()
    examples.columns = tuple(names)
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
                    required=f"{table.field(start, target)!r}, as in line {table.lines[start]}",
                    got=repr(table.field(row, target)),
                    where=table.place(row, target),
                )
        examples.append(Example(values[start:end], target_of[start]))
    if time is not None:
        _in_order(examples, table, time, starts)
    return examples


def _in_order(examples: Examples, table: Table, time: str, starts: Sequence[int]) -> None:
    labels = [field.strip() for field in table.fields(time)]
    moments = readings(labels) if all(labels) else []
    if len(moments) != 1:
        raise question(
            f"times that cannot be read, or in two ways: {labels[0]!r}",
            table.dialect.shown,
            required="numbers, or dates with the year first",
            where=table.place(0, time),
            fix="rows in order of time, and no data.time",
        )
    for number, (example, start) in enumerate(zip(list(examples), starts, strict=True)):
        at = moments[0].values[start : start + len(example.input)]
        order = np.argsort(at, kind="stable")
        twice = np.flatnonzero(np.diff(at[order]) == 0)
        if len(twice):
            raise DataError(
                "a time twice in a sequence",
                required="each time once",
                got=repr(labels[start + int(order[twice[0]])]),
                where=table.place(start + int(order[twice[0] + 1]), time),
            )
        examples[number] = Example(example.input[order], example.target)


def read_wide(
    path: str | Path,
    *,
    columns: Sequence[str] | None,
    target: str,
    kind: str,
    targets: bool = True,
    header: bool | None = None,
    form: Form | None = None,
    missing: bool = False,
    apart: Collection[str] = (),
) -> Examples:
    """Return an example for each row, a sequence whose steps are the columns in their order: float64 (time, 1).

    Values that are missing at its end are no part of a sequence. Arguments are those of ``read_vectors``.

    Raises:
        DataError: see ``read_table``; or a value is missing before the end, unless ``missing``.
    """
    table = read_table(path, header=header, form=form)
    _target_there(table, target, targets)
    names = _features(table, columns, {target, *apart}, wide=True)
    values, found = table.numbers(names, missing=True), _targets(table, target, kind, targets)
    examples = Examples()
    examples.columns = () if columns is None else tuple(names)
    for row, target_ in enumerate(found):
        known = np.flatnonzero(~np.isnan(values[row]))
        length = int(known[-1]) + 1 if len(known) else 0
        if not length or (len(known) < length and not missing):
            step = int(np.argmax(np.isnan(values[row])))
            raise DataError(
                "a missing value" if length else "a sequence without values",
                required="a finite number",
                got=repr(table.field(row, names[step]).strip()),
                where=table.place(row, names[step]),
                fix="fill the value in, or leave the row out; data.missing: mean takes the mean of training",
            )
        examples.append(Example(values[row, :length, None], target_))
    return examples


def _target_there(table: Table, target: str, required: bool) -> None:
    if not required or target in table.columns:
        return
    raise question(
        f"there is no column {target!r}",
        table.dialect.shown,
        required=f"to be told which column is learned; there are: {', '.join(table.columns[:30])}",
        where=f"{table.name}, line {table.dialect.skip + 1}",
        fix=f'data.target: "{table.columns[-1]}", if it is the last; {did_you_mean(target, table.columns[:30])}'
        + ("; data.header: false if the first line is a row" if table.dialect.header else ""),
    )


def _features(table: Table, columns: Sequence[str] | None, others: set[str], *, wide: bool = False) -> list[str]:
    if columns is not None:
        return list(columns)
    # Steps of a wide file may well count; only what has no name is no step.
    names = (
        [name for name in table.columns if name not in others | table.dialect.nameless]
        if wide
        else table.features(others)
    )
    if not names:
        raise DataError("no column of features", required="at least one", got=", ".join(table.columns))
    return names


def read_keys(path: str | Path, column: str, *, form: Form | None = None, sequence: str | None = None) -> list[str]:
    """Return a column's text for each row, or for the first row of each run with one value in ``sequence``."""
    table = read_table(path, form=form)
    keys = table.labels(column)
    if sequence is None:
        return keys
    runs = table.labels(sequence)
    return [key for row, key in enumerate(keys) if row == 0 or runs[row] != runs[row - 1]]
