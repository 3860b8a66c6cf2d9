"""Bytes of data files: of compressed ones what was compressed; and what is no text is told for what it is."""

from __future__ import annotations

import errno
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from tinyseq.errors import DataError
from tinyseq.files import LARGEST, read_blocks

_PART: Final = 1 << 20
#: Bytes that show what a file is; a tar archive says so last.
_LOOKED_AT: Final = 512


def _gzip(file: Any) -> Any:
    import gzip

    return gzip.GzipFile(fileobj=file)


def _bzip2(file: Any) -> Any:
    import bz2

    return bz2.BZ2File(file)


def _xz(file: Any) -> Any:
    import lzma

    return lzma.LZMAFile(file)


#: First bytes -> the suffix, and what opens it.
_COMPRESSED: Final[dict[bytes, tuple[str, Callable[[Any], Any]]]] = {
    b"\x1f\x8b": (".gz", _gzip),
    b"BZh": (".bz2", _bzip2),
    b"\xfd7zXZ\x00": (".xz", _xz),
}
_SUFFIXES: Final = frozenset(suffix for suffix, _ in _COMPRESSED.values())
_SHEET: Final = "save the sheet as CSV (UTF-8), and name that file"
_PANDAS: Final = 'in Python: pandas.read_{}("{{name}}").to_csv("{{stem}}.csv", index=False)'
#: Place and bytes -> what has them there, and what to do.
_NO_TEXT: Final = (
    (0, b"PK\x03\x04", "a ZIP archive", "unzip {name}, and name the file that comes out of it"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel or Word file of before 2007", _SHEET),
    (257, b"ustar", "a tar archive", "tar xf {name}, and name the file that comes out of it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "7z x {name}, and name the file that comes out of it"),
    (0, b"Rar!", "a RAR archive", "unrar x {name}, and name the file that comes out of it"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by Zstandard", "zstd -d {name}, and name the file that comes out of it"),
    (0, b"PAR1", "a Parquet file", _PANDAS.format("parquet")),
    (0, b"ARROW1", "an Arrow or Feather file", _PANDAS.format("feather")),
    (0, b"\x89HDF", "an HDF5 file", _PANDAS.format("hdf")),
    (0, b"SQLite format 3", "an SQLite database", 'sqlite3 -header -csv {name} "select * from TABLE" > {stem}.csv'),
    (0, b"\x93NUMPY", "an array of NumPy", 'in Python: numpy.savetxt("{stem}.csv", numpy.load("{name}"), delimiter=",")'),  # noqa: E501
    (0, b"%PDF", "a PDF file", "pdftotext {name}, and name the text that comes out of it"),
    (0, b"version https://git-lfs.", "a pointer of Git LFS, and not the file itself", "git lfs pull"),
)  # fmt: skip
_EXCEL: Final = (b"xl/", b"[Content_Types].xml")


def suffix(path: str | Path) -> str:
    """Return a file's suffix in small letters, that of what is compressed: ``.csv`` of ``a.CSV.gz``."""
    path = Path(path)
    found = path.suffix.lower()
    return Path(path.stem).suffix.lower() if found in _SUFFIXES else found


def read_parts(path: Path, largest: int = LARGEST) -> Iterator[bytes]:
    """Yield the bytes of a file part by part; of one that gzip, bzip2 or xz made, what was compressed.

    Raises:
        OSError: as of ``read_blocks``, for what is in the file and for what comes out of it.
        DataError: it is none of text: an archive, a workbook, a database.
    """
    first, blocks = _begun(read_blocks(path, largest))
    opens = next((opens for start, (_, opens) in _COMPRESSED.items() if first.startswith(start)), None)
    if opens is not None:
        first, blocks = _begun(_decompressed(path, _Blocks(first, blocks), opens, largest))
    _refuse(path, first)
    yield first
    yield from blocks


def _begun(blocks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Return the first blocks, together long enough to look at, and the others."""
    first = b""
    while len(first) < _LOOKED_AT and (block := next(blocks, b"")):
        first += block
    return first, blocks


def _decompressed(path: Path, file: io.RawIOBase, opens: Callable[[Any], Any], largest: int) -> Iterator[bytes]:
    total = 0
    try:
        with opens(io.BufferedReader(file, _PART)) as out:
            while part := out.read(_PART):
                total += len(part)
                if total > largest:
                    what = f"more than {largest:,} bytes once decompressed, and at most those are read"
                    raise OSError(errno.EFBIG, what, str(path))
                yield part
    except (OSError, EOFError, zlib.error, _lzma_error()) as error:
        if isinstance(error, OSError) and error.strerror:
            raise
        raise OSError(errno.EIO, f"it does not decompress: {error}", str(path)) from None


def _lzma_error() -> type[Exception]:
    import lzma

    return lzma.LZMAError


class _Blocks(io.RawIOBase):
    """Blocks of bytes as a file."""

    def __init__(self, first: bytes, blocks: Iterable[bytes]) -> None:
        self._waiting, self._blocks = memoryview(first), iter(blocks)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._waiting:
            self._waiting = memoryview(next(self._blocks, b""))
        count = min(len(buffer), len(self._waiting))
        buffer[:count], self._waiting = self._waiting[:count], self._waiting[count:]
        return count


def _refuse(path: Path, first: bytes) -> None:
    """Tell what a file is that is no text.

    Raises:
        DataError: it is known to be none.
    """
    for place, mark, what, fix in _NO_TEXT:
        if first.startswith(mark, place):
            if mark.startswith(b"PK") and any(part in first[:4096] for part in _EXCEL):
                what, fix = "an Excel or LibreOffice file", _SHEET
            names = {"name": path.name, "stem": path.name.partition(".")[0]}
            raise DataError(
                f"no text file: {what}", required="a text file", got=str(path), fix=fix.format(**names)
            )  # fmt: skip
