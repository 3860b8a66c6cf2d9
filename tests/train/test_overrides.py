"""Values that replace those of a file: how they are read, which setting they mean, and where their errors point."""

from __future__ import annotations

from pathlib import Path

import pytest

import tinyseq as ts
from tinyseq.errors import ConfigError
from tinyseq.train.config.overrides import parse_override
from tinyseq.train.config.run_config import parse_config

LM = {"task": "language_model"}


def lines(overrides, config=LM) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(config, overrides)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("train.steps=7", lambda c: c.train.steps == 7),
        ("train.optimizer.lr=1e-2", lambda c: c.train.optimizer.lr == 0.01),
        ("train.lr=0.01", lambda c: c.train.optimizer.lr == 0.01),
        ("lr=0.01", lambda c: c.train.optimizer.lr == 0.01),
        ("hidden_size=3", lambda c: c.model.hidden_size == 3),
        ("bptt.every=5", lambda c: c.train.bptt.every == 5),
        ("train.clip_norm=null", lambda c: c.train.clip_norm is None),
        ("train.clip_norm=", lambda c: c.train.clip_norm is None),
        ("data.split=[0.8, 0.1, 0.1]", lambda c: c.data.split == [0.8, 0.1, 0.1]),
        ("model.options={forget_bias: 2}", lambda c: c.model.options == {"forget_bias": 2}),
        ("model.options.forget_bias=2.0", lambda c: c.model.options == {"forget_bias": 2.0}),
        ("sample.prime=a=b", lambda c: c.sample.prime == "a=b"),
        ("model={cell: gru}", lambda c: c.model.cell == "gru"),
        ("name=x", lambda c: c.name == "x"),
    ],
)
def test_an_override_is_yaml_and_may_leave_sections_out(text, read):
    assert read(parse_config(LM, [text]))


def test_the_last_one_holds_and_the_task_may_change():
    assert parse_config(LM, ["seed=1", "seed=2"]).seed == 2
    assert parse_config(LM, ["task=tagging", "characters=0"]).model.characters == 0


def test_errors_point_into_the_option():
    found = lines([parse_override(t, "--set") for t in ("train.steps=0", "model.cel=gru", "trian.steps=3", "seed=x")])
    assert found == [
        "--set train.steps=0: error: train.steps: required at least 1, got 0",
        "    --set train.steps=0",
        "                      ^",
        "--set model.cel=gru: error: model.cel: unknown key; did you mean 'cell'?",
        "    --set model.cel=gru",
        "          ^",
        "--set trian.steps=3: error: trian: unknown key; did you mean 'train'?",
        "    --set trian.steps=3",
        "          ^",
        "--set seed=x: error: seed: required a whole number, got text ('x')",
        "    --set seed=x",
        "               ^",
    ]


def test_file_and_option_are_told_together(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("task: language_model\nseed: x\ntrain: {bptt: {back: 8}}\n")
    with pytest.raises(ConfigError) as caught:
        ts.load_config(path, [parse_override("train.bptt.every=128", "--set"), "data.level=chr"])
    heads = [line for line in str(caught.value).splitlines() if "error" in line]
    assert (
        heads[0]
        == "data.level=chr: error: data.level: unknown level 'chr'; did you mean 'char'? (known: char, tokens, word)"
    )
    assert heads[1] == f"{path}:2:7: error: seed: required a whole number, got text ('x')"
    assert heads[2].startswith(f"{path}:3:22: error: train.bptt.back: required at least `every` (128), got 8")


def test_an_option_that_mends_the_file_makes_it_right(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("task: language_model\nseed: x\n")
    assert ts.load_config(path, ["seed=3"]).seed == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train.steps", "required KEY=VALUE"),
        ("=3", "required KEY=VALUE"),
        ("train..steps=3", "required KEY=VALUE"),
        ("seed=[1", "seed: not YAML"),
        ("seed=!!python/object:os.system x", "seed: the tag"),
        ("seed={a: 1, a: 2}", "for the second time"),
        ("seed=" + "[" * 100, "nested deeper"),
    ],
)
def test_what_is_no_override(text, words):
    found = lines([text])
    assert ": error: " in found[0]
    assert words in found[0]


def test_an_unclear_key_lists_what_it_may_mean():
    found = lines(["options={a: 1}"])
    assert "stands for several settings" in found[0]
    assert "'model.options'" in found[0]
    assert "'train.optimizer.options'" in found[0]
    assert len(found) == 3, "and nothing else is told"


def test_paths_of_options_are_meant_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "here").mkdir()
    path = tmp_path / "configs" / "c.yaml"
    path.write_text("task: language_model\ndata: {path: a.txt}\n")
    monkeypatch.chdir(tmp_path / "here")
    assert ts.load_config(path).data.path == str(tmp_path / "configs" / "a.txt")
    assert ts.load_config(path, ["data.path=b.txt"]).data.path == str(tmp_path / "here" / "b.txt")
    assert ts.load_config(path, ["data={path: b.txt}"]).data.path == str(tmp_path / "here" / "b.txt")
    Path("mine.py").write_text("from tinyseq import nn\nclass Mine(nn.RNNCell): pass\n")
    assert ts.load_config(path, ["cell=mine.py:Mine"]).model.cell == f"{tmp_path / 'here' / 'mine.py'}:Mine"


def test_run_takes_overrides(tmp_path):
    (tmp_path / "t.txt").write_text("abc " * 400)
    config = {**LM, "data": {"path": str(tmp_path / "t.txt")}, "output": str(tmp_path)}
    result = ts.run(config, overrides=["train.steps=1", "batch_size=2", "bptt.every=8", "hidden_size=4"], seed=5)
    assert result.result["steps"] == 1
    assert "seed: 5" in (result.directory / "config.resolved.yaml").read_text()
