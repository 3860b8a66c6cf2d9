"""Every op compiled with Python scalars, scalars, nothing and every pair of dtypes: what eager computes, all compute.

The dtype is what the op's own rule says, the value eager's; what eager refuses is refused. Many small functions are
compiled as one, so that all of them take seconds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support import cuda_on_host
from support.cuda_on_host import needs_compiler
from support.optable import ROWS, Row, draw
from tinyseq.ops import elementwise as ew
from tinyseq.ops import predicates
from tinyseq.ops.base import Op

Tensor = ts.Tensor
Function = Callable[..., Any]
WAYS = ["numpy", "llvm", pytest.param(cuda_on_host.HostBackend.name, marks=needs_compiler)]
#: Relative to the larger of an element and 1, in the coarser dtype of two results.
TOLERANCES = {np.float16: 4e-3, np.float32: 4e-6, np.float64: 1e-12}


def together(functions: Mapping[str, tuple[Function, Sequence[Tensor]]]) -> dict[str, Any]:
    """Compile functions as one, and return what each gives; one that eager refuses must be refused alone."""
    kept, given = {}, []
    for name, (fn, args) in functions.items():
        try:
            fn(*args)
        except ts.TinyseqError:
            fast = ts.compile(fn)
            with pytest.raises(ts.TinyseqError):
                print(name, fast(*args))
            continue
        kept[name] = fn, len(given), len(given) + len(args)
        given += args

    def whole(*xs: Tensor) -> dict[str, Any]:
        return {name: fn(*xs[start:stop]) for name, (fn, start, stop) in kept.items()}

    found: dict[str, Any] = ts.compile(whole, verify=True)(*given)
    return found


def check(functions: Mapping[str, tuple[Function, Sequence[Tensor]]]) -> None:
    wrong = []
    for name, found in together(functions).items():
        fn, args = functions[name]
        rule = ts.trace(fn, *args).outputs
        wanted = fn(*args)
        pairs = zip(*(x if isinstance(x, tuple) else (x,) for x in (found, wanted)), rule, strict=True)
        for got, eager, node in pairs:
            a, b = got.numpy(), eager.numpy()
            if (a.dtype, a.shape) != (node.dtype, node.shape) or not alike(a, b):
                wrong.append(
                    f"{name}: {a.dtype}{a.shape} {a.ravel()[:4]}, not {node.dtype}{node.shape} {b.ravel()[:4]}"
                )
    assert not wrong, "\n".join([f"{len(wrong)} differ", *wrong[:40]])


def alike(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b.astype(a.dtype)))
    tolerance = max(TOLERANCES[x.dtype.type] for x in (a, b) if x.dtype.kind == "f")
    return bool(np.allclose(a.astype(float), b.astype(float), rtol=tolerance, atol=tolerance, equal_nan=True))


# -- Python scalars on either side -------------------------------------------------------------------------------------

LITERALS = [2.0, -1.5, 0.5, 0.0, -0.0, math.inf, 3, -1, True]
BINARY = [op for op in vars(ew).values() if isinstance(op, ew.Elementwise) and len(op.vjps) == 2] + [
    predicates.equal,
    predicates.not_equal,
    predicates.less,
    predicates.less_equal,
    predicates.greater,
    predicates.greater_equal,
    predicates.logical_and,
    predicates.logical_or,
]
POINTS = np.array([-1.5, 0.0, 1.0, 2.0, 3.0])


def literal_functions(literals: Sequence[float] = LITERALS) -> Iterator[tuple[str, Function]]:
    for op, value in itertools.product(BINARY, literals):
        yield f"{op.name}(x, {value})", partial(lambda op, value, x: op(x, value), op, value)
        yield f"{op.name}({value}, x)", partial(lambda op, value, x: op(value, x), op, value)
    for value in literals:
        yield f"where(x > 0, x, {value})", partial(lambda value, x: ew.where(x > 0, x, value), value)
        yield f"where(x > 0, {value}, x)", partial(lambda value, x: ew.where(x > 0, value, x), value)
        yield f"where(x > 0, {value}, 1)", partial(lambda value, x: ew.where(x > 0, value, 1), value)
        yield f"where({value}, x, x + x)", partial(lambda value, x: ew.where(value, x, x + x), value)
        yield f"where({value}, 2.0, x)", partial(lambda value, x: ew.where(value, 2.0, x), value)


def slope(fn: Function) -> Function:
    return ts.grad(lambda x: fn(x).sum())


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (1, 1), (5,)], ids=str)
@pytest.mark.parametrize("way", WAYS)
def test_python_scalars_as_operands(way: str, shape: tuple[int, ...]) -> None:
    """Values, first and second gradients."""
    with ts.backend(way):
        x = Tensor(np.resize(POINTS, shape))
        smooth = {name: fn for name, fn in literal_functions([2.0, -1.5, 0.0, 3]) if name.split("(")[0] in SMOOTH}
        bends = {name: slope(lambda x, fn=fn: slope(fn)(x) * 2.5) for name, fn in smooth.items()}
        check({name: (fn, [x]) for name, fn in smooth.items()})
        check({f"slope of {name}": (slope(fn), [x]) for name, fn in smooth.items()})
        check({f"bend of {name}": (fn, [x]) for name, fn in bends.items()})


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float16, np.float32])
@pytest.mark.parametrize("way", WAYS)
def test_python_scalars_beside_every_kind(way: str, dtype: Any) -> None:
    with ts.backend(way):
        x = Tensor(np.abs(POINTS).astype(dtype))
        check({name: (fn, [x]) for name, fn in literal_functions()})


SMOOTH = {op.name for op in (*BINARY, ew.where) if isinstance(op, Op) and op.differentiable}


# -- every op of every pair of dtypes ----------------------------------------------------------------------------------

DTYPES = [np.bool_, np.uint8, np.int8, np.int32, np.int64, np.uint64, np.float16, np.float32, np.float64]


def typed(row: Row) -> Iterator[tuple[str, tuple[Function, list[Tensor]]]]:
    """A row's first case that has elements, its float arrays cast to every dtype and pair of dtypes."""
    this = next(
        c for c in row.cases if all(0 not in np.shape(a) and 0 not in tuple(a) for a in c.args if isinstance(a, tuple))
    )
    arrays = draw(row, this)
    floats = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    for dtypes in itertools.product(DTYPES, repeat=min(len(floats), 2)):
        cast = list(arrays)
        for place, i in enumerate(floats):
            dtype = np.dtype(dtypes[min(place, 1)])
            cast[i] = np.asarray(np.abs(arrays[i]) if dtype.kind == "u" else arrays[i]).astype(dtype)
        name = f"{row.name} of {', '.join(np.dtype(dtype).name for dtype in dtypes)}"
        yield name, (partial(row.fn, **this.options), [Tensor(a) for a in cast])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", [row for row in ROWS if row.name != "scan"], ids=lambda row: row.name)
def test_pairs_of_dtypes(row: Row, way: str) -> None:
    with ts.backend(way):
        check(dict(typed(row)))


# -- what is read in another byte order --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i8", ">i4"])
def test_foreign_byte_order(dtype: str, way: str) -> None:
    values = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    with ts.backend(way):
        x = Tensor(values.astype(dtype))
        found = ts.compile(lambda x: (x + x, x.T.reshape(-1), x.sum(), x @ x.T, x[:, ::2] * 0.5))(x)
        wanted = values + values, values.T.reshape(-1), values.sum(), values @ values.T, values[:, ::2] * 0.5
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_what_is_scattered_has_the_shape_of_what_the_index_takes(backend: str) -> None:
    """Five rows at eight places: eagerly refused by NumPy, and once read as the first five by native code."""
    places = ts.tensor([0, 3, 2, 1, 3, 0, 3, 2])

    def scattered(x: ts.Tensor) -> ts.Tensor:
        return ts.scatter_add(x, places, key=("array",), shape=(4, 1))

    with ts.backend(backend):
        for fn in (scattered, ts.compile(scattered)):
            with pytest.raises(ts.errors.ShapeError, match="scatter_add"):
                fn(ts.ones(5, 1))
