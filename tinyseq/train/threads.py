"""How many threads BLAS uses during a run.

The products of one time step are small. Shared among threads they gain little on an idle machine, and on a busy one the
threads wait for each other in spin loops: on two cores with other work, an LSTM of 128 units trained at 1,300 tokens a
second with two threads and at 25,000 with one. The number of threads can also change the last bits of a product, so a
fixed number is part of "same config, same numbers".
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinyseq.compiler.lower.llvm.threads import limited


@contextmanager
def blas_threads(count: int | None) -> Iterator[None]:
    """Limit BLAS, and the compiler's own threads, to so many inside the ``with`` block; None changes nothing."""
    control = _threadpoolctl()
    if count is None or control is None:
        with limited(count):
            yield
        return
    with control.threadpool_limits(count), limited(count):
        yield


def in_use() -> list[int] | None:
    """Return the threads of each pool that is loaded, or None where that cannot be known."""
    control = _threadpoolctl()
    return None if control is None else [pool["num_threads"] for pool in control.threadpool_info()]


def _threadpoolctl() -> Any:
    """Return the library, or None where it is not installed: then the environment decides (OMP_NUM_THREADS)."""
    return importlib.import_module("threadpoolctl") if importlib.util.find_spec("threadpoolctl") else None
