"""Cells that are linear in their state, unit by unit: gates see the input alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tinyseq.nn import init
from tinyseq.nn.cells.base import Cell
from tinyseq.nn.module import parameter
from tinyseq.ops.elementwise import cos, exp, sigmoid, sin, tanh, where
from tinyseq.tensors import Tensor


def positive(x: Tensor) -> Tensor:
    """Return x + 1/2 where x is not negative, and σ(x) elsewhere (Feng et al. 2024, appendix B.3)."""
    return where(x >= 0.0, x + 0.5, sigmoid(x))


class MinGRUCell(Cell):
    """minGRU (Feng et al. 2024), in the form whose states are positive.

    z = σ(x W_z + b_z),  h' = (1 - z) h + z g(x W_h + b_h),  g(a) = a + 1/2 for a >= 0, else σ(a).  The output is h'.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W_z = parameter(init.glorot(input_size, hidden_size))
        self.b_z = parameter(init.zeros(hidden_size))
        self.W_h = parameter(init.glorot(input_size, hidden_size))
        self.b_h = parameter(init.zeros(hidden_size))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        z = sigmoid(x @ self.W_z + self.b_z)
        h_tilde = positive(x @ self.W_h + self.b_h)
        h = (1.0 - z) * h + z * h_tilde
        return h, h


class MinLSTMCell(Cell):
    """minLSTM (Feng et al. 2024), in the form whose states are positive, its gates normalised.

    f, i = σ(x W + b),  h' = (f h + i g(x W_h + b_h)) / (f + i),  g as in minGRU.  The output is h'.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W_f = parameter(init.glorot(input_size, hidden_size))
        self.b_f = parameter(init.zeros(hidden_size))
        self.W_i = parameter(init.glorot(input_size, hidden_size))
        self.b_i = parameter(init.zeros(hidden_size))
        self.W_h = parameter(init.glorot(input_size, hidden_size))
        self.b_h = parameter(init.zeros(hidden_size))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        f = sigmoid(x @ self.W_f + self.b_f)
        i = sigmoid(x @ self.W_i + self.b_i)
        h_tilde = positive(x @ self.W_h + self.b_h)
        h = f / (f + i) * h + i / (f + i) * h_tilde
        return h, h


class SRUCell(Cell):
    """Simple recurrent unit in its first form (Lei et al. 2017); the highway is x W_x, for inputs of any size.

    f, r = σ(x W + b),  c' = f c + (1 - f) (x W_c),  y = r tanh(c') + (1 - r) (x W_x).  The state is c.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W_f = parameter(init.glorot(input_size, hidden_size))
        self.b_f = parameter(init.zeros(hidden_size))
        self.W_r = parameter(init.glorot(input_size, hidden_size))
        self.b_r = parameter(init.zeros(hidden_size))
        self.W_c = parameter(init.glorot(input_size, hidden_size))
        self.W_x = parameter(init.glorot(input_size, hidden_size))

    def step(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, c)
        f = sigmoid(x @ self.W_f + self.b_f)
        r = sigmoid(x @ self.W_r + self.b_r)
        c = f * c + (1.0 - f) * (x @ self.W_c)
        y = r * tanh(c) + (1.0 - r) * (x @ self.W_x)
        return y, c


class Complex(NamedTuple):
    """The real and the imaginary part of a state, (batch, hidden_size) each."""

    h: Tensor
    g: Tensor


class LRUCell(Cell):
    """Linear recurrent unit (Orvieto et al. 2023), its complex state h + i g as a pair.

    λ = exp(-exp ν + i exp θ),  s' = λ s + exp(γ) (x B),  y = Re(s' C) + x D, with B = B_h + i B_g, C = C_h + i C_g.
    At first |λ| is between ``smallest`` and ``largest``, and exp(γ) is √(1 - |λ|²), which keeps the state's size.
    """

    State = Complex

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        smallest: float = 0.0,
        largest: float = 0.99,
        phase: float = 2.0 * math.pi,
    ) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        squares = init.uniform(hidden_size, low=max(smallest, 1e-3) ** 2, high=largest**2)
        squares = np.maximum(squares, 1e-6)  # where only shapes are asked for, all are 0
        self.nu = parameter(np.log(-0.5 * np.log(squares)))
        self.theta = parameter(np.log(np.maximum(init.uniform(hidden_size, low=1e-3 * phase, high=phase), 1e-6)))
        self.gamma = parameter(0.5 * np.log(1.0 - squares))
        self.B_h = parameter(init.normal(input_size, hidden_size, std=(2.0 * input_size) ** -0.5))
        self.B_g = parameter(init.normal(input_size, hidden_size, std=(2.0 * input_size) ** -0.5))
        self.C_h = parameter(init.normal(hidden_size, hidden_size, std=hidden_size**-0.5))
        self.C_g = parameter(init.normal(hidden_size, hidden_size, std=hidden_size**-0.5))
        self.D = parameter(init.glorot(input_size, hidden_size))

    def step(self, x: Tensor, state: Complex) -> tuple[Tensor, Complex]:
        self.check(x, state)
        h, g = state
        size, angle, scale = exp(-exp(self.nu)), exp(self.theta), exp(self.gamma)
        a, b = size * cos(angle), size * sin(angle)
        h, g = a * h - b * g + scale * (x @ self.B_h), b * h + a * g + scale * (x @ self.B_g)
        y = h @ self.C_h - g @ self.C_g + x @ self.D
        return y, Complex(h, g)
