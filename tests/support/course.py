"""Chapters of the course as tests see them: their cells, by tags."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "docs" / "course").glob("[0-9]*.md"))
FENCE = re.compile(r"^```\{code-cell\}[^\n]*\n(?::tags: \[([^\]]*)\]\n)?\n?(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """A code cell: its tags, its text, and the line of the chapter on which its fence stands."""

    tags: frozenset[str]
    source: str
    line: int


def cells(path: Path) -> list[Cell]:
    """Return a chapter's code cells in order."""
    text = path.read_text(encoding="utf-8")
    return [
        Cell(
            frozenset(filter(None, re.split(r",\s*", match[1] or ""))), match[2], text[: match.start()].count("\n") + 1
        )
        for match in FENCE.finditer(text)
    ]


def runner() -> ModuleType:
    """Return a fresh copy of what runs cells in a page: names of one are not seen by another."""
    path = ROOT / "docs" / "web" / "browser" / "harness.py"
    spec = importlib.util.spec_from_file_location("course_harness", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outputs(page: ModuleType, cell: Cell) -> list[dict[str, str]]:
    """Run a cell and return what the page would show."""
    return list(json.loads(page.run_cell(cell.source)))
