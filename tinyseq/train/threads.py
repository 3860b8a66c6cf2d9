"""How many threads BLAS uses during a run.

The products of one time step are small. Shared among threads they gain little on an idle machine, and on a busy one the
threads wait for each other in spin loops: on two cores with other work, an LSTM of 128 units trained at 1,300 tokens a
second with two threads and at 25,000 with one. The number of threads can also change the last bits of a product, so a
fixed number is part of "same config, same numbers".
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from tinyseq.threads import blas_libraries, limited


@contextmanager
def blas_threads(count: int | None) -> Iterator[None]:
    """Limit BLAS, and the compiler's own threads, to so many inside the ``with`` block; None changes nothing."""
    if count is not None:
        blas_libraries.cache_clear()  # a run takes milliseconds to begin: it looks for what was loaded since
    with limited(native=count, blas=count):
        yield


def in_use() -> list[int]:
    """Return the threads of each pool that is loaded."""
    return [pool["num_threads"] for pool in importlib.import_module("threadpoolctl").threadpool_info()]
