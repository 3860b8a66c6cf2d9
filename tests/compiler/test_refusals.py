"""Values that an op refuses eagerly, a compiled function refuses too, in the same words, and goes on with good ones."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support import strict
from support.cuda_on_host import needs_compiler
from tinyseq import backends
from tinyseq.errors import TinyseqError
from tinyseq.masks import length_mask
from tinyseq.nn import losses

backends.register("strict", strict.__name__)
native = pytest.mark.skipif(not importlib.util.find_spec("llvmlite"), reason="llvmlite is not installed")

X = np.linspace(-1.0, 1.0, 36).reshape(9, 4)


def steps(x: ts.Tensor, lengths: ts.Tensor) -> ts.Tensor:
    sequence = ts.reshape(x, (9, 4, 1))
    return ts.unroll(lambda x, h: (x + h, x + h), sequence, ts.zeros(9, 1, dtype=x.dtype), lengths=lengths)[0]


def embedded_in_a_loop(x: ts.Tensor, ids: ts.Tensor) -> ts.Tensor:
    """Where a loop's own step looks ids up, and checks them."""

    def step(i: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h = ts.tanh(ts.embedding(x, i) + h)
        return h, h

    return ts.unroll(step, ts.reshape(ids, (3, 3)), ts.zeros(3, 4, dtype=x.dtype))[0]


def targets(row: int, value: float) -> np.ndarray:
    found = np.full((9, 4), 0.25)
    found[row, 2] = value
    return found


def ids(*changed: tuple[int, int]) -> np.ndarray:
    found = np.arange(9) % 4
    for place, value in changed:
        found[place] = value
    return found


#: Name -> (function of X and the values, good values, values that are refused).
CASES: dict[str, tuple[Callable[..., Any], np.ndarray, list[np.ndarray]]] = {
    "embedding": (ts.embedding, ids(), [ids((1, -1)), ids((8, 9)), ids((0, 2**40)), ids((3, -1), (5, 77))]),
    "cross_entropy": (losses.cross_entropy, ids(), [ids((1, -1)), ids((8, 4)), ids((7, -(2**40)))]),
    "cross_entropy of some": (
        lambda x, t: losses.cross_entropy(x, t, ignore_index=-1),
        ids((2, -1), (8, -1)),
        [ids((1, -2)), ids((8, 4), (2, -1))],
    ),
    "cross_entropy with a mask": (
        lambda x, t: losses.cross_entropy(x, t, mask=ts.tensor(np.arange(9) != 4)),
        ids((4, 99)),
        [ids((5, 99))],
    ),
    "cross_entropy of later ones": (
        lambda x, t: losses.cross_entropy(x[:-1], t[1:], reduction="mean"), ids((0, -5)), [ids((1, -5)), ids((8, 4))]
    ),
    "binary_cross_entropy": (
        losses.binary_cross_entropy, targets(0, 1.0), [targets(0, 2.0), targets(8, -0.1), targets(3, np.nan)]
    ),
    "lengths of a mask": (lambda x, n: length_mask(n, 4), ids(), [ids((1, -2)), ids((8, 5))]),
    "lengths of steps": (steps, ids(), [ids((1, -2)), ids((8, 5))]),
    "lengths of chunks": (
        lambda x, n: ts.unroll(
            lambda x, h: (x + h, x + h), ts.reshape(x, (9, 4, 1)), ts.zeros(9, 1, dtype=x.dtype), lengths=n, truncate=2
        )[0],
        ids(),
        [ids((0, 5))],
    ),
    "in a loop": (embedded_in_a_loop, ids(), [ids((1, -1)), ids((8, 9))]),
    "an index": (lambda x, i: x[i], ids((0, -9)), [ids((4, 9)), ids((8, -10))]),
    "take": (lambda x, i: ts.take(x, i, 1), ids(), [ids((4, 4))]),
    "gather": (lambda x, i: ts.gather(x, ts.reshape(i, (9, 1)), 1), ids((1, -4)), [ids((4, 4))]),
}  # fmt: skip


@pytest.fixture(params=["numpy", pytest.param("llvm", marks=native), "strict"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with ts.backend(request.param):
        yield request.param


def words(error: TinyseqError) -> tuple[Any, ...]:
    """What an error says, without the place: of a compiled call that is the op's, eagerly the call's."""
    return type(error), error.what, error.required, error.got


def counted_otherwise(name: str, wanted: tuple[Any, ...]) -> tuple[Any, ...]:
    """What is the same in all steps is done for all at once before a loop, and its elements counted so."""
    return (*wanted[:3], wanted[3].replace("(0,)", "(1, 0)").replace("(2,)", "(2, 2)")) if "loop" in name else wanted


def refusal(f: Callable[..., Any], *args: Any) -> TinyseqError:
    with pytest.raises(TinyseqError) as caught:
        f(*args)
    return caught.value


@pytest.mark.parametrize("name", CASES)
def test_what_eager_refuses_is_refused(name: str, backend: str) -> None:
    f, good, bad = CASES[name]
    x, fast = ts.tensor(X, requires_grad=True), ts.compile(f)
    expected = f(x, ts.tensor(good)).numpy()
    with ts.backend("numpy"):
        told = [counted_otherwise(name, words(refusal(f, ts.tensor(X), ts.tensor(values)))) for values in bad]
    for wanted, values in zip(told, bad, strict=True):
        np.testing.assert_allclose(fast(x, ts.tensor(good)).numpy(), expected, rtol=1e-12)
        assert words(refusal(fast, x, ts.tensor(values))) == wanted
        error = refusal(fast, x, ts.tensor(values))
        assert words(error) == wanted
        assert not error.where or re.search(r"at .*\.py:\d+", error.where)
    np.testing.assert_allclose(fast(x, ts.tensor(good)).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in CASES if "mask" not in name])
def test_gradients_pass_a_check(name: str, backend: str) -> None:
    f, good, bad = CASES[name]
    found = []
    for g in (f, ts.compile(f)):
        x = ts.tensor(X, requires_grad=True)
        (g(x, ts.tensor(good)) ** 2).sum().backward()
        assert x.grad is not None
        found.append(x.grad.numpy())
        refusal(g, x, ts.tensor(bad[0]))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", ["i4", "i8", "u1", "u8", "f4", "f8"])
@pytest.mark.parametrize("count", [1, 3, 8, 9, 17, 40])
def test_each_element_is_looked_at_and_none_beyond(dtype: str, count: int, backend: str) -> None:
    """Zeros, which a vector's tail may hold, are not within these bounds; nor is one element, wherever it is."""
    from tinyseq.ops.elementwise import within

    fast = ts.compile(lambda x: within(x + 0, 3, 5, what="it is out of range", required="3 to 5") * 2)
    good = (3 + np.arange(count) % 3).astype(dtype)
    np.testing.assert_array_equal(fast(ts.tensor(good)).numpy(), good * 2)
    for place in {0, count // 2, count - 1}:
        wrong = good.copy()
        wrong[place] = 6
        with pytest.raises(TinyseqError, match=rf"it is out of range(.|\n)*3 to 5(.|\n)*6(\.0)? at \({place},\)"):
            fast(ts.tensor(wrong))


@needs_compiler
@pytest.mark.parametrize("name", ["embedding", "cross_entropy", "cross_entropy of some", "binary_cross_entropy"])
def test_on_a_device_what_is_refused_is_no_number(name: str) -> None:
    """Nothing can be raised from a kernel, and to ask whether one has met it would be to wait for it."""
    f, good, bad = CASES[name]
    with ts.backend("cuda-on-host"):
        fast, x = ts.compile(f), ts.tensor(X)
        for values in bad:
            assert np.isnan(fast(x, ts.tensor(values)).numpy()).any()
            np.testing.assert_allclose(fast(x, ts.tensor(good)).numpy(), f(x, ts.tensor(good)).numpy(), rtol=1e-12)


@native
def test_checks_are_native() -> None:
    """Else a loop with one in it would go back to NumPy."""
    with ts.backend("llvm"):
        fast = ts.compile(embedded_in_a_loop)
        fast(ts.tensor(X), ts.tensor(ids()))
        notes = fast.entry_of_last_call().take().notes()
    assert not [row for row in notes if row.startswith("left to NumPy")]


def test_an_assignment_that_is_refused_is_told_at_the_users_line() -> None:
    """``ts.grad`` follows its argument through a node of its own, which no assignment can move."""

    def f(x: ts.Tensor) -> ts.Tensor:
        x.assign(x * 2.0)
        return x.sum()

    line = f.__code__.co_firstlineno + 1
    with pytest.raises(
        TinyseqError, match=rf"assign to the result of an op(.|\n)*where +at .*test_refusals\.py:{line}\b"
    ):
        ts.compile(ts.grad(f))(ts.ones(3))
