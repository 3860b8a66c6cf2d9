"""Chunk: affine loops with matrices as states, by products; against the loop itself, run eagerly in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.compiler.loops import OpenLoop
from tinyseq.compiler.passes.chunk import chunk
from tinyseq.compiler.passes.linearise import carries, linearise
from tinyseq.graph import Graph
from tinyseq.ops.scan import scan

B, H, K, V = 2, 3, 4, 5
Step = Callable[[Any, Any], tuple[Any, Any]]


def _outer(k: Any, v: Any) -> Any:
    return k.reshape((B, H, K, 1)) * v.reshape((B, H, 1, V))


def _row(q: Any, s: Any) -> Any:
    return (q.reshape((B, H, 1, K)) @ s).reshape((B, H, V))


def decayed(x: Any, s: Any) -> tuple[Any, Any]:
    a, k, v, q = x
    s = a.reshape((B, H, 1, 1)) * s + _outer(k, v)
    return _row(q, s), s


def gated(x: Any, s: Any) -> tuple[Any, Any]:
    a, k, v, q = x
    a = ts.sigmoid(a).reshape((B, H, 1, 1))
    s = _outer(k, v) * (1.0 - a) * 0.7 + s * a * 0.9
    return ts.tanh(_row(q, s)) * v, s


def undecayed(x: Any, s: Any) -> tuple[Any, Any]:
    _a, k, v, q = x
    s = s + _outer(k, v)
    return _row(q, s), s


def twice(x: Any, s: Any) -> tuple[Any, Any]:
    """Two terms, by a product of matrices and by rows, and two reads, the second a column."""
    a, k, v, q = x
    s = s * a.reshape((B, H, 1, 1)) + k.reshape((B, H, K, 1)) @ v.reshape((B, H, 1, V)) + _outer(q, v)
    return _row(q, s).sum(-1) + (s @ v.reshape((B, H, V, 1))).sum((-1, -2)), s


def before(x: Any, s: Any) -> tuple[Any, Any]:
    """Reads the state before the step, and that with what the step adds, undecayed."""
    _a, k, v, q = x
    return _row(q, s) + (_row(q, s + _outer(k, v)) ** 2.0), decayed(x, s)[1]


def rows(x: Any, s: Any) -> tuple[Any, Any]:
    """Reads several rows at once, and several columns, of what a half of the decay leaves."""
    _a, k, v, q = x
    half = 0.5 * s
    qs = ts.stack([q, k], -2)
    return (qs @ half).sum(-2) + (half @ ts.stack([v, v * v], -1)).sum((-1, -2))[..., None], decayed(x, s)[1]


def constant(x: Any, s: Any) -> tuple[Any, Any]:
    _a, k, v, q = x
    s = 0.9 * s + _outer(k, v)
    return _row(q, s), s


CELLS: dict[str, Step] = {f.__name__: f for f in (decayed, gated, undecayed, twice, before, rows, constant)}


def draws(time: int, seed: int = 0, decays: tuple[float, float] = (0.0, 1.0)) -> list[ts.Tensor]:
    rng = np.random.default_rng(seed)
    a = rng.uniform(*decays, (B, time, H)) if decays[0] < decays[1] else np.full((B, time, H), decays[0])
    return [ts.tensor(x) for x in (a, *(rng.normal(size=(B, time, H, n)) for n in (K, V, K)))]


def state(seed: int = 1) -> ts.Tensor:
    return ts.tensor(np.random.default_rng(seed).normal(size=(B, H, K, V)))


def compiled(step: Callable[..., Any], steps: int) -> tuple[Any, list[Graph]]:
    """Compile with chunks of so many steps; return the function, and what the pass made of the graph."""
    seen: list[Graph] = []

    def forced(graph: Graph) -> Graph:
        seen.append(chunk(graph, steps).verify())
        return seen[-1]

    return ts.compile(step, pipeline=lambda own: own.without("chunk").with_pass(forced, after="distribute")), seen


def lengths_of_loops(graph: Graph) -> list[int]:
    return sorted(node.attrs["length"] for node in graph.nodes if node.op is scan)


def compare(step: Step, time: int, steps: int, decays: tuple[float, float] = (0.0, 1.0), **options: Any) -> None:
    """Assert that values, gradients and second derivatives are the eager loop's, and that there were chunks."""

    def loss(s: ts.Tensor, *xs: ts.Tensor) -> ts.Tensor:
        ys, last = ts.unroll(step, xs, s, **options)
        return (ys * ys).sum() + ts.tanh(last).sum()

    def second(s: ts.Tensor, *xs: ts.Tensor) -> ts.Tensor:
        return sum((g * g).sum() for g in ts.grad(lambda *given: loss(*given), argnums=(0, 2))(s, *xs))

    xs = [state(), *draws(time, decays=decays)]
    for function in (loss, second):
        fast, seen = compiled(function, steps)
        found = []
        for run in (function, fast):
            for x in xs:
                x.grad, x.requires_grad = None, function is loss
            value = run(*xs)
            if function is loss:
                value.backward()
            found.append([value.detach().numpy(), *(x.grad.numpy() for x in xs if x.grad is not None)])
        if function is loss:
            assert lengths_of_loops(seen[0])[-1] == max(min(steps, time), -(-time // steps))
        for mine, theirs in zip(*reversed(found), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9 * max(1.0, float(abs(theirs).max())))


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(("time", "steps"), [(7, 3), (8, 4)])
def test_every_form(name: str, time: int, steps: int) -> None:
    compare(CELLS[name], time, steps)


@pytest.mark.parametrize("steps", [1, 2, 5, 9])
def test_chunks_of_any_length(steps: int) -> None:
    compare(decayed, 5, steps)


@pytest.mark.parametrize("decays", [(0.0, 0.0), (1.0, 1.0), (1e-300, 1e-300), (0.9, 1.3), (-1.0, 0.0)])
def test_decays_at_both_ends_and_beyond(decays: tuple[float, float]) -> None:
    compare(decayed, 8, 3, decays)


@pytest.mark.parametrize("reverse", [False, True])
def test_ragged_and_reversed(reverse: bool) -> None:
    compare(decayed, 7, 3, lengths=[7, 4], reverse=reverse)
    compare(gated, 7, 3, lengths=[0, 5], reverse=reverse)
    compare(decayed, 7, 3, reverse=reverse)


def test_handed_on_in_pieces() -> None:
    xs, whole = draws(11), ts.unroll(decayed, draws(11), state())
    fast, _ = compiled(lambda s, *xs: ts.unroll(decayed, xs, s), 2)
    s, parts = state(), []
    for first, last in ((0, 1), (1, 3), (3, 6), (6, 11)):
        ys, s = fast(s, *(x[:, first:last] for x in xs))
        parts.append(ys.numpy())
    np.testing.assert_allclose(np.concatenate(parts, 1), whole[0].numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(s.numpy(), whole[1].numpy(), rtol=1e-12, atol=1e-12)


def _nonlinear(x: Any, s: Any) -> tuple[Any, Any]:
    y, s = decayed(x, s)
    return y, ts.tanh(s)


def _diagonal(x: Any, s: Any) -> tuple[Any, Any]:
    _a, k, v, q = x
    s = ts.sigmoid(k).reshape((B, H, K, 1)) * s + _outer(k, v)
    return _row(q, s), s


def _delta(x: Any, s: Any) -> tuple[Any, Any]:
    _a, k, v, q = x
    old = _row(k, s)
    s = s + _outer(k, v - old)
    return _row(q, s), s


def _read_whole(x: Any, s: Any) -> tuple[Any, Any]:
    s = decayed(x, s)[1]
    return ts.tanh(s), s


def _decayed_by_a_full_row(x: Any, s: Any) -> tuple[Any, Any]:
    a, _k, v, q = x
    s = a.reshape((B, H, 1, 1)) * s + v.reshape((B, H, 1, V)) * 2.0  # the same for every row of the matrix
    return _row(q, s), s


@pytest.mark.parametrize("step", [_nonlinear, _diagonal, _delta, _read_whole, _decayed_by_a_full_row])
def test_what_it_leaves_alone(step: Step) -> None:
    fast, seen = compiled(lambda s, *xs: ts.unroll(step, xs, s)[0], 2)
    xs = [state(), *draws(6)]
    np.testing.assert_allclose(fast(*xs).numpy(), ts.unroll(step, xs[1:], xs[0])[0].numpy(), rtol=1e-10, atol=1e-10)
    assert lengths_of_loops(seen[0]) == [6]


def test_truncation_stays_a_loop() -> None:
    fast, seen = compiled(lambda s, *xs: ts.unroll(decayed, xs, s, truncate=2)[0], 2)
    fast(state(), *draws(6))
    assert lengths_of_loops(seen[0]) == [6]


def test_short_loops_and_small_matrices_stay() -> None:
    fast = ts.compile(lambda s, *xs: ts.unroll(decayed, xs, s)[0])
    fast(state(), *draws(100))
    assert lengths_of_loops(fast.graph) == [100]


def _proofs(step: Step, **options: Any) -> list[str]:
    graph = ts.trace(lambda s, *xs: ts.unroll(step, xs, s, **options)[0], state(), *draws(6))
    return [carry.kind for carry in linearise(graph)]


def test_the_kind_of_a_carry() -> None:
    assert _proofs(decayed) == ["scalar"]
    assert _proofs(undecayed) == ["identity"]
    assert _proofs(_diagonal) == ["diagonal"]
    assert _proofs(_delta) == ["dense"]
    assert _proofs(_nonlinear) == ["nonlinear"]


def test_where_a_proof_ends_is_said() -> None:
    graph = ts.trace(lambda s, *xs: ts.unroll(_nonlinear, xs, s)[0], state(), *draws(6))
    (carry,) = linearise(graph)
    assert str(carry).startswith("h: nonlinear (op tanh")
    assert "test_chunk.py" in str(carry)


def test_carries_that_mix_and_carries_that_others_read() -> None:
    def rotation(x: Any, s: Any) -> tuple[Any, Any]:
        re, im, top = s
        a, b = ts.cos(x), ts.sin(x)
        re, im = a * re - b * im + x, b * re + a * im
        top = ts.maximum(top, x)
        return re, (re, im, top)

    h = ts.zeros((2, 3))
    graph = ts.trace(lambda x: ts.unroll(rotation, x, (h, h, h))[0], ts.ones((2, 4, 3)))
    (loop,) = [OpenLoop.open(node, node.inputs) for node in graph.nodes if node.op is scan]
    kinds = [carry.kind for carry in carries(loop)]
    assert kinds == ["block diagonal, 2 carries", "block diagonal, 2 carries", "nonlinear"]


def test_a_product_of_two_states_is_nonlinear() -> None:
    assert _proofs(lambda x, s: (_row(x[3], s), s * s)) == ["nonlinear"]
    assert _proofs(lambda x, s: (_row(x[3], s), x[0].reshape((B, H, 1, 1)) / s)) == ["nonlinear"]
    assert _proofs(lambda x, s: (_row(x[3], s), ts.where(s > 0.0, s, 0.5 * s))) == ["nonlinear"]
