"""Texts as numbers: what the stream of a file says of it, against the file read and decoded at once."""

from __future__ import annotations

import hashlib
import os
import threading
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyseq import data, files
from tinyseq.data.streams import NAMES, Parts, smallest, tally
from tinyseq.data.tokens import find_level, vocabulary_of
from tinyseq.errors import DataError

SHARES = [0.6, 0.2, 0.2]
MIXED = st.text(alphabet="abc \n\ré中😀�", min_size=1, max_size=60)


def plainly(level, path, *, shares=SHARES, **options):
    """Return vocabulary, numbers and texts of the three parts as one writes them down without thinking of size."""
    cut = level.cut(data.load_text(path).text)
    parts = data.split(cut, shares)
    vocabulary = vocabulary_of([parts.train], {*parts.valid, *parts.test}, **options)
    texts = [getattr(parts, name) for name in NAMES]
    return vocabulary, [vocabulary.encode(text) for text in texts], list(map(level.join, texts))


@pytest.mark.parametrize("name", ["char", "word", "tokens"])
@pytest.mark.parametrize("options", [{}, {"min_count": 2}, {"max_size": 2}])
@settings(max_examples=60, deadline=None)
@given(text=MIXED, block=st.integers(1, 9), mark=st.booleans())
def test_a_stream_is_the_text_cut_and_numbered(tmp_path_factory, name, options, text, block, mark):
    level = find_level(name)
    path = tmp_path_factory.mktemp("text") / "t.txt"
    path.write_bytes(b"\xef\xbb\xbf" * mark + text.encode())
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    if not plain.strip():
        with pytest.raises(DataError, match="is empty"):
            Parts(level, path, SHARES)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "_PART", block)  # characters and line ends lie across blocks
        found = Parts(level, path, SHARES, **options)
    vocabulary, ids, texts = plainly(level, path, **options)
    assert found.vocabulary.state() == vocabulary.state()
    for part, wanted, words in zip(NAMES, ids, texts, strict=True):
        np.testing.assert_array_equal(getattr(found.ids, part), wanted)
        assert getattr(found.ids, part).dtype == smallest(len(vocabulary))
        assert found.text(part) == words
        assert found.unknown(part) == (0 if vocabulary.unknown is None else (wanted == vocabulary.unknown).sum())
    assert found.corpus.sha256 == hashlib.sha256(plain.encode()).hexdigest()
    assert found.corpus.characters == len(plain)


def test_parts_of_their_own(tmp_path):
    for name, text in {"train": "abab\n" * 9, "valid": "ba\n", "test": "abé\n"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    paths = {name: tmp_path / name for name in NAMES}
    found = Parts(find_level("char"), paths["train"], SHARES, valid=paths["valid"], test=paths["test"])
    assert found.vocabulary.state() == {"tokens": ["\n", "a", "b"], "unknown": True}
    assert [found.text(name) for name in NAMES] == ["abab\n" * 9, "ba\n", "abé\n"]
    assert (found.unknown("valid"), found.unknown("test")) == (0, 1)
    assert found.starts_a_line("test")
    # one of them alone: the share of the other is taken of what is left
    half = Parts(find_level("char"), paths["train"], SHARES, valid=paths["valid"])
    assert [len(getattr(half.ids, name)) for name in NAMES] == [34, 3, 11]
    assert not half.starts_a_line("test")  # what stands before it in the file is training text


@pytest.mark.parametrize("symbols", [200, 300, 70_000])
def test_many_characters_make_wider_numbers(tmp_path, symbols):
    text = "".join(map(chr, [*range(0x20, 0x7F), *range(0x10000, 0x10000 + symbols - 95)])) * 2
    path = tmp_path / "t"
    path.write_text(text, encoding="utf-8")
    found = Parts(find_level("char"), path, [0.5, 0.25, 0.25])
    assert len(found.vocabulary) == symbols
    assert found.ids.train.dtype == np.min_scalar_type(symbols - 1)
    assert found.text("train") + found.text("valid") + found.text("test") == text


def test_what_cannot_be_read_is_told_as_of_any_text(tmp_path):
    level = find_level("char")
    with pytest.raises(DataError, match="does not exist"):
        Parts(level, tmp_path / "none", SHARES)
    with pytest.raises(DataError, match="is a directory"):
        Parts(level, tmp_path, SHARES)
    (tmp_path / "latin").write_bytes(b"one\ntwo caf\xe9\n")
    with pytest.raises(DataError, match="line 2, byte offset 11"):
        Parts(level, tmp_path / "latin", SHARES)
    (tmp_path / "half").write_bytes("é".encode()[:1])
    with pytest.raises(DataError, match="not UTF-8"):
        Parts(level, tmp_path / "half", SHARES)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_text_may_come_through_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_text("añb" * 1000, encoding="utf-8"))
    writer.start()
    found = Parts(find_level("char"), path, SHARES)
    writer.join()
    assert found.text("train") == "añb" * 600


def test_counts():
    rng = np.random.default_rng(0)
    for kind, symbols in ((np.uint8, 200), (np.uint16, 3000)):
        codes = rng.integers(0, symbols, 700_001).astype(kind)
        np.testing.assert_array_equal(tally(codes, symbols), np.bincount(codes, minlength=symbols))


def test_a_text_of_ascii_takes_little_more_than_the_file(tmp_path):
    path = tmp_path / "t"
    path.write_bytes(b"To be, or not to be: that is the question.\n" * 400_000)
    size = path.stat().st_size
    Parts(find_level("char"), path, SHARES)  # what is made once
    tracemalloc.start()
    kept = Parts(find_level("char"), path, SHARES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept.ids.train.dtype == np.uint8
    assert peak < 1.7 * size
