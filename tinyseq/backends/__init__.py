"""Backends, loaded by name when first used."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from tinyseq.backends.base import Array, Backend
from tinyseq.errors import BackendError, did_you_mean
from tinyseq.registry import Registry

__all__ = ["Array", "Backend", "current", "load", "names", "of", "precision", "register", "use"]

#: Name -> what creates the backend; ``register`` adds to it.
BACKENDS: Registry[Callable[[], Backend]] = Registry(
    "backend", {name: f"tinyseq.backends.{name}:create" for name in ("numpy", "llvm", "cupy")}, BackendError
)
#: What ``auto`` tries, the fastest first.
_preference = ("cupy", "llvm", "numpy")
#: Backend -> what a run on it is told: what would be faster on any machine, and how to get it.
_faster = {"numpy": 'backend llvm trains two to three times as fast: pip install "tinyseq[llvm]", then --backend llvm'}
#: The environment variable that names the backend where nobody has.
VARIABLE = "TINYSEQ_BACKEND"
_loaded: dict[str, Backend] = {}
_by_array_type: dict[type, Backend] = {}
_loading = threading.RLock()


#: How products of float32 are computed: in full, or with operands rounded to TF32 where a device does so.
PRECISIONS = ("fp32", "tf32")


class _Chosen(threading.local):
    backend: Backend | None = None
    precision: str = "fp32"


_chosen = _Chosen()


def register(name: str, module: str) -> None:
    """Make a backend known: ``module`` is imported when it is first asked for, and its ``create()`` called."""
    BACKENDS.register(name, f"{module}:create")


def names() -> tuple[str, ...]:
    """Return the names that ``backend(...)``, a config and the command line take, ``auto`` included."""
    return (*BACKENDS, "auto")


def load(name: str) -> Backend:
    """Return the backend of that name; ``auto`` is that of ``TINYSEQ_BACKEND``, else the first that works here.

    Raises:
        BackendError: the name is unknown, or the backend cannot run on this machine.
    """
    if name == "auto":
        chosen = os.environ.get(VARIABLE, "auto")
        for candidate in _preference if chosen == "auto" else [chosen]:
            try:
                return load(candidate)
            except BackendError:
                if candidate == chosen:
                    raise
    if name not in BACKENDS:
        raise BackendError(
            f"unknown backend {name!r}",
            fix=f"{did_you_mean(name, names())}; one of your own is registered in the program: backends.register",
        )
    if name not in _loaded:
        create = BACKENDS[name]
        with _loading:
            if name not in _loaded:  # another thread may have been quicker
                instance = create()
                _by_array_type.setdefault(instance.array_type, instance)  # they may share a type: it is the first's
                _loaded[name] = instance
    return _loaded[name]


def current() -> Backend:
    """Return the backend that new tensors are made on: the innermost ``use``, else ``TINYSEQ_BACKEND``, else numpy."""
    return _chosen.backend or load(os.environ.get(VARIABLE, "numpy"))


def faster() -> str:
    """Return, in a line, what would be faster than the current backend and how to get it; empty where nothing would."""
    return _faster.get(current().name, "")


def precision() -> str:
    """Return how compiled products of float32 are computed: ``fp32``, or ``tf32`` where that was asked for."""
    return _chosen.precision


@contextmanager
def use(name: str, precision: str | None = None) -> Iterator[Backend]:
    """Make new tensors on the named backend, within the ``with`` block and this thread.

    ``precision="tf32"`` lets compiled products on a GPU round their operands to 10 bits of mantissa; off by default.

    Raises:
        BackendError: the name or precision is unknown, or the backend cannot run on this machine.

    As ``torch.device`` in a ``with`` block. It gives the backend.

    >>> with ts.backend("numpy") as backend:
    ...     x = ts.ones(3)
    ...
    >>> x.backend.name, x.sum().item()
    ('numpy', 3.0)
    """
    if precision is not None and precision not in PRECISIONS:
        raise BackendError(f"unknown precision {precision!r}", fix=did_you_mean(precision, PRECISIONS))
    outer = _chosen.backend, _chosen.precision
    _chosen.backend = load(name)
    _chosen.precision = precision or _chosen.precision
    try:
        yield _chosen.backend
    finally:
        _chosen.backend, _chosen.precision = outer


def of(array: Array) -> Backend:
    """Return the backend whose array this is."""
    backend = _by_array_type.get(type(array))
    if backend is not None:
        return backend
    for candidate in _loaded.values():
        if isinstance(array, candidate.array_type):
            return candidate
    if isinstance(array, np.generic):
        return _loaded["numpy"]
    raise BackendError(
        f"no loaded backend has arrays of type {type(array).__module__}.{type(array).__qualname__}",
        required=f"an array of one of: {', '.join(_loaded)}",
        fix="make it a tensor with ts.tensor(...)",
    )


load("numpy")
