"""Initial values, drawn on the host from the generator that ``ts.seed`` sets, so that every backend starts alike.

Layers take initialisations by name (``INITIALIZERS``) or as a function (rows, columns) -> array.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinyseq.errors import DataError, ShapeError
from tinyseq.random import generator
from tinyseq.registry import Registry

log = logging.getLogger("tinyseq.nn")

Array = np.ndarray[Any, Any]
#: More elements than this NumPy's sizes cannot count.
_COUNTED = 1 << 58
#: (rows, columns) -> array; rows is the fan-in of a matrix that stands on the right, as in ``x @ W``.
Initializer = Callable[[int, int], Array]


class _Mode(threading.local):
    shapes_only = False


_mode = _Mode()


@contextmanager
def shapes_only() -> Iterator[None]:
    """Draw nothing inside the ``with`` block: layers have their shapes, and all of a tensor is one zero in memory."""
    outer, _mode.shapes_only = _mode.shapes_only, True
    try:
        yield
    finally:
        _mode.shapes_only = outer


def is_shapes_only() -> bool:
    """Return whether values are left out here."""
    return _mode.shapes_only


def _shape(*shape: int) -> Array:
    if math.prod(shape) > _COUNTED:
        raise MemoryError(f"an array of shape {shape}")
    return np.broadcast_to(np.zeros(()), shape)


def zeros(*shape: int) -> Array:
    """Return zeros."""
    if _mode.shapes_only:
        return _shape(*shape)
    return np.zeros(shape)


def full(*shape: int, value: float) -> Array:
    """Return one value everywhere."""
    if _mode.shapes_only:
        return _shape(*shape)
    return np.full(shape, float(value))


def uniform(*shape: int, low: float = 0.0, high: float = 1.0) -> Array:
    """Return draws uniform on [low, high)."""
    if _mode.shapes_only:
        return _shape(*shape)
    return low + (high - low) * generator.uniform(shape)


def normal(*shape: int, std: float) -> Array:
    """Return normal draws of mean 0."""
    if _mode.shapes_only:
        return _shape(*shape)
    return generator.normal(shape) * std


def glorot(fan_in: int, fan_out: int) -> Array:
    """Return (fan_in, fan_out) draws uniform within ± sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, eq. 16)."""
    bound = math.sqrt(6.0 / max(fan_in + fan_out, 1))
    return uniform(fan_in, fan_out, low=-bound, high=bound)


def glorot_normal(fan_in: int, fan_out: int) -> Array:
    """Return (fan_in, fan_out) normal draws with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 12)."""
    return normal(fan_in, fan_out, std=math.sqrt(2.0 / max(fan_in + fan_out, 1)))


def he(fan_in: int, fan_out: int) -> Array:
    """Return (fan_in, fan_out) normal draws with variance 2 / fan_in (He et al. 2015, eq. 10)."""
    return normal(fan_in, fan_out, std=math.sqrt(2.0 / max(fan_in, 1)))


def fan_out_uniform(rows: int, columns: int) -> Array:
    """Return (rows, columns) draws uniform within ± 1 / sqrt(columns), as PyTorch starts recurrent layers."""
    bound = 1.0 / math.sqrt(max(columns, 1))
    return uniform(rows, columns, low=-bound, high=bound)


def orthogonal(rows: int, columns: int, gain: float = 1.0) -> Array:
    """Return a matrix with orthonormal rows or columns, whichever are fewer (Saxe et al. 2014), scaled by ``gain``."""
    q, r = np.linalg.qr(generator.normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diagonal(r))  # without the signs the draw would not be uniform over rotations
    return gain * (q if rows >= columns else q.T)


def identity(rows: int, columns: int) -> Array:
    """Return the identity, for recurrent ReLU units (Le, Jaitly and Hinton 2015)."""
    return np.eye(rows, columns)


INITIALIZERS: Registry[Initializer] = Registry(
    "initialisation",
    {
        "fan_out_uniform": fan_out_uniform,
        "glorot": glorot,
        "glorot_normal": glorot_normal,
        "he": he,
        "identity": identity,
        "orthogonal": orthogonal,
        "zeros": zeros,
    },
)


def draw(how: str | Initializer, rows: int, columns: int) -> Array:
    """Return a (rows, columns) matrix, initialised by a name in ``INITIALIZERS`` or by a function.

    A name may have a gain: ``"orthogonal * 1.5"`` draws as ``orthogonal`` does, 1.5 times as large.

    Raises:
        DataError: no such name, or a gain that is no number.
        ShapeError: the function returns another shape.
    """
    gain = 1.0
    if isinstance(how, str):
        name, star, factor = (part.strip() for part in how.partition("*"))
        initializer = INITIALIZERS.find(name)
        if star:
            gain = _gain(factor, how)
        how = initializer
    if _mode.shapes_only:
        return _shape(rows, columns)
    array = gain * np.asarray(how(rows, columns))
    if array.shape != (rows, columns):
        raise ShapeError("an initialisation returns another shape", required=f"{rows, columns}", got=str(array.shape))
    return array


def _gain(factor: str, how: str) -> float:
    try:
        gain = float(factor)
    except ValueError:
        gain = math.nan
    if not math.isfinite(gain):
        raise DataError("the gain of an initialisation", required="a number, as in 'orthogonal * 1.5'", got=repr(how))
    return gain


def recurrent(
    hidden_size: int,
    input_size: int,
    recurrent_init: str | Initializer = "orthogonal",
    input_init: str | Initializer = "glorot",
) -> Array:
    """Return W for ``[h, x] @ W``: its first rows, for h, by one initialisation and the rest, for x, by another."""
    return joined([draw(recurrent_init, hidden_size, hidden_size), draw(input_init, input_size, hidden_size)], axis=0)


def joined(arrays: Sequence[Array], axis: int) -> Array:
    """Return arrays as one, side by side along an axis."""
    if not _mode.shapes_only:
        return np.concatenate(arrays, axis=axis)
    shape = list(arrays[0].shape)
    shape[axis] = sum(array.shape[axis] for array in arrays)
    return _shape(*shape)


def reservoir(size: int, *, spectral_radius: float, density: float) -> Array:
    """Return W (size, size), uniform on [-1, 1) where it is not 0, scaled so that max |λ(W)| = ``spectral_radius``.

    Raises:
        DataError: a density outside (0, 1], a negative radius, or a draw so sparse that all its eigenvalues are 0.
    """
    if not 0.0 < density <= 1.0 or not spectral_radius >= 0.0 or size < 1:
        raise DataError(
            "reservoir",
            required="size >= 1, 0 < density <= 1, spectral_radius >= 0",
            got=f"{size}, {density}, {spectral_radius}",
        )
    if _mode.shapes_only:
        return zeros(size, size)
    W = np.where(uniform(size, size) < density, uniform(size, size, low=-1.0), 0.0)
    radius = _radius(W)
    if radius < 1e-12:
        raise DataError(
            "reservoir: all eigenvalues are 0, so no scaling reaches the radius",
            required=f"a spectral radius of {spectral_radius}",
            got=f"{np.count_nonzero(W)} connections among {size} units",
            fix="a higher density, or more units",
        )
    return W * (spectral_radius / radius)


#: Units from which on ARPACK finds the radius, where SciPy is installed, and from which on a reader is told of it.
_LARGE, _SLOW = 300, 1000
#: Eigenvalues that are looked for, and vectors that they are looked for with: with one alone, the radius found is some
#: thousandths too small now and then.
_SEVERAL, _KRYLOV = 6, 64


def _radius(W: Array) -> float:
    """Return max |λ(W)|; of large sparse matrices by ARPACK, which needs SciPy."""
    size = len(W)
    if size >= _LARGE and np.count_nonzero(W) * 10 <= W.size:
        try:
            from scipy.sparse import csr_array
            from scipy.sparse.linalg import ArpackError, eigs
        except ImportError:
            if size > _SLOW:
                log.warning(
                    'the spectral radius of %d units is found by all eigenvalues; pip install "tinyseq[reservoir]" '
                    "finds it in a fraction of the time",
                    size,
                )
        else:
            start = np.random.default_rng(size).standard_normal(size)  # a fixed one, so that the bits are the same
            with contextlib.suppress(ArpackError):  # not converged: then all of them
                found = eigs(csr_array(W), k=_SEVERAL, ncv=_KRYLOV, v0=start, tol=0.0, return_eigenvectors=False)
                return float(np.abs(found).max())
    return float(np.abs(np.linalg.eigvals(W)).max())
