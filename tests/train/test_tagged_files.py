"""Taggers of files as people have them: what a run reads, and what it reads of new files."""

from __future__ import annotations

import json

import pytest

import tinyseq as ts
from tinyseq.errors import DataError
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.registry import find_task

SMALL = {
    "model": {"hidden_size": 6, "embedding_size": 5, "characters": 0},
    "train": {"steps": 80, "batch_size": 8, "optimizer": {"lr": 0.03}},
}
WORDS = {"The": "DET", "a": "DET", "dog": "NOUN", "cat": "NOUN", "barks": "VERB", "sleeps": "VERB"}
SENTENCES = [["The", "dog", "barks"], ["a", "cat", "sleeps"], ["The", "cat", "barks"]]


def treebank(sentences, tag=lambda word: WORDS[word]):
    """Return CoNLL-U, each sentence a document with a range of words and a comment."""
    blank = "\t".join("_" * 8)
    return "".join(
        f"# newdoc\n1-2\tThedog\t{blank}\n"
        + "".join(f"{i}\t{word}\t_\t{tag(word)}\tX\t_\t0\t_\t_\t_\n" for i, word in enumerate(words, start=1))
        + "\n"
        for words in sentences
    )


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("treebank")
    (folder / "a.conllu").write_text(treebank(SENTENCES * 20))
    config = {"task": "tagging", "data": {"path": str(folder / "a.conllu")}, "output": str(folder), **SMALL}
    result = ts.run(config, progress=SilentProgress())
    return ts.load(result.directory), result


def test_a_treebank_trains_from_its_path_alone(tagger, tmp_path):
    model, result = tagger
    assert result.metrics["accuracy"] == 1.0
    assert "f1" not in result.metrics
    assert result.result["measure"] == "accuracy"
    told = json.loads((result.directory / "env.json").read_text())["data"]
    assert {key: told[key] for key in ("format", "word", "tag", "scheme", "tags")} == {
        "format": "conllu", "word": "column 2 FORM", "tag": "column 4 UPOS", "scheme": "none",
        "tags": ["DET", "NOUN", "VERB"],
    }  # fmt: skip
    assert "accuracy" in {axes.get_ylabel().splitlines()[0] for axes in model.figure("curves").axes}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("b.conllu", treebank(SENTENCES), ["DET", "NOUN", "VERB"]),
        ("b.txt", treebank(SENTENCES), ["DET", "NOUN", "VERB"]),
        ("b.conllu", treebank(SENTENCES, tag=lambda word: "_"), None),
        ("b.tsv", "The\tDET\ndog\tNOUN\nbarks\tVERB\n", ["DET", "NOUN", "VERB"]),
        ("b.txt", "The\tDET\ndog\tNOUN\nbarks\tVERB\n", ["DET", "NOUN", "VERB"]),
        ("b.conll", "The\ndog\nbarks\n\na\ncat\n", None),
        ("b.txt", "The\ndog\nbarks\n\na\ncat\n", None),
        ("b.txt", "The dog barks\na cat sleeps\n", None),
    ],
)
def test_new_files_are_read_in_their_own_form(tagger, tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    found = tagger[0].predict(tmp_path / name)[0]
    assert (found["words"], found["tags"]) == (["The", "dog", "barks"], ["DET", "NOUN", "VERB"])
    assert found.get("expected") == expected
    assert found["entities"] == []
    if expected:
        assert tagger[0].evaluate(tmp_path / name)["accuracy"] == 1.0
    else:
        with pytest.raises(DataError):
            tagger[0].evaluate(tmp_path / name)


def test_words_that_are_left_untagged_are_not_judged(tagger, tmp_path):
    (tmp_path / "b.conllu").write_text(treebank(SENTENCES, tag=lambda word: "_" if word == "dog" else WORDS[word]))
    metrics = tagger[0].evaluate(tmp_path / "b.conllu")
    assert (metrics["words"], metrics["accuracy"]) == (8, 1.0)
    assert tagger[0].predict(tmp_path / "b.conllu")[0]["expected"] == ["DET", None, "VERB"]
    assert sum(score["support"] for score in tagger[0].details(tmp_path / "b.conllu")["tags"].values()) == 8
    config = {"task": "tagging", "data": {"path": str(tmp_path / "b.conllu"), "split": [0.34, 0.33, 0.33]}}
    task = find_task("tagging")(parse_config(config))
    task.prepare()
    assert "" not in task.tags
    model = task.build()
    assert float(task.step(model, next(task.batches()), None).loss.item()) > 0


def test_documents_stay_together(tmp_path):
    (tmp_path / "a.conllu").write_text("".join(treebank([[w] * 2 for w in WORDS]) for _ in range(5)))
    data = {"path": str(tmp_path / "a.conllu"), "split_by": "group"}
    task = find_task("tagging")(parse_config({"task": "tagging", "data": data}))
    task.prepare()
    assert [len(task.part(name)) for name in ("train", "valid", "test")] == [24, 3, 3]
    assert task.notes() == []
    assert task.overview().read.endswith("format: conllu, word: column 2 FORM, tag: column 4 UPOS, scheme: none")


def test_entities_of_any_scheme_are_judged_by_f1(tmp_path):
    text = "Ada\tB-PER\nAdams\tE-PER\nleft\tO\nRome\tS-LOC\n\n"
    (tmp_path / "a.txt").write_text(text * 40)
    config = {"task": "tagging", "data": {"path": str(tmp_path / "a.txt")}, "output": str(tmp_path), **SMALL}
    result = ts.run(config, progress=SilentProgress())
    assert result.metrics["f1"] == 1.0
    assert result.result["measure"] == "f1"
    model = ts.load(result.directory)
    # The same entities, written otherwise.
    (tmp_path / "b.txt").write_text("Ada NNP I-PER\nAdams NNP I-PER\nleft VBD O\nRome NNP I-LOC\n")
    assert model.evaluate(tmp_path / "b.txt")["f1"] == 1.0
    (found,) = model.predict([["Ada", "Adams", "left", "Rome"]])
    assert [(e["kind"], e["text"]) for e in found["entities"]] == [("PER", "Ada Adams"), ("LOC", "Rome")]
    assert model.task.as_text(found) == "[Ada Adams PER] left [Rome LOC]"
