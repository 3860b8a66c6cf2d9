"""Where things stand: columns in order of time, layers bottom to top, nothing on top of anything else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyseq as ts
from support.drawing_models import language_model
from support.layouts import crosses, overlap
from tinyseq.drawing import build_view
from tinyseq.drawing.layout.edges import layout
from tinyseq.drawing.layout.ordering import arrange, longest_path
from tinyseq.drawing.shared.scene import Box

GRAPHS = {
    "lstm": {},
    "cut": {"steps": 4, "truncate": 2},
    "stacked": {"layers": 2},
    "both ways": {"bidirectional": True},
    "all": {"steps": 4, "layers": 2, "bidirectional": True, "truncate": 2},
    "long": {"steps": 40, "layers": 2},
    "eager": {"eager": True, "truncate": 2},
}


@pytest.mark.parametrize("level", ["op", "cell"])
@pytest.mark.parametrize("name", GRAPHS)
def test_no_box_stands_on_another_and_no_wire_runs_through_one(name: str, level: str) -> None:
    made = language_model(**GRAPHS[name])  # type: ignore[arg-type]
    graph = made if isinstance(made, ts.Graph) else ts.Graph([made.node])
    scene = layout(build_view(graph, level=level))
    for a, b in itertools.combinations(scene.boxes, 2):
        assert not overlap(a, b), f"{a.item.label} and {b.item.label}"
    assert not crosses(scene)
    for box in scene.boxes:
        assert box.left >= 0
        assert box.right <= scene.width
        assert box.top >= 0
        assert box.bottom <= scene.height


def test_time_runs_to_the_right_layers_up_and_steps_look_alike() -> None:
    scene = layout(build_view(language_model(4, layers=2), level="cell"))
    cells = {(box.item.label, box.item.step): box for box in scene.boxes if box.item.kind == "cell"}
    for layer in ("lstm0", "lstm1"):
        xs = [cells[layer, t].x for t in range(4)]
        assert xs == sorted(xs)
        assert len({cells[layer, t].y for t in range(4)}) == 1
    assert all(cells["lstm1", t].y < cells["lstm0", t].y for t in range(4))
    assert all(cells["lstm1", t].x == pytest.approx(cells["lstm0", t].x) for t in range(4))


def test_at_op_level_the_same_op_stands_at_the_same_place_of_each_step() -> None:
    scene = layout(build_view(language_model(3)))
    by_key: dict[object, list[Box]] = {}
    for box in scene.boxes:
        if box.item.column is not None:
            by_key.setdefault(box.item.key, []).append(box)
    pitch = {round(b.x - a.x, 3) for boxes in by_key.values() for a, b in itertools.pairwise(boxes)}
    assert len(pitch) == 1
    assert all(len({box.y for box in boxes}) == 1 for boxes in by_key.values())


def test_weights_are_in_the_margin_with_a_wire_to_every_step() -> None:
    scene = layout(build_view(language_model(3), level="cell"))
    cells = [box for box in scene.boxes if box.item.kind == "cell"]
    panel = next(panel for panel in scene.panels if "lstm0" in panel.title)
    assert "each used 3×" in panel.title
    assert panel.left + panel.width < min(box.left for box in scene.boxes)
    ends = {line[-1] for line in panel.wires}
    assert all(any(box.left < x < box.right and abs(y - box.bottom) < 1 for x, y in ends) for box in cells)


def test_what_acts_on_all_steps_is_a_bar_across_them() -> None:
    scene = layout(build_view(language_model(3), level="cell"))
    cells = [box for box in scene.boxes if box.item.kind == "cell"]
    head = next(box for box in scene.boxes if box.item.label == "head")
    assert head.bar
    assert head.left <= min(box.left for box in cells)
    assert head.right >= max(box.right for box in cells)


def test_a_graph_without_steps_is_laid_out_in_layers() -> None:
    x = ts.tensor(np.ones((2, 3)), requires_grad=True)
    y = (x.tanh() + x.exp()).sum()
    scene = layout(build_view(ts.Graph([y.node])))
    at = {box.item.label: box for box in scene.boxes}
    assert at["Σ"].y < at["+"].y < at["tanh"].y == at["eˣ"].y
    assert not crosses(scene)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40))
def test_ranks_rise_along_edges_of_any_acyclic_graph_and_circles_do_no_harm(pairs: list[tuple[int, int]]) -> None:
    keys = list(range(13))
    longest_path(keys, pairs)
    acyclic = [(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]]
    rank = longest_path(keys, acyclic)
    assert all(rank[a] < rank[b] for a, b in acyclic)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(6, 11)), max_size=30),
    st.lists(st.floats(5, 80), min_size=12, max_size=12),
)
def test_things_on_a_line_keep_their_distance(pairs: list[tuple[int, int]], sizes: list[float]) -> None:
    widths = dict(enumerate(sizes))
    lines = [list(range(6)), list(range(6, 12))]
    centre = arrange(lines, widths, pairs, gap=10)
    for line in lines:
        order = sorted(line, key=lambda key: centre[key])
        for a, b in itertools.pairwise(order):
            assert centre[b] - centre[a] >= (widths[a] + widths[b]) / 2 + 10 - 1e-6
