"""Which checkpoints a run makes, and which of them it keeps."""

from __future__ import annotations

from pydantic import Field

from tinyseq.train.config.section import Section


class CheckpointConfig(Section):
    """When a run saves what it would need to go on, and what it keeps of that."""

    every: int | None = Field(
        100, ge=1, description="Steps between checkpoints; null: only when the run stops, and at a best."
    )
    keep: int = Field(2, ge=1, description="How many of the last are kept; 2 leaves one where the last is damaged.")
    keep_every: int | None = Field(None, ge=1, description="Checkpoints at multiples of this step are kept for good.")
    keep_best: bool = Field(True, description="Also save and keep the one that was best on the validation part.")

    def due(self, step: int) -> bool:
        """Whether a checkpoint is to be made after this step, whatever happens in it."""
        return any(period is not None and step % period == 0 for period in (self.every, self.keep_every))

    def kept(self, steps: list[int], best: int) -> set[int]:
        """Return which of the checkpoints at these steps are kept."""
        steps_kept = set(sorted(steps)[-self.keep :])
        if self.keep_best:
            steps_kept.add(best)
        if self.keep_every is not None:
            steps_kept.update(step for step in steps if step % self.keep_every == 0)
        return steps_kept
