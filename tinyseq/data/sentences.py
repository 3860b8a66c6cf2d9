"""Sentence pairs in tab-separated files: source, tab, target, one pair a line."""

from __future__ import annotations

from pathlib import Path

from tinyseq.data.text import load_text
from tinyseq.errors import DataError

#: How much of a malformed line a message shows.
SHOWN = 60


def read_pairs(path: str | Path, *, targets: bool = True) -> list[tuple[str, str | None]]:
    """Return the pairs of a UTF-8 file; lines without any text are passed over.

    Args:
        path: the file.
        targets: whether each line must have its target; else a line may be a source alone, its target None.

    Raises:
        DataError: the file cannot be read, a line has another number of columns, or one without text.
    """
    pairs: list[tuple[str, str | None]] = []
    for number, line in enumerate(load_text(path).text.split("\n"), start=1):
        if not line.strip():
            continue
        columns = [column.strip() for column in line.split("\t")]
        where = f"{path}, line {number}"
        if len(columns) > 2 or (targets and len(columns) < 2):
            raise DataError(
                "a line is not a pair of sentences",
                required="source, one tab, target" if targets else "a source, or source, one tab, target",
                got=f"{len(columns) - 1} tabs in {line[:SHOWN]!r}",
                where=where,
                fix="spaces between source and target do not count: it must be a tab" if len(columns) < 2 else "",
            )
        if not columns[0] or (len(columns) == 2 and targets and not columns[1]):
            raise DataError(
                f"a pair without its {'target' if columns[0] else 'source'}",
                required="text on both sides of the tab",
                got=repr(line[:SHOWN]),
                where=where,
                fix="complete the pair, or leave the line out",
            )
        pairs.append((columns[0], columns[1] if len(columns) == 2 and columns[1] else None))
    return pairs
