"""What a run is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """The number that a task is judged by: its key in the metrics, its name on axes, and which way is better.

    ``meaning`` says what it is for someone who meets it: a phrase that goes on after its name.
    """

    key: str
    label: str
    lower_is_better: bool = True
    meaning: str = ""

    def better(self, new: float, old: float | None) -> bool:
        """Return whether ``new`` is better than ``old``."""
        return old is None or (new < old if self.lower_is_better else new > old)

    @property
    def name(self) -> str:
        """The key, and what it is short for where it is short for something."""
        return self.label if self.label.lower().startswith(self.key) else f"{self.key}, {self.label}"

    def ranked(self, baselines: Mapping[str, Mapping[str, float]]) -> list[tuple[str, float]]:
        """Return the baselines that are measured by it, the best first."""
        found = [(name, scores[self.key]) for name, scores in baselines.items() if self.key in scores]
        return sorted(found, key=lambda pair: pair[1], reverse=not self.lower_is_better)
