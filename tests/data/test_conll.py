"""CoNLL files, and the entities that tags mean."""

from __future__ import annotations

import pytest

from tinyseq.data.conll import Tagged, most_frequent_tags, read_conll
from tinyseq.data.measures import Span, confusion_matrix, errors, macro_f1, span_scores, spans
from tinyseq.data.tagging import entity_sentences, to_conll
from tinyseq.errors import DataError

TEXT = "-DOCSTART- -X- O\n\nAda NNP B-PER\nAdams NNP I-PER\nleft VBD O\n\n\nRome NNP B-LOC\n"


def test_sentences_are_read(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text(TEXT, encoding="utf-8")
    assert read_conll(path) == [
        Tagged(("Ada", "Adams", "left"), ("B-PER", "I-PER", "O")),
        Tagged(("Rome",), ("B-LOC",)),
    ]
    path.write_text("Ada\nleft\n")
    assert read_conll(path, targets=False) == [Tagged(("Ada", "left"))]


def test_what_the_generator_writes_is_read_back(tmp_path):
    made = entity_sentences(20, 0)
    path = tmp_path / "a.conll"
    path.write_text(to_conll(made), encoding="utf-8")
    assert [list(zip(*sentence, strict=True)) for sentence in read_conll(path)] == made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ada B-PER\nAdams\n", r"a word without its tag[\s\S]*'Adams'[\s\S]*line 2"),
        ("Ada B-PER\nAdams X I-PER\n", r"another number of columns[\s\S]*2, as in[\s\S]*3: [\s\S]*line 2"),
        ("Ada PER\n", r"not a tag of named entities[\s\S]*'PER'[\s\S]*line 1[\s\S]*scheme: none"),
        ("Ada O\nAdams I-PER\n", r"does not begin[\s\S]*B-PER[\s\S]*I-PER after O[\s\S]*line 2[\s\S]*iob1"),
        ("Ada B-LOC\nAdams I-PER\n", "does not begin"),
        ("Ada B-PER\n\nAdams I-PER\n", r"does not begin[\s\S]*line 3"),
        ("-DOCSTART- O\n", "without sentences"),
    ],
)
def test_malformed_lines_are_named(tmp_path, text, words):
    path = tmp_path / "a.conll"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_conll(path)


def test_iob1_becomes_iob2_and_other_tags_stay(tmp_path):
    path = tmp_path / "a.conll"
    path.write_text("a I-PER\nb I-PER\nc B-PER\nd I-LOC\ne O\nf I-LOC\n")
    (sentence,) = read_conll(path, scheme="iob1")
    assert sentence.tags == ("B-PER", "I-PER", "B-PER", "B-LOC", "O", "B-LOC")
    path.write_text("a DET\nb NOUN\n")
    assert read_conll(path, scheme="none")[0].tags == ("DET", "NOUN")


def test_spans_are_strict():
    assert spans(["B-A", "I-A", "I-B", "O", "I-A", "B-A", "B-A"]) == {Span("A", 0, 2), Span("A", 5, 6), Span("A", 6, 7)}
    assert spans([]) == set()


def test_span_scores_by_hand():
    gold = [["B-A", "I-A", "O", "B-B"], ["B-A"]]
    found = [["B-A", "O", "O", "B-B"], ["B-A"]]
    scores = span_scores(gold, found)
    assert (scores["all"].precision, scores["all"].recall, scores["all"].support) == (2 / 3, 2 / 3, 3)
    assert scores["A"].f1 == 0.5
    assert scores["B"].f1 == 1.0
    assert span_scores([["O"]], [["O"]])["all"].f1 == 0.0, "nothing to find is no success"


def test_confusion_and_errors_by_hand():
    matrix = confusion_matrix([0, 0, 1, 1], [0, 1, 1, 1], 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert macro_f1(matrix) == pytest.approx((2 / 3 + 4 / 5) / 2), "a class that never occurs does not count"
    import numpy as np

    assert errors(np.array([0.0, 2.0]), np.array([1.0, 1.0])) == {"rmse": 1.0, "mae": 1.0, "r2": 0.0}


def test_most_frequent_tags():
    best, other = most_frequent_tags([Tagged(("a", "b"), ("X", "O")), Tagged(("a", "a", "c"), ("Y", "Y", "O"))])
    assert (best, other) == ({"a": "Y", "b": "O", "c": "O"}, "O")
