"""Tables and examples: what is read, and errors that name row and column."""

from __future__ import annotations

import numpy as np
import pytest

from tinyseq.data.examples import Example, read_sequences, read_texts, read_vectors, split_examples
from tinyseq.data.tables import read_table
from tinyseq.errors import DataError


@pytest.fixture
def write(tmp_path):
    def make(text: str, name: str = "t.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return make


def test_tabs_are_never_quoted_and_commas_are(write):
    tabs = read_table(write('label\ttext\ncode\tx = "a, b\nprose\t"quoted"\n', "t.tsv"))
    assert tabs.rows == [["code", 'x = "a, b'], ["prose", '"quoted"']]
    commas = read_table(write('label,text\ncode,"x, ""y""\nz"\n\nprose,b\n'))
    assert commas.rows == [["code", 'x, "y"\nz'], ["prose", "b"]]
    assert commas.lines == [3, 5], "where a row ends, blank lines counted"
    assert read_table(write("a;b\n1;2\n")).columns == ("a", "b")
    assert read_table(write("1,2\n3,4\n"), header=False).columns == ("1", "2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n3\n", r"ragged row[\s\S]*2 fields: a, b[\s\S]*1 fields[\s\S]*line 3"),
        ("a,b\n1,2\n3,4,5\n", r"ragged row[\s\S]*3 fields[\s\S]*line 3"),
        ("a,b\n", "without rows"),
        ("a,a\n1,2\n", r"two columns of one name[\s\S]*'a'"),
        ('a,b\n1,"2\n', r"malformed row[\s\S]*line 2"),
        ("", "empty"),
    ],
)
def test_tables_that_are_none(write, text, words):
    with pytest.raises(DataError, match=words):
        read_table(write(text))


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("", r"missing value[\s\S]*line 3, column 'b'"),
        ("NA", r"missing value[\s\S]*'NA'[\s\S]*line 3, column 'b'"),
        ("nan", "missing value"),
        ("x1", r"not a number[\s\S]*'x1'[\s\S]*line 3, column 'b'"),
        ("inf", "not a number"),
    ],
)
def test_numbers_name_row_and_column(write, field, words):
    table = read_table(write(f"a,b\n1,2\n3,{field}\n"))
    assert table.numbers(["a"]).tolist() == [[1.0], [3.0]]
    with pytest.raises(DataError, match=words):
        table.numbers(["a", "b"])


def test_texts_and_columns_are_checked(write):
    table = read_table(write("label,text\nx, hi \ny,\n"))
    assert table.texts("label") == ["x", "y"]
    with pytest.raises(DataError, match=r"missing value[\s\S]*line 3, column 'text'"):
        table.texts("text")
    with pytest.raises(DataError, match=r"no column 'lable'[\s\S]*did you mean 'label'"):
        table.texts("lable")


def test_texts_with_and_without_targets(write):
    path = write("label\ttext\nx\thello\n", "t.tsv")
    assert read_texts(path, text="text", target="label") == [Example("hello", "x")]
    bare = write("text\nhello\n", "bare.csv")
    assert read_texts(bare, text="text", target="label", targets=False) == [Example("hello")]
    with pytest.raises(DataError, match="no column 'label'"):
        read_texts(bare, text="text", target="label")
    lines = write("one, two\n\n three\n", "lines.txt")
    assert read_texts(lines, text="text", target="label", targets=False) == [Example("one, two"), Example("three")]


def test_vectors(write):
    (first, second) = read_vectors(write("a,b,y\n1,2,p\n3,4,q\n"), columns=None, target="y", kind="label")
    assert (first.input.tolist(), first.target, second.target) == ([1.0, 2.0], "p", "q")
    (only,) = read_vectors(write("a,b,y\n1,2,7\n"), columns=["b"], target="y", kind="number")
    assert (only.input.tolist(), only.target.tolist()) == ([2.0], [7.0])
    with pytest.raises(DataError, match="no column of features"):
        read_vectors(write("y\n1\n"), columns=None, target="y", kind="number")


ROWS = "id,v,y\na,1,5\na,2,5\nb,3,6\n"


def test_sequences(write):
    found = read_sequences(write(ROWS), sequence="id", columns=None, target="y", kind="number")
    assert [one.input.tolist() for one in found] == [[[1.0], [2.0]], [[3.0]]]
    assert [one.target.tolist() for one in found] == [[5.0], [6.0]]
    for text, words in (
        (ROWS.replace("a,2,5", "a,2,4"), r"target changes[\s\S]*'5', as in line 2[\s\S]*'4'[\s\S]*line 3, column 'y'"),
        (ROWS + "a,1,5\n", r"sequence in two places[\s\S]*line 5"),
    ):
        with pytest.raises(DataError, match=words):
            read_sequences(write(text), sequence="id", columns=None, target="y", kind="number")


def test_split_covers_everything_once_and_takes_given_parts():
    parts = split_examples(list(range(100)), [0.8, 0.1, 0.1], np.random.default_rng(0))
    assert [len(part) for part in (parts.train, parts.valid, parts.test)] == [80, 10, 10]
    assert sorted(parts.train + parts.valid + parts.test) == list(range(100))
    given = split_examples(list(range(9)), [0.8, 0.1, 0.1], np.random.default_rng(0), test=[7, 7])
    assert (len(given.train), len(given.valid), given.test) == (8, 1, [7, 7])
    with pytest.raises(DataError, match="no examples for the valid part"):
        split_examples([1, 2], [0.8, 0.1, 0.1], np.random.default_rng(0))
