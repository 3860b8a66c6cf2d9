"""The backward pass as it is played: order, amounts against PyTorch, and what has no gradient."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.drawing_models import language_model
from tinyseq.drawing import valued
from tinyseq.drawing.source.playback import Amount, Playback, play
from tinyseq.graph import Graph, Node


def played(loss: Any) -> tuple[Playback, dict[Node, int]]:
    graph = loss if isinstance(loss, Graph) else Graph([loss.node])
    items = {node: number for number, node in enumerate(graph.nodes)}
    playback = play(graph, items)
    assert playback is not None
    return playback, items


def test_every_node_has_its_turn_after_all_that_it_feeds() -> None:
    playback, items = played(language_model(3, eager=True))
    turn_of = {step.item: number for number, step in enumerate(playback.steps)}
    by_item = {number: node for node, number in items.items()}
    for step in playback.steps:
        for flow in step.flows:
            if flow.item in turn_of:
                assert turn_of[flow.item] > turn_of[step.item]
    assert by_item[playback.steps[0].item].shape == ()
    assert playback.steps[0].arriving == Amount(1.0, "()", 1.0)


def test_what_flows_to_a_node_adds_up_to_what_arrives_there() -> None:
    playback, _ = played(language_model(3, eager=True))
    for step in playback.steps:
        parts = [flow.amount for other in playback.steps for flow in other.flows if flow.item == step.item]
        if step.arriving is None or step.arriving.values is None or len(parts) < 1:
            continue
        if all(part is not None and part.shape == step.arriving.shape for part in parts):
            total = sum(np.asarray(part.values) for part in parts if part is not None)
            np.testing.assert_allclose(total, step.arriving.values, rtol=1e-4, atol=1e-7)


@pytest.mark.parity
def test_norms_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    w, xs = rng.standard_normal((3, 3)), rng.standard_normal((4, 2, 3))
    weight = ts.tensor(w, requires_grad=True)
    weight.name = "W"
    h, ours = ts.zeros(2, 3, dtype=ts.float64), []
    for x in xs:
        h = ((h + ts.tensor(x)) @ weight).tanh()
        ours.append(h)
    playback, items = played((ours[-1] ** 2).sum())

    theirs, state = [], torch.zeros(2, 3, dtype=torch.float64)
    matrix = torch.tensor(w, requires_grad=True)
    for x in xs:
        state = torch.tanh((state + torch.tensor(x)) @ matrix)
        state.retain_grad()
        theirs.append(state)
    (theirs[-1] ** 2).sum().backward()

    norms = {step.item: step.arriving.norm for step in playback.steps if step.arriving is not None}
    for mine, other in zip(ours, theirs, strict=True):
        assert norms[items[mine.node]] == pytest.approx(float(other.grad.norm()), rel=1e-9)
    ((name, total),) = playback.weights
    assert name == "W"
    assert total is not None
    np.testing.assert_allclose(total.values, matrix.grad.numpy(), rtol=1e-9)


def test_playing_changes_nothing() -> None:
    loss = language_model(2, eager=True)
    played(loss)
    assert all(getattr(node, "grad", None) is None for node in Graph([loss.node]).nodes)
    loss.backward()  # the values are still there


def test_behind_a_cut_nobody_has_a_turn() -> None:
    loss = language_model(4, truncate=2, eager=True)
    playback, items = played(loss)
    nodes = {number: node for node, number in items.items()}
    cuts = [node for node in Graph([loss.node]).nodes if node.op.name == "stop_gradient"]
    assert cuts
    for step in playback.steps:
        assert nodes[step.item] not in cuts
        assert all(flow.item is None or nodes[flow.item] not in cuts for flow in step.flows)


def test_what_the_loss_does_not_depend_on_has_no_gradient_and_not_zero() -> None:
    cell = ts.nn.RNNCell(3, 3)
    ys, _ = cell(ts.randn(2, 3, 3))
    playback, _ = played(ys[:, -1].sum())
    stacked = next(step for step in playback.steps if step.op == "stack")
    assert [flow.amount is None for flow in stacked.flows] == [True, True, False]


def test_a_gradient_that_is_zero_is_zero() -> None:
    x = ts.tensor(np.zeros(3), requires_grad=True)
    playback, _ = played((x * 0.0).sum())
    ((_, total),) = playback.weights
    assert total == Amount(0.0, "(3)", [0.0, 0.0, 0.0])


def test_a_traced_graph_plays_without_norms_in_the_same_order() -> None:
    eager, _ = played(language_model(2, eager=True))
    traced, _ = played(language_model(2).unroll())
    assert all(step.arriving is None for step in traced.steps)
    assert "holds no values" in traced.note
    assert sorted(step.op for step in eager.steps if step.op == "tanh") == sorted(
        step.op for step in traced.steps if step.op == "tanh"
    )


def test_a_traced_graph_with_the_values_of_its_inputs_plays_as_an_eager_one() -> None:
    cell = ts.nn.LSTMCell(3, 3)
    xs = ts.randn(2, 3, 3)

    def loss(xs: Any) -> Any:
        return (cell(xs)[0] ** 2).sum()

    subject = valued(loss, xs)
    graph = subject.graph.unroll()
    traced = play(graph, {node: number for number, node in enumerate(graph.nodes)}, subject.values)
    eager, _ = played(loss(xs))
    assert traced is not None
    assert traced.note == ""
    expected = {name: total.norm for name, total in eager.weights if total is not None}
    assert {name: total.norm for name, total in traced.weights if total is not None} == pytest.approx(
        expected, rel=1e-5
    )
    assert len(expected) == 8


def test_a_freed_graph_says_what_keeps_the_values() -> None:
    loss = language_model(2, eager=True)
    loss.backward()
    playback, _ = played(loss)
    assert "retain_graph=True" in playback.note
    assert len(playback.steps) > 20


def test_without_weights_there_is_nothing_to_play() -> None:
    graph = ts.trace(lambda x: x.tanh().sum(), ts.randn(3))
    assert play(graph, {node: number for number, node in enumerate(graph.nodes)}) is None
    assert play(ts.trace(lambda x: x > 0, ts.randn(3)), {}) is None


def test_a_gradient_within_a_traced_function_is_not_played() -> None:
    weight = ts.tensor(np.ones(3), requires_grad=True)
    graph = ts.trace(lambda x: ts.grad(lambda x: (x * weight).tanh().sum())(x).sum(), ts.randn(3))
    assert play(graph, {node: number for number, node in enumerate(graph.nodes)}) is None


def test_a_call_of_a_compiled_function_is_one_step_and_can_be_run_backward_afterwards() -> None:
    weight = ts.tensor(np.ones(3), requires_grad=True)
    loss = ts.compile(lambda x: (x * weight).tanh().sum())(ts.tensor(np.array([0.1, 0.2, 0.3])))
    playback, _ = played(loss * 2.0)
    assert [step.op for step in playback.steps] == ["mul", "compiled"]
    ((_, total),) = playback.weights
    (loss * 2.0).backward()
    assert total is not None
    np.testing.assert_allclose(total.values, weight.grad.numpy(), rtol=1e-6)


def test_of_several_numbers_the_sum_is_played_and_that_is_said() -> None:
    x = ts.tensor(np.ones(20), requires_grad=True)
    playback, _ = played(x.tanh())
    assert "sum of the output" in playback.note
    assert playback.steps[0].arriving == Amount(pytest.approx(math.sqrt(20)), "(20)", None)


def test_infinite_gradients_come_through() -> None:
    x = ts.tensor(np.zeros(2), requires_grad=True)
    playback, _ = played(x.sqrt().sum())
    ((_, total),) = playback.weights
    assert total is not None
    assert total.norm == math.inf


def test_a_long_chain_needs_no_recursion() -> None:
    x = ts.tensor(np.ones(2), requires_grad=True)
    y = x
    for _ in range(3000):
        y = y.tanh()
    assert len(played(y.sum())[0].steps) == 3001
