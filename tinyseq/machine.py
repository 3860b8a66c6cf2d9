"""How much memory this process may still take, and how it is kept to that."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: The limit is the process's: one thread at a time sets it, and takes it back.
_limiting = threading.RLock()
_MEMINFO, _STATUS, _GROUPS = Path("/proc/meminfo"), Path("/proc/self/statm"), Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Return the bytes that this process may still take: of the machine's, its container's and its own limit the least.

    None where the system does not tell.
    """
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    with suppress(OSError, ValueError, StopIteration):
        lines = _MEMINFO.read_text().splitlines()
        yield next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    with suppress(OSError, ValueError):  # "max" where there is no limit
        yield max(0, int((_GROUPS / "memory.max").read_text()) - int((_GROUPS / "memory.current").read_text()))
    with suppress(ImportError, OSError, ValueError):
        import resource  # of Unix

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            yield max(0, soft - _taken())


def _taken() -> int:
    """Return the bytes of address space that this process has, which is what a limit counts."""
    return int(_STATUS.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def limited(free: int | None) -> Iterator[None]:
    """Let this process take so many more bytes inside the ``with`` block, and no more: what asks for them gets a
    MemoryError, where else the system would end a process.

    None, or a system without such limits, sets none. Other threads are under it too, meanwhile. Not for code that
    starts a device, whose driver reserves addresses without end.
    """
    before = None
    with _limiting:
        with suppress(ImportError, OSError, ValueError):
            import resource  # of Unix

            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            most = None if free is None else _taken() + free
            if most is not None and (soft == resource.RLIM_INFINITY or most < soft):
                resource.setrlimit(resource.RLIMIT_AS, (most, hard))
                before = soft, hard
        try:
            yield
        finally:
            if before is not None:
                resource.setrlimit(resource.RLIMIT_AS, before)


def in_bytes(number: float) -> str:
    """Return ``3.2 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:,.3g} {unit}"
        number /= 1024
    return f"{number:,.3g} TiB"
