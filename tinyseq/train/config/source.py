"""A config as plain values, and where each of them is written: in which line of the file, or in which option."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tinyseq.errors import ConfigError
from tinyseq.terminal import printable

Path_ = tuple[str | int, ...]
#: Line and column, from 0.
Position = tuple[int, int]
#: More problems than a person reads at once are only counted.
SHOWN = 50
#: How much of a long line is shown, and how much of it may stand before the place of the error.
_WIDE, _BEFORE = 120, 80
#: What ends a line in YAML.
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


@dataclass(frozen=True)
class Problem:
    """Something wrong with the value (or, ``at_key``, the key) at a path.

    ``involves`` are the other values that it speaks of: where one of them is wrong itself, the problem may be none.
    """

    path: Path_
    message: str
    at_key: bool = False
    involves: tuple[Path_, ...] = ()
    #: Where it is, if that is not where its path is written.
    place: Position | None = None

    def under(self, path: Path_) -> Problem:
        """Return the problem seen from a section further up, in which its own is at ``path``."""
        return replace(self, path=(*path, *self.path), involves=tuple((*path, *other) for other in self.involves))

    def touches(self, paths: Iterable[Path_]) -> bool:
        """Return whether one of the values that it speaks of is at, in or around one of the paths."""
        mine = (self.path, *self.involves)
        return any(a[: len(b)] == b[: len(a)] for a in mine for b in paths)


def within(section: str, problems: Iterable[Problem], *, involves: Iterable[str] = ()) -> Iterator[Problem]:
    """Yield the problems of a value as those of the section that it is in; ``involves`` are its neighbours."""
    for problem in problems:
        yield replace(problem.under((section,)), involves=tuple((name,) for name in involves))


@dataclass(frozen=True)
class Override:
    """A value that replaces the file's: its path, and the option that it comes from, for messages."""

    path: tuple[str, ...]
    value: Any
    #: As it was typed, such as ``--set train.steps=10``; key and value begin at these columns.
    text: str
    key_at: int = 0
    value_at: int = 0


@dataclass(frozen=True)
class _Place:
    """What stands before ``error:``, the line that is shown, and the column of the caret (None: no line is shown)."""

    head: str
    order: tuple[int, int, int]
    row: str | None = None
    column: int = 0


@dataclass
class Document:
    """A mapping as plain Python values, and where in the text each came from."""

    data: dict[str, Any]
    name: str = "<config>"
    text: str = ""
    keys: dict[Path_, Position] = field(default_factory=dict)
    values: dict[Path_, Position] = field(default_factory=dict)
    #: What is wrong with the text although it could be read: keys that are there twice, tags.
    problems: list[Problem] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)

    def error(self, problems: Iterable[Problem]) -> ConfigError:
        """Return one error that shows every problem: those of options, then those of the file in its order."""
        placed = [(self._place(problem), problem) for problem in problems]
        placed.sort(key=lambda pair: pair[0].order)
        blocks = list(dict.fromkeys(_block(place, dotted(p.path), p.message) for place, p in placed))
        more = [f"{self.name}: error: and {len(blocks) - SHOWN} more"] if len(blocks) > SHOWN else []
        return ConfigError("\n".join([*blocks[:SHOWN], *more]))

    def error_at(self, position: Position, message: str, path: str = "") -> ConfigError:
        """Return the error of a place in the text."""
        return ConfigError(_block(self._in_text(position), path, message))

    def _place(self, problem: Problem) -> _Place:
        if problem.place is not None:
            return self._in_text(problem.place)
        path, key = problem.path, problem.at_key
        if not self._written(path):  # a default that does not go with what is written
            path = next((other for other in problem.involves if self._written(other)), path)
        for number, option in enumerate(self.overrides):
            size = len(option.path)
            if path[:size] == option.path:
                return _in_option(number, option, option.key_at if key and len(path) == size else option.value_at)
        if path not in self.keys and path not in self.values:
            for number, option in enumerate(self.overrides):
                if path and option.path[: len(path)] == path:  # a section that only the option speaks of
                    before = ".".join(option.path[: len(path) - 1])
                    return _in_option(number, option, option.key_at + len(before) + bool(before))
        while path:
            first, second = (self.keys, self.values) if key else (self.values, self.keys)
            if (place := first.get(path, second.get(path))) is not None:
                return self._in_text(place)
            # What is missing is reported at the key of the section that lacks it.
            path, key = path[:-1], True
        return self._in_text((0, 0)) if self.text else _Place(self.name, (-1, 0, 0))

    def _written(self, path: Path_) -> bool:
        given = any(path[: len(o.path)] == o.path or o.path[: len(path)] == path for o in self.overrides)
        return given or path in self.keys or path in self.values

    def _in_text(self, position: Position) -> _Place:
        line, column = position
        head = f"{self.name}:{line + 1}:{column + 1}"
        rows = _LINE_END.split(self.text)
        return _Place(head, (1, line, column), rows[line] if line < len(rows) else None, column)


def _in_option(number: int, option: Override, column: int) -> _Place:
    head = option.text if len(option.text) <= _BEFORE else f"{option.text[:_BEFORE]}..."
    return _Place(head, (0, number, column), option.text, column)


def _block(place: _Place, path: str, message: str) -> str:
    """Return ``file:line:column: error: path: message``, the line of the text, and a caret under the column."""
    head = printable(f"{place.head}: error: {path}: {message}" if path else f"{place.head}: error: {message}")
    if place.row is None:
        return head
    row, column = place.row, place.column
    if len(row) > _WIDE:
        start = max(0, column - _BEFORE)
        row, column = row[start : start + _WIDE], column - start
    # Tabs stay tabs in the caret's line, and wide letters take two spaces, so that the caret stands under its column.
    blank = {"\t": "\t"}
    indent = "".join(blank.get(letter, " " * _width(letter)) for letter in row[:column])
    shown = "".join(letter if letter == "\t" or letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in row)
    return f"{head}\n    {shown}\n    {indent}^"


def _width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def dotted(path: Path_) -> str:
    """Return ``train.betas[1]`` for a path."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def kind(value: Any) -> str:
    """Say what sort of value this is."""
    if value is None:
        return "nothing"
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a section",
    }
    return next((name for type_, name in names.items() if isinstance(value, type_)), f"a {type(value).__name__}")
