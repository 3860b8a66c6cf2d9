"""Lowerings: from a plan to something that runs. Each is a module with an ``Executable``, loaded when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyseq.compiler.lower.numpy import Executable


def lowering(name: str) -> type[Executable]:
    """Return what binds plans in the lowering of that name (a backend says which is its own)."""
    found: type[Executable] = importlib.import_module(f"{__name__}.{name}").Executable
    return found
