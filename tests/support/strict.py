"""A backend that forbids what CuPy forbids, on a machine without a GPU: NumPy behind a wall.

Its arrays are no NumPy arrays and do not turn into them: only ``asarray`` brings numbers in, and only ``get``, ``item``
and the like bring them out, and both are counted. Its array module has the functions that CuPy has and the engine's
kernels may use (``ALLOWED``); anything else raises. Sums and comparisons of arrays and NumPy arrays raise, as in CuPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from tinyseq import backends
from tinyseq.compiler.layout import Layout
from tinyseq.compiler.lower import arrays
from tinyseq.compiler.pipeline import STANDARD
from tinyseq.compiler.target import TARGETS, Target

#: What kernels may ask of an array module; ``test_dispatch.py`` shows that CuPy has all of it.
ALLOWED = frozenset(
    [
        "abs",
        "absolute",
        "add",
        "arange",
        "argmax",
        "argsort",
        "argmin",
        "array",
        "asarray",
        "broadcast_to",
        "concatenate",
        "copyto",
        "cos",
        "cumsum",
        "clip",
        "einsum",
        "empty",
        "equal",
        "exp",
        "expm1",
        "eye",
        "flip",
        "full",
        "greater",
        "greater_equal",
        "isfinite",
        "less",
        "less_equal",
        "log",
        "log1p",
        "logaddexp",
        "logical_and",
        "logical_not",
        "logical_or",
        "matmul",
        "maximum",
        "minimum",
        "multiply",
        "negative",
        "not_equal",
        "ones",
        "ones_like",
        "pad",
        "sign",
        "sin",
        "sqrt",
        "stack",
        "subtract",
        "tanh",
        "tril",
        "triu",
        "true_divide",
        "where",
        "zeros",
        "zeros_like",
    ]
)
#: Types and constants, which are NumPy's own in CuPy too.
SHARED = frozenset(
    [
        "bool_",
        "float32",
        "float64",
        "int32",
        "int64",
        "uint8",
        "uint32",
        "uint64",
        "newaxis",
        "inf",
        "nan",
        "pi",
        "dtype",
    ]
)


@dataclass
class Transfers:
    """What crossed between host and device: the shapes of arrays in and out, and single values read."""

    to_device: list[tuple[int, ...]] = field(default_factory=list)
    to_host: list[tuple[int, ...]] = field(default_factory=list)
    #: Reading one element (``item``, ``float``, ``if``): a few bytes, and a wait until the device is done.
    scalars: int = 0


_counting: list[Transfers] = []


@contextmanager
def transfers() -> Iterator[Transfers]:
    """Count what crosses inside the ``with`` block."""
    found = Transfers()
    _counting.append(found)
    try:
        yield found
    finally:
        _counting.remove(found)


def _note(kind: str, shape: tuple[int, ...] = ()) -> None:
    for found in _counting:
        if kind == "scalar":
            found.scalars += 1
        else:
            getattr(found, kind).append(shape)


def _inside(x: Any) -> Any:
    """The NumPy array behind an operand; a NumPy array of the host's is refused."""
    if isinstance(x, DeviceArray):
        return x._array
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}: an array of the host among arrays of the device")
    if isinstance(x, tuple | list):
        return type(x)(_inside(part) for part in x)
    return x


def _outside(x: Any) -> Any:
    return DeviceArray(np.asarray(x)) if isinstance(x, np.ndarray | np.generic) else x


@dataclass(frozen=True)
class Pointer:
    """A place in an array's memory, as CuPy's MemoryPointer."""

    memory: np.ndarray
    offset: int

    @property
    def ptr(self) -> int:
        return self.memory.ctypes.data + self.offset

    def __add__(self, nbytes: int) -> Pointer:
        return Pointer(self.memory, self.offset + nbytes)


class DeviceArray:
    """An array that only this module's functions can see into."""

    __slots__ = ("_array",)
    __array_ufunc__ = None
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def __init__(self, array: Any, dtype: Any = None, memptr: Any = None, strides: Any = None) -> None:
        """Of an array or, as CuPy's, of a shape and a place in memory."""
        if memptr is not None:
            array = np.ndarray(array, dtype, memptr.memory, memptr.offset, strides)
        self._array = array

    @property
    def data(self) -> Pointer:
        return Pointer(self._array, 0)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed: use .get()")

    # -- what is known on the host without asking the device ---------------------------------------------------------
    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    nbytes = property(lambda self: self._array.nbytes)
    itemsize = property(lambda self: self._array.itemsize)
    strides = property(lambda self: self._array.strides)
    flags = property(lambda self: self._array.flags)
    T = property(lambda self: DeviceArray(self._array.T))

    def __len__(self) -> int:
        return len(self._array)

    # -- what brings numbers in, and out -------------------------------------------------------------------------------
    def set(self, host: np.ndarray, stream: Any) -> None:
        _note("to_device", self.shape)
        self._array[...] = host

    def get(self) -> np.ndarray:
        _note("to_host", self.shape)
        return self._array.copy()

    def tolist(self) -> Any:
        return self.get().tolist()

    def item(self) -> Any:
        _note("scalar")
        return self._array.item()

    def __bool__(self) -> bool:
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __index__(self) -> int:
        return self.item().__index__()

    def nonzero(self) -> tuple[DeviceArray, ...]:
        _note("scalar")  # how many there are decides the shapes
        return tuple(DeviceArray(part) for part in self._array.nonzero())

    # -- what computes ------------------------------------------------------------------------------------------------
    def __getitem__(self, key: Any) -> DeviceArray:
        return DeviceArray(np.asarray(self._array[_inside(key)]))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._array[_inside(key)] = _inside(value)


def _method(name: str) -> Callable[..., Any]:
    def call(self: DeviceArray, *args: Any, **kwargs: Any) -> Any:
        given = {key: _inside(value) for key, value in kwargs.items()}
        result = getattr(self._array, name)(*(_inside(x) for x in args), **given)
        return result if result is NotImplemented else _outside(result)

    return call


for _name in [
    "astype",
    "reshape",
    "transpose",
    "sum",
    "max",
    "min",
    "any",
    "all",
    "argmax",
    "argmin",
    "copy",
    "ravel",
    "view",
    "fill",
    "__add__",
    "__radd__",
    "__sub__",
    "__rsub__",
    "__mul__",
    "__rmul__",
    "__truediv__",
    "__rtruediv__",
    "__pow__",
    "__rpow__",
    "__neg__",
    "__abs__",
    "__matmul__",
    "__eq__",
    "__ne__",
    "__lt__",
    "__le__",
    "__gt__",
    "__ge__",
    "__and__",
    "__or__",
    "__xor__",
    "__invert__",
    "__rshift__",
    "__lshift__",
]:
    setattr(DeviceArray, _name, _method(_name))


class _Function:
    """A function of the module; a ufunc has ``reduce`` and ``at`` besides."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = {key: _inside(value) for key, value in kwargs.items()}
        return _outside(self._function(*(_inside(x) for x in args), **given))

    def reduce(self, x: DeviceArray, axis: Any = 0, dtype: Any = None) -> DeviceArray:
        return _outside(self._function.reduce(_inside(x), axis=axis, dtype=dtype))

    def at(self, x: DeviceArray, key: Any, updates: DeviceArray) -> None:
        self._function.at(_inside(x), _inside(key), _inside(updates))


class _Module:
    """The array module."""

    ndarray = DeviceArray

    def __getattr__(self, name: str) -> Any:
        if name in SHARED:
            return getattr(np, name)
        if name not in ALLOWED:
            raise AttributeError(f"the array protocol has no {name!r}")
        return _Function(getattr(np, name))

    def asarray(self, x: Any, dtype: Any = None) -> DeviceArray:
        if isinstance(x, DeviceArray):
            return DeviceArray(np.asarray(x._array, dtype=dtype))
        if isinstance(x, np.ndarray | list | tuple):
            _note("to_device", np.shape(x))
        return DeviceArray(np.array(x, dtype=dtype))  # a scalar travels in the arguments of a kernel

    def array(self, x: Any, dtype: Any = None) -> DeviceArray:
        return self.asarray(x, dtype).copy()


TARGETS.register("strict", Target("strict", STANDARD, Layout, f"{__name__}:Executable"))


class StrictBackend:
    name: ClassVar[str] = "strict"
    target: ClassVar[str] = "strict"
    asynchronous: ClassVar[bool] = False

    def __init__(self) -> None:
        self.xp = _Module()
        self.array_type: type = DeviceArray

    def from_host(self, array: np.ndarray) -> DeviceArray:
        _note("to_device", array.shape)
        return DeviceArray(np.array(array))

    def to_host(self, array: DeviceArray) -> np.ndarray:
        return array.get()

    def fetch(self, array: DeviceArray) -> Callable[[], np.ndarray]:
        return lambda: self.to_host(array)

    def allocate(self, nbytes: int) -> DeviceArray:
        return DeviceArray(np.zeros(nbytes, np.uint8))

    def view(self, memory: DeviceArray, offset: int, shape: Any, strides: Any, dtype: Any) -> DeviceArray:
        return DeviceArray(np.ndarray(shape, dtype, memory._array, offset, strides))

    def erf(self, x: DeviceArray) -> DeviceArray:
        return DeviceArray(np.asarray(backends.load("numpy").erf(x._array)))

    def scatter_add(self, shape: tuple[int, ...], key: Any, updates: DeviceArray) -> DeviceArray:
        out = self.xp.zeros(shape, dtype=updates.dtype)
        self.xp.add.at(out, key, updates)
        return out

    def memory(self) -> dict[str, int]:
        return {}

    def describe(self) -> dict[str, str]:
        return {"backend": "strict", "device": "a wall around NumPy"}


class Executable(arrays.Executable):
    """How plans run on this backend."""

    on = "strict"


def create() -> StrictBackend:
    return StrictBackend()
