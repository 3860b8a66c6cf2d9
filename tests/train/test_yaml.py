"""Reading YAML: what is refused, where the message points, and files made to do harm."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import yaml as pyyaml
from hypothesis import example, given
from hypothesis import strategies as st

from tinyseq.errors import ConfigError
from tinyseq.train.config import yaml
from tinyseq.train.config.source import Document, Problem


def refused(text: str | bytes, tmp_path: Path) -> list[str]:
    """Return the lines of the error that a file gives, without its folder."""
    path = tmp_path / "c.yaml"
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)

    def read() -> None:
        document = yaml.read(path)
        if document.problems:
            raise document.error(document.problems)

    with pytest.raises(ConfigError) as caught:
        read()
    return str(caught.value).replace(f"{tmp_path}{os.sep}", "").splitlines()


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1", "a: the key is here for the second time; the first is in line 1"),
        ("a: {b: 1, b: 2}\n", "1:11", "a.b: the key is here for the second time"),
        ("a: !!python/object/apply:os.system [echo]\n", "1:4", "plain values only"),
        ("a: !!python/name:os.system ''\n", "1:4", "plain values only"),
        ("a: !mine {b: 1}\n", "1:4", "the tag '!mine'"),
        ("a: !!set {b, c}\n", "1:4", "the tag '!!set'"),
        ("a: !!binary aGk=\n", "1:4", "the tag '!!binary'"),
        ("? [a, b]\n: 1\n", "1:3", "a key that is no text"),
        ("a:\n\tb: 1\n", "2:1", "a tab, where YAML takes only spaces"),
        ("a: 1\n---\nb: 2\n", "2:1", "a second document in one file"),
        ("a: &x [*x]\n", "1:4", "an alias within what it stands for"),
        ("a: *b\n", "1:4", "undefined alias"),
        ("a: \"\\x00\n", "2:1", "not YAML"),
        ("a: b\x1b[31m\n", "1:5", "the control character U+001B"),
        ("a: \x00\n", "1:4", "the control character U+0000"),
        ("<<: 3\na: 1\n", "1:1", "<< takes in a section"),
        (f"a: {'9' * 5000}\n", "1:4", "cannot be read as a value"),
        ("a: 'x\n", "2:1", "not YAML"),
        ("a: " + "[" * 60, "1:35", "nested deeper than 32 levels"),
        ("a: " + "{b: " * 60, "1:125", "nested deeper than 32 levels"),
        ("%YAML 9.9\n---\na: 1\n", "1:1", "not YAML"),
        ("x" * 300 + "\n", "1:1", "the file holds text"),
        ("null\n", "1:1", "the file is empty"),
        ("# a comment\n", "1:1", "the file is empty"),
        ("﻿", "1:1", "the file is empty"),
        ("42", "1:1", "the file holds a whole number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_at_its_place(tmp_path, text, place, words):
    head, *shown = refused(text, tmp_path)
    assert head.startswith(f"c.yaml:{place}: error: ")
    assert words in head
    if shown:
        row, caret = shown
        assert caret.index("^") - 4 == min(int(place.split(":")[1]), 81) - 1
        assert len(row) <= 124
        assert all(letter.isprintable() or letter == "\t" for letter in row + caret)


def test_all_at_once(tmp_path):
    lines = refused("a: 1\na: 2\nb: !x y\na: 3\nc: {? [1] : 2}\n", tmp_path)
    assert [line.split(": error: ")[0] for line in lines[::3]] == [
        "c.yaml:2:1",
        "c.yaml:3:4",
        "c.yaml:4:1",
        "c.yaml:5:7",
    ]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("a: é\n".encode("latin-1"), "c.yaml:1:4: error: the config file is not UTF-8: byte 0xe9, byte offset 3"),
        ("a: 1\nü: 2\n".encode("utf-16"), "it is UTF-16"),
        ("a: 1\n".encode("utf-32"), "it is UTF-32"),
        (b"\xef\xbb\xbfa: 1\nb: \xff", "c.yaml:2:4: error: the config file is not UTF-8: byte 0xff, byte offset 11"),
        (bytes(range(256)), "the config file is not UTF-8"),
        (b"\x7fELF\x02\x01\x01\x00", "control character"),
        (b"PK\x03\x04\x14\x00\x00\x00", "control character"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8"),
    ],
)
def test_bytes_that_are_no_text(tmp_path, raw, words):
    assert words in refused(raw, tmp_path)[0]


def test_a_byte_order_mark_is_passed_over_and_does_not_move_columns(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbfa: {b: 1}\n")
    document = yaml.read(tmp_path / "c.yaml")
    assert document.data == {"a": {"b": 1}}
    assert document.keys[("a",)] == (0, 0)
    assert document.values[("a", "b")] == (0, 7)


def test_values_are_plain_and_those_of_yaml_1_2():
    text = """{a: 1e-3, b: yes, c: 0o17, d: 012, e: 2001-02-03, f: ~, g: 'x', h: [1, .5], i: 1_000, j: on, k: .inf,
l: !!str 5}"""
    assert yaml.parse(text).data == {
        "a": 1e-3, "b": "yes", "c": 15, "d": 12, "e": "2001-02-03", "f": None, "g": "x", "h": [1, 0.5], "i": 1000,
        "j": "on", "k": float("inf"), "l": "5",
    }  # fmt: skip
    assert {type(value) for value in yaml.parse(text).data.values()} == {float, str, int, type(None), list}


def test_aliases_and_merges_are_written_out():
    text = "base: &b {x: 1, y: 2}\na: {<<: *b, y: 3}\nc: {<<: [*b, {z: 4}]}\nd: *b\n"
    document = yaml.parse(text)
    assert document.data["a"] == {"x": 1, "y": 3}
    assert document.data["c"] == {"x": 1, "y": 2, "z": 4}
    assert document.data["d"] == document.data["base"]
    assert document.values[("a", "x")] == (0, 13), "where it is written"


def bomb(levels: int, fan: int, merge: bool = False) -> str:
    """A billion laughs: each level names the one before so many times."""
    rows = ["a0: &a0 {k: lol}" if merge else "a0: &a0 [lol]"]
    for level in range(1, levels):
        names = ", ".join([f"*a{level - 1}"] * fan)
        rows.append(
            f"a{level}: &a{level} {{<<: [{names}], k{level}: 1}}" if merge else f"a{level}: &a{level} [{names}]"
        )
    return "\n".join(rows) + "\n"


HARMFUL = {
    "alias bomb": bomb(12, 10),
    "bomb of merges": bomb(12, 10, merge=True),
    "many anchors": "".join(f"k{i}: &x {i}\n" for i in range(12_000)),
    "deep lists": "a: " + "[" * 20_000,
    "deep lists, closed": "a: " + "[" * 60 + "]" * 60,
    "deep sections": "a: " + "{b: " * 60 + "1" + "}" * 60,
    "deep indentation": "".join(f"{' ' * i}a:\n" for i in range(500)),
    "dashes": "- " * 30_000,
    "question marks": "? " * 30_000,
    "a list of everything": "a: [" + "1, " * 20_000 + "1]",
    "too long": "a: 1\n" * 60_000,
    "quotes": "a: '" + "''" * 30_000,
    "open flow": "a: {" * 5_000,
    "anchors only": "&a " * 20_000,
    "colons": ":" * 60_000,
    "exclamation marks": "!" * 60_000,
}


@pytest.mark.parametrize("text", HARMFUL.values(), ids=HARMFUL)
def test_files_made_to_do_harm_are_refused_in_time(tmp_path, text):
    """Each would take hours or all memory without the bounds, so that a lost bound is seen without a clock."""
    head = refused(text, tmp_path)[0]
    assert ": error: " in head or head == "the config file is too large"


def test_a_gigantic_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "c.yaml"
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # a terabyte of zeros, of which the disk holds none
    with pytest.raises(ConfigError, match=r"too large[\s\S]*1,099,511,627,776 bytes"):
        yaml.read(path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="devices of Unix")
def test_devices_and_pipes_without_end(tmp_path):
    with pytest.raises(ConfigError, match="a device"):
        yaml.read("/dev/zero")
    ends = os.pipe()
    os.write(ends[1], b"a: 1\n")
    os.close(ends[1])
    assert yaml.read(f"/dev/fd/{ends[0]}").data == {"a": 1}, "a pipe, as of <(...)"
    os.close(ends[0])


def test_not_a_file(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read[\s\S]*directory"):
        yaml.read(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        yaml.read("a\0b.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        yaml.read(tmp_path / ("x" * 300))
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        yaml.read(tmp_path / "loop.yaml")


def test_messages_hold_nothing_that_a_terminal_obeys():
    document = Document({}, "c.yaml", 'a: "\\e[31m"\n', values={("a\x1b[2J",): (0, 3)})
    message = str(document.error([Problem(("a\x1b[2J",), "got '\x1b]0;x\x07'")]))
    assert "\x1b" not in message
    assert "\\x1b[2J" in message


def test_carets_stand_under_wide_letters_and_tabs():
    document = yaml.parse("日本: {a: 1}\nb: [\t2]\n", "c.yaml")
    lines = str(document.error([Problem(("日本", "a"), "no"), Problem(("b", 0), "no")])).splitlines()
    assert lines[0].startswith("c.yaml:1:9: ")
    assert lines[2] == "    " + " " * 10 + "^"  # two letters of two columns, and six more
    assert lines[5] == "    " + "    \t^"


def test_more_problems_than_one_reads_are_counted():
    document = Document({}, "c.yaml")
    lines = str(document.error([Problem((f"k{i}",), "no") for i in range(60)])).splitlines()
    assert lines[-1] == "c.yaml: error: and 10 more"
    assert len(lines) == 51


def test_parsing_does_not_slow_down_with_the_square_of_the_size():
    """The ratio of two sizes, with wide room: a square would be 64."""

    def seconds(count: int) -> float:
        text = "".join(f"k{i}: [1, 2]\n" for i in range(count))
        began = time.perf_counter()
        yaml.parse(text)
        return time.perf_counter() - began

    seconds(50)
    assert min(seconds(800) for _ in range(3)) < 40 * min(seconds(100) for _ in range(3))


# -- other readers -----------------------------------------------------------------------------------------------------

_ODD = st.sampled_from(
    [
        "yes",
        "No",
        "on",
        "y",
        "1:30",
        "1e5",
        "0o17",
        "017",
        "2001-01-01",
        "=",
        "<<",
        "~",
        "1_0",
        "190:20:30.15",
        "\x85",
        "",
    ]
)
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False),
    _ODD,
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8),
)
_KEYS = st.one_of(_ODD.filter(bool), st.text(alphabet="abc_", min_size=1))
_SECTIONS = st.dictionaries(_KEYS, st.one_of(_LEAVES, st.lists(_LEAVES, max_size=3)), max_size=3)


@given(st.dictionaries(_KEYS, st.one_of(_LEAVES, _SECTIONS), min_size=1, max_size=4))
@example({"lr": 1e-05, "large": 1e38, "whole": 1e22})
def test_pyyaml_reads_what_is_written_as_we_do(data):
    """The same values of the same types: PyYAML is of YAML 1.1, where ``1e-05`` is text and ``no`` is false."""
    text = yaml.write(data)
    for found in (yaml.parse(text).data, pyyaml.safe_load(text)):
        assert (found, repr(found)) == (data, repr(data))
