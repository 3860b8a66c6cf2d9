"""What code outside the package imports and calls by name: it stays where it is, whatever moves inside."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tinyseq.errors import DataError
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.registry import find_task

#: As ``module:name``.
ADDRESSES = [
    "tinyseq.data.conll:read_conll",
    "tinyseq.data.examples:read_texts",
    "tinyseq.data.measures:spans",
    "tinyseq.data.sentences:read_pairs",
    "tinyseq.data.series:read_series",
    "tinyseq.data.tables:read_table",
    "tinyseq.data.tokens:LEVELS",
    "tinyseq.data.tokens:find_level",
    "tinyseq.errors:DataError",
    "tinyseq.errors:TinyseqError",
    "tinyseq.train:gradflow",
    "tinyseq.train:load_config",
    "tinyseq.train.registry:find_task",
    "tinyseq.train.registry:register_cell",
    "tinyseq.train.registry:register_optimizer",
    "tinyseq.train.registry:register_task",
    "tinyseq.train.tasks:Measure",
    "tinyseq.train.tasks:StepResult",
    "tinyseq.train.tasks:Task",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_imported_from_outside_keeps_its_address(address: str) -> None:
    """Each in a process of its own: nothing else may have to be imported first."""
    module, _, name = address.partition(":")
    program = f"from {module} import {name}; import sys; print({name} is getattr(sys.modules[{module!r}], {name!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_prepared_task_tells_its_data() -> None:
    series = find_task("forecasting")(parse_config({"task": "forecasting"}))
    series.prepare()
    assert series.targets == ("sunspots",)
    assert [*series.ranges] == ["train", "valid", "test"]
    assert series.ranges["train"].stop <= series.ranges["test"].start
    assert series.baselines()["persistence"]["rmse"] > 0

    pairs = find_task("regression")(parse_config({"task": "regression", "data": {"source": "adding"}}))
    pairs.prepare()
    assert pairs.examples.train[0].input.shape[1] == 2

    tags = find_task("tagging")(parse_config({"task": "tagging"}))
    tags.prepare()
    assert tags.baselines()


def test_an_error_tells_its_parts() -> None:
    error = DataError("a ragged row", required="2 fields", got="1", fix="a comma")
    assert (error.what, error.required, error.got, error.fix) == ("a ragged row", "2 fields", "1", "a comma")
