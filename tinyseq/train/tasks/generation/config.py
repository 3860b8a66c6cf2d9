"""The config sections of a run that writes sentences: how it is taught, how it decodes, what it is judged by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeVar

from pydantic import Field

from tinyseq.train.config.run_config import RunConfig
from tinyseq.train.config.section import Section
from tinyseq.train.config.source import Problem
from tinyseq.train.config.teacher_forcing import ForcingConfig
from tinyseq.train.tasks.measure import Measure

#: What a run may be judged by, all on the validation part.
MEASURES = {
    "exact_match": Measure("exact_match", "sentences that are right as a whole", False, "a share, 0 to 1"),
    "token_accuracy": Measure("token_accuracy", "tokens that are right", False, "each after the true ones before it"),
    "bleu": Measure("bleu", "BLEU", False, "n-grams of words as in the truth, 0 to 100"),
    "chrf": Measure("chrf", "chrF2", False, "n-grams of characters as in the truth, 0 to 100"),
    "loss": Measure("loss", "loss in nats a token"),
}


class DecodeConfig(Section):
    """How sentences are written, and judged."""

    beam: int = Field(1, ge=1, description="How many beginnings are followed; 1 is greedy search.")
    length_power: float = Field(1.0, ge=0, description="log p is divided by length to this power; 0 favours the short.")
    max_length: int | None = Field(
        None, ge=1, description="The most tokens of a sentence; null is twice the longest of the training part."
    )
    bleu: bool = Field(False, description='Measure BLEU and chrF too; needs pip install "tinyseq[bleu]".')
    measure: Literal["exact_match", "token_accuracy", "bleu", "chrf", "loss"] = Field(
        "token_accuracy", description="What the run is judged by: exact_match, token_accuracy, bleu, chrf or loss."
    )

    def contradictions(self) -> Iterator[Problem]:
        if self.measure in ("bleu", "chrf") and not self.bleu:
            message = f"judged by {MEASURES[self.measure].label}, and `bleu` is false; required decode.bleu: true"
            yield Problem(("measure",), message, involves=(("bleu",),))


class GenerationConfig(RunConfig):
    """What the configs of these tasks have in common."""

    teacher_forcing: ForcingConfig = Field(default_factory=ForcingConfig, description="Scheduled sampling.")
    decode: DecodeConfig = Field(default_factory=DecodeConfig, description="How sentences are written, and judged.")


W = TypeVar("W", bound=GenerationConfig)
