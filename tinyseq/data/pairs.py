"""Pairs of sentences, source and target: reversal and sorting of symbols, and dates in many forms and in one.

A pair is two strings. Symbols of reversal and sorting have spaces between them (a model reads words), dates are read a
character at a time. Written with a tab between, one pair a line, they are the TSV files that sequence-to-sequence tasks
read.
"""

from __future__ import annotations

import datetime
import string
from typing import Final

import numpy as np

from tinyseq.errors import DataError

Seed = int | np.random.Generator
Pair = tuple[str, str]


def reversal(count: int, seed: Seed, *, lengths: tuple[int, int] = (3, 8), symbols: int = 10) -> list[Pair]:
    """Return random sequences of symbols, and the same sequences from the last symbol to the first.

    "c a d" -> "d a c". Lengths are uniform from the first to the second of ``lengths``, both included; symbols are
    the first letters of the alphabet, drawn uniformly.
    """
    return [(" ".join(word), " ".join(word[::-1])) for word in _words(count, seed, lengths, symbols)]


def sorting(count: int, seed: Seed, *, lengths: tuple[int, int] = (3, 8), symbols: int = 10) -> list[Pair]:
    """Return random sequences of symbols, and the same symbols in alphabetical order: "c a d a" -> "a a c d"."""
    return [(" ".join(word), " ".join(sorted(word))) for word in _words(count, seed, lengths, symbols)]


def _words(count: int, seed: Seed, lengths: tuple[int, int], symbols: int) -> list[list[str]]:
    least, most = lengths
    if not 1 <= least <= most:
        raise DataError("lengths of sequences", required="1 <= least <= most", got=str(lengths))
    if not 1 <= symbols <= len(string.ascii_lowercase):
        raise DataError("number of symbols", required="1 to 26", got=str(symbols))
    rng = np.random.default_rng(seed)
    sizes = rng.integers(least, most + 1, count)
    return [[string.ascii_lowercase[i] for i in rng.integers(0, symbols, size)] for size in sizes]


_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
#: How a date may be written; the names are explained in ``_spell``.
_FORMATS: Final = (
    "{day} {month} {year}",
    "{day} {mon} {year}",
    "{th} {month} {year}",
    "{th} of {month} {year}",
    "{th} of {month}, {year}",
    "{month} {day}, {year}",
    "{mon} {day}, {year}",
    "{month} {th}, {year}",
    "the {th} of {month} {year}",
    "{weekday}, {day} {month} {year}",
    "{weekday}, {month} {day}, {year}",
    "{weekday} {th} {month} {year}",
    "{wday} {mon} {day} {year}",
    "{wday}, {day} {mon} {year}",
    "{day}.{number}.{year}",
    "{day2}.{number2}.{year}",
    "{day2}-{mon}-{year}",
    "{year}, {month} {day}",
    "{year} {mon} {day2}",
)


def dates(count: int, seed: Seed, *, years: tuple[int, int] = (1900, 2099)) -> list[Pair]:
    """Return dates as people write them, and in the form of ISO 8601: "Saturday, 9 May 1998" -> "1998-05-09".

    Days are uniform from 1 January of the first year to 31 December of the last. The forms are 19, all of them with the
    year in full, all unambiguous (numbers with dots are day.month.year); a quarter is written in lower case.

    Source: a usual exercise for attention (Ng 2018, "Sequence models", week 3); the forms are this module's.
    """
    first, last = years
    if not 1 <= first <= last <= 9999:
        raise DataError("dates: years", required="1 <= first <= last <= 9999", got=str(years))
    rng = np.random.default_rng(seed)
    begin, end = datetime.date(first, 1, 1).toordinal(), datetime.date(last, 12, 31).toordinal()
    pairs = []
    for ordinal, form, lower in zip(
        rng.integers(begin, end + 1, count), rng.integers(0, len(_FORMATS), count), rng.random(count), strict=True
    ):
        date = datetime.date.fromordinal(int(ordinal))
        text = _spell(date, _FORMATS[form])
        pairs.append((text.lower() if lower < 0.25 else text, date.isoformat()))
    return pairs


def _spell(date: datetime.date, form: str) -> str:
    """Write a date; names of months and days are English whatever the locale."""
    ending = "th" if 11 <= date.day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(date.day % 10, "th")
    month, weekday = _MONTHS[date.month - 1], _DAYS[date.weekday()]
    return form.format(
        day=date.day,
        day2=f"{date.day:02}",
        th=f"{date.day}{ending}",
        month=month,
        mon=month[:3],
        number=date.month,
        number2=f"{date.month:02}",
        weekday=weekday,
        wday=weekday[:3],
        year=f"{date.year:04}",
    )
