"""Names that hold anything at all, in every kind of picture: text for an XML parser and for Graphviz itself."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinyseq as ts
from support.hostile_names import HOSTILE, SVG
from tinyseq.drawing import Drawing, draw, valued
from tinyseq.drawing.shared.text import clean

TAGS = {"svg", "title", "desc", "style", "defs", "marker", "path", "rect", "text", "g", "circle"}
#: What a name may be made of, with the signs that a format could take for its own the more often.
NAMES = st.text(st.one_of(st.sampled_from("\"'<>&{}|\\]\n\r$%;#/.-=\x00\u202e\u2028"), st.characters()), max_size=24)


def model(name: str) -> Any:
    """The loss of a small recurrence with a name in every place that takes one."""
    weight = ts.tensor(np.full((3, 3), 0.5, np.float32), requires_grad=True, name=name)

    def step(x: ts.Tensor, state: dict[str, ts.Tensor]) -> tuple[ts.Tensor, dict[str, ts.Tensor]]:
        with ts.scope(name or "cell"):
            new = (x @ weight + state[name]).tanh().sigmoid()
        return new, {name: new}

    def loss(xs: ts.Tensor) -> ts.Tensor:
        ys, _ = ts.unroll(step, xs, {name: ts.zeros(2, 3)})
        return ys.sum()

    return loss, ts.tensor(np.ones((2, 3, 3), np.float32), name=name)


def every_picture(name: str) -> Iterator[Drawing]:
    """Every kind of picture of it."""
    loss, xs = model(name)
    graph = valued(loss, xs)
    yield draw(graph, title=name, engine="grid")
    yield draw(graph, title=name, rolled=True)
    yield draw(graph, title=name, level="model")
    yield draw(graph, title=name, level="cell", gradients=True)
    yield draw(graph, title=name, backward=True)
    fast = ts.compile(loss)
    fast(xs)
    yield draw(fast, title=name)
    yield draw(fast.plan, title=name)


def shows_text_only(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in TAGS
        assert not any(key.lower().startswith("on") or "href" in key.lower() for key in element.attrib)
    return root


@given(NAMES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_name_is_text_in_every_kind_of_picture(name: str) -> None:
    dots = []
    for drawing in every_picture(name):
        root = shows_text_only(drawing.svg)
        if name.strip():
            assert root.findtext(f"{SVG}title") == clean(name)
        dots.append(drawing.dot)
    parsed_by_graphviz(dots)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_text_in_every_kind_of_picture(name: str) -> None:
    parsed_by_graphviz([drawing.dot for drawing in every_picture(name) if shows_text_only(drawing.svg)])


def parsed_by_graphviz(sources: list[str]) -> None:
    """Let Graphviz read each source; a name that broke out of its quotes would make another graph, or none."""
    dot = shutil.which("dot")
    if dot is None:
        return
    done = subprocess.run([dot, "-Tcanon"], input="\n".join(sources).encode(), capture_output=True, check=True)
    assert done.stdout.count(b"digraph tinyseq {") == len(sources)
    assert b"syntax error" not in done.stderr


@pytest.mark.skipif(shutil.which("dot") is None, reason="no dot on PATH")
@pytest.mark.parametrize("name", ['a"b', "<b>&amp;</b>", "{x|<p>y}", "\\N\\G", "]]>", "</svg><script>"])
def test_graphviz_shows_the_name_itself(name: str) -> None:
    loss, xs = model(name)
    svg = draw(valued(loss, xs), rolled=True, engine="graphviz", title=name).svg
    root = ET.fromstring(svg)
    assert any(name == "".join(element.itertext()).strip() for element in root.iter(f"{SVG}text"))
    assert not list(root.iter(f"{SVG}script"))


def test_no_name_leads_out_of_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    for name in ("../../escaped", "/tmp/escaped", "..", "a/../../b", "C:\\escaped"):
        for number, drawing in enumerate(every_picture(name)):
            drawing.save(inside / f"{number}.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert sorted(path.name for path in inside.iterdir()) == [f"{number}.svg" for number in range(7)]
