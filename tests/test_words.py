"""Words of NumPy and PyTorch: NumPy's values, gradients by hand, the examples of their docstrings, and `dir(ts)`."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import words

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
    assert done.attempted == 5
    assert done.failed == 0


def test_dir_holds_the_public_names_and_no_other() -> None:
    assert {name for name in dir(ts) if not name.startswith("__")} == set(ts.__all__)
    assert {"draw", "load", "run", "load_config"} <= set(dir(ts))
