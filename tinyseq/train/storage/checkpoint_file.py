"""The checkpoint file: safetensors, with the rest as JSON in its header, and a digest of all of it.

One file holds everything, so it is replaced in one step, and no two files can disagree. Nothing in it can run: tensors
are bytes with a shape, the rest is JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinyseq import files
from tinyseq.errors import DataError
from tinyseq.train.storage import tensorfile

Array = np.ndarray[Any, Any]
#: What the file is; a file with a higher version is of a newer tinyseq.
FORMAT, VERSION = "tinyseq checkpoint", 1
#: NumPy and JSON name what is wrong in many ways; all of them mean that a file is not as it was written.
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


class DamagedError(DataError):
    """A checkpoint that was cut short or changed since it was written."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, on the host, and plain JSON values (floats that are not finite included)."""

    facts: dict[str, Any]
    tensors: dict[str, Array] = field(default_factory=dict, repr=False)

    @property
    def step(self) -> int:
        """How many updates had been made."""
        return int(self.facts["step"])

    def part(self, prefix: str) -> dict[str, Array]:
        """Return the tensors under a prefix, by the rest of their names."""
        start = len(prefix) + 1
        return {name[start:]: value for name, value in self.tensors.items() if name.startswith(f"{prefix}.")}


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint durably.

    Raises:
        OSError: see ``files.write``.
    """
    files.write(path, _parts(checkpoint))


def content(checkpoint: Checkpoint) -> bytes:
    """Return what ``write`` would write."""
    return b"".join(_parts(checkpoint))


def parsed(told: bytes) -> Checkpoint:
    """Return the checkpoint that another process sent as ``content``.

    Raises:
        DataError: see ``read``.
    """
    return _checked("what was sent", lambda: tensorfile.loads(told))


def _parts(checkpoint: Checkpoint) -> Iterator[bytes | memoryview]:
    facts = json.dumps(_encoded(checkpoint.facts), allow_nan=False)  # ASCII: a path may hold what UTF-8 does not
    tensors = tensorfile.plain(checkpoint.tensors)
    digest = tensorfile.digest(f"{VERSION}\0{facts}", tensors)
    metadata = {"format": FORMAT, "version": str(VERSION), "facts": facts, "sha256": digest}
    return tensorfile.parts(tensors, metadata)


def read(path: Path) -> Checkpoint:
    """Read a checkpoint and check its digest.

    Raises:
        DamagedError: it is not as it was written.
        DataError: it is no checkpoint, of a newer format, or cannot be opened.
    """
    return _checked(str(path), lambda: tensorfile.read(path))


def _checked(name: str, reading: Callable[[], tuple[dict[str, str], dict[str, Array]]]) -> Checkpoint:
    """Return the checkpoint of a file's content; ``name`` is what messages call it."""
    try:
        metadata, tensors = reading()
        _check_format(name, metadata)
        facts = metadata["facts"]
        if tensorfile.digest(f"{metadata['version']}\0{facts}", tensors) != metadata["sha256"]:
            raise ValueError("its digest is not that of its content")
        content = _decoded(json.loads(facts))
    except DataError:
        raise
    except OSError as error:
        raise DataError(
            "the checkpoint cannot be read", required="a checkpoint", got=f"{name}: {error.strerror or error}"
        ) from None
    except _UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DamagedError(
            "the checkpoint is damaged", required="the bytes that were written", got=f"{name}: {reason}"
        ) from None
    if not isinstance(content, dict) or not isinstance(content.get("step"), int):
        raise DamagedError("the checkpoint is damaged", required="facts with a step", got=name)
    return Checkpoint(content, tensors)


def _check_format(name: str, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise DamagedError("not a checkpoint", required=f"a file of the format {FORMAT!r}", got=name)
    version = int(metadata["version"])
    if version > VERSION:
        raise DataError(
            "the checkpoint is of a newer format",
            required=f"version {VERSION} or lower",
            got=f"{name}: version {version}",
            fix="a newer tinyseq: pip install --upgrade tinyseq",
        )


def _encoded(value: Any) -> Any:
    """JSON has no infinities and no NaN: they are written as {"float": "inf"}, and what looks like it as a list."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, Mapping):
        encoded = {str(key): _encoded(part) for key, part in value.items()}
        return {"float": [encoded["float"]]} if encoded.keys() == {"float"} else encoded
    return [_encoded(part) for part in value] if isinstance(value, list | tuple) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"float"}:
            held = value["float"]
            return {"float": _decoded(held[0])} if isinstance(held, list) else float(held)
        return {key: _decoded(part) for key, part in value.items()}
    return [_decoded(part) for part in value] if isinstance(value, list) else value
