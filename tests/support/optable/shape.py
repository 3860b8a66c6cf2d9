"""Rows of what moves elements about: shapes, joins, parts, indices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import tinyseq as ts
from support.optable.table import NO_AXIS, UNARY, Row, case, i64
from tinyseq.ops import shape as sh


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


def np_split(x: np.ndarray, sizes: Any, axis: int = -1) -> tuple[np.ndarray, ...]:
    sizes = [sizes] * (x.shape[axis] // sizes) if isinstance(sizes, int) else sizes
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis=axis)) if len(sizes) else ()


ROWS = [
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
