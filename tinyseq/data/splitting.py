"""Splits of examples into training, validation and test: at random, by class, by group, or in time."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np

from tinyseq.data.batching import Splits
from tinyseq.errors import DataError

#: Ways to split, and what they do.
SPLITS_BY: Final = {
    "random": "shuffled",
    "class": "shuffled, each class spread evenly over the parts",
    "group": "shuffled, a group as a whole in one part",
    "time": "in order, the last for the test",
}


def split_examples(
    examples: Sequence[Any],
    shares: Sequence[float],
    rng: np.random.Generator,
    *,
    valid: Sequence[Any] | None = None,
    test: Sequence[Any] | None = None,
    by: str = "random",
    keys: Sequence[Any] | None = None,
) -> Splits:
    """Return three parts of examples; a part that is given is taken as it is, and its share is dropped.

    Args:
        examples: what is split.
        shares: of training, validation and test.
        rng: shuffles.
        valid, test: parts that are given.
        by: a key of ``SPLITS_BY``.
        keys: each example's class, group or time; None, for "time": the order in which they come. Examples of one group
            or time come into one part, as near to the shares as that allows; a class that is there once is trained on.

    Raises:
        DataError: a part would be empty.
    """
    wanted = [shares[0], 0.0 if valid is not None else shares[1], 0.0 if test is not None else shares[2]]
    units = _units(len(examples), rng, by, keys)
    first, second = _cuts([len(unit) for unit in units], wanted, whole=by in ("group", "time"))
    pieces = [
        [examples[i] for unit in part for i in unit] for part in (units[:first], units[first:second], units[second:])
    ]
    parts = Splits(pieces[0], pieces[1] if valid is None else list(valid), pieces[2] if test is None else list(test))
    for name in ("train", "valid", "test"):
        if not getattr(parts, name):
            what = {"group": f" of {len(units)} groups", "time": f" at {len(units)} times"}.get(by, "")
            raise DataError(
                f"no examples for the {name} part",
                required="at least 1",
                got=f"{len(examples)} examples{what}, split {list(shares)}",
                fix="more data, or other shares in data.split",
            )
    return parts


def _units(count: int, rng: np.random.Generator, by: str, keys: Sequence[Any] | None) -> list[list[int]]:
    """Return the examples' numbers in the order in which they are cut, those together that stay together."""
    if by == "time":
        order = range(count) if keys is None else sorted(range(count), key=keys.__getitem__)
        return _together(order, range(count) if keys is None else keys)
    shuffled = [int(i) for i in rng.permutation(count)]
    if by == "random" or keys is None:
        return [[i] for i in shuffled]
    members = _together(shuffled, keys)
    if by == "group":
        return members
    # The j-th of a class of n stands at (j + 1/2) / n of the way, wherever the parts are cut.
    places = {i: (j + 0.5) / len(one) for one in members for j, i in enumerate(one)}
    return [[i] for i in sorted(shuffled, key=places.__getitem__)]


def _together(order: Sequence[int], keys: Sequence[Hashable]) -> list[list[int]]:
    found: dict[Hashable, list[int]] = {}
    for i in order:
        found.setdefault(keys[i], []).append(i)
    return list(found.values())


def _cuts(sizes: Sequence[int], wanted: Sequence[float], *, whole: bool) -> tuple[int, int]:
    """Return before which units validation and test begin; ``whole`` units leave each part at least one."""
    ends = np.cumsum([0, *sizes])
    total = sum(wanted)
    cuts = [
        int(np.abs(ends - round(ends[-1] * share / total)).argmin()) for share in (wanted[0], wanted[0] + wanted[1])
    ]
    after = [(wanted[1] > 0) + (wanted[2] > 0), int(wanted[2] > 0)]
    if whole and len(sizes) > after[0]:
        cuts[0] = min(max(cuts[0], 1), len(sizes) - after[0])
        cuts[1] = min(max(cuts[1], cuts[0] + (wanted[1] > 0)), len(sizes) - after[1])
    return cuts[0], cuts[1]


def unseen_note(what: str, parts: Mapping[str, Mapping[str, int]], *, split: bool) -> list[str]:
    """Return a sentence on what held-out parts have and the training part has not; none where there is nothing.

    Args:
        what: the plural: "classes" or "tags".
        parts: how often each is there, by part.
        split: whether the parts are shares of one file, so that another split is a way out.
    """
    told = [
        f"{', '.join(f'{name} ({count})' for name, count in sorted(found.items())[:5])}"
        f"{' and more' if len(found) > 5 else ''} in the {part} part"
        for part, found in parts.items()
        if found
    ]
    if not told:
        return []
    advice = "; try data.split_by: class" if split else ""
    return [f"{what} that training has not seen, and that count as errors: {'; '.join(told)}{advice}"]


def in_order(values: Sequence[str], where: str) -> list[Any]:
    """Return what texts of times are sorted by: numbers, or dates in the form of ISO 8601.

    Raises:
        DataError: they are neither.
    """
    for read in (float, datetime.fromisoformat):
        try:
            found = [read(value) for value in values]
            sorted(found)
        except (ValueError, TypeError):
            continue
        if not any(value != value for value in found):
            return found
    strange = next((value for value in values if not value[:4].isdecimal()), values[0])
    raise DataError(
        "times that cannot be put in order",
        required="numbers, or dates as 2024-01-31 or 2024-01-31T12:00",
        got=repr(strange),
        where=where,
        fix="write them so; or sort the rows, and leave data.split_column out",
    )
