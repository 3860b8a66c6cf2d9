"""Tables in classification and regression: which columns are read, and what a trained model reads of other files."""

from __future__ import annotations

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.errors import ConfigError, DataError
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.registry import find_task


def config(task="classification", **data):
    return {
        "task": task,
        "data": {"inputs": "vector", **data},
        "model": {"hidden_size": 4, "layers": [8]},
        "train": {"steps": 20, "batch_size": 10, "evaluate_every": 10},
    }


def run(folder, **data):
    return ts.load(ts.run(config(**data), output=folder / "runs", progress=SilentProgress()).directory)


def prepare(task="classification", **data):
    found = find_task(task)(parse_config(config(task, **data)))
    found.prepare()
    return found


def test_an_index_is_not_read(tmp_path):
    """Rows sorted by class: whoever reads the index of a DataFrame knows the class."""
    rng = np.random.default_rng(0)
    rows = "".join(f"{i},{rng.normal():.4f},{rng.normal():.4f},{'ab'[i >= 50]}\n" for i in range(100))
    (tmp_path / "t.csv").write_text(",x1,x2,label\n" + rows)
    task = prepare(path=str(tmp_path / "t.csv"))
    assert task.inputs.columns == ("x1", "x2")
    assert task.describe_data()["columns"] == ["x1", "x2"]
    assert task.examples.train[0].input.shape == (2,)
    (tmp_path / "t.csv").write_text("n,x1,x2,label\n" + rows)
    with pytest.raises(DataError, match=r"'n' counts the rows[\s\S]*data\.columns: \[\"x1\", \"x2\"\]"):
        prepare(path=str(tmp_path / "t.csv"))


def test_columns_are_found_by_name_wherever_they_stand(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 2)).round(4)
    path = tmp_path / "t.csv"
    path.write_text("a,b,label\n" + "".join(f"{a},{b},{'pq'[int(a > 0)]}\n" for a, b in values))
    model = run(tmp_path, path=str(path))
    (tmp_path / "other.csv").write_text("extra,b,a\n" + "".join(f"7,{b},{a}\n" for a, b in values))
    assert model.predict(tmp_path / "other.csv") == [
        {key: value for key, value in one.items() if key != "expected"} for one in model.predict(path)
    ]


def test_missing_numbers_are_the_mean_where_that_is_said(tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"{i % 5},{'?' if i % 4 == 0 else i % 3},{'pq'[i % 2]}" for i in range(60)]
    path.write_text("a,b,label\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"missing value[\s\S]*line 2, column 'b'"):
        prepare(path=str(path))
    task = prepare(path=str(path), missing="mean")
    known = np.array([example.input[1] for example in task.examples.train])
    assert task.inputs.scaler.mean[1] == pytest.approx(np.nanmean(known))
    assert task.inputs.encode(np.array([1.0, np.nan]))[1] == 0.0


def test_rows_as_sequences(tmp_path):
    path = tmp_path / "Coffee_TRAIN.tsv"
    path.write_text("".join(f"{1 + i % 2}\t" + "\t".join(str((i + j) % 5) for j in range(6)) + "\n" for i in range(40)))
    said = {"path": str(path), "inputs": "sequence", "target": "1", "header": False}
    with pytest.raises(DataError, match=r"data\.layout: wide"):
        prepare(**said)
    model = run(tmp_path, layout="wide", **said)
    assert {one["label"] for one in model.predict(path)} <= {"1", "2"}
    (one,) = model.predict([np.arange(9.0)])
    assert one["label"] in ("1", "2")


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("adding", {"count": -1}, "options.count: required at least 10, got -1"),
        ("adding", {"length": "1:30"}, "options.length: required a whole number, got text"),
        ("adding", {"length": 2.5}, "options.length: required a whole number, got a number"),
        ("adding", {"count": True}, "options.count: required a whole number, got true or false"),
        ("adding", {"count": 10**30}, "options.count: required at most 10,000,000"),
        ("adding", {"lenght": 3}, "did you mean 'length'"),
        ("temporal_order", {"shortest": 50}, "options: temporal_order: lengths"),
        ("temporal_order", {"longest": None}, "options.longest: required a whole number, got nothing"),
    ],
)
def test_options_of_sources_are_checked(source, options, words):
    task = "regression" if source == "adding" else "classification"
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        parse_config({"task": task, "data": {"source": source, "options": options}})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tau": -1}, "required at least 0.1"),
        ({"discard": 1.5}, "required a whole number"),
        ({"squash": 1}, "required true or false"),
    ],
)
def test_options_of_systems_are_checked(options, words):
    with pytest.raises(ConfigError, match=words):
        parse_config({"task": "reservoir", "data": {"options": options}})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"layout": "wide"}, r"data\.layout: says how sequences stand"),
        ({"inputs": "sequence", "layout": "wide", "time": "t"}, r"data\.time: in a wide file"),
        ({"inputs": "sequence", "time": "label"}, r"'label' is the column of the time"),
    ],
)
def test_what_is_said_of_a_file_is_checked(data, words):
    with pytest.raises(ConfigError, match=words):
        parse_config(config(path="x.csv", **data))
