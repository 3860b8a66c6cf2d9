"""What rows are made of: cases, where arguments may lie, and the shapes that many functions share."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

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


def unary(name: str, fn: Any, ref: Any, domain: Domain = normal, integers: str | None = "float32", **more: Any) -> Row:
    return Row(name, fn, ref, UNARY, domain, integers=integers, **more)


def binary(name: str, fn: Any, ref: Any, domain: Any = normal, integers: str | None = "int64", **more: Any) -> Row:
    return Row(name, fn, ref, BINARY, domain, integers=integers, **more)


BIG = [1e4, -1e4, 0.0]
