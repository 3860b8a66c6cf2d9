"""Numbers as people write them: decimal points or commas, thousands, per cent, currencies, marks of missing values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, Any]
#: Fields that stand for a missing value, in small letters.
MISSING: Final = frozenset(
    (
        *("", "na", "n/a", "n.a.", "nan", "-nan", "null", "none", "nil", "<na>", "\\n", "?", "-", "--", "—", "–"),
        *(".", "..", "...", "#n/a", "#na", "#n/a n/a", "#null!", "#value!", "#div/0!", "#ref!", "#num!", "1.#qnan"),
    )
)
#: Numbers by which measuring stations and statistics offices mark what is missing.
SENTINELS: Final = (-99.0, -999.0, -9999.0, -99999.0, -99.9, -999.9, -9999.9, 999.0, 9999.0, 99999.0, 999.9, 9999.9)
#: How many times as large as everything else such a mark is.
_FAR = 5.0

_GROUP = r"[1-9][0-9]{0,2}"
_EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
_SPACE = "[ ']"
_LAKHS = "[1-9][0-9]?(?:,[0-9][0-9])+,[0-9]{3}"
#: By the decimal mark: a number, its thousands grouped or not. Which mark groups them is the other one, or a space.
_NUMBER: Final = {
    mark: re.compile(
        rf"(?=[+-]?[.,]?[0-9])[+-]?(?:[0-9]+|{_GROUP}(?:{other}[0-9]{{3}})+|{_GROUP}(?:{_SPACE}[0-9]{{3}})+{more})?"
        rf"(?:{point}[0-9]*)?{_EXPONENT}"
    )
    for mark, point, other, more in ((".", r"\.", ",", rf"|{_LAKHS}"), (",", ",", r"\.", ""))
}  # fmt: skip
#: The same with a group of three after the other mark, which might as well be decimals: "1,234".
_UNSURE: Final = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}")
_CURRENCY = r"(?:[$€£¥₹₽₩₺]|[A-Z]{2}\$|USD|EUR|GBP|JPY|CHF|INR|CNY|kr|zł|Fr\.|R\$)"
_UNIT = re.compile(
    rf"([+-]?)\s*({_CURRENCY})?\s*([+-]?[^%$€£¥₹₽₩₺A-Za-z]*(?:[0-9][eE][+-]?[0-9]+)?)\s*({_CURRENCY}|%)?"
)


#: Spaces and apostrophes that typesetters know.
_TYPED: Final = str.maketrans({"\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2019": "'", "\u2212": "-"})


def is_number(field: str) -> bool:
    """Return whether a field is a number in one of the forms, and no mark of a missing one."""
    word, _ = _bare(field)
    return any(_matches(word, mark) for mark in _NUMBER)


def _bare(field: str) -> tuple[str, str]:
    """Return a field without its currency or per cent sign, and that sign; accountants' brackets become a minus."""
    word = field.strip().translate(_TYPED)
    if word.startswith("(") and word.endswith(")"):
        word = "-" + word[1:-1].strip()
    found = _UNIT.fullmatch(word)
    if found is None:
        return word, ""
    sign, before, number, after = found.groups()
    if before and after:
        return word, ""
    return sign + number.strip(), before or after or ""


def _matches(word: str, mark: str) -> bool:
    return _NUMBER[mark].fullmatch(word) is not None


def is_missing(field: str, marks: Iterable[str] = ()) -> bool:
    """Return whether a field marks a missing value: one of the usual marks, or one of ``marks``."""
    word = field.strip()
    return word.lower() in MISSING or word in marks


def plain(fields: Sequence[str]) -> Array | None:
    """Return fields that Python's ``float`` reads, float64; None where one of them is another form, or not finite."""
    try:
        values = np.fromiter(map(float, fields), np.float64, len(fields))
    except ValueError:
        return None
    return values if np.isfinite(values).all() and "_" not in "".join(fields) else None


class Notation:
    """What columns of one file say about how its numbers are written: it has one decimal mark, not one a column.

    ``take`` shows it the fields; ``decimal`` is the mark that takes them all: ``"."``, ``","``, or None where both do
    and mean different numbers. ``read`` reads by a mark.
    """

    def __init__(self) -> None:
        self.fits = {".": True, ",": True}
        #: A field that tells the marks apart, for each that it excludes; and one that does not.
        self.witness: dict[str, str] = {}
        self.unsure = ""

    def take(self, fields: Iterable[str], marks: Iterable[str] = ()) -> None:
        """Look at the fields of a column."""
        for field in fields:
            if "," not in field and "." not in field:
                continue
            word, _ = _bare(field)
            taken = {mark: _matches(word, mark) for mark in _NUMBER}
            if not any(taken.values()) or is_missing(field, marks):
                continue
            for mark, fine in taken.items():
                if not fine and self.fits[mark]:
                    self.fits[mark] = False
                    self.witness[mark] = field
            if all(taken.values()) and not self.unsure and _UNSURE.fullmatch(word):
                self.unsure = field

    @property
    def mixed(self) -> bool:
        """Whether no mark takes all fields."""
        return not any(self.fits.values())

    @property
    def decimal(self) -> str | None:
        """The decimal mark; None where it cannot be told."""
        if self.fits["."] and self.fits[","]:
            return None if "," in self.unsure else "."
        return "." if self.fits["."] else ","


def read(fields: Sequence[str], decimal: str, marks: Iterable[str] = ()) -> tuple[Array, int]:
    """Return the numbers of a column, NaN where one is missing; and the first row that is no number, or -1.

    A sign (a currency, per cent) stands in all fields of a column or in none, and the same one: 5% is read as 5.
    """
    values = np.full(len(fields), np.nan)
    other = "." if decimal == "," else ","
    sign: str | None = None
    drop = str.maketrans({" ": None, "'": None, ",": ".", other: None})
    for row, field in enumerate(fields):
        if is_missing(field, marks):
            continue
        word, unit = _bare(field)
        if not _matches(word, decimal) or (sign is not None and unit != sign):
            return values, row
        sign = unit
        value = float(word.translate(drop))
        if not math.isfinite(value):
            return values, row
        values[row] = value
    return values, -1


def sentinel(values: Array) -> float | None:
    """Return a number in a column that likely marks a missing value: of the usual ones, and far from all others."""
    known = values[np.isfinite(values)]
    if len(values) < 3 or not known.size or {float(known.min()), float(known.max())}.isdisjoint(SENTINELS):
        return None
    for mark in SENTINELS:
        others = known[known != mark]
        if others.size and others.size < known.size and np.abs(others).max() * _FAR < abs(mark):
            return mark
    return None
