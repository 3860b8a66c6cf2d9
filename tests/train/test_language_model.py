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


def expected(logits, draws, temperature, top=None):
    """What is chosen, in NumPy by another way, and how far each draw is from where it would be another choice."""
    logits = np.float64(logits)
    if top is not None:
        logits = np.where(logits < np.sort(logits, -1)[:, -top, None], -np.inf, logits)
    shares = np.exp((logits - logits.max(-1, keepdims=True)) / temperature)
    reached = np.cumsum(shares / shares.sum(-1, keepdims=True), -1)
    chosen = [np.searchsorted(row, draw, side="right") for row, draw in zip(reached, draws, strict=True)]
    return np.array(chosen), np.abs(reached - draws[:, None]).min(-1)


def writer(tmp_path, **overrides):
    """A model of float32 that is sure of little, so that the draws decide."""
    task, model = make(tmp_path, **{"dtype": "float32", **overrides})
    model.cast("float32").head.W.assign(model.head.W * 5.0)
    return task, model


def written(task, model, steps, seed=0, **how):
    """Tokens, as the task says them; what it was given to begin with is not among them."""
    draws = np.random.default_rng(seed).random(steps)
    return task.chosen(model, np.array([3]), draws, how.pop("temperature", 0.8), **how), draws


@pytest.mark.parametrize("top", [0, 4])
def test_on_numpy_a_compiled_loop_writes_the_tokens_of_an_eager_one(tmp_path, top):
    task, model = writer(tmp_path)
    compiled, _ = written(task, model, 2000, top_k=top)
    eager, _ = written(writer(tmp_path, compile=False)[0], model, 2000, top_k=top)
    assert len(np.unique(compiled)) > 15
    np.testing.assert_array_equal(compiled, eager)


def check_choices(task, model, steps, top):
    """Eager tokens are given; each choice that is not a matter of rounding must be that of NumPy."""
    with ts.backend("numpy"):
        tokens, draws = written(task, model, steps, top_k=top)
        tokens = np.concatenate([[3], tokens])
        with ts.no_grad():
            ys, _ = model(ts.tensor(tokens[None, :-1]))
            chosen, distance = expected(model.logits(ys).numpy(), draws, 0.8, top or None)
    with ts.backend("llvm"):
        task._looped = None
        found = task.chosen(model, tokens, draws, 0.8, top)
        assert task._looped[2].function is not None
        notes = task._looped[2].function.entry_of_last_call().take().notes()
    assert not any("left to NumPy" in note for note in notes)
    clear = distance > 1e-5
    assert clear.mean() > 0.99
    np.testing.assert_array_equal(found[clear], chosen[clear])


@pytest.mark.parametrize("top", [0, 4])
def test_on_llvm_each_clear_choice_is_that_of_numpy(tmp_path, top):
    pytest.importorskip("llvmlite")
    check_choices(*writer(tmp_path), 2000, top)


@pytest.mark.slow
def test_on_llvm_each_of_100_000_clear_choices_is_that_of_numpy(tmp_path):
    pytest.importorskip("llvmlite")
    check_choices(*writer(tmp_path, **{"model.hidden_size": 64}), 100_000, 0)


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_a_seed_writes_one_text_whatever_was_written_before(tmp_path, backend):
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    with ts.backend(backend):
        task, model = writer(tmp_path)
        first = task.sample(model, prime="the ", length=200, seed=4)
        task.sample(model, prime="a quick fox ", length=7, temperature=2.0, top_k=3, seed=5)
        assert task.sample(model, prime="the ", length=200, seed=4) == first
        again = writer(tmp_path)[0]
        assert again.sample(model, prime="the ", length=200, seed=4) == first
        assert again.sample(model, prime="the ", length=90, seed=4)[1] == first[1][:90]


@pytest.mark.parametrize("length", [0, 1, 3, 64, 65])
@pytest.mark.parametrize("read", [1, 2, 63, 64, 65, 150])
def test_the_prime_may_be_of_any_length(tmp_path, read, length):
    """What follows it is what one unroll over the prime, and then over what was written, makes likeliest."""
    task, model = writer(tmp_path)
    prime = TEXT[:read]
    begun, text = task.sample(model, prime=prime, length=length, temperature=0.0)
    assert begun == prime
    assert len(text) == length
    with ts.no_grad():
        ys, _ = model(ts.tensor(task.vocabulary.encode(prime + text)[None]))
    likeliest = model.logits(ys).numpy().argmax(-1)[read - 1 : read - 1 + length]
    assert task.vocabulary.decode(likeliest) == text


def test_few_tokens_follow_where_few_may(tmp_path):
    task, model = writer(tmp_path)
    assert task.sample(model, length=80, temperature=1.5, top_k=1) == task.sample(model, length=80, temperature=0.0)
    tokens = len(task.vocabulary.tokens)
    for wrong in (tokens + 1, -1):
        with pytest.raises(DataError, match=rf"top_k(.|\n)*1 to {tokens}, or 0 for all(.|\n)*got +{wrong}"):
            task.sample(model, top_k=wrong)
    assert task.sample(model, length=40, top_k=tokens) == task.sample(model, length=40, top_k=0)


def test_a_cell_that_looks_at_values_writes_eagerly_and_says_why(tmp_path, caplog):
    task, model = writer(tmp_path)
    expected, _ = written(task, model, 30)
    inner = model.step

    def step(tokens, state):
        return inner(tokens, state) if float(tokens.sum()) >= 0.0 else None

    object.__setattr__(model, "step", step)
    task._looped = None
    with caplog.at_level("INFO", "tinyseq.compiler"):
        np.testing.assert_array_equal(written(task, model, 30)[0], expected)
    assert "not compiled, runs eagerly: " in caplog.text
