"""Matplotlib for one thread at a time: its settings, and Python's filters of warnings, are the process's."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_lock = threading.RLock()
#: A file of settings in the folder at hand must not start programs.
_OURS = {"text.usetex": False}


@contextmanager
def plotting(settings: Mapping[Any, Any] | None = None) -> Iterator[None]:
    """Draw with these settings of matplotlib inside the ``with`` block; the user's own are as before after it.

    What two threads put back in another order than they changed it would stay changed for good.
    """
    from matplotlib import rc_context

    with _lock, warnings.catch_warnings(), rc_context(dict[Any, Any](_OURS) | dict(settings or {})):
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a text may hold any letter
        yield
