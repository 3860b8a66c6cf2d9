"""What a page loads is enough: every chapter runs on NumPy and the browser's packages, with nothing else to import."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.course import CHAPTERS, ROOT, cells
from support.standin import Python

sys.path.insert(0, str(ROOT / "docs" / "web"))
#: What a reader's browser has to fetch of tinyseq, in bytes.
LARGEST = 500_000


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    from browser_wheels import browser_wheels

    return browser_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def page(wheels: list[Path]) -> Iterator[Python]:
    python = Python()
    for wheel in wheels:
        python.unpack(wheel.read_bytes())
    harness = ROOT / "docs" / "web" / "browser" / "harness.py"
    assert python.run(harness.read_text(encoding="utf-8"))["error"] is None
    yield python
    python.close()


def test_the_engine_is_small_enough_for_a_page(wheels: list[Path]) -> None:
    assert wheels[0].stat().st_size < LARGEST


def test_nothing_but_numpy_and_what_was_unpacked_can_be_imported(page: Python) -> None:
    assert page.run("import tinyseq; tinyseq.__file__")["value"].startswith(page.folder.name)
    for name in ("threadpoolctl", "pydantic", "matplotlib", "llvmlite"):
        assert "ModuleNotFoundError" in page.run(f"import {name}")["error"]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs_on_numpy_alone(path: Path, page: Python) -> None:
    for cell in cells(path):
        if "exercise" in cell.tags:
            continue
        answer = page.run(f"run_cell({cell.source!r})")
        shown = json.loads(answer["value"])
        wrong = [out["text"] for out in shown if out["kind"] in ("error", "check", "stderr")]
        assert wrong == [], f"{path.name}, line {cell.line}"
