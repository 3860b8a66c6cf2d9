"""The page of who does what is that of the records; ``TINYSEQ_REWRITE_DOCS=1`` writes it anew."""

from __future__ import annotations

import os
from pathlib import Path

from tinyseq.nn.convert.records import LIBRARIES
from tinyseq.nn.convert.table import markdown

PAGE = Path(__file__).resolve().parents[3] / "docs" / "rosetta.md"
START, END = "<!-- table -->\n", "<!-- end of table -->"


def test_the_page_has_the_table_of_the_records() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    table, after = rest.split(END)
    current = f"\n{markdown()}\n"
    if os.environ.get("TINYSEQ_REWRITE_DOCS") == "1":
        PAGE.write_text(f"{before}{START}{current}{END}{after}", encoding="utf-8")
        table = current
    assert table == current


def test_every_library_and_layer_is_in_it() -> None:
    table = markdown()
    for library in LIBRARIES.values():
        assert f"### {library.title}\n" in table
        for form in library.forms:
            assert f"| `{form.called}` |" in table
