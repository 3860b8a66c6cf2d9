"""``tinyseq graph``: every view by its option, of configs and of runs."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tinyseq.cli import main

CONFIG = """\
task: language_model
data: {path: text.txt, split: [0.8, 0.1, 0.1]}
model: {hidden_size: 8, embedding_size: 4}
train: {steps: 2, batch_size: 4, bptt: {every: 8}, evaluate_every: 2, log_every: 1}
sample: {length: 5, prime: "the ", count: 1}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 30)
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def graph(*words: str) -> Any:
    result = CliRunner().invoke(main, ["graph", *words, "-o", "out.svg"])
    assert "Traceback" not in result.stderr
    return result


def picture(*words: str) -> str:
    result = graph(*words)
    assert (result.exit_code, result.stdout) == (0, "out.svg\n"), result.stderr
    text = Path("out.svg").read_text(encoding="utf-8")
    ET.fromstring(text)
    return text


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--steps", "2"], "t = 1<"),
        (["--steps", "3:6", "--level", "cell"], "t = 5<"),
        (["--steps", "50", "--level", "cell"], "47 steps"),
        (["--rolled"], "z⁻¹"),
        (["--level", "model"], "h, c"),
        (["--collapse", "recurrent"], "18 ops"),
        (["--gradients", "--level", "cell"], "the norm of the loss"),
        (["--backward", "--level", "cell"], "∂h₀"),
        (["--after", "pack"], "lanes packed"),
        (["--plan"], "loop t = 2 .. 0"),
        (["--values", "--steps", "2"], "value: "),
        (["--budget", "20", "--steps", "4"], "folded to cell level"),
    ],
)
def test_each_option_gives_its_view(folder: Path, words: list[str], shown: str) -> None:
    assert shown in picture("tiny.yaml", *words)


def test_a_window_ends_where_it_says(folder: Path) -> None:
    text = picture("tiny.yaml", "--steps", "3:6", "--level", "cell")
    assert "t = 3<" in text
    assert "t = 6<" not in text


def test_a_run_is_drawn_with_its_weights(folder: Path) -> None:
    assert CliRunner().invoke(main, ["run", "tiny.yaml"]).exit_code == 0
    fresh = picture("tiny.yaml", "--gradients", "--level", "cell")
    trained = picture("runs/tiny/0001", "--gradients", "--level", "cell")
    assert trained != fresh
    assert "the norm of the loss" in trained
    assert graph("text.txt").exit_code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "x"], "neither a number"),
        (["--steps", "0"], "at least one"),
        (["--steps", "6:3"], "holds no step"),
        (["--after", "pakc"], "did you mean 'pack'"),
        (["--collapse", "recurent"], "did you mean 'recurrent'"),
        (["--after", "pack", "--gradients"], "no values or gradients"),
        (["--backward", "--gradients"], "by itself"),
        (["--rolled", "--steps", "2:4"], "one step"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_to_do(folder: Path, words: list[str], said: str) -> None:
    result = graph("tiny.yaml", *words)
    assert result.exit_code in (1, 2)
    assert said in " ".join(result.stderr.split())
    assert not Path("out.svg").exists()
