"""Cells whose state is a matrix a head, to which each step adds k vᵀ: linear attention as recurrence.

``hidden_size`` is the width of all heads together. k, v and q are projections of the input; the output is q S.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinyseq.creation import zeros
from tinyseq.errors import DataError, ShapeError
from tinyseq.nn import init
from tinyseq.nn.cells.base import Cell
from tinyseq.nn.module import buffer, parameter
from tinyseq.ops.elementwise import sigmoid, sqrt
from tinyseq.ops.shape import reshape
from tinyseq.tensors import Tensor


class _Heads(Cell):
    """What these share: heads of ``hidden_size / heads`` features, and the projections of k, v and q."""

    def __init__(self, input_size: int, hidden_size: int, *, heads: int = 1) -> None:
        if heads < 1 or hidden_size % heads:
            raise DataError(
                f"{type(self).__name__}: heads", required=f"a divisor of hidden_size {hidden_size}", got=str(heads)
            )
        self.input_size, self.hidden_size, self.heads = input_size, hidden_size, heads
        self.W_q = parameter(init.glorot(input_size, hidden_size))
        self.W_k = parameter(init.glorot(input_size, hidden_size))
        self.W_v = parameter(init.glorot(input_size, hidden_size))

    @property
    def width(self) -> int:
        """The features of a head."""
        return self.hidden_size // self.heads

    def initial_state(self, batch: int) -> Tensor:
        return zeros((batch, self.heads, self.width, self.width), dtype=self.dtype)

    def check(self, x: Tensor, state: Any) -> None:
        """Refuse an input or a state that is not this cell's."""
        wanted = (*x.shape[:-1], self.heads, self.width, self.width)
        if x.shape[-1:] != (self.input_size,) or not isinstance(state, Tensor) or state.shape != wanted:
            raise ShapeError(
                f"{type(self).__name__}: the input's feature size, or the state of another cell",
                required=f"x (batch, {self.input_size}), a state {wanted}",
                got=f"x {x.shape}, a state {getattr(state, 'shape', type(state).__name__)}",
                fix=f"cell.initial_state({x.shape[0] if len(x.shape) > 1 else 1}), or state=None for zeros",
            )

    def column(self, x: Tensor) -> Tensor:
        """Return features as a column a head, (batch, heads, width, 1)."""
        return reshape(x, (*x.shape[:-1], self.heads, x.shape[-1] // self.heads, 1))

    def row(self, x: Tensor) -> Tensor:
        """Return features as a row a head, (batch, heads, 1, width)."""
        return reshape(x, (*x.shape[:-1], self.heads, 1, x.shape[-1] // self.heads))

    def flat(self, y: Tensor) -> Tensor:
        """Return the heads' rows side by side."""
        return reshape(y, (*y.shape[:-3], self.hidden_size))


class _Decayed(_Heads):
    """What those share that forget and add: S' = a S + kᵀ v,  y = q S' / √width; they differ in the decay a."""

    def decay(self, x: Tensor) -> Tensor:
        """Return what the state, (..., heads, width, width), is multiplied by."""
        raise NotImplementedError

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, state)
        k, v, q = self.column(x @ self.W_k), self.row(x @ self.W_v), self.row(x @ self.W_q)
        state = self.decay(x) * state + k * v
        y = self.flat((q * self.width**-0.5) @ state)
        return y, state


class RetNetCell(_Decayed):
    """Retention (Sun et al. 2023), without the rotation of q and k and without what follows it in a layer.

    S' = γ S + kᵀ v,  y = q S' / √width, with γ = 1 - 2^(-5 - head), fixed.  The output is y.
    """

    def __init__(self, input_size: int, hidden_size: int, *, heads: int = 1) -> None:
        super().__init__(input_size, hidden_size, heads=heads)
        self.gamma = buffer((1.0 - 2.0 ** (-5.0 - np.arange(heads))).reshape(heads, 1, 1).astype(np.float32))

    def decay(self, x: Tensor) -> Tensor:
        return self.gamma


class ScalarGLACell(_Decayed):
    """Linear attention with one forget gate a head, as in RetNet's gated form (Sun et al. 2024) and Mamba-2's core.

    a = σ(x W_a + b_a),  S' = a S + kᵀ v,  y = q S' / √width.  The output is y.
    """

    def __init__(self, input_size: int, hidden_size: int, *, heads: int = 1) -> None:
        super().__init__(input_size, hidden_size, heads=heads)
        self.W_a = parameter(init.glorot(input_size, heads))
        self.b_a = parameter(init.full(heads, value=4.0))

    def decay(self, x: Tensor) -> Tensor:
        a = sigmoid(x @ self.W_a + self.b_a)
        return self.column(a)


class GLACell(_Decayed):
    """Gated linear attention (Yang et al. 2024), its gate of full rank: one decay for each feature of k.

    a = σ(x W_a + b_a)^(1/16),  S' = diag(a) S + kᵀ v,  y = q S' / √width.  The output is y.
    """

    def __init__(self, input_size: int, hidden_size: int, *, heads: int = 1) -> None:
        super().__init__(input_size, hidden_size, heads=heads)
        self.W_a = parameter(init.glorot(input_size, hidden_size))
        self.b_a = parameter(init.zeros(hidden_size))

    def decay(self, x: Tensor) -> Tensor:
        a = sigmoid(x @ self.W_a + self.b_a) ** (1.0 / 16.0)
        return self.column(a)


class DeltaNetCell(_Heads):
    """DeltaNet (Schlag et al. 2021; Yang et al. 2024), keys of length 1: what k stood for is replaced.

    β = σ(x W_β + b_β),  S' = S + β kᵀ (v - k S),  y = q S'.  The output is y.
    """

    def __init__(self, input_size: int, hidden_size: int, *, heads: int = 1) -> None:
        super().__init__(input_size, hidden_size, heads=heads)
        self.W_beta = parameter(init.glorot(input_size, heads))
        self.b_beta = parameter(init.zeros(heads))

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, state)
        k, v, q = self.row(x @ self.W_k), self.row(x @ self.W_v), self.row(x @ self.W_q)
        k = k / sqrt((k * k).sum(-1, keepdims=True) + 1e-6)
        beta = self.column(sigmoid(x @ self.W_beta + self.b_beta))
        state = state + beta * k.swapaxes(-1, -2) * (v - k @ state)
        y = self.flat(q @ state)
        return y, state


class GatedDeltaNetCell(DeltaNetCell):
    """DeltaNet with a forget gate (Yang, Kautz and Hatamizadeh 2025).

    a, β = σ(x W + b),  S' = a S + β kᵀ (v - k a S),  y = q S'.  The output is y.
    """

    def __init__(self, input_size: int, hidden_size: int, *, heads: int = 1) -> None:
        super().__init__(input_size, hidden_size, heads=heads)
        self.W_a = parameter(init.glorot(input_size, heads))
        self.b_a = parameter(init.full(heads, value=4.0))

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, state)
        a = sigmoid(x @ self.W_a + self.b_a)
        return super().step(x, self.column(a) * state)
