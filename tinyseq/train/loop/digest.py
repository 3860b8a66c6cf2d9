"""A digest of what a task learns from and is judged on, so that a run tells whether its data is as it was."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from tinyseq.train.tasks.learning import Learning


def data_digest(task: Learning[Any]) -> str:
    """Return the SHA-256 of the records of the training, validation and test part; "" where a task has no parts."""
    total = hashlib.sha256()
    for split in ("train", "valid", "test"):
        try:
            records = task.fingerprint(split)
        except NotImplementedError:
            return ""
        _add(total, records)
    return total.hexdigest()


def code_digests(config: Any) -> dict[str, str]:
    """Return the SHA-256 of each Python file that a config takes a cell from (``file.py:Class``), by its name."""
    digests = {}
    stack = [config]
    while stack:
        part = stack.pop()
        if isinstance(part, dict | list):
            stack += part.values() if isinstance(part, dict) else part
        elif isinstance(part, str) and (path := Path(part.rpartition(":")[0])).suffix == ".py" and path.is_file():
            digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digests


def _add(total: Any, value: Any) -> None:
    """Add a value to a digest; kinds and lengths are part of it, so that no two different ones read alike."""
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, str):
            content = part.encode("utf-8", "surrogatepass")
            total.update(b"s%d:" % len(content))
            total.update(content)
        elif isinstance(part, np.ndarray) and part.dtype.kind != "O":
            total.update(f"a{part.dtype.str}{part.shape}:".encode())
            total.update(np.ascontiguousarray(part).data)
        elif isinstance(part, dict):
            total.update(b"d%d:" % len(part))
            stack += [item for pair in sorted(part.items()) for item in pair]
        elif isinstance(part, list | tuple | np.ndarray):
            total.update(b"l%d:" % len(part))
            stack += part
        elif hasattr(part, "__dict__"):
            total.update(f"o{type(part).__qualname__}:".encode())
            stack.append(vars(part))
        else:
            total.update(f"v{part!r};".encode())
