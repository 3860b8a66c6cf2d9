"""Texts as streams of numbers: three parts, one vocabulary, each number in the smallest type that holds it.

Characters are read block by block and never all held as a text: what is kept of an English file is as large as it.
"""

from __future__ import annotations

import codecs
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyseq.data.batching import Splits, split
from tinyseq.data.compressed import read_parts
from tinyseq.data.text import Corpus, load_text, told, utf16_unmarked
from tinyseq.data.tokens import Level, vocabulary_of_counts
from tinyseq.data.vocabulary import Vocabulary
from tinyseq.errors import DataError
from tinyseq.files import LARGEST

Array = np.ndarray[Any, Any]
#: So many numbers are counted or looked up at once: as many as a processor holds near.
_CHUNK: Final = 1 << 18
_ASCII, _BYTE, _PAIR = 1 << 7, 1 << 8, 1 << 16
_MARK: Final = b"\xef\xbb\xbf"
#: Where what a text does not have comes first.
_NEVER: Final = 1 << 62
NAMES: Final = ("train", "valid", "test")


@dataclass(frozen=True)
class Stream:
    """A text as numbers, places of its tokens in an alphabet, and the digest of its UTF-8 form.

    ``first`` is where each entry of the alphabet comes first, as far as it was known when the text was read; None where
    nobody looked.
    """

    name: str
    sha256: str
    characters: int
    codes: Array
    first: Array | None = None


class Reader:
    """Reads texts as streams over one alphabet, which grows with each of them."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.characters = level.cut is list
        # ASCII stands at its own numbers, so that bytes are codes; what no text has had yet is at the last number.
        self.alphabet = [chr(code) for code in range(_ASCII)] if self.characters else []
        self._places: dict[str, int] = {}
        self._points: Array = np.full(0x110000 if self.characters else 0, _BYTE - 1, np.uint8)
        self._bytes = b""
        self._first = [_NEVER] * len(self.alphabet)

    def read(self, path: str | Path | None) -> Stream:
        """Return the stream of a text file, or of Python's documentation.

        Raises:
            DataError: as ``load_text``.
        """
        if path is None or not self.characters:
            corpus = load_text(path)
            if self.characters:
                return self._whole(corpus)
            return Stream(corpus.name, corpus.sha256, len(corpus), self._of_tokens(self.level.cut(corpus.text)))
        path = Path(path)
        digest, begun, count = hashlib.sha256(), False, 0
        try:
            with told(path), ThreadPoolExecutor(1) as other:
                codes = np.empty(min(path.stat().st_size, LARGEST), np.uint8)
                hashed: Future[None] | None = None
                for raw, block in _decoded(_plain(read_parts(path))):
                    if hashed is not None:
                        hashed.result()  # one block at a time waits for it
                    hashed = other.submit(digest.update, raw)
                    begun = begun or bool(block.strip())
                    if not count and (error := utf16_unmarked(path, raw)):
                        raise error
                    found = self._coded(block, count)
                    codes = _with_room(codes, count, found)
                    codes[count : count + len(found)] = found
                    count += len(found)
        except UnicodeDecodeError as undecoded:
            if path.is_file():
                return self._whole(load_text(path))  # UTF-16; of another encoding it says where
            raise DataError("the text is not UTF-8", required="UTF-8", got=undecoded.reason, where=str(path)) from None
        if not begun:
            raise DataError("the text file is empty", required="a text", got=f"{path}: {count} characters, all blank")
        return Stream(str(path), digest.hexdigest(), count, codes[:count], self._seen())

    def _whole(self, corpus: Corpus) -> Stream:
        return Stream(corpus.name, corpus.sha256, len(corpus), self._coded(corpus.text, 0), self._seen())

    @property
    def met(self) -> int:
        """How many entries of the alphabet the texts have."""
        return len(self.alphabet) - (self._first.count(_NEVER) if self.characters else 0)

    def _seen(self) -> Array:
        return np.array(self._first)

    def _of_tokens(self, tokens: Sequence[str]) -> Array:
        places = self._places
        codes = np.fromiter((places.setdefault(token, len(places)) for token in tokens), np.uint32, len(tokens))
        self.alphabet = list(places)
        return codes

    def _coded(self, text: bytes | str, start: int) -> Array:
        """Return the codes of characters, the first of which is number ``start`` of its text."""
        if isinstance(text, bytes):
            for byte in set(text.translate(None, self._bytes)):
                self._meet(byte, start + text.find(byte))
            return np.frombuffer(text, np.uint8)
        points = np.frombuffer(text.encode("utf-16-le"), np.uint16)
        if len(points) > len(text):  # pairs of surrogates
            points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        codes: Array = np.take(self._points, points, mode="clip")
        if len(codes) and codes.max() == (unmet := _last(codes)):
            for point in np.unique(points[codes == unmet]).tolist():
                self._meet(point, start + int(np.argmax(points == point)))
            codes = np.take(self._points, points, mode="clip")
        return codes

    def _meet(self, point: int, place: int) -> None:
        """Take a character into the alphabet."""
        code = point if point < _ASCII else len(self.alphabet)
        if code == point:
            self._bytes += bytes([point])
            self._first[code] = place
        else:
            self.alphabet.append(chr(point))
            self._first.append(place)
        if code >= (last := _last(self._points)):
            wider: Array = self._points.astype(np.uint16 if last < _PAIR - 1 else np.uint32)
            wider[self._points == last] = _last(wider)
            self._points = wider
        self._points[point] = code


def _last(codes: Array) -> int:
    """Return the last number of an array's type: that of what no text has had yet."""
    return int(2 ** (8 * codes.itemsize)) - 1


def _plain(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield blocks without a byte order mark, their line ends plain; what may be half of either waits for the rest."""
    waiting, begun = b"", False
    for block in blocks:
        block, waiting = waiting + block, b""
        if not begun and len(block) < len(_MARK):
            waiting = block
            continue
        block, begun = block if begun else block.removeprefix(_MARK), True
        if b"\r" in block:
            waiting = b"\r" if block.endswith(b"\r") else b""
            block = block.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        yield block
    yield waiting.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _decoded(blocks: Iterable[bytes]) -> Iterator[tuple[bytes, bytes | str]]:
    """Yield blocks, and their text; that of ASCII is the block itself.

    Raises:
        UnicodeDecodeError: they are not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    for block in blocks:
        yield block, block if block.isascii() and not decoder.getstate()[0] else decoder.decode(block)
    decoder.decode(b"", final=True)


def _with_room(codes: Array, count: int, more: Array) -> Array:
    """Return the first codes with room for more of them."""
    kind, size = np.promote_types(codes.dtype, more.dtype), len(codes)
    if count + len(more) > size:  # a pipe, whose size is not known before
        size = 2 * (count + len(more))
    if kind == codes.dtype and size == len(codes):
        return codes
    wider = np.empty(size, kind)
    wider[:count] = codes[:count]
    return wider


def smallest(symbols: int) -> np.dtype[Any]:
    """Return the smallest type of whole numbers that holds 0 to ``symbols`` - 1."""
    return np.min_scalar_type(max(symbols - 1, 0))


def tally(codes: Array, symbols: int) -> Array:
    """Return how often each of the numbers 0 to ``symbols`` - 1 is there."""
    if codes.dtype == np.uint8:  # two at once: counting goes by numbers, not by bytes
        even = len(codes) // 2 * 2
        pairs = np.zeros(_PAIR, np.int64)
        for chunk in _chunks(codes[:even].view(np.uint16)):
            pairs += np.bincount(chunk, minlength=_PAIR)
        square = pairs.reshape(_BYTE, _BYTE)
        total = square.sum(0) + square.sum(1) + np.bincount(codes[even:], minlength=_BYTE)
        found: Array = total[:symbols]
        return found
    total = np.zeros(symbols, np.int64)
    for chunk in _chunks(codes):
        total += np.bincount(chunk, minlength=symbols)
    return total


def _renumbered(codes: Array, table: Array, target: Array) -> Array:
    """Return the entries of a table at codes, written to ``target``, which may be the codes."""
    whole = np.zeros(_BYTE, table.dtype)
    whole[: min(len(table), _BYTE)] = table[:_BYTE]
    by_bytes = codes.dtype == target.dtype == np.uint8
    for part, out in zip(_chunks(codes), _chunks(target), strict=True):
        if by_bytes:
            out[:] = np.frombuffer(part.tobytes().translate(whole.tobytes()), np.uint8)
        else:
            np.take(table, part, out=out, mode="clip")
    return target


def _chunks(values: Array) -> Iterator[Array]:
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))


class Parts:
    """The three parts of a text, numbered by one vocabulary, that of the training part.

    Where tokens are left out of it, or held-out parts have others, they share one entry, ``<unk>``; else there is none.
    """

    def __init__(
        self,
        level: Level,
        path: str | Path | None,
        shares: Sequence[float],
        *,
        valid: str | Path | None = None,
        test: str | Path | None = None,
        min_count: int = 1,
        max_size: int | None = None,
    ) -> None:
        """Read the text, and files of their own for validation and test; a share whose part has one is dropped."""
        reader = Reader(level)
        self.level = level
        self.corpus = reader.read(path)
        self.own = Splits(None, *(None if file is None else reader.read(file) for file in (valid, test)))
        wanted = [shares[0], 0.0 if self.own.valid else shares[1], 0.0 if self.own.test else shares[2]]
        cut = split(self.corpus.codes, [share / sum(wanted) for share in wanted])
        codes = [getattr(self.own, name).codes if getattr(self.own, name) else getattr(cut, name) for name in NAMES]
        train = self.corpus.first
        if train is None or min_count > 1 or max_size is not None:
            train = tally(codes[0], len(reader.alphabet))
        else:
            train = np.concatenate([train, np.full(len(reader.alphabet) - len(train), _NEVER)]) < len(codes[0])
        self.vocabulary = _vocabulary(reader, train, min_count=min_count, max_size=max_size)
        size, unknown = len(self.vocabulary), self.vocabulary.unknown
        places = [code for code, token in enumerate(reader.alphabet) if token in self.vocabulary]
        table = np.full(len(reader.alphabet), unknown or 0, smallest(size))
        table[places] = self.vocabulary.encode([reader.alphabet[code] for code in places])
        numbered, kept = [], []
        for part in codes:
            # Without unknown tokens the text follows from the numbers; else its codes are kept beside them.
            lost = unknown is not None and bool(np.delete(tally(part, len(table)), places).any())
            target = np.empty(len(part), table.dtype) if lost or table.dtype != part.dtype else part
            numbered.append(_renumbered(part, table, target))
            kept.append(part if lost else None)
        self.ids = Splits(*numbered)
        self._kept, self._alphabet = Splits(*kept), reader.alphabet

    def text(self, name: str, first: int = 0, last: int | None = None) -> str:
        """Return the text of some tokens of ``train``, ``valid`` or ``test``, by default of all."""
        kept = getattr(self._kept, name)
        codes = (getattr(self.ids, name) if kept is None else kept)[first:last]
        alphabet = self.vocabulary.tokens if kept is None else self._alphabet
        return self.level.join(alphabet[code] for code in codes.tolist())

    def starts_a_line(self, name: str) -> bool:
        """Return whether the part ``name`` begins where a line of its file does."""
        if getattr(self.own, name) is not None:
            return True
        before = "valid" if name == "test" and self.own.valid is None else "train"
        return self.text(before, -1).endswith("\n")

    def unknown(self, name: str) -> int:
        """Return how many tokens of a part are not in the vocabulary."""
        entry = self.vocabulary.unknown
        return 0 if entry is None else sum(int((chunk == entry).sum()) for chunk in _chunks(getattr(self.ids, name)))


def _vocabulary(reader: Reader, train: Array, **options: Any) -> Vocabulary:
    """Return the vocabulary of an alphabet's entries that are in the training text so many times."""
    counts = {token: int(count) for token, count in zip(reader.alphabet, train.tolist(), strict=True) if count}
    found = vocabulary_of_counts(Counter(counts), **options)
    if found.unknown is None and reader.met > len(counts):
        return Vocabulary(found.tokens, unknown=True)
    return found
