"""Tokens and back, vocabularies with counts, sentence pairs, features with captions."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyseq.data.features import read_features, vector
from tinyseq.data.sentences import read_pairs
from tinyseq.data.tokens import build_vocabulary, find_level, vocabulary_of
from tinyseq.errors import DataError

WORDS = find_level("word")


def test_words():
    text = 'The well-known "cat" (3.14): isn\'t it?\nA <unk>, 5%.'
    cut = WORDS.cut(text)
    assert cut[:6] == ["The", "well-known", '"', "cat", '"', "("]
    assert cut[6:14] == ["3.14", ")", ":", "isn't", "it", "?", "\n", "A"]
    assert cut[14:] == ["<unk>", ",", "5", "%", "."]
    assert WORDS.join(cut) == 'The well-known " cat " (3.14): isn\'t it?\nA <unk>, 5%.'
    assert WORDS.join([]) == ""


@given(st.text(alphabet="ab1é '’-.,:;()[]<>$#%\n\"“”_", max_size=40))
def test_joined_words_are_cut_as_before(text):
    cut = WORDS.cut(text)
    assert WORDS.cut(WORDS.join(cut)) == cut


@given(st.text(max_size=40))
def test_characters_lose_nothing(text):
    level = find_level("char")
    assert level.join(level.cut(text)) == text


def test_an_unknown_level_is_refused():
    with pytest.raises(DataError, match="did you mean 'word'"):
        find_level("words")


def test_rare_tokens_share_the_unknown_entry():
    texts = [["b", "a", "a"], ["a", "c", "c"]]
    assert build_vocabulary(texts).tokens == ("a", "b", "c")
    assert build_vocabulary(texts).unknown is None
    few = build_vocabulary(texts, min_count=2, specials=["<end>"])
    assert few.tokens == ("<end>", "a", "c")
    assert few.encode(["b", "c"]).tolist() == [few.unknown, 2]
    assert few.lookup([few.unknown, 1]) == ["<unk>", "a"]
    assert build_vocabulary(texts, max_size=1).tokens == ("a",)
    assert build_vocabulary([["b", "a"]], max_size=1).tokens == ("a",)  # of equals the first in the alphabet


def test_a_text_may_come_with_unk():
    found = build_vocabulary([["a", "<unk>"]])
    assert found.tokens == ("a",)
    assert found.encode(["<unk>"]).tolist() == [found.unknown]


def test_held_out_tokens_decide_about_the_unknown_entry():
    assert vocabulary_of([["a"]], ["a"]).unknown is None
    assert vocabulary_of([["a"]], ["a", "b"]).unknown == 1


def write(tmp_path, text, name="pairs.tsv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_pairs(tmp_path):
    path = write(tmp_path, "ein Hund\ta dog\r\n\n eine Katze \t a cat \n")
    assert read_pairs(path) == [("ein Hund", "a dog"), ("eine Katze", "a cat")]
    path = write(tmp_path, "ein Hund\neine Katze\ta cat\nein Tier\t\n")
    assert read_pairs(path, targets=False) == [("ein Hund", None), ("eine Katze", "a cat"), ("ein Tier", None)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\nein Hund  a dog\n", r"0 tabs in 'ein Hund  a dog'.*line 2.*must be a tab"),
        ("a\tb\n\na\tb\tc\n", r"2 tabs.*line 3"),
        ("a\tb\nc\t \n", r"without its target.*line 2"),
        ("\tb\n", r"without its source.*line 1"),
        ("", "empty"),
    ],
)
def test_malformed_pairs_are_named(tmp_path, text, message):
    with pytest.raises(DataError, match=re.compile(message, re.DOTALL)):
        read_pairs(write(tmp_path, text))


def test_features_in_lines_and_in_a_table(tmp_path):
    lines = [{"features": [[1, 2], [3, 4]], "caption": "a dog", "name": "one"}, {"features": [[0, 0], [0, 1]]}]
    path = write(tmp_path, "\n".join(map(json.dumps, lines)), "f.jsonl")
    first, second = read_features(path, caption="caption", targets=False)
    assert (first.input.name, first.target) == ("one", "a dog")
    np.testing.assert_array_equal(first.input.values, [[1, 2], [3, 4]])
    assert (second.input.name, second.target) == ("line 2", None)
    path = write(tmp_path, "x,y,says\n1,2,a dog\n3,4.5,a cat\n", "f.csv")
    first, second = read_features(path, caption="says")
    assert second.input.values.tolist() == [3.0, 4.5]
    assert (first.target, second.input.name) == ("a dog", "line 3")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "f.jsonl",
            '{"features": [1], "caption": "a"}\n{"features": [1, 2], "caption": "b"}',
            r"different sizes.*line 2",
        ),
        ("f.jsonl", '{"features": [1], "caption": "a"}\nno json', r"not JSON.*line 2"),
        ("f.jsonl", '{"caption": "a"}', r"without features.*line 1"),
        ("f.jsonl", '{"features": [1]}', r"without its caption.*line 1"),
        ("f.jsonl", '{"features": [1, "x"], "caption": "a"}', r"not a vector.*line 1"),
        ("f.jsonl", '{"features": [[1], [1, 2]], "caption": "a"}', r"not a vector.*line 1"),
        ("f.csv", "x,caption\n1,a\nq,b\n", r"not a number.*line 3"),
        ("f.csv", "x,caption\n1,a\n2\n", r"ragged.*line 3"),
        ("f.csv", "caption\na\n", r"no column of features"),
    ],
)
def test_malformed_features_are_named(tmp_path, name, text, message):
    with pytest.raises(DataError, match=re.compile(message, re.DOTALL)):
        read_features(write(tmp_path, text, name), caption="caption")


@pytest.mark.parametrize("values", [[], 3.0, [float("nan")], None, ["a"]])
def test_what_is_no_vector_is_refused(values):
    with pytest.raises(DataError, match="not a vector"):
        vector(values, "input 0")
