"""metrics.jsonl: a line a row, cut back on resuming, and no reason for a run to die."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tinyseq import files
from tinyseq.train.storage import plain

Row = dict[str, Any]
log = logging.getLogger("tinyseq.train")
#: A longer line is none of a run's.
_LONGEST = 1 << 20


class MetricsLog:
    """The rows of a run, in a file: a long run does not fill the memory with them.

    A row that cannot be written (disk full) is told once, kept, and tried again with the next one.

    Args:
        path: the file.
        tell: takes messages for a person.
        size: how many bytes of the file were written before the step that the run goes on from; the rest is cut off.
        digest: of these bytes, the SHA-256; "" where it is not known.

    Raises:
        OSError: the file is a link, a pipe or a folder, or may not be written.
    """

    def __init__(self, path: Path, tell: Callable[[str], None], size: int = 0, digest: str = "") -> None:
        self.path, self.tell = path, tell
        self._handle = files.open_regular(path, os.O_RDWR | os.O_CREAT)
        files.sync_folder(path.parent)
        there = os.fstat(self._handle).st_size
        self.size = min(there, size)
        os.ftruncate(self._handle, self.size)
        self._digest = hashlib.sha256()
        while content := os.read(self._handle, _LONGEST):
            self._digest.update(content)
        if there < size:
            tell(f"warning: {path} is shorter than it was at the checkpoint; its rows are not complete")
        elif digest and self.digest != digest:
            tell(f"warning: {path} is not as it was at the checkpoint; its rows may be wrong")
        self._pending = b""
        self._told = False

    @property
    def end(self) -> int:
        """Return the size that the file has when all rows are in it."""
        return self.size + len(self._pending)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of all rows, those that wait included."""
        return self._digest.hexdigest()

    def add(self, row: Row) -> None:
        """Append a row."""
        line = plain.dumps(row, ascii=True).encode() + b"\n"
        self._digest.update(line)
        self._pending += line
        try:
            os.lseek(self._handle, self.size, os.SEEK_SET)
            files.write_all(self._handle, self._pending)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._handle, self.size)  # half a line is no line
            if not self._told:
                self.tell(f"warning: metrics are not written: {error.strerror}: {self.path}; training goes on")
                self._told = True
            return
        self.size, self._pending = self.end, b""

    def sync(self) -> None:
        """Flush the file to the disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


def read_rows(path: Path, tell: Callable[[str], None] = log.warning) -> Iterator[Row]:
    """Yield the rows of a file, one at a time, for there may be many; a line that is none is left out and told at the
    end, unless it is the last and not written whole.

    Raises:
        OSError: the file cannot be read.
    """
    wrong, number = [], 0
    for number, line in enumerate(_lines(path), 1):
        try:
            row = _row(line)
        except plain.UNREADABLE:
            wrong.append(number)
            continue
        yield row
    if wrong:
        shown = ", ".join(map(str, wrong[:5])) + (", ..." if wrong[5:] else "")
        tell(f"warning: {path}: {len(wrong)} damaged of {number} lines left out: {shown}")


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file that have an end; of one that is too long its beginning, which is too long as well."""
    rest = b""
    for block in files.read_blocks(path):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        rest = rest[: _LONGEST + 1]


def _row(line: bytes) -> Row:
    """Return the row of a line: a step, a split, and numbers.

    Raises:
        ValueError: it is none.
    """
    found = plain.loads(line) if len(line) <= _LONGEST else None
    if not isinstance(found, dict) or not isinstance(found.get("split"), str) or not _is_count(found.get("step")):
        raise ValueError
    row = {key: value for key, value in found.items() if value is not None}  # null: no number that JSON has
    for key, value in row.items():
        if key != "split" and not (isinstance(value, float) or _is_count(value)):
            raise ValueError
    return row


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
