"""The object code of these tests goes to a folder of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    before = os.environ.get("TINYSEQ_CACHE")
    folder = tmp_path_factory.mktemp("objects")
    os.environ["TINYSEQ_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["TINYSEQ_CACHE"]
    else:
        os.environ["TINYSEQ_CACHE"] = before
