"""The gallery: one command draws it, and what is committed is whole."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import tinyseq as ts

DOCS = Path(ts.__file__).resolve().parent.parent / "docs"


def test_one_command_draws_an_architecture(tmp_path: Path) -> None:
    """Every picture of it: after each pass too, so that the models are made outside of what is compiled."""
    command = [sys.executable, str(DOCS / "make_gallery.py"), "-o", str(tmp_path / "new"), "--only", "IndRNN", "--all"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=DOCS.parent)
    assert done.returncode == 0, done.stderr
    names = {path.name.removeprefix("indrnn-").removesuffix(".svg") for path in (tmp_path / "new").iterdir()}
    passes = {name for name in names if name.startswith("pass-")}
    assert names - passes == {"model", "rolled", "rolled-cells", "cells", "gradients", "backward", "ops", "plan"}
    assert {"pass-00-trace", "pass-13-differentiate"} <= passes


def test_the_index_shows_every_picture_and_each_is_well_formed() -> None:
    folder = DOCS / "gallery"
    shown = set(re.findall(r'src="([^"]+)"', (folder / "index.html").read_text(encoding="utf-8")))
    there = {path.name for path in folder.glob("*.svg")}
    assert shown == there
    assert len(there) > 100
    for name in there:
        ET.parse(folder / name)


def test_the_gallery_has_every_cell_and_stays_small() -> None:
    index = (DOCS / "gallery" / "index.html").read_text(encoding="utf-8")
    for name, cell in ts.nn.CELLS.items():
        assert (cell.__name__.removesuffix("Cell") if name != "esn" else "ESN cell") in index
    assert sum(path.stat().st_size for path in (DOCS / "gallery").iterdir()) < 6e6
