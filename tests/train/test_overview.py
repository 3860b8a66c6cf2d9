"""What a run says before its first step, and what it remarks of its result: in words, with what to try."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import tinyseq as ts
from tinyseq.cli import main
from tinyseq.train.config.registry import find_task, task_names
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.tasks.learning import Learning
from tinyseq.train.tasks.measure import Measure
from tinyseq.train.tasks.overview import (
    Overview,
    amounts,
    behind,
    lines,
    mostly_unknown,
    never_predicted,
    odd_labels,
    some,
)

SMALL: dict[str, dict[str, Any]] = {
    "captioning": {"data": {"count": 40}},
    "regression": {"data": {"source": "adding", "options": {"count": 40}}},
    "reservoir": {"model": {"hidden_size": 20}, "data": {"train": 600, "valid": 100, "test": 100}},
    "seq2seq": {"data": {"count": 40}},
    "tagging": {"data": {"count": 40}},
}
ACCURACY, ERROR = Measure("accuracy", "accuracy", False, "a share"), Measure("rmse", "root mean squared error")
TRAIN = {"steps": 150, "batch_size": 16, "evaluate_every": 150, "optimizer": {"lr": 0.01}}


class Recorder(SilentProgress):
    """What a run said, in order: ("info", text), ("note", text), ("start", "")."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str]] = []

    def start(self, steps: int, done: int = 0) -> None:
        self.said.append(("start", ""))

    def info(self, message: str) -> None:
        self.said.append(("info", message))

    def note(self, message: str) -> None:
        self.said.append(("note", message))

    def before(self, kind: str) -> list[str]:
        return [text for said, text in self.said[: self.said.index(("start", ""))] if said == kind]


def prepared(task: str, **sections: Any) -> Any:
    made = find_task(task)(parse_config({"task": task, **sections}))
    made.prepare()
    return made


def run(folder: Path, task: str, progress: Any = None, **sections: Any) -> Any:
    config = {"task": task, "output": str(folder / "runs"), **sections}
    return ts.run(config, progress=progress or Recorder())


def vectors(path: Path, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """A file of features and, last, their class."""
    head = [*(f"x{i}" for i in range(1, len(rows[0]))), "label"]
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in [head, *rows]))
    return {"path": str(path), "inputs": "vector"}


def noise(path: Path) -> dict[str, Any]:
    """Twenty features that tell nothing of the class, which is mostly a: much to learn by heart."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 20)).round(4).tolist()
    return vectors(path, [(*row, "a" if i % 4 else "b") for i, row in enumerate(features)])


# Before the first step.


@pytest.mark.parametrize("name", task_names())
def test_every_task_says_what_is_read_predicted_and_judged_by(name: str) -> None:
    task = prepared(name, **SMALL.get(name, {}))
    overview, baselines = task.overview(), task.baselines()
    told = overview.told(task.measure, baselines, task.compared)
    assert list(told) == ["reads", "predicts", "judged by"]
    assert all(getattr(overview, key) for key in ("read", "amount", "predicts"))
    assert task.measure.meaning in told["judged by"]
    sizes = task.describe_data()
    assert all(f"{sizes[part]:,}" in overview.amount for part in ("train", "valid", "test"))
    for baseline, scores in baselines.items():
        assert f"{baseline} " in told["judged by"], "each of them is to be beaten"
        assert task.compared.key in scores
    assert not any("\n" in line for line in lines(told))


def test_four_lines_stand_before_the_first_step(tmp_path: Path) -> None:
    recorder = Recorder()
    result = run(tmp_path, "classification", recorder, data=noise(tmp_path / "a.csv"), train={"steps": 2})
    said = recorder.before("info")[-4:]
    assert said == lines(result.result["overview"])
    assert [line.split("  ")[0] for line in said] == ["reads", "predicts", "judged by", "results"]
    assert said[0].endswith(
        "a.csv, columns x1, x2, x3, x4, x5, x6 and 14 more as vector, 'label' as label; "
        "240 examples to learn from, 30 to choose by, 30 to test"
    )
    assert said[1].endswith("one of 2 classes (a, b), from a vector of 20 numbers")
    share = result.baselines["majority class"]["accuracy"]
    assert said[2].endswith(
        f"accuracy, the share whose class is right (higher is better); to beat: majority class {share:.4g}"
    )
    assert said[3].endswith(str(result.directory))
    written = json.loads((result.directory / "result.json").read_text())
    assert written["overview"] == result.result["overview"]
    assert written["remarks"] == list(result.remarks)


def test_baselines_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, count = find_task("classification"), []
    real = kind.baselines
    monkeypatch.setattr(kind, "baselines", lambda task: count.append(1) or real(task))
    run(tmp_path, "classification", data=noise(tmp_path / "a.csv"), train={"steps": 2})
    assert len(count) == 1


@pytest.mark.parametrize("broken", ["overview", "remarks"])
def test_what_is_said_fails_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def fails(*arguments: Any) -> Any:
        raise KeyError("a task of one's own")

    monkeypatch.setattr(find_task("classification"), broken, fails)
    recorder = Recorder()
    result = run(tmp_path, "classification", recorder, data=noise(tmp_path / "a.csv"), train={"steps": 2})
    assert result.status == "done"
    assert result.metrics["accuracy"] > 0
    assert any(text.startswith(f"warning: {broken}") for kind, text in recorder.said if kind == "note")


def test_a_task_of_ones_own_says_what_it_describes() -> None:
    class Own(find_task("regression")):
        overview = Learning.overview

    task = Own(parse_config({"task": "regression", **SMALL["regression"]}))
    task.prepare()
    told = task.overview().told(ERROR, {}, ERROR)
    assert "train 32" in told["reads"]
    assert told["judged by"] == "rmse, root mean squared error (lower is better)"
    assert "predicts" not in told


def test_the_command_line_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    noise(tmp_path / "a.csv")
    train = json.dumps({**TRAIN, "steps": 300, "evaluate_every": 300})
    Path("mine.yaml").write_text(
        f"task: classification\ndata: {{path: a.csv, inputs: vector}}\nmodel: {{layers: [64]}}\ntrain: {train}\n"
    )
    checked = CliRunner().invoke(main, ["check", "mine.yaml"])
    assert checked.exit_code == 0, checked.output
    as_json = json.loads(CliRunner().invoke(main, ["check", "mine.yaml", "--json"]).stdout)["overview"]
    shown = CliRunner().invoke(main, ["run", "mine.yaml"])
    assert shown.exit_code == 0
    for key, text in as_json.items():
        assert any(line.startswith(key) and line.endswith(text) for line in shown.stderr.splitlines())
        assert any(line.strip().startswith(key) and line.endswith(text) for line in checked.stdout.splitlines())
    assert f"a new directory in {Path('runs', 'mine')}" in checked.stdout
    assert "remark: the model is behind the baseline 'majority class'" in shown.stdout
    quiet = CliRunner().invoke(main, ["run", "mine.yaml", "--quiet"])
    assert (quiet.stderr, quiet.stdout.strip()) == ("", str(Path("runs", "mine", "0002")))


# After the last.


def test_noise_is_behind_the_baseline(tmp_path: Path) -> None:
    train = {**TRAIN, "steps": 300, "evaluate_every": 300}
    result = run(tmp_path, "classification", data=noise(tmp_path / "a.csv"), model={"layers": [64]}, train=train)
    assert result.metrics["accuracy"] < result.baselines["majority class"]["accuracy"]
    (remark,) = result.remarks
    assert remark.startswith(
        f"the model is behind the baseline 'majority class': accuracy {result.metrics['accuracy']:.4g} against "
        f"{result.baselines['majority class']['accuracy']:.4g}; try "
    )


def test_a_model_that_learns_is_remarked_on_nothing(tmp_path: Path) -> None:
    rows = [(str(i % 2), "1" if i % 3 else "0", "odd" if i % 2 else "even") for i in range(120)]
    result = run(tmp_path, "classification", data=vectors(tmp_path / "a.csv", rows), train=TRAIN)
    assert result.metrics["accuracy"] == 1.0
    assert result.remarks == ()
    assert "never_predicted" not in result.metrics


def test_a_class_that_is_never_predicted_is_named(tmp_path: Path) -> None:
    """A tenth of what looks like a is c: the likeliest answer never is c."""
    rows = [("1", "0", "b") if i % 2 else ("0", "1", "c" if i % 20 == 0 else "a") for i in range(400)]
    data = {**vectors(tmp_path / "a.csv", rows), "split_by": "class"}
    result = run(tmp_path, "classification", data=data, train=TRAIN)
    assert result.metrics["never_predicted"] == 1
    (remark,) = result.remarks
    assert remark.startswith("classes that are never predicted: c (2 in the test part, 16 in training); try ")
    confusion = (result.directory / "confusion.tsv").read_text().splitlines()
    assert [row.split("\t")[3] for row in confusion] == ["c", "0", "0", "0"], "what the remark says, counted apart"


def test_a_tag_that_is_never_predicted_is_named(tmp_path: Path) -> None:
    sentences = [f"the\tDET\nrun\t{'VERB' if i % 10 == 0 else 'NOUN'}\nends\tADV\n\n" for i in range(200)]
    (tmp_path / "a.txt").write_text("".join(sentences))
    data = {"path": str(tmp_path / "a.txt"), "split_by": "class"}
    model = {"hidden_size": 8, "embedding_size": 8, "characters": 4}
    result = run(tmp_path, "tagging", data=data, model=model, train={**TRAIN, "steps": 60, "evaluate_every": 60})
    assert result.metrics["never_predicted"] == 1
    (remark,) = [remark for remark in result.remarks if "never predicted" in remark]
    assert remark.startswith("tags that are never predicted: VERB (2 in the test part, 16 in training); try ")
    rows = [json.loads(line) for line in (result.directory / "predictions.jsonl").read_text().splitlines()]
    assert "VERB" in {tag for row in rows for tag in row["expected"]}
    assert "VERB" not in {tag for row in rows for tag in row["tags"]}


def rare_words(count: int, seed: int = 0) -> list[str]:
    """Words of which most come once."""
    rng = np.random.default_rng(seed)
    return ["the" if i % 3 == 0 else "".join(rng.choice(list("abcdefgh"), 8)) for i in range(count)]


def test_a_vocabulary_that_is_mostly_unknown_is_told_before_and_after(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" ".join(rare_words(3000)))
    recorder = Recorder()
    result = run(
        tmp_path,
        "language_model",
        recorder,
        data={"path": str(tmp_path / "a.txt"), "level": "word", "min_count": 2},
        model={"hidden_size": 8, "embedding_size": 4},
        train={"steps": 3, "batch_size": 4, "bptt": {"every": 8}},
        sample={"count": 1, "length": 5},
    )
    remark = result.remarks[-1]
    assert remark in {note.removeprefix("note: ") for note in recorder.before("note")}
    words = (tmp_path / "a.txt").read_text().split()[-150:]  # the default split leaves a twentieth for the test
    assert remark == (
        f"{sum(word != 'the' for word in words)} of 150 words in the test part (67%) are not in the vocabulary: "
        "all of them are one token to the model; try a smaller data.min_count, or more text to learn from, or "
        "data.level: char"
    )


def test_unknown_words_are_told_by_every_task_that_reads_words(tmp_path: Path) -> None:
    words = rare_words(2400)
    groups = [words[i : i + 6] for i in range(0, 2400, 6)]
    (tmp_path / "c.tsv").write_text(
        "label\ttext\n" + "".join(f"{'ab'[i % 2]}\t{' '.join(group)}\n" for i, group in enumerate(groups))
    )
    (tmp_path / "p.tsv").write_text("".join(f"{' '.join(group)}\tthe the\n" for group in groups))
    (tmp_path / "t.txt").write_text("".join("".join(f"{word}\tX\n" for word in group) + "\n" for group in groups))
    path = {name: str(tmp_path / f"{name}") for name in ("c.tsv", "p.tsv", "t.txt")}
    (text,) = prepared("classification", data={"path": path["c.tsv"], "level": "word"}).gaps()
    assert "words in the test part (67%)" in text
    (pair,) = prepared("seq2seq", data={"path": path["p.tsv"], "level": "word"}).gaps()
    assert "source words in the test part (67%)" in pair, "the target side is all known"
    (spelled,) = prepared("tagging", data={"path": path["t.txt"]}).gaps()
    assert "the model knows them by their characters alone; try a smaller data.min_count" in spelled
    (whole,) = prepared("tagging", data={"path": path["t.txt"]}, model={"characters": 0}).gaps()
    assert "one token to the model" in whole
    assert "model.characters" in whole
    assert prepared("classification", data={"path": path["c.tsv"], "level": "char"}).gaps() == []


# The words.


def test_behind_says_by_how_much_and_what_to_try() -> None:
    base = {"mean": {"rmse": 2.0}, "last": {"rmse": 1.0}, "other": {"mae": 0.1}}
    at = {"best_step": 50, "steps": 100}
    assert behind(ERROR, {"rmse": 0.9}, base, **at) == []
    (remark,) = behind(ERROR, {"rmse": 1.5}, base, **at)
    assert remark.startswith("the model is behind the baseline 'last': rmse 1.5 against 1; try a smaller ")
    assert "it was best at step 50 of 100" in remark
    (remark,) = behind(ACCURACY, {"accuracy": 0.5}, {"majority": {"accuracy": 0.5}}, best_step=100, steps=100)
    assert remark.startswith("the model is no better than the baseline 'majority': accuracy 0.5 against 0.5; try more ")
    (remark,) = behind(ERROR, {"rmse": float("nan")}, base, best_step=0, steps=0, one_pass=True)
    assert remark.endswith("try other settings of the model")
    assert behind(ACCURACY, {"accuracy": 0.1}, {}, **at) == []
    assert behind(ACCURACY, {"loss": 0.1}, {"majority": {"accuracy": 0.5}}, **at) == []


def test_lists_are_cut_and_numbers_counted() -> None:
    assert some([str(i) for i in range(8)]) == "0, 1, 2, 3, 4, 5 and 2 more"
    assert some(["a"]) == "a"
    assert len(some(["x" * 1000])) == 40
    sizes = {"train": 1, "valid": 2000, "test": 3}
    assert amounts(sizes, "row") == "1 row to learn from, 2,000 to choose by, 3 to test"
    assert never_predicted("classes", {}, "") == []
    assert mostly_unknown(24, 100, "word", ["x"]) == []
    assert mostly_unknown(0, 0, "word", ["x"]) == []
    assert "(25%)" in mostly_unknown(25, 100, "word", ["x"])[0]


def test_baselines_in_another_measure_are_named_with_it() -> None:
    told = Overview("a file", "").told(ERROR, {"majority": {"accuracy": 0.5}}, ACCURACY)
    assert told["judged by"].endswith("; to beat: majority accuracy 0.5")
    assert told["reads"] == "a file"
    ranked = ACCURACY.ranked({"low": {"accuracy": 0.1}, "none": {}, "high": {"accuracy": 0.9}})
    assert [name for name, _ in ranked] == ["high", "low"]


def test_classes_that_may_be_none_are_told() -> None:
    (spelled,) = odd_labels({"Yes": 5, "yes": 1, "No": 4, "1": 3, "1.0": 2})
    assert "'1' and '1.0', 'Yes' and 'yes'" in spelled
    (missing,) = odd_labels({"NA": 3, "p": 2})
    assert missing == "a class that may mark a missing value: 'NA'; leave these rows out, if it does"
    (numbers,) = odd_labels({f"{value}.5": 1 for value in range(30)})
    assert "30 of 30 classes have one example" in numbers
    assert odd_labels({str(digit): 1 for digit in range(10)}) == []
    assert odd_labels({"ham": 1, "spam": 1}) == []
