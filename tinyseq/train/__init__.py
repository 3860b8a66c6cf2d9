"""Training: configs, tasks, the loop, and what a run leaves behind.

Names are found when first asked for: whoever only checks a config does not wait for what trains a model.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyseq.train.config import load_config
    from tinyseq.train.inspecting import Inspection, inspect
    from tinyseq.train.running import RunResult, run
    from tinyseq.train.schemas import schema
    from tinyseq.train.starting import starter, starters
    from tinyseq.train.using import Trained, load

__all__ = [
    "Inspection",
    "RunResult",
    "Trained",
    "inspect",
    "load",
    "load_config",
    "run",
    "schema",
    "starter",
    "starters",
]

_HOMES = {
    "Inspection": "inspecting",
    "RunResult": "running",
    "Trained": "using",
    "inspect": "inspecting",
    "load": "using",
    "load_config": "config",
    "run": "running",
    "schema": "schemas",
    "starter": "starting",
    "starters": "starting",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
