"""The base of config sections, and the words of their errors."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from tinyseq.errors import did_you_mean
from tinyseq.train.yaml import Path_, Problem, kind


class Section(BaseModel):
    """A part of a config: unknown keys are refused, and text is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def one_of(known: Mapping[str, Any], what: str) -> AfterValidator:
    """Return the check that a value is a name in a table."""

    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"unknown {what} {value!r}; {did_you_mean(value, known)}")
        return value

    return AfterValidator(check)


def refuse(found: Iterable[Problem]) -> None:
    """Refuse a value, in a field's validator, for problems within it; their paths are relative to it."""
    problems = list(found)
    if problems:
        text = "; ".join(problem.message for problem in problems)
        raise PydanticCustomError("within", "{text}", {"text": text, "found": problems})


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Return what a validation found wrong, in this project's words."""
    return [problem for details in error.errors(include_url=False) for problem in _problems(details, model)]


def _problems(details: ErrorDetails, model: type[BaseModel]) -> Iterator[Problem]:
    path: Path_ = details["loc"]
    context: dict[str, Any] = details.get("ctx") or {}
    match details["type"]:
        case "within":
            for problem in context["found"]:
                yield replace(problem, path=(*path, *problem.path))
        case "extra_forbidden":
            fields = getattr(_section_at(model, path[:-1]), "model_fields", {})
            yield Problem(path, f"unknown key; {did_you_mean(str(path[-1]), fields)}", at_key=True)
        case "missing":
            yield Problem(path, "required, but not given", at_key=True)
        case _:
            yield Problem(path, _sentence(details, context))


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
        shown = repr(got) if isinstance(got, str | int | float | bool) else ""
        return f"required {_TYPES[name]}, got {kind(got)}{f' ({shown})' if shown else ''}"
    if name in _BOUNDS:
        bound, words = _BOUNDS[name]
        return f"required {words} {context[bound]}, got {got!r}"
    if name == "literal_error":
        choices = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return f"unknown value {got!r}; {did_you_mean(str(got), choices)}"
    if name in ("too_short", "too_long"):
        length = context.get("min_length", context.get("max_length"))
        return f"required {length} entries, got {context['actual_length']}"
    if name == "value_error":
        return str(context["error"])
    return f"{details['msg']}, got {kind(got)}"


def _section_at(model: type[BaseModel], path: Path_) -> type[BaseModel] | None:
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
        return next((found for part in typing.get_args(annotation) if (found := _model_in(part))), None)
    return None
