"""Words of NumPy and PyTorch: NumPy's values, gradients by hand, the examples of their docstrings, and `dir(ts)`."""

from __future__ import annotations

import doctest
import re
from collections.abc import Callable

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import hints, words
from tinyseq.testing import check_grads

X = np.array([[[0.0, 2.0, -1.0], [0.0, 0.0, 0.0]], [[3.0, 1.0, 5.0], [np.nan, 0.0, 4.0]]])


@pytest.mark.parametrize("name", ["any", "all", "std"])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_values_are_numpys(name: str, axis: object, keepdims: bool) -> None:
    x = np.nan_to_num(X, nan=7.0) if name == "std" else X
    found = getattr(ts, name)(ts.tensor(x), axis=axis, keepdims=keepdims).numpy()
    expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_norm_is_the_length_and_its_gradient_the_direction() -> None:
    x = ts.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    lengths = ts.norm(x, axis=1)
    assert lengths.numpy().tolist() == [5.0, 0.0]
    lengths.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)


def test_std_has_slope_zero_where_nothing_varies() -> None:
    x = ts.ones(3, requires_grad=True)
    ts.std(x).backward()
    assert x.grad.numpy().tolist() == [0.0, 0.0, 0.0]


def test_compiled_they_are_the_same() -> None:
    def f(x: ts.Tensor) -> ts.Tensor:
        return ts.norm(x, axis=0) + ts.std(x) + ts.any(x, axis=0).cast(ts.float32)

    x = ts.randn(3, 4)
    np.testing.assert_allclose(ts.compile(f)(x).numpy(), f(x).numpy(), rtol=1e-6)


def test_other_names_of_the_same() -> None:
    assert ts.cat is ts.concatenate is ts.concat
    assert ts.manual_seed is ts.seed
    np.testing.assert_array_equal(ts.linspace(-1, 2, 7).numpy(), np.linspace(-1, 2, 7, dtype=np.float32))


def test_examples_in_docstrings_run() -> None:
    done = doctest.testmod(words, extraglobs={"ts": ts})
    assert done.attempted == 10
    assert done.failed == 0


def test_dir_holds_the_public_names_and_no_other() -> None:
    assert {name for name in dir(ts) if not name.startswith("__")} == set(ts.__all__)
    assert {"draw", "load", "run", "load_config"} <= set(dir(ts))


@pytest.mark.parametrize(("a", "b"), [((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((), (2,))])
def test_dot_is_numpys(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    r = np.random.default_rng(0)
    x, y = r.normal(size=a), r.normal(size=b)
    np.testing.assert_allclose(ts.dot(ts.tensor(x), ts.tensor(y)).numpy(), np.dot(x, y), rtol=1e-12)
    check_grads(ts.dot, ts.tensor(x, dtype=ts.float64), ts.tensor(y, dtype=ts.float64))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("axis", [0, -1])
def test_sorting_is_stable_and_puts_nan_where_pytorch_does(axis: int, descending: bool) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install tinyseq[parity]")
    x = np.array([[2.0, np.nan, 1.0, 2.0], [1.0, 2.0, 1.0, -np.inf], [2.0, 0.0, 1.0, 2.0]])
    values, places = torch.sort(torch.tensor(x), dim=axis, descending=descending, stable=True)
    np.testing.assert_array_equal(ts.argsort(ts.tensor(x), axis, descending).numpy(), places.numpy())
    np.testing.assert_array_equal(ts.sort(ts.tensor(x), axis, descending).numpy(), values.numpy())


def test_topk_is_pytorchs_and_its_gradient_goes_to_what_was_taken() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install tinyseq[parity]")
    x = np.random.default_rng(1).normal(size=(3, 7))
    for axis, largest in ((1, True), (0, False)):
        values, places = ts.topk(ts.tensor(x), 2, axis, largest)
        theirs = torch.topk(torch.tensor(x), 2, dim=axis, largest=largest)
        np.testing.assert_array_equal(values.numpy(), theirs.values.numpy())
        np.testing.assert_array_equal(places.numpy(), theirs.indices.numpy())
        check_grads(lambda x, a=axis, b=largest: ts.topk(x, 2, a, b)[0], ts.tensor(x))
    check_grads(ts.sort, ts.tensor(x))
    with pytest.raises(ts.TinyseqError, match=r"topk[\s\S]*0 to 7"):
        ts.topk(ts.tensor(x), 8)


def test_one_hot_is_pytorchs_and_refuses_what_is_no_class() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install tinyseq[parity]")
    labels = np.array([[2, 0], [1, 3]])
    expected = torch.nn.functional.one_hot(torch.tensor(labels), 4)
    np.testing.assert_array_equal(ts.one_hot(ts.tensor(labels), 4).numpy(), expected.numpy())
    with pytest.raises(ts.TinyseqError, match="0 <= label < 3"):
        ts.one_hot(ts.tensor(labels), 3)
    with pytest.raises(ts.TinyseqError, match="integers"):
        ts.one_hot(ts.ones(2), 3)


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_the_words_are_compiled(backend: str) -> None:
    if backend == "llvm":
        pytest.importorskip("llvmlite", reason="llvmlite is not installed: pip install tinyseq[llvm]")

    def f(x: ts.Tensor, labels: ts.Tensor) -> tuple[ts.Tensor, ...]:
        values, places = ts.topk(x, 2, 1)
        loss = (ts.sort(x, 0) * x).sum() + (values * values).sum() + ts.dot(x[0], x[1])
        return loss, *ts.gradients(loss, [x]), places, ts.one_hot(labels, 4), ts.argsort(x, descending=True)

    r = np.random.default_rng(2)
    with ts.backend(backend):
        x = ts.tensor(r.normal(size=(5, 4)), dtype=ts.float32, requires_grad=True)
        labels = ts.tensor([0, 3])
        for got, expected in zip(ts.compile(f)(x, labels), f(x, labels), strict=True):
            np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-5)


def test_linspace_says_what_it_takes() -> None:
    for num in (-1, 2.5):
        with pytest.raises(ts.TinyseqError, match=r"linspace[\s\S]*integer >= 0"):
            ts.linspace(0, 1, num)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ask", "ours"),
    [
        (lambda: ts.ones(2).view(1, 2), "x.reshape"),
        (lambda: ts.ones(2).add_(1.0), "assign"),
        (lambda: ts.ones(2).data, "assign"),
        (lambda: ts.ones(2).astype(np.int64), "x.cast"),
        (lambda: ts.ones(2).topk(1), r"ts\.topk"),
        (lambda: ts.nn.CrossEntropyLoss(), "nn.cross_entropy"),
        (lambda: ts.nn.LSMT(2, 3), "did you mean 'LSTM'"),
        (lambda: ts.nn.ReLU(), r"ts\.relu"),
        (lambda: ts.optim.lr_scheduler, "optim.Scheduler"),
        (lambda: ts.clamp(ts.ones(2)), r"ts\.clip"),
        (lambda: ts.softmx(ts.ones(2)), "did you mean 'softmax'"),
    ],
)
def test_a_name_of_others_is_answered_with_ours(ask: Callable[[], object], ours: str) -> None:
    with pytest.raises(AttributeError, match=ours) as caught:
        ask()
    assert isinstance(caught.value, ts.TinyseqError)


def test_every_hint_names_what_is_there() -> None:
    for table, place in ((hints.TENSOR, ts.Tensor), (hints.NN, ts.nn), (hints.OPTIM, ts.optim), (hints.TS, ts)):
        assert [name for name in table if name in dir(place)] == []
        for said in table.values():
            for module, name in re.findall(r"\b(ts|nn|optim|x|p)\.(\w+)", said):
                owner = {"ts": ts, "nn": ts.nn, "optim": ts.optim, "x": ts.ones(1), "p": ts.ones(1)}[module]
                assert hasattr(owner, name), said
    assert not hasattr(ts.ones(1), "nonsense")
    assert not hasattr(ts, "_nonsense")
