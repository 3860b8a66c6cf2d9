"""How well written sentences agree with true ones: exact match, and BLEU and chrF by sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from tinyseq.data.tokens import Level, scripts_without_spaces
from tinyseq.errors import DataError

#: The orders of n-grams that BLEU counts.
_ORDERS = 4


def exact_match(written: Sequence[str], true: Sequence[str]) -> float:
    """Return the share of sentences that are right to the last character."""
    return sum(w == t for w, t in zip(written, true, strict=True)) / max(len(true), 1)


class Rating(NamedTuple):
    """A score, 0 to 100, and sacrebleu's signature of how it was computed (Post 2018)."""

    score: float
    signature: str


def bleu(written: Sequence[str], true: Sequence[str], tokenize: str = "13a") -> Rating:
    """Return the corpus BLEU.

    It is sacrebleu's default, but where no true sentence has four tokens. There BLEU would be 0 for whatever is
    written, a perfect translation too, and it is of the orders that there are (``eff:yes`` in the signature).

    Args:
        written, true: sentences, as many of the one as of the other.
        tokenize: sacrebleu's name of what cuts sentences into words, see ``words_of``.

    Raises:
        DataError: sacrebleu is not installed.
    """
    found = require_sacrebleu()
    metric = found.BLEU(force=True, tokenize=tokenize)  # sentences with spaces before signs are no mistake here
    if all(len(metric.tokenizer(sentence).split()) < _ORDERS for sentence in true):
        metric = found.BLEU(force=True, tokenize=tokenize, effective_order=True)
    return _rate(metric, written, true)


def chrf(written: Sequence[str], true: Sequence[str]) -> Rating:
    """Return chrF2 (Popović 2015), the F score of n-grams of characters, which needs no words.

    Raises:
        DataError: sacrebleu is not installed.
    """
    return _rate(require_sacrebleu().CHRF(), written, true)


def _rate(metric: Any, written: Sequence[str], true: Sequence[str]) -> Rating:
    if len(written) != len(true):  # sacrebleu would leave out what is over, in silence
        raise DataError("sentences to compare", required=f"{len(true)}, as many as are true", got=str(len(written)))
    score = metric.corpus_score(list(written), [list(true)])
    return Rating(float(score.score), str(metric.get_signature()))


def words_of(level: Level, true: Sequence[str]) -> str:
    """Return what cuts sentences into BLEU's words: nothing where they come cut, signs where no space parts them."""
    if level.given:
        return "none"
    scripts = scripts_without_spaces("\n".join(true))
    return {(): "13a", ("Chinese",): "zh"}.get(tuple(scripts), "char")


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
