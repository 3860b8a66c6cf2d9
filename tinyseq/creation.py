"""Functions that make tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyseq import backends
from tinyseq.errors import DtypeError
from tinyseq.graph import Dtype, Leaf
from tinyseq.ops.base import FLOAT32, FLOAT64, INT64
from tinyseq.random import generator
from tinyseq.tensors import Tensor


def tensor(data: Any, *, dtype: Any = None, requires_grad: bool = False, name: str | None = None) -> Tensor:
    """Make a tensor from numbers, nested lists or an array; the data is copied.

    Args:
        data: anything NumPy turns into an array of booleans, integers or floats.
        dtype: by default float32 for Python floats, the array's own dtype for arrays, int64 for integers.
        requires_grad: whether ``backward()`` shall leave a gradient here.
        name: what pictures and messages call it.

    Raises:
        DtypeError: the data is not of numbers, or a gradient is asked of integers.
    """
    if isinstance(data, Tensor):
        data = data.value
    if not isinstance(data, np.ndarray | np.generic) and hasattr(data, "dtype") and hasattr(data, "get"):
        data = backends.of(data).to_host(data)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise DtypeError("tensor: the rows differ in length", got=str(error)) from None
    if array.dtype.kind not in "biuf":
        raise DtypeError("tensor: not numbers", required="booleans, integers or floats", got=str(array.dtype))
    if dtype is None:
        kept = isinstance(data, np.ndarray | np.generic) and array.dtype in (FLOAT32, FLOAT64)
        dtype = array.dtype if kept or array.dtype.kind == "b" else FLOAT32 if array.dtype.kind == "f" else INT64
    return _finish(np.array(array, dtype=dtype), requires_grad, name)


def _finish(array: np.ndarray[Any, Any], requires_grad: bool, name: str | None = None) -> Tensor:
    if requires_grad and array.dtype.kind != "f":
        raise DtypeError("only floating-point tensors have gradients", got=str(array.dtype), fix="dtype=ts.float32")
    value = backends.current().from_host(array)
    if not requires_grad and name is None:
        return Tensor(value)
    return Tensor(value, Leaf(array.shape, array.dtype, requires_grad, name), requires_grad)


def _extents(shape: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else tuple(shape)


def zeros(*shape: Any, dtype: Dtype | type = FLOAT32, requires_grad: bool = False) -> Tensor:
    """Return zeros of a shape."""
    return _finish(np.zeros(_extents(shape), dtype), requires_grad)


def ones(*shape: Any, dtype: Dtype | type = FLOAT32, requires_grad: bool = False) -> Tensor:
    """Return ones of a shape."""
    return _finish(np.ones(_extents(shape), dtype), requires_grad)


def full(shape: Any, value: float, *, dtype: Dtype | type = FLOAT32, requires_grad: bool = False) -> Tensor:
    """Return a shape filled with one value."""
    return _finish(np.full(shape, value, dtype), requires_grad)


def arange(*limits: float, dtype: Dtype | type | None = None) -> Tensor:
    """Return evenly spaced numbers, as NumPy's arange; int64 for integers, float32 for floats."""
    return tensor(np.arange(*limits).tolist() if dtype is None else np.arange(*limits, dtype=dtype))


def eye(n: int, *, dtype: Dtype | type = FLOAT32) -> Tensor:
    """Return the n x n identity matrix."""
    return _finish(np.eye(n, dtype=dtype), False)


def rand(*shape: Any, dtype: Dtype | type = FLOAT32, requires_grad: bool = False) -> Tensor:
    """Return draws uniform on [0, 1), from the generator that ``ts.seed`` sets."""
    return _finish(generator.uniform(_extents(shape)).astype(dtype), requires_grad)


def randn(*shape: Any, dtype: Dtype | type = FLOAT32, requires_grad: bool = False) -> Tensor:
    """Return standard normal draws, from the generator that ``ts.seed`` sets."""
    return _finish(generator.normal(_extents(shape)).astype(dtype), requires_grad)
