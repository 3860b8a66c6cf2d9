"""Tables and examples: what is read, and errors that name row and column."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
import ruamel.yaml

from tinyseq.data.delimited import Form
from tinyseq.data.examples import Example, read_sequences, read_texts, read_vectors, read_wide, split_examples
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


# -- how files are written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a,b\r\n1,x\r\n2,y\r\n",
        "a,b\r1,x\r2,y\r",
        "a;b\n1;x\n2;y\n",
        "a|b\n1|x\n2|y\n",
        "a\tb\n1\tx\n2\ty\n",
        "\ufeff\na,b\n1,x\n\n2,y\n",
        "a,b\n1,x,\n2,y,\n",
        "a,b\n1,x\n2,y\n,\n,\n",
        "sep=;\na;b\n1;x\n2;y\n",
        "# from a station\na,b\n1,x\n2,y\n",
        '"a"\t"b"\n1\t"x"\n2\t"y"\n',
        "'a'\t'b'\n1\tx\n2\ty\n",
    ],
)
def test_one_table_in_many_forms(write, text):
    table = read_table(write(text))
    assert (table.columns, table.rows) == (("a", "b"), [["1", "x"], ["2", "y"]])
    assert table.numbers(["a"])[:, 0].tolist() == [1.0, 2.0]
    assert table.texts("b") == ["x", "y"]


@pytest.mark.parametrize(
    ("raw", "form"),
    [
        ("a,b\n1,ü\n".encode("utf-16"), Form()),
        ("a,b\n1,ü\n".encode("cp1252"), Form(encoding="cp1252")),
        ("made by hand\n\na,b\n1,ü\n".encode(), Form(skip=2)),
        ("1,ü\n".encode(), Form(header=False, names=("a", "b"))),
        ("x,y\n1,ü\n".encode(), Form(names=("a", "b"))),
        ("a,b\n% no row\n1,ü\n".encode(), Form(comment="%")),
        ("a:b\n1:ü\n".encode(), Form(separator=":")),
        ('a,b\n1,"ü\n'.encode(), Form(quotes=False)),
    ],
)
def test_what_is_said_of_a_form_is_kept_to(tmp_path, raw, form):
    path = tmp_path / "t.csv"
    path.write_bytes(raw)
    table = read_table(path, form=form)
    assert table.columns == ("a", "b")
    assert [[row[0], row[1].strip('"')] for row in table.rows] == [["1", "ü"]]


@pytest.mark.parametrize("letter", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f", "\x00"])
def test_rows_are_cut_where_csv_cuts_them(write, letter):
    """The judge is Python's csv module over the same file."""
    text = f'label,text\npos,a{letter}b\nneg,"c\r\n{letter}d"\n'
    expected = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert read_table(write(text)).rows == expected
    one = f"text\none{letter}1\ntwo\n"
    assert read_table(write(one)).rows == [[f"one{letter}1"], ["two"]]


def test_a_field_is_as_long_as_it_is(write):
    before = csv.field_size_limit()
    long = "word " * 100_000
    assert read_table(write(f'label,text\na,"{long}"\n')).texts("text") == [long.strip()]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("count", [7, 3000])
def test_numbers_alone_are_read_as_others_are(write, count):
    """By NumPy, and where one field is text, by columns: both give what was written."""
    values = np.random.default_rng(0).normal(size=(count, 3)).round(5)
    lines = [",".join(map(str, row)) for row in values.tolist()]
    plain = read_table(write("a,b,c\n" + "\n".join(lines) + "\n"))
    mixed = read_table(write("a,b,c,d\n" + "\n".join(f"{line},x" for line in lines) + "\n", "m.csv"))
    for table in (plain, mixed):
        np.testing.assert_array_equal(table.numbers(["a", "b", "c"]), values)
        np.testing.assert_array_equal(table.numbers(["c", "a"]), values[:, [2, 0]])
    assert [row[:3] for row in mixed.rows] == plain.rows == [line.split(",") for line in lines]
    assert plain.lines == mixed.lines == list(range(2, count + 2))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("112\n118\n132\n", r"may be a row, or the names[\s\S]*112\n +118[\s\S]*data\.header: false"),
        ("2020-01-01,x\n2020-01-02,y\n", r"may be a row[\s\S]*data\.header"),
        ("name,1960,1961\nA,1,2\n", r"may be a row[\s\S]*data\.header: true"),
        ("a;b,c\nx;y,z\nu;v,w\n", r"what separates fields cannot be told[\s\S]*data\.separator"),
        ("# a,b\n# c\na,b\n1,2\n", r"begin with #[\s\S]*data\.comment"),
    ],
)
def test_what_is_not_certain_is_asked(write, text, words):
    with pytest.raises(DataError, match=words):
        read_table(write(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('a\n"1,234"\n"5,678"\n', r"read in two ways[\s\S]*'1,234'[\s\S]*data\.decimal"),
        ("a;b\n1,5;2.5\n2,5;x\n", r"not a number[\s\S]*'x'|decimal points and decimal commas"),
        ("a,b\n1,5\n2,-9999\n3,7\n", r"-9999 may mark[\s\S]*line 3, column 'b'[\s\S]*data\.missing_marks"),
    ],
)
def test_what_a_number_means_is_asked(write, text, words):
    table = read_table(write(text))
    with pytest.raises(DataError, match=words):
        table.numbers(table.columns)


def test_what_is_said_of_numbers_is_kept_to(write):
    path = write('a\n"1,234"\n"5,678"\n')
    assert read_table(path, form=Form(decimal=",")).numbers(["a"])[:, 0].tolist() == [1.234, 5.678]
    assert read_table(path, form=Form(decimal=".")).numbers(["a"])[:, 0].tolist() == [1234.0, 5678.0]
    path = write("a,b\n1,5\n2,-9999\n3,7\n")
    assert np.isnan(read_table(path, form=Form(missing=("-9999",))).numbers(["b"], missing=True)[1, 0])
    assert read_table(path, form=Form(missing=())).numbers(["b"])[1, 0] == -9999.0
    semicolons = read_table(write("a;b\n1,5;2\n1.234,5;3\n"))
    assert semicolons.numbers(["a", "b"]).tolist() == [[1.5, 2.0], [1234.5, 3.0]]


@pytest.mark.parametrize(
    ("header", "first", "found"),
    [
        (",a,y", "{i}", ["a"]),
        ("Unnamed: 0,a,y", "{i}", ["a"]),
        ("Id,a,y", "{n}", ["a"]),
        ("id,a,y", "x{i}", ["a"]),
        ("n,a,y", "{n}", "counts the rows"),
        ("id,a,y", "0", "called like one that names the rows"),
        (",a,y", "0", "has no name"),
        ("b,a,y", "{n}.5", ["b", "a"]),
    ],
)
def test_what_numbers_the_rows_is_no_feature(write, header, first, found):
    rows = "".join(f"{first.format(i=i, n=i + 1)},{i * i % 7},p\n" for i in range(9))
    table = read_table(write(f"{header}\n{rows}"))
    if isinstance(found, list):
        assert table.features({"y"}) == found
    else:
        with pytest.raises(DataError, match=rf"{found}[\s\S]*data\.columns: \[a\]"):
            table.features({"y"})


def test_columns_are_asked_with_what_they_seem_to_be(write):
    path = write("v1,v2,,,\nham,see you later,,,\nspam,win a prize,,,\nham,ok then,,,\n")
    with pytest.raises(DataError, match=r'v1,v2,,,\n[\s\S]*data: \{text: "v2", target: "v1"\}'):
        read_texts(path, text="text", target="label")
    headerless = write("ham\tsee you later\nspam\twin a prize\n", "s.tsv")
    with pytest.raises(DataError, match=r'data: \{header: false, text: "2", target: "1"\}'):
        read_texts(headerless, text="text", target="label")
    assert [e.target for e in read_texts(headerless, text="2", target="1", header=False)] == ["ham", "spam"]


def test_a_row_may_be_a_sequence(write):
    path = write("2\t4\t5\tNaN\n1\t1\t2\t3\n", "Coffee_TRAIN.tsv")
    found = read_wide(path, columns=None, target="1", kind="label", header=False)
    assert [(e.input.tolist(), e.target) for e in found] == [([[4.0], [5.0]], "2"), ([[1.0], [2.0], [3.0]], "1")]
    old = write("  2.0000000e+00  4.0  5.0\n  1.0000000e+00  1.0  2.0\n", "old.txt")
    assert [len(e.input) for e in read_wide(old, columns=None, target="1", kind="label", header=False)] == [2, 2]
    with pytest.raises(DataError, match=r"missing value[\s\S]*line 1, column '2'"):
        read_wide(write("1,NaN,3\n2,4,5\n"), columns=None, target="1", kind="label", header=False)
    with pytest.raises(DataError, match=r"no column 'sequence'[\s\S]*data\.layout: wide"):
        read_sequences(path, sequence="sequence", columns=None, target="1", kind="label", header=False)


def test_steps_of_a_sequence_are_put_in_order(write):
    text = "s,day,v,y\na,2020-01-02,20,p\na,2020-01-01,10,p\nb,2020-01-01,3,q\n"
    (first, _) = read_sequences(write(text), sequence="s", time="day", columns=None, target="y", kind="label")
    assert first.input.tolist() == [[10.0], [20.0]]
    with pytest.raises(DataError, match="a time twice"):
        read_sequences(
            write(text.replace("01-02", "01-01")), sequence="s", time="day", columns=None, target="y", kind="label"
        )


UNITS = "date,temp,wind\n{}\n2020-01-01,10.5,0\n2020-01-02,11,3\n2020-01-03,12,1\n"
FIELDS = "date,,\n2020-01-01,1.5,2\n2020-01-02,1,3\n2020-01-03,2,1\n"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (UNITS.format(",\u00b0C,m/s"), ["date", "temp", "wind"]),
        (UNITS.format("YYYY-MM-DD,deg,m/s"), ["date", "temp", "wind"]),
        (f",AAPL,AAPL\n,open,close\n{FIELDS}", ["date", "AAPL open", "AAPL close"]),  # pandas, a MultiIndex
        (f"Price,Close,High\nTicker,AAPL,AAPL\n{FIELDS}", ["Price", "Close", "High"]),  # yfinance
    ],
)
def test_names_in_several_lines_are_asked_and_the_answer_reads_them(write, text, names):
    path = write(text)
    with pytest.raises(DataError, match=r"names of columns in [23] lines, or a line of units") as caught:
        read_table(path)
    said = ruamel.yaml.YAML(typ="safe").load(str(caught.value.fix).partition("; ")[0])["data"]
    assert said["names"] == names
    table = read_table(path, form=Form(header=said["header"], skip=said["skip"], names=tuple(said["names"])))
    assert table.columns == tuple(names)
    assert len(table) == 3
    assert len(read_table(path, form=Form(header=True, names=tuple(names)))) == 3 + said["skip"] - 1, "held to"


@pytest.mark.parametrize(
    "text",
    [
        "text,label,score\ngood,pos,unknown\nbad,pos,2\nfine,neg,3\nwell,neg,1\n",  # a class that comes again
        "date,x\n2020-01-01,NA\n2020-01-02,3\n2020-01-03,1\n",
        "name,x\nAda,1\nBob,2\nEve,3\n",
    ],
)
def test_a_first_row_is_no_second_line_of_names(write, text):
    assert len(read_table(write(text))) == text.count("\n") - 1


def test_names_among_the_rows_are_no_row(write):
    with pytest.raises(DataError, match=r"names of the columns again[\s\S]*line 4[\s\S]*sed -i 4d"):
        read_texts(write("label,text\np,a\nn,b\nlabel,text\np,c\n"), text="text", target="label")
    assert read_table(write("word\na\nword\n")).rows == [["a"], ["word"]], "of one column it may be a word"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Weather at X\n\na,b\n1,2\n3,4\n", r"data\.skip: 2 if names stand below"),
        (
            '"Source","World",\n\n"Name","Code","1960","1961",\n"Chad","TCD","1","2",\n"Peru","PER","2","3",\n',
            r"data\.skip: 2",
        ),
        ("% made by X\na,b\n1,2\n3,4\n", r'data\.comment: "%"'),
        ("; made by X\na,b\n1,2\n3,4\n", r'data\.comment: ";"'),
        ("a,b\n1,2\n3,4\nSource: agency\n", r'data\.comment: "Source:"'),
        ("a,b\n1,2\n# 5\n3,4\n", r'data\.comment: "#"'),
        ('a\tb\n1\t2\n3\t"x\ty"\n', r"data\.quotes: true"),
    ],
)
def test_a_row_of_another_width_comes_with_what_is_likely_meant(write, text, words):
    with pytest.raises(DataError, match=rf"ragged row[\s\S]*{words}"):
        read_table(write(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!DOCTYPE html>\n<html>\n", "HTML"),
        ('{"text": "good, film", "label": "p"}\n' * 3, r"JSON lines[\s\S]*pandas\.read_json\(\"t\.csv\", lines=True"),
        ('[{"text": "good"}]', "JSON"),
        ("__label__1 Great CD: my love\n__label__2 No\n", r"fastText[\s\S]*sed "),
        ("1 1:0.5 7:2\n0 2:1e-3\n", r"LIBSVM[\s\S]*load_svmlight_file"),
        ("@relation iris\n@data\n1,2\n", r"ARFF[\s\S]*comment"),
    ],
)
def test_files_of_other_forms_are_told(write, text, words):
    with pytest.raises(DataError, match=words):
        read_table(write(text))


def test_what_a_form_says_is_believed(write):
    arff = write("@relation iris\n@attribute a numeric\n@data\n1,p\n2,n\n")
    assert read_table(arff, form=Form(comment="@", header=False)).rows == [["1", "p"], ["2", "n"]]
    assert read_table(write("[a b;c\n1;2\n"), form=Form(separator=";")).columns == ("[a b", "c")


def test_quotes_around_fields_between_tabs_are_asked(write):
    path = write('label\ttext\np\t"good ""x"", so"\nn\t"bad ""y"""\n', "t.tsv")  # as DataFrame.to_csv(sep="\t") has it
    with pytest.raises(DataError, match=r"quotes around fields, or letters[\s\S]*data\.quotes: true"):
        read_table(path)
    assert read_table(path, form=Form(quotes=True)).fields("text") == ['good "x", so', 'bad "y"']
    assert read_table(path, form=Form(quotes=False)).fields("text")[1] == '"bad ""y"""'


@pytest.mark.parametrize("name", ["PassengerId", "user_id", "Customer ID", "CustomerID"])
def test_a_number_of_each_row_is_no_feature(write, name):
    rows = "".join(f"{number},{number % 3},{'pn'[number % 2]}\n" for number in (892, 17, 5000, 3, 44))
    found = read_vectors(write(f"{name},a,y\n{rows}"), columns=None, target="y", kind="label")
    assert found.columns == ("a",)
    with pytest.raises(DataError, match="is called like one that names the rows"):
        read_vectors(write(f"{name},a,y\n{rows}3,1,p\n"), columns=None, target="y", kind="label")
    assert read_table(write("citric acid,grid,a,y\n1,2,3,4\n")).features({"y"}) == ["citric acid", "grid", "a"]


def test_a_column_of_words_comes_with_the_columns_that_are_none(write):
    path = write("a,colour,b,y\n1,red,2,p\n2,blue,3,n\n")
    with pytest.raises(DataError, match=r"column 'colour' has text[\s\S]*'red', 'blue'[\s\S]*\[a, b\]"):
        read_vectors(path, columns=None, target="y", kind="label")
