"""Vector functions within 2 units in the last place, on every kind of number there is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from support.native import function_of
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm.ir import maths
from tinyseq.compiler.lower.llvm.runtime.host import host

FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "tanh": np.tanh,
    "log": np.log,
    "log1p": np.log1p,
}
DTYPES = {"f4": (np.float32, np.float64), "f8": (np.float64, np.longdouble)}


def grid(dtype: type) -> np.ndarray:
    """Numbers all over the range of the dtype, its denormals too, and close together where the functions bend."""
    bits, step = (np.uint32, 9973) if dtype is np.float32 else (np.uint64, 40_000_000_000_000_003)
    top = np.array([np.inf], dtype).view(bits)[0]
    everywhere = np.arange(0, top, step, dtype=bits).view(dtype)
    dense = [np.linspace(-20, 20, 200_001), np.linspace(-1, 1, 100_001), np.linspace(-760, 720, 50_001)]
    edges = np.array([88.72, 88.73, 709.78, 709.79, -87.4, -103.9, -104.1, -745.1, -745.2, 0.55, 1.0, -1.0])
    return np.concatenate([everywhere, -everywhere, *(x.astype(dtype) for x in (*dense, edges))])


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_two_units_in_the_last_place(name: str, kind: str) -> None:
    dtype, wide = DTYPES[kind]
    if kind == "f8" and np.finfo(wide).nmant < 60:
        pytest.skip("no wider dtype to compare float64 with on this machine")
    x = grid(dtype)
    with np.errstate(all="ignore"):
        exact = FUNCTIONS[name](x.astype(wide))
        rounded = exact.astype(dtype)
    got = function_of(lambda v, value: getattr(maths, name)(v, value), kind, host().vector // SIZES[kind])(x)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])  # NaN, or infinity of the right sign
    units = np.abs(got[finite].astype(wide) - exact[finite]) / np.spacing(np.abs(rounded[finite])).astype(wide)
    print(f"\n{name} in {dtype.__name__}: {float(units.max()):.2f} units at most, at {x[finite][units.argmax()]}")
    assert units.max() <= 2.0


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_zeros_infinities_and_nan(name: str, kind: str) -> None:
    dtype, _ = DTYPES[kind]
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan], dtype)
    with np.errstate(all="ignore"):
        expected = FUNCTIONS[name](x)
    got = function_of(lambda v, value: getattr(maths, name)(v, value), kind, 4)(x)
    np.testing.assert_array_equal(got, expected)
    signed = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[signed]), np.signbit(expected[signed]))


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
def test_every_width_of_vectors_gives_the_same(width: int) -> None:
    x = np.random.default_rng(0).normal(size=200).astype(np.float32)
    first = function_of(maths.tanh, "f4", 1)(x)
    np.testing.assert_array_equal(function_of(maths.tanh, "f4", width)(x), first)
