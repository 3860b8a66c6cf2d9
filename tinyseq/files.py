"""Files: written whole or not at all, and read whole, but never more of them than expected."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: How files are opened; Windows would change line ends.
FLAGS = os.O_CREAT | getattr(os, "O_BINARY", 0)
#: Bytes handed to the system at once, so that a large file is no single long call.
CHUNK = 1 << 24
#: The largest data file that is read, 2 GiB: a text takes many times its size once it is tokens.
LARGEST: Final = 1 << 31
_PART: Final = 1 << 20
#: Seconds until a pipe that nobody writes to is given up.
PATIENCE = 5.0
#: Opens what may never answer (a pipe, a device) without waiting for it.
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def write(path: Path, content: bytes | Iterable[ReadableBuffer], *, durable: bool = True, mode: int = 0o666) -> None:
    """Write a file whole or not at all: into a draft beside it, which is then renamed.

    Several processes may write the same file: each has a draft of its own, and the last one's stays.

    Args:
        path: the file; where it is a link, the link is replaced, and what it leads to stays as it is.
        content: the bytes, in one piece or in parts.
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
            for part in _joined([content] if isinstance(content, bytes) else content):
                write_all(handle, part)
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


def _joined(parts: Iterable[ReadableBuffer]) -> Iterator[ReadableBuffer]:
    """Yield parts, small ones together: each is a call of the system."""
    small = bytearray()
    for part in parts:
        large = memoryview(part).nbytes >= _PART
        if not large:
            small += part
        if small and (large or len(small) >= _PART):
            yield small
            small = bytearray()
        if large:
            yield part
    if small:
        yield small


def write_all(handle: int, content: ReadableBuffer) -> None:
    """Hand all of the content to the system, which may take it in parts."""
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view[:CHUNK]) :]


def make_folder(path: Path, *, new: bool = False) -> None:
    """Make a folder, and those above it that are missing; each is flushed into the one above it.

    Raises:
        OSError: it cannot be made; with ``new``, also where it is there already.
    """
    if not path.parent.is_dir():
        make_folder(path.parent)
    try:
        path.mkdir()
    except FileExistsError:
        if not path.exists():
            raise OSError(errno.ENOENT, f"a link to {os.readlink(path)}, which is not there", str(path)) from None
        if new or not path.is_dir():
            raise FileExistsError(errno.EEXIST, "there is a file of that name", str(path)) from None
        return
    sync_folder(path.parent)


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
        OSError: it is larger (EFBIG), or a device (EINVAL), or a pipe that nobody writes to, or cannot be read;
            ``strerror`` says it in words.
    """
    return b"".join(read_blocks(path, largest))


def read_blocks(path: Path, largest: int = LARGEST) -> Iterator[bytes]:
    """Yield the bytes of a file, or of a pipe, block by block.

    Raises:
        OSError: as of ``read_bytes``; where a pipe is too large, after what is allowed of it.
    """
    try:
        # A pipe without a writer would else be waited for here, and no message could be given.
        handle = os.open(path, os.O_RDONLY | _AT_ONCE)
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    with open(handle, "rb", buffering=0) as file:
        status = os.fstat(handle)
        size, total = status.st_size, 0
        if stat.S_ISFIFO(status.st_mode):
            first = _first_byte(handle, path)
            os.set_blocking(handle, True)
            total = len(first)
            yield first
        elif not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, _kind(status.st_mode), str(path))
        # A pipe has no size, and a file may grow while it is read: what comes is counted as well.
        while size <= largest and total <= largest and (part := file.read(min(_PART, largest + 1 - total))):
            total += len(part)
            if total <= largest:
                yield part
    if max(size, total) > largest:
        raise OSError(errno.EFBIG, f"{max(size, total):,} bytes, and at most {largest:,} are read", str(path))


def open_regular(path: Path, flags: int) -> int:
    """Open a file that is one: no pipe, which may never answer, no folder; to be written to, no link, which may lead
    anywhere.

    Raises:
        OSError: it is something else, or cannot be opened; ``strerror`` says it in words.
    """
    try:
        follow = 0 if flags == os.O_RDONLY else getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(path, flags | _AT_ONCE | follow, 0o666)
    except OSError as error:
        if flags != os.O_RDONLY and path.is_symlink():
            raise OSError(errno.ELOOP, "a link, and no file", str(path)) from None
        if path.is_dir():
            raise OSError(errno.EISDIR, "a folder, and no file", str(path)) from None
        raise OSError(error.errno, error.strerror, str(path)) from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        raise OSError(errno.EINVAL, _kind(mode), str(path))
    return handle


def _kind(mode: int) -> str:
    what = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
    return f"{what}, and no file"


def _first_byte(handle: int, path: Path) -> bytes:
    """Wait until somebody writes to a pipe; return the first byte, or none where there is no telling it from the end.

    Raises:
        OSError: nobody does.
    """
    import select  # the system's alone, and of Unix

    poll = select.poll()
    poll.register(handle, select.POLLIN)
    deadline = time.monotonic() + PATIENCE
    while not poll.poll(100):
        try:
            if byte := os.read(handle, 1):  # it came just now
                return byte
        except BlockingIOError:
            return b""  # there is a writer, who may take his time
        if time.monotonic() > deadline:
            raise OSError(errno.ENXIO, f"a pipe that nobody has written to for {PATIENCE:g} s", str(path))
    return b""


def set_aside(path: Path) -> Path:
    """Give a file a name that nothing has, ``NAME.set-aside`` or ``NAME.2.set-aside``, and return that."""
    number = 1
    while True:
        aside = path.with_suffix(".set-aside" if number == 1 else f".{number}.set-aside")
        if not os.path.lexists(aside):
            path.rename(aside)
            sync_folder(path.parent)
            return aside
        number += 1


@contextmanager
def drafts(folder: Path) -> Iterator[Path]:
    """Give a folder for files that others write (pictures, samples); finished ones then move up to ``folder``."""
    place = folder / ".drafts"
    _empty(place)
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
    if place.is_symlink():  # not ours, and what it leads to is somebody's
        _remove([place])
    elif place.is_dir():
        _remove(place.iterdir())
        with suppress(OSError):
            place.rmdir()


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        with suppress(OSError):
            os.unlink(path)
