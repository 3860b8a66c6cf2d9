"""The first that is imported: lets Ctrl-C end the command ``tinyseq`` in a word while the rest is imported.

That takes some tenths of a second, in which an exception could only become a traceback. As a library it does nothing.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress

#: The exit code after Ctrl-C.
INTERRUPTED = 130


def _end(*_: object) -> None:
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def _is_command() -> bool:
    name = os.path.basename(sys.argv[0]) if getattr(sys, "argv", None) else ""
    return name in ("tinyseq", "tinyseq.exe", "tinyseq-script.py", "tinyseq-script.pyw")


def ready() -> None:
    """Let Ctrl-C be an exception again: from here on something catches it."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_here = threading.current_thread() is threading.main_thread()  # where alone signals may be set
if _is_command() and _here and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
