"""NumPy's own functions on tensors: which are answered, and which are refused for the gradient's sake."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.errors import GraphError
from tinyseq.interop import INSTEAD, OPERATORS, instead

A = np.array([2.0, -1.0], np.float32)


@pytest.fixture
def w() -> ts.Tensor:
    return ts.tensor([2.0, 3.0], requires_grad=True, name="w")


CUTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "the lecture's own line": (lambda h: np.concatenate([h, A]), "ts.concat"),
    "stack": (lambda h: np.stack([A, h]), "ts.stack"),
    "hstack": (lambda h: np.hstack((h, h)), "ts.concat"),
    "tanh": (np.tanh, "ts.tanh"),
    "exp": (np.exp, "ts.exp"),
    "sum": (np.sum, "ts.sum"),
    "mean": (lambda h: np.mean(h, axis=0), "ts.mean"),
    "dot": (lambda h: np.dot(A, h), "x @ y"),
    "where": (lambda h: np.where(A > 0, h, 0.0), "ts.where"),
    "maximum": (lambda h: np.maximum(h, 0.0), "ts.maximum"),
    "transpose": (np.transpose, "ts.transpose"),
    "reshape": (lambda h: np.reshape(h, (2, 1)), "ts.reshape"),
    "norm": (np.linalg.norm, "ts.sqrt"),
    "a reduction of a ufunc": (np.add.reduce, "ts.sum"),
    "parts": (lambda h: np.split(h, 2), "ts.split"),
    "no namesake": (np.floor, "x.numpy()"),
    "into an array": (lambda h: operator.iadd(A.copy(), h), "x + y"),
}


@pytest.mark.parametrize("name", CUTS)
def test_what_would_cut_the_gradient_is_refused_with_the_cure(name: str, w: ts.Tensor) -> None:
    function, cure = CUTS[name]
    for x in (w, w * 2.0):
        with pytest.raises(GraphError, match="would cut the gradient") as caught:
            function(x)
        assert cure in caught.value.fix
        assert "x.numpy()" in caught.value.fix
        assert re.search(r"test_interop\.py:\d+", caught.value.where)
    with ts.no_grad(), pytest.raises(GraphError):
        function(w)


@pytest.mark.parametrize("name", [name for name in CUTS if name != "into an array"])
def test_without_a_history_numpy_computes_on_the_values(name: str, w: ts.Tensor) -> None:
    function, _ = CUTS[name]
    with ts.no_grad():
        computed = w * 2.0
    for x in (computed, (w * 2.0).detach(), ts.tensor(2.0 * w.numpy())):
        np.testing.assert_array_equal(function(x), function(2.0 * w.numpy()))


@pytest.mark.parametrize("name", CUTS)
def test_while_tracing_there_are_no_values(name: str) -> None:
    function, cure = CUTS[name]
    with pytest.raises(GraphError, match="traced") as caught:
        ts.trace(lambda x: ts.tensor(function(x)), ts.ones(2))
    assert cure in caught.value.fix or cure == "x.numpy()"


KEEPS: dict[str, Callable[[Any], Any]] = {
    "asarray": np.asarray,
    "array": lambda h: np.array(h, np.float64),
    "argmax": np.argmax,
    "argsort": np.argsort,
    "isnan": np.isnan,
    "allclose": lambda h: np.allclose(h, h.numpy() if isinstance(h, ts.Tensor) else h),
    "array_equal": lambda h: np.array_equal(h, h),
    "searchsorted": lambda h: np.searchsorted(np.arange(3.0), h),
    "shape": np.shape,
    "ndim": np.ndim,
    "size": np.size,
    "zeros_like": np.zeros_like,
    "ones_like": np.ones_like,
    "words": lambda h: np.array2string(np.asarray(h)),
}


@pytest.mark.parametrize("name", KEEPS)
def test_what_cuts_nothing_is_answered(name: str, w: ts.Tensor) -> None:
    found, expected = KEEPS[name](w * 2.0), KEEPS[name](2.0 * w.numpy())
    np.testing.assert_array_equal(found, expected)
    assert type(found) is type(expected)


def test_shapes_are_known_while_tracing() -> None:
    class Seen(Exception):
        pass

    def f(x: ts.Tensor) -> ts.Tensor:
        raise Seen(np.shape(x), np.ndim(x), np.size(x), np.zeros_like(x))

    with pytest.raises(Seen) as caught:
        ts.trace(f, ts.ones(2, 3))
    shape, ndim, size, zeros = caught.value.args
    assert (shape, ndim, size) == ((2, 3), 2, 6)
    assert (zeros.shape, zeros.dtype, zeros.any()) == ((2, 3), np.float32, np.False_)


SYMBOLS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.matmul]
SYMBOLS += [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("symbol", SYMBOLS, ids=lambda symbol: symbol.__name__)
def test_an_array_on_the_left_gives_a_tensor(symbol: Callable[[Any, Any], Any], w: ts.Tensor) -> None:
    for left in (np.array([2.0, 4.0], np.float32), np.float32(2.0)):
        if symbol is operator.matmul and not left.ndim:
            continue
        for x in (w, w * 1.0, w.detach()):
            y = symbol(left, x)
            assert isinstance(y, ts.Tensor)
            np.testing.assert_allclose(y.numpy(), symbol(left, w.numpy()), rtol=1e-6)
            assert y.requires_grad == (x.requires_grad and y.dtype == np.float32)
        graph = ts.trace(lambda x, left=left: symbol(left, x), w)
        assert graph.outputs[0].shape == y.shape


def test_every_operator_of_arrays_is_there() -> None:
    assert {ufunc.__name__ for ufunc in OPERATORS} == {
        *("add", "subtract", "multiply", "divide", "power", "matmul"),
        *("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"),
    }


def test_the_gradient_reaches_what_an_array_was_multiplied_with(w: ts.Tensor) -> None:
    (np.array([5.0, 7.0], np.float32) * w).sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [5.0, 7.0]


def test_every_cure_exists() -> None:
    everything = [getattr(module, name) for module in (np, np.linalg) for name in dir(module)]
    names = {getattr(thing, "__name__", "") for thing in everything} - {"identity"}  # which is of a number
    cures = [instead(name) for name in (*INSTEAD, *names)]
    named = {name for cure in cures for name in re.findall(r"ts\.(\w+)", cure)}
    assert {"concat", "tanh", "prod"} < named
    assert [name for name in sorted(named) if not callable(getattr(ts, name, None))] == []


def test_pictures_are_drawn_of_values(w: ts.Tensor) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed: pip install tinyseq[plot]")
    h = w * 2.0
    _, axes = pyplot.subplots()
    (line,) = axes.plot(h)
    np.testing.assert_array_equal(line.get_ydata(), [4.0, 6.0])
    axes.bar(range(2), h)
    axes.hist(h)
    axes.axhline(h[0])
    axes.imshow(ts.ones(2, 2, requires_grad=True) * 2.0)
    axes.figure.canvas.draw()
    pyplot.close(axes.figure)
