"""Tensor: making, reading, operators, immutability, and mixing with arrays, scalars and other backends."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import types
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import backends
from tinyseq.backends.numpy import NumpyBackend
from tinyseq.errors import BackendError, DtypeError, GraphError, MutationError, ShapeError
from tinyseq.ops import OPS

# -- making ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        ([1.0, 2.0], np.float32),
        (3, np.int64),
        ([1, 2], np.int64),
        (True, np.bool_),
        ([True], np.bool_),
        (np.array([1.0]), np.float64),
        (np.float64(1.0), np.float64),
        (np.array([1.0], np.float32), np.float32),
        (np.array([1.0], np.float16), np.float32),
        (np.array([1], np.int32), np.int64),
        (np.array([1], np.uint8), np.int64),
        ([[np.float64(1.0)]], np.float32),
        ([], np.float32),
    ],
)
def test_dtypes_of_new_tensors(data: Any, dtype: type) -> None:
    x = ts.tensor(data)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x.numpy(), data)
    assert ts.tensor(data, dtype=ts.float64).dtype == np.float64


@pytest.mark.parametrize("code", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"])
def test_big_endian_data_is_read_right_and_kept_in_the_machines_order(code: str) -> None:
    values = [0, 1, 1, 0] if code == "?" else [0, 1, 77, 100]
    big, little = (np.array(values, order + code).reshape(2, 2) for order in "><")
    x, y = ts.tensor(big), ts.tensor(little)
    assert (x.dtype, x.dtype.isnative) == (y.dtype, True)
    np.testing.assert_array_equal(x.numpy(), np.array(values).reshape(2, 2))
    w = ts.ones(2, 2, requires_grad=True)
    assert (w * big).tolist() == (w * little).tolist() == [[*map(float, values[:2])], [*map(float, values[2:])]]
    assert (w * big).dtype == (w * little).dtype
    assert (big + ts.tensor(big)).dtype.isnative
    for made in (
        ts.tensor(values, dtype=">" + code),
        ts.zeros(2, dtype=">" + code),
        ts.arange(3, dtype=">" + code),
        ts.eye(2, dtype=">" + code),
        x.cast(">" + code),
        w.cast(">" + code),
    ):
        assert made.dtype == np.dtype(code)
        assert made.dtype.isnative
    fast = ts.compile(lambda x, y: x * 2.0 + y)
    np.testing.assert_array_equal(fast(ts.tensor(big), ts.ones(2, 2)).numpy(), 2.0 * little + 1.0)


def test_new_tensors_lie_in_c_order() -> None:
    a = np.arange(12.0).reshape(3, 4)
    for view in (a.T, a[:, ::2], a[::-1], np.broadcast_to(a[0], (3, 4)), np.asfortranarray(a)):
        x = ts.tensor(view)
        assert x.value.flags.c_contiguous
        np.testing.assert_array_equal(x.numpy(), view)


def test_integers_that_do_not_fit_are_refused() -> None:
    """2**63 + 5 is -9223372036854775803 as int64."""
    with pytest.raises(DtypeError, match=r"int64[\s\S]*9223372036854775813"):
        ts.tensor(np.array([1, 2**63 + 5], np.uint64))
    with pytest.raises(DtypeError, match="int64"):
        ts.tensor([2**63 + 5])
    assert ts.tensor(np.array([2**63 - 1], np.uint64)).tolist() == [2**63 - 1]
    assert ts.tensor(np.array([2**63 + 5], np.uint64), dtype=np.uint64).tolist() == [2**63 + 5]


def test_the_data_is_copied() -> None:
    data = np.ones(3)
    x = ts.tensor(data)
    data[0] = 5.0
    np.testing.assert_array_equal(x.numpy(), [1.0, 1.0, 1.0])
    assert not ts.tensor(x).requires_grad


@pytest.mark.parametrize(
    "data",
    ["text", [1.0, "a"], [[1.0], [1.0, 2.0]], [1j], None, object()],
    ids=lambda data: "object" if type(data) is object else repr(data),
)
def test_what_is_not_numbers_is_refused(data: Any) -> None:
    with pytest.raises(DtypeError, match="tensor: "):
        ts.tensor(data)


def test_only_floats_have_gradients() -> None:
    with pytest.raises(DtypeError, match=r"dtype=ts\.float32"):
        ts.tensor([1, 2], requires_grad=True)


def test_creation_functions() -> None:
    np.testing.assert_array_equal(ts.zeros(2, 3).numpy(), np.zeros((2, 3)))
    np.testing.assert_array_equal(ts.ones((2, 3)).numpy(), np.ones((2, 3)))
    np.testing.assert_array_equal(ts.full((2,), 7.0).numpy(), [7.0, 7.0])
    np.testing.assert_array_equal(ts.eye(2).numpy(), np.eye(2))
    np.testing.assert_array_equal(ts.arange(2, 8, 2).numpy(), [2, 4, 6])
    assert ts.zeros().shape == ()
    assert [ts.zeros(1).dtype, ts.eye(1).dtype, ts.arange(3).dtype, ts.arange(0.0, 1.0, 0.5).dtype] == [
        np.float32,
        np.float32,
        np.int64,
        np.float32,
    ]
    assert ts.zeros(1, dtype=ts.float64, requires_grad=True).requires_grad


def test_random_tensors_follow_the_seed() -> None:
    ts.seed(5)
    a, b = ts.randn(100), ts.rand(100)
    assert not np.array_equal(a.numpy(), ts.randn(100).numpy())
    ts.seed(5)
    np.testing.assert_array_equal(ts.randn(100).numpy(), a.numpy())
    np.testing.assert_array_equal(ts.rand(100).numpy(), b.numpy())
    ts.seed(6)
    assert not np.array_equal(ts.randn(100).numpy(), a.numpy())


def test_randn_is_standard_normal() -> None:
    x = ts.randn(200_000, dtype=ts.float64).numpy()
    n = len(x)
    assert abs(x.mean()) < 4 / np.sqrt(n)
    assert abs(x.var() - 1.0) < 4 * np.sqrt(2 / n)
    assert abs((np.abs(x) < 1.0).mean() - 0.6826894921) < 4 * np.sqrt(0.217 / n)
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / np.sqrt(n)


# -- reading -----------------------------------------------------------------------------------------------------------


def test_reading() -> None:
    x = ts.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert (x.shape, x.ndim, x.size, len(x)) == ((2, 2), 2, 4, 2)
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert [row.tolist() for row in x] == [[1.0, 2.0], [3.0, 4.0]]
    assert x[1, 0].item() == 3.0
    assert float(x[0, 1]) == 2.0
    assert int(ts.tensor([3])) == 3
    assert bool(ts.tensor(True)) is True
    assert np.asarray(x).sum() == 10.0
    assert np.array(x, dtype=np.float64).dtype == np.float64
    assert [t.tolist() for t in (x > 2.0).nonzero()] == [[1, 1], [0, 1]]


def test_item_of_several_and_len_of_a_scalar_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"one element"):
        ts.ones(2).item()
    with pytest.raises(ShapeError, match=r"one element"):
        bool(ts.ones(2))
    with pytest.raises(ShapeError, match="at least one axis"):
        len(ts.ones())


def test_repr() -> None:
    assert repr(ts.tensor([1.0, 2.5])) == "tensor([1. , 2.5])"
    assert repr(ts.tensor([1.0], dtype=ts.float64)) == "tensor([1.], dtype=float64)"
    x = ts.tensor([1.0], requires_grad=True)
    assert repr(x) == "tensor([1.], requires_grad=True)"
    assert repr(x * 2.0) == "tensor([2.], made by mul)"
    assert repr(ts.tensor([1, 2])) == "tensor([1, 2])"
    assert "..." in repr(ts.zeros(1000))


def test_names() -> None:
    x = ts.tensor([1.0], name="bias")
    assert x.name == "bias"
    y = ts.ones(1)
    assert y.name is None
    y.name = "y"
    assert (y.name, y.node.name) == ("y", "y")


def test_tensors_are_keys_by_identity() -> None:
    x, y = ts.ones(2), ts.ones(2)
    assert {x: 1, y: 2}[x] == 1
    assert len({x, y}) == 2


# -- operators and methods ---------------------------------------------------------------------------------------------

A = np.array([[1.5, -2.0, 3.0], [0.5, 4.0, -1.0]])
B = np.array([2.0, 0.5, -3.0])


@pytest.mark.parametrize(
    "expression",
    [
        "a + b",
        "a - b",
        "a * b",
        "a / b",
        "abs(a) ** b",
        "a @ b",
        "-a",
        "abs(a)",
        "a == b",
        "a != b",
        "a < b",
        "a <= b",
        "a > b",
        "a >= b",
        "(a > 0) & (b > 0)",
        "(a > 0) | (b > 0)",
        "~(a > 0)",
        "a + 2",
        "2 + a",
        "a - 2.0",
        "2.0 - a",
        "a * 3",
        "3 * a",
        "a / 2",
        "2 / a",
        "a ** 2",
        "2.0 ** a",
        "a < 1.0",
        "1.0 < a",
        "a[1]",
        "a[:, ::-1]",
        "a.T",
        "a.reshape(3, 2)",
        "a.sum(0)",
        "a.mean()",
        "a.max(1)",
        "a.min()",
        "a.prod(0)",
        "a.var(1)",
        "a.argmax(0)",
        "a.argmin(1)",
        "a.cumsum(1)",
        "a.clip(-1.0, 1.0)",
        "a.transpose(1, 0)",
        "a.swapaxes(0, 1)",
    ],
)
def test_expressions_read_as_numpys(expression: str) -> None:
    tensors = {"a": ts.tensor(A), "b": ts.tensor(B)}
    y, expected = eval(expression, tensors), eval(expression, {"a": A, "b": B})
    assert isinstance(y, ts.Tensor)
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-15)
    assert y.dtype == expected.dtype


METHODS = {
    "sum": ((0,), {}),
    "mean": ((1, True), {}),
    "var": ((1,), {"ddof": 1}),
    "prod": ((0,), {}),
    "max": ((0,), {"keepdims": True}),
    "min": ((), {}),
    "argmax": ((), {}),
    "argmin": ((0,), {}),
    "cumsum": ((), {}),
    "softmax": ((0,), {}),
    "log_softmax": ((), {}),
    "logsumexp": ((1,), {}),
    "clip": ((-1.0,), {}),
    "exp": ((), {}),
    "log": ((), {}),
    "sqrt": ((), {}),
    "abs": ((), {}),
    "tanh": ((), {}),
    "sigmoid": ((), {}),
    "relu": ((), {}),
    "sin": ((), {}),
    "cos": ((), {}),
    "cast": ((np.float64,), {}),
    "transpose": ((1, 0), {}),
    "swapaxes": ((0, 1), {}),
    "reshape": ((3, 2), {}),
    "expand_dims": ((1,), {}),
    "squeeze": ((), {}),
    "broadcast_to": ((2, 2, 3), {}),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_the_function_of_its_name(name: str) -> None:
    args, options = METHODS[name]
    x = ts.tensor(A, requires_grad=True)
    y, z = getattr(x, name)(*args, **options), getattr(ts, name)(x, *args, **options)
    np.testing.assert_array_equal(y.numpy(), z.numpy())
    assert y.shape == z.shape
    assert (y.node.op, dict(y.node.attrs)) == (z.node.op, dict(z.node.attrs))


# -- values do not change ----------------------------------------------------------------------------------------------


def test_augmented_assignment_rebinds() -> None:
    x = ts.ones(2, requires_grad=True)
    y = x + 0.0
    y += 1.0
    y *= 2.0
    y -= 0.5
    y /= 2.0
    y **= 2
    y @= ts.ones(2)
    assert y is not x
    np.testing.assert_array_equal(x.numpy(), [1.0, 1.0])
    y.backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), [3.5, 3.5])  # d/dx ((2(x+1) - 0.5) / 2)^2 = 2 (x + 0.75)


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "**", "@", "&", "|"])
@pytest.mark.parametrize("recording", [True, False])
def test_in_place_on_a_leaf_that_requires_a_gradient_is_refused_with_the_cure(symbol: str, recording: bool) -> None:
    p = ts.tensor([2.0, 3.0], requires_grad=True, name="W")
    names = {"p": p, "y": ts.ones(2)}
    with ts.enable_grad() if recording else ts.no_grad(), pytest.raises(MutationError) as caught:
        exec(f"p {symbol}= y", names)
    assert names["p"] is p
    assert p.tolist() == [2.0, 3.0]
    assert [word for word in ("W", f"p.assign(p {symbol} ...)", "optim.SGD") if word not in str(caught.value)] == []


def test_the_loop_that_everybody_types_is_refused_and_its_cure_moves_the_parameters() -> None:
    parameters = [ts.tensor([1.0], requires_grad=True), ts.tensor([2.0], requires_grad=True)]
    (parameters[0] * parameters[1]).sum().backward()

    def descend() -> None:
        for p in parameters:
            p -= 0.5 * p.grad

    with pytest.raises(MutationError, match=r"p\.assign"):
        descend()
    for p in parameters:
        p.assign(p - 0.5 * p.grad)
    assert [p.item() for p in parameters] == [0.0, 1.5]


def test_arguments_of_a_differentiated_function_may_get_another_value() -> None:
    def f(x: ts.Tensor) -> ts.Tensor:
        x *= x
        x += 1.0
        return x.sum()

    x = ts.tensor([1.5, -2.0])
    np.testing.assert_array_equal(ts.grad(f)(x).numpy(), [3.0, -4.0])
    np.testing.assert_array_equal(ts.grad(lambda x: ts.grad(f)(x).sum())(x).numpy(), [2.0, 2.0])
    np.testing.assert_array_equal(ts.compile(ts.grad(f))(x).numpy(), [3.0, -4.0])
    ts.testing.check_grads(f, ts.tensor(np.array([1.5, -2.0])))

    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h *= 0.5
        h += x
        return h, h

    def total(xs: ts.Tensor) -> ts.Tensor:
        return ts.unroll(step, xs, ts.zeros(1, 2))[0].sum()

    xs = ts.ones(1, 3, 2, requires_grad=True)
    for made in (total, ts.compile(total)):
        xs.grad = None
        made(xs).backward()
        np.testing.assert_array_equal(xs.grad.numpy()[0, :, 0], [1.75, 1.5, 1.0])
    with pytest.raises(MutationError):
        ts.compile(f)(ts.ones(2, requires_grad=True))


@pytest.mark.parametrize("key", [0, (0, 1), slice(None), None, [0]])
def test_assigning_to_an_element_is_refused_with_the_cure(key: Any) -> None:
    x = ts.ones(2, 2)
    with pytest.raises(MutationError) as caught:
        x[key] = 5.0
    assert "cannot be assigned" in str(caught.value)
    assert "ts.where" in caught.value.fix
    assert "ts.concat" in caught.value.fix
    assert "test_tensors.py" in caught.value.where
    np.testing.assert_array_equal(x.numpy(), np.ones((2, 2)))
    with pytest.raises(MutationError):
        x[0] += 1.0


@pytest.mark.parametrize("other", [None, "word", object(), {}, len], ids=["None", "word", "object", "dict", "function"])
def test_with_what_has_no_elements_a_tensor_is_not_equal(other: Any) -> None:
    for x in (ts.ones(2), ts.tensor(1.0), ts.ones(2, requires_grad=True) * 2.0):
        assert (x == other) is (other == x) is False
        assert (x != other) is (other != x) is True
        assert x in [other, x]
        assert other not in [x]
    ts.trace(lambda x: x * 1.0 if x != other else x * 2.0, ts.ones(2))


def test_the_truth_of_several_elements_is_refused_with_the_cures() -> None:
    x, y = ts.ones(2), ts.ones(2)
    with pytest.raises(ShapeError, match="truth of several elements") as caught:
        bool(x == y)
    assert "x is y" in caught.value.fix
    assert bool((x == y).min()) is True
    with pytest.raises(GraphError, match="traced"):
        ts.trace(lambda x: x if x > 0 else -x, ts.ones(2))


# -- integers have no slope --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.cast(ts.int64),
        lambda x: x.cast(np.int32) * 2,
        lambda x: x.cast(ts.bool_),
        lambda x: x.cast(ts.int64).cast(ts.float32) * 2.0,
        lambda x: ts.where(x, 1, 2),
        lambda x: x > 0.0,
        lambda x: ts.argmax(x),
    ],
)
def test_what_passed_through_integers_requires_no_gradient(f: Any) -> None:
    x = ts.tensor([1.5, -2.0], requires_grad=True)
    assert not f(x).requires_grad

    def traced(x: ts.Tensor) -> ts.Tensor:
        y = f(x)
        assert not y.requires_grad
        return y

    ts.trace(traced, x)
    loss = (f(x).cast(ts.float32) * x).sum()
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.broadcast_to(f(x).numpy(), 2))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("follow", "expected"),
    [(lambda w: ts.stop_gradient(w * 3.0) * 2.0, False), (lambda w: ts.split(ts.stop_gradient(w), 2)[0], False),
     (lambda w: ts.stop_gradient(w * 3.0) * w, True)],
    ids=["behind", "a part behind", "beside"],
)  # fmt: skip
def test_a_gradient_of_what_stands_behind_a_cut_requires_none(compiled: bool, follow: Any, expected: bool) -> None:
    w, x = ts.tensor([1.0, 2.0], requires_grad=True), ts.tensor([3.0, 4.0])
    f = ts.grad(lambda x: (x * x * follow(w)).sum())
    assert (ts.compile(f) if compiled else f)(x).requires_grad is expected
    assert (ts.compile(f) if compiled else f)(ts.tensor([3.0, 4.0], requires_grad=True)).requires_grad


@pytest.mark.parametrize("kind", [np.int64, np.bool_, np.uint8])
def test_the_gradient_with_respect_to_integers_is_refused(kind: type) -> None:
    i, x = ts.tensor([1, 1], dtype=kind), ts.tensor([1.5, 2.0], requires_grad=True)
    for call in (
        lambda: ts.grad(lambda i: (i * 1.5).sum())(i),
        lambda: ts.value_and_grad(lambda x, i: (i * x).sum(), argnums=(0, 1))(x, i),
        lambda: ts.grad(lambda p: (p["i"] * p["x"]).sum())({"i": i, "x": x}),
        lambda: ts.compile(ts.grad(lambda i: (i * 1.5).sum()))(i),
        lambda: ts.gradients((x * i).sum(), [x, i]),
        lambda: ts.grad(lambda x: x * 2.0)(3.0),
    ):
        with pytest.raises(DtypeError, match="no slope"):
            call()


def test_numpy_gives_a_read_only_view() -> None:
    x = ts.ones(3)
    with pytest.raises(ValueError, match="read-only"):
        x.numpy()[0] = 5.0
    free = x.numpy().copy()
    free[0] = 5.0
    assert x[0].item() == 1.0


def test_attributes_cannot_be_made_up() -> None:
    with pytest.raises(AttributeError):
        ts.ones(1).gard = None  # type: ignore[attr-defined]


def test_assign_gives_a_leaf_a_new_value_and_recorded_graphs_keep_the_old() -> None:
    w = ts.tensor([2.0], requires_grad=True)
    y = w * w
    w.assign(ts.tensor([10.0]))
    assert w.item() == 10.0
    y.backward()
    assert w.grad is not None
    assert w.grad.item() == 4.0


def test_assign_refuses() -> None:
    w = ts.tensor([2.0], requires_grad=True)
    with pytest.raises(GraphError, match="a leaf"):
        (w * 2.0).assign(ts.ones(1))
    with pytest.raises(ShapeError, match=r"float32\(1,\)"):
        w.assign(ts.ones(2))
    with pytest.raises(ShapeError, match="float64"):
        w.assign(ts.ones(1, dtype=ts.float64))


# -- arrays, numpy scalars and lists as operands -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "other", [np.array([1.0, 2.0], np.float32), [1, 2], (1, 2), np.array([1, 2]), np.float32(2.0)], ids=repr
)
def test_arrays_lists_and_numpy_scalars_as_operands(other: Any) -> None:
    x = ts.tensor([3.0, 4.0], requires_grad=True)
    expected = np.asarray(other, dtype=np.float32)
    for y, z in [
        (x + other, x.numpy() + expected),
        (other + x, x.numpy() + expected),
        (x - other, x.numpy() - expected),
        (other - x, expected - x.numpy()),
        (other * x, x.numpy() * expected),
        (other / x, expected / x.numpy()),
        (x > other, x.numpy() > expected),
        (ts.maximum(x, other), np.maximum(x.numpy(), expected)),
        (ts.where(x > 3.5, x, other), np.where(x.numpy() > 3.5, x.numpy(), expected)),
    ]:
        assert isinstance(y, ts.Tensor)
        np.testing.assert_array_equal(y.numpy(), z)
        assert y.dtype in (np.float32, np.bool_)
    (other * x).sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), np.broadcast_to(expected, 2))


def test_a_float64_array_promotes_for_it_says_so() -> None:
    assert (ts.ones(2) * np.ones(2)).dtype == np.float64


def test_matmul_with_arrays_on_either_side() -> None:
    x = ts.tensor([[1.0, 2.0], [3.0, 4.0]])
    m = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    np.testing.assert_array_equal((x @ m).numpy(), x.numpy() @ m)
    np.testing.assert_array_equal((m @ x).numpy(), m @ x.numpy())
    np.testing.assert_array_equal((x @ [1.0, 1.0]).numpy(), [3.0, 7.0])


def test_a_list_of_tensors_and_arrays_joins() -> None:
    y = ts.concat([ts.ones(2), np.zeros(1, np.float32), [3.0]])
    np.testing.assert_array_equal(y.numpy(), [1.0, 1.0, 0.0, 3.0])
    assert ts.stack([ts.ones(2), np.zeros(2, np.float32)]).shape == (2, 2)


def test_an_array_operand_changed_later_does_not_change_the_graph() -> None:
    x, a = ts.tensor([3.0], requires_grad=True), np.array([2.0], np.float32)
    y = x * a
    a[0] = 100.0
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 2.0


# -- backends ----------------------------------------------------------------------------------------------------------


class OtherArray(np.ndarray):
    """An array that NumPy computes on but will not mix with NumPy's own."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(type(x) is np.ndarray and x.ndim for x in inputs):
            raise TypeError("unsupported type numpy.ndarray")
        plain = [x.view(np.ndarray) if isinstance(x, OtherArray) else x for x in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        return np.asarray(result).view(OtherArray)


class OtherModule:
    """NumPy's functions, giving arrays of the other kind."""

    def __getattr__(self, name: str) -> Any:
        thing = getattr(np, name)
        if isinstance(thing, type) or not callable(thing):
            return thing

        def wrapped(*args: Any, **options: Any) -> Any:
            result = thing(*args, **options)
            return result.view(OtherArray) if isinstance(result, np.ndarray) else result

        return wrapped


class OtherBackend(NumpyBackend):
    name = "other"

    def __init__(self) -> None:
        super().__init__()
        self.xp = OtherModule()
        self.array_type = OtherArray

    def from_host(self, array: np.ndarray) -> Any:
        return np.array(array).view(OtherArray)

    def to_host(self, array: Any) -> np.ndarray:
        return np.array(array.view(np.ndarray))


@pytest.fixture
def other_backend(monkeypatch: pytest.MonkeyPatch) -> str:
    module = types.ModuleType("other_backend_of_the_tests")
    module.create = OtherBackend  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for registry in ("_loaded", "_by_array_type"):
        monkeypatch.setattr(backends, registry, dict(getattr(backends, registry)))
    monkeypatch.setitem(backends.BACKENDS, "other", "")  # taken out afterwards
    backends.register("other", module.__name__)
    return "other"


def test_a_registered_backend_is_used_inside_the_block(other_backend: str) -> None:
    with ts.backend(other_backend):
        x = ts.tensor([1.0, 2.0], requires_grad=True)
        assert x.backend.name == "other"
        y = (x * 3.0).sum()
        assert y.backend.name == "other"
        y.backward()
        assert x.grad is not None
        assert x.grad.backend.name == "other"
        assert type(x.grad.numpy()) is np.ndarray
        np.testing.assert_array_equal(x.grad.numpy(), [3.0, 3.0])
    assert ts.ones(1).backend.name == "numpy"
    assert backends.current().name == "numpy"


@pytest.mark.parametrize("op", [lambda a, b: a + b, lambda a, b: ts.maximum(b, a), lambda a, b: a * 2.0 < b])
def test_mixing_backends_is_refused(other_backend: str, op: Any) -> None:
    x = ts.ones(2)
    with ts.backend(other_backend):
        y = ts.ones(2)
    with pytest.raises(BackendError) as caught:
        op(x, y)
    text = str(caught.value)
    assert "different backends" in text
    assert "numpy and other" in caught.value.got
    assert "one backend" in caught.value.required
    assert "test_tensors.py" in caught.value.where
    assert "ts.backend" in caught.value.fix


def test_an_unknown_backend_suggests_one() -> None:
    with pytest.raises(BackendError, match="did you mean 'cupy'") as caught, ts.backend("cuppy"):
        pass
    assert "unknown backend 'cuppy'" in str(caught.value)


def test_cupy_where_there_is_none_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_loaded", {k: v for k, v in backends._loaded.items() if k != "cupy"})
    monkeypatch.setitem(sys.modules, "cupy", None)  # as on a machine without it
    with pytest.raises(BackendError) as caught, ts.backend("cupy"):
        pass
    text = str(caught.value)
    assert "not installed" in text
    assert "required" in text
    assert "got" in text
    assert "tinyseq[cuda12]" in caught.value.fix
    assert "numpy" in caught.value.fix
    assert ts.ones(1).backend.name == "numpy"
    with ts.backend("auto") as found:
        assert found.name != "cupy"


@pytest.mark.parametrize("devices", [0, "driver"])
def test_cupy_without_a_device_says_so(monkeypatch: pytest.MonkeyPatch, devices: Any) -> None:
    class CUDARuntimeError(RuntimeError):
        pass

    def count() -> int:
        if devices:
            raise CUDARuntimeError("cudaErrorNoDevice")
        return 0

    fake = types.ModuleType("cupy")
    fake.ndarray = OtherArray  # type: ignore[attr-defined]
    runtime = types.SimpleNamespace(getDeviceCount=count, CUDARuntimeError=CUDARuntimeError)
    fake.cuda = types.SimpleNamespace(runtime=runtime)  # type: ignore[attr-defined]
    monkeypatch.setattr(backends, "_loaded", {k: v for k, v in backends._loaded.items() if k != "cupy"})
    monkeypatch.setitem(sys.modules, "cupy", fake)
    with pytest.raises(BackendError, match="no CUDA device") as caught, ts.backend("cupy"):
        pass
    assert "numpy" in caught.value.fix


def test_the_environment_chooses_a_backend(monkeypatch: pytest.MonkeyPatch, other_backend: str) -> None:
    monkeypatch.setitem(os.environ, "TINYSEQ_BACKEND", other_backend)
    assert ts.ones(1).backend.name == "other"
    with ts.backend("numpy"):
        assert ts.ones(1).backend.name == "numpy"


def test_an_array_of_no_backend_is_refused() -> None:
    class Stranger:
        shape, dtype = (2,), np.dtype(np.float32)

    with pytest.raises(BackendError, match="Stranger") as caught:
        ts.ones(2) + Stranger()
    assert "ts.tensor" in caught.value.fix


# -- the rest ----------------------------------------------------------------------------------------------------------


def test_a_copy_shares_the_value() -> None:
    x = ts.tensor([1.0], requires_grad=True)
    y = copy.copy(x)
    assert y.value is x.value
    z = copy.copy(x * 2.0)
    z.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0]


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}


@pytest.mark.parametrize("how", COPIES)
def test_a_deep_copy_of_a_leaf_is_a_leaf_of_its_own(how: str) -> None:
    x = ts.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="W")
    x.grad = ts.ones(2, 2)
    y = COPIES[how](x)
    assert (y.tolist(), y.dtype, y.requires_grad, y.is_leaf, y.name) == (x.tolist(), x.dtype, True, True, "W")
    assert y.grad.tolist() == x.grad.tolist()
    (y * y).sum().backward()
    assert y.grad.tolist() == [[3.0, 5.0], [7.0, 9.0]]
    assert x.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    y.assign(ts.zeros(2, 2))
    assert x.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    graph = ts.trace(lambda: y * 2.0)
    assert [node.name for node in graph.inputs] == ["W"]
    assert ts.Graph([(y * 2.0).node]).inputs[0].name == "W"
    for plain in (ts.arange(3), (x * 2.0).detach(), ts.tensor(np.ones((2, 3)).T)):
        z = COPIES[how](plain)
        assert (z.tolist(), z.dtype, z.requires_grad, z.is_leaf) == (plain.tolist(), plain.dtype, False, True)
    again = COPIES[how](COPIES["pickle"](ts.ones(2, requires_grad=True)))
    assert (again.requires_grad, again.is_leaf) == (True, True)
    shared = COPIES[how]([x, x])
    assert shared[0] is shared[1]


@pytest.mark.parametrize("how", COPIES)
def test_a_deep_copy_of_a_result_is_refused(how: str) -> None:
    """PyTorch: only leaves created by the user support the deepcopy protocol."""
    x = ts.tensor([2.0], requires_grad=True)
    for made in (
        lambda: x * 3.0,
        lambda: ts.unroll(lambda x, h: (h * x, h * x), ts.ones(1, 3000, 1), x * ts.ones(1, 1)),
    ):
        with pytest.raises(GraphError, match="result of an op") as caught:
            COPIES[how](made())
        assert "ts.detach" in caught.value.fix
    with pytest.raises(GraphError, match="result of an op"):
        ts.trace(lambda x: COPIES[how](x) * 2.0, x)


def test_a_copy_of_an_op_is_the_op() -> None:
    for op in OPS.values():
        assert copy.copy(op) is copy.deepcopy(op) is pickle.loads(pickle.dumps(op)) is op


def test_errors_carry_their_parts() -> None:
    with pytest.raises(ShapeError) as caught:
        ts.ones(2, 3) + ts.ones(4)
    error = caught.value
    assert isinstance(error, ts.TinyseqError)
    assert isinstance(error, ValueError)
    rows = str(error).splitlines()
    assert rows[0] == error.what
    assert [row.split()[0] for row in rows[1:]] == ["required", "got", "where", "try"]
    assert error.required
    assert error.got
    assert error.where
    assert error.fix
