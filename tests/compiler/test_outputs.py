"""What a compiled function hands out: results and gradients that are views, shared, inputs or numbers are eager's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinyseq as ts
from support import cuda_on_host
from support.cuda_on_host import needs_compiler
from tinyseq import nn, optim
from tinyseq.errors import GraphError
from tinyseq.ops.reduce import sum_

Tensor = ts.Tensor
WAYS = ["numpy", "llvm", pytest.param(cuda_on_host.HostBackend.name, marks=needs_compiler)]


def arrays(seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(2, 3, 4)), rng.normal(size=(24,)), rng.normal(size=(4, 4)) / 2]


def leaves(seed: int) -> list[Tensor]:
    return [ts.tensor(a, requires_grad=True) for a in arrays(seed)]


def differ(a: np.ndarray) -> np.ndarray:
    """Weights that tell the elements of a result apart."""
    return np.cos(np.arange(a.size)).reshape(a.shape)


def seen(fn: Callable[..., Any], seed: int) -> list[np.ndarray]:
    """Return a function's results and the gradients of its arguments, all as they are before the next call."""
    given = leaves(seed)
    outputs = [y for _, y in ts.trees.leaves(fn(*given))]
    values = [y.numpy().copy() for y in outputs]
    terms = [(y * ts.tensor(differ(y.numpy()))).sum() for y in outputs if y.requires_grad]
    if terms:
        sum(terms[1:], terms[0]).backward()
    return values + [np.zeros(x.shape) if x.grad is None else x.grad.numpy().copy() for x in given]


def check(fn: Callable[..., Any]) -> None:
    """Twice in a row with other numbers, so that no result of the call before passes for one of this call."""
    fast = ts.compile(fn, verify=True)
    for seed in (0, 1):
        for got, wanted in zip(seen(fast, seed), seen(fn, seed), strict=True):
            assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
            np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)


def unrolled(x: Tensor) -> Tensor:
    def step(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = ts.tanh(x + h * 0.5)
        return h, h

    return ts.unroll(step, x, x[:, 0] * 0.0)[0]


NAMED: dict[str, Callable[..., Any]] = {
    "transposed rows": lambda x, w, m: x.T.reshape(-1),
    "every second": lambda x, w, m: x[:, ::2].reshape(-1),
    "from behind": lambda x, w, m: x[:, ::-1, 1:3].reshape(2, -1),
    "broadcast": lambda x, w, m: ts.broadcast_to(m, (3, 4, 4)).reshape(-1),
    "heads": lambda x, w, m: ts.transpose((x @ m).reshape(2, 3, 2, 2), (0, 2, 1, 3)).reshape(2, 6, 2),
    "heads merged": lambda x, w, m: ts.transpose(x.reshape(2, 3, 2, 2), (0, 2, 1, 3)).reshape(2, 12),
    "states in rows": lambda x, w, m: unrolled(x).reshape(-1, 4),
    "states through a head": lambda x, w, m: (unrolled(x) @ m).reshape(-1, 4),
    "a sequence turned": lambda x, w, m: ts.transpose(unrolled(x), (2, 0, 1)).reshape(4, -1),
    "views joined": lambda x, w, m: ts.concat([x.T.reshape(-1), w[::-1], m.T.reshape(-1)], 0),
    "views stacked": lambda x, w, m: ts.stack([x.T.reshape(-1), w[::-1]], 0).T.reshape(-1),
    "an input": lambda x, w, m: (x, x * 2.0, x),
    "one value twice": lambda x, w, m: ((y := x @ m), y, y.T.reshape(-1), y.T.reshape(-1)),
    "views of one value": lambda x, w, m: ((y := ts.exp(x)).reshape(-1), y.T.reshape(-1), y[0], y.T.reshape(4, -1)[1:]),
    "a view that is used on": lambda x, w, m: ((y := (x * x).T.reshape(-1)), y * w, (y * w)[::2].reshape(3, 4)),
    "a captured number": lambda x, w, m: (x.sum(), ts.tensor(2.5), ts.zeros(3), ts.ones(2, 3).T.reshape(-1)),
    "gradients": lambda x, w, m: ts.grad(
        lambda w: ts.tanh(x.reshape(6, 4) @ ts.transpose(w.reshape(2, 3, 4), (2, 0, 1)).reshape(4, 6)).sum()
    )(w),
    "gradients of an input's view": lambda x, w, m: ts.grad(lambda x: (x.T.reshape(-1) * w[::-1]).sum())(x),
    "gradients beside values": lambda x, w, m: (
        ts.grad(lambda x: (x.T.reshape(-1) * w).sum())(x).T.reshape(-1),
        x.T.reshape(-1) * w,
    ),
    "gradients through a loop": lambda x, w, m: ts.grad(lambda x: (unrolled(x).T.reshape(-1) * w).sum())(x).reshape(-1),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMED)
def test_results_that_are_views(name: str, way: str) -> None:
    with ts.backend(way):
        check(NAMED[name])


@pytest.mark.parametrize("way", WAYS)
def test_gradients_of_a_compiled_step(way: str) -> None:
    """``backward()`` inside: ``p.grad`` of weights that are seen through views, at every step anew."""

    def run(compiled: bool) -> list[np.ndarray]:
        with ts.backend(way):
            ts.seed(0)
            m = nn.LSTM(4, 6)
            w = nn.parameter(np.linspace(-1, 1, 18))

            def step(x: Tensor) -> Tensor:
                for p in (*m.parameters(), w):
                    p.grad = None
                hidden = m(x)[0].reshape(-1, 6)
                loss = ts.tanh(hidden @ ts.transpose(w.reshape(3, 3, 2), (0, 2, 1)).reshape(6, 3)).sum()
                loss.backward()
                return loss

            m.cast(np.float64)
            step_ = ts.compile(step, verify=True) if compiled else step
            found = []
            for seed in (0, 1):
                found.append(step_(ts.tensor(arrays(seed)[0])).numpy().copy())
                found += [p.grad.numpy().copy() for p in (*m.parameters(), w) if p.grad is not None]
            return found

    got, wanted = run(True), run(False)
    assert len(got) == len(wanted) > 6
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


# -- results that are inputs -------------------------------------------------------------------------------------------


def stepped(w: Tensor, x: Tensor, opt: optim.SGD) -> None:
    opt.zero_grad()
    (w * x).sum().backward()
    opt.step()


def unrecorded(w: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    with ts.no_grad():
        return w, w * 2.0, w[:1]


def made(w: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    """Leaves of each call's own, one that learns and one that is assigned."""
    v, h = ts.tensor([1.0, 2.0], requires_grad=True), ts.zeros(2)
    h.assign(h + x)
    return v, h, h * w, v * x


def made_and_left(w: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    v = ts.tensor([1.0, 2.0], requires_grad=True)
    (v * v * x).sum().backward()
    v.assign(v - 0.1 * v.grad)
    return v, v.grad, v * x


def kept(w: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    """A new value is where gradients end."""
    x.assign(w * x * 0.5)
    (x * w).sum().backward()
    return x, x * 1.0


#: Each of a parameter w, an argument x and an optimiser of w.
THEMSELVES: dict[str, Callable[[Tensor, Tensor, optim.SGD], Any]] = {
    "an argument": lambda w, x, opt: (x, x * w, [x]),
    "an argument alone": lambda w, x, opt: x,
    "a weight": lambda w, x, opt: {"w": w, "y": w * x},
    "a weight alone": lambda w, x, opt: w,
    "one result twice": lambda w, x, opt: ((y := w * x), (y, y * 1.0), y),
    "views": lambda w, x, opt: (w[:1], w.T, w.reshape(1, 2), w.detach(), x.detach()),
    "unrecorded": lambda w, x, opt: unrecorded(w, x),
    "a weight after a step": lambda w, x, opt: (stepped(w, x, opt), w)[1],
    "what follows a step": lambda w, x, opt: (w * x, stepped(w, x, opt), x, w * x, w[:1], w.detach())[2:],
    "before and after a step": lambda w, x, opt: ((y := w * x), stepped(w, x, opt), (y, w))[2],
    "a gradient": lambda w, x, opt: (stepped(w, x, opt), (w.grad, x.grad if x.grad is not None else w.grad))[1],
    "a gradient that is an argument": lambda w, x, opt: (setattr(w, "grad", x), (x, w.grad))[1],
    "a gradient that was there": lambda w, x, opt: x if w.grad is None else w.grad,
    "an assigned weight": lambda w, x, opt: (w.assign(w * x), (w, w * 2.0))[1],
    "an assigned argument": lambda w, x, opt: (x.assign(x * 2.0), (x, w * x))[1],
    "two that change places": lambda w, x, opt: ((old := w.detach()), w.assign(x), x.assign(old), (w, x))[3],
    "made inside": lambda w, x, opt: made(w, x),
    "made and moved inside": lambda w, x, opt: made_and_left(w, x),
    "kept": lambda w, x, opt: kept(w, x),
}


def shown(fn: Callable[..., Any], requires_grad: bool, compiled: bool) -> list[Any]:
    w = ts.tensor([2.0, 3.0], requires_grad=True)
    x = ts.tensor([0.5, -1.0], requires_grad=requires_grad)
    opt = optim.SGD([w], lr=0.1)
    call: Any = (lambda x: fn(w, x, opt)) if not compiled else ts.compile(lambda x: fn(w, x, opt), verify=True)
    found: list[Any] = []
    for _ in range(3):
        results = [y for _, y in ts.trees.leaves(call(x))]
        known = [w, x, *(p.grad for p in (w, x))]
        for y in results:
            same = [number for number, z in enumerate((*known, *results)) if z is y]
            grad = y.grad.tolist() if y.is_leaf and y.grad is not None else None
            found.append([y.tolist(), y.requires_grad, y.is_leaf or not y.requires_grad, same, grad])
        found += [None if p is None else p.tolist() for p in known]
    return found


@pytest.mark.parametrize("way", ["numpy", "llvm"])
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("name", THEMSELVES)
def test_results_that_are_inputs_are_these_tensors(name: str, requires_grad: bool, way: str) -> None:
    with ts.backend(way):
        eager, compiled = (shown(THEMSELVES[name], requires_grad, compiled) for compiled in (False, True))
    np.testing.assert_equal(compiled, eager)


def test_an_argument_with_a_history_cannot_be_assigned() -> None:
    """As eagerly, also where the plan is there already."""

    def f(x: Tensor) -> Tensor:
        x.assign(x * 2.0)
        return x * 1.0

    fast, w = ts.compile(f), ts.tensor([1.0], requires_grad=True)
    for call in (f, fast):
        x = ts.tensor([3.0], requires_grad=True)
        assert call(x).tolist() == x.tolist() == [6.0]
        with pytest.raises(GraphError, match="assign to the result of an op"):
            call(w * 1.0)


# -- random programs ---------------------------------------------------------------------------------------------------


def _turned(x: Tensor, pick: Callable[[int], int]) -> Tensor:
    axes = list(range(x.ndim))
    if axes:
        axes = axes[(k := pick(len(axes))) :] + axes[:k]
        axes[0], axes[-1] = axes[-1], axes[0]
    return ts.transpose(x, tuple(axes)) if axes else x


def _flat(x: Tensor, pick: Callable[[int], int]) -> Tensor:
    if x.ndim < 2:
        return x.reshape(1, -1)
    first = pick(x.ndim - 1)
    return x.reshape(*x.shape[:first], x.shape[first] * x.shape[first + 1], *x.shape[first + 2 :])


def _cut(x: Tensor, pick: Callable[[int], int]) -> Tensor:
    if not x.ndim:
        return x
    axis = pick(x.ndim)
    parts = [slice(None), slice(None, None, 2), slice(None, None, -1), slice(1, None), slice(-1, 0, -2), slice(0, 1)]
    return x[(*(slice(None),) * axis, parts[pick(len(parts))])]


def _spread(x: Tensor, pick: Callable[[int], int]) -> Tensor:
    return ts.broadcast_to(x, (2, *x.shape)) if x.size < 100 else x.reshape(1, *x.shape)


STEPS: dict[str, Callable[[Tensor, Callable[[int], int]], Tensor]] = {
    "transpose": _turned,
    "reshape": _flat,
    "slice": _cut,
    "broadcast": _spread,
    "row": lambda x, pick: x.reshape(-1),
    "joined": lambda x, pick: ts.concat([x, x * 0.5], 0) if x.ndim and x.size < 100 else x,
    "joined to itself": lambda x, pick: ts.concat([x, x], x.ndim - 1) if x.ndim and x.size < 100 else x,
    "tanh": lambda x, pick: ts.tanh(x),
    "square": lambda x, pick: x * x,
    "sum": lambda x, pick: sum_(x, pick(x.ndim)) if x.ndim else x,
    "loop": lambda x, pick: unrolled(x) if x.ndim > 1 and x.shape[1] else x,
    "gradient": lambda x, pick: ts.grad(lambda z: (z.T.reshape(-1) * z.reshape(-1)).sum())(x),
}


@st.composite
def programs(draw: Any) -> Callable[..., Any]:
    """Functions of a few steps, half of them views, with some of the values on the way as results."""
    steps = draw(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9), st.integers(0, 99)), max_size=9))
    count = draw(st.integers(1, 3))
    chosen = draw(st.lists(st.integers(0, 99), min_size=count, max_size=count))

    def program(*given: Tensor) -> Any:
        values = list(given)
        for name, which, number in steps:
            x = values[-1] if which else values[number % len(values)]
            values.append(STEPS[name](x, lambda n, number=number: number % n))
        return tuple(values[-1 - i % min(len(values), 4)] for i in chosen)

    program.__doc__ = f"{steps} {chosen}"
    return program


def search(count: int) -> None:
    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(programs())
    def run(program: Callable[..., Any]) -> None:
        check(program)

    run()


@pytest.mark.parametrize(("way", "count"), [("numpy", 150), ("llvm", 30)])
def test_random_programs_that_end_in_views(way: str, count: int) -> None:
    with ts.backend(way):
        search(count)


@needs_compiler
def test_random_programs_that_end_in_views_by_generated_kernels() -> None:
    with ts.backend(cuda_on_host.HostBackend.name):
        search(10)


@pytest.mark.parametrize(("steps", "truncate"), [(1, None), (2, None), (2, 1), (3, 1)])
@pytest.mark.parametrize("way", ["numpy", "llvm"])
def test_what_no_step_has_led_a_weight_to_requires_no_gradient(way: str, steps: int, truncate: int | None) -> None:
    """A first state stands before any weight, and a cut lets no gradient through to those before it."""
    w, h = ts.ones(3, 2), ts.ones(4, 2)
    w.requires_grad = True

    def states(xs: Tensor) -> Tensor:
        def step(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
            return h, h * 0.5 + ts.tanh(x @ w)

        return ts.unroll(step, xs, h, truncate=truncate)[0]

    with ts.backend(way):
        xs = ts.ones(4, steps, 3)
        eager, fast = states(xs), ts.compile(states)(xs)
        assert fast.requires_grad == eager.requires_grad == (steps > 1 and truncate is None)
        np.testing.assert_allclose(fast.numpy(), eager.numpy(), rtol=1e-6)
