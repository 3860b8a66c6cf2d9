"""The bytes of a safetensors file: every tensor that a run writes goes through here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors.numpy import save

Array = np.ndarray[Any, Any]


def plain(tensors: Mapping[str, Any]) -> dict[str, Array]:
    """Return the same values in C order and native byte order, as safetensors needs them.

    safetensors 0.8 writes an array's memory as it lies, under its shape: other orders come back as other values
    (docs/surprises.md).
    """
    arrays = {name: np.asarray(value) for name, value in tensors.items()}
    return {name: np.asarray(value, value.dtype.newbyteorder("="), order="C") for name, value in arrays.items()}


def dumps(tensors: Mapping[str, Any], metadata: dict[str, str]) -> bytes:
    """Return a file's content."""
    content: bytes = save(plain(tensors), metadata=metadata)
    return content
