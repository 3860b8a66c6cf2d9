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
