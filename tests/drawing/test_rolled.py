"""Rolled pictures: a loop once, delay edges from what a step makes to what the next takes; modules; folded scopes."""

from __future__ import annotations

import pytest

import tinyseq as ts
from support.drawing_models import LanguageModel, Leaky, language_model
from support.layouts import crosses, overlap
from tinyseq import nn
from tinyseq.drawing import View, build_view
from tinyseq.drawing.layout.edges import layout
from tinyseq.errors import DataError


def delays(view: View) -> dict[str, tuple[str, str]]:
    """The name of each delayed state, and the ops it leads from and to."""
    return {
        edge.name: (view.item(edge.source).details.op, view.item(edge.target).details.op)
        for edge in view.edges
        if edge.delay
    }


def test_a_rolled_lstm_has_each_op_once_and_leads_h_and_c_back() -> None:
    view = build_view(language_model(7), rolled=True)
    ops = [item.details.op for item in view.items if item.column is not None and item.kind == "op"]
    assert (ops.count("matmul"), ops.count("sigmoid"), ops.count("tanh"), ops.count("mul")) == (4, 3, 2, 3)
    assert delays(view) == {"h": ("mul", "concat"), "c": ("add", "mul")}
    assert view.rolled
    assert "delayed by one step" in view.summary()


def test_a_rolled_picture_is_of_one_size_whatever_the_steps_and_still_counts_the_uses() -> None:
    short, long = build_view(language_model(2), rolled=True), build_view(language_model(500), rolled=True)
    assert len(short.items) == len(long.items)
    assert {weight.uses for weight in long.weights[0].weights} == {500}
    assert long.rows[0].label == "lstm0, t = 0 … 499"


def test_x_comes_in_y_goes_out_and_initial_states_enter_from_outside() -> None:
    view = build_view(language_model(3), rolled=True, level="cell")
    cell = next(item for item in view.items if item.kind == "cell")
    assert {edge.label for edge in view.edges if edge.target == cell.id and not edge.state} == {"xₜ"}
    assert {edge.label for edge in view.edges if edge.source == cell.id and not edge.delay} == {"yₜ"}
    assert {edge.name for edge in view.edges if view.item(edge.source).kind == "initial"} == {"h", "c"}
    assert {edge.name for edge in view.edges if edge.delay and edge.source == edge.target == cell.id} == {"h", "c"}


def test_both_directions_are_loops_of_their_own() -> None:
    view = build_view(language_model(4, bidirectional=True), rolled=True, level="cell")
    details = {item.label: item.detail for item in view.items if item.kind == "cell"}
    assert "t = 0 … 3" in details["lstm0"]
    assert "t = 3 … 0" in details["lstm0_reverse"]


def test_truncation_is_a_cut_on_the_delay() -> None:
    assert all(edge.cut for edge in build_view(language_model(4, truncate=2), rolled=True).edges if edge.delay)
    assert not build_view(language_model(4), rolled=True).cuts


def test_a_users_own_cell_is_rolled_like_any_other() -> None:
    cell = Leaky()
    graph = ts.trace(lambda xs: cell(xs)[1]["trace"].sum(), ts.randn(2, 3, 8))
    assert set(delays(build_view(graph, rolled=True))) == {"memory", "trace"}


def test_states_of_a_stack_within_one_step_are_named_by_layer() -> None:
    from tinyseq.drawing.shared.labels import called

    assert [called(name) for name in ("h", "0", "1.c", "inner.0", "", None, "0.a.b")] == [
        "h", "h¹", "c²", "inner¹", "", "", "0.a.b",
    ]  # fmt: skip


@pytest.mark.parametrize("level", ["op", "cell", "model"])
@pytest.mark.parametrize("options", [{}, {"layers": 2, "bidirectional": True}, {"truncate": 2, "steps": 4}])
def test_in_rolled_pictures_nothing_stands_on_anything_and_no_wire_runs_through_a_box(
    level: str, options: dict[str, object]
) -> None:
    scene = layout(build_view(language_model(**options), rolled=True, level=level))  # type: ignore[arg-type]
    boxes = scene.boxes
    assert not [(a.item.label, b.item.label) for n, a in enumerate(boxes) for b in boxes[:n] if overlap(a, b)]
    assert not crosses(scene)
    badges = [wire for wire in scene.wires if wire.edge.delay]
    assert badges
    for wire in badges:
        assert wire.badge_at is not None
        assert wire.badge_at[0] > max(box.right for box in boxes if box.item.id == wire.edge.source) - 1


def test_wires_go_around_the_outlines_of_cells_they_do_not_belong_to() -> None:
    scene = layout(build_view(language_model(3, bidirectional=True)))
    for wire in scene.wires:
        rows = {scene.view.item(end).row for end in (wire.edge.source, wire.edge.target)}
        for (x0, y0), (x1, y1) in zip(wire.points, wire.points[1:], strict=False):
            for frame in scene.frames:
                middle = frame.top + frame.height / 2
                if frame.row not in rows and x0 == x1 and min(y0, y1) < middle < max(y0, y1):
                    assert not frame.left < x0 < frame.left + frame.width, wire.edge


def test_what_has_no_loop_cannot_be_drawn_rolled() -> None:
    with pytest.raises(DataError, match="no loop"):
        ts.draw(language_model(2, eager=True), rolled=True)
    with pytest.raises(DataError, match="one step"):
        build_view(language_model(2), rolled=True, steps=(0, 1))


# -- modules and folded scopes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("eager", [False, True])
def test_at_model_level_a_module_is_a_box_and_recurrence_a_loop_on_it(eager: bool) -> None:
    made = language_model(5, layers=2, eager=eager)
    view = build_view(made if isinstance(made, ts.Graph) else ts.Graph([made.node]), level="model")
    boxes = {item.label: item for item in view.items if item.kind in ("cell", "group")}
    assert {"rnn", "head", "loss"} <= set(boxes)
    assert not view.columns
    loops = [edge for edge in view.edges if edge.delay]
    assert [(edge.source, edge.target) for edge in loops] == [(boxes["rnn"].id,) * 2]
    assert set(loops[0].name.split(", ")) == {"h", "c"}
    assert boxes["rnn"].details.parameters == LanguageModel(2).rnn.num_parameters()


def test_a_folded_scope_is_one_box_a_step_and_the_rest_stays_open() -> None:
    graph = language_model(3, layers=2)
    view = build_view(graph, collapse=["rnn/lstm0"])
    kinds = {(item.kind, item.column) for item in view.items if item.scope == "rnn/lstm0"}
    assert kinds == {("cell", 0), ("cell", 1), ("cell", 2)} | {
        (item.kind, item.column) for item in view.items if item.kind == "initial" and item.scope == "rnn/lstm0"
    }
    assert sum(item.details.op == "matmul" for item in view.items if item.scope == "rnn/lstm1") == 12
    assert sum(item.details.flops for item in view.items if item.kind == "cell") > 0
    assert not crosses(layout(view))


def test_an_unknown_scope_is_refused_with_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean 'rnn/lstm0'"):
        build_view(language_model(2), collapse=["rnn/lstm1"])
    with pytest.raises(DataError, match="a list of scopes"):
        build_view(language_model(2), collapse="rnn")  # type: ignore[arg-type]


def test_parameters_and_flops_are_those_of_the_ops() -> None:
    view = build_view(language_model(3))
    product = next(item for item in view.items if item.tags == ("W_f",))
    assert product.details.parameters == 12 * 4
    assert product.details.flops == 2 * 2 * 12 * 4
    head = next(item for item in build_view(language_model(3), level="cell").items if item.label == "head")
    assert head.details.parameters == nn.Linear(4, 5).num_parameters()


def test_a_long_chain_without_steps_folds_to_modules_and_says_so() -> None:
    model = nn.TransformerEncoder(4, 2, 3, 8)
    view = build_view(ts.trace(model, ts.randn(1, 5, 4)))
    assert view.level == "cell"
    assert "one after another" in view.notes[0]
    assert build_view(ts.trace(model, ts.randn(1, 5, 4)), budget=None).level == "op"
