"""Which dtype comes out: for every op and all dtypes of its inputs the kernel gives what the op's rule says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.optable import BINARY, ROWS, Case, Row, draw
from tinyseq.errors import DtypeError, TinyseqError
from tinyseq.tensors import Tensor

DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
]
SCALARS: list[Any] = [True, 2, 2.5]


def outcome(fn: Any, *xs: Any) -> list[str] | str:
    """The dtypes of what a call gives, or that it is refused."""
    try:
        result = fn(*xs)
    except TinyseqError:
        return "refused"
    return [str(y.dtype) for y in (result if isinstance(result, tuple) else (result,))]


def traced(fn: Any, *xs: Any) -> list[str] | str:
    """The same by the ops' rules alone."""

    def call(*tensors: Tensor) -> Any:
        rest = iter(tensors)
        return fn(*(next(rest) if isinstance(x, Tensor) else x for x in xs))

    try:
        return [str(node.dtype) for node in ts.trace(call, *(x for x in xs if isinstance(x, Tensor))).outputs]
    except TinyseqError:
        return "refused"


def arguments(row: Row, this: Case) -> Iterator[list[Any]]:
    """A case's arguments in all pairs of dtypes; of more than two that are alike, the rest follow the second."""
    arrays = draw(row, this)
    places = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    both = DTYPES + SCALARS if row.cases is BINARY and this.args == ((), ()) else DTYPES
    for first, second in itertools.product(both, both if len(places) > 1 else [None]):
        kinds = dict(zip(places, [first, *[second] * len(places)], strict=False))
        if any(isinstance(kind, str) for kind in kinds.values()) or not places:
            yield [_as(a, kinds[i]) if i in kinds else Tensor(a) for i, a in enumerate(arrays)]


def _as(a: np.ndarray, kind: Any) -> Any:
    return Tensor(np.abs(np.clip(a, 1, 2)).astype(kind)) if isinstance(kind, str) else kind


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_kernel_gives_the_dtype_that_the_rule_says(row: Row) -> None:
    options = [this.options for this in row.cases]
    places = {str(key): i for i, key in enumerate(options)}  # a case for each way of calling it
    scalars = [i for i, this in enumerate(row.cases) if row.cases is BINARY and this.args == ((), ())]
    cases = [row.cases[i] for i in {*places.values(), *scalars}]
    wrong = []
    for this in cases:
        for xs in arguments(row, this):

            def fn(*xs: Any, options: dict[str, Any] = this.options) -> Any:
                return row.fn(*xs, **options)

            eager, rule = outcome(fn, *xs), traced(fn, *xs)
            if eager != rule:
                kinds = [str(x.dtype) if isinstance(x, Tensor) else repr(x) for x in xs]
                wrong.append(f"{this} of {', '.join(kinds)}: {eager}, by the rule {rule}")
    assert wrong == []


PAIRS = {
    # NumPy's promotion (NEP 50), but that float64 comes only from float64.
    ("float16", "float32"): "float32",
    ("float16", "int8"): "float16",
    ("float16", "int16"): "float32",
    ("float16", "int64"): "float32",
    ("float32", "int64"): "float32",
    ("float32", "float64"): "float64",
    ("float64", "bool"): "float64",
    ("int64", "uint64"): "float32",
    ("int32", "uint32"): "int64",
    ("uint8", "int8"): "int16",
    ("bool", "int8"): "int8",
    ("bool", "bool"): "bool",
}


@pytest.mark.parametrize("pair", PAIRS)
def test_where_dtypes_meet(pair: tuple[str, str]) -> None:
    a, b = (Tensor(np.ones(2, kind)) for kind in pair)
    for op in (lambda a, b: a + b, lambda a, b: a * b, ts.maximum, lambda a, b: ts.concat([a, b]), lambda a, b: a @ b):
        for x, y in ((a, b), (b, a)):
            assert outcome(op, x, y) == traced(op, x, y) == [PAIRS[pair]]
    numpy = np.result_type(*pair)
    assert PAIRS[pair] == str(numpy) or (numpy == np.float64 and "float64" not in pair)


@pytest.mark.parametrize("kind", ["bool", "int8", "uint8", "int64"])
def test_functions_of_small_integers_are_computed_in_float32(kind: str) -> None:
    """NumPy computes them in float16: exp(5) would be 148.375."""
    x = Tensor(np.array([0, 1, 5]).astype(kind))
    wide = x.numpy().astype(np.float64)
    for fn, expected in [
        (ts.exp, np.exp(wide)),
        (ts.sqrt, np.sqrt(wide)),
        (ts.tanh, np.tanh(wide)),
        (ts.sigmoid, 1 / (1 + np.exp(-wide))),
        (ts.softmax, np.exp(wide) / np.exp(wide).sum()),
        (ts.log_softmax, np.log(np.exp(wide) / np.exp(wide).sum())),
        (ts.logsumexp, np.log(np.exp(wide).sum())),
    ]:
        y = fn(x)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6, atol=1e-7)


def test_booleans() -> None:
    x, y = ts.tensor([True, False, True, False]), ts.tensor([True, True, False, False])
    assert ((x**y).tolist(), (x**y).dtype) == ([True, False, True, True], np.bool_)
    assert (ts.relu(x).tolist(), ts.relu(x).dtype) == ([1, 0, 1, 0], np.int64)
    assert ((x + y).dtype, (x * y).dtype, (x**2).dtype, x.sum().item()) == (np.bool_, np.bool_, np.int64, 2)
    for call in (lambda: x - y, lambda: -x, lambda: ts.sign(x), lambda: ts.trace(lambda x, y: x - y, x, y)):
        with pytest.raises(DtypeError, match="of booleans"):
            call()


def test_draws_in_float16_are_draws() -> None:
    """Words of 24 bits overflow in it: every draw would be infinite, and dropout would drop nothing."""
    x = Tensor(np.ones(10_000, np.float16))
    y = ts.dropout(x, 0.25, seed=3).numpy()
    assert abs((y == 0.0).mean() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 10_000)
    assert set(y.tolist()) == {0.0, float(np.float16(1 / 0.75))}
    with pytest.raises(DtypeError, match="dropout"):
        ts.dropout(ts.arange(3), 0.5, seed=1)


def test_sums_of_small_integers_do_not_wrap() -> None:
    for kind in ("int8", "uint8", "int16", "uint16", "int32", "uint32"):
        top = np.iinfo(kind).max
        x = Tensor(np.full(3, top, kind))
        assert (x.sum().dtype, x.sum().item(), x.cumsum().tolist()[-1]) == (np.int64, 3 * int(top), 3 * int(top))
    large = ts.tensor(np.array([2**63 + 5, 1], np.uint64), dtype=np.uint64)
    assert (large.sum().dtype, large.sum().item()) == (np.uint64, 2**63 + 6)
    assert math.isclose((large + ts.tensor([1, 1]))[0].item(), 2.0**63)
