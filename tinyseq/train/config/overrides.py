"""Values that replace those of a config file: ``--set train.steps=10``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tinyseq.errors import ConfigError
from tinyseq.train.config import yaml
from tinyseq.train.config.section import section_at, settings
from tinyseq.train.config.source import Override, Problem, dotted

#: Overrides as they are given: values by dotted key, texts such as ``train.steps=10``, or ready-made.
Overrides = Mapping[str, object] | Iterable["Override | str"]


class Typed(str):
    """Text from a command line: a path in it is meant from the current folder, not from the config's."""

    __slots__ = ()

    def anchored(self) -> str:
        """Return it as a path from the root."""
        return str(Path.cwd() / self)


def parse_override(text: str, option: str = "") -> Override:
    """Return the override of ``key=value``, the value in YAML; ``option`` is what stands before it in messages.

    A path in the value is meant from the current folder.

    Raises:
        ConfigError: it has no key, or no ``=``, or the value is no YAML.
    """
    shown = f"{option} {text}" if option else text
    key, equals, written = text.partition("=")
    keys = tuple(key.strip().split("."))
    at = len(shown) - len(text)
    if not equals or not all(keys):
        raise ConfigError(
            f"{shown}: error: required KEY=VALUE, such as train.steps=100; for nothing, KEY=null",
        )
    try:
        value = yaml.value(written)
    except ConfigError as error:
        reason = str(error).splitlines()[0].partition(": error: ")[2]
        raise ConfigError(f"{shown}: error: {dotted(keys)}: {reason}") from None
    return Override(keys, _typed(value), shown, at, at + len(key) + 1)


def _typed(value: Any) -> Any:
    if isinstance(value, str):
        return Typed(value)
    if isinstance(value, list):
        return [_typed(part) for part in value]
    return {key: _typed(part) for key, part in value.items()} if isinstance(value, dict) else value


def as_overrides(overrides: Overrides | None) -> list[Override]:
    """Return overrides in one form.

    Raises:
        ConfigError: see ``parse_override``.
    """
    if isinstance(overrides, Mapping):
        return [
            Override(tuple(key.split(".")), value, f"{key}={value}", 0, len(key) + 1)
            for key, value in overrides.items()
        ]
    return [parse_override(one) if isinstance(one, str) else one for one in overrides or ()]


def in_full(override: Override, model: type[BaseModel]) -> tuple[Override, list[Problem]]:
    """Return an override with its key in full: sections may be left out where only one setting can be meant.

    ``lr`` and ``train.lr`` are ``train.optimizer.lr``. A key that cannot be told is left, for the check to report.
    """
    keys = override.path
    above = section_at(model, keys[:-1])
    if (above is not None and keys[-1] in above.model_fields) or _in_options(model, keys):
        return override, []
    paths = [path for path in settings(model) if path[-1] == keys[-1] and _subsequence(keys, path)]
    if len(paths) == 1:
        return replace(override, path=paths[0]), []
    if not paths:
        return override, []
    names = " or ".join(repr(dotted(path)) for path in sorted(paths, key=lambda p: _likeness(keys, p)))
    return override, [Problem(keys, f"stands for several settings: {names}; required one of them in full", at_key=True)]


def _in_options(model: type[BaseModel], keys: tuple[str, ...]) -> bool:
    """Return whether a key leads into a setting whose own keys the model does not know."""
    for size in range(1, len(keys)):
        section = section_at(model, keys[: size - 1])
        field = section.model_fields.get(keys[size - 1]) if section is not None else None
        if field is not None and section_at(model, keys[:size]) is None:
            return True
    return False


def _likeness(keys: tuple[str, ...], path: tuple[str, ...]) -> float:
    return -difflib.SequenceMatcher(None, keys, path).ratio()


def _subsequence(short: tuple[str, ...], long: tuple[str, ...]) -> bool:
    rest = iter(long)
    return all(part in rest for part in short)


def replaced(data: Mapping[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return the data with one value replaced; a section of the wrong kind stays, for the check to report."""
    first, *rest = keys
    if not rest:
        return {**data, first: value}
    inner = data.get(first)
    inner = {} if inner is None else inner
    return {**data, first: replaced(inner, tuple(rest), value)} if isinstance(inner, Mapping) else dict(data)


def without(data: Any, keys: tuple[str | int, ...]) -> Any:
    """Return the data without the value at a path; entries of lists stay, and their list goes."""
    first, *rest = keys
    if not isinstance(data, Mapping) or first not in data:
        return data
    inner = data[first]
    if rest and isinstance(inner, Mapping):
        return {**data, first: without(inner, tuple(rest))}
    return {key: value for key, value in data.items() if key != first}
