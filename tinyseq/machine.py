"""How much memory this process may still take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

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
            yield max(0, soft - int(_STATUS.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE"))


def in_bytes(number: float) -> str:
    """Return ``3.2 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:,.3g} {unit}"
        number /= 1024
    return f"{number:,.3g} TiB"
