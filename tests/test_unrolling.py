"""A cell over time: whole, truncated, reversed, and masked by lengths."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinyseq as ts
from tinyseq.errors import DataError, GraphError, ShapeError
from tinyseq.graph import Graph

F64 = np.float64


def linear(w: ts.Tensor, u: ts.Tensor) -> Callable[[Any, Any], tuple[Any, Any]]:
    """The scalar linear network h' = w h + u x, whose gradients can be written down."""

    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h = w * h + u * x
        return h, h

    return step


class State(NamedTuple):
    h: ts.Tensor
    c: ts.Tensor


class Peephole(ts.nn.Cell):
    """A cell of the tests' own: two states of different widths, each of which reads the other."""

    hidden_size = 3

    def __init__(self, width: int = 2) -> None:
        rng = np.random.default_rng(3)
        self.W = ts.nn.parameter(rng.standard_normal((5 + width, 3)) * 0.5)
        self.V = ts.nn.parameter(rng.standard_normal((3, 2)) * 0.5)

    def initial_state(self, batch: int) -> State:
        return State(ts.zeros(batch, 3), ts.zeros(batch, 2))

    def step(self, x: ts.Tensor, state: State) -> tuple[ts.Tensor, State]:
        h = ts.tanh(ts.concat([state.h, state.c, x], -1) @ self.W)
        c = ts.sigmoid(h @ self.V) * state.c + ts.tanh(h @ self.V)
        return h * 2.0, State(h, c)


def weights(cell: ts.nn.Cell) -> list[ts.Tensor]:
    return [p for _, p in cell.named_parameters()]


def sequence(batch: int = 2, time: int = 5, width: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((batch, time, width)).astype(np.float32)


def cuts(graph: Graph) -> list[int | None]:
    return [node.step for node in graph if node.op.name == "stop_gradient"]


# -- whole -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_unroll_is_the_loop_a_person_would_write(reverse: bool) -> None:
    cell, xs = Peephole(), sequence()
    ys, last = ts.unroll(cell, ts.tensor(xs), reverse=reverse)
    state, by_hand = cell.initial_state(2), {}
    for t in reversed(range(5)) if reverse else range(5):
        by_hand[t], state = cell.step(ts.tensor(xs[:, t]), state)
    assert ys.shape == (2, 5, 3)
    for t in range(5):
        np.testing.assert_array_equal(ys.numpy()[:, t], by_hand[t].numpy())
    assert isinstance(last, State)
    np.testing.assert_array_equal(last.h.numpy(), state.h.numpy())
    np.testing.assert_array_equal(last.c.numpy(), state.c.numpy())


@pytest.mark.parametrize(
    "options",
    [{}, {"reverse": True}, {"truncate": 9}, {"lengths": [3, 0]}, {"lengths": [4, 1], "reverse": True}],
    ids=str,
)
def test_gradients_of_a_whole_unrolling(options: dict[str, Any]) -> None:
    def fn(xs: ts.Tensor, w: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
            h = ts.tanh(ts.concat([h, x], -1) @ w)
            return h * x, h

        return ts.unroll(step, xs, h, **options)

    arrays = [ts.randn(2, 4, 2, dtype=F64), ts.randn(4, 2, dtype=F64), ts.randn(2, 2, dtype=F64)]
    ts.testing.check_grads(fn, *arrays)


def test_states_and_inputs_of_any_structure() -> None:
    def step(x: dict[str, Any], state: dict[str, Any]) -> tuple[Any, Any]:
        a, (b,) = x["a"], x["b"]
        total = state["sum"] + a
        product = (state["inner"][0] * b, None)
        return {"y": (total, product[0])}, {"sum": total, "inner": product}

    a, b = sequence(width=1, seed=1), sequence(width=1, seed=2)
    start = {"sum": ts.zeros(2, 1), "inner": (ts.ones(2, 1), None)}
    ys, last = ts.unroll(step, {"a": ts.tensor(a), "b": [ts.tensor(b)]}, start)
    np.testing.assert_allclose(ys["y"][0].numpy(), np.cumsum(a, 1), rtol=1e-6)
    np.testing.assert_allclose(ys["y"][1].numpy(), np.cumprod(b, 1), rtol=1e-6)
    np.testing.assert_array_equal(last["sum"].numpy(), ys["y"][0].numpy()[:, -1])
    assert last["inner"][1] is None


def test_nodes_know_their_step_and_scope() -> None:
    cell = Peephole()
    cell.name = "encoder"
    graph = ts.trace(lambda xs: ts.unroll(cell, xs)[0], ts.tensor(sequence(time=3))).unroll()
    graph.verify()
    tanhs = [node for node in graph if node.op.name == "tanh" and node.shape == (2, 3)]
    assert [node.step for node in tanhs] == [0, 1, 2]
    assert {node.scope for node in tanhs} == {"encoder"}


def test_integers_as_a_sequence() -> None:
    table = ts.randn(5, 3, requires_grad=True)
    ids = np.array([[0, 4, 1], [2, 2, 99]])

    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h = h + ts.embedding(table, x)
        return h, h

    _, last = ts.unroll(step, ts.tensor(ids), ts.zeros(2, 3), lengths=[3, 2])  # 99 is padding
    expected = [table.numpy()[[0, 4, 1]].sum(0), 2 * table.numpy()[2]]
    np.testing.assert_allclose(last.numpy(), expected, rtol=1e-5)


# -- truncated ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "k", "reverse", "where"),
    [
        (6, 2, False, [2, 4]),
        (5, 2, False, [2, 4]),
        (5, 3, False, [3]),
        (4, 1, False, [1, 2, 3]),
        (5, 5, False, []),
        (5, 9, False, []),
        (5, None, False, []),
        (5, 2, True, [2, 0]),
        (6, 4, True, [1]),
    ],
)
@pytest.mark.parametrize("traced", [False, True])
def test_a_cut_is_a_node_before_each_kth_step(
    time: int, k: int | None, reverse: bool, where: list[int], traced: bool
) -> None:
    def fn(x: ts.Tensor, h: ts.Tensor, w: ts.Tensor) -> ts.Tensor:
        return ts.unroll(linear(w, w), x, h, truncate=k, reverse=reverse)[0]

    args = [ts.ones(1, time, 1, requires_grad=True), ts.ones(1, 1, requires_grad=True), ts.ones(requires_grad=True)]
    graph = ts.trace(fn, *args).unroll() if traced else Graph([fn(*args).node])
    assert cuts(graph.verify()) == where


def test_every_part_of_a_state_is_cut() -> None:
    graph = ts.trace(lambda xs: ts.unroll(Peephole(), xs, truncate=3)[0], ts.tensor(sequence(time=7))).unroll()
    assert cuts(graph) == [3, 3, 6, 6]


def test_truncated_gradients_equal_the_hand_computed_ones() -> None:
    """h1 = w h0 + u x1, h2 = w h1 + u x2, a cut, h3 = w [h2] + u x3, h4 = w [h3]... with L = h1 + h2 + h3 + h4.

    With the cut after two steps, h2 is a constant to h3 and h4:
        dL/dw  = h0 + (h1 + w h0) + h2 + (h3 + w h2)
        dL/du  = x1 + (x2 + w x1) + x3 + (x4 + w x3)
        dL/dh0 = w + w^2            and nothing through the cut
        dL/dx  = u (1 + w, 1, 1 + w, 1)
    """
    w, u, h0, x = 0.5, -1.5, 2.0, (1.0, -2.0, 3.0, 0.25)
    h1 = w * h0 + u * x[0]
    h2 = w * h1 + u * x[1]
    h3 = w * h2 + u * x[2]
    W, U, H0, X = (
        ts.tensor(np.array(value), requires_grad=True) for value in (w, u, [[h0]], np.array(x).reshape(1, 4, 1))
    )
    ys, _ = ts.unroll(linear(W, U), X, H0, truncate=2)
    ys.sum().backward()
    assert W.grad.item() == h0 + (h1 + w * h0) + h2 + (h3 + w * h2)
    assert U.grad.item() == x[0] + (x[1] + w * x[0]) + x[2] + (x[3] + w * x[2])
    assert H0.grad.item() == w + w * w
    np.testing.assert_array_equal(X.grad.numpy().reshape(-1), np.array([1 + w, 1, 1 + w, 1]) * u)


@given(st.integers(1, 9), st.integers(1, 10), st.booleans())
def test_truncation_is_chunks_with_detached_states(time: int, k: int, reverse: bool) -> None:
    """The same numbers as cutting the sequence up and detaching between the parts, as training does."""
    xs = sequence(time=time)
    order = xs[:, ::-1] if reverse else xs
    one, other = Peephole(), Peephole()
    ys, last = ts.unroll(one, ts.tensor(xs), truncate=k, reverse=reverse)
    (ys.sum() + last.c.sum()).backward()
    state = other.initial_state(2)
    for start in range(0, time, k):
        state = ts.detach(state)
        part, state = ts.unroll(other, ts.tensor(order[:, start : start + k]), state)
        loss = part.sum() + (state.c.sum() if start + k >= time else 0.0)
        loss.backward()
    for p, q in zip(weights(one), weights(other), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("k", [5, 6, 100])
@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"lengths": [5, 2]}], ids=str)
def test_a_cut_past_the_end_is_full_backpropagation_bit_for_bit(k: int, options: dict[str, Any]) -> None:
    found = []
    for truncate in (None, k):
        cell, xs = Peephole(), ts.tensor(sequence(time=5), requires_grad=True)
        ys, last = ts.unroll(cell, xs, truncate=truncate, **options)
        (ys.sum() + last.c.sum()).backward()
        assert xs.grad is not None
        found.append([ys.numpy(), xs.grad.numpy(), *(p.grad.numpy() for p in weights(cell))])
    for full, cut in zip(*found, strict=True):
        np.testing.assert_array_equal(full, cut)


def test_a_cut_changes_gradients_and_no_value() -> None:
    results = []
    for k in (None, 1):
        cell = Peephole()
        ys, last = ts.unroll(cell, ts.tensor(sequence()), truncate=k)
        ys.sum().backward()
        results.append((ys.numpy(), last.c.numpy(), cell.W.grad.numpy()))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])
    assert np.abs(results[0][2] - results[1][2]).max() > 1e-3


# -- lengths -----------------------------------------------------------------------------------------------------------


def run(xs: np.ndarray, lengths: Any, **options: Any) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    cell, x = Peephole(), ts.tensor(xs, requires_grad=True)
    ys, last = ts.unroll(cell, x, lengths=lengths, **options)
    (ts.sin(ys).sum() + (last.h * last.h).sum() + last.c.sum()).backward()
    assert x.grad is not None
    return [ys.numpy(), last.h.numpy(), last.c.numpy()], x.grad.numpy(), [p.grad.numpy() for p in weights(cell)]


@pytest.mark.parametrize("garbage", [0.0, 1e30, math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("extra", [0, 1, 4])
@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"truncate": 2}, {"truncate": 2, "reverse": True}], ids=str)
def test_padding_changes_nothing(garbage: float, extra: int, options: dict[str, Any]) -> None:
    """Whatever stands in the padding and however much of it: the same outputs, states and gradients."""
    lengths, xs = [3, 5, 0, 1], sequence(4)
    mask = np.arange(5) < np.array(lengths)[:, None]
    clean = np.where(mask[..., None], xs, np.float32(0))
    dirty = np.full((4, 5 + extra, 2), garbage, dtype=np.float32)
    dirty[:, :5] = np.where(mask[..., None], xs, np.float32(garbage))
    outputs, to_x, to_weights = run(clean, lengths, **options)
    outputs2, to_x2, to_weights2 = run(dirty, lengths, **options)
    np.testing.assert_array_equal(outputs2[0][:, :5], outputs[0])
    assert not outputs2[0][:, 5:].any()
    assert not outputs2[0][:, :5][~mask].any()
    for a, b in zip(outputs[1:] + to_weights, outputs2[1:] + to_weights2, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(b, a)
    np.testing.assert_array_equal(to_x2[:, :5], to_x)
    assert not to_x2[:, 5:].any()
    assert not to_x2[:, :5][~mask].any()


@pytest.mark.parametrize("options", [{}, {"reverse": True}, {"truncate": 2}, {"truncate": 2, "reverse": True}], ids=str)
def test_each_row_is_as_if_it_were_alone(options: dict[str, Any]) -> None:
    lengths, xs = [3, 5, 1], sequence(3)
    (ys, h, c), to_x, to_weights = run(xs, lengths, **options)
    totals = [np.zeros_like(g) for g in to_weights]
    for row, n in enumerate(lengths):
        (ys1, h1, c1), to_x1, to_weights1 = run(xs[row : row + 1, :n], None, **options)
        np.testing.assert_allclose(ys[row, :n], ys1[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(h[row], h1[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(c[row], c1[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(to_x[row, :n], to_x1[0], rtol=1e-4, atol=1e-6)
        totals = [total + g for total, g in zip(totals, to_weights1, strict=True)]
    for total, g in zip(totals, to_weights, strict=True):
        np.testing.assert_allclose(g, total, rtol=1e-4, atol=1e-5)


def test_rows_of_length_zero_keep_their_state() -> None:
    start = State(ts.randn(2, 3), ts.randn(2, 2))
    ys, last = ts.unroll(Peephole(), ts.tensor(sequence()), start, lengths=[0, 0])
    assert not ys.numpy().any()
    np.testing.assert_array_equal(last.h.numpy(), start.h.numpy())
    np.testing.assert_array_equal(last.c.numpy(), start.c.numpy())


def test_outputs_keep_their_dtype_under_lengths() -> None:
    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[Any, ts.Tensor]:
        return (ts.argmax(x), x > 0.0, x), h

    (index, truth, floats), _ = ts.unroll(step, ts.tensor(sequence(), dtype=F64), ts.zeros(2, 1), lengths=[2, 5])
    assert (index.dtype, truth.dtype, floats.dtype) == (np.int64, np.bool_, np.float64)
    assert not truth.numpy()[0, 2:].any()


def test_lengths_may_be_a_tensor_or_an_array() -> None:
    for lengths in (ts.tensor([2, 5]), np.array([2, 5]), (2, 5)):
        ys, _ = ts.unroll(Peephole(), ts.tensor(sequence()), lengths=lengths)
        assert not ys.numpy()[0, 2:].any()
        assert ys.numpy()[1, 4].any()


def test_full_lengths_are_as_none() -> None:
    (ys, h, c), to_x, to_weights = run(sequence(), [5, 5])
    (ys1, h1, c1), to_x1, to_weights1 = run(sequence(), None)
    for a, b in zip([ys, h, c, to_x, *to_weights], [ys1, h1, c1, to_x1, *to_weights1], strict=True):
        np.testing.assert_array_equal(a, b)


# -- refused -----------------------------------------------------------------------------------------------------------

X = ts.ones(2, 5, 2)
H = ts.zeros(2, 2)


def keep(x: Any, h: Any) -> tuple[Any, Any]:
    return h, h


REFUSED = {
    "rank": (lambda: ts.unroll(keep, ts.ones(3), H), ShapeError, ["(batch, time, ...)", "(3,)"]),
    "nothing": (lambda: ts.unroll(keep, (), H), ShapeError, ["nothing"]),
    "parts": (lambda: ts.unroll(keep, (X, ts.ones(2, 4)), H), ShapeError, ["(2, 5, 2), (2, 4)"]),
    "no time": (lambda: ts.unroll(keep, ts.ones(2, 0, 1), H), ShapeError, ["time >= 1", "(2, 0, 1)"]),
    "truncate": (lambda: ts.unroll(keep, X, H, truncate=0), DataError, ["truncate", "at least 1", "0"]),
    "no state": (lambda: ts.unroll(keep, X), DataError, ["state=..."]),
    "lengths rank": (lambda: ts.unroll(keep, X, H, lengths=[1]), ShapeError, ["2 integers", "(1,)"]),
    "lengths floats": (lambda: ts.unroll(keep, X, H, lengths=[1.0, 2.0]), ShapeError, ["2 integers", "float64"]),
    "lengths over": (lambda: ts.unroll(keep, X, H, lengths=[5, 6]), DataError, ["0 to 5", "6 in row 1"]),
    "lengths below": (lambda: ts.unroll(keep, X, H, lengths=[-1, 5]), DataError, ["0 to 5", "-1 in row 0"]),
    "structure": (
        lambda: ts.unroll(lambda x, h: (h, (h, h)), X, H, lengths=[5, 5]),
        ShapeError,
        ["different structure", "(_, _)", "_"],
    ),
    "outputs differ": (
        lambda: ts.unroll(lambda x, n: ((x,) * n, n + 1), X, 1),  # a state that is no tensor is carried as it is
        ShapeError,
        ["different structure"],
    ),
    "batch": (
        lambda: ts.unroll(lambda x, h: (h.sum(), h), X, H, lengths=[5, 5]),
        ShapeError,
        ["without the batch first", "(2, ...)", "()"],
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_words(name: str) -> None:
    call, family, words = REFUSED[name]
    with pytest.raises(family) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_misfit_inside_a_cell_names_scope_step_and_line() -> None:
    cell = Peephole(width=3)
    cell.name = "decoder"
    with pytest.raises(ShapeError) as caught:
        ts.unroll(cell, ts.tensor(sequence()))
    assert "scope decoder, step 0" in caught.value.where
    assert "test_unrolling.py" in caught.value.where
    assert "(2, 7) @ (8, 3)" in caught.value.got


def test_a_second_backward_names_the_carried_state_and_the_step() -> None:
    cell, xs = Peephole(), ts.tensor(sequence(time=3))
    ys, state = ts.unroll(cell, xs)
    (ys.sum() + state.c.sum()).backward()
    (ys, state) = ts.unroll(cell, xs, state)
    with pytest.raises(GraphError) as caught:
        (ys.sum() + state.c.sum()).backward()
    text = str(caught.value)
    assert "'h'" in text
    assert "'c'" in text
    assert "step 2" in text
    assert "ts.detach" in text


def test_detaching_between_chunks_is_the_cure() -> None:
    cell, xs = Peephole(), ts.tensor(sequence(time=3))
    state: Any = None
    for _ in range(3):
        ys, state = ts.unroll(cell, xs, ts.detach(state) if state else None)
        (ys.sum() + state.c.sum()).backward()
    assert not state.h.detach().requires_grad
