"""Kernels whose threads share work: sums, extremes, softmax and the like equal NumPy, at sizes that take every way."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support import cuda_on_host
from support.cuda_on_host import lowered_plan, needs_compiler
from support.kernel_cases import EINSUMS, NORMALISED, REDUCED, softmax, whole
from tinyseq.compiler.lower.cupy.kernels import Kernel, module
from tinyseq.compiler.lower.cupy.lowering import Lowered

pytestmark = needs_compiler


def lowered_of(fn: Callable[..., Any], *given: Any) -> Lowered:
    with ts.backend("cuda-on-host"), ts.no_grad():
        tensors = tuple(ts.tensor(x) for x in given)
        return lowered_plan(ts.compile(fn).entry(tensors, {}), 0)


def computed(fn: Callable[..., Any], *given: Any) -> tuple[np.ndarray, Lowered]:
    """What a compiled function gives on the stand-in, in both orders of threads, and what it was lowered to."""
    found = []
    for backwards in (False, True):
        with ts.backend("cuda-on-host"), pytest.MonkeyPatch.context() as patch:
            patch.setattr(cuda_on_host.Executable, "backwards", backwards)
            fast = ts.compile(fn)
            with ts.no_grad():
                found.append(fast(*(ts.tensor(x) for x in given)).numpy())
            found_plan = fast.entry_of_last_call().idle[0].lowered
    np.testing.assert_array_equal(*found, err_msg="the order of threads is seen in the result")
    assert found_plan.left == []
    return found[0], found_plan


@pytest.mark.parametrize("name", ["sum", "max"])
@pytest.mark.parametrize(("shape", "axes", "launches"), REDUCED, ids=str)
def test_reductions(shape: tuple[int, ...], axes: tuple[int, ...], launches: int, name: str) -> None:
    x = whole(*shape, dtype=np.float32)
    got, plan = computed(lambda x: getattr(x, name)(axes), x)
    np.testing.assert_array_equal(got, getattr(x, name)(axes))
    assert plan.counts()["kernels"] == launches


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64])
@pytest.mark.parametrize("name", ["sum", "max", "min"])
@pytest.mark.parametrize(("shape", "axis"), [((3, 90), 1), ((90, 3), 0), ((5, 5), 0), ((2, 3000), 1)], ids=str)
def test_reductions_of_every_kind(shape: tuple[int, ...], axis: int, name: str, dtype: Any) -> None:
    x = whole(*shape, dtype=dtype)
    if dtype == np.float64:
        x[1, 1] = np.nan
        x[0, 2] = np.inf
    got, _ = computed(lambda x: getattr(x, name)(axis), x)
    np.testing.assert_array_equal(got, getattr(x, name)(axis))


@pytest.mark.parametrize("name", ["sum", "min"])
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 2), (0, 1)], ids=str)
def test_reductions_of_what_lies_otherwise(axes: tuple[int, ...], name: str) -> None:
    """Of a transpose, of a part, of something broadcast."""
    x = whole(40, 30, 20)
    got, _ = computed(lambda x: getattr(x.transpose(2, 0, 1), name)(axes), x)
    np.testing.assert_array_equal(got, getattr(x.transpose(2, 0, 1), name)(axes))
    got, _ = computed(lambda x: getattr(x[3:, ::-1, 1::2] + x[:1, :, :1], name)(axes), x)
    np.testing.assert_array_equal(got, getattr(x[3:, ::-1, 1::2] + x[:1, :, :1], name)(axes))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
@pytest.mark.parametrize("shape", NORMALISED, ids=str)
def test_normalisations(shape: tuple[int, ...], name: str) -> None:
    x = np.random.default_rng(1).normal(0, 3, shape)
    if x.size > 1:
        x.reshape(-1, shape[-1])[0, 1:] = -np.inf
    got, _ = computed(lambda x: getattr(ts, name)(x, -1), x)
    with np.errstate(divide="ignore"):
        wanted = {"softmax": softmax, "log_softmax": lambda x: np.log(softmax(x))}.get(
            name, lambda x: np.log(np.exp(x).sum(-1))
        )(x)
    np.testing.assert_allclose(got, wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_normalisations_of_what_is_not_finite(name: str) -> None:
    x = np.random.default_rng(1).normal(size=(5, 40))
    x[0], x[1, 3], x[2, 7], x[3, 39] = -np.inf, np.inf, np.nan, -np.inf
    got, _ = computed(lambda x: getattr(ts, name)(x, -1), x)
    wanted = getattr(ts, name)(ts.tensor(x), -1).numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_softmax_of_columns_that_lie_side_by_side() -> None:
    x = np.random.default_rng(1).normal(size=(12, 2100))
    got, _ = computed(lambda x: ts.softmax(x.T * 2.0, -1), x)
    np.testing.assert_allclose(got, softmax(x.T * 2.0), rtol=1e-11)


# -- gradients of indexing ---------------------------------------------------------------------------------------------

#: rows, positions: a few, which every row looks through; one digit, two, three; more keys a thread.
SCATTERED = [
    (5, 12),
    (4, 64),
    (30, 65),
    (1, 500),
    (30, 700),
    (255, 300),
    (256, 900),
    (3000, 400),
    (70000, 300),
    (600_000, 40),
    (9, 17000),
]


def scattered(rows: int, width: int) -> Callable[..., Any]:
    return lambda updates, places: ts.scatter_add(updates, places, key=("array",), shape=(rows, width))


@pytest.mark.parametrize("skew", ["even", "one row", "sorted"])
@pytest.mark.parametrize(("rows", "count"), SCATTERED, ids=str)
def test_sums_by_index_are_in_order_of_position(rows: int, count: int, skew: str) -> None:
    """To the last bit: within a chunk of sorted positions, then over the chunks."""
    rng = np.random.default_rng(0)
    places = rng.integers(0, rows, count)
    if skew == "one row":
        places[rng.random(count) < 0.9] = rows - 1
    elif skew == "sorted":
        places.sort()
    updates = rng.normal(size=(count, 2)).astype(np.float32)
    got, plan = computed(scattered(rows, 2), updates, places)
    wanted = np.zeros((rows, 2))
    np.add.at(wanted, places, updates)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    exact, _ = computed(scattered(rows, 2), whole(count, 2), places)
    wanted = np.zeros((rows, 2))
    np.add.at(wanted, places, whole(count, 2))
    np.testing.assert_array_equal(exact, wanted)
    assert "atomic" not in plan.source


def test_sums_by_several_indices_between_other_axes() -> None:
    """With negative indices, and some out of range, which add nothing."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-4, 4, (10, 1)), rng.integers(-6, 6, (10, 9))
    updates = whole(3, 10, 9, 5)
    key = (slice(None), "array", "array")
    fn = lambda updates, a, b: ts.scatter_add(updates, a, b, key=key, shape=(3, 4, 6, 5))  # noqa: E731
    wanted = np.zeros((3, 4, 6, 5))
    np.add.at(wanted, (slice(None), a, b), updates)
    np.testing.assert_array_equal(computed(fn, updates, a, b)[0], wanted)
    b[3:5, 2:] = 6
    b[7, 1] = -7
    ok = (b >= -6) & (b < 6)
    wanted = np.zeros((3, 4, 6, 5))
    np.add.at(wanted, (slice(None), np.broadcast_to(a, b.shape)[ok], b[ok]), updates[:, ok])
    np.testing.assert_array_equal(computed(fn, updates, a, b)[0], wanted)


# -- einsum and others -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spec", "shapes", "launches"), EINSUMS, ids=str)
def test_einsum(spec: str, shapes: list[tuple[int, ...]], launches: tuple[int, int]) -> None:
    given = [whole(*shape) for shape in shapes]
    got, plan = computed(lambda *xs: ts.einsum(spec, *xs), *given)
    np.testing.assert_array_equal(got, np.einsum(spec, *given))
    counts = plan.counts()
    assert (counts["kernels"], counts["products"]) == launches


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize(
    ("shape", "axis"), [((9, 5), 1), ((9, 100), 1), ((2, 3000), 1), ((100, 9), 0), ((6, 70, 3), 1)]
)
def test_the_first_of_equal_extremes(shape: tuple[int, ...], axis: int, name: str) -> None:
    x = whole(*shape) // 10
    np.testing.assert_array_equal(computed(lambda x: getattr(ts, name)(x, axis), x)[0], getattr(x, name)(axis))
    x[..., 2] = np.nan
    np.testing.assert_array_equal(computed(lambda x: getattr(ts, name)(x, axis), x)[0], getattr(x, name)(axis))


@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.bool_])
def test_places_of_extremes_of_every_kind(dtype: Any) -> None:
    x = (whole(7, 40) > 20) if dtype == np.bool_ else whole(7, 40, dtype=dtype)
    np.testing.assert_array_equal(computed(lambda x: ts.argmax(x, 1), x)[0], x.argmax(1))


@pytest.mark.parametrize(("shape", "axis"), [((3, 5), 1), ((3, 200), 1), ((70, 4), 0), ((2, 33, 3), 1), ((9,), 0)])
def test_cumulative_sums(shape: tuple[int, ...], axis: int) -> None:
    np.testing.assert_array_equal(computed(lambda x: ts.cumsum(x, axis), whole(*shape))[0], whole(*shape).cumsum(axis))


@pytest.mark.parametrize("k", [-2, 0, 1])
@pytest.mark.parametrize("name", ["tril", "triu"])
def test_triangles(name: str, k: int) -> None:
    x = whole(2, 4, 5)
    np.testing.assert_array_equal(computed(lambda x: getattr(ts, name)(x, k), x)[0], getattr(np, name)(x, k))


# -- NVRTC -------------------------------------------------------------------------------------------------------------


def every_plan() -> Iterator[Lowered]:
    for shape, axes, _ in REDUCED:
        for name in ("sum", "max"):
            yield lowered_of(lambda x, name=name, axes=axes: getattr(x, name)(axes), whole(*shape, dtype=np.float32))
    for dtype in (np.int32, np.int64, np.float64):
        for shape in ((3, 90), (90, 3), (2, 3000)):
            for name in ("sum", "max", "min"):
                yield lowered_of(lambda x, name=name: getattr(x, name)((0, 1)), whole(*shape, dtype=dtype))
    for shape in NORMALISED:
        for name in ("softmax", "log_softmax", "logsumexp"):
            yield lowered_of(lambda x, name=name: getattr(ts, name)(x, -1), whole(*shape))
    for rows, count in SCATTERED:
        yield lowered_of(scattered(rows, 2), whole(count, 2), np.zeros(count, np.int64))
    for spec, shapes, _ in EINSUMS:
        yield lowered_of(lambda *xs, spec=spec: ts.einsum(spec, *xs), *(whole(*shape) for shape in shapes))
    for dtype in (np.float32, np.int64):
        for fn in (ts.argmax, ts.argmin, ts.cumsum, ts.tril):
            yield lowered_of(lambda x, fn=fn: fn(x), whole(5, 70, dtype=dtype))


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90"])
def test_nvrtc_compiles_every_kernel(architecture: str) -> None:
    library = cuda_on_host.nvrtc()
    if library is None and sys.platform not in ("linux", "win32"):
        pytest.skip("there is no NVRTC for this system")
    assert library is not None, 'NVRTC is not installed: pip install "tinyseq[test]"'
    kernels = [launch.what for plan in every_plan() for launch, _ in plan.launches() if isinstance(launch.what, Kernel)]
    assert cuda_on_host.compile_for(library, module(kernels)[0], architecture)[:4] == b"\x7fELF"
