"""Sequence to sequence, captioning and word-level language models: tiny runs, and what makes them go wrong."""

from __future__ import annotations

import builtins
import json
import sys

import numpy as np
import pytest

from tinyseq.data.examples import Example
from tinyseq.data.tokens import find_level
from tinyseq.errors import ConfigError, DataError, ShapeError
from tinyseq.nn.decoding import Hypothesis
from tinyseq.train import load, run
from tinyseq.train.config.registry import find_task
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.config.teacher_forcing import FORCING, ForcingConfig
from tinyseq.train.tasks.scoring import bleu, chrf, exact_match, words_of

TINY = {
    "task": "seq2seq",
    "data": {"generator": "reversal", "count": 300, "level": "word"},
    "model": {"cell": "gru", "hidden_size": 12, "embedding_size": 6},
    "train": {"steps": 4, "batch_size": 16, "evaluate_every": 2, "log_every": 2},
}


def merged(config, **changes):
    found = json.loads(json.dumps(config))
    for key, value in changes.items():
        *sections, last = key.split("__")
        part = found
        for section in sections:
            part = part.setdefault(section, {})
        part[last] = value
    return found


def make(**changes):
    config = parse_config(merged(TINY, dtype="float64", **changes))
    task = find_task(config.task)(config)
    task.prepare()
    return task, task.build().cast("float64").eval()


def write(tmp_path, text, name="pairs.tsv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model__attention": "dot", "model__bidirectional": True, "model__num_layers": 2},
        {"model__attention": "none", "decode__beam": 3},
        {"model__architecture": "transformer", "model__heads": 2},
        {"teacher_forcing": {"schedule": "linear"}},
        {"teacher_forcing": {"schedule": "inverse_sigmoid"}, "model__architecture": "transformer", "model__heads": 2},
        {"data__generator": "dates", "data__level": "char"},
    ],
)
def test_a_run_leaves_a_model_that_can_be_used(tmp_path, changes):
    result = run(merged(TINY, **changes), output=tmp_path)
    assert set(result.metrics) == {"loss", "exact_match", "token_accuracy", "tokens"}
    assert (result.directory / "attention.png").exists() == (changes.get("model__attention") != "none")
    lines = (result.directory / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    trained = load(result.directory)
    first = json.loads(lines[0])
    (again,) = trained.predict([first["source"]])
    assert again["prediction"] == first["prediction"]
    assert trained.evaluate() == pytest.approx(result.metrics)


def test_scheduled_sampling_gives_the_same_numbers_eager_and_compiled(tmp_path):
    config = merged(TINY, teacher_forcing={"schedule": "linear", "start": 0.5}, dtype="float64")
    runs = [run(merged(config, compile=c), output=tmp_path).metrics["loss"] for c in (True, False)]
    assert runs[0] == pytest.approx(runs[1], rel=1e-9)
    plain = run(merged(TINY, dtype="float64"), output=tmp_path).metrics["loss"]
    assert plain != pytest.approx(runs[0], rel=1e-6)


@pytest.mark.parametrize("changes", [{}, {"model__architecture": "transformer", "model__heads": 2}])
def test_batches_and_padding_do_not_change_results(changes):
    task, model = make(decode__beam=2, **changes)
    records = task.part("test")
    one = task.evaluate_on(model, records, batch_size=1)
    many = task.evaluate_on(model, records, batch_size=50)
    assert one == pytest.approx(many, rel=1e-9)
    alone = list(task.predict(model, records, batch_size=1))
    assert [p["prediction"] for p in task.predict(model, records, batch_size=7)] == [p["prediction"] for p in alone]


def test_a_loss_counts_real_tokens_only():
    task, model = make()
    examples = task.part("train")[:5]
    feed = task.feed(model, (0, examples), None)
    assert feed.tokens == sum(len(task.level.cut(e.target)) + 1 for e in examples)
    loss, _ = task.loss(model, *feed.arguments)
    assert float(loss.item()) == pytest.approx(task.evaluate_on(model, examples)["loss"])


def test_the_teacher_shows_the_token_before():
    task, _ = make()
    previous, following, tokens = task.teach([Example("a b", "b a"), Example("c", ""), Example("a", "a")])
    a, b = task.targets.encode(["a", "b"])
    assert previous.tolist() == [[0, b, a], [0, 0, 0], [0, a, 0]]
    assert following.tolist() == [[b, a, 0], [0, -1, -1], [a, 0, -1]]
    assert tokens == 6


def test_an_empty_target_and_an_empty_source_do_no_harm():
    task, model = make()
    found = task.evaluate_on(model, [Example("a b", ""), Example("", "a")])
    assert found["tokens"] == 3
    assert np.isfinite(found["loss"])
    (prediction,) = task.predict(model, task.records([""]))
    assert prediction["source"] == ""


def test_an_overfitted_model_writes_what_it_read(tmp_path):
    path = write(tmp_path, "".join(f"{a} {b}\t{b} {a}\n" for a in "abcd" for b in "abcd") * 4)
    config = merged(
        TINY,
        data={"path": str(path), "level": "word"},
        model__hidden_size=24,
        train={"steps": 60, "batch_size": 16, "evaluate_every": 20, "optimizer": {"lr": 0.02}},
        decode={"measure": "exact_match"},
    )
    result = run(config, output=tmp_path / "runs")
    assert result.metrics["exact_match"] == 1.0
    trained = load(result.directory)
    assert [p["prediction"] for p in trained.predict(["a d", ["c", "b"]])] == ["d a", "b c"]
    assert trained.task.as_text(trained.predict(["a b"])[0]) == "b a"
    targets = write(tmp_path, "a b\tb a\nc d\tc d\n", "check.tsv")
    assert trained.evaluate(targets)["exact_match"] == 0.5
    inputs = write(tmp_path, "a b\nc d\n", "inputs.tsv")
    assert [p["source"] for p in trained.predict(inputs)] == ["a b", "c d"]


def test_unseen_tokens_are_named_or_share_an_entry(tmp_path):
    task, model = make()
    with pytest.raises(DataError, match=r"not in the vocabulary(.|\n)*'z'(.|\n)*the sentence 'a z'"):
        list(task.predict(model, task.records(["a z"])))
    path = write(tmp_path, "".join(f"a b{i % 40}\tb{i % 40} a\n" for i in range(100)) + "once seen\tseen once\n")
    task, model = make(data={"path": str(path), "level": "word", "min_count": 2})
    (prediction,) = task.predict(model, task.records(["a never"]))
    assert prediction["unknown"] == ["never"]
    assert "<unk>" not in prediction["prediction"]


def test_long_pairs_are_left_out(tmp_path):
    task, _ = make(data__max_length=5)
    assert task.left_out > 0
    assert task.describe_data()["left_out_too_long"] == task.left_out
    with pytest.raises(DataError, match="too long"):
        make(data__max_length=1)


def test_files_for_validation_and_test(tmp_path):
    pairs = write(tmp_path, "".join(f"a b{i}\tb{i} a\n" for i in range(20)))
    test = write(tmp_path, "a b3\tb3 a\n", "test.tsv")
    task, _ = make(data={"path": str(pairs), "test": str(test), "level": "word", "split": [0.8, 0.1, 0.1]})
    assert [e.input for e in task.part("test")] == ["a b3"]
    assert len(task.part("train")) + len(task.part("valid")) == 20
    assert task.describe_data()["test_sources_seen_in_training"] in (0, 1)


def test_generated_parts_have_no_source_in_common():
    task, _ = make(data__count=2000, data__generator="sorting")
    parts = [{e.input for e in task.part(split)} for split in ("train", "valid", "test")]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__generator": "date"}, "did you mean 'dates'"),
        ({"data__level": "words"}, "did you mean 'word'"),
        ({"data__source": 2}, r"of a file, and none is read; required `path` too"),
        ({"data__path": "p.tsv", "data__source": 2, "data__target": 2}, "the column of `source`, 2"),
        ({"data__path": "p.tsv", "data__source": 0}, "number from 1, got 0"),
        ({"model__attention": "additiv"}, "did you mean 'additive'"),
        ({"model__architecture": "transformers"}, "did you mean 'transformer'"),
        ({"teacher_forcing": {"schedule": "sigmoid"}}, "unknown schedule 'sigmoid'"),
        ({"decode": {"beam": 0}}, "at least 1"),
        ({"model__cell": "lst"}, "did you mean 'lstm'"),
    ],
)
def test_a_wrong_config_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(merged(TINY, **changes))


def test_records_must_be_sentences_and_judged_ones_have_targets():
    task, model = make()
    with pytest.raises(DataError, match=r"not a sentence(.|\n)*input 1"):
        task.records(["a", 3])
    with pytest.raises(DataError, match="without its target"):
        task.evaluate_on(model, [Example("a")])
    with pytest.raises(DataError, match="nothing to judge"):
        task.evaluate_on(model, [])


def test_forcing_schedules_fall_from_start_to_final():
    for name in FORCING:
        schedule = ForcingConfig(schedule=name, start=0.9, final=0.2)
        values = [schedule.probability(step, 100) for step in range(0, 101, 10)]
        assert values == sorted(values, reverse=True)
        assert 0.2 <= min(values) <= max(values) <= 0.9
    assert ForcingConfig(schedule="inverse_sigmoid").probability(50, 100) == pytest.approx(0.5)
    assert ForcingConfig(schedule="linear", start=1.0, final=0.5).probability(50, 100) == 0.75
    assert ForcingConfig().always
    assert not ForcingConfig(start=0.9).always


def test_bleu_is_sacrebleus():
    sacrebleu = pytest.importorskip("sacrebleu")
    written, true = ["the cat sat on a mat", "a dog"], ["the cat sat on the mat", "a dog ran"]
    score, signature = bleu(written, true)
    assert "eff:no" in signature
    assert score == pytest.approx(sacrebleu.corpus_bleu(written, [true]).score)
    assert "tok:13a" in signature
    assert exact_match(["a", "b"], ["a", "c"]) == 0.5
    task, model = make(decode={"bleu": True, "measure": "chrf"})
    found = task.evaluate_on(model, task.part("test"))
    assert found.keys() >= {"bleu", "chrf"}
    details = task.details(model, task.part("test"))
    assert "tok:13a" in details["bleu_signature"]
    assert "nc:6" in details["chrf_signature"]
    written = [p["prediction"] for p in task.predict(model, task.part("test"))]
    true = [example.target for example in task.part("test")]
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(written, [true]).score)
    with pytest.raises(ConfigError, match=r"judged by chrF2.*decode\.bleu: true"):
        make(decode={"measure": "chrf"})


def test_bleu_of_short_sentences():
    sacrebleu = pytest.importorskip("sacrebleu")
    true = ["Geh weg", "Hallo du da", "Ja"]
    assert sacrebleu.corpus_bleu(true, [true]).score == 0.0  # as the field counts, nothing could score
    assert bleu(true, true) == (pytest.approx(100.0), bleu(true, true).signature)
    assert "eff:yes" in bleu(true, true).signature
    assert bleu(["Geh fort", "Hallo du da", "Ja"], true).score < 100.0
    longer = [*true, "Das ist der Hund"]
    assert "eff:no" in bleu([*true, "ein"], longer).signature
    assert bleu([*true, "ein"], longer).score == sacrebleu.corpus_bleu([*true, "ein"], [longer]).score == 0.0
    assert chrf(true, true).score == 100.0
    with pytest.raises(DataError, match="as many as are true"):
        bleu(true[:2], true)


def test_what_bleu_counts_as_a_word():
    sacrebleu = pytest.importorskip("sacrebleu")
    word, given = find_level("word"), find_level("tokens")
    assert words_of(word, ["ein Hund"]) == "13a"
    assert words_of(given, ["ein Hund"]) == words_of(given, ["你好 世界"]) == "none"
    assert words_of(word, ["你好世界"]) == "zh"
    assert words_of(word, ["สวัสดี"]) == words_of(word, ["私は学生です"]) == "char"
    written, true = ["the @-@ cat isn 't on it ."], ["the @-@ cat is n't on it ."]
    assert (
        bleu(written, true, "none").score == sacrebleu.corpus_bleu(written, [true], tokenize="none", force=True).score
    )
    assert bleu(written, true, "none").score != pytest.approx(bleu(written, true).score)


QUOTED = [("Stop!", "«Alto» - dijo"), ("Go", "a , b"), ("Who", "'x' y/z"), ("Why", "1 - 2=3")]


@pytest.mark.parametrize("level", ["char", "word", "tokens"])
def test_a_sentence_right_in_every_token_is_right(tmp_path, level):
    pytest.importorskip("sacrebleu")
    path = write(tmp_path, "".join(f"{a}\t{b}\n" for _ in range(10) for a, b in QUOTED))
    task, model = make(data={"path": str(path), "level": level}, decode={"bleu": True})
    records = task.part("test")
    rows = {example.input: [*task.targets.encode(task.level.cut(example.target))] for example in records}
    task.write_for = lambda model, records, batch_size=None: [
        [Hypothesis(tuple(rows[record.input]), 0.0, True)] for record in records
    ]
    found = task.evaluate_on(model, records)
    assert (found["exact_match"], found["bleu"], found["chrf"]) == (1.0, pytest.approx(100.0), 100.0)
    assert all("true:" not in task.line(p) for p in task.predict(model, records))


DECK = [("Go.", "Geh."), ("Hi.", "Hallo!"), ("Hi.", "Grüß Gott!"), ("Run!", "Lauf!"), ("Wow!", "Potzdonner!")]


def test_a_deck_of_anki_in_either_direction(tmp_path):
    thanks = "CC-BY 2.0 (France) Attribution: tatoeba.org #1 (A) & #2 (B)"
    deck = write(tmp_path, "".join(f"{i} {a}\t{i} {b}\t{thanks}\n" for i in range(20) for a, b in DECK), "deu.txt")
    config = {"path": str(deck), "level": "word", "split": [0.6, 0.2, 0.2]}
    task, _ = make(data=config)
    parts = task.examples
    assert {*parts.train, *parts.valid, *parts.test} == {
        Example(f"{i} {a}", f"{i} {b}") for i in range(20) for a, b in DECK
    }
    # a source that comes with two targets is in one part, so the test is one
    assert task.describe_data()["test_sources_seen_in_training"] == 0
    sources = [{example.input for example in part} for part in (parts.train, parts.valid, parts.test)]
    assert sum(map(len, sources)) == len(set.union(*sources)) == 80
    assert any("more than one true target" in note for note in task.notes())
    mixed, _ = make(data={**config, "split_by": "random"})
    seen = mixed.describe_data()["test_sources_seen_in_training"]
    assert seen > 0
    assert any(f"{seen} of 20 test pairs have a source that training has too" in note for note in mixed.notes())
    back, _ = make(data={**config, "source": 2})
    assert {example.input for example in back.examples.train} <= {f"{i} {b}" for i in range(20) for _, b in DECK}
    assert back.examples.train[0].target.split()[1] in {a for a, _ in DECK}
    alone = write(tmp_path, "3 Geh.\n4 Lauf!\n", "alone.txt")
    assert back.read(alone, targets=False) == [Example("3 Geh."), Example("4 Lauf!")]


def test_columns_of_pairs_by_name_and_html(tmp_path):
    rows = "".join(f"{i},a <b>{i}</b>,b&nbsp;{i}\n" for i in range(40))
    table = str(write(tmp_path, f"n,en,fr\n{rows}", "p.csv"))
    task, _ = make(data={"path": table, "source": "fr", "target": "en"})
    assert "tags or entities of HTML; data.html: true" in task.notes()[0]
    clean, _ = make(data={"path": table, "source": "fr", "target": "en", "html": True})
    assert clean.notes() == []
    assert set(clean.examples.train) <= {Example(f"b {i}", f"a {i}") for i in range(40)}


def test_a_run_says_which_words_are_not_cut(tmp_path):
    pairs = write(tmp_path, "".join(f"{i} a\t你好世界{i}\n" for i in range(40)))
    task, _ = make(data={"path": str(pairs), "level": "word"})
    (note,) = task.notes()
    assert "level word does not cut words of Chinese" in note
    assert make(data={"path": str(pairs), "level": "char"})[0].notes() == []
    table = write(tmp_path, "text\tlabel\n" + "สวัสดี\ta\nครับ\tb\n" * 20, "t.tsv")
    config = parse_config({"task": "classification", "data": {"path": str(table), "level": "word"}})
    labels = find_task("classification")(config)
    labels.prepare()
    assert "words of Thai" in labels.notes()[0]


def test_without_sacrebleu_the_message_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.partition(".")[0] == "sacrebleu":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.delitem(sys.modules, "sacrebleu", raising=False)
    with pytest.raises(DataError, match=r'pip install "tinyseq\[bleu\]"'):
        make(decode={"bleu": True})
    with pytest.raises(ConfigError, match=r"decode\.bleu: true"):
        make(decode={"measure": "bleu"})


def test_captions_of_shapes(tmp_path):
    config = {
        "task": "captioning",
        "data": {"count": 60, "size": 8},
        "model": {"cell": "gru", "hidden_size": 8, "encoder_size": 8, "patch": 4, "attention": "additive"},
        "train": {"steps": 3, "batch_size": 16},
        "decode": {"beam": 2},
    }
    result = run(config, output=tmp_path)
    trained = load(result.directory)
    found = trained.predict([np.zeros((8, 8, 3)), np.ones((8, 8, 3)).tolist()])
    assert [p["input"] for p in found] == ["input 0", "input 1"]
    assert len(found[0]["others"]) >= 1
    with pytest.raises(ShapeError, match=r"as in training(.|\n)*input 0"):
        trained.predict([np.zeros(5)])
    assert trained.evaluate() == pytest.approx(result.metrics)


def test_captions_of_ones_own_features(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(x, "a red thing" if x[0] > 0 else "some blue one") for x in rng.normal(size=(120, 3)) * 50]
    table = write(tmp_path, "x,y,z,caption\n" + "".join(f"{x[0]},{x[1]},7,{c}\n" for x, c in rows), "own.csv")
    config = {
        "task": "captioning",
        "data": {"path": str(table), "split": [0.7, 0.15, 0.15]},
        "model": {"cell": "gru", "hidden_size": 16, "encoder_size": 16, "embedding_size": 8},
        "train": {"steps": 60, "batch_size": 32, "evaluate_every": 20, "optimizer": {"lr": 0.02}},
    }
    result = run(config, output=tmp_path / "runs")
    assert result.metrics["exact_match"] > 0.8
    assert result.baselines["commonest sentence"]["exact_match"] < 0.8
    unlabelled = write(tmp_path, "x,y,z\n90,0,7\n-90,0,7\n", "new.csv")
    found = load(result.directory).predict(unlabelled)
    assert [p["prediction"] for p in found] == ["a red thing", "some blue one"]
    assert [p["input"] for p in found] == ["line 2", "line 3"]


def test_a_language_model_of_words(tmp_path):
    text = write(
        tmp_path, "the dog sleeps, and the fox runs away.\nthe fox sleeps.\n" * 60 + "a rare word\n", "text.txt"
    )
    config = {
        "task": "language_model",
        "data": {"path": str(text), "level": "word", "min_count": 2},
        "model": {"hidden_size": 12, "embedding_size": 6},
        "train": {"steps": 30, "batch_size": 4, "bptt": {"every": 8}, "optimizer": {"lr": 0.02}},
        "sample": {"length": 12, "prime": "the fox", "count": 1},
    }
    result = run(config, output=tmp_path / "runs")
    assert result.metrics["perplexity"] == pytest.approx(2 ** result.metrics["bpw"])
    assert result.baselines["bigram"]["bpw"] < result.baselines["unigram"]["bpw"]
    trained = load(result.directory)
    assert trained.task.vocabulary.unknown is not None
    assert "sleeps" in trained.task.vocabulary.tokens
    prime, more = trained.task.sample(trained.model, prime="the  fox,", length=5)
    assert prime == "the fox,"
    assert more.startswith((" ", ".", ",", "\n"))
    assert "<unk>" not in more
    (told,) = trained.predict(["the fox barks"])
    assert told["bpw"] > 0
    assert "bits per word" in trained.task.as_text(told)
    assert trained.evaluate()["bpw"] == pytest.approx(result.metrics["bpw"])
