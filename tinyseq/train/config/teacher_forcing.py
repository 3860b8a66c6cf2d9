"""Teacher forcing with a schedule: how often a writer reads the true token before a position, and not its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated

from pydantic import Field

from tinyseq.registry import Registry
from tinyseq.train.config.section import OneOf, Section
from tinyseq.train.config.source import Problem

#: Name -> (progress 0 to 1, steepness k) -> how much of the way from ``final`` to ``start`` is left.
FORCING: Registry[Callable[[float, float], float]] = Registry(
    "schedule",
    {
        "constant": lambda progress, k: 1.0,
        "linear": lambda progress, k: 1.0 - progress,
        # k / (k + exp(i / k)) of Bengio et al. 2015, sec. 2.4, with i = 2 k log(k) progress: 1/2 at half of the run.
        "inverse_sigmoid": lambda progress, k: k / (k + k ** (2.0 * progress)),
    },
)


class ForcingConfig(Section):
    """Scheduled sampling (Bengio et al. 2015); with the defaults, plain teacher forcing."""

    schedule: Annotated[str, OneOf(FORCING)] = Field(
        "constant", description="How the probability falls over the run: constant, linear or inverse_sigmoid."
    )
    start: float = Field(1.0, ge=0, le=1, description="The probability of the true token at first; 1 is always.")
    final: float = Field(0.0, ge=0, le=1, description="The probability at the end; constant does not use it.")
    steepness: float = Field(
        20.0, gt=1, description="Of inverse_sigmoid, which is half way down at half of the run: larger falls later."
    )

    def contradictions(self) -> Iterator[Problem]:
        if self.schedule != "constant" and self.final > self.start:
            message = f"required at most `start` ({self.start:g}), got {self.final:g}: the probability falls"
            yield Problem(("final",), message, involves=(("start",), ("schedule",)))

    @property
    def always(self) -> bool:
        """Whether every position reads the true token all along."""
        return self.start == 1.0 and (self.schedule == "constant" or self.final == 1.0)

    def probability(self, step: int, steps: int) -> float:
        """Return how likely a position reads the true token, after ``step`` of ``steps`` updates."""
        left = FORCING[self.schedule](min(step / max(steps, 1), 1.0), self.steepness)
        return self.final + (self.start - self.final) * left
