"""How well written sentences agree with true ones: exact match, and BLEU by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyseq.errors import DataError


def exact_match(written: Sequence[str], true: Sequence[str]) -> float:
    """Return the share of sentences that are right to the last character."""
    return sum(w == t for w, t in zip(written, true, strict=True)) / max(len(true), 1)


def bleu(written: Sequence[str], true: Sequence[str]) -> tuple[float, str]:
    """Return the corpus BLEU, 0 to 100, and sacrebleu's signature of how it was computed (Post 2018).

    Raises:
        DataError: sacrebleu is not installed.
    """
    metric = require_sacrebleu().BLEU(force=True)  # sentences with spaces before signs are no mistake here
    score = metric.corpus_score(list(written), [list(true)])
    return float(score.score), str(metric.get_signature())


def require_sacrebleu() -> Any:
    """Return sacrebleu's metrics.

    Raises:
        DataError: it is not installed; the message has the line that installs it.
    """
    try:
        from sacrebleu import metrics
    except ImportError:
        raise DataError(
            "BLEU needs the package sacrebleu, which is not installed",
            required="the extra `bleu`",
            fix='pip install "tinyseq[bleu]", or leave decode.bleu out',
        ) from None
    return metrics
