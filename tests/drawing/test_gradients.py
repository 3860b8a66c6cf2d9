"""Norms of gradients on pictures, against PyTorch's; cuts; "no gradient yet"; and the backward pass as a graph."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.drawing_models import LanguageModel, language_model
from tinyseq import nn
from tinyseq.drawing import View, valued
from tinyseq.drawing.shared.palette import heat
from tinyseq.drawing.shared.style import style_of
from tinyseq.drawing.shared.view import NO_DERIVATIVE, NO_GRADIENT, Scale
from tinyseq.drawing.source.gradients import backward_of, norm
from tinyseq.drawing.source.graph_of import subject_of
from tinyseq.errors import DataError
from tinyseq.graph import Literal, Node
from tinyseq.ops.scan import evaluate

STEPS = 5


def rnn_loss(truncate: int | None = None) -> tuple[nn.RNNCell, ts.Tensor, ts.Tensor]:
    """An RNN of seeded weights, its input, and the loss Σ y²/2."""
    ts.seed(3)
    cell = nn.RNNCell(3, 4).cast("float64")
    cell.name = "rnn"
    xs = ts.tensor(np.random.default_rng(1).standard_normal((2, STEPS, 3)), dtype=ts.float64)
    ys, _ = ts.unroll(cell, xs, truncate=truncate)
    return cell, xs, (ys * ys).sum() * 0.5


def states(view: View) -> dict[str, float | None]:
    """The norm on each state's wire from one step to the next."""
    return {edge.label: edge.gradient for edge in view.edges if edge.state and edge.label}


@pytest.mark.parity
@pytest.mark.parametrize("truncate", [None, 2])
def test_norms_are_those_of_pytorch(truncate: int | None) -> None:
    torch = pytest.importorskip("torch")
    cell, xs, loss = rnn_loss(truncate)
    view = ts.draw(loss, gradients=True, level="cell").view
    W_x, W_h, b = (torch.tensor(p.numpy().copy(), requires_grad=True) for _, p in sorted(
        cell.named_parameters(), key=lambda pair: {"W_xh": 0, "W_hh": 1}.get(pair[0], 2)))  # fmt: skip
    h, hs = torch.zeros(2, 4, dtype=torch.float64), []
    total = torch.zeros((), dtype=torch.float64)
    for t in range(STEPS):
        before = h.detach() if truncate and t and t % truncate == 0 else h
        h = torch.tanh(torch.tensor(xs.numpy()[:, t].copy()) @ W_x + before @ W_h + b)
        h.retain_grad()
        hs.append(h)
        total = total + (h * h).sum() / 2
    total.backward()
    for t, subscript in enumerate("₀₁₂₃"):
        known = states(view)[f"h{subscript}"]
        if truncate and (t + 1) % truncate == 0:
            assert known is None  # nothing comes back through a cut
        else:
            assert known == pytest.approx(float(hs[t].grad.norm()), rel=1e-12)
    weights = {weight.name: weight.gradient for group in view.weights for weight in group.weights}
    assert weights["W_hh"] == pytest.approx(float(W_h.grad.norm()), rel=1e-12)


def test_eager_traced_and_compiled_show_the_same_norms() -> None:
    ts.seed(0)
    model = LanguageModel()
    xs, targets = ts.randn(2, 4, 8), ts.tensor([[1, 2, 3, 4]] * 2)
    fast = ts.compile(model)
    fast(xs, targets)
    found = [
        states(ts.draw(what, gradients=True, level="cell").view)
        for what in (model(xs, targets), valued(model, xs, targets), fast)
    ]
    assert len(found[0]) == 6
    for other in found[1:]:
        assert other == {label: pytest.approx(norm, rel=1e-4) for label, norm in found[0].items()}


def test_gradients_leave_the_tensor_as_it_was() -> None:
    _, _, loss = rnn_loss()
    ts.draw(loss, gradients=True)
    leaf = next(node for node in ts.Graph([loss.node]).nodes if getattr(node, "requires_grad", False))
    assert leaf.grad is None
    loss.backward()
    assert leaf.grad is not None


def test_where_no_gradient_comes_it_says_so_and_never_0() -> None:
    graph = ts.trace(LanguageModel(), ts.randn(2, 3, 8), ts.tensor([[1] * 3] * 2))
    view = ts.draw(graph, gradients=True).view
    assert view.scale is None
    assert all(item.details.gradient is None for item in view.items)
    assert all(edge.gradient is None for edge in view.edges)
    texts = [item.detail for item in view.items if item.kind == "op" and not item.details.discrete]
    assert set(texts) == {NO_GRADIENT}
    assert "no gradient yet" in view.notes[0]


@pytest.mark.parametrize("level", ["op", "cell", "model"])
def test_integers_never_have_a_gradient_and_are_not_said_to_lack_one(level: str) -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            self.embedding, self.rnn = nn.Embedding(7, 4), nn.GRU(4, 7)

        def forward(self, tokens: ts.Tensor, targets: ts.Tensor, bias: ts.Tensor) -> ts.Tensor:
            return nn.cross_entropy(self.rnn(self.embedding(tokens))[0] + bias, targets)

    tokens, targets = ts.tensor([[1, 2, 3]] * 2), ts.tensor([[2, 3, 4]] * 2)
    graph = valued(Tagger(), tokens, targets, ts.ones(7))
    drawing = ts.draw(graph, gradients=True, level=level)
    items = {item.label: item for item in drawing.view.items if item.kind == "input"}
    assert {name: item.detail for name, item in items.items()} == {
        "tokens": "(2, 3)", "targets": "(2, 3)", "bias": NO_GRADIENT,
    }  # fmt: skip
    assert [style_of(drawing.view, items[name]).kind for name in ("tokens", "bias")] == ["input", "none"]
    assert ("gradient", NO_DERIVATIVE) in items["tokens"].facts
    dark = [item for item in drawing.view.items if item.details.gradient is not None]
    assert dark
    assert not any(item.details.discrete for item in dark)
    titles = {title.text for title in ET.fromstring(drawing.svg).iter("{http://www.w3.org/2000/svg}title")}
    assert f"value: {NO_DERIVATIVE}" in titles  # the wires that leave them


def test_after_backward_only_the_weights_have_gradients_still() -> None:
    cell, _, loss = rnn_loss()
    loss.backward()
    view = ts.draw(loss, gradients=True, level="cell").view
    assert {item.details.gradient for item in view.items} == {None}
    weights = {weight.name: weight.gradient for weight in view.weights[0].weights}
    for name, parameter in cell.named_parameters():
        assert parameter.grad is not None
        assert weights[name] == pytest.approx(float(np.linalg.norm(parameter.grad.numpy())))
    assert "freed" in view.notes[0]


def test_a_gradient_that_is_really_0_is_shown_as_0() -> None:
    x = ts.tensor([-1.0, -2.0], requires_grad=True)
    view = ts.draw(x.exp().relu() * 0.0 + x.relu(), gradients=True).view
    dead = next(item for item in view.items if item.details.op == "exp")
    assert dead.details.gradient == 0.0
    assert dead.detail == "‖∂‖ 0"


def test_behind_a_cut_there_is_none() -> None:
    x = ts.tensor([1.0, 2.0], requires_grad=True)
    view = ts.draw(ts.stop_gradient(x.tanh()) * x, gradients=True).view
    hidden = next(item for item in view.items if item.details.op == "tanh")
    assert hidden.details.gradient is None
    assert ("gradient", NO_GRADIENT) in hidden.facts


def test_a_norm_of_several_outputs_is_of_all_of_them_as_one_vector() -> None:
    _, _, loss = rnn_loss()
    view = ts.draw(loss, gradients=True, level="cell").view
    ops = ts.draw(loss, gradients=True, budget=None).view
    for item in view.items:
        if item.kind == "cell":
            own = [op for op in ops.items if op.column == item.column and op.details.name == "h"]
            assert item.details.gradient == pytest.approx(math.hypot(*(op.details.gradient or 0.0 for op in own)))


def test_colours_and_widths_grow_with_the_norm_and_the_scale_is_drawn() -> None:
    _, _, loss = rnn_loss()
    drawing = ts.draw(loss, gradients=True, level="cell")
    scale = drawing.view.scale
    assert scale is not None
    assert drawing.scene.legend is not None
    root = ET.fromstring(drawing.svg)
    widths = {}
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        if group.attrib.get("class") == "edge":
            style = group.find("{http://www.w3.org/2000/svg}path").attrib["style"]  # type: ignore[union-attr]
            widths[group.attrib["data-from"], group.attrib["data-to"]] = float(style.rsplit("stroke-width:", 1)[1])
    norms = {
        (f"n{edge.source}", f"n{edge.target}"): edge.gradient
        for edge in drawing.view.edges
        if edge.state and edge.gradient is not None
    }
    order = sorted(norms, key=lambda ends: norms[ends])
    assert len(order) >= 4
    assert [widths[ends] for ends in order] == sorted(widths[ends] for ends in order)
    assert widths[order[0]] < widths[order[-1]]
    assert "no gradient yet" in drawing.svg
    assert "penwidth" in drawing.dot


def test_the_scale_is_logarithmic_and_takes_any_number() -> None:
    scale = Scale(1e-6, 1.0)
    assert [round(scale.place(norm), 6) for norm in (0.0, 1e-6, 1e-3, 1.0, 9.0, math.inf)] == [0, 0, 0.5, 1, 1, 1]
    assert scale.place(math.nan) == 0.0
    lights = [sum(int(heat(place / 20).fill[i : i + 2], 16) for i in (1, 3, 5)) for place in range(21)]
    assert lights == sorted(lights, reverse=True)


def test_the_gradient_of_several_outputs_counts_as_one_vector() -> None:
    assert norm([np.array([3.0, 0.0]), None, np.array([[4.0]])]) == 5.0


# -- the backward pass -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("truncate", [None, 2])
def test_the_backward_graph_computes_the_gradients(truncate: int | None) -> None:
    cell, _, loss = rnn_loss(truncate)
    graph = ts.Graph([loss.node])
    # The engine frees what it saved; so the values are computed again, from the leaves.
    known: dict[Node, Any] = {}
    for node in graph.nodes:
        for parent, value in zip(node.inputs, node.args or (), strict=False):
            known.setdefault(parent, value)
        if node.out is not None:
            known.setdefault(node, node.out)
    named = {parameter.node: parameter.value for _, parameter in cell.named_parameters()}
    evaluate(graph.nodes, values := {**{n: v for n, v in known.items() if not n.inputs}, **named}, np)
    passing = backward_of(graph)
    inputs: dict[Node, Any] = {leaf: values[node] for leaf, node in passing.stored.items()}
    for node in passing.graph.nodes:
        if not node.inputs and node not in inputs and not isinstance(node, Literal):
            inputs[node] = np.ones(node.shape)
    evaluate(passing.graph.nodes, inputs, np)
    loss.backward()
    assert len(passing.weights) == len(named)
    for leaf, output in zip(passing.weights, passing.graph.outputs, strict=True):
        np.testing.assert_allclose(inputs[output], leaf.grad.numpy(), rtol=1e-12)


def test_gradients_of_states_run_from_the_last_step_to_the_first() -> None:
    view = ts.draw(language_model(4, eager=True), backward=True, level="cell").view
    cells = {item.id: item for item in view.items if item.kind == "cell"}
    assert {item.label for item in cells.values()} == {"∂lstm0"}
    flows = {(cells[e.source].step, cells[e.target].step, e.label) for e in view.edges if e.state}
    assert {(t + 1, t, f"∂h{'₀₁₂'[t]}") for t in range(3)} <= flows
    assert {(t + 1, t, f"∂c{'₀₁₂'[t]}") for t in range(3)} <= flows
    assert all(source > target for source, target, _ in flows)  # type: ignore[operator]


def test_through_a_cut_nothing_flows_back() -> None:
    view = ts.draw(language_model(4, eager=True, truncate=2), backward=True, level="cell").view
    cells = {item.id: item.step for item in view.items if item.kind == "cell"}
    crossing = {e.label for e in view.edges if (cells.get(e.source), cells.get(e.target)) == (2, 1)}
    assert crossing <= {"∂weights"}


def test_what_cannot_be_asked_together_is_refused() -> None:
    loss = language_model(2, eager=True)
    with pytest.raises(DataError, match="by itself"):
        subject_of(loss, gradients=True, backward=True)
    with pytest.raises(DataError, match="compiled function"):
        subject_of(loss, after="pack")
    with pytest.raises(DataError, match="no backward pass"):
        ts.draw(ts.trace(lambda x: x.tanh(), ts.ones(2)), backward=True)


def test_of_the_result_of_a_compiled_function_the_function_is_to_be_drawn_and_its_backward_still_runs() -> None:
    ts.seed(0)
    model = LanguageModel()
    fast = ts.compile(model)
    loss = fast(ts.randn(2, 3, 8), ts.tensor([[1] * 3] * 2))
    with pytest.raises(DataError, match="the compiled function itself"):
        ts.draw(loss, gradients=True)
    assert ts.draw(fast, gradients=True).view.scale is not None
    loss.backward()
    assert model.head.W.grad is not None


def test_a_rolled_picture_has_no_gradients_of_single_steps() -> None:
    model = LanguageModel()
    graph = valued(model, ts.randn(2, 3, 8), ts.tensor([[1] * 3] * 2))
    for what in ("gradients", "backward", "values"):
        with pytest.raises(DataError, match="every step at once"):
            ts.draw(graph, rolled=True, **{what: True})  # type: ignore[arg-type]


# -- values ------------------------------------------------------------------------------------------------------------


def test_values_of_small_tensors_are_written_on_request() -> None:
    x = ts.tensor([1.0, 2.0], requires_grad=True)
    view = ts.draw((x * x + x).sum(), values=True).view
    assert {(item.details.op, item.detail) for item in view.items} == {
        ("mul", "[1. 4.]"), ("add", "[2. 6.]"), ("sum", "8."),
    }  # fmt: skip
    assert not any(item.details.value for item in ts.draw((x * x).sum()).view.items)


def test_values_of_large_tensors_are_left_out() -> None:
    x = ts.tensor(np.ones(50), requires_grad=True)
    assert not any(item.details.value for item in ts.draw(x.tanh(), values=True).view.items)
