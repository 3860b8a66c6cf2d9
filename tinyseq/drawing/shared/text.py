"""Text in pictures: made harmless, cut to a length, measured, and set as a subscript."""

from __future__ import annotations

import unicodedata
from typing import Final

#: What marks the scopes of the backward pass.
BACKWARD: Final = "∂"
#: Line breaks and tabs are shown by their own signs: a label stays on one line, and nothing of a name is hidden.
_VISIBLE: Final = {"\n": "␊", "\r": "␍", "\t": "␉", "\u2028": "␤", "\u2029": "␤", "\x7f": "␡"}
_SUBSCRIPTS: Final = str.maketrans("0123456789-+", "₀₁₂₃₄₅₆₇₈₉₋₊")


def clean(text: str, limit: int | None = None) -> str:
    """Return text that every format can hold on one line, at most ``limit`` characters long.

    Control characters become visible signs. Characters that XML forbids, lone surrogates, and marks that turn the
    direction of what follows become U+FFFD, so a name cannot rearrange the text around it.
    """
    result = "".join(map(_safe, text)) if not text.isascii() or not text.isprintable() else text
    if limit is not None and len(result) > limit:
        result = result[: limit - 1] + "…"
    return result


def _safe(char: str) -> str:
    if char in _VISIBLE:
        return _VISIBLE[char]
    code = ord(char)
    if code < 32:
        return chr(0x2400 + code)
    kind = unicodedata.category(char)
    # Cs: surrogates; Cc: the other controls; the embeddings, overrides and isolates of bidirectional text.
    if kind in ("Cs", "Cc") or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069 or code & 0xFFFE == 0xFFFE:
        return "\ufffd"
    return char


def subscript(number: int) -> str:
    """Return an integer as Unicode subscript digits, which every format can show."""
    return str(number).translate(_SUBSCRIPTS)


def width(text: str, size: float) -> float:
    """Return about how wide a text is at a font size, bold Helvetica or DejaVu; wide enough rather than exact."""
    total = 0.0
    for char in text:
        if char.isascii():
            total += 0.36 if char in " .,:;'|!ijl()[]" else 0.78 if char.isupper() or char in "mw@%" else 0.62
        elif unicodedata.combining(char) or char == "\u200d":
            continue
        elif "₀" <= char <= "₉":
            total += 0.38
        else:
            total += 1.0 if unicodedata.east_asian_width(char) in "WF" else 0.66
    return total * size


def plural(count: int, word: str) -> str:
    """Return ``1 step``, ``3 steps``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def marked(scope: str) -> str:
    """Return what a scope is called in the backward pass: ``encoder/∂lstm0``."""
    head, _, last = scope.rpartition("/")
    return f"{head}/{BACKWARD}{last}" if head else f"{BACKWARD}{last}" if last else ""
