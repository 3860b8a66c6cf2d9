"""Functions that make tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyseq import backends
from tinyseq.errors import BackendError, DtypeError, GraphError, ShapeError
from tinyseq.graph import Leaf
from tinyseq.modes import mode
from tinyseq.ops.base import FLOAT32, FLOAT64, INT64, DtypeLike, native
from tinyseq.ops.draws import uniform
from tinyseq.ops.elementwise import cos, log1p, sqrt
from tinyseq.random import generator
from tinyseq.tensors import Tensor

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: More elements than this NumPy's sizes cannot count.
_COUNTED = 1 << 58


def tensor(
    data: ArrayLike | Tensor, *, dtype: DtypeLike | None = None, requires_grad: bool = False, name: str | None = None
) -> Tensor:
    """Make a tensor from numbers, nested lists or an array; the data is copied.

    Args:
        data: anything NumPy turns into an array of booleans, integers or floats.
        dtype: by default float32 for Python floats, the array's own dtype for arrays, int64 for integers.
        requires_grad: whether ``backward()`` shall leave a gradient here.
        name: what pictures and messages call it.

    Raises:
        DtypeError: the data is not of numbers, or a gradient is asked of integers.

    As ``torch.tensor``.

    >>> ts.tensor([[1, 2], [3, 4]]) * 2
    tensor([[2, 4],
            [6, 8]])
    """
    if isinstance(data, Tensor):
        data = data.value
    if not isinstance(data, np.ndarray | np.generic) and hasattr(data, "dtype") and hasattr(data, "get"):
        home = backends.of(data)
        if home is backends.current():
            return _copied(home, data, dtype, requires_grad, name)
        data = home.to_host(data)
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise DtypeError("tensor: the rows differ in length", got=str(error)) from None
    if array.dtype.kind not in "biuf":
        raise DtypeError("tensor: not numbers", required="booleans, integers or floats", got=str(array.dtype))
    if dtype is None:
        known = array.dtype.newbyteorder("=") in (FLOAT32, FLOAT64)
        kept = isinstance(data, np.ndarray | np.generic) and known
        dtype = array.dtype if kept or array.dtype.kind == "b" else FLOAT32 if array.dtype.kind == "f" else INT64
        if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(INT64).max:
            raise DtypeError(
                "tensor: an integer does not fit into int64",
                required=f"at most {np.iinfo(INT64).max}",
                got=str(array.max()),
                fix="dtype=ts.float64, or np.uint64",
            )
    # In C order, as files and other libraries take it, and in the machine's byte order, whatever the array's.
    return _finish(np.array(array, dtype=native(dtype), order="C"), requires_grad, name)


def _copied(home: backends.Backend, data: Any, dtype: Any, requires_grad: bool, name: str | None) -> Tensor:
    """A tensor of an array that is on the current backend already: it never leaves the device."""
    kept = data.dtype in (FLOAT32, FLOAT64) or data.dtype.kind == "b"
    wanted = (
        native(dtype) if dtype is not None else (data.dtype if kept else FLOAT32 if data.dtype.kind == "f" else INT64)
    )
    return _made(home.xp.array(data, dtype=wanted), requires_grad, name)


def _finish(array: np.ndarray[Any, Any], requires_grad: bool, name: str | None = None) -> Tensor:
    return _made(backends.current().from_host(array), requires_grad, name)


def _made(value: Any, requires_grad: bool, name: str | None = None) -> Tensor:
    if not value.dtype.isnative:
        value = value.astype(native(value.dtype))
    if requires_grad and value.dtype.kind != "f":
        raise DtypeError("only floating-point tensors have gradients", got=str(value.dtype), fix="dtype=ts.float32")
    if not requires_grad and name is None and mode.tracing is None:  # a trace tells by the leaf what is of its own
        return Tensor(value)
    return Tensor(value, Leaf(value.shape, value.dtype, requires_grad, name), requires_grad)


def from_dlpack(x: object) -> Tensor:
    """Return a tensor of another library's array (PyTorch, CuPy, JAX, NumPy), without a copy: they share memory.

    The array's device decides the backend. Tensors are immutable: do not write to the array while the tensor is used.
    The other way is ``torch.from_dlpack(t)``, ``numpy.from_dlpack(t)``, ``cupy.from_dlpack(t)``.

    Raises:
        DtypeError: the array is not of booleans, integers or floats that tensors have.
        BackendError: it is on a device that no backend of this machine has.

    As ``numpy.from_dlpack``, ``torch.from_dlpack``.

    >>> ts.from_dlpack(np.arange(3)) + 1
    tensor([1, 2, 3])
    """
    if not hasattr(x, "__dlpack_device__"):
        raise DtypeError(
            "from_dlpack: not an array that exports itself",
            required="__dlpack__, as arrays of PyTorch, NumPy, CuPy and JAX have",
            got=type(x).__qualname__,
            fix="ts.tensor(x), which copies",
        )
    device = int(x.__dlpack_device__()[0])
    if device not in _DLPACK_BACKENDS:
        raise BackendError(
            "from_dlpack: no backend for this device", required="memory of the CPU or of CUDA", got=f"device {device}"
        )
    backend = backends.load(_DLPACK_BACKENDS[device])
    try:
        value = backend.xp.from_dlpack(x)
    except (BufferError, RuntimeError) as error:  # it requires a gradient in PyTorch, or is of a dtype like bfloat16
        raise DtypeError(
            "from_dlpack: the array cannot be shared", got=str(error), fix="ts.tensor(x), a copy"
        ) from None
    if value.dtype.kind not in "biuf":
        raise DtypeError("from_dlpack: not numbers", required="booleans, integers or floats", got=str(value.dtype))
    return _made(value, False)


#: DLPack's number of a device's kind -> the backend whose arrays lie there.
_DLPACK_BACKENDS = {1: "numpy", 2: "cupy"}


def _extents(shape: tuple[Any, ...]) -> tuple[int, ...]:
    extents = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else tuple(shape)
    sizes = [n for n in extents if isinstance(n, int)]
    if min(sizes, default=0) < 0 or math.prod(n for n in sizes if n) > _COUNTED:
        required = "extents of at least 0, and no more elements than can be counted"
        raise ShapeError("a tensor of no size", required=required, got=f"{extents!s:.80}")
    return extents


def zeros(*shape: int | Sequence[int], dtype: DtypeLike = FLOAT32, requires_grad: bool = False) -> Tensor:
    """Return zeros of a shape.

    y = 0, float32 or another dtype. The shape as numbers or as one tuple. As ``numpy.zeros``, ``torch.zeros``.

    >>> ts.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    return full(_extents(shape), 0, dtype=dtype, requires_grad=requires_grad)


def ones(*shape: int | Sequence[int], dtype: DtypeLike = FLOAT32, requires_grad: bool = False) -> Tensor:
    """Return ones of a shape.

    y = 1, float32 or another dtype. The shape as numbers or as one tuple. As ``numpy.ones``, ``torch.ones``.

    >>> ts.ones((2, 2), dtype=ts.int64)
    tensor([[1, 1],
            [1, 1]])
    """
    return full(_extents(shape), 1, dtype=dtype, requires_grad=requires_grad)


def full(
    shape: int | Sequence[int], value: float, *, dtype: DtypeLike = FLOAT32, requires_grad: bool = False
) -> Tensor:
    """Return a shape filled with one value.

    y = value, float32 or another dtype. As ``numpy.full``, ``torch.full``.

    >>> ts.full((2,), 7.0)
    tensor([7., 7.])
    """
    return _made(backends.current().xp.full(_extents((shape,)), value, dtype=dtype), requires_grad)


def arange(*limits: float, dtype: DtypeLike | None = None) -> Tensor:
    """Return evenly spaced numbers, as NumPy's arange; int64 for integers, float32 for floats.

    y_i = start + i step, below stop. As ``numpy.arange``, ``torch.arange``.

    >>> ts.arange(0, 10, 4)
    tensor([0, 4, 8])
    """
    whole = all(isinstance(limit, int | np.integer) for limit in limits)
    values = backends.current().xp.arange(*limits, dtype=INT64 if whole else FLOAT64)
    return _made(values.astype(dtype or (INT64 if whole else FLOAT32)), False)


def eye(n: int, *, dtype: DtypeLike = FLOAT32) -> Tensor:
    """Return the n x n identity matrix.

    y_ij = 1 where i = j, else 0; float32 or another dtype. As ``numpy.eye``, ``torch.eye``.

    >>> ts.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    return _made(backends.current().xp.eye(n, dtype=dtype), False)


def rand(*shape: int | Sequence[int], dtype: DtypeLike = FLOAT32, requires_grad: bool = False) -> Tensor:
    """Return draws uniform on [0, 1), from the generator that ``ts.seed`` sets; compiled, new ones at each call.

    float32 or another dtype of floats. As ``numpy.random.rand``, ``torch.rand``.

    >>> ts.seed(0)
    >>> x = ts.rand(1000)
    >>> bool(((x >= 0) & (x < 1)).min()), round(x.mean().item(), 1)
    (True, 0.5)
    """
    return _drawn(_uniform(_extents(shape)), dtype, requires_grad)


def randn(*shape: int | Sequence[int], dtype: DtypeLike = FLOAT32, requires_grad: bool = False) -> Tensor:
    """Return standard normal draws (Box and Muller 1958), from the generator that ``ts.seed`` sets; see ``rand``.

    float32 or another dtype of floats. As ``numpy.random.randn``, ``torch.randn``.

    >>> ts.seed(0)
    >>> x = ts.randn(10_000)
    >>> round(abs(x.mean().item()), 1), round(x.var().item(), 1)
    (0.0, 1.0)
    """
    first, second = _uniform((2, *_extents(shape)))
    return _drawn(sqrt(-2.0 * log1p(-first)) * cos(2.0 * math.pi * second), dtype, requires_grad)


def _uniform(shape: tuple[int, ...]) -> Any:
    """Draw float64 numbers: arrays on the host, so that every backend starts from the same values, or traced."""
    if mode.tracing is not None and mode.tracing.repeatable:
        return uniform(shape=shape, dtype=FLOAT64, **generator.key(0))
    return generator.uniform(shape)


def _drawn(values: Any, dtype: Any, requires_grad: bool) -> Tensor:
    if not isinstance(values, Tensor):
        return _finish(np.asarray(values).astype(dtype), requires_grad)
    if requires_grad:
        raise GraphError(
            "a compiled function makes a parameter of random numbers",
            required="parameters made once, outside of it: they are its inputs",
            fix="make the tensor before, and close over it",
        )
    return values.cast(dtype)
