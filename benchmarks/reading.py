"""How long reading files takes, and how much memory, beside the csv module and NumPy.

`python benchmarks/reading.py [MB]` writes files of that size (default 20) into a temporary folder and prints a table.
Times are minima of rounds that take turns. Memory is what a process of its own has at its peak beyond what it had
before it read, over the size of the file; of the csv module the same for a loop that keeps nothing.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tinyseq.data.examples import read_texts, read_vectors
from tinyseq.data.series import read_series
from tinyseq.data.tables import read_table

ROUNDS = 5


def write(folder: Path, megabytes: float) -> None:
    """Write the files: reviews with labels, numbers alone, numbers with a label, a series with dates."""
    rng = np.random.default_rng(0)
    size = int(megabytes * 1e6)
    words = ["good", "film", "the", "of", "actor", "bad", "plot", "never", "wonderful", "and"]
    with open(folder / "reviews.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["label", "text"])
        while file.tell() < size:
            for count in rng.integers(10, 60, 1000):
                text = " ".join(words[i] for i in rng.integers(0, len(words), count))
                writer.writerow(["pos" if count % 2 else "neg", f'{text}, "so" they say' if count % 5 == 0 else text])
    numbers = rng.standard_normal((size // 64, 8)).round(4)
    np.savetxt(folder / "numbers.csv", numbers, fmt="%.4f", delimiter=",", header="a,b,c,d,e,f,g,h", comments="")
    with open(folder / "labelled.csv", "w", encoding="utf-8") as file:
        file.write("a,b,c,d,e,f,g,h,y\n")
        file.writelines(",".join(map(str, row)) + f",class {i % 3}\n" for i, row in enumerate(numbers.tolist()))
    with open(folder / "series.csv", "w", encoding="utf-8") as file:
        file.write("time,a,b,c\n")
        times = np.datetime64("1990-01-01T00:00") + np.arange(size // 40) * np.timedelta64(1, "h")
        for when, row in zip(times, rng.standard_normal((len(times), 3)).round(3).tolist(), strict=True):
            file.write(f"{when}," + ",".join(map(str, row)) + "\n")


def by_csv(path: Path) -> None:
    """Cut a file into rows, and keep none."""
    with open(path, encoding="utf-8", newline="") as file:
        for _ in csv.reader(file):
            pass


#: Name -> (file, what reads it, what it is compared with, that one's name).
CASES: dict[str, tuple[str, Callable[[Path], object], Callable[[Path], object], str]] = {
    "a table": ("reviews.csv", read_table, by_csv, "csv.reader"),
    "texts and labels": (
        "reviews.csv",
        lambda path: read_texts(path, text="text", target="label"),
        by_csv,
        "csv.reader",
    ),
    "a table of numbers and labels": ("labelled.csv", read_table, by_csv, "csv.reader"),
    "its vectors": (
        "labelled.csv",
        lambda path: read_vectors(path, columns=None, target="y", kind="label"),
        by_csv,
        "csv.reader",
    ),
    "numbers alone": (
        "numbers.csv",
        lambda path: read_table(path).numbers(list("abcdefgh")),
        lambda path: np.loadtxt(path, delimiter=",", skiprows=1),
        "np.loadtxt",
    ),
    "a series with dates": ("series.csv", lambda path: read_series(path, time="time"), by_csv, "csv.reader"),
}


def peak(name: str, path: Path) -> float:
    """Return how many bytes a process of its own takes for a case beyond what it had before."""
    done = subprocess.run([sys.executable, __file__, "--one", name, str(path)], capture_output=True, check=True)
    return float(json.loads(done.stdout))


def one(name: str, path: Path) -> None:
    """Read a file once, and print the growth of the peak of memory in bytes."""
    before = peak_now()
    kept = CASES[name][1](path)
    print(json.dumps(peak_now() - before))
    del kept


def peak_now() -> int:
    """Return the most bytes that this process has held; what it was forked from does not count, unlike in ru_maxrss."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main(megabytes: float) -> None:
    """Print the table."""
    print("| | file, MB | seconds | beside | times as long | memory / file |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, megabytes)
        for case, (file, ours, theirs, their_name) in CASES.items():
            path, best = folder / file, [float("inf")] * 2
            for _ in range(ROUNDS):
                for side, read in enumerate((ours, theirs)):
                    start = time.perf_counter()
                    read(path)
                    best[side] = min(best[side], time.perf_counter() - start)
            size = path.stat().st_size
            print(
                f"| {case} | {size / 1e6:.0f} | {best[0]:.2f} | {their_name} {best[1]:.2f} | {best[0] / best[1]:.2f} "
                f"| {peak(case, path) / size:.1f} |"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0)
