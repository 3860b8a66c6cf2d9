"""The JSON Schema of configs: what editors complete keys and show descriptions from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from tinyseq.train.config.registry import find_task, task_names
from tinyseq.train.config.run_config import RunConfig

#: The schema of the tasks that tinyseq brings along, as a file: beside the rooms, since configs name its place.
SCHEMA_FILE = Path(__file__).parents[1] / "config.schema.json"


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 7) of a config of any task that is registered.

    It knows what is said of single settings: keys, types, bounds, names. Contradictions between settings, and options
    of cells, optimisers and schedules, are found by ``tinyseq check``.
    """
    configs: dict[str, type[RunConfig]] = {name: find_task(name).Config for name in sorted(task_names())}
    mode: JsonSchemaMode = "validation"
    references, definitions = models_json_schema([(model, mode) for model in dict.fromkeys(configs.values())])
    sections = definitions.get("$defs", {})
    tasks = {name: _of_task(name, sections[_reference(references[model, mode])]) for name, model in configs.items()}
    for model in configs.values():
        sections.pop(_reference(references[model, mode]), None)
    cases = [
        {"if": {"properties": {"task": {"const": name}}}, "then": {"$ref": f"#/$defs/task {name}"}} for name in tasks
    ]
    whole: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "The config of a run of tinyseq",
        "type": "object",
        "required": ["task"],
        "properties": {"task": {"enum": list(tasks), "description": RunConfig.model_fields["task"].description}},
        "allOf": cases,
        "$defs": {**sections, **{f"task {name}": task for name, task in tasks.items()}},
    }
    cleaned: dict[str, Any] = _cleaned(whole)
    return cleaned


def _reference(schema: dict[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _of_task(name: str, section: dict[str, Any]) -> dict[str, Any]:
    return {**section, "properties": {**section["properties"], "task": {"const": name}}}


def _cleaned(value: Any, names: bool = False) -> Any:
    """Return the schema without what says nothing, keys in a fixed order; ``names``: the keys are those of configs."""
    if isinstance(value, list):
        return [_cleaned(part) for part in value]
    if not isinstance(value, dict):
        return value
    cleaned = {
        key: _cleaned(part, key in ("properties", "$defs"))
        for key, part in value.items()
        # Pydantic makes titles of names; which of these it adds depends on its version.
        if names or not ((key == "title" and "$schema" not in value) or (key, part) == ("additionalProperties", True))
    }
    if names:
        return cleaned
    if "$ref" in cleaned and len(cleaned) > 1:  # in draft 7 nothing else counts beside a $ref
        cleaned["allOf"] = [{"$ref": cleaned.pop("$ref")}]
    return dict(sorted(cleaned.items()))
