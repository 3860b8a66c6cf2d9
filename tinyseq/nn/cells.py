"""Recurrent cells: one time step each, written as the lecture writes it.

``W`` acts on ``[h, x]``, in that order; one bias a gate. A cell says what happens in a step; ``ts.unroll`` does the rest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinyseq.creation import zeros
from tinyseq.errors import DataError, ShapeError
from tinyseq.nn import init
from tinyseq.nn.module import Module, parameter
from tinyseq.ops.elementwise import relu, sigmoid, tanh
from tinyseq.ops.shape import concat
from tinyseq.tensors import Tensor
from tinyseq.unrolling import unroll


class Cell(Module):
    """The base of cells, a user's own included: define ``step``, and where the state is more than one vector
    ``initial_state``.
    """

    hidden_size: int

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """Return (y_t, s_t) for x_t and s_{t-1}."""
        raise NotImplementedError(f"{type(self).__name__} has no step")

    def initial_state(self, batch: int) -> Any:
        """Return s_0, zeros (batch, hidden_size)."""
        if not hasattr(self, "hidden_size"):
            raise DataError(
                f"{type(self).__name__} does not say how its state begins",
                required="an attribute hidden_size, or a method initial_state(batch)",
                fix="or pass state=... to unroll",
            )
        return zeros(batch, self.hidden_size, dtype=self.dtype)

    def forward(self, xs: Any, state: Any = None, **options: Any) -> tuple[Any, Any]:
        """Unroll over (batch, time, ...); options as in ``ts.unroll``."""
        return unroll(self, xs, state, **options)

    def check(self, x: Tensor, state: Tensor) -> None:
        """Refuse an input or a state whose features are not this cell's."""
        sizes = (self.input_size, self.hidden_size)  # type: ignore[attr-defined]
        if (x.shape[-1], state.shape[-1]) != sizes:
            raise ShapeError(
                f"{type(self).__name__}: feature sizes",
                required=f"x (batch, {sizes[0]}) and h (batch, {sizes[1]})",
                got=f"x {x.shape} and h {state.shape}",
            )


class RNNCell(Cell):
    """h' = tanh(x W_xh + h W_hh + b_h) (Elman 1990); ``nonlinearity`` may be "relu". The output is h'."""

    def __init__(self, input_size: int, hidden_size: int, *, nonlinearity: str = "tanh") -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise DataError("RNNCell: unknown nonlinearity", required="'tanh' or 'relu'", got=repr(nonlinearity))
        self.input_size, self.hidden_size, self.nonlinearity = input_size, hidden_size, nonlinearity
        self.W_xh = parameter(init.glorot(input_size, hidden_size))
        self.W_hh = parameter(init.orthogonal(hidden_size, hidden_size))
        self.b_h = parameter(init.zeros(hidden_size))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        g = tanh if self.nonlinearity == "tanh" else relu
        h = g(x @ self.W_xh + h @ self.W_hh + self.b_h)
        return h, h


class LSTMState(NamedTuple):
    """Hidden state and cell state, (batch, hidden_size) each."""

    h: Tensor
    c: Tensor


class LSTMCell(Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

    f, i, o = σ([h, x] W + b),  c~ = tanh([h, x] W_c + b_c),  c' = f c + i c~,  h' = o tanh(c').  The output is h'.
    """

    def __init__(self, input_size: int, hidden_size: int, *, forget_bias: float = 1.0) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W_f = parameter(init.recurrent(hidden_size, input_size))
        self.b_f = parameter(np.full(hidden_size, forget_bias))  # 1: remember at first (Jozefowicz et al. 2015)
        self.W_i = parameter(init.recurrent(hidden_size, input_size))
        self.b_i = parameter(init.zeros(hidden_size))
        self.W_c = parameter(init.recurrent(hidden_size, input_size))
        self.b_c = parameter(init.zeros(hidden_size))
        self.W_o = parameter(init.recurrent(hidden_size, input_size))
        self.b_o = parameter(init.zeros(hidden_size))

    def initial_state(self, batch: int) -> LSTMState:
        return LSTMState(super().initial_state(batch), super().initial_state(batch))

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        h, c = state
        self.check(x, h)
        hx = concat([h, x], axis=-1)
        f = sigmoid(hx @ self.W_f + self.b_f)
        i = sigmoid(hx @ self.W_i + self.b_i)
        c_tilde = tanh(hx @ self.W_c + self.b_c)
        o = sigmoid(hx @ self.W_o + self.b_o)
        c = f * c + i * c_tilde
        h = o * tanh(c)
        return h, LSTMState(h, c)
