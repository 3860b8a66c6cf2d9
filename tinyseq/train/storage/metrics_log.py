"""metrics.jsonl: a line a row, cut back on resuming, and no reason for a run to die."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tinyseq import files

Row = dict[str, Any]


class MetricsLog:
    """The rows of a run, in a file: a long run does not fill the memory with them.

    A row that cannot be written (disk full) is told once, kept, and tried again with the next one.

    Args:
        path: the file.
        tell: takes messages for a person.
        size: how many bytes of the file were written before the step that the run goes on from; the rest is cut off.
    """

    def __init__(self, path: Path, tell: Callable[[str], None], size: int = 0) -> None:
        self.path, self.tell = path, tell
        self._handle = os.open(path, os.O_RDWR | files.FLAGS, 0o666)
        there = os.fstat(self._handle).st_size
        if there < size:
            tell(f"warning: {path} is shorter than it was at the checkpoint; its rows are not complete")
        self.size = min(there, size)
        os.ftruncate(self._handle, self.size)
        self._pending = b""
        self._told = False

    @property
    def end(self) -> int:
        """Return the size that the file has when all rows are in it."""
        return self.size + len(self._pending)

    def add(self, row: Row) -> None:
        """Append a row."""
        self._pending += json.dumps(row).encode() + b"\n"
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

    def rows(self) -> list[Row]:
        """Return all rows, those of before a stop included."""
        return [json.loads(line) for line in (self.path.read_bytes() + self._pending).splitlines()]

    def sync(self) -> None:
        """Flush the file to the disk."""
        os.fsync(self._handle)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)
