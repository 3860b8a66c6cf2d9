"""Names of variables as LaTeX symbols: ``W_f``, ``h_tilde`` at t, ``out.W``, ``alpha``."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

_GREEK: Final = re.compile(
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|upsilon|phi|chi|psi|omega"
    "|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega"
)
_ACCENTS: Final = {"tilde": r"\tilde", "hat": r"\hat", "bar": r"\bar", "dot": r"\dot"}
_WORDS: Final = re.compile(r"[^\W_]+")
_ENDING_DIGITS: Final = re.compile(r"([^\W\d_]+)(\d+)")


def symbol(name: str, time: str = "", mark: str = "") -> str:
    """Return a name as a symbol: its first word with accents, the others as subscripts, then the index of time.

    What stands before a dot (the module that a weight is of) becomes a superscript. Whatever is neither letter nor
    digit is left out, so no name breaks out of its place.
    """
    *owners, last = [part for part in name.split(".") if part] or ["x"]
    words = _WORDS.findall(last) or ["x"]
    if len(words) == 1 and (ending := _ENDING_DIGITS.fullmatch(words[0])):
        words = [ending[1], ending[2]]
    base, subscripts = _word(words[0]), []
    for word in words[1:]:
        if word in _ACCENTS:
            base = f"{_ACCENTS[word]}{{{base}}}"
        else:
            subscripts.append(_word(word, short=2))
    if time:
        subscripts.append(time)
    below = ",".join(subscripts)
    above = ",".join(_owner(part) for part, following in pairwise([*owners, ""]) if not following.isdecimal())
    return base + mark + _script("^", above) + _script("_", below)


def _script(mark: str, text: str) -> str:
    return "" if not text else f"{mark}{text}" if len(text) == 1 else f"{mark}{{{text}}}"


def _owner(part: str) -> str:
    """A module by its name; one of a list by its number in round brackets, as layers are numbered."""
    return f"({part})" if part.isdecimal() else rf"\mathrm{{{' '.join(_WORDS.findall(part))}}}"


def _word(word: str, short: int = 1) -> str:
    if _GREEK.fullmatch(word):
        return f"\\{word}"
    return word if len(word) <= short or word.isdecimal() else rf"\mathrm{{{word}}}"


def number(value: float) -> str:
    """Return a number as books write it: 1 for 1.0, powers of ten for tiny and huge ones."""
    if isinstance(value, bool):
        return rf"\mathrm{{{str(value).lower()}}}"
    digits, _, power = f"{value:g}".partition("e")
    if not power:
        return digits.replace("inf", r"\infty")
    factor = "" if digits == "1" else "-" if digits == "-1" else rf"{digits} \cdot "
    return f"{factor}10^{{{int(power)}}}"
