"""The base of config sections, and the words of their errors."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from tinyseq.errors import did_you_mean
from tinyseq.registry import Registry, unknown
from tinyseq.train.config.source import Path_, Problem, dotted, kind

#: Names that a value may be, or a function that returns them where they are not known yet.
Names = Iterable[str] | Callable[[], Iterable[str]]


class Section(BaseModel):
    """A part of a config: unknown keys are refused, and text is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)

    #: Keys that people look for here, and why there are none of that name.
    refused: ClassVar[Mapping[str, str]] = {}

    def contradictions(self) -> Iterator[Problem]:
        """Yield what is wrong between keys of the section, each right by itself; paths are relative to it."""
        yield from ()

    @model_validator(mode="after")
    def _agree(self) -> Self:
        problems = list(self.contradictions())
        if problems:
            text = "; ".join(problem.message for problem in problems)
            raise PydanticCustomError("within", "{text}", {"text": text, "found": problems})
        return self


@dataclass(frozen=True)
class OneOf:
    """The check that a value is one of the names of a table; ``what`` they name, if it is no ``Registry``."""

    known: Names
    what: str = ""

    def names(self) -> list[str]:
        return sorted(self.table())

    def table(self) -> Iterable[str]:
        return self.known() if callable(self.known) else self.known

    def check(self, value: str) -> str:
        table = self.table()
        if value not in table:
            raise ValueError(unknown(table.what if isinstance(table, Registry) else self.what, value, table))
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "enum": self.names()}


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return what a validation found wrong, in this project's words."""
    return [problem for details in error.errors(include_url=False) for problem in _problems(details, model)]


def _problems(details: ErrorDetails, model: type[BaseModel]) -> Iterator[Problem]:
    path: Path_ = details["loc"]
    context: dict[str, Any] = details.get("ctx") or {}
    match details["type"]:
        case "within":
            for problem in context["found"]:
                yield problem.under(path)
        case "extra_forbidden":
            yield Problem(path, _unknown(path, model), at_key=True)
        case "missing":
            yield Problem(path, "required, but not given", at_key=True)
        case _:
            yield Problem(path, _sentence(details, context))


def _unknown(path: Path_, model: type[BaseModel]) -> str:
    """Return what to say of an unknown key: why there is none, where it belongs, or what it may have meant."""
    section, name = section_at(model, path[:-1]), str(path[-1])
    if section is not None and issubclass(section, Section) and name in section.refused:
        return f"unknown key: {section.refused[name]}"
    fields = section.model_fields if section is not None else {}
    elsewhere = [dotted(other) for other in settings(model) if other[-1] == name]
    if 0 < len(elsewhere) <= 3 and not difflib.get_close_matches(name, fields, n=1, cutoff=0.8):
        return f"unknown key; did you mean {' or '.join(map(repr, elsewhere))}?"
    return f"unknown key; {did_you_mean(name, fields)}"


_TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a section of keys and values",
    "model_type": "a section of keys and values",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("gt", "over"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "under"),
    "less_than_equal": ("le", "at most"),
}


def _sentence(details: ErrorDetails, context: dict[str, Any]) -> str:
    name, got = details["type"], details["input"]
    if name in _TYPES:
        shown = _short(got) if isinstance(got, str | int | float | bool) else ""
        return f"required {_TYPES[name]}, got {kind(got)}{f' ({shown})' if shown else ''}"
    if name in _BOUNDS:
        bound, words = _BOUNDS[name]
        return f"required {words} {context[bound]}, got {_short(got)}"
    if name == "literal_error":
        choices = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return f"unknown value {_short(got)}; {did_you_mean(str(got), choices)}"
    if name in ("too_short", "too_long"):
        length = context.get("min_length", context.get("max_length"))
        return f"required {length} entries, got {context['actual_length']}"
    if name in ("string_too_short", "string_too_long"):
        least, most = context.get("min_length"), context.get("max_length")
        bound = f"at least {least}" if most is None else f"at most {most}"
        return f"required {bound} character{'' if bound.endswith(' 1') else 's'}, got {len(str(got))}"
    if name == "string_pattern_mismatch":
        return f"required text of the form {context['pattern']}, got {_short(got)}"
    if name == "value_error":
        return str(context["error"])
    return f"{details['msg']}, got {kind(got)}"


def _short(value: Any) -> str:
    """Return a value as it is shown; a number of a thousand digits is not."""
    if isinstance(value, int) and abs(value) >= 10**40:
        return f"a number over {'-' if value < 0 else ''}1e40"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def settings(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every setting, and every section, of a config model."""
    for name, field in model.model_fields.items():
        yield (*path, name)
        inner = _model_in(field.annotation)
        if inner is not None:
            yield from settings(inner, (*path, name))


def section_at(model: type[BaseModel], path: Path_) -> type[BaseModel] | None:
    """Return the section that a path leads to."""
    here: type[BaseModel] | None = model
    for part in path:
        if here is None or part not in here.model_fields:
            return None
        here = _model_in(here.model_fields[str(part)].annotation)
    return here


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return next((model for part in typing.get_args(annotation) if (model := _model_in(part))), None)
    return None
