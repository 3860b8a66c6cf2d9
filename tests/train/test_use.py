"""A trained model in use: end to end on tiny runs, for every kind of input; the same from Python, compiled or eager."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tinyseq as ts
from support.smallruns import CONFIG, write_config
from tinyseq import backends
from tinyseq.data.classic import adding_problem
from tinyseq.data.tagging import entity_sentences, to_conll
from tinyseq.errors import ConfigError, DataError
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.registry import find_task
from tinyseq.train.storage.run_directory import RunDirectory

TRAIN = {"steps": 6, "batch_size": 8, "evaluate_every": 3, "log_every": 2}
SMALL = {"hidden_size": 6, "embedding_size": 5}


def _texts(folder):
    words = ["sun", "moon", "star", "sky", "sea", "river", "stone"]
    rng = np.random.default_rng(0)
    lines = (f"{'ab'[n % 2]}\t" + " ".join(rng.choice(words, rng.integers(1, 9))) for n in range(60))
    return "\n".join(["label\ttext", *lines])


def _sequences(folder):
    rng = np.random.default_rng(0)
    rows = ["sequence,u,v,target"]
    for n in range(40):
        y = rng.normal()
        rows += [f"s{n},{rng.normal()},{rng.normal()},{y}" for _ in range(rng.integers(1, 12))]
    return "\n".join(rows)


def _vectors(folder):
    rng = np.random.default_rng(0)
    return "\n".join(["u,v,label", *(f"{a},{b},{'pq'[int(a > b)]}" for a, b in rng.normal(size=(60, 2)))])


#: Name -> (the file's name, its text, the config's own sections).
CASES = {
    "char": ("t.tsv", _texts, {"task": "classification", "model": {**SMALL, "dropout": 0.2}}),
    "word": (
        "t.tsv",
        _texts,
        {
            "task": "classification",
            "data": {"level": "word", "min_count": 2},
            "model": {**SMALL, "bidirectional": True, "num_layers": 2, "pooling": "attention", "cell": "gru"},
        },
    ),
    "sequence": (
        "t.csv",
        _sequences,
        {"task": "regression", "model": {"hidden_size": 6, "bidirectional": True, "pooling": "mean", "cell": "indrnn"}},
    ),
    "vector": (
        "t.csv",
        _vectors,
        {"task": "classification", "data": {"inputs": "vector"}, "model": {"layers": [8, 8]}},
    ),
    "tagging": (
        "t.conll",
        lambda folder: to_conll(entity_sentences(60, 1)),
        {"task": "tagging", "model": {**SMALL, "characters": 4, "dropout": 0.1}},
    ),
}


def make_config(case: str, folder, **settings):
    name, text, config = CASES[case]
    (folder / name).write_text(text(folder), encoding="utf-8")
    data = {**config.get("data", {}), "path": str(folder / name)}
    return {**config, "data": data, "train": TRAIN, "output": str(folder / "runs"), **settings}


def run(config, **options):
    return ts.run(config, progress=SilentProgress(), **options)


@pytest.fixture(scope="module", params=CASES)
def trained(request, tmp_path_factory):
    """A finished tiny run, its file, and the loaded model."""
    folder = tmp_path_factory.mktemp(request.param)
    config = make_config(request.param, folder)
    result = run(config)
    return result, config["data"]["path"], ts.load(result.directory)


def test_loaded_model_judges_as_the_run_did(trained):
    result, _, model = trained
    assert model.evaluate() == pytest.approx(result.metrics, rel=1e-5)
    assert result.status == "done"
    assert result.result["compiled"]


def test_evaluation_of_a_file_is_the_same_at_any_batch_size(trained):
    _, path, model = trained
    whole = model.evaluate(path)
    assert set(model.config.model_dump()) >= {"task", "train"}
    for batch_size in (1, 7, 500):
        assert model.evaluate(path, batch_size=batch_size) == pytest.approx(whole, rel=1e-4, abs=1e-6)


def plain(found):
    """Return a prediction's numbers and the rest of it apart."""
    flat = json.loads(json.dumps(found))
    numbers = [value for one in flat for value in one.values() if isinstance(value, float)]
    return [{k: v for k, v in one.items() if not isinstance(v, float | dict)} for one in flat], numbers


def test_predictions_do_not_depend_on_what_stands_beside_them(trained):
    _, path, model = trained
    whole, numbers = plain(model.predict(path))
    for batch_size in (1, 5):
        again, others = plain(model.predict(path, batch_size=batch_size))
        assert again == whole
        assert others == pytest.approx(numbers, rel=1e-4, abs=1e-5)


def test_predictions_from_python_are_those_of_the_file(trained):
    _, path, model = trained
    records = model.task.read(path)
    inputs = [record[0] for record in records]
    whole = model.predict(path)
    assert all("expected" in one for one in whole)
    for one in whole:
        del one["expected"]
    assert whole == model.predict(inputs)


def test_files_that_a_run_leaves(trained):
    result, _, model = trained
    lines = (result.directory / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(model.judged(None))
    assert (result.directory / "graph.svg").exists()
    assert result.baselines
    assert model.task.as_text(json.loads(lines[0]))


@pytest.mark.parametrize("case", [*CASES])
def test_compiled_and_eager_give_the_same_numbers(case, tmp_path):
    config = make_config(case, tmp_path, dtype="float64")
    fast, slow = run(config), run(config, eager=True)
    assert fast.result["compiled"]
    assert not slow.result["compiled"]
    assert fast.metrics == pytest.approx(slow.metrics, rel=1e-6)


def test_the_compiler_is_turned_off_in_the_config(tmp_path):
    config = make_config("vector", tmp_path, compile=False)
    assert not run(config).result["compiled"]


def test_language_model_compiled_and_eager(tmp_path):
    path = write_config(tmp_path, CONFIG + "dtype: float64\n")
    fast, slow = (run(path, output=tmp_path / "runs", eager=eager) for eager in (False, True))
    assert (fast.result["compiled"], slow.result["compiled"]) == (True, False)
    assert fast.metrics == pytest.approx(slow.metrics, rel=1e-9)


def test_a_cell_that_looks_at_values_runs_eagerly(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "from tinyseq import nn\n"
        "class Looks(nn.RNNCell):\n"
        "    def step(self, x, h):\n"
        "        y, h = super().step(x, h)\n"
        "        return (y if y.sum().item() > -1e9 else y), h\n"
    )
    config = make_config("char", tmp_path, model={**SMALL, "cell": f"{tmp_path}/mine.py:Looks"})
    result = run(config)
    assert result.status == "done"
    assert not result.result["compiled"]
    assert "not compiled" in capsys.readouterr().err


def test_language_model_in_use(tmp_path):
    model = ts.load(run(write_config(tmp_path), output=tmp_path / "runs").directory)
    lines = ["the fox", "t", "the lazy dog sleeps"]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    together = model.predict(tmp_path / "lines.txt")
    for line, found in zip(lines, together, strict=True):
        (alone,) = model.predict([line])
        assert alone["text"] == found["text"] == line
        assert (alone["bpc"] is None) == (len(line) == 1)
        assert [token for token, _ in alone["next"]] == [token for token, _ in found["next"]]
        assert alone["bpc"] == pytest.approx(found["bpc"], rel=1e-4) if alone["bpc"] else True
        assert model.task.as_text(found).startswith(line)
    assert model.predict([""])[0]["next"] == []
    assert model.evaluate(tmp_path / "lines.txt")["tokens"] == len("\n".join(lines)) - 1
    with pytest.raises(DataError, match="not in the vocabulary"):
        model.predict(["ΩΩ"])
    with pytest.raises(DataError, match=r"not a text[\s\S]*input 1"):
        model.predict(["a", 3])


def test_unseen_tokens_are_taken(trained):
    _, _, model = trained
    if model.config.task == "tagging":
        (found,) = model.predict([["Ωμέγα", "left", "supercalifragilisticexpialidocious"]])
        assert len(found["tags"]) == 3
    elif model.config.data.kind == "text":
        assert model.predict(["ΩΩΩ qqq"])[0]["label"] in model.task.classes


def test_wrong_inputs_are_refused_by_number(trained):
    _, _, model = trained
    bad = {"tagging": [["a"], []], "regression": [[[1.0, 2.0]], [[1.0]]], "classification": [None, ""]}
    with pytest.raises(DataError, match=r"input [01] "):
        model.predict(bad[model.config.task])


def test_missing_targets_are_refused(tmp_path):
    model = ts.load(run(make_config("char", tmp_path)).directory)
    file = tmp_path / "x.tsv"
    file.write_text("text\nhello\n")
    assert "expected" not in model.predict(file)[0]
    with pytest.raises(DataError, match="no column 'label'"):
        model.evaluate(file)
    tagger = ts.load(run(make_config("tagging", tmp_path)).directory)
    file.write_text("Ada\nleft\n")
    assert len(tagger.predict(file)) == 1
    with pytest.raises(DataError, match="without its tag"):
        tagger.evaluate(file)


def test_a_class_that_training_has_not_seen_is_an_error_and_told(tmp_path):
    model = ts.load(run(make_config("char", tmp_path)).directory)
    file = tmp_path / "x.tsv"
    file.write_text("label\ttext\na\thello\nb\tworld\naa\thello\naa\tx\n")
    labels = [found["label"] for found in model.predict(file)]
    found = model.evaluate(file)
    right = (labels[0] == "a") + (labels[1] == "b")
    assert (found["accuracy"], found["examples"], found["unseen_classes"]) == (right / 4, 4, 2)
    details = model.details(file)
    assert details["unseen_classes"] == {"aa": 2}
    assert details["classes"]["aa"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 2}
    assert sum(details["confusion"]["aa"].values()) == 2
    known = tmp_path / "known.tsv"
    known.write_text("label\ttext\na\thello\nb\tworld\n")
    assert found["loss"] == pytest.approx(model.evaluate(known)["loss"]), "no probability was ever given to it"
    file.write_text("label\ttext\naa\thello\n")
    assert model.evaluate(file) == {"accuracy": 0.0, "macro_f1": 0.0, "examples": 1, "unseen_classes": 1}


def test_a_tag_that_training_has_not_seen_is_an_error_and_told(tmp_path):
    tagger = ts.load(run(make_config("tagging", tmp_path)).directory)
    file = tmp_path / "x.tsv"
    file.write_text("Ada\tB-CAT\nleft\tO\n")
    (found,) = tagger.predict(file)
    metrics = tagger.evaluate(file)
    assert (metrics["f1"], metrics["words"], metrics["unseen_tags"]) == (0.0, 2, 1)
    assert metrics["accuracy"] == (found["tags"][1] == "O") / 2
    assert tagger.details(file)["entities"]["CAT"]["support"] == 1
    assert tagger.details(file)["unseen_tags"] == {"B-CAT": 1}
    file.write_text("Ada\tB-CAT\n")
    assert "loss" not in tagger.evaluate(file)


def test_a_rare_class_or_tag_is_no_reason_to_refuse(tmp_path):
    """Wherever the split puts it; with split_by: class it is in the training part."""
    (tmp_path / "c.tsv").write_text("label\ttext\n" + "a\tx\nb\ty\n" * 30 + "c\tz\n")
    (tmp_path / "t.txt").write_text("The\tDET\ndog\tNOUN\n\n" * 60 + "Wow\tINTJ\n\n")
    for task, name, key in (("classification", "c.tsv", "unseen_classes"), ("tagging", "t.txt", "unseen_tags")):
        told = []
        for seed in range(20):
            data = {"path": str(tmp_path / name)}
            made = find_task(task)(parse_config({"task": task, "seed": seed, "data": data}))
            made.prepare()
            found = list(made.describe_data().get(key, {}))
            notes = [note for note in made.notes() if "that training has not seen" in note]
            assert [part in note for part in found for note in notes] == [True] * len(found)
            assert len(notes) == len(found)
            assert all(note.endswith("try data.split_by: class") for note in notes)
            told += found
            made.baselines()
            made = find_task(task)(parse_config({"task": task, "seed": seed, "data": {**data, "split_by": "class"}}))
            made.prepare()
            assert key not in made.describe_data()
        assert {"valid", "test"} == set(told), "seeds that put it there"


@pytest.mark.parametrize("name", ["confusion"])
def test_what_training_has_not_seen_has_its_row_in_the_figure(tmp_path, name):
    tagger = ts.load(run(make_config("tagging", tmp_path)).directory)
    (tmp_path / "x.conll").write_text("Ada B-CAT\nleft O\n")
    labels = tagger.figure(name, tmp_path / "x.conll").axes[0].get_yticklabels()
    assert "B-CAT" in [label.get_text() for label in labels]


def test_examples_are_split_by_group_and_in_time(tmp_path):
    rows = "".join(f"u{i % 10},{2000 + i * 7 % 60}-01-01,{i},{'ab'[i % 2]}\n" for i in range(60))
    (tmp_path / "x.csv").write_text("who,day,x,label\n" + rows)

    def parts(**data):
        data = {"path": str(tmp_path / "x.csv"), "inputs": "vector", **data}
        task = find_task("classification")(parse_config({"task": "classification", "data": data}))
        task.prepare()
        return [[int(example.input[0]) for example in task.part(name)] for name in ("train", "valid", "test")]

    columns = {"columns": ["x"]}
    train, valid, test = parts(split_by="group", split_column="who", **columns)
    users = [{i % 10 for i in part} for part in (train, valid, test)]
    assert [len(part) for part in users] == [8, 1, 1]
    assert set.union(*users) == set(range(10))
    train, valid, test = ([i * 7 % 60 for i in part] for part in parts(split_by="time", split_column="day", **columns))
    assert (train, valid, test) == ([*range(48)], [*range(48, 54)], [*range(54, 60)])
    assert parts(split_by="time", **columns)[2] == [*range(54, 60)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"split_by": "group"}, r"data\.split_by: which groups\? required `split_column`"),
        ({"split_column": "who"}, r"data\.split_column: a column of groups or times"),
        ({"split_by": "group", "split_column": "label"}, "'label' is what is learned"),
        ({"split_by": "grup"}, "unknown split 'grup'; did you mean 'group'"),
    ],
)
def test_contradictions_in_splits_are_told(data, words):
    with pytest.raises(ConfigError, match=words):
        parse_config({"task": "classification", "data": {"path": "x.csv", **data}})


def test_what_has_no_classes_or_groups_is_not_split_by_them(tmp_path):
    with pytest.raises(ConfigError, match="numbers have no classes"):
        parse_config({"task": "regression", "data": {"path": "x.csv", "split_by": "class"}})
    with pytest.raises(ConfigError, match="a source splits its own"):
        parse_config({"task": "classification", "data": {"split_by": "class"}})
    with pytest.raises(ConfigError, match="of no documents"):
        parse_config({"task": "tagging", "data": {"split_by": "group"}})
    with pytest.raises(ConfigError, match=r"data\.tag: said of a file"):
        parse_config({"task": "tagging", "data": {"tag": 2}})
    with pytest.raises(ConfigError, match=r"data\.tag: required a column's name, or its number from 1, got 0"):
        parse_config({"task": "tagging", "data": {"path": "x", "tag": 0}})
    (tmp_path / "t.txt").write_text("a O\n\nb O\n\nc B-X\n\n")
    with pytest.raises(DataError, match=r"no documents to split by[\s\S]*# newdoc"):
        find_task("tagging")(
            parse_config({"task": "tagging", "data": {"path": str(tmp_path / "t.txt"), "split_by": "group"}})
        ).prepare()


def test_data_that_changed_since_training_is_told(tmp_path):
    config = make_config("char", tmp_path)
    model = ts.load(run(config).directory)
    (tmp_path / "t.tsv").write_text((tmp_path / "t.tsv").read_text() + "\nc\tzebra\n" * 30)
    with pytest.raises(DataError, match=r"not as it was in training[\s\S]*name a file"):
        model.evaluate()


def test_details(tmp_path):
    model = ts.load(run(make_config("char", tmp_path)).directory)
    details = model.details(tmp_path / "t.tsv")
    assert sum(sum(row.values()) for row in details["confusion"].values()) == 60
    assert set(details["classes"]) == {"a", "b"}
    tagger = ts.load(run(make_config("tagging", tmp_path)).directory)
    assert tagger.details(tmp_path / "t.conll")["entities"]["all"]["support"] > 50


def test_tags_that_are_no_entities_are_judged_by_accuracy(tmp_path):
    (tmp_path / "t.conll").write_text("a DET\nb NOUN\n\na DET\nc VERB\n\n" * 20)
    result = run({
        "task": "tagging", "data": {"path": str(tmp_path / "t.conll"), "scheme": "none"},
        "model": {**SMALL, "characters": 0}, "train": {**TRAIN, "steps": 60}, "output": str(tmp_path),
    })  # fmt: skip
    assert result.metrics["accuracy"] == 1.0
    assert "f1" not in result.metrics
    assert ts.load(result.directory).task.as_text({"words": ["a"], "tags": ["DET"]}) == "a/DET"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"source": "diggits"}, r"unknown source 'diggits'; did you mean 'digits'\?"),
        ({"options": {"cuont": 3}}, r"data\.options\.cuont: unknown option; did you mean 'count'\?"),
        ({"inputs": "txt"}, "unknown inputs 'txt'; did you mean 'text'"),
        ({"level": "chr"}, "unknown level"),
        ({"split": [0.5, 0.1, 0.1]}, "sum to 1"),
    ],
)
def test_wrong_settings_of_data(data, words):
    with pytest.raises(ts.TinyseqError, match=words):
        run({"task": "classification", "data": data})
    with pytest.raises(ts.TinyseqError, match="unknown pooling 'last'"):
        run({"task": "classification", "model": {"pooling": "last"}})


def test_digits_without_scikit_learn(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r'pip install "tinyseq\[digits\]"'):
        run({"task": "classification", "data": {"source": "digits"}, "output": str(tmp_path)})


def test_sources_at_hand(tmp_path):
    settings = {"output": str(tmp_path), "train": {**TRAIN, "steps": 2}, "model": SMALL}
    order = {"source": "temporal_order", "options": {"count": 60}}
    assert run({**settings, "task": "classification", "data": order}).result["parameters"]
    adding = {"source": "adding", "options": {"count": 60, "length": 9}}
    result = run({**settings, "task": "regression", "data": adding, "model": {"hidden_size": 4}})
    assert result.baselines["mean"]["rmse"] == pytest.approx(1 / 6**0.5, rel=0.5)
    xs, ys = adding_problem(3, 12, 5)
    (first, *_) = ts.load(result.directory).predict(list(xs))
    assert np.isfinite(first["value"])
    assert ys.shape == (3,)


@pytest.fixture(scope="module")
def text_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    return ts.run(write_config(folder), output=folder / "runs", progress=SilentProgress()).directory


def test_a_loaded_model_writes_text(text_run):
    trained = ts.load(text_run)
    text = trained.sample("the ", length=30, temperature=0.9, seed=2)
    assert text.startswith("the ")
    assert len(text) == 34
    assert text == ts.load(text_run).sample("the ", length=30, temperature=0.9, seed=2)
    assert trained.sample("the ", length=30, temperature=2.0, top_k=1) == trained.sample(length=30, temperature=0.0)
    assert len(trained.sample()) == 4 + 20  # the config's prime and length
    for prime, words in (("", "an empty prime"), ("the É", "not in the vocabulary")):
        with pytest.raises(DataError, match=words):
            trained.sample(prime)


def test_a_model_that_writes_no_text_says_so(trained):
    with pytest.raises(DataError, match="does not write text"):
        trained[2].sample()


def test_a_model_is_used_on_the_backend_of_its_run(text_run, monkeypatch, caplog):
    """Or on the best one where it is not to be had, and the log says why."""
    pytest.importorskip("llvmlite")
    used = []
    trained = ts.load(text_run)
    monkeypatch.setattr(type(trained.task), "evaluate_on", lambda *_, **__: used.append(backends.current().name))
    for name, expected in (("numpy", "numpy"), ("llvm", "llvm"), ("cupy", backends.load("auto").name)):
        config = trained.config.model_copy(update={"backend": name})
        monkeypatch.setattr(RunDirectory, "config", lambda _, config=config: config)
        with caplog.at_level("INFO", "tinyseq.compiler"):
            ts.load(text_run).evaluate()
        assert used[-1] == expected
    if expected != "cupy":
        assert "the run's backend cupy is not to be had" in caplog.text
