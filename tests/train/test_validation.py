"""The look at the validation part: from plans where training is, to the same metrics."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

import tinyseq as ts
from support.smallruns import TEXT
from tinyseq import compiler, nn
from tinyseq.modes import is_recording
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.validation import Validator
from tinyseq.train.running import prepared

SMALL = {"cell": "gru", "hidden_size": 5}
TASKS = {
    "language_model": {"data": {}, "model": {**SMALL, "dropout": 0.3}},
    "classification": {
        "data": {"source": "temporal_order", "options": {"count": 60, "shortest": 10, "longest": 14}},
        "model": SMALL,
    },
    "forecasting": {"data": {"window": 12}, "model": SMALL},
    "tagging": {"data": {"count": 60}, "model": {**SMALL, "dropout": 0.3}},
    "seq2seq": {
        "data": {"generator": "reversal", "count": 60, "level": "word"},
        "decode": {"max_length": 6},
        "model": {**SMALL, "embedding_size": 4},
    },
}


@pytest.fixture
def calls(monkeypatch):
    """What calls of compiled functions are made, as how many plans there are after each."""
    found = []
    real = compiler.CompiledFunction.__call__

    def call(function, *args, **kwargs):
        assert not is_recording()
        result = real(function, *args, **kwargs)
        found.append(sum(map(len, function.entries.values())))
        return result

    monkeypatch.setattr(compiler.CompiledFunction, "__call__", call)
    return found


def validator_of(task, model, progress=None):
    return Validator(task, model, task.config.train, progress or SilentProgress())


def config_of(name, tmp_path):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    config = {**TASKS[name], "task": name, "dtype": "float64", "backend": "numpy"}
    if name == "language_model":
        config = {**config, "data": {"path": str(tmp_path / "text.txt")}}
    train = {"batch_size": 8, "bptt": {"every": 7}, "evaluate_every": 5} if name == "language_model" else {
        "batch_size": 8, "evaluate_every": 5,
    }  # fmt: skip
    return parse_config({**config, "train": train})


@pytest.mark.parametrize("name", TASKS)
def test_compiled_and_eager_metrics_agree(name, tmp_path, calls):
    with prepared(config_of(name, tmp_path)) as (task, model):
        validate = validator_of(task, model)
        eager = validate(5, compiled=True)
        assert calls == []
        compiled = validate(10, compiled=True)
        assert calls
        assert model.training
        assert compiled.keys() == eager.keys()
        for key, value in eager.items():
            np.testing.assert_allclose(compiled[key], value, rtol=1e-10, err_msg=key)


def test_weights_are_those_of_now(tmp_path, calls):
    with prepared(config_of("language_model", tmp_path)) as (task, model):
        validate = validator_of(task, model)
        first = validate(10, compiled=True)
        for p in model.parameters():
            p.assign(p.detach() * 0.5)
        second = validate(15, compiled=True)
        assert second["loss"] != first["loss"]
        np.testing.assert_allclose(second["loss"], validate(15, compiled=False)["loss"], rtol=1e-10)
        assert set(calls) == {1}, "a text's windows are of one shape"


def test_weights_of_a_look_are_not_kept_until_the_next(tmp_path, calls):
    with prepared(config_of("language_model", tmp_path)) as (task, model):
        validate = validator_of(task, model)
        validate(10, compiled=True)
        assert validate.planned
        assert calls
        values = [weakref.ref(p.value) for p in model.parameters()]
        for p in model.parameters():
            p.assign(p.detach() * 0.5)
        assert not any(value() is not None for value in values)


def test_the_first_look_and_eager_training_have_no_plans(tmp_path, calls):
    """And which look it is follows from the step, also of the last one, which may come early."""
    with prepared(config_of("classification", tmp_path)) as (task, model):
        validate = validator_of(task, model)
        for step, compiled in ((3, True), (5, True), (10, False), (99, False)):
            validate(step, compiled=compiled)
        assert calls == []
        validate(6, compiled=True)
        assert calls


def test_a_model_that_cannot_be_compiled_is_judged_eagerly_and_that_is_said_once(tmp_path, capsys, monkeypatch):
    with prepared(config_of("classification", tmp_path)) as (task, model):
        validate = validator_of(task, model)
        expected = validate(5, compiled=True)
        real = nn.GRUCell.step

        def peeking(cell, x, h):
            if not cell.training and float(ts.ones(1).sum().item() + x.detach().sum().item()) > 1e9:
                raise AssertionError
            return real(cell, x, h)

        monkeypatch.setattr(nn.GRUCell, "step", peeking)
        assert validate(10, compiled=True) == expected
        assert validate(15, compiled=True) == expected
    assert capsys.readouterr().err.count("validation is not compiled, runs eagerly") == 1


def test_where_there_is_no_memory_for_plans_it_runs_eagerly(tmp_path, capsys, monkeypatch):
    def full(function, *args, **kwargs):
        raise MemoryError

    with prepared(config_of("classification", tmp_path)) as (task, model):
        validate = validator_of(task, model)
        expected = validate(5, compiled=True)
        monkeypatch.setattr(compiler.CompiledFunction, "__call__", full)
        assert validate(10, compiled=True) == expected
    assert "validation is not compiled, runs eagerly: no memory for its plans" in capsys.readouterr().err
