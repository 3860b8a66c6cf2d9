"""What a release says of itself is one thing: version, changelog, citation."""

from __future__ import annotations

import re
from pathlib import Path

from ruamel.yaml import YAML

import tinyseq as ts

ROOT = Path(__file__).resolve().parent.parent


def test_version_changelog_and_citation_agree() -> None:
    citation = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    released = re.findall(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert released[0] == (ts.__version__, str(citation["date-released"]))
    assert citation["version"] == ts.__version__
