"""Every reduction of every form of operand, at extents that fill vectors and that do not: what NumPy computes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("llvmlite")

import tinyseq as ts
from tinyseq.compiler.lower.llvm import executable
from tinyseq.compiler.lower.stages import Repeat
from tinyseq.ops.shape import sum_to

#: Below, at and beyond a vector of 4, 8 or 16, one apart; more than are kept side by side.
EXTENTS = [1, 2, 3, 5, 8, 9, 13, 17]
SHAPES = [
    *[(n,) for n in EXTENTS],
    *[(2, n) for n in (1, 3, 11)],
    *[(n, 3) for n in (1, 8)],
    *[(3, n, 2) for n in (1, 3)],
    (1, 1),
    (1, 1, 1),
    (2, 1, 7),
    (2, 75),
]


@pytest.fixture(autouse=True)
def _llvm() -> Iterator[None]:
    with ts.backend("llvm"):
        yield


def values(shape: tuple[int, ...], dtype: str = "f8") -> Any:
    """Numbers that are told apart, and whose sums are exact in any order."""
    drawn = np.random.default_rng(math.prod(shape) + len(shape)).permutation(math.prod(shape)).reshape(shape)
    if dtype == "b1":
        return drawn % 2 == 0
    return ((drawn - drawn.size // 3 + 7) / 64 if "f" in dtype else drawn + 1).astype(dtype)


#: Name -> (shape -> the inputs, what the function makes of them, the same in NumPy).
FORMS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "loaded": (values, lambda x, n: x, lambda x, n: x),
    "computed": (values, lambda x, n: x * 2.0 + 1.0, lambda x, n: x * 2.0 + 1.0),
    "a number broadcast": (lambda n: values(()), ts.broadcast_to, np.broadcast_to),
    "a number and a tensor": (lambda n: values(()), lambda x, n: x + ts.zeros(*n, dtype=x.dtype), np.broadcast_to),
    "a literal": (lambda n: values(()), lambda x, n: x * 0.0 + ts.full(n, 2.5), lambda x, n: np.full(n, 2.5)),
    "rows broadcast": (lambda n: values((1, *n[1:])), ts.broadcast_to, np.broadcast_to),
    "columns broadcast": (lambda n: values((*n[:-1], 1)), ts.broadcast_to, np.broadcast_to),
    "turned": (lambda n: values(n[::-1]), lambda x, n: ts.transpose(x), lambda x, n: x.T),
    "backwards": (values, lambda x, n: x[..., ::-1], lambda x, n: x[..., ::-1]),
    "every other": (
        lambda n: values((*n[:-1], 2 * n[-1] - 1)), lambda x, n: x[..., ::2], lambda x, n: x[..., ::2]
    ),
}  # fmt: skip


def axes_of(ndim: int) -> list[tuple[int, ...]]:
    return [axes for count in range(1, ndim + 1) for axes in itertools.combinations(range(ndim), count)]


def reduced(x: ts.Tensor) -> list[ts.Tensor]:
    functions = (ts.sum, ts.mean, ts.max, ts.min, ts.logsumexp)
    found = [f(x, axes, keepdims=i % 2 == 0) for axes in axes_of(x.ndim) for i, f in enumerate(functions)]
    found += [sum_to(x, x.shape[cut:]) for cut in range(x.ndim + 1)]
    for axis in range(x.ndim):
        found += [ts.argmax(x, axis), ts.argmin(x, axis), ts.softmax(x, axis), ts.log_softmax(x, axis)]
        found += [ts.cumsum(x, axis), sum_to(x, tuple(1 if i == axis else n for i, n in enumerate(x.shape)))]
    return found


def wanted(x: Any) -> list[Any]:
    found = []
    for axes in axes_of(x.ndim):
        peak = x.max(axes, keepdims=True)
        total = np.log(np.exp(x - peak).sum(axes, keepdims=True)) + peak
        found += [x.sum(axes, keepdims=True), x.mean(axes), x.max(axes, keepdims=True), x.min(axes), total]
    found += [x.sum(tuple(range(cut))) for cut in range(x.ndim + 1)]
    for axis in range(x.ndim):
        powers = np.exp(x - x.max(axis, keepdims=True))
        share = powers / powers.sum(axis, keepdims=True)
        found += [x.argmax(axis), x.argmin(axis), share, np.log(share), x.cumsum(axis), x.sum(axis, keepdims=True)]
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_a_reduction(form: str, shape: tuple[int, ...]) -> None:
    make, traced, plain = FORMS[form]
    x = make(shape)
    got = ts.compile(lambda x: reduced(traced(x, shape)))(ts.tensor(x))
    for y, expected in zip(got, wanted(plain(x, shape)), strict=True):
        assert y.shape == expected.shape
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["f4", "i8", "i4", "b1"])
@pytest.mark.parametrize("shape", [(1,), (5,), (17,), (3, 5), (1, 1), (2, 16)], ids=str)
def test_a_reduction_in_another_dtype(dtype: str, shape: tuple[int, ...]) -> None:
    def some(x: ts.Tensor) -> list[ts.Tensor]:
        parts = [x, x[..., :1], ts.broadcast_to(x[..., :1], shape)]
        return [f(y, axis) for y in parts for f in (ts.sum, ts.max, ts.min) for axis in range(len(shape))]

    x = values(shape, dtype)
    with ts.backend("numpy"):
        expected = [y.numpy() for y in some(ts.tensor(x))]
    for y, right in zip(ts.compile(some)(ts.tensor(x)), expected, strict=True):
        assert y.dtype == right.dtype
        np.testing.assert_array_equal(y.numpy(), right)


@pytest.mark.parametrize("shape", [(0,), (1, 0), (0, 1), (0, 0), (3, 0), (0, 3), (1, 0, 1)], ids=str)
def test_a_sum_of_nothing(shape: tuple[int, ...]) -> None:
    def sums(x: Any) -> list[Any]:
        return [x.sum(axes, keepdims=keep) for axes in axes_of(len(shape)) for keep in (False, True)]

    got = ts.compile(lambda x: sums(x + 1.0))(ts.tensor(np.zeros(shape)))
    for y, expected in zip(got, sums(np.zeros(shape)), strict=True):
        np.testing.assert_array_equal(y.numpy(), expected)


def test_a_number_is_its_own_sum() -> None:
    x = ts.tensor(-2.5)
    for y in ts.compile(lambda x: (x.sum(), x.max(), x.min(), sum_to(x, ()), x.mean()))(x):
        assert y.item() == -2.5


@pytest.mark.parametrize("n", EXTENTS)
def test_the_gradient_of_what_is_broadcast_counts_each_element_once(n: int) -> None:
    """Counted by hand: each of n terms adds 1 (or 1/n, or the element beside it)."""
    s, x = ts.tensor(2.0, requires_grad=True), ts.tensor(values((n,)))
    for f, expected in (
        (lambda s: (s + x).sum(), n),
        (lambda s: (s * x).sum(), x.numpy().sum()),
        (lambda s: (s + x).mean(), 1.0),
        (lambda s: ts.broadcast_to(s, (n,)).sum(), n),
    ):
        s.grad = None
        ts.compile(f)(s).backward()
        assert s.grad is not None
        np.testing.assert_allclose(s.grad.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("out", [1, 2, 5])
def test_the_gradient_of_a_bias_under_a_mean(rows: int, out: int) -> None:
    layer = ts.nn.Linear(5, out)
    x = ts.tensor(np.random.default_rng(0).normal(size=(rows, 5)).astype(np.float32))
    ts.compile(lambda x: layer(x).mean())(x).backward()
    assert layer.b.grad is not None
    np.testing.assert_allclose(layer.b.grad.numpy(), np.full(out, 1 / out), rtol=1e-6)


def test_sums_and_extremes_are_native() -> None:
    """Else the tests above would compare NumPy with itself."""
    fast = ts.compile(lambda x: (x.sum(0), x.max(1), ts.softmax(x), ts.broadcast_to(x[:1, :1], (3, 5)).sum()))
    fast(ts.tensor(values((3, 5))))
    (row,) = [row for row in fast.entry_of_last_call().take().notes() if row]
    assert row.startswith("native: ")
    assert isinstance(fast.entry_of_last_call().take(), executable.Executable)


@pytest.mark.parametrize("n", EXTENTS)
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "b1"])
def test_the_place_of_an_extreme_is_the_first_of_ties_and_of_nans(dtype: str, n: int) -> None:
    rows = np.random.default_rng(n).integers(-1, 2, (7, n)).astype(dtype)
    if dtype in ("f4", "f8"):
        rows[1::3, n // 2 :] = np.nan
        rows[2::3] = -np.inf
    got = ts.compile(lambda x: (ts.argmax(x), ts.argmin(x)))(ts.tensor(rows))
    for y, expected in zip(got, (rows.argmax(-1), rows.argmin(-1)), strict=True):
        np.testing.assert_array_equal(y.numpy(), expected, strict=True)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "i4", "b1"])
def test_a_cumulative_sum_has_the_bits_of_numpy(dtype: str) -> None:
    x = (100 * np.random.default_rng(0).standard_normal((4, 133))).astype(dtype)
    if dtype in ("f4", "f8"):
        x[0, :2], x[1, 60], x[2, 60] = -0.0, np.inf, np.nan
    got = ts.compile(ts.cumsum)(ts.tensor(x)).numpy()
    assert got.dtype == x.cumsum(-1).dtype
    assert got.tobytes() == x.cumsum(-1).tobytes()


@pytest.mark.parametrize("rows", [1, 3])
def test_a_loop_that_chooses_and_counts_is_native(rows: int) -> None:
    """A step of sampling: what was chosen last decides what is chosen next; each row by itself."""

    def step(draw: ts.Tensor, token: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        total = ts.cumsum(ts.softmax(ts.tanh(table[token]) * 3.0))
        drawn = (total <= draw.reshape(-1, 1)).sum(-1)
        token = ts.where(draw < 0.3, ts.argmax(total), ts.minimum(drawn, 10))
        return token, token

    table = ts.tensor(np.random.default_rng(0).standard_normal((11, 11)))
    given = ts.tensor(np.random.default_rng(1).random((rows, 40))), ts.tensor(np.zeros(rows, np.int64))
    fast = ts.compile(lambda xs, state: ts.unroll(step, xs, state)[0])
    found = fast(*given).numpy()
    assert not any("left to NumPy" in row for row in fast.entry_of_last_call().take().notes())
    np.testing.assert_array_equal(found, ts.unroll(step, *given)[0].numpy())
    assert len(np.unique(found)) > 5


@pytest.mark.parametrize(("axis", "rows"), [(0, 0), (1, 3)])
def test_a_loop_that_sums_along_its_rows_may_be_split_by_them(axis: int, rows: int) -> None:
    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h = ts.cumsum(ts.tanh(h + x), axis)
        return h, h

    given = ts.tensor(values((3, 20, 5))), ts.tensor(values((3, 5)))
    fast = ts.compile(lambda xs, h: ts.unroll(step, xs, h)[0])
    np.testing.assert_allclose(fast(*given).numpy(), ts.unroll(step, *given)[0].numpy(), rtol=1e-12)
    segments = fast.entry_of_last_call().take().code.lowered.segments
    (loop,) = [stage for segment in segments for stage in segment if isinstance(stage, Repeat)]
    assert loop.rows == rows
