"""Real data that is at hand without a download: handwritten digits, sunspot numbers, lines of code and of prose."""

from __future__ import annotations

import ast
import csv
import functools
import importlib
import importlib.util
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tinyseq.errors import DataError

Array = np.ndarray[Any, Any]
#: Images of the digits that are for training; the rest are for testing.
DIGITS_TRAIN: Final = 1297


class Digits(NamedTuple):
    """Images of digits, a row of pixels a time step: (count, 8, 8) each, and the digits: (count,)."""

    train_images: Array
    train_labels: Array
    test_images: Array
    test_labels: Array


def load_digits() -> Digits:
    """Return the 1797 handwritten digits (8x8 pixels) that scikit-learn carries: first 1297 to train, last 500 to test.

    Grey values are divided by 16, so that they are in [0, 1]. The two parts are as in the file, not shuffled: other
    people wrote the last digits than the first.

    Shapes: images float32 (1297, 8, 8) and (500, 8, 8), time steps the rows from the top; labels int64 0 to 9.

    Source: Alpaydin and Kaynak 1998, "Optical recognition of handwritten digits", UCI machine learning repository.

    Raises:
        DataError: scikit-learn is not installed.
    """
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError:
        raise DataError(
            "the 8x8 digits come with scikit-learn",
            required="scikit-learn",
            got="no module sklearn",
            fix='pip install "tinyseq[digits]"',
        ) from None
    bunch = datasets.load_digits()
    images, labels = (bunch.images / 16.0).astype(np.float32), bunch.target.astype(np.int64)
    return Digits(images[:DIGITS_TRAIN], labels[:DIGITS_TRAIN], images[DIGITS_TRAIN:], labels[DIGITS_TRAIN:])


def sunspots_path() -> Path:
    """Return the path of the CSV file of yearly sunspot numbers, with the columns ``year`` and ``sunspots``."""
    return Path(str(resources.files("tinyseq.data") / "files" / "sunspots.csv"))


def load_sunspots() -> tuple[Array, Array]:
    """Return years and the mean sunspot number of each, 1700 to 2008.

    Shapes: years int64 (309,), numbers float64 (309,).

    Source: SILSO, Royal Observatory of Belgium, by way of NOAA; see ``files/README.md``.
    """
    with sunspots_path().open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return np.array([int(row["year"]) for row in rows]), np.array([float(row["sunspots"]) for row in rows])


#: Modules whose source is read for lines of code; all of them are in every Python since 3.8.
CODE_MODULES: Final = (
    "argparse", "ast", "bdb", "calendar", "configparser", "csv", "difflib", "doctest", "fractions", "ftplib",
    "gettext", "heapq", "inspect", "mailbox", "optparse", "pathlib", "pdb", "pickletools", "plistlib", "shutil",
    "statistics", "tarfile", "textwrap", "turtle", "zipfile",
)  # fmt: skip
_LONGEST, _SHORTEST = 80, 20


def code_or_prose(count: int, seed: int | np.random.Generator) -> list[tuple[str, str]]:
    """Return lines with their labels, half "code" and half "prose", in random order: records of a TSV file.

    Code is statements from the source of Python's standard library, without comments and docstrings; prose is lines of
    its documentation (``pydoc_data.topics``), without the examples in it. Both are real lines, 20 to 80 characters long
    without the blanks at their ends, each of them once; prose that names an attribute or quotes an expression is kept.
    Lines depend on the version of Python.

    Raises:
        DataError: more lines are asked for than there are, or Python comes without its sources.
    """
    rng = np.random.default_rng(seed)
    lines_of = {"code": _code_lines(), "prose": _prose_lines()}
    records = []
    for label, wanted in (("code", (count + 1) // 2), ("prose", count // 2)):
        lines = lines_of[label]
        if wanted > len(lines):
            raise DataError(
                "code_or_prose: not as many lines", required=f"at most {len(lines)} of {label}", got=str(wanted)
            )
        records += [(label, lines[i]) for i in rng.choice(len(lines), wanted, replace=False)]
    return [records[i] for i in rng.permutation(len(records))]


@functools.cache
def _code_lines() -> list[str]:
    kept: dict[str, None] = {}
    for name in CODE_MODULES:
        spec = importlib.util.find_spec(name)
        path = Path(spec.origin) if spec is not None and spec.origin is not None else Path()
        if path.suffix != ".py":
            continue
        for source in sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]:
            kept.update(dict.fromkeys(_statements(source.read_text(encoding="utf-8"))))
    return sorted(kept)


def _statements(source: str) -> list[str]:
    """Return the first lines of statements, docstrings (and other bare strings) left out, comments cut off."""
    lines = source.splitlines()
    numbers = {
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    }
    return [line for number in sorted(numbers) if _fits(line := lines[number - 1].split("  #")[0].strip())]


def _prose_lines() -> list[str]:
    from pydoc_data.topics import topics

    kept: dict[str, None] = {}
    for name in sorted(topics):
        for paragraph in topics[name].split("\n\n"):
            lines = paragraph.splitlines()
            # Examples and grammar are set in by three or more blanks; underlined lines are headings.
            if len(lines) < 2 or any(line.startswith("   ") or set(line) <= set("*=-~^") for line in lines):
                continue
            kept.update((line.strip(), None) for line in lines if _fits(line.strip()))
    return sorted(kept)


def _fits(line: str) -> bool:
    return _SHORTEST <= len(line) <= _LONGEST and "\t" not in line
