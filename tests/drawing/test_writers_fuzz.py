"""Graphs of any form, with any names: every writer gives a well-formed picture, or an error of ours."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pygraphviz
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinyseq as ts
from tinyseq.drawing.formats.dot import to_dot

FEW, MANY = 25, 1_000
NAMES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["<script>x()</script>", '"]; x [', "]]>", "\\N\\l", "{a|<b>}", "\x00\x1b[2J", "\ud800", "&lt;", "</svg>"]
    ),
)
#: What is done next: which op, on which of the tensors so far, in a scope of which name.
STEPS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30), st.integers(0, 30), NAMES), max_size=14)


OPS = [lambda x, y: x + y, lambda x, y: x @ y, lambda x, y: x.tanh(), lambda x, y: ts.concat([x, y])[:2]]


def graph(steps: list[tuple[int, int, int, str]], names: list[str]) -> ts.Tensor:
    """A loss made by a random program on (2, 2) tensors."""
    known = [ts.randn(2, 2) for _ in range(2)]
    weight = ts.tensor([[0.1, 0.2], [0.3, 0.4]], requires_grad=True)
    for tensor, name in zip([*known, weight], names, strict=False):
        tensor.name = name
    known.append(weight)
    for op, a, b, name in steps:
        x, y = known[a % len(known)], known[b % len(known)]
        with ts.scope(name):
            if op < 4:
                known.append(OPS[op](x, y))
            else:
                cell = ts.nn.RNNCell(2, 2)
                cell.name = name
                known.append(ts.unroll(cell, ts.stack([x, y], axis=1))[0][:, 0])
    total = known[-1].sum()
    for tensor in known:
        total = total + tensor.mean()
    return total


class Scripts(HTMLParser):
    """Counts what a page would run."""

    count = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        runs = tag == "script" and dict(attrs).get("type") != "application/json"  # data does not run
        self.count += runs or any(key.startswith("on") for key, _ in attrs)


def fuzz(count: int) -> None:
    @settings(max_examples=count, suppress_health_check=[HealthCheck.too_slow])
    @given(STEPS, st.lists(NAMES, max_size=3), st.sampled_from(["op", "cell"]), NAMES)
    def run(steps: list[tuple[int, int, int, str]], names: list[str], level: str, title: str) -> None:
        drawing = ts.draw(graph(steps, names), title=title, level=level)
        for element in ET.fromstring(drawing.svg).iter():
            assert element.tag.rpartition("}")[2] not in {"script", "foreignObject", "image", "use", "animate", "set"}
            for key in element.attrib:  # Graphviz writes tooltips as <a> without a link
                assert not key.lower().rpartition("}")[2].startswith(("on", "href"))
        parsed = pygraphviz.AGraph(string=to_dot(drawing.view))
        assert len(parsed.nodes()) == len(drawing.view.items) + len(drawing.view.weights)
        page = Scripts()
        page.feed(drawing.html)
        assert page.count == 1, "the page's own script"

    run()


def test_writers_of_any_graph() -> None:
    fuzz(FEW)


@pytest.mark.slow
def test_writers_of_many_more_graphs() -> None:
    fuzz(MANY)
