"""What executables are given, however called: it fits, is brought into place, or is refused; in each lowering."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support import strict
from support.cuda_on_host import needs_compiler
from tinyseq import backends
from tinyseq.compiler.target import TARGETS
from tinyseq.errors import DataError, DtypeError, ShapeError

backends.register("strict", strict.__name__)
needs = {
    "llvm": pytest.mark.skipif(not importlib.util.find_spec("llvmlite"), reason="llvmlite is not installed"),
    "cuda-on-host": needs_compiler,
}
BACKENDS = [pytest.param(name, marks=needs.get(name, ())) for name in ("numpy", "llvm", "strict", "cuda-on-host")]
#: An array that is copied, and one that native code reads where it is.
SIZES = [(3, 5), (70, 90)]


def f(x: ts.Tensor, y: ts.Tensor) -> ts.Tensor:
    return ts.exp(x) * 2.0 + y


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[backends.Backend]:
    with ts.backend(request.param) as chosen:
        yield chosen


class Bound:
    """An executable of ``f`` and its gradient, and the inputs that it was compiled for."""

    def __init__(self, backend: backends.Backend, size: tuple[int, int]) -> None:
        self.backend = backend
        rng = np.random.default_rng(0)
        self.x, self.y = (rng.uniform(0.5, 1.5, size=size).astype(np.float32) for _ in range(2))
        fast = ts.compile(f)
        fast(ts.tensor(self.x, requires_grad=True), ts.tensor(self.y))
        self.executable = TARGETS[backend.target].executable(fast.plan)
        self.leaves = list(fast.plan.inputs)

    def forward(self, x: Any, y: Any, listed: bool = False) -> np.ndarray:
        x, y = (self.there(a) for a in (x, y))
        if listed:
            (result,) = self.executable.forward_list([x, y], 1)
        else:
            (result,) = self.executable.forward(dict(zip(self.leaves, (x, y), strict=False)), 1)
        return self.backend.to_host(result)

    def backward(self, seed: Any) -> np.ndarray:
        (result,) = self.executable.backward_list([self.there(seed)], 1)
        return self.backend.to_host(result)

    def there(self, a: Any) -> Any:
        """Bring an array to where the backend is, its strides kept; what is no array stays."""
        if not isinstance(a, np.ndarray) or isinstance(a, self.backend.array_type):
            return a
        return strict.DeviceArray(a)

    def right(self, x: Any, y: Any) -> np.ndarray:
        return np.exp(x.astype(np.float64)) * 2.0 + y


@pytest.fixture(params=SIZES, ids=str)
def bound(backend: backends.Backend, request: pytest.FixtureRequest) -> Bound:
    return Bound(backend, request.param)


def unaligned(a: np.ndarray) -> np.ndarray:
    """The same elements, one byte beside where they may be."""
    room = np.zeros(a.nbytes + 1, np.uint8)
    moved = room[1:].view(a.dtype).reshape(a.shape)
    moved[...] = a
    assert not moved.flags.aligned
    return moved


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


class Sub(np.ndarray):
    """An array of a user's own class."""


#: The same values, lying otherwise in memory.
FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "as it is": lambda a: a,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "backwards": lambda a: a[::-1].copy()[::-1],
    "unaligned": unaligned,
    "read only": read_only,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "little-endian": lambda a: a.astype(a.dtype.newbyteorder("<")),
    "a subclass": lambda a: a.view(Sub),
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
}


@pytest.mark.parametrize("listed", [False, True], ids=["by input", "in a list"])
@pytest.mark.parametrize("form", FORMS)
def test_whatever_lies_otherwise_is_read_right(bound: Bound, form: str, listed: bool) -> None:
    """In turn with arrays that lie as they should; twice, for a second sight may be another."""
    seed = FORMS[form](bound.y)
    for x in (bound.x, FORMS[form](bound.x), FORMS[form](bound.x), bound.y, FORMS[form](bound.x)):
        for _ in range(2):
            np.testing.assert_allclose(bound.forward(x, bound.y, listed), bound.right(x, bound.y), rtol=1e-5)
            expected = np.exp(np.asarray(x, np.float64)) * 2.0 * np.asarray(seed, np.float64)
            np.testing.assert_allclose(bound.backward(seed), expected, rtol=1e-5)


def wrong(size: tuple[int, int]) -> dict[str, tuple[Any, type[Exception]]]:
    rows, columns = size
    one = np.ones
    return {
        "fewer rows": (one((rows - 1, columns), np.float32), ShapeError),
        "fewer columns": (one((rows, columns - 1), np.float32), ShapeError),
        "a row": (one((1, columns), np.float32), ShapeError),
        "turned": (one((columns, rows), np.float32), ShapeError),
        "flat": (one(rows * columns, np.float32), ShapeError),
        "one axis more": (one((1, rows, columns), np.float32), ShapeError),
        "nothing": (one((0, columns), np.float32), ShapeError),
        "half of it": (one(size, np.float16), DtypeError),
        "twice": (one(size, np.float64), DtypeError),
        "integers": (one(size, np.int32), DtypeError),
        "booleans": (one(size, np.bool_), DtypeError),
        "objects": (one(size, object), DtypeError),
        "a list": ([[1.0] * columns] * rows, DataError),
        "none": (None, DataError),
        "bytes": (b"1234", DataError),
    }


@pytest.mark.parametrize("listed", [False, True], ids=["by input", "in a list"])
@pytest.mark.parametrize("case", wrong((3, 5)))
def test_what_does_not_fit_is_refused(bound: Bound, case: str, listed: bool) -> None:
    x, family = wrong(bound.x.shape)[case]
    bound.forward(bound.x, bound.y)
    for _ in range(2):
        with pytest.raises(family, match="input x of a compiled function"):
            bound.forward(x, bound.y, listed)
        with pytest.raises(family, match="of a compiled function"):
            bound.backward(x)
    np.testing.assert_allclose(bound.forward(bound.x, bound.y), bound.right(bound.x, bound.y), rtol=1e-5)


def test_one_number_stands_for_a_whole_gradient_and_for_nothing_else(bound: Bound) -> None:
    bound.forward(bound.x, bound.y)
    for seed in (np.ones((), np.float32), np.float32(1.0), np.ones((), np.float64)):
        np.testing.assert_allclose(bound.backward(seed), np.exp(bound.x) * 2.0, rtol=1e-5)
    with pytest.raises(ShapeError):
        bound.forward(np.ones((), np.float32), bound.y)


def test_arrays_too_many_are_refused(bound: Bound) -> None:
    with pytest.raises(DataError, match="3 at most"):
        bound.executable.forward_list([bound.there(bound.x)] * 4, 1)


def test_results_stay_whatever_is_asked_for_later(bound: Bound) -> None:
    """An earlier call's results are not written to, also where fewer are asked for."""
    bound.forward(bound.x, bound.y)
    seed = np.ones_like(bound.y)
    first = bound.backward(seed)
    kept = first.copy()
    bound.forward(bound.y, bound.y)
    assert bound.executable.backward_list([bound.there(seed)], 2) == []
    np.testing.assert_array_equal(first, kept)
