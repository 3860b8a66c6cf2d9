"""The table: one row for every op and every public function made of ops. ``test_ops.py`` drives it.

A row gives the function on tensors, the same function on NumPy arrays (written without tinyseq), the shapes to try,
where its arguments may lie, and what comes out at special points. Everything else (values, dtypes, shape rules,
first and second gradients, strides, mutation) is checked the same way for all rows.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import reference

import tinyseq as ts
from tinyseq.nn.functional import cross_entropy
from tinyseq.ops import elementwise as ew
from tinyseq.ops import predicates
from tinyseq.ops import shape as sh
from tinyseq.ops.draws import uniform

Domain = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
inf, nan = math.inf, math.nan


@dataclass(frozen=True)
class Case:
    """Arguments: a tuple of extents is a float array to draw, an array is given as it stands; options go to both."""

    args: tuple[Any, ...]
    options: dict[str, Any]

    def __str__(self) -> str:
        shapes = [str(a if isinstance(a, tuple) else a.shape).replace(" ", "") for a in self.args]
        return "-".join([*shapes, *(f"{k}={v}".replace(" ", "")[:24] for k, v in self.options.items())])


def case(*args: Any, **options: Any) -> Case:
    return Case(args, options)


@dataclass(frozen=True)
class Special:
    """Points where the general formula breaks down: the value and, where given, the gradients of the outputs' sum."""

    args: tuple[Any, ...]
    value: Any
    grads: tuple[Any, ...] | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    name: str
    fn: Callable[..., Any]
    ref: Callable[..., Any]
    cases: Sequence[Case]
    domain: Domain | tuple[Domain, ...] = None  # type: ignore[assignment]
    #: False: the result requires no gradient.
    smooth: bool = True
    #: The dtype that int64 arguments give; None where they are refused or mean something else.
    integers: str | None = None
    #: The dtype of the result where it is not that of the arguments.
    gives: str | None = None
    #: float64 values differ from the reference by at most this, relatively.
    rtol: float = 1e-13
    special: Sequence[Special] = ()
    #: Why no case has an empty array, or a 0-d one.
    no_empty: str = ""
    no_scalar: str = ""


# -- a recurrence -----------------------------------------------------------------------------------------------------


def recurrence(xs: ts.Tensor, h: ts.Tensor, w: ts.Tensor) -> ts.Tensor:
    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h = ts.tanh(w * h + x)
        return h * x, h

    ys, last = ts.unroll(step, xs, h)
    return ys + ts.expand_dims(last, 1)


def recurrence_by_hand(xs: np.ndarray, h: np.ndarray, w: np.ndarray) -> np.ndarray:
    ys = []
    for t in range(xs.shape[1]):
        h = np.tanh(w * h + xs[:, t])
        ys.append(h * xs[:, t])
    return np.stack(ys, 1) + h[:, None]


# -- where arguments lie -----------------------------------------------------------------------------------------------


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.standard_normal(shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(0.3, 2.5, shape)


def away(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Neither near 0 nor near 1 in size, where abs, relu and clip have kinks and quotients explode."""
    return np.where(rng.random(shape) < 0.5, -1.0, 1.0) * np.where(
        rng.random(shape) < 0.5, rng.uniform(0.3, 0.8, shape), rng.uniform(1.2, 2.0, shape)
    )


def distinct(offset: float = 0.0) -> Domain:
    """No two elements nearer than 0.5 (0.25 to those of another offset): no ties, nor near ties, for max and min."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        n = math.prod(shape)
        return (rng.permutation(n).reshape(shape) - n // 2) * 0.5 + offset

    return draw


def draw(row: Row, this: Case) -> list[np.ndarray]:
    """Return the float64 (or given) arrays of a case, the same ones each time."""
    rng = np.random.default_rng(zlib.crc32(f"{row.name}{this}".encode()))
    domains = row.domain if isinstance(row.domain, tuple) else (row.domain or normal,) * len(this.args)
    return [
        np.asarray(domain(rng, a)) if isinstance(a, tuple) else a for a, domain in zip(this.args, domains, strict=True)
    ]


# -- shapes ------------------------------------------------------------------------------------------------------------

UNARY = [case((3, 4)), case(()), case((0, 3)), case((2, 1, 5)), case((1,))]
BINARY = [
    case((3, 4), (3, 4)),
    case((3, 4), (4,)),
    case((2, 1, 3), (4, 1)),
    case((), (2, 3)),
    case((2, 3), ()),
    case((), ()),
    case((0, 3), (3,)),
    case((0, 1), (1, 4)),
]
REDUCE = [
    case((3, 4)),
    case((3, 4), axis=0),
    case((3, 4), axis=-1, keepdims=True),
    case((2, 3, 4), axis=(0, 2)),
    case((2, 3, 4), axis=(-1, 0), keepdims=True),
    case((2, 3, 4), axis=()),
    case((), axis=None),
    case((1, 5), axis=1),
    case((0, 3), axis=1),
]
ALONG = [case((5,)), case((3, 4)), case((3, 4), axis=0), case((2, 3, 4), axis=1), case((0, 3)), case((2, 1))]
NORMALISE = [*ALONG[:-1], case((2, 1), axis=-1), case((2, 1), axis=0), case((1, 1)), case((1,))]
NO_AXIS = "needs an axis"

i64 = np.array

# -- references that NumPy lacks ---------------------------------------------------------------------------------------

np_erf = np.vectorize(math.erf, otypes=[np.float64])


def np_gelu(x: np.ndarray, approximate: bool = False) -> np.ndarray:
    if approximate:
        return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x / 2 * (1 + np_erf(x / np.sqrt(2)))


def np_logsumexp(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> np.ndarray:
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def np_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)


def np_log_softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.log(np_softmax(x, axis))


def np_sum_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """By counting: every element of x lands on one element of the result."""
    out = np.zeros(shape)
    where = np.broadcast_to(np.arange(out.size).reshape(shape), x.shape)
    np.add.at(out.reshape(-1), where.reshape(-1), x.reshape(-1))
    return out


def np_unslice(x: np.ndarray, key: Any, shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros(shape)
    out[key] = x
    return out


def np_scatter(x: np.ndarray, *arrays: np.ndarray, key: Any, shape: tuple[int, ...]) -> np.ndarray:
    rest = iter(arrays)
    full = tuple(next(rest) if isinstance(part, str) else part for part in key)
    places = np.arange(math.prod(shape)).reshape(shape)[full]
    return np.bincount(places.reshape(-1), weights=x.reshape(-1), minlength=math.prod(shape)).reshape(shape)


def np_dropout(x: np.ndarray, *, p: float, seed: int, site: int = 0, call: int = 0, step: int = 0) -> np.ndarray:
    return np.where(reference.uniform(x.shape, seed, site, call, step) >= p, x / (1 - p), 0.0)


def np_split(x: np.ndarray, sizes: Any, axis: int = -1) -> tuple[np.ndarray, ...]:
    sizes = [sizes] * (x.shape[axis] // sizes) if isinstance(sizes, int) else sizes
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=axis)) if len(sizes) else ()


def unary(name: str, fn: Any, ref: Any, domain: Domain = normal, integers: str | None = "float32", **more: Any) -> Row:
    return Row(name, fn, ref, UNARY, domain, integers=integers, **more)


def binary(name: str, fn: Any, ref: Any, domain: Any = normal, integers: str | None = "int64", **more: Any) -> Row:
    return Row(name, fn, ref, BINARY, domain, integers=integers, **more)


def predicate(name: str, fn: Any, ref: Any) -> Row:
    ties = Special(
        ([1.0, 2.0, inf, nan, -0.0], [1.0, 1.0, inf, nan, 0.0]), ref([1, 2, inf, nan, 0], [1, 1, inf, nan, 0])
    )
    return binary(name, fn, ref, distinct(), integers="bool", gives="bool", smooth=False, special=[ties])


BIG = [1e4, -1e4, 0.0]
ELEMENTWISE = [
    binary("add", ew.add, np.add, special=[Special(([inf, inf, 1e30], [-inf, inf, nan]), [nan, inf, nan])]),
    binary("sub", ew.sub, np.subtract, special=[Special(([inf, inf], [inf, -inf]), [nan, inf])]),
    binary(
        "mul",
        ew.mul,
        np.multiply,
        special=[Special(([inf, 0.0, 3.0], [0.0, -2.0, 0.0]), [nan, -0.0, 0.0], ([0.0, -2.0, 0.0], [inf, 0.0, 3.0]))],
    ),
    binary(
        "div",
        ew.div,
        np.true_divide,
        (normal, away),
        integers="float32",
        special=[
            Special(([1.0, -1.0, 0.0], [0.0, 0.0, 0.0]), [inf, -inf, nan]),
            Special(([0.0, 6.0], [2.0, inf]), [0.0, 0.0], ([0.5, 0.0], [-0.0, -0.0])),
        ],
    ),
    unary(
        "neg", ew.neg, np.negative, integers="int64", special=[Special(([0.0, inf],), [-0.0, -inf], ([-1.0, -1.0],))]
    ),
    Row(
        "pow",
        ew.power,
        np.power,
        BINARY,
        (positive, normal),
        rtol=1e-12,
        special=[
            Special(([0.0, 0.0, 0.0], [0.0, 1.0, 2.0]), [1.0, 0.0, 0.0], ([0.0, 1.0, 0.0], [0.0, 0.0, 0.0])),
            Special(([-2.0, -3.0], [2.0, 3.0]), [4.0, -27.0], ([-4.0, 27.0], [nan, nan])),  # PyTorch's and JAX's
            Special(([0.0, inf], [-1.0, 0.5]), [inf, inf], ([-inf, 0.0], [-inf, inf])),
        ],
    ),
    binary(
        "maximum",
        ew.maximum,
        np.maximum,
        (distinct(), distinct(0.25)),
        special=[
            Special(([1.0, 2.0, inf], [1.0, 3.0, inf]), [1.0, 3.0, inf], ([0.5, 0.0, 0.5], [0.5, 1.0, 0.5])),
            Special(([nan, 1.0], [1.0, nan]), [nan, nan]),
        ],
    ),
    binary(
        "minimum",
        ew.minimum,
        np.minimum,
        (distinct(), distinct(0.25)),
        special=[
            Special(([1.0, 2.0, -inf], [1.0, 3.0, -inf]), [1.0, 2.0, -inf], ([0.5, 1.0, 0.5], [0.5, 0.0, 0.5])),
            Special(([nan, 1.0], [1.0, nan]), [nan, nan]),
        ],
    ),
    Row(
        "where",
        ew.where,
        np.where,
        [
            case(i64([True, False, True]), (3,), (3,)),
            case(i64([[True], [False]]), (2, 3), (3,)),
            case(np.array(True), (2,), ()),
            case(np.array(False), (), ()),
            case(np.zeros((0, 1), bool), (3,), (0, 3)),
        ],
        # The branch not taken may hold anything: no NaN comes out of it, forward or backward.
        special=[Special((i64([True, False]), [1.0, nan], [inf, 2.0]), [1.0, 2.0], (None, [1.0, 0.0], [0.0, 1.0]))],
    ),
    Row(
        "clip",
        ew.clip,
        lambda x, low=None, high=None: np.clip(x, low, high),
        [
            case((3, 4), low=-1.0, high=1.0),
            case((), low=-1.0),
            case((0, 2), high=1.0),
            case((5,), low=-1, high=1),
            case((2, 3)),
        ],
        away,
        integers="int64",
        special=[
            Special(
                ([-1.0, 1.0, -2.0, inf, -inf],),
                [-1.0, 1.0, -1.0, 1.0, -1.0],
                ([1.0, 1.0, 0.0, 0.0, 0.0],),
                {"low": -1.0, "high": 1.0},
            ),
            Special(([nan],), [nan], None, {"low": -1.0, "high": 1.0}),
        ],
    ),
    unary(
        "exp", ew.exp, np.exp, special=[Special((BIG,), [inf, 0.0, 1.0], ([inf, 0.0, 1.0],)), Special(([-inf],), [0.0])]
    ),
    unary("expm1", ew.expm1, np.expm1, special=[Special((BIG,), [inf, -1.0, 0.0], ([inf, 0.0, 1.0],))]),
    unary(
        "log",
        ew.log,
        np.log,
        positive,
        special=[Special(([0.0, inf, -1.0],), [-inf, inf, nan]), Special(([0.0],), [-inf], ([inf],))],
    ),
    unary(
        "log1p",
        ew.log1p,
        np.log1p,
        positive,
        special=[Special(([-1.0, 0.0, 1e-20],), [-inf, 0.0, 1e-20], ([inf, 1.0, 1.0],))],
    ),
    unary(
        "sqrt",
        ew.sqrt,
        np.sqrt,
        positive,
        special=[Special(([0.0, inf, -1.0],), [0.0, inf, nan]), Special(([0.0],), [0.0], ([inf],))],
    ),
    unary(
        "tanh",
        ew.tanh,
        np.tanh,
        special=[Special(([1e4, -1e4, 0.0, inf],), [1.0, -1.0, 0.0, 1.0], ([0.0, 0.0, 1.0, 0.0],))],
    ),
    unary(
        "sigmoid",
        ew.sigmoid,
        lambda x: 1 / (1 + np.exp(-x)),
        special=[Special(([1e4, -1e4, 0.0, inf, -inf],), [1.0, 0.0, 0.5, 1.0, 0.0], ([0.0, 0.0, 0.25, 0.0, 0.0],))],
    ),
    unary(
        "relu",
        ew.relu,
        lambda x: np.where(x > 0, x, 0),
        away,
        "int64",
        special=[Special(([0.0, -inf, inf],), [0.0, 0.0, inf], ([0.0, 0.0, 1.0],)), Special(([nan],), [nan])],
    ),
    unary(
        "softplus",
        ew.softplus,
        lambda x: np.log(1 + np.exp(x)),
        special=[Special(([1e4, -1e4, 0.0, -inf],), [1e4, 0.0, math.log(2), 0.0], ([1.0, 0.0, 0.5, 0.0],))],
    ),
    unary(
        "erf",
        ew.erf,
        np_erf,
        special=[Special(([0.0, -0.0, 1e4, -inf],), [0.0, -0.0, 1.0, -1.0]), Special(([nan],), [nan])],
    ),
    unary("sin", ew.sin, np.sin, special=[Special(([0.0, inf],), [0.0, nan])]),
    unary("cos", ew.cos, np.cos, special=[Special(([0.0, inf],), [1.0, nan])]),
    unary(
        "abs",
        ew.absolute,
        np.abs,
        away,
        "int64",
        special=[Special(([0.0, -inf, -2.0],), [0.0, inf, 2.0], ([0.0, -1.0, -1.0],))],
    ),
    unary(
        "sign", ew.sign, np.sign, away, "int64", smooth=False, special=[Special(([0.0, -inf, nan],), [0.0, -1.0, nan])]
    ),
    Row(
        "cast",
        ew.cast,
        lambda x, dtype: x.astype(dtype),
        [case((3, 4), dtype=ts.float64), case((), dtype=ts.float64), case((0, 2), dtype=ts.float64)],
    ),
    unary("identity", ew.identity, lambda x: x, integers="int64"),
    unary("within", lambda x: ew.within(x, -inf, inf, what="", required=""), lambda x: x, integers="int64"),
    unary("stop_gradient", ew.stop_gradient, lambda x: x, integers="int64", smooth=False),
    unary(
        "isfinite",
        predicates.isfinite,
        np.isfinite,
        integers="bool",
        gives="bool",
        smooth=False,
        special=[Special(([inf, nan, 0.0],), [False, False, True])],
    ),
    predicate("equal", predicates.equal, np.equal),
    predicate("not_equal", predicates.not_equal, np.not_equal),
    predicate("less", predicates.less, np.less),
    predicate("less_equal", predicates.less_equal, np.less_equal),
    predicate("greater", predicates.greater, np.greater),
    predicate("greater_equal", predicates.greater_equal, np.greater_equal),
    unary("logical_not", predicates.logical_not, np.logical_not, integers="bool", gives="bool", smooth=False),
    binary("logical_and", predicates.logical_and, np.logical_and, integers="bool", gives="bool", smooth=False),
    binary("logical_or", predicates.logical_or, np.logical_or, integers="bool", gives="bool", smooth=False),
    Row(
        "gelu",
        ts.gelu,
        np_gelu,
        [*UNARY, case((3, 4), approximate=True), case((), approximate=True)],
        integers="float32",
        special=[Special(([0.0, 1e4, -1e4],), [0.0, 1e4, 0.0], ([0.5, 1.0, 0.0],))],
    ),
]

REDUCTIONS = [
    Row(
        "sum",
        ts.sum,
        np.sum,
        [*REDUCE, case((0, 3), axis=0), case((0,))],
        integers="int64",
        special=[Special(([inf, -inf],), nan)],
    ),
    Row(
        "max",
        ts.max,
        np.max,
        REDUCE,
        distinct(),
        integers="int64",
        special=[
            Special(([1.0, 3.0, 3.0],), 3.0, ([0.0, 0.5, 0.5],)),
            Special(([[inf, inf], [-inf, 0.0]],), [inf, 0.0], ([[0.5, 0.5], [0.0, 1.0]],), {"axis": 1}),
            Special(([nan, 1.0],), nan),
        ],
    ),
    Row(
        "min",
        ts.min,
        np.min,
        REDUCE,
        distinct(),
        integers="int64",
        special=[
            Special(([1.0, 1.0, 3.0],), 1.0, ([0.5, 0.5, 0.0],)),
            Special(([[-inf, -inf], [inf, 0.0]],), [-inf, 0.0], ([[0.5, 0.5], [0.0, 1.0]],), {"axis": 1}),
            Special(([nan, 1.0],), nan),
        ],
    ),
    Row("mean", ts.mean, np.mean, REDUCE, integers="float32"),
    Row(
        "var",
        ts.var,
        np.var,
        [
            *(c for c in REDUCE if c.args != ((0, 3),)),
            case((3, 4), axis=1, ddof=1),
            case((5,), ddof=2),
            case((0, 3), axis=1),
        ],
        integers="float32",
        special=[Special(([2.0, 2.0],), 0.0, ([0.0, 0.0],)), Special(([1e4, 1e4 + 1.0],), 0.25, ([-0.5, 0.5],))],
    ),
    Row(
        "prod",
        ts.prod,
        np.prod,
        [*REDUCE, case((7,)), case((0, 3), axis=0), case((5, 3), axis=0, keepdims=True)],
        away,
        integers="int64",
        rtol=1e-12,
        special=[
            Special(([2.0, 0.0, 3.0],), 0.0, ([0.0, 6.0, 0.0],)),
            Special(([0.0, 0.0, 3.0],), 0.0, ([0.0, 0.0, 0.0],)),
        ],
    ),
    Row(
        "logsumexp",
        ts.logsumexp,
        np_logsumexp,
        REDUCE,
        rtol=1e-12,
        special=[
            Special((BIG,), 1e4, ([1.0, 0.0, 0.0],)),
            Special(([-1e4, -1e4],), -1e4 + math.log(2), ([0.5, 0.5],)),
            Special(([-inf, -inf],), -inf, ([0.0, 0.0],)),
            Special(([-inf, 0.0],), 0.0, ([0.0, 1.0],)),
            Special(([inf, 0.0],), inf),
        ],
    ),
    Row(
        "softmax",
        ts.softmax,
        np_softmax,
        NORMALISE,
        no_scalar=NO_AXIS,
        integers="float32",
        special=[
            Special((BIG,), [1.0, 0.0, 0.0], ([0.0, 0.0, 0.0],)),
            Special(([-1e4, -1e4],), [0.5, 0.5], ([0.0, 0.0],)),
            Special(([-inf, 0.0],), [0.0, 1.0], ([0.0, 0.0],)),
        ],
    ),
    Row(
        "log_softmax",
        ts.log_softmax,
        np_log_softmax,
        NORMALISE,
        no_scalar=NO_AXIS,
        integers="float32",
        rtol=1e-12,
        special=[
            Special((BIG,), [0.0, -2e4, -1e4], ([-2.0, 1.0, 1.0],)),
            Special(([-inf, 0.0],), [-inf, 0.0], ([1.0, -1.0],)),
        ],
    ),
    Row("cumsum", ts.cumsum, lambda x, axis=-1: np.cumsum(x, axis), ALONG, no_scalar=NO_AXIS, integers="int64"),
    Row(
        "argmax",
        ts.argmax,
        lambda x, axis=-1: np.argmax(x, axis),
        ALONG,
        distinct(),
        smooth=False,
        gives="int64",
        integers="int64",
        no_scalar=NO_AXIS,
        special=[Special(([1.0, 3.0, 3.0],), 1), Special(([[inf, inf]],), [0])],
    ),
    Row(
        "argmin",
        ts.argmin,
        lambda x, axis=-1: np.argmin(x, axis),
        ALONG,
        distinct(),
        smooth=False,
        gives="int64",
        integers="int64",
        no_scalar=NO_AXIS,
        special=[Special(([3.0, 1.0, 1.0],), 1), Special(([[-inf, -inf]],), [0])],
    ),
]

CONTRACTIONS = [
    Row(
        "matmul",
        ts.matmul,
        np.matmul,
        [
            case((3, 4), (4, 5)),
            case((4,), (4,)),
            case((4,), (4, 5)),
            case((3, 4), (4,)),
            case((2, 3, 4), (4, 5)),
            case((2, 3, 4), (4,)),
            case((4,), (2, 4, 5)),
            case((3, 4), (2, 4, 5)),
            case((2, 3, 4), (2, 4, 5)),
            case((2, 1, 3, 4), (5, 4, 2)),
            case((0, 4), (4, 3)),
            case((3, 0), (0, 2)),
            case((2, 0, 4), (4, 3)),
            case((0,), (0,)),
            case((1, 1), (1, 1)),
        ],
        integers="int64",
        no_scalar="a scalar has no axis to contract",
    ),
    Row(
        "einsum",
        lambda *xs, spec: ts.einsum(spec, *xs),
        lambda *xs, spec: np.einsum(spec, *xs),
        [
            case((3, 4), (4, 5), spec="ij,jk->ik"),
            case((3, 4), spec="ij->ji"),
            case((3, 4), spec="ij->"),
            case((3, 3), spec="ii->i"),
            case((3, 3), spec="ii"),
            case((2, 3, 3), spec="...ii->...i"),
            case((2, 3, 4), (2, 5, 4), spec="bik,bjk->bij"),
            case((3,), (4,), spec="i,j"),
            case((3,), (3, 4), (4,), spec="i,ij,j->"),
            case((2, 3), (2, 5), spec="ij,ik->i"),
            case((2, 5, 3), (3, 4), spec="...i,ij->...j"),
            case((2, 1, 3), (5, 3), spec="...i,...i->..."),
            case((), (), spec=",->"),
            case((), (3,), spec=",i->i"),
            case((0, 3), (3, 2), spec="ij,jk->ik"),
            case((1,), (3,), spec="i,i->i"),
            case((3,), (1,), spec="i,i->"),
        ],
        integers="int64",
    ),
]

STRUCTURE = [
    Row(
        "reshape",
        lambda x, to: ts.reshape(x, to),
        lambda x, to: x.reshape(to),
        [
            case((3, 4), to=(2, 6)),
            case((3, 4), to=(-1,)),
            case((), to=(1, 1)),
            case((1,), to=()),
            case((0, 3), to=(3, 0)),
            case((2, 3, 4), to=(4, -1)),
        ],
        integers="int64",
    ),
    Row(
        "transpose",
        lambda x, axes=(): ts.transpose(x, *axes),
        lambda x, axes=(): np.transpose(x, axes or None),
        [
            case((3, 4)),
            case((2, 3, 4), axes=(1, 2, 0)),
            case((2, 3, 4), axes=(-1, 0, 1)),
            case(()),
            case((0, 3)),
            case((5,)),
        ],
        integers="int64",
    ),
    Row(
        "swapaxes",
        lambda x, a, b: ts.swapaxes(x, a, b),
        lambda x, a, b: np.swapaxes(x, a, b),
        [case((2, 3, 4), a=0, b=-1), case((2, 3, 4), a=1, b=1), case((5,), a=0, b=0), case((0, 3), a=0, b=1)],
        integers="int64",
        no_scalar=NO_AXIS,
    ),
    Row(
        "expand_dims",
        lambda x, axis: ts.expand_dims(x, axis),
        lambda x, axis: np.expand_dims(x, axis),
        [case((3, 4), axis=1), case((3, 4), axis=-1), case((), axis=0), case((0,), axis=0)],
        integers="int64",
    ),
    Row(
        "squeeze",
        lambda x, axis=None: ts.squeeze(x, axis),
        lambda x, axis=None: np.squeeze(x, axis),
        [case((1, 3, 1)), case((1, 3, 1), axis=-1), case((3, 4)), case(()), case((1, 0))],
        integers="int64",
    ),
    Row(
        "broadcast_to",
        lambda x, to: ts.broadcast_to(x, to),
        lambda x, to: np.broadcast_to(x, to),
        [
            case((3, 1), to=(3, 4)),
            case((3,), to=(2, 3)),
            case((), to=(2, 2)),
            case((1,), to=(0,)),
            case((2, 1, 3), to=(2, 2, 4, 3)),
            case((3,), to=(3,)),
        ],
        integers="int64",
    ),
    Row(
        "sum_to",
        lambda x, to: sh.sum_to(x, to),
        lambda x, to: np_sum_to(x, to),
        [
            case((3, 4), to=(3, 1)),
            case((2, 3), to=(3,)),
            case((2, 2), to=()),
            case((0,), to=(1,)),
            case((2, 2, 4, 3), to=(2, 1, 3)),
            case((), to=()),
            case((4, 1, 3), to=(3,)),
            case((4, 5, 3), to=(1, 3)),
        ],
        rtol=1e-12,
    ),
    Row(
        "flip",
        ts.flip,
        lambda x, axis=0: np.flip(x, axis),
        [case((5,)), case((3, 4), axis=-1), case((0, 2)), case((2, 3, 4), axis=1)],
        integers="int64",
        no_scalar=NO_AXIS,
    ),
    Row(
        "tril",
        ts.tril,
        lambda x, k=0: np.tril(x, k),
        [case((3, 3)), case((2, 3, 4), k=1), case((4, 3), k=-1), case((0, 3))],
        integers="int64",
        no_scalar="takes matrices",
    ),
    Row(
        "triu",
        ts.triu,
        lambda x, k=0: np.triu(x, k),
        [case((3, 3)), case((2, 3, 4), k=1), case((4, 3), k=-1), case((0, 3))],
        integers="int64",
        no_scalar="takes matrices",
    ),
    Row(
        "concat",
        lambda *xs, axis=0: ts.concat(xs, axis),
        lambda *xs, axis=0: np.concatenate(xs, axis),
        [
            case((2, 3), (4, 3)),
            case((2, 3), (2, 1), (2, 2), axis=-1),
            case((3,)),
            case((0, 2), (1, 2)),
            case((2, 0), (2, 0), axis=1),
        ],
        integers="int64",
        no_scalar=NO_AXIS,
    ),
    Row(
        "stack",
        lambda *xs, axis=0: ts.stack(xs, axis),
        lambda *xs, axis=0: np.stack(xs, axis),
        [
            case((2, 3), (2, 3)),
            case((2, 3), (2, 3), (2, 3), axis=-1),
            case((), ()),
            case((0, 2), (0, 2), axis=1),
            case((3,), axis=1),
        ],
        integers="int64",
    ),
    Row(
        "unstack",
        ts.unstack,
        lambda x, axis=0: tuple(np.moveaxis(x, axis, 0)),
        [case((3, 4)), case((3, 4), axis=-1), case((2, 3, 4), axis=1), case((1,)), case((2, 0))],
        integers="int64",
        no_scalar=NO_AXIS,
    ),
    Row(
        "pick",
        lambda x: ts.unstack(x, 0)[1],
        lambda x: x[1],
        [case((3, 4)), case((2,)), case((2, 0))],
        integers="int64",
        no_scalar=NO_AXIS,
    ),
    Row(
        "split",
        ts.split,
        np_split,
        [
            case((6,), sizes=2),
            case((3, 6), sizes=(1, 2, 3)),
            case((4, 3), sizes=(0, 4), axis=0),
            case((2, 6, 2), sizes=3, axis=1),
            case((0, 4), sizes=(2, 2)),
        ],
        integers="int64",
        no_scalar=NO_AXIS,
    ),
    Row(
        "pad",
        lambda x, widths, value=0.0: ts.pad(x, widths, value),
        lambda x, widths, value=0.0: np.pad(x, widths, constant_values=value),
        [
            case((2, 3), widths=((1, 0), (0, 2))),
            case((3,), widths=((2, 1),), value=-1.5),
            case((0, 2), widths=((1, 1), (0, 0))),
            case((2, 2), widths=((0, 0), (0, 0))),
        ],
        no_scalar=NO_AXIS,
    ),
    Row(
        "slice",
        lambda x, key: x[key],
        lambda x, key: x[key],
        [
            case((4, 5), key=1),
            case((4, 5), key=(slice(None), -1)),
            case((4, 5), key=(slice(1, None, 2), slice(None, None, -1))),
            case((4, 5), key=(None, Ellipsis, 2)),
            case((4, 5), key=slice(3, 1)),
            case((), key=()),
            case((), key=(None, Ellipsis)),
            case((0, 3), key=(Ellipsis, 0)),
        ],
        integers="int64",
    ),
    Row(
        "unslice",
        lambda x, key, to: sh.unslice(x, key, to),
        lambda x, key, to: np_unslice(x, key, to),
        [
            case((5,), key=(1,), to=(4, 5)),
            case((2, 5), key=(slice(1, None, 2), slice(None, None, -1)), to=(4, 5)),
            case((), key=(2,), to=(3,)),
            case((0, 5), key=(slice(3, 1),), to=(4, 5)),
            case((1, 4), key=(None, Ellipsis, 2), to=(4, 5)),
        ],
    ),
    Row(
        "index",
        lambda x, key: x[key],
        lambda x, key: x[key],
        [
            case((4, 3), key=[0, 0, 2, -1]),
            case((4, 3), key=(slice(None), np.array([[0, 1], [1, 1]]))),
            case((4, 3), key=([0, 1, 1], [2, 2, 2])),
            case((4, 3), key=(1, [0, 0])),
            case((4, 3, 2), key=([0, 0], slice(None), [1, 1])),
            case((4, 3), key=([[0], [1]], [0, 2])),
            case((4, 3), key=np.array([True, False, True, True])),
            case((4, 3), key=np.arange(12).reshape(4, 3) % 2 == 0),
            case((4, 3), key=(slice(1, 3), np.array([True, False, True]))),
            case((4, 3), key=(None, [1, 1])),
            case((4, 3), key=(Ellipsis, [0, 0])),
            case((4, 3), key=[]),
            case((0, 3), key=(slice(None), [0, 1])),
            case((4,), key=np.array(2)),
        ],
        integers="int64",
        no_scalar="a scalar has no axis to index",
    ),
    Row(
        "scatter_add",
        ts.scatter_add,
        np_scatter,
        [
            case((4, 3), i64([0, 0, 2, -1]), key=("array",), shape=(5, 3)),
            case((2, 3), i64([[0, 1, 1], [1, 1, 1]]), key=("array",), shape=(2,)),
            case((4, 3), i64([1, 1, 1]), key=(slice(None), "array"), shape=(4, 2)),
            case((3,), i64([0, 1, 1]), i64([2, 2, 2]), key=("array", "array"), shape=(2, 3)),
            case((0, 3), np.zeros(0, np.int64), key=("array",), shape=(2, 3)),
            case((), i64(1), key=("array",), shape=(3,)),
        ],
        rtol=1e-12,
    ),
    Row(
        "gather",
        ts.gather,
        lambda x, i, axis=-1: np.take_along_axis(x, i, axis),
        [
            case((3, 4), i64([[0, 0], [3, 1], [2, -1]])),
            case((3, 4), i64([[0, 2, 2, 1]]), axis=0),
            case((5,), i64([4, 4, 4])),
            case((3, 2, 4), np.zeros((3, 2, 1), np.int64)),
            case((0, 4), np.zeros((0, 1), np.int64)),
        ],
        no_scalar=NO_AXIS,
    ),
    Row(
        "take",
        ts.take,
        lambda x, i, axis=0: np.take(x, i, axis),
        [
            case((4, 3), i64([0, 0, -1])),
            case((4, 3), i64([[2, 2], [0, 1]]), axis=1),
            case((4, 3), i64(1)),
            case((2, 3, 2), i64([1, 1]), axis=-1),
            case((4, 3), np.zeros(0, np.int64)),
        ],
        no_scalar=NO_AXIS,
    ),
    Row(
        "zeros_like",
        lambda x, to=None: ts.zeros_like(x, to),
        lambda x, to=None: np.zeros(x.shape if to is None else to),
        [*UNARY, case((3,), to=(2, 2))],
        integers="int64",
        smooth=False,
    ),
]

NN = [
    Row(
        "scan",  # the op that ``ts.unroll`` records while a function is traced
        lambda xs, h, w: ts.compile(recurrence)(xs, h, w),
        recurrence_by_hand,
        [case((2, 3, 4), (2, 4), (4,)), case((1, 1, 2), (1, 2), (2,)), case((3, 5, 1), (3, 1), (1,))],
        no_empty="a batch or a sequence of nothing has no state to carry",
        no_scalar="a sequence has a batch and a time axis",
    ),
    Row(
        "uniform",
        lambda call, step, **options: uniform(call, step, **options),
        lambda call, step, *, shape, dtype, seed, site: reference.uniform(shape, seed, site, int(call), int(step)),
        [
            case(i64(1), i64(4), shape=(3, 5), dtype=np.float64, seed=7, site=2),
            case(i64(0), i64(0), shape=(), dtype=np.float64, seed=2**40 + 3, site=0),
            case(i64(2**31), i64(9), shape=(0, 2), dtype=np.float64, seed=0, site=1 << 20),
        ],
        smooth=False,
        no_scalar="takes no floating-point array; one case gives a scalar",
    ),
    Row(
        "dropout",
        lambda x, **options: ts.dropout(x, **options),
        np_dropout,
        [
            case((3, 4), p=0.5, seed=1),
            case((3, 4), p=0.0, seed=1),
            case((), p=0.9, seed=3, step=2),
            case((0, 4), p=0.5, seed=1),
            case((2, 3, 2), p=0.25, seed=5, site=3, call=8, step=1),
        ],
        special=[Special(([inf, nan, 1.0, 2.0],), [inf, nan, 1.0, 2.0], None, {"p": 0.0, "seed": 0})],
    ),
    Row(
        "embedding",
        ts.embedding,
        lambda table, ids: table[ids],
        [
            case((4, 3), i64([0, 0, 3])),
            case((4, 3), i64([[1, 2], [2, 2]])),
            case((4, 3), i64(2)),
            case((4, 3), np.zeros((0, 2), np.int64)),
        ],
        no_scalar="the table is a matrix",
    ),
    Row(
        "cross_entropy",
        cross_entropy,
        reference.cross_entropy,
        [
            case((3, 4), i64([0, 3, 3])),
            case((2, 3, 4), i64([[0, 1, 2], [3, 3, 3]]), reduction="mean"),
            case((3, 4), i64([0, 3, 3]), reduction="none"),
            case((4,), i64(2)),
            case((4, 3), i64([0, -100, 2, -100]), ignore_index=-100, reduction="mean"),
            case((4, 3), i64([0, 1, 2, 1]), ignore_index=1, reduction="none"),
            case((4, 3), i64([0, 1, 2, 1]), weight=[0.5, 0.0, 2.0], reduction="mean"),
            case((4, 3), i64([0, 1, 2, 1]), weight=[0.5, 1.0, 2.0], ignore_index=2, reduction="mean"),
            case((4, 3), i64([0, 1, 2, 1]), weight=[0.5, 1.0, 2.0]),
            case((2, 3), i64([-1, -1]), ignore_index=-1, reduction="mean"),
            case((0, 3), np.zeros(0, np.int64)),
            case((0, 3), np.zeros(0, np.int64), reduction="mean"),
        ],
        rtol=1e-12,
        no_scalar="logits have a class axis",
        special=[
            Special(([[1e4, -1e4, 0.0]], i64([1])), 2e4, ([[1.0, -1.0, 0.0]], None)),
            Special(([[1e4, -1e4]], i64([0])), 0.0, ([[0.0, 0.0]], None)),
            # A target that is ignored adds nothing, whatever its logits are.
            Special(([[-inf, 0.0], [0.0, 0.0]], i64([-1, 0])), math.log(2), None, {"ignore_index": -1}),
            Special(([[nan, nan], [0.0, 0.0]], i64([-1, 0])), math.log(2), None, {"ignore_index": -1}),
        ],
    ),
]

ROWS = [*ELEMENTWISE, *REDUCTIONS, *CONTRACTIONS, *STRUCTURE, *NN]
