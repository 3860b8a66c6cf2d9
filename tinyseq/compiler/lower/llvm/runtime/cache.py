"""Object code kept on disk, under the digest of everything that it was made from.

A file is written under a name of its own and then renamed, so that whoever reads sees all of it or none. It begins with
the digest of the rest, so that a damaged one is found out and made anew. Where nothing can be written, nothing is kept.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tinyseq import files

_DIGEST = 32  # bytes
#: Files beyond this number go, those first that were used the longest time ago.
_MOST = 512


def folder() -> Path | None:
    """Return where object code is kept: TINYSEQ_CACHE, or the user's own cache; None where that is set to nothing."""
    chosen = os.environ.get("TINYSEQ_CACHE")
    if chosen is not None:
        return Path(chosen) if chosen else None
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "tinyseq"


def cached(key: str, make: Callable[[], bytes]) -> bytes:
    """Return what ``make`` returns for this key, from disk where it has been made before."""
    place = folder()
    if place is None:
        return make()
    path = place / f"{hashlib.sha256(key.encode()).hexdigest()}.o"
    found = _read(path)
    if found is None:
        found = make()
        with suppress(OSError):
            _write(path, found)
    return found


def _read(path: Path) -> bytes | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, code = content[:_DIGEST], content[_DIGEST:]
    if hashlib.sha256(code).digest() != digest:
        return None
    with suppress(OSError):
        os.utime(path)
    return code


def _write(path: Path, code: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Its owner's alone: what others could change would be run.
    files.write(path, hashlib.sha256(code).digest() + code, durable=False, mode=0o600)
    kept = sorted(path.parent.glob("*.o"), key=_used)
    for old in kept[:-_MOST]:
        with suppress(OSError):
            old.unlink()


def _used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # another process has just removed it
        return 0.0
