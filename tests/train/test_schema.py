"""The JSON Schema and the starters: judged by the package jsonschema, and by training."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

import tinyseq as ts
from tinyseq import backends
from tinyseq.cli import main
from tinyseq.errors import ConfigError
from tinyseq.train.config import json_schema, yaml
from tinyseq.train.config.json_schema import SCHEMA_FILE, schema
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.config.templates import commented, starter, starters
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.running import prepared

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("*.yaml"))
WRONG = [
    {},
    {"task": "langage_model"},
    {"task": "language_model", "sead": 1},
    {"task": "language_model", "seed": -1},
    {"task": "language_model", "seed": "1"},
    {"task": "language_model", "train": {"steps": 0}},
    {"task": "language_model", "train": {"optimizer": {"name": "adma"}}},
    {"task": "language_model", "train": {"schedule": {"name": "steps"}}},
    {"task": "language_model", "model": {"cell": "lsmt"}},
    {"task": "language_model", "data": {"level": "chr"}},
    {"task": "language_model", "data": {"split": [0.9, 0.1]}},
    {"task": "language_model", "name": "a/b"},
    {"task": "seq2seq", "model": {"architecture": "trnasformer"}},
    {"task": "seq2seq", "sample": {"length": 3}},
    {"task": "classification", "model": {"pooling": "mena"}},
    {"task": "reservoir", "data": {"system": "lorentz"}},
    {"task": "forecasting", "data": {"missing": "drop"}},
]


def validator() -> Any:
    found = schema()
    jsonschema.Draft7Validator.check_schema(found)
    return jsonschema.Draft7Validator(found)


def test_the_file_is_current(monkeypatch):
    for name in {*backends.BACKENDS} - {"numpy", "llvm", "cupy"}:  # other tests' own
        monkeypatch.delitem(backends.BACKENDS, name)
    written = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    assert written == schema(), "tinyseq schema > tinyseq/train/config.schema.json"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_fit_the_schema_and_name_it(path):
    validator().validate(yaml.read(path).data)
    first, *_ = path.read_text(encoding="utf-8").splitlines()
    assert (path.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve() == SCHEMA_FILE.resolve()


@pytest.mark.parametrize("config", WRONG, ids=lambda config: json.dumps(config)[:60])
def test_what_is_refused_does_not_fit_the_schema(config):
    assert not validator().is_valid(config)
    with pytest.raises(ConfigError):
        parse_config(config)


def test_a_cell_of_ones_own_fits():
    assert validator().is_valid({"task": "language_model", "model": {"cell": "mine.py:Mine"}})


def test_editors_see_a_description_of_every_key():
    found = schema()

    def look(section: dict[str, Any], where: str) -> None:
        for key, value in section.get("properties", {}).items():
            assert {"const", "$ref", "description"} & value.keys(), f"{where}.{key}"

    for name, section in found["$defs"].items():
        look(section, name)


def small(text: str) -> dict[str, Any]:
    """The starter's config, its data and batches so small that two steps take no time."""
    data = yaml.parse(text).data
    data["train"]["batch_size"] = 2
    data["train"]["bptt"]["every"] = 8
    if "count" in data["data"]:
        data["data"]["count"] = 60
    return data


@pytest.mark.parametrize("kind", starters())
def test_a_starter_is_valid_and_trains(kind):
    text = starter(kind)
    config: Any = parse_config(small(text))
    with prepared(config) as (task, model), np.errstate(all="ignore"):
        before = [p.numpy().copy() for p in model.parameters()]
        if task.one_pass:
            task.fit(model)
        else:
            train_step = TrainStep(task, model, config.train, SilentProgress(), compiled=True)
            batches, state = task.batches(), None
            for _ in range(2):
                result = train_step(next(batches), state)
                assert result.nonfinite is None
                state = result.state
            assert train_step.compiled
        after = [p.numpy() for p in model.parameters()]
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("kind", starters())
def test_a_starter_explains_every_setting_and_fits_the_schema(kind):
    text = starter(kind)
    validator().validate(yaml.parse(text).data)
    assert str(SCHEMA_FILE.parent) not in text, "a path of this machine means nothing on another"
    rows = [line for line in text.splitlines() if line.strip()]
    assert all(len(line) <= 120 for line in rows)
    assert all("#" in line or before.lstrip().startswith("#") for before, line in itertools.pairwise(rows))
    assert SCHEMA_FILE.is_file()


def marked(text: str) -> dict[tuple[str, ...], Any]:
    """The settings whose comments begin with a default, by their keys, and that default."""
    found: dict[tuple[str, ...], Any] = {}
    keys: list[str] = []
    above = ""
    for line in text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        if not line.strip() or line.lstrip().startswith("#"):
            above = line
            continue
        keys = [*keys[:depth], line.split(":")[0].strip()]
        comment = line.partition("  #")[2] or above.partition("#")[2]
        if comment.startswith(" Default "):
            value = comment.removeprefix(" Default ").partition(". ")[0]
            found[tuple(keys)] = yaml.parse(f"value: {value}").data["value"]
        above = ""
    return found


@pytest.mark.parametrize("kind", starters())
def test_a_starter_says_what_becomes_of_settings_that_are_left_out(kind):
    """Those that it marks alone give the same run, and without one of them there is the default that it tells."""
    text = starter(kind)
    data = yaml.parse(text).data
    told = marked(text)

    def only(settings: Iterable[tuple[str, ...]]) -> Any:
        made: dict[str, Any] = {"task": data["task"]}
        for keys in settings:
            value, place = data, made
            for key in keys[:-1]:
                value, place = value[key], place.setdefault(key, {})
            place[keys[-1]] = value[keys[-1]]
        return parse_config(made)

    assert only(told) == parse_config(data)
    for keys, usual in told.items():
        value: Any = only([]).model_dump(mode="json")
        for key in keys:
            value = value[key]
        assert value == usual, keys


def test_every_task_and_every_cell_has_a_starter():
    from tinyseq.train.config.registry import cell_names, task_names

    known = starters()
    assert {one.task for one in known.values()} == set(task_names())
    assert set(cell_names()) <= set(known)
    with pytest.raises(ConfigError, match="did you mean 'tagging'"):
        starter("taging")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_resolved_configs_are_valid_and_the_same(path):
    config = ts.load_config(path)
    for text in (yaml.write(config.model_dump(mode="json")), commented(config)):
        assert parse_config(yaml.parse(text).data) == config


def test_the_command_prints_what_is_registered_and_not_a_file(monkeypatch, tmp_path):
    """A shell has emptied the file already when the command is to write it anew."""
    monkeypatch.setattr(json_schema, "SCHEMA_FILE", tmp_path / "empty.json")
    (tmp_path / "empty.json").touch()
    printed = CliRunner().invoke(main, ["schema"])
    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == schema()


@pytest.mark.parametrize(
    ("task", "source", "fitting"), [("regression", "digits", "adding"), ("classification", "adding", "digits")]
)
def test_a_source_of_the_other_kind_of_targets_is_a_mistake_in_the_config(task, source, fitting):
    with pytest.raises(ConfigError, match=rf"data\.source: it has a .* one of: .*{fitting}"):
        parse_config({"task": task, "data": {"source": source}})
