"""Training: configs, tasks, the loop, and what a run leaves behind.

Names are found when first asked for: whoever only checks a config does not wait for what trains a model.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyseq.train.analysis import gradflow
    from tinyseq.train.analysis.inspection import Inspection, inspect
    from tinyseq.train.config.json_schema import schema
    from tinyseq.train.config.run_config import load_config
    from tinyseq.train.config.templates import starter, starters
    from tinyseq.train.running import RunResult, run
    from tinyseq.train.search_space import ChoiceOf, Range
    from tinyseq.train.sweeps import SweepResult, Trial, sweep
    from tinyseq.train.trained import Trained, load

__all__ = [
    "ChoiceOf",
    "Inspection",
    "Range",
    "RunResult",
    "SweepResult",
    "Trained",
    "Trial",
    "gradflow",
    "inspect",
    "load",
    "load_config",
    "run",
    "schema",
    "starter",
    "starters",
    "sweep",
]

_HOMES = {
    "Range": "search_space",
    "SweepResult": "sweeps",
    "Trial": "sweeps",
    "sweep": "sweeps",
    "Inspection": "analysis.inspection",
    "ChoiceOf": "search_space",
    "RunResult": "running",
    "Trained": "trained",
    "inspect": "analysis.inspection",
    "load": "trained",
    "load_config": "config.run_config",
    "run": "running",
    "schema": "config.json_schema",
    "starter": "config.templates",
    "starters": "config.templates",
}


def __getattr__(name: str) -> Any:
    if name == "gradflow":  # a module, of functions that are meant to be called by its name
        return importlib.import_module(f"{__name__}.analysis.gradflow")
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
