"""The course's chapters: every cell runs, every answer passes its check, and no unfinished exercise does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.course import CHAPTERS, Cell, cells, outputs, runner

KINDS = {"exercise", "answer", "check"}


def kind(cell: Cell) -> str:
    return next(iter(cell.tags & KINDS), "code")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_cells_run_answers_are_right_and_starters_are_not(path: Path) -> None:
    page = runner()
    chapter = cells(path)
    for place, cell in enumerate(chapter):
        if kind(cell) == "exercise":
            answer, check = chapter[place + 1 : place + 3]
            assert (kind(answer), kind(check)) == ("answer", "check"), f"line {cell.line}: an answer and a check follow"
            assert "skip-execution" in cell.tags
            assert "hide-cell" in answer.tags
            outputs(page, cell)
            shown = outputs(page, check)
            assert shown[-1]["kind"] == "check", f"line {cell.line}: the unfinished exercise gives {shown}"
            continue
        shown = outputs(page, cell)
        wrong = [out["text"] for out in shown if out["kind"] in ("error", "check", "stderr")]
        assert not wrong, f"{path.name}, line {cell.line}: {wrong[0]}"
        if kind(cell) == "check":
            assert shown[-1]["text"].startswith("Right"), f"line {cell.line}: {shown}"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_has_three_exercises_and_a_picture(path: Path) -> None:
    chapter = cells(path)
    assert sum(kind(cell) == "exercise" for cell in chapter) == 3
    text = path.read_text(encoding="utf-8")
    assert re.search(r"\bts\.draw\(", text, re.MULTILINE), "no picture is made"


def test_every_fence_of_code_is_seen_as_a_cell() -> None:
    for path in CHAPTERS:
        assert path.read_text(encoding="utf-8").count("```{code-cell}") == len(cells(path)), path.name
