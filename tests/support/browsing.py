"""A real browser for the tests of the page: Debian's chromium, headless, without network."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

#: Set by `.ci/run`, which installs chromium: there, a page that is not tried in a browser is a failure.
REQUIRED = os.environ.get("TINYSEQ_REQUIRE_BROWSER") == "1"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """Where the browser is; skips the test (or fails it, where a browser is required) if there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    missing = "no chromium on PATH" if found is None else ""
    try:
        import playwright  # noqa: F401
    except ImportError:
        missing = "playwright is not installed"
    if missing:
        (pytest.fail if REQUIRED else pytest.skip)(missing)
    assert found is not None
    return found


@contextmanager
def browser() -> Iterator[Any]:
    """A browser; close its contexts before it."""
    path = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield started
        finally:
            started.close()


def opened(started: Any, path: Path, **options: Any) -> Any:
    """Open a page in a context of its own, offline. Everything that goes wrong in it is kept in ``page.trouble``."""
    context = started.new_context(**{"viewport": {"width": 1280, "height": 800}, "offline": True, **options})
    page = context.new_page()
    page.trouble = []
    page.on(
        "console", lambda message: page.trouble.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.on("dialog", lambda dialog: (page.trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on(
        "request", lambda request: page.trouble.append(request.url) if not request.url.startswith("file:") else None
    )
    page.goto(path.as_uri())
    page.wait_for_function("performance.getEntriesByName('first-picture').length > 0")
    return page
