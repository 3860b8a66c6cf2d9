"""Times as they stand in files: their order, and whether steps between them are missing."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NAME = r"([A-Za-z]{3,9})\.?"
_NUMBERED = r"(\d{1,2})(?:st|nd|rd|th)?"
_CLOCK = r"(?:[T ,]+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*([AaPp][Mm])?\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?"
#: Pattern and the order of its groups: y, m, d, and n for a month's name.
_FORMS: Final = {
    "year first": (re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?" + _CLOCK), "ymd"),
    "day first": (re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d\d)" + _CLOCK), "dmy"),
    "month first": (re.compile(r"(\d{1,2})[-/](\d{1,2})[-/](\d{4}|\d\d)" + _CLOCK), "mdy"),
    "day, month by name": (re.compile(rf"{_NUMBERED}[-/. ]{_NAME}[-/., ]+(\d{{4}}|\d\d)" + _CLOCK), "dny"),
    "month by name, day": (re.compile(rf"{_NAME}[-/. ]{_NUMBERED}[-/., ]+(\d{{4}})" + _CLOCK), "ndy"),
    "month by name": (re.compile(rf"{_NAME}[-/., ]+(\d{{4}}|\d\d)"), "ny"),
    "year, month by name": (re.compile(rf"(\d{{4}})[-/ ]{_NAME}(?:[-/ ](\d{{1,2}}))?"), "ynd"),
    "month and year": (re.compile(r"(\d{1,2})[-/.](\d{4})"), "my"),
}  # fmt: skip
_QUARTER = re.compile(r"(\d{4})[-: ]?[Qq](\d)|[Qq](\d)[- ](\d{4})")
_MONTH = re.compile(r"(\d{4})[-: ]?[Mm](\d{1,2})")
_WEEK = re.compile(r"(\d{4})-?W(\d\d)(?:-?(\d))?")
_EPOCH: Final = datetime.datetime(1970, 1, 1)
_DAY: Final = 86400.0
#: A year of two digits under this is one from 2000 on, as strptime has it; the seconds from 1900 on to 2000 on.
_TURN: Final = 69
_CENTURY: Final = 36525 * _DAY
_SHORT = re.compile(r"\w+[-/. ]+(?:\w+[-/., ]+)?(\d\d)(?!\d)(?![-/.])")


@dataclass(frozen=True)
class Moments:
    """When each row is: numbers that grow with time (seconds for dates), and how they were read."""

    values: Array
    how: str
    #: Whether they are dates, so that months and weekends are known.
    dates: bool


def is_date(field: str) -> bool:
    """Return whether a field is a date with a mark between its parts."""
    word = field.strip()
    return bool(word) and word[-1].isalnum() and any(_one(word, name) is not None for name in [*_FORMS, "quarter"])


def readings(fields: Sequence[str], form: str | None = None) -> list[Moments]:
    """Return the ways in which all of the fields are times: none, one, or, of "3/4/2001", two.

    Args:
        fields: a column of times.
        form: as ``datetime.strptime`` has it: "%d/%m/%Y".
    """
    words = list(map(str.strip, fields))
    if form is not None:
        return _all(words, form, lambda word: _by(word, form))
    numbers = _numbers(words)
    if numbers is not None:
        return [_calendar(numbers)]
    fast = _iso(words)
    if fast is not None:
        return [fast]
    found: list[Moments] = []
    for name in [*_FORMS, "quarter"]:
        if _one(words[0], name) is None:
            continue
        straight = _all(words, name, lambda word, name=name: _one(word, name))  # type: ignore[misc]
        found += straight
        years = [short[1] for word in words if (short := _SHORT.match(word))] if straight else []
        early = np.array([int(year) < _TURN for year in years])
        if len(early) == len(words) and early.any() and not early.all():
            # "1/1/68" and "1/1/69" are not a century apart.
            found.append(Moments(straight[0].values - early * _CENTURY, f"{name}, from 1900 on", True))
    return found


def _all(words: Sequence[str], how: str, read: Callable[[str], float | None]) -> list[Moments]:
    values = np.empty(len(words))
    for row, word in enumerate(words):
        value = read(word)
        if value is None:
            return []
        values[row] = value
    return [Moments(values, how, True)]


def _numbers(words: Sequence[str]) -> Array | None:
    try:
        values = np.fromiter(map(float, words), np.float64, len(words))
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def _calendar(values: Array) -> Moments:
    """Return numbers as times: 20240131 and 202401 as dates, so that no step between months seems missing."""
    for low, high, has_day in ((10_000_101, 99_991_231, True), (100_001, 999_912, False)):
        if ((values >= low) & (values <= high) & (values == np.floor(values))).all():
            whole = values.astype(np.int64)
            days = whole % 100 if has_day else np.ones_like(whole)
            months = whole // 100 if has_day else whole
            try:
                dates = [
                    datetime.datetime(int(m) // 100, int(m) % 100, int(d)) for m, d in zip(months, days, strict=True)
                ]
            except ValueError:
                continue
            return Moments(np.array([(date - _EPOCH).total_seconds() for date in dates]), "year, month, day", True)
    return Moments(values, "numbers", False)


def _iso(words: Sequence[str]) -> Moments | None:
    if not re.fullmatch(r"\d{4}-\d\d(-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?)?", words[0]):
        return None
    if set(map(len, words)) != {len(words[0])}:
        return None
    try:
        found = np.array(words, "datetime64[us]")
    except ValueError:
        return None
    if np.isnat(found).any():
        return None
    return Moments(found.astype(np.int64) / 1e6, "year first", True)


def _by(word: str, form: str) -> float | None:
    try:
        found = datetime.datetime.strptime(word, form)
    except ValueError:
        return None
    return _seconds(found)


def _seconds(date: datetime.datetime) -> float:
    if date.tzinfo is not None:
        date = date.astimezone(datetime.UTC).replace(tzinfo=None)
    return (date - _EPOCH).total_seconds()


def _one(word: str, name: str) -> float | None:
    try:
        return _quarter(word) if name == "quarter" else _matched(word, *_FORMS[name])
    except (ValueError, OverflowError):
        return None


def _quarter(word: str) -> float | None:
    if found := _QUARTER.fullmatch(word):
        year, quarter = (found[1], found[2]) if found[1] else (found[4], found[3])
        return _seconds(datetime.datetime(int(year), 3 * int(quarter) - 2, 1)) if 1 <= int(quarter) <= 4 else None
    if found := _MONTH.fullmatch(word):
        return _seconds(datetime.datetime(int(found[1]), int(found[2]), 1))
    if found := _WEEK.fullmatch(word):
        date = datetime.date.fromisocalendar(int(found[1]), int(found[2]), int(found[3] or 1))
        return _seconds(datetime.datetime(date.year, date.month, date.day))
    return None


def _matched(word: str, pattern: re.Pattern[str], order: str) -> float | None:
    found = pattern.fullmatch(word)
    if found is None:
        return None
    part = dict(zip(order, found.groups(), strict=False))
    if "n" in part:
        if part["n"][:3].lower() not in _MONTHS:
            return None
        month = 1 + _MONTHS.index(part["n"][:3].lower())
    else:
        month = int(part["m"])
    year = int(part["y"])
    if len(part["y"]) == 2:
        year += 2000 if year < _TURN else 1900
    clock = found.groups()[len(order) :]
    hour, minute, second = (int(text or 0) for text in (clock + (None,) * 3)[:3])
    half = clock[4] if len(clock) > 4 else None
    if half:
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    moment = datetime.datetime(year, month, int(part.get("d") or 1), hour % 24, minute, second)
    value = _seconds(moment) + (float(f"0.{clock[3]}") if len(clock) > 3 and clock[3] else 0.0)
    if hour == 24:
        value += _DAY
    zone = clock[5] if len(clock) > 5 else None
    if zone and zone[0] in "+-":
        value -= (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 3600 + int(zone[3:].strip(":") or 0) * 60)
    return value


def direction(values: Array) -> int:
    """Return 1 where values only grow, -1 where they only fall, else 0."""
    steps = np.diff(values)
    return 1 if (steps > 0).all() else -1 if (steps < 0).all() else 0


def steps_of(moments: Moments) -> tuple[Array, Array]:
    """Return how many steps, of the usual size, lie between each time (in order) and the next; and which are gaps.

    Nothing is a gap where no size is usual, or where weekends alone are left out.
    """
    values = np.sort(moments.values)
    steps = np.diff(values)
    none = np.ones(len(steps)), np.zeros(len(steps), bool)
    if len(steps) < 3:
        return none
    if moments.dates and steps.min() >= 27 * _DAY:
        months = values.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64)
        steps = np.diff(months).astype(np.float64)
    elif moments.dates and steps.min() >= _DAY:
        days = np.floor(values / _DAY).astype(np.int64)
        if ((days + 3) % 7 < 5).all() and (np.diff(days) <= 4).all() and (np.diff(days) > 1).mean() > 0.1:
            return none  # weekdays, a holiday here and there
    sizes, counts = np.unique(np.round(steps, 6), return_counts=True)
    usual = sizes[counts.argmax()]
    if counts.max() < 0.6 * len(steps) or usual <= 0:
        return none
    many = steps / usual
    return many, many > 1.5
