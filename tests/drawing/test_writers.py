"""Every format is well formed, whatever the names hold; Graphviz takes the DOT with and without ``dot`` on PATH."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tinyseq as ts
from support.drawing_models import language_model
from support.hostile_names import HOSTILE, SVG, named
from tinyseq.drawing import Drawing, DrawingError
from tinyseq.drawing.formats import graphviz
from tinyseq.drawing.formats.dot import to_dot
from tinyseq.drawing.shared.text import clean
from tinyseq.errors import BackendError, DataError


def text_of(svg: str) -> list[str]:
    root = ET.fromstring(svg)
    return ["".join(element.itertext()) for element in root.iter() if element.tag in (f"{SVG}text", f"{SVG}title")]


def executes_nothing(svg: str) -> None:
    root = ET.fromstring(svg)
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in {
            "svg", "title", "desc", "style", "defs", "marker", "path", "rect", "text", "g",
        }  # fmt: skip
        assert not any(key.lower().startswith("on") or "href" in key.lower() for key in element.attrib)


@given(st.text(max_size=40))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@example('"\\')
@example("<i>")
def test_any_name_is_text_in_svg_and_html(name: str) -> None:
    drawing = ts.draw(named(name), title=name, level="cell" if len(name) % 2 else "op")
    executes_nothing(drawing.svg)
    shown = clean(name)
    if shown.strip() and shown != "\ufffd":
        assert any(shown in text for text in text_of(drawing.svg))
    scripts = Scripts()
    scripts.feed(drawing.html)
    assert scripts.count == 1
    assert not scripts.handlers


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_text_in_svg_html_and_dot(name: str) -> None:
    drawing = ts.draw(named(name), title=name)
    executes_nothing(drawing.svg)
    scripts = Scripts()
    scripts.feed(drawing.html)
    assert scripts.count == 1
    assert not scripts.handlers
    assert "\u202e" not in drawing.svg + drawing.html + drawing.dot


class Scripts(HTMLParser):
    """Counts what a page would run, as a browser's own parser sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.handlers = 0, 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count += tag == "script" and dict(attrs).get("type") != "application/json"  # data does not run
        self.handlers += sum(key.startswith("on") for key, _ in attrs)


def test_the_page_needs_no_network_and_says_so_to_the_browser() -> None:
    html = ts.draw(language_model(2)).html
    assert not re.search(r"(src|href)=|@import|url\((?!#)|https?://(?!www\.w3\.org/2000/svg)", html)
    assert "default-src 'none'" in html


# -- Graphviz ----------------------------------------------------------------------------------------------------------

pygraphviz = pytest.importorskip("pygraphviz", reason="pygraphviz has no wheel here")


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_graphviz_reads_hostile_names_as_text(name: str) -> None:
    drawing = ts.draw(named(name), title=name)
    graph = pygraphviz.AGraph(string=drawing.dot)
    assert {str(node) for node in graph.nodes()} == {
        *(f"n{item.id}" for item in drawing.view.items), *(f"w{i}" for i in range(len(drawing.view.weights))),
    }  # fmt: skip
    svg = graphviz.render(drawing.dot, "svg").decode()
    svg = re.sub(r"<!DOCTYPE[^>]*>", "", svg, count=1)
    root = ET.fromstring(svg)
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    words = clean(name, 36)
    if words.strip() and "  " not in words and "\ufffd" not in words:
        texts = "".join(root.itertext()).replace("\xa0", " ")
        assert words.strip().rstrip("…") in texts


@given(st.text(max_size=30))
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
def test_graphviz_parses_the_dot_of_any_name(name: str) -> None:
    view = ts.draw(named(name), title=name).view
    assert len(pygraphviz.AGraph(string=to_dot(view)).nodes()) == len(view.items) + len(view.weights)


MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-", "svg": b"<"}


@pytest.mark.parametrize("engine", ["grid", "graphviz"])
@pytest.mark.parametrize("format", MAGIC)
def test_files_are_what_their_suffix_says_without_dot(
    format: str, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ts.draw(language_model(2), tmp_path / f"picture.{format}", engine=engine, level="cell")
    data = (tmp_path / f"picture.{format}").read_bytes()
    assert data.startswith(MAGIC[format])
    assert len(data) > 1000
    assert [path.name for path in tmp_path.iterdir()] == [f"picture.{format}"]


def test_a_dot_on_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "dot"
    fake.write_text("#!/bin/sh\n/bin/cat > /dev/null\nprintf 'rendered by dot'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    if sys.platform == "win32":
        pytest.skip("a shell script stands for dot")
    assert graphviz.available() == "dot"
    assert ts.draw(language_model(1), engine="graphviz").render("svg") == b"rendered by dot"
    fake.write_text("#!/bin/sh\n/bin/cat > /dev/null\necho 'syntax error' >&2\nexit 1\n")
    with pytest.raises(BackendError, match="syntax error"):
        ts.draw(language_model(1), engine="graphviz").render("svg")


def test_a_real_dot_accepts_the_source() -> None:
    dot = shutil.which("dot")
    if dot is None:
        pytest.skip("no dot on PATH")
    for name in HOSTILE:
        source = ts.draw(named(name), title=name).dot.encode()
        assert b"digraph" in subprocess.run([dot, "-Tcanon"], input=source, capture_output=True, check=True).stdout
    assert ts.draw(language_model(2), engine="graphviz").svg.lstrip().startswith("<?xml")


def test_hostile_names_survive_in_png_and_pdf() -> None:
    for name in HOSTILE[11:14]:
        drawing = ts.draw(named(name), title=name, level="cell")
        assert drawing.render("png").startswith(MAGIC["png"])
    assert drawing.render("pdf").startswith(MAGIC["pdf"])


def test_without_any_graphviz_dot_and_grid_still_come_and_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphviz, "available", lambda: "")
    x = ts.tensor(np.ones(2), requires_grad=True)
    for format in ("svg", "dot", "html", "png"):
        ts.draw(x.tanh().sum(), tmp_path / f"a.{format}")
    with pytest.raises(BackendError, match=r"pip install \"tinyseq\[dot\]"):
        ts.draw(x.tanh().sum(), tmp_path / "b.svg", engine="graphviz")
    assert not (tmp_path / "b.svg").exists()


# -- what the picture says ---------------------------------------------------------------------------------------------


def test_svg_is_accessible_dark_and_shows_cuts_and_folds() -> None:
    svg = ts.draw(language_model(30, truncate=1), title="LM", budget=60).svg
    root = ET.fromstring(svg)
    assert root.attrib["role"] == "img"
    assert root.find(f"{SVG}title") is not None
    assert "gradient is cut" in (root.findtext(f"{SVG}desc") or "")
    assert "prefers-color-scheme:dark" in svg
    assert any("scissors" in element.attrib.get("class", "") for element in root.iter())
    assert any("0, 1, …, 29 of 30 steps" in text for text in text_of(svg))


def test_ids_are_not_taken_from_names_and_labels_have_their_titles() -> None:
    root = ET.fromstring(ts.draw(language_model(2)).svg)
    titles = [element.text or "" for element in root.iter(f"{SVG}title")]
    assert any("op: sigmoid" in title and "step: 1" in title and "formula:" in title for title in titles)
    assert sum("numbers, used 2 times" in title for title in titles) == 1


def test_dot_marks_the_cut_and_clusters_the_steps() -> None:
    source = ts.draw(language_model(3, truncate=2)).dot
    assert source.count("arrowtail=teetee") == 2
    assert [source.count(f"lstm0, t = {t}") for t in range(3)] == [1, 1, 1]


def test_the_same_graph_gives_the_same_bytes() -> None:
    graph = language_model(2)
    for format in ("svg", "dot", "html", "png", "pdf"):
        assert ts.draw(graph).render(format) == ts.draw(graph).render(format), format


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_path_that_cannot_be_written_is_refused_with_what_to_do(tmp_path: Path) -> None:
    graph = language_model(1)
    with pytest.raises(DrawingError, match="no such folder"):
        ts.draw(graph, tmp_path / "missing" / "a.svg")
    with pytest.raises(DataError, match="no suffix"):
        ts.draw(graph, tmp_path / "a")
    with pytest.raises(DataError, match="did you mean 'svg'"):
        ts.draw(graph, tmp_path / "a.svgg")
    (tmp_path / "folder.svg").mkdir()
    with pytest.raises(DrawingError, match="this is a folder"):
        ts.draw(graph, tmp_path / "folder.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.svg"]


def test_a_failed_write_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.svg"
    target.write_text("old")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(DrawingError, match="No space left"):
        ts.draw(language_model(1), target)
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]


def test_a_format_may_be_named_and_a_drawing_shows_itself(tmp_path: Path) -> None:
    drawing = ts.draw(language_model(1), tmp_path / "a.txt", format="dot")
    assert (tmp_path / "a.txt").read_text().startswith("digraph")
    assert isinstance(drawing, Drawing)
    assert drawing._repr_svg_().startswith("<svg")
    assert "time runs left to right" in repr(drawing)


@pytest.mark.parametrize("what", [3, "text", None])
def test_what_has_no_graph_is_refused(what: object) -> None:
    with pytest.raises(DataError, match="nothing here to draw"):
        ts.draw(what)


def test_a_tensor_without_history_is_refused() -> None:
    with pytest.raises(DataError, match="no history"):
        ts.draw(ts.zeros(2))


@pytest.mark.parametrize("options", [{"engine": "neato"}, {"format": "gif"}, {"budget": 0}, {"level": "x"}])
def test_unknown_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(DataError):
        ts.draw(language_model(1), **options)  # type: ignore[arg-type]


def test_a_file_has_the_permissions_of_any_other_and_the_umask_is_not_touched(tmp_path, monkeypatch):
    """To read the umask is to set it, for every thread."""
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask is the process's"))
    (tmp_path / "any").write_bytes(b"")
    ts.draw(language_model(), tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_mode == (tmp_path / "any").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "any"]
