"""A mean loss in the units of a text: bits a token, perplexity."""

from __future__ import annotations

import math

from tinyseq.data.tokens import Level


def metrics_of(loss: float, level: Level) -> dict[str, float]:
    """Return a mean loss in nats a token, and what it is in bits and as perplexity."""
    # exp overflows only where a model is worse than anything one would report.
    return {"loss": loss, level.bits: loss / math.log(2.0), "perplexity": math.exp(min(loss, 700.0))}
