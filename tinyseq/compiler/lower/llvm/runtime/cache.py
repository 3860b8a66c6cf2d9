"""Object code kept on disk, under the digest of everything that it was made from.

A file is written under a name of its own and then renamed, so that whoever reads sees all of it or none. It begins with
the digest of what it was made from and of the rest, so that one that is damaged, or in another's place, is made anew.
Where nothing can be written, or others could write too, nothing is kept.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from tinyseq import files

log = logging.getLogger("tinyseq.compiler")
_DIGEST = 32  # bytes
#: Permissions of others to write.
_OTHERS = stat.S_IWGRP | stat.S_IWOTH
#: Files beyond this number go, those first that were used the longest time ago.
_MOST = 512


def folder() -> Path | None:
    """Return where object code is kept: TINYSEQ_CACHE, or the user's own cache.

    None where that is set to nothing, or where there is no home.
    """
    chosen = os.environ.get("TINYSEQ_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(base).expanduser() / "tinyseq"
    except RuntimeError:  # no HOME, and a user whom the system does not know, as in many containers
        return None


def cached(key: str, make: Callable[[], bytes]) -> bytes:
    """Return what ``make`` returns for this key, from disk where it has been made before."""
    place = folder()
    if place is None or not _is_private(place):
        return make()
    path = place / f"{hashlib.sha256(key.encode()).hexdigest()}.o"
    code = _read(path, key)
    if code is None:
        code = make()
        with suppress(OSError):
            _write(path, key, code)
    return code


def _is_private(place: Path) -> bool:
    """Return whether nobody but this user, and root, can change a folder: what is in it is run as machine code."""
    try:
        status = os.stat(place)
    except OSError:  # it is not there yet, or nothing can be read there
        return True
    if os.name != "posix":
        return True
    if status.st_uid in (0, os.geteuid()) and not status.st_mode & _OTHERS:
        return True
    if status.st_uid == os.geteuid() and "TINYSEQ_CACHE" not in os.environ:
        with suppress(OSError):  # made under a umask that lets a group write; nobody was asked to share it
            place.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)
            return True
    _tell_once(place)
    return False


@cache
def _tell_once(place: Path) -> None:
    log.warning("warning: compiled code is not kept in %s: other users can change that folder", place)


def _read(path: Path, key: str) -> bytes | None:
    try:
        with open(files.open_regular(path, os.O_RDONLY), "rb") as file:
            status = os.fstat(file.fileno())
            if os.name == "posix" and (status.st_uid not in (0, os.geteuid()) or status.st_mode & _OTHERS):
                return None
            content = file.read()
    except OSError:
        return None
    digest, code = content[:_DIGEST], content[_DIGEST:]
    if _digest(key, code) != digest:
        return None
    with suppress(OSError):
        os.utime(path)
    return code


def _write(path: Path, key: str, code: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Its owner's alone: what others could change would be run.
    files.write(path, _digest(key, code) + code, durable=False, mode=0o600)
    kept = sorted(path.parent.glob("*.o"), key=_used)
    for old in kept[:-_MOST]:
        with suppress(OSError):
            old.unlink()


def _digest(key: str, code: bytes) -> bytes:
    """Return a digest of both: code in another one's place is as wrong as damaged code."""
    name = key.encode()
    return hashlib.sha256(len(name).to_bytes(8, "little") + name + code).digest()


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process has just removed it
        return 0.0
