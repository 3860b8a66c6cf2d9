"""Corpora: a text, its name and its digest."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tinyseq.data.compressed import read_parts
from tinyseq.errors import DataError

#: The name of the corpus that every Python brings along.
DEFAULT = "pydoc-topics"
#: Paragraphs shorter than this may repeat: headings, "See also:", closing brackets.
_SHORT = 40
#: How a file in UTF-16 begins.
UTF16 = (b"\xff\xfe", b"\xfe\xff")
_REQUIRED = "a text file in UTF-8"
_INSTEAD = "correct the path, or leave it out for Python's own documentation"


@dataclass(frozen=True)
class Corpus:
    """A text; ``sha256`` is the digest of its UTF-8 form, so that two runs can tell whether they read the same one."""

    name: str
    text: str
    sha256: str

    def __len__(self) -> int:
        return len(self.text)


def load_text(path: str | Path | None = None) -> Corpus:
    """Return the text of a file, or, by default, the English text of Python's own documentation topics.

    It is in UTF-8, or in UTF-16 with a byte order mark, compressed or not. The mark is dropped and line ends become
    ``\\n``, so that a file has one digest on every system.

    Raises:
        DataError: the file is missing, a directory, unreadable, empty or of another encoding.
    """
    if path is None:
        return _corpus(DEFAULT, _pydoc_topics())
    path = Path(path)
    raw = read_raw(path, _INSTEAD)
    if not raw.startswith(UTF16) and (error := utf16_unmarked(path, raw)):
        raise error
    try:
        text = raw.decode("utf-16" if raw.startswith(UTF16) else "utf-8-sig")
    except UnicodeDecodeError as undecoded:
        raise not_utf8(path, raw, undecoded) from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise DataError("the text file is empty", required=_REQUIRED, got=f"{path}: {len(raw)} bytes, no characters")
    return _corpus(str(path), text)


def read_raw(path: Path, instead: str = "correct the path") -> bytes:
    """Return the bytes of a text file, decompressed; ``instead`` is what to do where there is none.

    Raises:
        DataError: it is missing, a directory, unreadable or no text.
    """
    with told(path, instead):
        return b"".join(read_parts(path))


def not_utf8(path: Path, raw: bytes, error: UnicodeDecodeError) -> DataError:
    """Return what to say of bytes that are not UTF-8: which, and in which line."""
    # The codec counts from behind a byte order mark; the file's reader counts from its first byte.
    offset = error.start + (3 if raw.startswith(b"\xef\xbb\xbf") else 0)
    line = raw.count(b"\n", 0, offset) + 1
    return DataError(
        "the text file is not UTF-8",
        required=_REQUIRED,
        got=f"byte 0x{raw[offset]:02x} ({error.reason})",
        where=f"{path}, line {line}, byte offset {offset}",
        fix=f"convert it: iconv -f latin1 -t utf-8 {path.name} > utf8-{path.name}, or save it as UTF-8",
    )


def utf16_unmarked(path: Path, raw: bytes, first: str = "") -> DataError | None:
    """Return what to say where every other byte is NUL: UTF-16 without its mark; ``first`` is what to try first."""
    if 3 * raw.count(b"\0") <= len(raw):
        return None
    end = "le" if raw.index(b"\0") % 2 else "be"
    return DataError(
        "the text file is not UTF-8",
        required=_REQUIRED,
        got="a NUL at every other byte, as in UTF-16",
        where=str(path),
        fix=f"{first.format(end)}iconv -f utf-16{end} -t utf-8 {path.name} > utf8-{path.name}",
    )


@contextmanager
def told(path: Path, instead: str = _INSTEAD) -> Iterator[None]:
    """Tell in words why a text file cannot be read; ``instead`` is what to do where there is none.

    Raises:
        DataError: the body raised an OSError.
    """
    try:
        yield
    except FileNotFoundError:
        raise DataError(
            "the text file does not exist",
            required=_REQUIRED,
            got=str(path),
            where=f"looked in {path.absolute().parent}",
            fix=instead,
        ) from None
    except IsADirectoryError:
        raise DataError(
            "the text file is a directory", required=_REQUIRED, got=str(path), fix="name one file in it"
        ) from None
    except OSError as error:
        raise DataError(
            "the text file cannot be read",
            required=_REQUIRED,
            got=f"{path}: {error.strerror}",
            fix="check the file's permissions" if error.errno == errno.EACCES else "",
        ) from None


def _corpus(name: str, text: str) -> Corpus:
    return Corpus(name, text, hashlib.sha256(text.encode("utf-8")).hexdigest())


def _pydoc_topics() -> str:
    """Join the topics of ``help()``, each paragraph once.

    The same sections stand under several topics (a fifth of the text). Left in, paragraphs of the held-out part would
    have been seen in training, and a model that learns by heart would look better than it is.
    """
    from pydoc_data.topics import topics

    seen: set[str] = set()
    kept: list[str] = []
    for topic in sorted(topics):
        for paragraph in topics[topic].split("\n\n"):
            body = paragraph.strip()
            if len(body) < _SHORT or body not in seen:
                seen.add(body)
                kept.append(paragraph)
    return "\n\n".join(kept)
