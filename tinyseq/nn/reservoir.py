"""Echo state networks: a fixed random reservoir, and a readout learned by ridge regression (Jaeger 2001)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyseq import backends
from tinyseq.creation import tensor
from tinyseq.errors import DataError, ShapeError
from tinyseq.masks import length_mask
from tinyseq.modes import no_grad
from tinyseq.nn.cells import ESNCell
from tinyseq.nn.init import Array
from tinyseq.nn.layers import Linear
from tinyseq.nn.module import Module
from tinyseq.ops.elementwise import clip
from tinyseq.ops.shape import concat
from tinyseq.tensors import Tensor
from tinyseq.unrolling import unroll


class RidgeRegression:
    """W = (XᵀX + β I)⁻¹ XᵀY (Lukoševičius 2012, eq. 9), in float64, one pass: ``add`` as many rows as come, ``solve``.

    A column of ones is put before X, so that the solution has a bias.
    """

    def __init__(self) -> None:
        self.gram: Array = np.zeros((0, 0))
        self.moment: Array = np.zeros((0, 0))
        self.rows = 0

    def add(self, X: Array, Y: Array) -> None:
        """Count in rows of features (rows, features) and targets (rows, outputs)."""
        X = np.concatenate([np.ones((len(X), 1)), X.astype(np.float64)], axis=1)
        if not self.rows:
            self.gram, self.moment = np.zeros((X.shape[1],) * 2), np.zeros((X.shape[1], Y.shape[1]))
        self.gram = self.gram + X.T @ X
        self.moment = self.moment + X.T @ Y.astype(np.float64)
        self.rows += len(X)

    def solve(self, ridge: float) -> tuple[Array, Array]:
        """Return W (features, outputs) and the bias (outputs,).

        Raises:
            DataError: no rows, or rows that are not finite.
        """
        if not self.rows or not np.isfinite(self.gram).all() or not np.isfinite(self.moment).all():
            raise DataError(
                "ridge regression",
                required="at least one row of finite features and targets",
                got=f"{self.rows} rows" if not self.rows else "values that are not finite",
                fix="a shorter washout, or a smaller spectral radius",
            )
        # Eigenvectors of the Gram matrix, not a Cholesky factor: with a small β it is singular to working precision.
        values, vectors = np.linalg.eigh(self.gram)
        values = np.maximum(values, 0.0) + ridge
        inverse = np.where(values > values.max() * 1e-15, 1.0 / np.where(values > 0.0, values, 1.0), 0.0)
        full = vectors @ (inverse[:, None] * (vectors.T @ self.moment))
        return full[1:], full[0]


class EchoStateNetwork(Module):
    """y = [u, x] W_out + b_out, x the states of an ``ESNCell`` driven by u (Jaeger 2001; Lukoševičius 2012, eq. 4).

    ``fit`` learns the readout by ridge regression in one pass; it is a ``Linear`` layer too, so an optimiser can. From
    the state that ``fit`` or an earlier call returned, calls go on where the sequence stopped, a step or more each.

    Args:
        direct: whether the readout sees the input u beside the state.
        reservoir: options of ``ESNCell``.
    """

    def __init__(
        self, input_size: int, hidden_size: int, output_size: int, *, direct: bool = True, **reservoir: Any
    ) -> None:
        self.input_size, self.hidden_size, self.output_size, self.direct = input_size, hidden_size, output_size, direct
        self.cell = ESNCell(input_size, hidden_size, **reservoir)
        self.readout = Linear(hidden_size + input_size if direct else hidden_size, output_size)

    def features(self, us: Tensor, state: Tensor | None = None, **options: Any) -> tuple[Tensor, Tensor]:
        """Return what the readout sees, (batch, time, input_size + hidden_size), and the last state."""
        xs, state = unroll(self.cell, us, state, **options)
        return concat([us, xs], axis=-1) if self.direct else xs, state

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
        counts = tensor(np.full(batch, time) if lengths is None else np.asarray(lengths))
        counted = length_mask(counts, time).numpy() & (np.arange(time) >= washout)
        regression = RidgeRegression()
        with no_grad():
            state = self.cell.initial_state(batch) if state is None else state
            for start in range(0, time, chunk):
                part = slice(start, start + chunk)
                left = clip(counts - start, 0, us[:, part].shape[1])
                features, state = self.features(us[:, part], state, lengths=left)
                rows = counted[:, part]
                regression.add(features.numpy()[rows], targets[:, part].numpy()[rows])
            W, b = regression.solve(ridge)
            assert self.readout.b is not None
            for parameter, values in ((self.readout.W, W), (self.readout.b, b)):
                parameter.assign(Tensor(backends.of(parameter.value).from_host(values.astype(parameter.dtype))))
        return state

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
