"""Pictures of the compiler's work: what a pass has changed, packed ops, plans with their buffers; notebook hooks."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.drawing_models import LanguageModel
from support.layouts import crosses, overlap
from tinyseq import nn
from tinyseq.compiler.plan import Loop
from tinyseq.drawing import Drawing
from tinyseq.drawing.shared.rolled import roll
from tinyseq.drawing.source.diff import compare
from tinyseq.errors import DataError


@pytest.fixture(scope="module")
def fast() -> Any:
    ts.seed(0)
    made = ts.compile(LanguageModel())
    made(ts.randn(2, 4, 8), ts.tensor([[1] * 4] * 2))
    return made


def changed(drawing: Drawing, change: str) -> list[str]:
    return sorted(item.details.op for item in drawing.view.items if item.change == change)


def test_merge_makes_one_product_of_four_and_the_picture_marks_it(fast: Any) -> None:
    drawing = ts.draw(fast, after="merge")
    assert changed(drawing, "new").count("matmul") == 2  # of h, and of x
    assert "8 matmul" in drawing.view.notes[0].split("gone")[1]
    assert drawing.view.title == "after merge"


def test_pack_makes_wide_ops_and_boxes_them(fast: Any) -> None:
    drawing = ts.draw(fast, after="pack")
    wide = {item.details.op: item.lanes for item in drawing.view.items if item.lanes > 1}
    assert wide["tanh"] == 4
    assert wide["matmul"] == 4
    assert wide["mul"] == 3  # the scale of the three sigmoids
    frames = [frame for frame in drawing.scene.frames if frame.role == "packed"]
    assert "3 lanes packed" in {frame.label for frame in frames}
    for frame in frames:
        inside = [
            box.item.lanes
            for box in drawing.scene.boxes
            if frame.left < box.x < frame.left + frame.width and frame.top < box.y < frame.top + frame.height
        ]
        assert inside
        assert min(inside) > 1


def test_two_gates_are_packed_as_two_lanes() -> None:
    gru = nn.GRU(3, 4)
    fast = ts.compile(lambda xs: gru(xs)[0].sum())
    fast(ts.randn(2, 3, 3))
    assert 2 in {item.lanes for item in ts.draw(fast, after="pack").view.items if item.details.op == "tanh"}


def test_nothing_is_marked_that_a_pass_left_alone(fast: Any) -> None:
    stages = fast.passes
    changes, words = compare(stages[3].graph, stages[3].graph)
    assert (changes, words) == ({}, "nothing changed")
    rebuilt = ts.trace(LanguageModel(), ts.randn(2, 4, 8), ts.tensor([[1] * 4] * 2))
    changes, words = compare(stages[0].graph, rebuilt)  # other nodes, the same ops at the same lines
    assert (changes, words) == ({}, "nothing changed")


def test_a_pass_is_named_by_its_number_too_and_a_wrong_one_is_refused(fast: Any) -> None:
    first, last = ts.draw(fast, after="simplify:1"), ts.draw(fast, after="simplify")
    assert len(first.view.items) != len(last.view.items)
    with pytest.raises(DataError, match="did you mean 'merge'"):
        ts.draw(fast, after="mergee")
    with pytest.raises(DataError, match="runs 1 time"):
        ts.draw(fast, after="merge:2")


def test_after_every_pass_nothing_stands_on_anything_and_no_wire_runs_through_a_box(fast: Any) -> None:
    for stage in fast.passes:
        scene = ts.draw(stage).scene
        boxes = scene.boxes
        assert not [(a.item.label, b.item.label) for n, a in enumerate(boxes) for b in boxes[:n] if overlap(a, b)]
        assert not crosses(scene), stage.name


def test_a_compiled_function_is_drawn_with_its_loops_both_ways(fast: Any) -> None:
    view = ts.draw(fast).view
    assert view.rolled
    assert [row.direction for row in view.rows if row.inputs_of is None] == [1, -1]


def test_gradients_are_a_part_of_their_own_whose_forward_values_stand_by_name(fast: Any) -> None:
    drawing = ts.draw(fast, after="differentiate")
    view = drawing.view
    items = [item for item in view.items if item.kind == "op"]
    new, old = ([item for item in items if (item.change == "new") == made] for made in (True, False))
    assert len(new) > 80
    # What the pass made, by a comparison of graphs, is what depends on the gradient that arrives.
    assert {item.scope.rpartition("/")[2][:1] for item in new} == {"", "∂"}
    assert not any("∂" in item.scope for item in old)
    ends = {(view.item(edge.source).change, view.item(edge.target).change) for edge in view.edges}
    assert ends == {("", ""), ("new", "new"), ("", "new")}
    between = [edge for edge in view.edges if view.item(edge.target).change == "new"]
    assert {view.item(edge.source).label for edge in between if not view.item(edge.source).change} == {"gradient"}
    tags = {tag for item in new for tag in item.tags}
    assert {"hₜ₋₁", "cₜ₋₁", "⟨tanh⟩", "W"} <= tags
    assert {frame.label for frame in drawing.scene.frames if "t =" in frame.label} == {
        "lstm0, t = 0 … 3", "∂lstm0, t = 3 … 0",
    }  # fmt: skip
    assert "by their names" in view.notes[-1]


@pytest.mark.parametrize("options", [{"level": "cell"}, {"budget": 100}])
def test_a_folded_picture_keeps_the_wires_to_the_gradients(fast: Any, options: Any) -> None:
    view = ts.draw(fast, after="differentiate", **options).view
    cells = {item.id: item.label for item in view.items if item.kind == "cell"}
    assert sorted(cells.values()) == ["lstm0", "∂lstm0"]
    assert ("lstm0", "∂lstm0") in {(cells.get(edge.source), cells.get(edge.target)) for edge in view.edges}
    assert not any("by their names" in note for note in view.notes)


def test_what_stands_outside_a_loop_takes_the_values_of_all_its_steps(fast: Any) -> None:
    """Their shapes are those of the graph itself: FLOPs of a contraction over time are counted by them."""
    seen = 0
    for stage in fast.passes:
        rolled = roll(stage.graph)
        for node in stage.graph.nodes:
            if node.inputs and node.op.name != "pick" and "body" not in node.attrs:
                seen += any(parent.op.name == "pick" for parent in node.inputs)
                assert [x.shape for x in rolled.copy_of[node].inputs] == [x.shape for x in node.inputs], stage.name
    assert seen > 20


def test_the_plan_shows_each_buffer_from_first_to_last_use(fast: Any) -> None:
    drawing = ts.draw(fast.plan)
    plan = fast.plan
    boxes = {box.item.label: box for box in drawing.scene.boxes}
    rows = [box for box in drawing.scene.boxes if box.item.kind == "instruction"]
    assert [box.item.label for box in rows] == [
        str(inner) for one in plan.instructions for inner in (one.body if isinstance(one, Loop) else [one])
    ]
    assert [box.y for box in rows] == sorted(box.y for box in rows)
    for a, b in zip(plan.buffers, plan.buffers[1:], strict=False):
        if a.first < b.first:
            assert boxes[a.label].top < boxes[b.label].top
    bars = [box for box in drawing.scene.boxes if box.item.kind != "instruction"]
    assert len(bars) == len(plan.buffers)
    assert not [(a.item.label, b.item.label) for n, a in enumerate(bars) for b in bars[:n] if overlap(a, b)]
    assert len({round(box.x, 3) for box in bars}) == len(plan.slots())
    assert f"{plan.memory:,} bytes" in drawing.view.notes[0]
    assert sum(frame.label.startswith("loop t") for frame in drawing.scene.frames) == 2


def test_instructions_use_the_buffers_they_are_marked_on(fast: Any) -> None:
    view = ts.draw(fast.plan).view
    product = next(item for item in view.items if item.kind == "instruction" and "matmul(s" in item.label)
    reads = {view.item(edge.source).label for edge in view.edges if edge.target == product.id}
    writes = {view.item(edge.target).label for edge in view.edges if edge.source == product.id}
    left, right = product.label.split(" = ")
    assert all(left.startswith(name) for name in writes)
    assert all(f"{name}" in right for name in reads)
    assert len(reads) == 2
    assert dict(product.facts)["op"] == "matmul"
    assert "nn/cells" in dict(product.facts)["source"]


@pytest.mark.parametrize("format", ["svg", "dot", "png", "pdf", "html"])
def test_plans_come_in_every_format(fast: Any, format: str) -> None:
    assert len(ts.draw(fast.plan, title="plan").render(format)) > 1000


# -- notebooks ---------------------------------------------------------------------------------------------------------


def test_graphs_functions_plans_and_tensors_show_themselves(fast: Any) -> None:
    graph = ts.trace(LanguageModel(), ts.randn(2, 3, 8), ts.tensor([[1] * 3] * 2))
    for thing in (graph, fast, fast.plan):
        assert ET.fromstring(thing._repr_svg_()).tag.endswith("svg")
    assert ts.compile(LanguageModel())._repr_svg_() is None
    x = ts.tensor(np.ones(2), requires_grad=True)
    assert "<svg" in x.tanh()._repr_html_()
    assert x._repr_html_() == f"<pre>{x!r}</pre>"
    assert (ts.ones(2) < 3)._repr_html_().startswith("<pre>tensor(")
