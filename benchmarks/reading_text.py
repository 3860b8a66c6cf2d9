"""Reading a text at level char, against reading and decoding the same file: time and memory.

    python benchmarks/reading_text.py                 100 MB of English, of Russian, of English with an emoji
    python benchmarks/reading_text.py --size 10

A time is the shortest of several, our way and the plain one in turn. Memory is the most that Python and NumPy held
while the file was read, over the file's size.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tinyseq.data.streams import Parts
from tinyseq.data.tokens import find_level

REPEATS = 7
ENGLISH = "To be, or not to be, that is the question: whether 'tis nobler in the mind to suffer (1603).\n"
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю!\n"


class Row(NamedTuple):
    """A file, and what it takes to read it: seconds of ours and of the plain way, and memory over the file's size."""

    name: str
    ours: float
    plain: float
    memory: float

    def __str__(self) -> str:
        ratio = self.ours / self.plain
        return f"{self.name:34} {self.ours:7.3f} s  {self.plain:7.3f} s  {ratio:5.2f} times  memory {self.memory:4.2f}"


def timed(ours: Callable[[], Any], plain: Callable[[], Any]) -> tuple[float, float]:
    """Return the shortest time of each, measured in turn, so that a busy moment meets both."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for run, into in zip((ours, plain), times, strict=True):
            began = time.perf_counter()
            run()
            into.append(time.perf_counter() - began)
    return min(times[0]), min(times[1])


def peak(run: Callable[[], Any]) -> int:
    """Return the most bytes that were held at once; what the run returns is held to its end."""
    tracemalloc.start()
    try:
        kept = run()
        del kept
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def text_rows(folder: Path, size: int) -> Iterator[Row]:
    """Yield a row a text at level char, against reading and decoding it."""
    half = size // 2
    texts = {
        "English": lambda: (ENGLISH * (size // len(ENGLISH) + 1))[:size],
        "Russian": lambda: RUSSIAN * (size // len(RUSSIAN.encode()) + 1),
        "English and an emoji": lambda: f"{'x' * half}\N{GRINNING FACE}{'y' * half}",
    }
    level = find_level("char")
    for name, text in texts.items():
        path = folder / "text.txt"
        path.write_text(text(), encoding="utf-8")

        def ours(path: Path = path) -> Parts:
            return Parts(level, path, (0.9, 0.05, 0.05))

        def plain(path: Path = path) -> int:
            return len(path.read_bytes().decode())

        first, second = timed(ours, plain)
        yield Row(f"text, level char: {name}", first, second, peak(ours) / path.stat().st_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, default=100, help="megabytes a file")
    size = parser.parse_args().size * 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        for row in text_rows(Path(folder), size):
            print(row, flush=True)


if __name__ == "__main__":
    main()
