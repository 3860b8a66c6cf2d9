"""The commit of a folder, read from git's files: git itself runs programs that a folder's settings name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tinyseq import files

#: SHA-1, or SHA-256 in repositories that have it.
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REFERENCE: Final = re.compile(r"refs/[^\0-\x20\x7f~^:?*\[\\]+")
#: Bytes of a file that names one commit, and of one that names all of them.
_SMALL, _PACKED = 1 << 12, 1 << 26


def commit_of(folder: Path) -> str | None:
    """Return the commit that is checked out in a folder or the closest one above it; None where there is none."""
    try:
        here = folder.resolve()
        return next((_head(place / ".git") for place in (here, *here.parents) if (place / ".git").exists()), None)
    except (OSError, ValueError, RuntimeError):  # not readable, not as git writes it, links in a circle
        return None


def _head(place: Path) -> str | None:
    if place.is_file():  # of a linked work tree, or of a submodule: it names where the rest is
        place = place.parent / _text(place).removeprefix("gitdir:").strip()
    common = place / _text(place / "commondir") if (place / "commondir").exists() else place
    head = _text(place / "HEAD")
    for _ in range(5):  # a reference may name another one
        if _COMMIT.fullmatch(head):
            return head
        name = head.removeprefix("ref:").strip()
        if not _REFERENCE.fullmatch(name) or ".." in name:
            return None
        found = next((one for one in (place / name, common / name) if one.is_file()), None)
        head = _packed(common / "packed-refs", name) if found is None else _text(found)
    return None


def _packed(path: Path, name: str) -> str:
    """Return the commit of a reference that has no file of its own; "" where it has none."""
    if not path.is_file():
        return ""
    for line in files.read_bytes(path, _PACKED).decode("utf-8", "replace").split("\n"):
        commit, _, reference = line.partition(" ")
        if reference == name:
            return commit
    return ""


def _text(path: Path) -> str:
    return files.read_bytes(path, _SMALL).decode("utf-8").strip()
