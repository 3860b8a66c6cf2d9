"""Kernels of products, compiled and loaded once for all plans of the process."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from tinyseq.compiler.lower.llvm.kernels.gemm import Tile, kernel_module
from tinyseq.compiler.lower.llvm.runtime.cache import cached
from tinyseq.compiler.lower.llvm.runtime.host import Host, Library, key_of, object_code

_loaded: dict[str, Library] = {}
_lock = threading.Lock()


def load(tiles: Iterable[Tile], host: Host) -> None:
    """Make the kernels of these tiles known by their names to code that is loaded from now on."""
    with _lock:
        for tile in tiles:
            if tile.name not in _loaded:
                source = kernel_module(tile, host)
                code = cached(key_of(source, host), lambda source=source: object_code(source, host))  # type: ignore[misc]
                _loaded[tile.name] = Library(code, host)
                _loaded[tile.name].publish(tile.name)
