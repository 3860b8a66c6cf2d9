"""One process a run directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinyseq.errors import DataError

LOCK = ".lock"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a run directory inside the ``with`` block.

    The lock is the system's own (flock), so that of a process that died, in whatever way, is free at once.

    Raises:
        DataError: another process holds it.
    """
    from filelock import FileLock, Timeout  # here, because it loads asyncio, and a wrong config needs no lock

    path = directory / LOCK
    if path.is_symlink() or (path.exists() and not path.is_file()):  # it would be opened, and emptied, where it leads
        raise DataError("the run directory cannot be locked", required=f"{LOCK}, a file", got=f"{path}: something else")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(
            "the run directory is in use by another process or thread",
            required="one run at a time in a directory",
            got=str(directory),
            fix="wait until it ends or stop it, or start a new run without --resume",
        ) from None
    try:
        yield
    finally:
        lock.release()
