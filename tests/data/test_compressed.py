"""Compressed files: read as what was compressed, with a bound; and what is no text, in words."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest

from tinyseq.data.compressed import read_parts, suffix
from tinyseq.data.conll import read_conll
from tinyseq.data.sentences import read_pairs
from tinyseq.data.series import read_series
from tinyseq.data.streams import Reader
from tinyseq.data.tables import read_table
from tinyseq.data.text import load_text
from tinyseq.data.tokens import find_level
from tinyseq.errors import DataError

FORMS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("form", FORMS)
def test_all_kinds_of_files_are_read_compressed(tmp_path, form):
    def write(name, text):
        path = tmp_path / f"{name}.{form}"
        path.write_bytes(FORMS[form](text.encode()))
        return path

    series = read_series(write("a.csv", "date,x\n2020-01-02,2\n2020-01-01,1\n2020-01-03,3\n"), time="date")
    assert series.values[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert read_conll(write("a.conllu", "1\tla\tel\tDET\t_\t_\t0\troot\t_\t_\n\n"))[0] == (("la",), ("DET",))
    with pytest.raises(DataError, match="first line of a CSV file has names"):
        read_pairs(write("p.csv", "a,b\nc,d\n"))
    path = write("a.txt", "ab\r\nb\u00e9\n")
    assert load_text(path).text == "ab\nb\u00e9\n"
    stream = Reader(find_level("char")).read(path)
    assert (stream.characters, stream.sha256) == (6, load_text(path).sha256)


def test_several_members_of_gzip_are_one_file(tmp_path):
    path = tmp_path / "log.txt.gz"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))  # as `cat a.gz b.gz` writes it
    assert load_text(path).text == "one\ntwo\n"


def test_the_suffix_is_that_of_what_is_compressed():
    assert [suffix(name) for name in ("a.CSV.gz", "b.txt", "c.conllu.xz", "d.gz")] == [".csv", ".txt", ".conllu", ""]


def test_a_small_file_that_grows_large_is_refused(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(1 << 22)))
    assert path.stat().st_size < 1 << 13
    with pytest.raises(OSError, match=r"more than 1,048,576 bytes once decompressed"):
        list(read_parts(path, 1 << 20))
    assert sum(map(len, read_parts(path, 1 << 22))) == 1 << 22


@pytest.mark.parametrize("form", FORMS)
def test_damaged_files_are_told(tmp_path, form):
    whole = FORMS[form](np.random.default_rng(0).bytes(5000))
    path = tmp_path / f"a.txt.{form}"
    for damaged in (whole[:-40], whole[:60] + bytes(100) + whole[160:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cannot be read[\s\S]*it does not decompress"):
            load_text(path)


def _zip(*names: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), "x")
    return held.getvalue()


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (_zip("a.csv"), r"a ZIP archive[\s\S]*unzip data\.bin"),
        (_zip("[Content_Types].xml", "xl/workbook.xml"), r"Excel[\s\S]*save the sheet as CSV"),
        (b"PAR1" + bytes(99), r"Parquet[\s\S]*pandas\.read_parquet\(\"data\.bin\"\)"),
        (b"SQLite format 3\0", r"SQLite[\s\S]*sqlite3 -header -csv data\.bin"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", r"Git LFS[\s\S]*git lfs pull"),
        (gzip.compress(bytes(257) + b"ustar" + bytes(300), mtime=0), r"a tar archive[\s\S]*tar xf data\.bin"),
    ],
)
def test_what_is_no_text_is_told_for_what_it_is(tmp_path, raw, words):
    path = tmp_path / "data.bin"
    path.write_bytes(raw)
    for read in (load_text, read_table, Reader(find_level("char")).read):
        with pytest.raises(DataError, match=words):
            read(path)


def test_text_in_utf16(tmp_path):
    path, text = tmp_path / "notepad.txt", "caf\u00e9\r\nth\u00e9\r\n" * 50
    path.write_bytes(text.encode("utf-16"))
    assert load_text(path).text == text.replace("\r", "")
    assert Reader(find_level("char")).read(path).characters == len(text) - 100
    path.write_bytes(text.encode("utf-16-le"))  # no mark: half of it would be NULs
    for read in (load_text, Reader(find_level("char")).read, read_table):
        with pytest.raises(DataError, match=r"NUL at every other byte[\s\S]*iconv -f utf-16le"):
            read(path)
