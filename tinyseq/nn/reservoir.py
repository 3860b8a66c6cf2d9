"""Echo state networks: a fixed random reservoir, and a readout learned by ridge regression (Jaeger 2001)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, get_args

import numpy as np

from tinyseq import backends
from tinyseq.compiler import compile
from tinyseq.creation import tensor
from tinyseq.errors import BackendError, DataError, GraphError, ShapeError
from tinyseq.masks import length_mask
from tinyseq.modes import no_grad
from tinyseq.nn.cells import ESNCell
from tinyseq.nn.init import Array
from tinyseq.nn.layers import Linear
from tinyseq.nn.module import Module
from tinyseq.ops.elementwise import clip
from tinyseq.ops.shape import concat
from tinyseq.tensors import Tensor
from tinyseq.threads import sole_owner
from tinyseq.unrolling import unroll

log = logging.getLogger("tinyseq.compiler")


#: Pivots of a Cholesky factor whose squares are farther apart say that a matrix is singular to working precision.
_SINGULAR: Final = 1e-13
#: Rows of a triangular system that are solved at a time.
_BLOCK: Final = 256
#: Steps from which on `fit` compiles the reservoir: that takes as long as some hundreds of them.
_MANY_STEPS: Final = 1000

Bias = Literal["penalised", "free"]


class RidgeRegression:
    """W = (XᵀX + β I)⁻¹ XᵀY (Lukoševičius 2012, eq. 9), in float64, one pass: ``add`` as many rows as come, ``solve``.

    The solution has a bias: that of a column of ones before X, which is penalised as all others are, or is free of it.

    As ``sklearn.linear_model.Ridge``.

    >>> ridge = nn.RidgeRegression()
    >>> ridge.add(np.array([[0.0], [1.0]]), np.array([[1.0], [3.0]]))
    >>> W, b = ridge.solve(1e-9)
    >>> W.round(4).tolist(), b.round(4).tolist()
    ([[2.0]], [1.0])
    """

    def __init__(self) -> None:
        self.gram: Array = np.zeros((0, 0))
        self.moment: Array = np.zeros((0, 0))
        self.sums: tuple[Array, Array] = np.zeros(0), np.zeros(0)
        self.rows = 0

    def add(self, X: Array, Y: Array) -> None:
        """Count in rows of features (rows, features) and targets (rows, outputs)."""
        X, Y = X.astype(np.float64, copy=False), Y.astype(np.float64, copy=False)
        if not self.rows:
            features, outputs = X.shape[1], Y.shape[1]
            self.gram, self.moment = np.zeros((features, features)), np.zeros((features, outputs))
            self.sums = np.zeros(features), np.zeros(outputs)
        self.gram += X.T @ X
        self.moment += X.T @ Y
        self.sums = self.sums[0] + X.sum(0), self.sums[1] + Y.sum(0)
        self.rows += len(X)

    def solve(self, ridge: float, *, bias: Bias = "penalised") -> tuple[Array, Array]:
        """Return W (features, outputs) and the bias (outputs,).

        Args:
            ridge: β.
            bias: "penalised", as the rows of W are, or "free" of β: then a large β leaves the targets' mean.

        Raises:
            DataError: no rows, rows that are not finite, or a bias of another name.
        """
        if bias not in get_args(Bias):
            raise DataError("ridge regression: bias", required=" or ".join(get_args(Bias)), got=repr(bias))
        if not self.rows or not np.isfinite(self.gram).all() or not np.isfinite(self.moment).all():
            raise DataError(
                "ridge regression",
                required="at least one row of finite features and targets",
                got=f"{self.rows} rows" if not self.rows else "values that are not finite",
                fix="a shorter washout, or a smaller spectral radius",
            )
        x, y = self.sums
        if bias == "free":
            means = x / self.rows, y / self.rows
            W = _ridge(self.gram - np.outer(x, means[0]), self.moment - np.outer(x, means[1]), ridge)
            return W, means[1] - means[0] @ W
        gram = np.block([[np.full((1, 1), float(self.rows)), x[None]], [x[:, None], self.gram]])
        full = _ridge(gram, np.concatenate([y[None], self.moment]), ridge)
        return full[1:], full[0]


def _ridge(gram: Array, moment: Array, ridge: float) -> Array:
    """Return (gram + β I)⁻¹ moment; of what is singular to working precision, the least of the solutions."""
    lower = gram.copy()
    lower.flat[:: len(gram) + 1] += ridge
    # BLAS's threads gain little here, and where others compute too they wait for each other most of the time.
    with contextlib.suppress(np.linalg.LinAlgError), sole_owner():
        lower = np.linalg.cholesky(lower)
        pivots = lower.diagonal()
        if pivots.min() ** 2 > _SINGULAR * pivots.max() ** 2:
            return _substituted(lower, moment)
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0.0) + ridge
    inverse = np.where(values > values.max() * 1e-15, 1.0 / np.where(values > 0.0, values, 1.0), 0.0)
    found: Array = vectors @ (inverse[:, None] * (vectors.T @ moment))
    return found


def _substituted(lower: Array, moment: Array) -> Array:
    """Solve L Lᵀ W = moment, forwards and then backwards, block by block."""
    found = moment.copy()
    starts = range(0, len(lower), _BLOCK)
    for start in starts:
        here = slice(start, start + _BLOCK)
        found[here] = np.linalg.solve(lower[here, here], found[here] - lower[here, :start] @ found[:start])
    for start in reversed(starts):
        here, after = slice(start, start + _BLOCK), slice(start + _BLOCK, None)
        found[here] = np.linalg.solve(lower[here, here].T, found[here] - lower[after, here].T @ found[after])
    return found


class EchoStateNetwork(Module):
    """y = [u, x] W_out + b_out, x the states of an ``ESNCell`` driven by u (Jaeger 2001; Lukoševičius 2012, eq. 4).

    ``fit`` learns the readout by ridge regression in one pass; it is a ``Linear`` layer too, so an optimiser can. From
    the state that ``fit`` or an earlier call returned, calls go on where the sequence stopped, a step or more each.

    Args:
        direct: whether the readout sees the input u beside the state.
        spectral_radius, leak, input_scaling, bias_scaling, density: as in ``ESNCell``.

    >>> nn.EchoStateNetwork(1, 30, 1).num_parameters()
    32
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        direct: bool = True,
        spectral_radius: float = 0.9,
        leak: float = 1.0,
        input_scaling: float = 1.0,
        bias_scaling: float = 1.0,
        density: float | None = None,
    ) -> None:
        self.input_size, self.hidden_size, self.output_size, self.direct = input_size, hidden_size, output_size, direct
        self.cell = ESNCell(
            input_size,
            hidden_size,
            spectral_radius=spectral_radius,
            leak=leak,
            input_scaling=input_scaling,
            bias_scaling=bias_scaling,
            density=density,
        )
        self.readout = Linear(hidden_size + input_size if direct else hidden_size, output_size)

    def features(self, us: Tensor, state: Tensor | None = None, **options: Any) -> tuple[Tensor, Tensor]:
        """Return what the readout sees, (batch, time, input_size + hidden_size), and the last state."""
        xs, last = unroll(self.cell, us, state, **options)
        return concat([us, xs], axis=-1) if self.direct else xs, last

    def forward(self, us: Tensor, state: Tensor | None = None, **options: Any) -> tuple[Tensor, Tensor]:
        """Return ys (batch, time, output_size) and the last state; options as in ``ts.unroll``."""
        features, state = self.features(us, state, **options)
        return self.readout(features), state

    def fit(
        self,
        us: Tensor,
        targets: Tensor,
        *,
        ridge: float = 1e-6,
        bias: Bias = "penalised",
        washout: int = 100,
        lengths: Tensor | Sequence[int] | None = None,
        state: Tensor | None = None,
        chunk: int = 1000,
    ) -> Tensor:
        """Learn the readout; return the last state, from which predictions go on.

        Args:
            us: inputs (batch, time, input_size).
            targets: (batch, time, output_size).
            ridge: β, the price of large weights.
            bias: whether β is the price of a large bias too: "penalised", or "free".
            washout: how many first steps of each row are not learned from: they still tell of the initial state.
            lengths: (batch,), how many steps of each row are real.
            state: where the reservoir starts; zeros by default.
            chunk: how many steps are held in memory at a time.

        Raises:
            ShapeError: inputs and targets do not fit.
            DataError: a washout that leaves nothing, or values that are not finite.
        """
        if len(us.shape) != 3 or targets.shape != (*us.shape[:2], self.output_size):
            raise ShapeError(
                "EchoStateNetwork.fit",
                required=f"inputs (batch, time, {self.input_size}), targets (batch, time, {self.output_size})",
                got=f"{us.shape} and {targets.shape}",
            )
        batch, time = us.shape[:2]
        if not 0 <= washout < time:
            raise DataError(
                "EchoStateNetwork.fit: washout", required=f"0 to {time - 1} of {time} steps", got=str(washout)
            )
        counts = None if lengths is None else tensor(np.asarray(lengths))
        counted = np.broadcast_to(np.arange(time) >= washout, (batch, time))
        if counts is not None:
            counted = counted & length_mask(counts, time).numpy()
        regression = RidgeRegression()
        with no_grad():
            state = self.cell.initial_state(batch) if state is None else state
            for part, features, reached in self._driven(us, state, counts, chunk):
                state = reached
                rows = counted[:, part].reshape(-1)
                X, Y = (x.numpy().reshape(len(rows), -1) for x in (features, targets[:, part]))
                regression.add(*((X, Y) if rows.all() else (X[rows], Y[rows])))
            W, b = regression.solve(ridge, bias=bias)
            assert self.readout.b is not None
            for parameter, values in ((self.readout.W, W), (self.readout.b, b)):
                parameter.assign(Tensor(backends.of(parameter.value).from_host(values.astype(parameter.dtype))))
        return state

    def _driven(
        self, us: Tensor, state: Tensor, counts: Tensor | None, chunk: int
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield chunks of time, their features, and the state after each; many alike are compiled once."""
        time = us.shape[1]
        chunks = -(-time // chunk)
        length = time // chunks  # all alike, but for a rest of fewer steps than there are chunks
        run = compile(self.features) if time >= _MANY_STEPS else self.features
        for start in range(0, time, length):
            part = slice(start, start + length)
            xs = us[:, part]
            options = {} if counts is None else {"lengths": clip(counts - start, 0, xs.shape[1])}
            try:
                features, state = (run if xs.shape[1] == length else self.features)(xs, state, **options)
            except (BackendError, GraphError) as error:
                features, state = self.features(xs, state, **options)  # raises where it is no matter of compiling
                log.info("not compiled, runs eagerly: %s", error.what)
                run = self.features
            yield part, features, state

    def generate(self, first: Tensor, state: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Run free: each output is the next input. Return ys (batch, steps, output_size) and the last state.

        Args:
            first: the first input, (batch, input_size).
            state: as ``fit`` or a call returned it.
            steps: how many.

        Raises:
            ShapeError: outputs and inputs have different sizes.
        """
        if self.input_size != self.output_size or steps < 1:
            raise ShapeError(
                "EchoStateNetwork.generate",
                required="input_size == output_size, steps >= 1",
                got=f"{self.input_size}, {self.output_size}, {steps}",
            )
        clock = tensor(np.zeros((first.shape[0], steps), bool))
        ys, (_, state) = unroll(self.free_step, clock, (first, state))
        return ys, state

    def free_step(self, _: Any, now: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return an output y, (batch, output_size), and what the next step starts from: y as input, and the state."""
        u, state = now
        x, state = self.cell.step(u, state)
        y = self.readout(concat([u, x], axis=-1) if self.direct else x)
        return y, (y, state)
