"""Work that may take long is told of, so that nobody takes it for a halt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Seconds after which a person is told.
PATIENCE = 5.0


@contextmanager
def told_where_long(tell: Callable[[str], None], doing: str, advice: str = "Ctrl-C stops it") -> Iterator[None]:
    """Tell, after some seconds and ever more rarely, that what is in the ``with`` block is still at work."""
    ended = threading.Event()

    def wait() -> None:
        waited = pause = PATIENCE
        while not ended.wait(pause):
            tell(f"{doing} since {waited:.0f} s; {advice}")
            waited, pause = 2 * waited, waited

    thread = threading.Thread(target=wait, name="tinyseq-patience", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
