"""Every check of every op, driven by the table in ``support/optable``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.op_check import Check
from support.optable import ROWS, Case, Row, draw
from tinyseq.graph import Graph
from tinyseq.ops import OPS
from tinyseq.ops.base import Op

CASES = [pytest.param(row, this, id=f"{row.name}-{this}") for row in ROWS for this in row.cases]
SMOOTH = [pytest.param(row, this, id=f"{row.name}-{this}") for row in ROWS for this in row.cases if row.smooth]
NAMES = {row.name for row in ROWS}


def numbers(gradients: list[Any], like: list[Any]) -> list[np.ndarray]:
    floats = [a for a in like if a.dtype.kind == "f"]
    return [np.zeros(a.shape) if g is None else g.numpy() for g, a in zip(gradients, floats, strict=True)]


# -- the table itself --------------------------------------------------------------------------------------------------


def test_every_op_has_a_row() -> None:
    assert set(OPS) - NAMES == set()


def test_every_public_function_made_of_ops_has_a_row() -> None:
    missing = []
    for name in {*ts.__all__, *dir(ts)}:
        thing = ts.__dict__.get(name)
        if isinstance(thing, Op):
            known = thing.name
        elif callable(thing) and getattr(thing, "__module__", "").startswith(("tinyseq.ops.", "tinyseq.functions.")):
            known = thing.__name__
        else:
            continue
        if known not in NAMES:
            missing.append(name)
    assert missing == []


def test_no_row_stands_twice() -> None:
    assert len(NAMES) == len(ROWS)


def _shapes(row: Row) -> list[tuple[int, ...]]:
    """The shapes of arrays that rows compute on (not of indices)."""
    arrays = [a for this in row.cases for a in draw(row, this)]
    return [a.shape for a in arrays]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_row_has_empty_and_scalar_cases_or_says_why_not(row: Row) -> None:
    empty = any(0 in shape for shape in _shapes(row)) or any(
        0 in y.shape for this in row.cases for y in Check(row, this).expected()
    )
    floats = [a.shape for this in row.cases for a in draw(row, this) if a.dtype.kind == "f"]
    assert empty or row.no_empty
    assert (() in floats) != bool(row.no_scalar)
    assert len({*_shapes(row), *(y.shape for this in row.cases for y in Check(row, this).expected())}) >= 3


# -- the checks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("row", "this"), CASES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_values_and_dtypes_are_numpys(row: Row, this: Case, dtype: Any) -> None:
    check = Check(row, this, dtype)
    ys, wanted = check.outputs(*check.leaves()), check.expected()
    assert len(ys) == len(wanted)
    for y, expected in zip(ys, wanted, strict=True):
        assert type(y.value) is np.ndarray
        assert y.shape == expected.shape
        assert y.dtype == (row.gives or check.dtype)
        rtol, atol = (row.rtol, 1e-13) if dtype == np.float64 else (1e-5, 1e-5)
        np.testing.assert_allclose(y.numpy(), expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("row", "this"), CASES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_the_shape_rule_says_what_the_kernel_does(row: Row, this: Case, dtype: Any) -> None:
    check = Check(row, this, dtype)
    concrete = check.outputs(*check.leaves())
    graph = ts.trace(lambda *xs: row.fn(*xs, **check.options), *check.leaves())
    graph.verify()
    assert [(n.shape, n.dtype) for n in graph.outputs] == [(y.shape, y.dtype) for y in concrete]
    Graph([y.node for y in concrete]).verify()
    assert str(graph)


@pytest.mark.parametrize(("row", "this"), SMOOTH)
def test_the_backward_graph_verifies(row: Row, this: Case) -> None:
    found = [g for g in Check(row, this, np.float32).gradients(create_graph=True) if g is not None]
    Graph([g.node for g in found]).verify()
    assert all(g.dtype == np.float32 for g in found)


@pytest.mark.parametrize(("row", "this"), SMOOTH)
def test_first_and_second_gradients(row: Row, this: Case) -> None:
    check = Check(row, this)
    if all(math.prod(y.shape) == 0 for y in check.expected()):
        found = check.gradients()
        assert all(g is None or not g.numpy().any() for g in found)
        return
    ts.testing.check_grads(lambda *xs: tuple(check.outputs(*xs)), *(ts.tensor(a) for a in check.arrays))


@pytest.mark.parametrize(("row", "this"), SMOOTH)
def test_float32_gradients_are_float32_and_near_the_float64_ones(row: Row, this: Case) -> None:
    narrow = Check(row, this, np.float32)
    wide = Check(row, this, np.float64, [a.astype(np.float64) if a.dtype.kind == "f" else a for a in narrow.arrays])
    found, expected = narrow.gradients(), wide.gradients()
    assert all(g is None or (type(g.value) is np.ndarray and g.dtype == np.float32) for g in found)
    for g, w in zip(numbers(found, narrow.arrays), numbers(expected, wide.arrays), strict=True):
        assert g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("row", "this"), [p for p in CASES if not p.values[0].smooth])
def test_results_without_a_slope_require_no_gradient(row: Row, this: Case) -> None:
    check = Check(row, this)
    assert not any(y.requires_grad for y in check.outputs(*check.leaves()))


def strided(a: np.ndarray, how: str) -> np.ndarray:
    """The same values in another layout of memory, read-only."""
    if how == "transposed":
        view = np.array(a.T, order="C").T
    elif how == "reversed":
        view = np.array(a[::-1])[::-1] if a.ndim else a.copy()
    else:
        wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), 99, dtype=a.dtype) if a.ndim else a.copy()
        view = wide[..., ::2] if a.ndim else wide
        if a.ndim:
            view[...] = a
    view.flags.writeable = False
    return view


@pytest.mark.parametrize(("row", "this"), CASES)
@pytest.mark.parametrize("how", ["transposed", "reversed", "every other"])
def test_layout_does_not_matter_and_inputs_are_not_written(row: Row, this: Case, how: str) -> None:
    check = Check(row, this)
    views = [strided(a, how) for a in check.arrays]  # read-only: a kernel that wrote to its input would raise
    for y, plain in zip(check.outputs(*check.leaves(views)), check.outputs(*check.leaves()), strict=True):
        np.testing.assert_allclose(y.numpy(), plain.numpy(), rtol=1e-12, atol=1e-14)
    if row.smooth:
        pairs = zip(check.gradients(views), check.gradients(), strict=True)
        for found, plain in pairs:
            assert (found is None) == (plain is None)
            if found is not None:
                np.testing.assert_allclose(found.numpy(), plain.numpy(), rtol=1e-12, atol=1e-13)
    for view, a in zip(views, check.arrays, strict=True):
        np.testing.assert_array_equal(view, a)


@pytest.mark.parametrize(("row", "this"), SMOOTH)
def test_a_second_sweep_over_a_retained_graph_finds_the_same(row: Row, this: Case) -> None:
    """A gradient rule that wrote to a saved value, or to what came from above, would change the second sweep."""
    check = Check(row, this)
    xs = check.leaves()
    loss = check.projected(check.outputs(*xs))
    if not loss.requires_grad:
        return
    sources = [x for x in xs if x.requires_grad]
    first = ts.gradients(loss, sources, retain_graph=True)
    kept = [None if g is None else g.numpy().copy() for g in first]
    second = ts.gradients(loss, sources)
    for a, b, c in zip(first, second, kept, strict=True):
        if a is not None:
            np.testing.assert_array_equal(a.numpy(), c)
            np.testing.assert_array_equal(b.numpy(), c)


INTEGERS = [p for p in CASES if p.values[0].integers]


@pytest.mark.parametrize(("row", "this"), INTEGERS)
def test_integers(row: Row, this: Case) -> None:
    arrays = [np.trunc(a * 3).astype(np.int64) if a.dtype.kind == "f" else a for a in draw(row, this)]
    if row.name in ("div", "log"):
        arrays = [np.where(a == 0, 1, a) for a in arrays]
    check = Check(row, this, arrays=arrays)
    ys = check.outputs(*(ts.tensor(a) for a in arrays))
    with np.errstate(all="ignore"):
        wanted = row.ref(*(a.astype(np.float64) if a.dtype == np.int64 else a for a in arrays), **this.options)
    for y, expected in zip(ys, wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
        assert y.dtype == row.integers
        np.testing.assert_allclose(y.numpy(), expected, rtol=2e-6, atol=1e-6)
    graph = ts.trace(lambda *xs: row.fn(*xs, **check.options), *(ts.tensor(a) for a in arrays))
    assert [(n.shape, n.dtype) for n in graph.outputs] == [(y.shape, y.dtype) for y in ys]


SPECIAL = [pytest.param(row, special, id=f"{row.name}-{i}") for row in ROWS for i, special in enumerate(row.special)]


@pytest.mark.parametrize(("row", "special"), SPECIAL)
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_special_values(row: Row, special: Any, dtype: Any) -> None:
    xs = [
        ts.tensor(a) if isinstance(a, np.ndarray) else ts.tensor(a, dtype=dtype, requires_grad=True)
        for a in special.args
    ]
    y = row.fn(*xs, **special.options)
    rtol = 1e-13 if dtype == np.float64 else 1e-6
    if dtype == np.float32 and row.name == "var":
        rtol = 1e-3  # 1e4 + 1 keeps three digits after the point
    np.testing.assert_allclose(y.numpy(), special.value, rtol=rtol, atol=0)
    if row.name in ("neg", "mul", "erf"):  # zeros have signs
        wanted = np.asarray(special.value)
        np.testing.assert_array_equal(np.copysign(1.0, y.numpy())[wanted == 0], np.copysign(1.0, wanted)[wanted == 0])
    if special.grads is None:
        return
    ts.sum(y).backward()
    for x, expected in zip(xs, special.grads, strict=True):
        if expected is not None:
            assert x.grad is not None
            np.testing.assert_allclose(x.grad.numpy(), expected, rtol=rtol, atol=0)


# -- scalars and mixed dtypes ------------------------------------------------------------------------------------------

ARITHMETIC = ["add", "sub", "mul", "div", "pow", "maximum", "minimum"]
COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
BY_NAME = {row.name: row for row in ROWS}


def eager_and_traced(fn: Any, *xs: Any) -> set[np.dtype]:
    return {fn(*xs).dtype, ts.trace(fn, *xs).outputs[0].dtype}


@pytest.mark.parametrize("name", ARITHMETIC)
@pytest.mark.parametrize("scalar", [2.5, 2, True], ids=str)
@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_a_python_scalar_never_promotes(name: str, scalar: Any, shape: tuple[int, ...], dtype: Any) -> None:
    fn = BY_NAME[name].fn
    x = ts.tensor(np.full(shape, 1.5), dtype=dtype, requires_grad=True)
    for left in (lambda x: fn(x, scalar), lambda x: fn(scalar, x)):
        assert eager_and_traced(left, x) == {np.dtype(dtype)}
        (g,) = ts.gradients(left(x).sum(), [x])
        assert g is not None
        assert g.dtype == dtype
        assert g.shape == shape


@pytest.mark.parametrize("name", ARITHMETIC)
def test_dtypes_that_meet(name: str) -> None:
    fn = BY_NAME[name].fn
    f32, f64 = ts.ones(2), ts.ones(2, dtype=ts.float64)
    whole, truth = ts.tensor([2, 3]), ts.tensor([True, False])
    for a, b, expected in [
        (f32, f32, np.float32),
        (f32, f64, np.float64),
        (f32, whole, np.float32),
        (f32, truth, np.float32),
        (f64, whole, np.float64),
        (ts.ones(), whole, np.float32),
    ]:
        assert eager_and_traced(fn, a, b) == {np.dtype(expected)}
        assert eager_and_traced(fn, b, a) == {np.dtype(expected)}
    assert eager_and_traced(lambda x: fn(x, 1.5), whole) == {np.dtype(np.float32)}
    assert eager_and_traced(lambda x: fn(1.5, x), whole) == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_with_scalars(name: str) -> None:
    row = BY_NAME[name]
    x = np.array([1.0, 2.0, 3.0], dtype=np.float32)
    np.testing.assert_array_equal(row.fn(ts.tensor(x), 2.0).numpy(), row.ref(x, 2.0))
    np.testing.assert_array_equal(row.fn(2, ts.tensor(x)).numpy(), row.ref(2, x))


def test_where_between_scalars_is_float32() -> None:
    mask = ts.tensor([True, False])
    assert eager_and_traced(lambda m: ts.where(m, 1.0, 0.0), mask) == {np.dtype(np.float32)}
    assert eager_and_traced(lambda m: ts.where(m, 1, 0), mask) == {np.dtype(np.int64)}
    assert eager_and_traced(lambda m: ts.where(m, ts.tensor([1, 2]), 0.5), mask) == {np.dtype(np.float32)}


@pytest.mark.parametrize("join", [ts.concat, ts.stack])
def test_joining_meets_dtypes(join: Any) -> None:
    f32, whole = ts.ones(2), ts.tensor([1, 2])
    assert eager_and_traced(lambda a, b: join([a, b]), f32, whole) == {np.dtype(np.float32)}
    assert eager_and_traced(lambda a, b: join([a, b]), f32, ts.ones(2, dtype=ts.float64)) == {np.dtype(np.float64)}


def test_matmul_with_integers_stays_float32() -> None:
    x, w = ts.ones(2, 2, requires_grad=True), ts.tensor([[1, 2], [3, 4]])
    assert eager_and_traced(ts.matmul, x, w) == {np.dtype(np.float32)}
    assert eager_and_traced(lambda a, b: ts.einsum("ij,jk->ik", a, b), x, w) == {np.dtype(np.float32)}
    (g,) = ts.gradients((x @ w).sum(), [x])
    np.testing.assert_array_equal(g.numpy(), [[3.0, 7.0], [3.0, 7.0]])


# -- overflow and casts ------------------------------------------------------------------------------------------------


OVERFLOWS = {
    "add": lambda x: x + x,
    "sub": lambda x: x - -x,
    "mul": lambda x: x * x,
    "pow": lambda x: x**3,
    "div": lambda x: x / 1e-30,
    "sum": lambda x: x.sum(),
    "cumsum": lambda x: x.cumsum(),
    "prod": lambda x: x.prod(),
    "mean": lambda x: x.mean(),
    "var": lambda x: x.var(),
    "matmul": lambda x: x @ x,
    "einsum": lambda x: ts.einsum("i,i->i", x, x),
    "einsum-sum": lambda x: ts.einsum("i,i->", x, x),
    "scatter_add": lambda x: ts.scatter_add(x, ts.tensor([0, 0]), key=("array",), shape=(1,)),
    "gelu": lambda x: ts.gelu(x * x, approximate=True),
}


@pytest.mark.parametrize("name", OVERFLOWS)
def test_overflow_is_a_value_not_a_warning(name: str) -> None:
    x = ts.tensor([3e38, 3e38], requires_grad=True)
    y = OVERFLOWS[name](x)
    assert not np.isfinite(y.numpy()).all()
    y.sum().backward()


def test_cast_overflows_and_truncates_quietly() -> None:
    x = ts.tensor(np.array([1e300, -1e300, math.nan]))
    np.testing.assert_array_equal(ts.cast(x, ts.float32).numpy(), [math.inf, -math.inf, math.nan])
    assert ts.cast(x, ts.int64).dtype == np.int64


def test_no_gradient_passes_through_integers() -> None:
    x = ts.tensor([1.5, 2.5], requires_grad=True)
    (g,) = ts.gradients((ts.cast(ts.cast(x, ts.int64), ts.float32) * x).sum(), [x])
    assert g is not None
    np.testing.assert_array_equal(g.numpy(), [1.0, 2.0])


def test_cast_gradient_comes_back_in_the_dtype_of_the_input() -> None:
    x = ts.tensor([1.0, 2.0], requires_grad=True)
    (ts.cast(x, ts.float64) * 3.0).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float32
    np.testing.assert_array_equal(x.grad.numpy(), [3.0, 3.0])
