"""Lowerings: from a plan to something that runs. Each is a module with an ``Executable``, loaded when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyseq.compiler.lower.numpy import Executable


#: Name -> module with an ``Executable``; ``register`` adds to it.
_modules = {name: f"{__name__}.{name}" for name in ("numpy", "llvm", "cupy")}


def register(name: str, module: str) -> None:
    """Make a lowering known, for a backend that names it."""
    _modules[name] = module


def lowering(name: str) -> type[Executable]:
    """Return what binds plans in the lowering of that name (a backend says which is its own)."""
    found: type[Executable] = importlib.import_module(_modules[name]).Executable
    return found
