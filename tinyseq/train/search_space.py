"""Search spaces of sweeps: the settings that a sweep varies, and the values that each may take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tinyseq.errors import ConfigError
from tinyseq.train.config import yaml
from tinyseq.train.config.overrides import Typed
from tinyseq.train.config.source import Override

_FORMS: Final = "a,b,c or [a, b, c] for a choice, low:high, low:high:log or low:high:STEP for numbers"


@dataclass(frozen=True)
class ChoiceOf:
    """A setting that takes one of some values; ``names`` are the values as YAML in one line."""

    values: tuple[Any, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(map(name_of, self.values))

    def probes(self) -> Iterator[Any]:
        """Yield the values that must be right for all to be."""
        yield from self.values

    def points(self) -> tuple[Any, ...] | None:
        """Return all that may be drawn; None where there is no end of it."""
        return self.names

    def value(self, drawn: Any) -> Any:
        """Return the setting's value for what was drawn."""
        return self.values[self.names.index(drawn)]


@dataclass(frozen=True)
class Range:
    """A number between ``low`` and ``high``, both included; whole numbers where both are, and ``step`` is.

    ``log``: each power of ten is as likely as another. ``step``: low, low + step, ...
    """

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def whole(self) -> bool:
        """Whether it is of whole numbers."""
        return all(isinstance(x, int) for x in (self.low, self.high, 1 if self.step is None else self.step))

    def probes(self) -> Iterator[Any]:
        yield from (self.low, self.high)

    def points(self) -> tuple[Any, ...] | None:
        if self.step is None and not (self.whole and not self.log):
            return None
        step = 1 if self.step is None else self.step
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return tuple(self.low + i * step for i in range(count))

    def value(self, drawn: Any) -> Any:
        return drawn


Dimension = ChoiceOf | Range
#: Settings by dotted key: a dimension, its text as on the command line, or a list to choose from.
Over = Mapping[str, "Dimension | str | Sequence[Any]"]


def dimensions(over: Over) -> dict[str, Dimension]:
    """Return a search space in one form.

    Raises:
        ConfigError: there is nothing in it, or one of its texts is no range and no choice.
    """
    if not over:
        raise ConfigError(
            "a sweep over nothing",
            required="at least one setting to vary",
            got="none",
            fix="--over train.optimizer.lr=1e-4:1e-2:log",
        )
    return {key: _dimension(key, given) for key, given in over.items()}


def _dimension(key: str, given: Dimension | str | Sequence[Any]) -> Dimension:
    if isinstance(given, ChoiceOf | Range):
        return given
    if not isinstance(given, str):
        return _choice(key, given, str(list(given)))
    text = given.strip()
    if text.startswith("["):
        values = yaml.value(text)
        return _choice(key, [_typed(value) for value in values], text)
    if "," in text:
        return _choice(key, [_typed(yaml.value(part)) for part in text.split(",")], text)
    if ":" in text:
        return _range(key, text)
    return _choice(key, [_typed(yaml.value(text))], text)


def _typed(value: Any) -> Any:
    return Typed(value) if isinstance(value, str) else value


def name_of(value: Any) -> str:
    """Return a value as YAML in one line."""
    return yaml.inline(str(value) if isinstance(value, str) else value)


def _choice(key: str, values: Sequence[Any], text: str) -> ChoiceOf:
    choice = ChoiceOf(tuple(values))
    if len(values) < 2 or len(set(choice.names)) < len(values):
        raise _refused(key, text, "two values at least, each once")
    return choice


def _range(key: str, text: str) -> Range:
    low, high, *more = (yaml.value(part) for part in text.split(":"))
    numbers = [x for x in (low, high, *more) if isinstance(x, int | float) and not isinstance(x, bool)]
    log = more == ["log"]
    if len(more) > 1 or len(numbers) != 2 + len(more) - log or not all(map(math.isfinite, numbers)):
        raise _refused(key, text, _FORMS)
    if not low < high or (log and low <= 0) or (more and not log and not 0 < more[0] <= high - low):
        raise _refused(key, text, "low < high, a step between 0 and high - low, and for log a low above 0")
    return Range(low, high, log, None if log or not more else more[0])


def _refused(key: str, text: str, required: str) -> ConfigError:
    return ConfigError(f"--over {key}={text}: error: required {required}")


def override(key: str, dimension: Dimension, drawn: Any) -> Override:
    """Return what gives a setting the value that was drawn."""
    return of_value(key, dimension.value(drawn))


def of_value(key: str, value: Any) -> Override:
    """Return what gives a setting a value, shown in messages as the option that it comes from."""
    lead = f"--over {key}="
    return Override(tuple(key.split(".")), value, f"{lead}{name_of(value)}", len("--over "), len(lead))
