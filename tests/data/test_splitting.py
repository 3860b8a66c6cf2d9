"""Splits by class, group and time."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tinyseq.data.examples import Example, read_keys, read_vectors
from tinyseq.data.splitting import in_order, split_examples
from tinyseq.errors import DataError

SHARES = [0.8, 0.1, 0.1]


def parts(examples, by, keys=None, shares=SHARES, seed=0, **given):
    found = split_examples(examples, shares, np.random.default_rng(seed), by=by, keys=keys, **given)
    return found.train, found.valid, found.test


def test_by_class_each_part_has_its_share_of_each():
    keys = ["a"] * 700 + ["b"] * 200 + ["c"] * 100
    for seed in range(5):
        found = parts(keys, "class", keys, seed=seed)
        assert [Counter(part) for part in found] == [
            {"a": 560, "b": 160, "c": 80}, {"a": 70, "b": 20, "c": 10}, {"a": 70, "b": 20, "c": 10},
        ]  # fmt: skip
    assert parts(range(1000), "class", keys) != parts(range(1000), "class", keys, seed=1), "it is shuffled"


def test_a_class_that_is_there_once_is_trained_on():
    keys = ["a"] * 60 + ["b"]
    assert all("b" in parts(keys, "class", keys, seed=seed)[0] for seed in range(20))


def test_by_group_none_is_in_two_parts():
    keys = [f"patient {i // 7}" for i in range(350)]
    train, valid, test = map(set, parts(keys, "group", keys))
    assert (len(train), len(valid), len(test)) == (40, 5, 5)
    assert train & valid == train & test == valid & test == set()
    assert train | valid | test == set(keys)
    # Three groups of very different size are one a part, whatever the shares.
    keys = ["a"] * 5 + ["b"] * 90 + ["c"] * 5
    assert [len(set(part)) for part in parts(keys, "group", keys)] == [1, 1, 1]
    with pytest.raises(DataError, match=r"no examples for the \w+ part[\s\S]*of 2 groups"):
        parts("aabb", "group", "aabb")


def test_in_time_the_test_comes_last():
    times = np.random.default_rng(3).permutation(100).tolist()
    train, valid, test = parts(times, "time", times)
    assert (train, valid, test) == ([*range(80)], [*range(80, 90)], [*range(90, 100)])
    assert parts([*range(50)], "time") == ([*range(40)], [*range(40, 45)], [*range(45, 50)])
    # One day is in one part.
    days = [i // 4 for i in range(90)]
    train, valid, test = map(set, parts(days, "time", days))
    assert max(train) < min(valid) <= max(valid) < min(test)


def test_parts_that_are_given_stay():
    train, valid, test = parts([*range(90)], "time", test=[500])
    assert (train[-1], valid[0], test) == (79, 80, [500])


def test_times_are_numbers_or_dates():
    assert in_order(["10", "9", "-1.5"], "") == [10.0, 9.0, -1.5]
    dates = in_order(["2024-02-01", "2023-12-31T23:00"], "")
    assert dates[1] < dates[0]
    for strange in (["31.12.2023"], ["1", "2023-01-01"], ["nan"], ["2023-01-01", "2023-01-01T00:00+00:00"]):
        with pytest.raises(DataError, match=r"cannot be put in order[\s\S]*t\.csv"):
            in_order(strange, "t.csv")


def test_keys_are_read_from_their_column(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("who,run,x,label\nA,1,0.5,u\nA,1,0.6,u\nB,2,0.7,v\n")
    assert read_keys(path, "who") == ["A", "A", "B"]
    assert read_keys(path, "who", sequence="run") == ["A", "B"]
    first = read_vectors(path, columns=None, target="label", kind="label", apart=("who", "run"))[0]
    assert (first.input.tolist(), first.target) == Example([0.5], "u")
