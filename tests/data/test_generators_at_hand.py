"""Real data that is at hand, against where it comes from."""

from __future__ import annotations

import importlib
import re

import numpy as np
import pytest

from tinyseq.data import at_hand
from tinyseq.errors import DataError


def test_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    digits = at_hand.load_digits()
    assert digits.train_images.shape == (1297, 8, 8)
    assert digits.test_images.shape == (500, 8, 8)
    assert digits.train_images.dtype == np.float32
    bunch = datasets.load_digits()
    assert (np.concatenate([digits.train_images, digits.test_images]).reshape(-1, 64) * 16 == bunch.data).all()
    assert (np.concatenate([digits.train_labels, digits.test_labels]) == bunch.target).all()


def test_digits_without_scikit_learn_name_the_extra(monkeypatch):
    def refuse(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(DataError, match=r"tinyseq\[digits\]"):
        at_hand.load_digits()


def test_sunspots():
    years, numbers = at_hand.load_sunspots()
    assert years.tolist() == list(range(1700, 2009))
    assert numbers.shape == (309,)
    assert (numbers[0], numbers[257], numbers[-1]) == (5.0, 190.2, 2.9)  # 1957: the highest yearly mean
    assert numbers.argmax() == 257
    assert numbers.min() == 0.0


def test_sunspots_are_those_of_statsmodels():
    sunspots = pytest.importorskip("statsmodels.datasets.sunspots")
    frame = sunspots.load_pandas().data
    years, numbers = at_hand.load_sunspots()
    assert (frame["YEAR"].to_numpy() == years).all()
    assert (frame["SUNACTIVITY"].to_numpy() == numbers).all()


def test_code_or_prose():
    records = at_hand.code_or_prose(1001, 0)
    assert len(records) == 1001
    assert sum(label == "code" for label, _ in records) == 501
    assert {label for label, _ in records} == {"code", "prose"}
    assert len({text for _, text in records}) == 1001
    for _, text in records:
        assert 20 <= len(text) <= 80
        assert text == text.strip()
        assert "\t" not in text
        assert "\n" not in text
    labels = [label for label, _ in records]
    assert labels != sorted(labels)
    # A rough rule tells the two apart most of the time, so the labels are the right way round, but not always.
    rule = re.compile(
        r"[=(\[]|^(if|for|def|class|return|import|from|try|except|raise|elif|else|while|with|assert)\b.*\S$"
    )
    guesses = ["code" if rule.search(text) and not text.endswith((".", ",")) else "prose" for _, text in records]
    right = np.mean([guess == label for guess, label in zip(guesses, labels, strict=True)])
    assert 0.8 < right < 0.999


def test_code_or_prose_by_seed_and_limit():
    assert at_hand.code_or_prose(50, 1) == at_hand.code_or_prose(50, 1)
    assert at_hand.code_or_prose(50, 1) != at_hand.code_or_prose(50, 2)
    with pytest.raises(DataError, match="at most"):
        at_hand.code_or_prose(10**6, 0)


def test_code_has_no_docstrings_and_comments():
    source = '"""A docstring that is long enough to count."""\nvalue = compute(argument, other)  # why it is so\n\n\n'
    source += 'def f():\n    """Another docstring, long enough too."""\n    return function_of_something()\n'
    assert at_hand._statements(source) == ["value = compute(argument, other)", "return function_of_something()"]
