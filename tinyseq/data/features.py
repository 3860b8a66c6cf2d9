"""Features with captions: a vector (or a picture as nested lists) and a sentence, in JSON lines or in a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinyseq import given
from tinyseq.data.compressed import suffix
from tinyseq.data.examples import Example
from tinyseq.data.tables import read_table
from tinyseq.data.text import load_text
from tinyseq.errors import DataError

Array = np.ndarray[Any, Any]


class Features(NamedTuple):
    """A vector or a picture, float32, and what it is called in messages and predictions."""

    name: str
    values: Array


def read_features(path: str | Path, *, caption: str, name: str = "name", targets: bool = True) -> list[Example]:
    """Return features with their captions.

    A ``.jsonl`` file has an object a line: ``{"features": [...], "caption": "...", "name": "..."}``, the features a
    list of numbers or lists of such lists (a picture), the name optional. Any other file is a table (CSV or TSV) with a
    header: one column is the caption, one may be the name, the others are the features.

    Args:
        path: the file.
        caption: the key or the column of the caption.
        name: the key or the column of the name; else inputs are called by their line.
        targets: whether each must have its caption.

    Raises:
        DataError: the file cannot be read, or a line is not of the format; the message names it.
    """
    read = _read_lines if suffix(path) == ".jsonl" else _read_table
    return read(Path(path), caption, name, targets)


def _read_table(path: Path, caption: str, name: str, targets: bool) -> list[Example]:
    table = read_table(path)
    columns = table.features({caption, name})
    if not columns:
        raise DataError(
            "no column of features",
            required=f"a column beside {caption!r}",
            got=", ".join(table.columns),
            where=str(path),
        )
    values = table.numbers(columns).astype(np.float32)
    names = table.texts(name) if name in table.columns else [f"line {line}" for line in table.lines]
    captions = table.texts(caption) if targets or caption in table.columns else [None] * len(table)
    return [Example(Features(*one), text) for *one, text in zip(names, values, captions, strict=True)]


def _read_lines(path: Path, caption: str, name: str, targets: bool) -> list[Example]:
    examples: list[Example] = []
    for number, line in enumerate(load_text(path).text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:  # the latter where it is nested too deep
            raise DataError("a line is not JSON", required="an object", got=str(error), where=where) from None
        if not isinstance(entry, dict) or "features" not in entry:
            raise DataError("a line without features", required='{"features": [...]}', got=line[:60], where=where)
        values = vector(entry["features"], where)
        if examples and values.shape != examples[0].input.values.shape:
            raise DataError(
                "features of different sizes",
                required=f"{examples[0].input.values.shape}, as in the first line",
                got=str(values.shape),
                where=where,
            )
        text = entry.get(caption)
        if (targets and not text) or not isinstance(text, str | None):
            raise DataError(
                "a line without its caption", required=f"text under {caption!r}", got=repr(text), where=where
            )
        examples.append(Example(Features(str(entry.get(name, f"line {number}")), values), text or None))
    return examples


def vector(values: Any, where: str) -> Array:
    """Return numbers, nested or not, as float32.

    Raises:
        DataError: they are ragged, none, or not all finite numbers.
    """
    try:
        array = given.array(values, np.float32)
    except (TypeError, ValueError, OverflowError):
        array = np.full(1, np.nan, np.float32)
    if array.ndim == 0 or array.size == 0 or not np.isfinite(array).all():
        raise DataError(
            "not a vector of features",
            required="finite numbers, in lists of equal length",
            got=repr(values)[:60],
            where=where,
        )
    return array
