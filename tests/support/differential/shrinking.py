"""A failing program made small: lines are dropped, and operations passed by, as long as it fails in the same way."""

from __future__ import annotations

import re
from collections.abc import Iterator

from support.differential.playing import NAMES, Difference, judge

#: Words that are no values.
KEPT = frozenset(
    {
        *NAMES,
        *[
            "jit",
            "t",
            "in",
            "for",
            "if",
            "else",
            "lambda",
            "is",
            "not",
            "None",
            "True",
            "False",
            "functools",
            "partial",
        ],
    }
)


def same_kind(a: Difference, b: Difference) -> bool:
    """Return whether two differences are of one kind."""
    plain = [
        re.sub(r"[\d, ()\[\]]+", "", d.detail.splitlines()[0][:60]) if d.kind not in ("values",) else "" for d in (a, b)
    ]
    return a.kind == b.kind and (plain[0] == plain[1] or not a.kind.startswith(("raised", "refused")))


def shrunk(text: str, backend: str, features: set[str], difference: Difference, attempts: int = 600) -> str:
    """Return a smaller program that fails as this one does."""

    def fails(candidate: str) -> bool:
        try:
            verdict = judge(candidate, backend, features)
        except (SyntaxError, Exception):
            return False
        found = verdict.difference
        if verdict.outcome != "fault" or found is None or not same_kind(difference, found):
            return False
        return not (found.kind.startswith("raised") and any(word in found.detail for word in ("is not defined",)))

    left = attempts
    changed = True
    while changed and left > 0:
        changed = False
        for candidate in smaller(text):
            left -= 1
            if left <= 0:
                break
            if fails(candidate):
                text, changed = candidate, True
                break
    return text


def smaller(text: str) -> Iterator[str]:
    """Yield programs with one thing less, the largest steps first."""
    lines = text.splitlines()
    ends = [_block_end(lines, i) for i in range(len(lines))]
    for size in (8, 4, 2):  # neighbours
        for i in range(len(lines) - size, 0, -size):
            yield _joined(lines[:i] + lines[i + size :])
    for i in reversed(range(1, len(lines))):
        yield _joined(lines[:i] + lines[ends[i] :])
    for i in reversed(range(1, len(lines))):
        line = lines[i]
        yield from (_joined([*lines[:i], new, *lines[i + 1 :]]) for new in _shorter(line))


def _block_end(lines: list[str], start: int) -> int:
    depth = len(lines[start]) - len(lines[start].lstrip())
    end = start + 1
    while end < len(lines) and len(lines[end]) - len(lines[end].lstrip()) > depth:
        end += 1
    return end


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _shorter(line: str) -> Iterator[str]:
    """Yield simpler forms of a line."""
    if found := re.match(r"(\s*)(\w+) = (.+)$", line):
        margin, name, rhs = found.groups()
        for word in dict.fromkeys(re.findall(r"\b[a-z]+\d*\b", rhs)):
            if word != rhs and word not in KEPT:
                yield f"{margin}{name} = {word}"
    if found := re.match(r"(\s*return )(.+)$", line):
        parts = re.findall(r"[a-z]\w*(?:\.sum\(\))?", found[2])
        for part in parts:
            if part != found[2] and not part.startswith("None"):
                yield f"{found[1]}{part}"
                yield f"{found[1]}{part.removesuffix('.sum()')}"
    for pattern, by in (
        (r", [a-z]\w*=(True|False|None|[\d.]+)(?=[,)])", ""),  # an option
        (r"\[([^\[\],]+), [^\[\]]+\]\)$", r"[\1])"),  # one of several tensors
        (r"\[[^\[\],]+, ([^\[\]]+)\]\)$", r"[\1])"),
        (r"\.T\b", ""),
        (r" [-+*/@] [a-z]\w*$", ""),
        (r"\((\w+), (verify|recompute)=\w+\)", r"(\1)"),
        (r"\b(\d+), (\d+)\)", r"\1, 1)"),
        (r"\b[pf](32|64)\((\d+)", r"f\1(0"),
        (r"\bfor _ in .*:", "for _ in [0]:"),
    ):
        new = re.sub(pattern, by, line)
        if new != line:
            yield new
