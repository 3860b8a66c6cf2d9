"""JSON as run directories hold it: written so that any reader takes it, and read whatever a file holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tinyseq import files
from tinyseq.errors import DataError

#: The largest file of JSON that is read: a vocabulary of some millions of words.
LARGEST: Final = 1 << 28
#: All that makes a text no JSON: too deep, integers of too many digits, bytes that are not UTF-8, a name twice.
UNREADABLE = (ValueError, RecursionError)


def dumps(value: Any, *, indent: int | None = None, ascii: bool = False) -> str:
    """Return a value as JSON, which has no infinities and no NaN: they become null."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=ascii, allow_nan=False)


def loads(text: str | bytes) -> Any:
    """Return the value of a JSON text; bytes are UTF-8.

    Raises:
        ValueError: it is none, or an object has a name twice: two readers would see two things.
        RecursionError: it is nested too deep.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    return json.loads(text, object_pairs_hook=_once)


def read(path: Path, what: str, required: str, largest: int = LARGEST) -> Any:
    """Return the value of a JSON file.

    Raises:
        DataError: it is not there, or not JSON; ``what`` is wrong then, and ``required`` something else.
    """
    try:
        return loads(files.read_bytes(path, largest))
    except (OSError, *UNREADABLE) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        got = "nested too deep" if isinstance(error, RecursionError) else reason
        raise DataError(what, required=required, got=f"{path}: {got}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the name {twice[:80]!r} is there twice")
    return found


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(part) for key, part in value.items()}
    return [_finite(part) for part in value] if isinstance(value, list | tuple) else value
