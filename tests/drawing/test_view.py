"""What a picture shows: columns, shared weights, cuts, folds; no coordinates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tinyseq as ts
from support.drawing_models import Leaky, language_model
from tinyseq import nn
from tinyseq.drawing import View, build_view, draw
from tinyseq.errors import DataError
from tinyseq.graph import Graph, Node, rebuild, remake
from tinyseq.masks import check_lengths
from tinyseq.nn.functional import require_labels
from tinyseq.ops.elementwise import within


def cells(view: View, label: str) -> list[int]:
    return [item.id for item in view.items if item.kind == "cell" and item.label == label]


def test_an_lstm_of_three_steps_has_three_columns_of_the_same_ops() -> None:
    view = build_view(language_model())
    assert [column.label for column in view.columns] == ["t = 0", "t = 1", "t = 2"]
    ops = [sorted(map(str, (item.key for item in view.items if item.column == t))) for t in range(3)]
    assert ops[0] == ops[1] == ops[2]
    assert len(ops[0]) == 18
    assert len(set(ops[0])) == 18
    symbols = [item.label for item in view.items if item.column == 1]
    assert {"concat", "@", "+", "σ", "tanh", "×"} == set(symbols)
    assert (symbols.count("@"), symbols.count("σ"), symbols.count("×")) == (4, 3, 3)


def test_weights_stand_once_with_a_count_of_uses() -> None:
    view = build_view(language_model())
    lstm, head = view.weights
    assert [weight.name for weight in lstm.weights] == ["W_f", "b_f", "W_i", "b_i", "W_c", "b_c", "W_o", "b_o"]
    assert {weight.uses for weight in lstm.weights} == {3}
    assert lstm.size == 4 * (12 * 4 + 4)
    assert [(weight.name, weight.uses) for weight in head.weights] == [("W", 1), ("b", 1)]
    assert not any(item.label.startswith(("W_", "b_")) for item in view.items)
    assert sum("W_f" in item.tags for item in view.items) == 3


def test_counts_of_uses_are_of_the_whole_graph_not_of_what_is_shown() -> None:
    view = build_view(language_model(50), steps=(3, 5))
    assert {weight.uses for weight in view.weights[0].weights} == {50}


def test_states_flow_along_by_name_and_x_comes_from_below() -> None:
    view = build_view(language_model(), level="cell")
    boxes = cells(view, "lstm0")
    assert [view.item(id).step for id in boxes] == [0, 1, 2]
    flows = {(edge.source, edge.target, edge.label) for edge in view.edges if edge.state}
    for t, (one, other) in enumerate(itertools.pairwise(boxes)):
        assert {(one, other, f"h{'₀₁₂'[t]}"), (one, other, f"c{'₀₁₂'[t]}")} <= flows
    below = {edge.label for edge in view.edges if edge.target in boxes and not edge.state}
    above = {edge.label for edge in view.edges if edge.source in boxes and not edge.state}
    assert below == {"x₀", "x₁", "x₂"}
    assert above == {"y₀", "y₁", "y₂"}
    initial = [edge.name for edge in view.edges if view.item(edge.source).kind == "initial"]
    assert sorted(initial) == ["c", "h"]


@pytest.mark.parametrize("level", ["op", "cell"])
def test_a_truncation_is_a_cut_on_every_state_that_crosses_it_and_nowhere_else(level: str) -> None:
    view = build_view(language_model(4, truncate=2), level=level)
    assert sorted((edge.label, view.item(edge.target).step) for edge in view.cuts) == [("c₁", 2), ("h₁", 2)]
    assert "cut on 2 edges" in view.summary()
    assert not build_view(language_model(4), level=level).cuts


def test_a_backward_direction_runs_from_right_to_left() -> None:
    view = build_view(language_model(3, bidirectional=True), level="cell")
    assert {row.label: row.direction for row in view.rows} == {"lstm0": 1, "lstm0_reverse": -1}
    back = cells(view, "lstm0_reverse")
    for edge in view.edges:
        if edge.source in back and edge.target in back:
            assert view.item(edge.source).step == view.item(edge.target).step + 1  # type: ignore[operator]


def test_between_layers_what_was_stacked_and_taken_apart_again_is_a_straight_wire() -> None:
    view = build_view(language_model(3, layers=2), level="cell")
    below, above = cells(view, "lstm0"), cells(view, "lstm1")
    direct = {(edge.source, edge.target) for edge in view.edges if edge.target in above and not edge.state}
    assert direct == set(zip(below, above, strict=True))
    assert sum(item.label == "stack" for item in build_view(language_model(3, layers=2)).items) == 1


def test_a_users_own_cell_is_drawn_like_any_other() -> None:
    cell = Leaky()
    cell.name = "leaky"
    view = build_view(ts.trace(lambda xs: cell(xs)[1]["trace"].sum(), ts.randn(2, 3, 8)), level="cell")
    assert [view.item(id).step for id in cells(view, "leaky")] == [0, 1, 2]
    assert {edge.label for edge in view.edges if edge.state and edge.label} == {
        "memory₀", "memory₁", "trace₀", "trace₁",
    }  # fmt: skip


def test_one_cell_used_twice_gets_a_row_for_each_use() -> None:
    cell = nn.LSTMCell(4, 4)
    cell.name = "shared"
    view = build_view(ts.trace(lambda xs: cell(cell(xs)[0])[0].sum(), ts.randn(2, 3, 4)), level="cell")
    assert [row.label for row in view.rows] == ["shared", "shared"]
    assert {weight.uses for weight in view.weights[0].weights} == {6}


def test_an_eager_loss_has_the_same_cells_and_states_as_its_trace() -> None:
    view = build_view(ts.Graph([language_model(4, eager=True).node]), level="cell")
    assert [view.item(id).step for id in cells(view, "lstm0")] == [0, 1, 2, 3]
    assert {edge.label for edge in view.edges if edge.state and edge.label} == {"h₀", "c₀", "h₁", "c₁", "h₂", "c₂"}


def test_hovering_tells_op_formula_shape_dtype_source_scope_and_step() -> None:
    view = build_view(language_model())
    facts = dict(next(item for item in view.items if item.label == "σ" and item.step == 1).facts)
    assert facts["op"] == "sigmoid"
    assert "sigma" in facts["formula"]
    assert (facts["shape"], facts["dtype"], facts["scope"], facts["step"]) == ("(2, 4)", "float32", "rnn/lstm0", "1")
    assert "nn/cells" in facts["source"]


def test_a_window_hides_the_steps_outside_it_in_folds() -> None:
    view = build_view(language_model(20), steps=(3, 6), level="cell")
    assert [column.label for column in view.columns] == ["3 steps", "t = 3", "t = 4", "t = 5", "14 steps"]
    assert [(item.column, item.detail) for item in view.items if item.kind == "fold"] == [
        (0, "3 steps"),
        (4, "14 steps"),
    ]
    assert not view.notes


def test_over_budget_a_picture_folds_to_cells_then_to_first_second_last_and_says_so() -> None:
    graph = language_model(8)
    whole = build_view(graph, budget=None)
    assert whole.level == "op"
    assert not whole.notes
    assert len(whole.columns) == 8
    folded = build_view(graph, budget=100)
    assert folded.level == "cell"
    assert len(folded.columns) == 8
    assert "folded to cell level" in folded.notes[0]
    assert "100" in folded.notes[0]
    ends = build_view(graph, budget=11)
    assert [column.label for column in ends.columns] == ["t = 0", "t = 1", "5 steps", "t = 7"]
    assert any("0, 1, …, 7 of 8 steps" in note for note in ends.notes)
    assert len(ends.items) <= 11


@pytest.mark.parametrize("budget", [1, 5, 60])
def test_a_budget_too_small_for_anything_still_gives_the_most_folded_picture(budget: int) -> None:
    assert len(build_view(language_model(30, layers=2), budget=budget).items) <= max(budget, 16)


def test_a_thousand_steps_fold_by_themselves() -> None:
    view = build_view(language_model(1000))
    assert [column.label for column in view.columns] == ["t = 0", "t = 1", "997 steps", "t = 999"]
    assert len(view.items) < 20


def test_a_chain_of_many_nodes_needs_no_recursion() -> None:
    x = ts.tensor(np.ones(2), requires_grad=True)
    for _ in range(20_000):
        x = x.tanh()
    assert len(build_view(ts.Graph([x.node]), budget=None).items) == 20_000


@pytest.mark.parametrize("steps", [(5, 9), (2, 2), (1,), (0.0, 2)])
def test_a_window_without_steps_is_refused(steps: tuple[int, int]) -> None:
    with pytest.raises(DataError, match=r"draw: (no time step|steps)"):
        build_view(language_model(3), steps=steps)


def test_an_unknown_level_is_refused_with_a_suggestion() -> None:
    with pytest.raises(DataError, match="did you mean 'cell'"):
        build_view(language_model(1), level="cel")


def test_a_view_prints() -> None:
    text = str(build_view(language_model(2, truncate=1), level="cell", title="LM"))
    assert text.startswith("LM (cell level")
    assert "CUT" in text
    assert "W_f(12, 4) x2" in text


@pytest.mark.parametrize("level", ["op", "cell"])
def test_two_directions_take_their_input_from_one_bar(level: str) -> None:
    view = build_view(language_model(3, bidirectional=True), level=level)
    sources = {edge.source for edge in view.edges if edge.label in ("x₀", "x₁", "x₂")}
    assert len(sources) == 1


@pytest.mark.parametrize(("rolled", "expected"), [(False, ["x₀", "x₁"]), (True, ["xₜ"])])
def test_a_mask_is_no_part_of_x(rolled: bool, expected: list[str]) -> None:
    layer = nn.Recurrent("rnn", 3, 4)

    def outputs(xs: ts.Tensor, lengths: ts.Tensor) -> ts.Tensor:
        return layer(xs, lengths=check_lengths(lengths, 2, 1))[0]

    view = build_view(ts.trace(outputs, ts.ones(1, 2, 3), ts.tensor([2])), level="cell", rolled=rolled)
    entering = [
        edge for box in cells(view, "recurrent0") for edge in view.edges if edge.target == box and not edge.state
    ]
    assert sorted(edge.label for edge in entering if edge.label) == expected
    assert len(entering) == 2 * len(expected), "the mask goes in too"


@pytest.mark.parametrize("rolled", [False, True])
@pytest.mark.parametrize("level", ["op", "cell", "model"])
def test_a_check_of_values_is_passed_over(level: str, rolled: bool) -> None:
    """As if labels and lengths were not looked at: ids before a cell, targets after it, lengths beside it."""
    table, cell, head = nn.Embedding(5, 3), nn.RNN(3, 4), nn.Linear(4, 5)

    def loss(ids: ts.Tensor, targets: ts.Tensor, lengths: ts.Tensor) -> ts.Tensor:
        ys, _ = cell(table(ids), lengths=lengths)
        return nn.cross_entropy(head(ys), targets)

    graph = ts.trace(loss, ts.tensor([[1, 2]]), ts.tensor([[3, 4]]), ts.tensor([2]))

    def copied(node: Node, inputs: tuple[Node, ...]) -> Node:  # of all nodes, so that their order is the same in both
        return remake(node, inputs, node.attrs) if inputs else node

    def unchecked(node: Node, inputs: tuple[Node, ...]) -> Node:
        return inputs[0] if node.op is within else copied(node, inputs)

    copy, bare = (Graph(rebuild(graph.outputs, rule), graph.inputs) for rule in (copied, unchecked))
    assert len(copy) == len(bare) + 3
    assert draw(copy, level=level, rolled=rolled).svg == draw(bare, level=level, rolled=rolled).svg


def test_a_check_whose_value_nothing_reads_is_no_output_of_the_picture() -> None:
    def double(x: ts.Tensor, targets: ts.Tensor) -> ts.Tensor:
        require_labels("labels", targets, 3)
        return x * 2.0

    graph = ts.trace(double, ts.ones(2, 3), ts.tensor([0, 1]))
    assert [node.op for node in graph.outputs[1:]] == [within]
    assert [item.label for item in build_view(graph).items if item.kind == "op"] == ["×"]
    alone = build_view(ts.trace(lambda x: require_labels("labels", x, 3), ts.tensor([0])))
    assert [item.kind for item in alone.items] == ["input", "op"], "what is all that there is shows"
