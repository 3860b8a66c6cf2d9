"""What a run says before its first step, and of its result: values in, sentences out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinyseq.data.numerals import is_missing, is_number
from tinyseq.train.tasks.measure import Measure

#: From this share on, tokens that are not in the vocabulary decide what a score says.
MANY_UNKNOWN = 0.25


#: Classes up to which numbers may well be classes.
_FEW = 20


@dataclass(frozen=True)
class Overview:
    """What a run is about, a phrase each."""

    #: What was read, and as what.
    read: str
    #: How much of it is learned from and judged on.
    amount: str
    #: What is predicted, from what.
    predicts: str = ""

    def told(self, measure: Measure, baselines: Mapping[str, Mapping[str, float]], compared: Measure) -> dict[str, str]:
        """Return the phrases of a run by what they are about: what is read, predicted and judged by.

        Args:
            measure: what the run is judged by.
            baselines: what any model has to beat, as ``Learning.baselines`` gives them.
            compared: in what the baselines are measured, mostly the same.
        """
        meaning = f", {measure.meaning}" if measure.meaning else ""
        better = "lower" if measure.lower_is_better else "higher"
        judged = f"{measure.name}{meaning} ({better} is better)"
        key = "" if compared.key == measure.key else f"{compared.key} "
        if beat := ", ".join(f"{name} {key}{value:.4g}" for name, value in compared.ranked(baselines)):
            judged += f"; to beat: {beat}"
        lines = {"reads": "; ".join(filter(None, (self.read, self.amount))), "predicts": self.predicts}
        return {**{key: text for key, text in lines.items() if text}, "judged by": judged}


def lines(told: Mapping[str, str]) -> list[str]:
    """Return a line for each phrase, the phrases below each other."""
    width = max(map(len, told)) + 2
    return [f"{key:<{width}}{text}" for key, text in told.items()]


def some(names: Sequence[str], most: int = 6, longest: int = 40) -> str:
    """Return the names, a comma between them; of many the first, and how many more there are; long ones are cut."""
    shown = [name if len(name) <= longest else f"{name[: longest - 3]}..." for name in names[:most]]
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(shown) + more


def counted(number: int, unit: str) -> str:
    """Return ``1 word`` or ``1,200 words``."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def amounts(sizes: Mapping[str, Any], unit: str) -> str:
    """Return how much is in each part, of the sizes of ``train``, ``valid`` and ``test``."""
    return f"{counted(sizes['train'], unit)} to learn from, {sizes['valid']:,} to choose by, {sizes['test']:,} to test"


def behind(
    compared: Measure,
    test: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]],
    *,
    best_step: int,
    steps: int,
    one_pass: bool = False,
) -> list[str]:
    """Return a sentence on a model that is no better than the best baseline, and what to try; none where it is.

    Args:
        compared: in what the baselines are measured.
        test: the metrics of the model.
        baselines: those of the baselines.
        best_step: where the model was best on the validation part.
        steps: how many there were.
        one_pass: whether it was trained without steps.
    """
    ranked = compared.ranked(baselines)
    if not ranked or compared.key not in test or compared.better(test[compared.key], ranked[0][1]):
        return []
    (name, value), score = ranked[0], test[compared.key]
    way = "is no better than" if score == value else "is behind"
    if one_pass:
        advice = "other settings of the model"
    elif best_step >= steps:
        advice = "more train.steps, or a larger train.optimizer.lr: it was still getting better at the last step"
    else:
        advice = (
            f"a smaller train.optimizer.lr or model, dropout, or more data: it was best at step {best_step:,} of "
            f"{steps:,}; or the inputs do not tell what is asked for"
        )
    return [f"the model {way} the baseline {name!r}: {compared.key} {score:.4g} against {value:.4g}; try {advice}"]


def never_predicted(what: str, told: Mapping[str, tuple[int, int]], fix: str) -> list[str]:
    """Return a sentence on what the model never predicts, though the test part has it, and what to try.

    Args:
        what: the plural: "classes" or "tags".
        told: of each, how often it is in the test part, and in the training part.
        fix: what to try, besides more steps.
    """
    if not told:
        return []
    names = [
        f"{some([name])} ({held:,} in the test part, {known:,} in training)"
        for name, (held, known) in sorted(told.items())
    ]
    return [f"{what} that are never predicted: {some(names, 5, 100)}; try more train.steps, {fix}"]


def odd_labels(counts: Mapping[str, int]) -> list[str]:
    """Return sentences on classes that may be none: two spellings of one, marks of missing values, numbers."""
    told: list[str] = []
    spellings: dict[str, list[str]] = {}
    for label in sorted(counts):
        spellings.setdefault(_spelled(label), []).append(label)
    if twice := [labels for labels in spellings.values() if len(labels) > 1]:
        shown = some([" and ".join(map(repr, labels)) for labels in twice], 3)
        told.append(f"classes that may be one: {shown}; write them alike in the file, if they are")
    if missing := [label for label in sorted(counts) if is_missing(label)]:
        shown = some(list(map(repr, missing)), 3)
        told.append(f"a class that may mark a missing value: {shown}; leave these rows out, if it does")
    alone = sum(count == 1 for count in counts.values())
    if len(counts) > _FEW and 2 * alone > len(counts) and all(map(is_number, counts)):
        told.append(
            f"{alone:,} of {len(counts):,} classes have one example, and all are numbers: "
            "if they say how much, and not which, task: regression"
        )
    return told


def _spelled(label: str) -> str:
    """Return what spellings of a class have in common: a number's value, or its letters without regard to case."""
    try:
        return repr(float(label))
    except ValueError:
        return " ".join(label.casefold().split())


def mostly_unknown(
    unknown: int, tokens: int, unit: str, tries: Sequence[str], *, then: str = "all of them are one token to the model"
) -> list[str]:
    """Return a sentence on a test part many of whose tokens are not in the vocabulary; none where few are.

    Args:
        unknown: how many tokens are not.
        tokens: of how many.
        unit: what a token is.
        tries: what makes fewer of them unknown.
        then: what that means.
    """
    if not tokens or unknown / tokens < MANY_UNKNOWN:
        return []
    return [
        f"{unknown:,} of {counted(tokens, unit)} in the test part ({unknown / tokens:.0%}) are not in the vocabulary: "
        f"{then}; try {', or '.join(tries)}"
    ]


def fewer_unknown(level: str, min_count: int = 1, max_size: int | None = None) -> list[str]:
    """Return the settings that make fewer tokens unknown."""
    found = ["a smaller data.min_count"] if min_count > 1 else []
    found += ["a larger data.max_size"] if max_size is not None else []
    return [*found, "more text to learn from", *(["data.level: char"] if level != "char" else [])]
