"""The site, built with every warning an error, and its pages in a real browser.

Python in the pages is the stand-in of `support.standin`: Pyodide's own NumPy is in no package registry. With
TINYSEQ_PYODIDE, the folder of a distribution, it is Pyodide; `python docs/web/pyodide_check.py FOLDER` compares the
engine there with the engine here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from support.browsing import browser
from support.course import CHAPTERS
from support.standin import PYODIDE, served

DOCS = Path(__file__).resolve().parents[2] / "docs"
sys.path.insert(0, str(DOCS))
pytestmark = [pytest.mark.course, pytest.mark.filterwarnings("default")]
#: Where axe's script is (npm's axe-core); without it, contrast and labels are not looked at.
AXE = os.environ.get("TINYSEQ_AXE")
#: The cells of a page that are neither an exercise nor of one.
PLAIN = ".cell:not(.tag_exercise):not(.tag_answer):not(.tag_check)"
#: A cell's outputs are announced once it has run here.
ALL_RAN = f"""!document.querySelector('.playground-running')
    && [...document.querySelectorAll('{PLAIN} .cell_output')].every((box) => box.ariaLive)"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import build

    folder = tmp_path_factory.mktemp("site")
    assert build.build(folder, pyodide="../pyodide/" if PYODIDE else "../standin/") == 0
    return folder


@pytest.fixture(scope="module")
def visit(site: Path) -> Iterator[Any]:
    """Opens pages of the site, in a window of a width; what goes wrong in them is kept in `page.trouble`."""
    with served(site) as (address, asked), browser() as started:

        def opened(name: str, width: int = 1280, scheme: str = "light") -> Any:
            size = {"width": width, "height": 900}
            context = started.new_context(viewport=size, color_scheme=scheme)
            page = context.new_page()
            page.trouble, page.asked = [], asked
            page.on("console", lambda m: page.trouble.append(m.text) if m.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: page.trouble.append(str(error)))
            page.on(
                "request", lambda r: page.trouble.append(r.url) if not r.url.startswith((address, "data:")) else None
            )
            page.goto(address + name)
            return page

        yield opened


def pages(site: Path) -> list[str]:
    return sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))


class Links(HTMLParser):
    """What a page leads to, and where it may be led to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.places.update(filter(None, (given.get("id"), given.get("name"))))
        self.links += [value for key in ("href", "src") if (value := given.get(key))]


def test_every_link_leads_somewhere_within_the_site(site: Path) -> None:
    known = {}
    for name in pages(site):
        known[name] = Links()
        known[name].feed((site / name).read_text(encoding="utf-8"))
    wrong = []
    for name, page in known.items():
        for link in page.links:
            if urlsplit(link).scheme:
                continue
            path, place = urldefrag(link)
            target = (site / name).parent / unquote(urlsplit(path).path) if path else site / name
            inside = Path(os.path.normpath(target)).relative_to(site).as_posix()
            if not target.exists() or (place and inside in known and unquote(place) not in known[inside].places):
                wrong.append(f"{name}: {link}")
    assert wrong == []
    assert sum(len(page.links) for page in known.values()) > 1_000


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_every_page_opens_without_a_complaint_and_no_wider_than_the_window(
    site: Path, visit: Any, width: int, scheme: str
) -> None:
    for name in pages(site):
        page = visit(name, width, scheme)
        assert page.trouble == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        page.context.close()


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapters_cells_run_in_the_page(chapter: Path, visit: Any) -> None:
    """The last cell is run, and all before it with it; what they show is what was shown when the page was built."""
    page = visit(f"course/{chapter.stem}.html")
    cells = page.locator(PLAIN)
    texts = [cells.nth(n).locator(".cell_output").all_inner_texts() for n in range(cells.count())]
    pictures = page.locator(".cell_output img").count()
    cells.last.get_by_role("button", name="Run").click()
    page.wait_for_function(ALL_RAN, timeout=60_000)
    assert page.locator(".playground-error").all_inner_texts() == []
    for number, built in enumerate(texts):
        shown = cells.nth(number).locator(".cell_output").all_inner_texts()
        assert [text.strip() for text in shown if text.strip()] == [text.strip() for text in built if text.strip()]
    assert page.locator(".cell_output img").count() == pictures
    assert page.trouble == []
    page.context.close()


def test_an_exercise_is_checked_and_a_mistake_is_told(visit: Any) -> None:
    page = visit("course/08-bptt.html")
    exercise = page.locator(".tag_exercise").first
    exercise.get_by_role("button", name="Check").click()
    exercise.locator(".playground-check").wait_for()
    assert "returns nothing yet" in exercise.locator(".cell_output").inner_text()
    exercise.get_by_role("button", name="Change").click()
    exercise.locator("textarea").fill("def pairs(T):\n    return T * (T + 1) // 2")
    exercise.get_by_role("button", name="Check").click()
    exercise.locator(".playground-text").wait_for()
    assert exercise.locator(".cell_output").inner_text().strip() == "Right."
    exercise.locator("textarea").fill("def pairs(T):\n    return 1 / 0\npairs(1)")
    exercise.locator("textarea").press("Shift+Enter")
    exercise.locator(".playground-error").wait_for()
    assert "line 2: return 1 / 0\nZeroDivisionError" in exercise.locator(".cell_output").inner_text()
    assert page.locator(".tag_check").first.is_hidden()
    page.context.close()


def test_the_lab_shows_picture_gradients_equations_and_a_link_holds_the_code(visit: Any) -> None:
    page = visit("course/lab.html")
    code = page.get_by_label("Code; Shift-Enter runs it")
    code.fill(code.input_value().replace("MyCell", "Renamed"))
    page.get_by_role("button", name="Run").click()
    page.locator(".lab-output img").wait_for()
    page.get_by_role("button", name="Gradients").click()
    page.locator(".lab-output", has_text="dL/dW, norm").wait_for()
    page.get_by_role("button", name="Equations").click()
    page.locator(".lab-output math").first.wait_for()
    page.get_by_role("button", name="Player").click()
    page.frame_locator(".lab-output iframe").locator("svg").first.wait_for()
    page.get_by_role("button", name="Share").click()
    page.wait_for_function("location.hash.startsWith('#code=')")
    again = page.context.new_page()
    again.goto(page.url)
    again.wait_for_function("document.querySelector('textarea').value.includes('Renamed')")
    assert [text for text in page.trouble if "srcdoc" not in text] == []
    page.context.close()


def test_a_chapter_is_slides_by_the_keyboard(visit: Any) -> None:
    page = visit("course/08-bptt.html")
    page.get_by_role("button", name="Show this chapter as slides").press("Enter")
    assert re.fullmatch(r"1 / \d+", page.locator("#slide-count").inner_text())
    assert page.locator("h1").is_visible()
    page.keyboard.press("ArrowRight")
    assert page.locator("#slide-count").inner_text().startswith("2 / ")
    assert not page.locator("h1").is_visible()
    page.keyboard.press("End")
    assert page.get_by_role("heading", name="The gradient of the output weights").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("h1").is_visible()
    assert page.trouble == []
    page.context.close()


@pytest.mark.skipif(AXE is None, reason="TINYSEQ_AXE names no axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_labels_and_structure_are_as_axe_wants_them(visit: Any, scheme: str) -> None:
    assert AXE is not None
    for name in ("index.html", "course/index.html", "course/08-bptt.html", "course/12-lstm.html", "course/lab.html"):
        page = visit(name, scheme=scheme)
        page.add_script_tag(path=AXE)
        found = page.evaluate("axe.run(document, { runOnly: ['wcag2a', 'wcag2aa'] })")["violations"]
        told = [f"{one['id']}: {node['html'][:120]}" for one in found for node in one["nodes"]]
        assert told == [], name
        page.context.close()
