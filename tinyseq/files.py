"""Files: written whole or not at all, and read whole, but never more of them than expected."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

#: How files are opened; Windows would change line ends.
FLAGS = os.O_CREAT | getattr(os, "O_BINARY", 0)
#: Bytes handed to the system at once, so that a large file is no single long call.
CHUNK = 1 << 24
#: The largest data file that is read, 2 GiB: a text takes many times its size once it is tokens.
LARGEST: Final = 1 << 31
_PART: Final = 1 << 20


def write(path: Path, content: bytes, *, durable: bool = True, mode: int = 0o666) -> None:
    """Write a file whole or not at all: into a draft beside it, which is then renamed.

    Several processes may write the same file: each has a draft of its own, and the last one's stays.

    Args:
        durable: flush the draft and its folder to the disk, so that the power may go at any moment.
        mode: permissions of the file, of which the process's umask takes its part.

    Raises:
        OSError: it could not be written (disk full, no permission); what was there before is as it was.
    """
    # Opened here and not by `tempfile`, whose files are their owner's alone: the umask can be read only by setting it,
    # which other threads would see. Of the name, which may be as long as the system allows, it has the beginning.
    draft = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(8)}.part")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_EXCL | FLAGS, mode)
        try:
            write_all(handle, content)
            if durable:
                os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(draft, path)
    except BaseException as error:
        with suppress(OSError):
            os.unlink(draft)
        if isinstance(error, OSError):  # the caller's file is what a person knows; the draft's name would puzzle
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    if durable:
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


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """Return the bytes of a file, or of a pipe, of at most ``largest`` bytes.

    Raises:
        OSError: it is larger (EFBIG), or a device (EINVAL), or cannot be read; ``strerror`` says it in words.
    """
    return b"".join(read_blocks(path, largest))


def read_blocks(path: Path, largest: int = LARGEST) -> Iterator[bytes]:
    """Yield the bytes of a file, or of a pipe, block by block.

    Raises:
        OSError: as of ``read_bytes``; where a pipe is too large, after what is allowed of it.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            if path.is_char_device() or path.is_block_device():
                raise OSError(errno.EINVAL, "a device, and no file", str(path))
            size = path.stat().st_size
            total = 0
            # A pipe has no size, and a file may grow while it is read: what comes is counted as well.
            while size <= largest and total <= largest and (part := file.read(min(_PART, largest + 1 - total))):
                total += len(part)
                if total <= largest:
                    yield part
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    if max(size, total) > largest:
        raise OSError(errno.EFBIG, f"{max(size, total):,} bytes, and at most {largest:,} are read", str(path))


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
