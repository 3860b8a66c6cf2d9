"""Shapes, keys, axes and specs that nobody thought of: Hypothesis against NumPy, values and gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinyseq as ts
from tinyseq.graph import Graph
from tinyseq.ops import shape as sh

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def array(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Whole numbers, so that sums in any order are exact and results can be compared bit for bit."""
    return np.random.default_rng(seed).integers(-5, 6, shape).astype(np.float64)


def tracked(a: np.ndarray) -> ts.Tensor:
    return ts.tensor(a, requires_grad=True)


def same(y: ts.Tensor, expected: Any) -> None:
    np.testing.assert_array_equal(y.numpy(), expected, strict=True)
    Graph([y.node]).verify()


def transposed_by_linearity(fn: Any, ref: Any, *arrays: np.ndarray) -> None:
    """For a function linear in each argument: <u, f(a + e) - f(a)> = <gradient, e>, exactly on whole numbers."""
    xs = [tracked(a) for a in arrays]
    y = fn(*xs)
    u = array(y.shape, 7)
    found = ts.gradients(y, xs, ts.tensor(u)) if y.requires_grad else [None] * len(xs)
    for i, g in enumerate(found):
        e = array(arrays[i].shape, 11 + i)
        moved = [a + e if i == j else a for j, a in enumerate(arrays)]
        change = np.vdot(u, ref(*moved) - ref(*arrays))
        assert g is not None or change == 0
        if g is not None:
            assert g.shape == arrays[i].shape
            assert np.vdot(g.numpy(), e) == change


@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=4))
def test_broadcasting_of_two(shapes: hnp.BroadcastableShapes) -> None:
    a, b = (array(shape, i) for i, shape in enumerate(shapes.input_shapes))
    for fn, ref in ((ts.Tensor.__mul__, np.multiply), (ts.Tensor.__sub__, np.subtract), (ts.maximum, np.maximum)):
        same(fn(tracked(a), tracked(b)), ref(a, b))
    transposed_by_linearity(lambda x, y: x * y, np.multiply, a, b)
    transposed_by_linearity(lambda x, y: x - y, np.subtract, a, b)


@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, min_side=0, max_side=3))
def test_broadcasting_of_three(shapes: hnp.BroadcastableShapes) -> None:
    c, a, b = (array(shape, i) for i, shape in enumerate(shapes.input_shapes))
    same(ts.where(ts.tensor(c > 0), tracked(a), tracked(b)), np.where(c > 0, a, b))
    transposed_by_linearity(lambda x, y: ts.where(ts.tensor(c > 0), x, y), lambda x, y: np.where(c > 0, x, y), a, b)


@given(SHAPES, st.data())
def test_broadcast_to_and_its_transpose(shape: tuple[int, ...], data: st.DataObject) -> None:
    target = data.draw(
        hnp.broadcastable_shapes(shape, max_dims=4, max_side=4).map(lambda s: np.broadcast_shapes(s, shape))
    )
    a, b = array(shape), array(target, 1)
    same(ts.broadcast_to(tracked(a), target), np.broadcast_to(a, target))
    transposed_by_linearity(lambda x: ts.broadcast_to(x, target), lambda x: np.broadcast_to(x, target), a)
    # <broadcast(a), b> = <a, sum_to(b)>
    assert np.vdot(np.broadcast_to(a, target), b) == np.vdot(a, sh.sum_to(tracked(b), shape).numpy())


@given(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, min_side=0, max_side=3))
def test_matmul_in_all_of_numpys_forms(shapes: hnp.BroadcastableShapes) -> None:
    a, b = (array(shape, i) for i, shape in enumerate(shapes.input_shapes))
    same(ts.matmul(tracked(a), tracked(b)), np.asarray(a @ b))
    transposed_by_linearity(ts.matmul, lambda x, y: np.asarray(x @ y), a, b)


@st.composite
def einsums(draw: st.DrawFn) -> tuple[str, list[tuple[int, ...]]]:
    """A spec of one to three operands over few letters, repeated letters within one included, and shapes for it."""
    terms = draw(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=3))
    extents = {letter: draw(st.integers(0 if letter == "a" else 1, 3)) for letter in "abcd"}
    letters = sorted(set("".join(terms)))
    chosen = draw(st.permutations(letters))[: draw(st.integers(0, len(letters)))]
    shapes = []
    for term in terms:
        # An extent of 1 may stand where the other operands have more; not on a diagonal.
        shrink = draw(st.booleans())
        shapes.append(
            tuple(
                1 if shrink and term.count(c) == 1 and extents[c] and sum(c in t for t in terms) > 1 else extents[c]
                for c in term
            )
        )
    full = {c: max((s[t.index(c)] for t, s in zip(terms, shapes, strict=True) if c in t), default=1) for c in letters}
    shapes = [
        tuple(n if n == 1 and t.count(c) == 1 else full[c] for c, n in zip(t, s, strict=True))
        for t, s in zip(terms, shapes, strict=True)
    ]
    return ",".join(terms) + draw(st.sampled_from(["->" + "".join(chosen), ""])), shapes


@given(einsums())
def test_einsum_specs(spec_and_shapes: tuple[str, list[tuple[int, ...]]]) -> None:
    spec, shapes = spec_and_shapes
    arrays = [array(shape, i) for i, shape in enumerate(shapes)]

    def reference(*xs: np.ndarray) -> np.ndarray:
        return np.asarray(np.einsum(spec, *xs))

    same(ts.einsum(spec, *(tracked(a) for a in arrays)), reference(*arrays))
    transposed_by_linearity(lambda *xs: ts.einsum(spec, *xs), reference, *arrays)


@given(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4), st.data())
def test_slicing_keys(shape: tuple[int, ...], data: st.DataObject) -> None:
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True, max_dims=5))
    a = array(shape)
    same(tracked(a)[key], np.asarray(a[key]))
    transposed_by_linearity(lambda x: x[key], lambda x: x[key], a)


@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=3), st.data())
def test_index_arrays_with_repeats(shape: tuple[int, ...], data: st.DataObject) -> None:
    key = data.draw(
        hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=6))
    )
    a = array(shape)
    same(tracked(a)[key], np.asarray(a[key]))
    transposed_by_linearity(lambda x: x[key], lambda x: x[key], a)


@given(hnp.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=4), st.data())
def test_index_arrays_among_slices(shape: tuple[int, ...], data: st.DataObject) -> None:
    parts: list[Any] = []
    for extent in shape:
        indices = hnp.arrays(np.int64, st.integers(0, 5), elements=st.integers(-extent, extent - 1))
        parts.append(data.draw(st.one_of(st.slices(extent), indices)))
    arrays = [p for p in parts if isinstance(p, np.ndarray)]
    if arrays and len({p.shape for p in arrays}) > 1:
        parts = [p[:1] if isinstance(p, np.ndarray) and p.size else p for p in parts]
        if any(isinstance(p, np.ndarray) and not p.size for p in parts):
            parts = [p[:0] if isinstance(p, np.ndarray) else p for p in parts]
    key, a = tuple(parts), array(shape)
    same(tracked(a)[key], np.asarray(a[key]))
    transposed_by_linearity(lambda x: x[key], lambda x: x[key], a)


@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), st.data())
def test_boolean_masks(shape: tuple[int, ...], data: st.DataObject) -> None:
    depth = data.draw(st.integers(1, len(shape)))
    mask = data.draw(hnp.arrays(np.bool_, shape[:depth]))
    a = array(shape)
    for key in (mask, (mask, Ellipsis), (None, mask)):
        same(tracked(a)[key], a[key])
    same(tracked(a)[ts.tensor(mask)], a[mask])
    transposed_by_linearity(lambda x: x[mask], lambda x: x[mask], a)


@given(SHAPES, st.booleans(), st.data())
def test_reduction_axes(shape: tuple[int, ...], keepdims: bool, data: st.DataObject) -> None:
    axes = data.draw(st.one_of(st.none(), hnp.valid_tuple_axes(len(shape))))
    a = array(shape)
    same(tracked(a).sum(axes, keepdims), np.asarray(np.sum(a, axes, keepdims=keepdims)))
    same(tracked(a).prod(axes, keepdims), np.asarray(np.prod(a, axes, keepdims=keepdims)))
    transposed_by_linearity(
        lambda x: x.sum(axes, keepdims), lambda x: np.asarray(np.sum(x, axes, keepdims=keepdims)), a
    )
    if 0 not in shape:
        same(tracked(a).max(axes, keepdims), np.asarray(np.max(a, axes, keepdims=keepdims)))
        same(tracked(a).min(axes, keepdims), np.asarray(np.min(a, axes, keepdims=keepdims)))
        mean, var = tracked(a).mean(axes, keepdims), tracked(a).var(axes, keepdims)
        np.testing.assert_allclose(mean.numpy(), np.mean(a, axes, keepdims=keepdims), rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(var.numpy(), np.var(a, axes, keepdims=keepdims), rtol=1e-13, atol=1e-14)


@given(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4), st.data())
def test_cumsum_flip_and_swapaxes(shape: tuple[int, ...], data: st.DataObject) -> None:
    axes = st.integers(-len(shape), len(shape) - 1)
    i, j = data.draw(axes), data.draw(axes)
    a = array(shape)
    for fn, ref in (
        (lambda x: ts.cumsum(x, i), lambda x: np.cumsum(x, i)),
        (lambda x: ts.flip(x, i), lambda x: np.flip(x, i)),
        (lambda x: ts.swapaxes(x, i, j), lambda x: np.swapaxes(x, i, j)),
    ):
        same(fn(tracked(a)), ref(a))
        transposed_by_linearity(fn, ref, a)


@given(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3), st.data())
def test_reshape_and_transpose(shape: tuple[int, ...], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(shape))))
    a = array(shape)
    same(ts.transpose(tracked(a), order) if order else ts.transpose(tracked(a)), np.transpose(a, order))
    target = data.draw(st.permutations(shape))
    same(ts.reshape(tracked(a), target), a.reshape(target))
    transposed_by_linearity(lambda x: ts.reshape(x, target), lambda x: x.reshape(target), a)
    if a.size:
        same(ts.reshape(tracked(a), -1), a.reshape(-1))


@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), st.data())
def test_pad(shape: tuple[int, ...], data: st.DataObject) -> None:
    widths = tuple(data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3))) for _ in shape)
    a = array(shape)
    same(ts.pad(tracked(a), widths, 2.0), np.pad(a, widths, constant_values=2.0))
    transposed_by_linearity(lambda x: ts.pad(x, widths, 2.0), lambda x: np.pad(x, widths, constant_values=2.0), a)


@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6), st.data())
def test_split_and_concat_are_inverse(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    cuts = sorted(data.draw(st.lists(st.integers(0, shape[axis]), max_size=3)))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, shape[axis]], strict=True)]
    a = array(shape)
    parts = ts.split(tracked(a), sizes, axis)
    for part, expected in zip(parts, np.split(a, cuts, axis), strict=True):
        same(part, expected)
    same(ts.concat(parts, axis), a)
    weights = [array(part.shape, i) for i, part in enumerate(parts)]

    def weighted(x: ts.Tensor) -> ts.Tensor:
        return ts.concat([p * w for p, w in zip(ts.split(x, sizes, axis), weights, strict=True)], axis)

    transposed_by_linearity(weighted, lambda x: x * np.concatenate(weights, axis), a)


@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), st.data())
def test_unstack_and_stack_are_inverse(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    a = array(shape)
    parts = ts.unstack(tracked(a), axis)
    assert len(parts) == shape[axis]
    for part, expected in zip(parts, np.moveaxis(a, axis, 0), strict=True):
        same(part, np.asarray(expected))
    if parts:
        same(ts.stack(parts, axis), a)
        transposed_by_linearity(lambda x: ts.stack(ts.unstack(x, axis)[::-1], axis), lambda x: np.flip(x, axis), a)


@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4), st.data())
def test_gather_and_take(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    extent = shape[axis]
    along = list(shape)
    along[axis] = data.draw(st.integers(0, 5))
    elements = st.integers(-extent, extent - 1)
    a = array(shape)
    places = data.draw(hnp.arrays(np.int64, tuple(along), elements=elements))
    same(ts.gather(tracked(a), ts.tensor(places), axis), np.take_along_axis(a, places, axis))
    transposed_by_linearity(
        lambda x: ts.gather(x, ts.tensor(places), axis), lambda x: np.take_along_axis(x, places, axis), a
    )
    rows = data.draw(hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=2, max_side=3), elements=elements))
    same(ts.take(tracked(a), ts.tensor(rows), axis), np.asarray(np.take(a, rows, axis)))
    transposed_by_linearity(lambda x: ts.take(x, ts.tensor(rows), axis), lambda x: np.take(x, rows, axis), a)


@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4), st.data())
def test_softmax_family_along_any_axis(shape: tuple[int, ...], data: st.DataObject) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    a = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(-1e4, 1e4)))
    x = ts.tensor(a)
    p, logs = ts.softmax(x, axis).numpy(), ts.log_softmax(x, axis).numpy()
    assert np.isfinite(p).all()
    assert np.isfinite(logs).all()
    np.testing.assert_allclose(p.sum(axis), 1.0, rtol=1e-14)
    np.testing.assert_allclose(np.exp(logs), p, rtol=1e-11, atol=1e-300)
    lse = ts.logsumexp(x, axis, keepdims=True).numpy()
    np.testing.assert_allclose(a - lse, logs, rtol=1e-12, atol=1e-11)
    assert (lse >= a.max(axis, keepdims=True)).all()
    assert (lse <= a.max(axis, keepdims=True) + math.log(shape[axis]) + 1e-11).all()
