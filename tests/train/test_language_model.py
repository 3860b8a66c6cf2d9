"""The language model: carried state, truncation, evaluation, sampling."""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest

import tinyseq as ts
from support.smallruns import CONFIG, TEXT, write_config
from tinyseq import nn
from tinyseq.errors import DataError
from tinyseq.train.config.run_config import parse_config
from tinyseq.train.config.yaml import parse
from tinyseq.train.tasks.language_model import LanguageModel
from tinyseq.train.tasks.language_model.sampling import choose


def make(tmp_path, corpus=TEXT, **overrides):
    write_config(tmp_path, corpus=corpus)
    given = {"data.path": str(tmp_path / "text.txt"), "dtype": "float64", "model.dropout": 0.0, **overrides}
    task = LanguageModel(parse_config(parse(CONFIG).data, given))
    task.prepare()
    return task, task.build().cast("float64").eval()


def unbroken(task, model, ids):
    """The mean loss of one unroll over everything."""
    ys, _ = model(ts.tensor(ids[None, :-1]))
    return nn.cross_entropy(model.logits(ys), ts.tensor(ids[1:]), reduction="mean")


def test_evaluation_in_chunks_equals_one_unbroken_unroll(tmp_path):
    task, model = make(tmp_path, **{"train.batch_size": 1, "train.bptt": {"every": 7}})
    found = task.evaluate(model, "test")
    expected = float(unbroken(task, model, task.ids.test).item())
    assert found["loss"] == pytest.approx(expected, rel=1e-12)
    assert found["bpc"] == pytest.approx(expected / math.log(2))
    assert found["perplexity"] == pytest.approx(math.exp(expected))
    assert found["tokens"] == len(task.ids.test) - 1


def test_training_windows_carry_the_state(tmp_path):
    task, model = make(tmp_path, **{"train.batch_size": 1, "train.bptt": {"every": 8}})
    state, losses = None, []
    for window in islice(task.batches(), 5):
        result = task.step(model, window, state)
        state = ts.detach(result.state)
        losses.append(float(result.loss.item()))
    assert np.mean(losses) == pytest.approx(float(unbroken(task, model, task.ids.train[:41]).item()), rel=1e-12)


@pytest.mark.parametrize("back", [8, 11, 16, 30])
def test_gradients_flow_back_exactly_so_many_steps(tmp_path, back):
    every, number = 8, 3
    task, model = make(tmp_path, **{"train.batch_size": 2, "train.bptt": {"every": every, "back": back}})
    state = None
    for window in islice(task.batches(), number + 1):
        model.zero_grad()
        result = task.step(model, window, state)
        result.loss.backward()
        state = ts.detach(result.state)
    found = {name: p.grad.numpy().copy() for name, p in model.named_parameters()}

    # The same by hand: the state without a gradient up to the window's start, then one unroll over the window.
    model.zero_grad()
    length = (len(task.ids.train) - 1) // 2
    inputs = task.ids.train[: 2 * length].reshape(2, length)
    targets = task.ids.train[1 : 2 * length + 1].reshape(2, length)
    end = (number + 1) * every
    start = max(0, end - back)
    before = None
    if start:
        with ts.no_grad():
            _, before = model(ts.tensor(inputs[:, :start]))
    ys, _ = model(ts.tensor(inputs[:, start:end]), before)
    newest = model.logits(ys[:, -every:])
    nn.cross_entropy(newest, ts.tensor(targets[:, end - every : end].reshape(-1)), reduction="mean").backward()
    for name, p in model.named_parameters():
        np.testing.assert_allclose(found[name], p.grad.numpy(), rtol=1e-9, atol=1e-12, err_msg=name)


def test_unknown_entry_only_where_held_out_text_needs_it(tmp_path):
    task, _ = make(tmp_path)
    assert task.vocabulary.unknown is None
    strange, model = make(tmp_path, corpus=TEXT + "§" * 3)
    assert strange.vocabulary.unknown == len(task.vocabulary)
    assert strange.describe_data()["held_out_unknown"] == 3
    _, text = strange.sample(model, prime="the §", length=50, temperature=5.0)
    assert "\N{REPLACEMENT CHARACTER}" not in text


def test_text_too_short_is_refused(tmp_path):
    with pytest.raises(DataError, match="too short for its batches"):
        make(tmp_path, corpus="short " * 6)
    with pytest.raises(DataError, match="test part has nothing to predict"):
        make(tmp_path, corpus="a" * 600, **{"data.split": [0.989, 0.01, 0.001]})


def test_baselines_are_judged_on_the_positions_of_the_model(tmp_path):
    task, model = make(tmp_path)
    found = task.baselines()
    assert found["bigram"]["bpc"] < found["unigram"]["bpc"] < math.log2(len(task.vocabulary))
    ids = task.ids
    counts = np.bincount(ids.train[1:], minlength=len(task.vocabulary)) + found["unigram"]["alpha"]
    by_hand = -np.log2(counts / counts.sum())[ids.test[1:]]
    assert found["unigram"]["bpc"] == pytest.approx(by_hand.mean())
    assert by_hand.size == task.evaluate(model, "test")["tokens"]


def test_samples_depend_on_seed_and_temperature(tmp_path):
    task, model = make(tmp_path)
    draw = lambda **how: task.sample(model, prime="the ", length=60, **how)[1]  # noqa: E731
    assert draw(seed=1, temperature=1.0) == draw(seed=1, temperature=1.0)
    assert draw(seed=1, temperature=1.0) != draw(seed=2, temperature=1.0)
    assert draw(seed=1, temperature=0.0) == draw(seed=2, temperature=0.0)
    assert len(set(draw(temperature=0.05))) < len(set(draw(temperature=3.0)))
    with pytest.raises(DataError, match="empty prime"):
        task.sample(model, prime="")
    with pytest.raises(DataError, match=r"'É', 'é', first at position 1"):
        task.sample(model, prime="tée É")


def test_choose_follows_the_tempered_distribution():
    logits = np.log(np.array([0.1, 0.6, 0.3]))
    draws = (np.arange(1000) + 0.5) / 1000
    shares = np.bincount([choose(logits, 1.0, d) for d in draws], minlength=3) / 1000
    np.testing.assert_allclose(shares, [0.1, 0.6, 0.3], atol=0.002)
    halves = np.bincount([choose(logits, 0.5, d) for d in draws], minlength=3) / 1000
    np.testing.assert_allclose(halves, np.array([0.01, 0.36, 0.09]) / 0.46, atol=0.002)
    assert choose(logits, 0.0, 0.99) == 1


def texts(folder, **parts):
    for name, text in parts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return {name if name != "train" else "path": str(folder / f"{name}.txt") for name in parts}


def prepared(data, **sections):
    task = LanguageModel(parse_config({"task": "language_model", "data": data, "train": {"batch_size": 2}, **sections}))
    task.prepare()
    return task


def test_three_files_as_a_treebank_has_them(tmp_path):
    """Perplexity of the literature: over each token between blanks and each line's end, <unk> among them."""
    line = "mr. <unk> is chairman of <unk> n.v. the N publishing group @-@ a \n"
    data = texts(tmp_path, train=f" {line}" * 60, valid=f" {line}" * 4, test=f" {line} new mr. \n")
    task = prepared({**data, "level": "tokens"})
    assert [len(ids) for ids in (task.ids.train, task.ids.valid, task.ids.test)] == [60 * 14, 4 * 14, 14 + 3]
    assert task.describe_data()["test_file"]["corpus"] == data["test"]
    assert (task.describe_data()["train_unknown"], task.describe_data()["held_out_unknown"]) == (120, 8 + 2 + 1)
    model = task.build().eval()
    found = task.evaluate(model, "test")
    assert found["tokens"] == 14 + 3 - 1  # the first is not foretold
    assert found["bpt"] == pytest.approx(math.log2(found["perplexity"]))
    assert found == task.evaluate_on(model, task.part("test"))
    assert task.first_line == line.strip()


def test_files_of_ones_own_need_one_to_train_on(tmp_path):
    data = texts(tmp_path, valid="a b\n" * 9)
    with pytest.raises(ts.errors.ConfigError, match=r"data\.valid.*none to train on"):
        parse_config({"task": "language_model", "data": data})


@pytest.mark.parametrize("level", ["char", "word", "tokens"])
def test_the_prime_is_of_whole_words_of_a_whole_line(tmp_path, level):
    words = ["quick", "brown", "foxes", "jumped", "over", "seventeen", "sleeping", "elephants", "yesterday"]
    lines = [" ".join(words[(i + k) % len(words)] for k in range(25)) for i in range(300)]
    data = texts(tmp_path, train="\n".join(lines) + "\n")
    task = prepared({**data, "level": level})
    assert 60 < len(task.first_line) <= 80
    assert set(task.first_line.split()) <= set(words)
    assert any(line.startswith(task.first_line + " ") for line in lines)
    prime, text = task.sample(task.build().eval(), length=3)
    assert prime == task.first_line
    assert text
    # one line without end: the first word may be a piece of one
    task = prepared({**texts(tmp_path, train=" ".join(lines)), "level": level})
    assert set(task.first_line.split()) <= set(words)


def test_a_run_says_that_words_are_not_cut(tmp_path, capsys):
    data = {**texts(tmp_path, train="สวัสดีครับ ผมชื่อ\n" * 60), "level": "word"}
    config = {"task": "language_model", "data": data, "model": {"hidden_size": 4, "embedding_size": 4}}
    ts.run({**config, "train": {"steps": 1, "batch_size": 2, "bptt": {"every": 4}}}, output=tmp_path / "runs")
    err = capsys.readouterr().err
    assert "level word does not cut words of Thai" in err
    assert "data.level: tokens" in err
    assert prepared({**data, "level": "char"}).notes() == []


def test_numbers_of_tokens_stand_in_bytes(tmp_path):
    task, _ = make(tmp_path)
    assert {ids.dtype for ids in (task.ids.train, task.ids.valid, task.ids.test)} == {np.dtype(np.uint8)}
    window = next(task.batches())
    assert window.inputs.dtype == window.targets.dtype == np.int64
    wide = task.ids.test.astype(np.int64)
    few, many = (list(ts.data.held_out_windows(ids, 3, 7)) for ids in (task.ids.test, wide))
    for one, other in zip(few, many, strict=True):
        np.testing.assert_array_equal(one.inputs, other.inputs)
        np.testing.assert_array_equal(one.targets, other.targets)
