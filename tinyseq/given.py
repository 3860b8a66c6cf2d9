"""What a caller gives to an entry point: checked at the door, and refused in words."""

from __future__ import annotations

import errno
import math
import numbers
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tinyseq.errors import DataError, TinyseqError

#: More of anything is a mistake.
MOST = 2**31 - 1


def whole(name: str, value: Any, least: int = 0, most: int = MOST) -> int:
    """Return a whole number within bounds, NumPy's too.

    Raises:
        DataError: it is none.
    """
    found = int(value) if isinstance(value, numbers.Integral) and not isinstance(value, bool) else None
    if found is None or not least <= found <= most:
        raise DataError(name, required=f"a whole number from {least:,} to {most:,}", got=shown(value))
    return found


def real(name: str, value: Any, least: float = 0.0) -> float:
    """Return a finite number that is large enough.

    Raises:
        DataError: it is none.
    """
    found = math.nan
    if isinstance(value, int | float | np.floating | np.integer) and not isinstance(value, bool):
        with suppress(OverflowError):
            found = float(value)
    if not least <= found < math.inf:
        raise DataError(name, required=f"a finite number, {least:g} or more", got=shown(value))
    return found


def text(name: str, value: Any) -> str:
    """Return a text.

    Raises:
        DataError: it is none.
    """
    if not isinstance(value, str):
        raise DataError(name, required="a str", got=shown(value))
    return value


def path(name: str, value: Any, error: type[TinyseqError] = DataError) -> Path:
    """Return a path that a file can have.

    Raises:
        DataError, or the ``error`` that is asked for: it is none.
    """
    if not isinstance(value, str | os.PathLike):
        raise error(name, required="a path, as str or Path", got=shown(value))
    found = Path(os.fsdecode(value))
    try:
        os.stat(found)
    except ValueError:  # a NUL, or half a character
        raise error(name, required="a path that a file can have", got=shown(value)) from None
    except OSError as reason:
        if reason.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            raise error(
                name, required="a path that a file can have", got=f"{shown(value)}: {reason.strerror}"
            ) from None
    return found


def array(values: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """Return numbers, nested or not, as an array; what is too large for the dtype is infinite there.

    Raises:
        ValueError, TypeError, OverflowError: they are none, or ragged, or complex.
    """
    with np.errstate(all="ignore"):
        found = np.asarray(values)
        if found.dtype.kind not in "biufOUS":  # which others would be cast without a word
            raise ValueError(f"required real numbers, got {found.dtype}")
        return found.astype(dtype, copy=False)


def shown(value: Any) -> str:
    """Return a value as a message shows it."""
    kind = type(value).__name__
    if isinstance(value, int) and abs(value) > 10**80:
        return f"{kind} of {value.bit_length():,} bits"
    return f"{kind} {value!r:.60}" if isinstance(value, str | int | float | bytes | None) else kind
