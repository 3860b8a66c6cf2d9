"""Files that are there whole or not at all, whenever the process is killed or the power goes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: How files are opened; Windows would change line ends.
FLAGS = os.O_CREAT | getattr(os, "O_BINARY", 0)
#: Bytes handed to the system at once, so that a large file is no single long call.
CHUNK = 1 << 24


def write(path: Path, content: bytes) -> None:
    """Write a file durably: into a draft beside it, flushed to the disk, renamed, and its folder flushed.

    Raises:
        OSError: it could not be written (disk full, no permission); what was there before is as it was.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_TRUNC | FLAGS, 0o666)
        try:
            write_all(handle, content)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(draft, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(draft)
        # The caller's file is what a person knows; the draft's name would puzzle.
        raise OSError(error.errno, error.strerror, str(path)) from None
    sync_folder(path.parent)


def write_all(handle: int, content: bytes) -> None:
    """Hand all of the content to the system, which may take it in parts."""
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view[:CHUNK]) :]


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, without which a rename may be lost with the power; not every system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def drafts(folder: Path) -> Iterator[Path]:
    """Give a folder for files that others write (pictures, samples); finished ones then move up to ``folder``."""
    place = folder / ".drafts"
    place.mkdir(exist_ok=True)
    try:
        yield place
        for draft in sorted(place.iterdir()):
            handle = os.open(draft, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
            os.replace(draft, folder / draft.name)
        sync_folder(folder)
    finally:
        _empty(place)


def tidy(folder: Path) -> None:
    """Remove what a process that was killed left unfinished."""
    _remove(folder.glob(".*.part"))
    _empty(folder / ".drafts")


def _empty(place: Path) -> None:
    if place.is_dir():
        _remove(place.iterdir())
        with suppress(OSError):
            place.rmdir()


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        with suppress(OSError):
            os.unlink(path)
