"""Cells that are differential equations in small steps: stable by their form, whatever the weights."""

from __future__ import annotations

from typing import NamedTuple

from tinyseq.nn import init
from tinyseq.nn.cells.base import Cell
from tinyseq.nn.module import parameter
from tinyseq.ops.elementwise import sigmoid, tanh
from tinyseq.ops.shape import concat, swapaxes
from tinyseq.tensors import Tensor


class Motion(NamedTuple):
    """Position and velocity (or memory), (batch, hidden_size) each."""

    h: Tensor
    z: Tensor


class AntisymmetricRNNCell(Cell):
    """h' = h + ε tanh(h (W - Wᵀ - γ I) + x V + b) (Chang et al. 2019): Euler's steps of a system whose eigenvalues are
    nearly imaginary. The output is h'.
    """

    def __init__(self, input_size: int, hidden_size: int, *, epsilon: float = 0.1, gamma: float = 0.01) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.epsilon, self.gamma = float(epsilon), float(gamma)
        self.W = parameter(init.normal(hidden_size, hidden_size, std=hidden_size**-0.5))
        self.V = parameter(init.glorot(input_size, hidden_size))
        self.b = parameter(init.zeros(hidden_size))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        h = h + self.epsilon * tanh(h @ (self.W - swapaxes(self.W, 0, 1)) - self.gamma * h + x @ self.V + self.b)
        return h, h


class CoRNNCell(Cell):
    """Coupled oscillatory RNN (Rusch and Mishra 2021), its damping explicit.

    z' = z + Δt (tanh([h, x] W + z W_z + b) - γ h - ε z),  h' = h + Δt z'.  The output is h'.
    """

    State = Motion

    def __init__(
        self, input_size: int, hidden_size: int, *, dt: float = 0.1, gamma: float = 1.0, epsilon: float = 1.0
    ) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.dt, self.gamma, self.epsilon = float(dt), float(gamma), float(epsilon)
        self.W = parameter(init.recurrent(hidden_size, input_size))
        self.W_z = parameter(init.orthogonal(hidden_size, hidden_size))
        self.b = parameter(init.zeros(hidden_size))

    def step(self, x: Tensor, state: Motion) -> tuple[Tensor, Motion]:
        self.check(x, state)
        h, z = state
        force = tanh(concat([h, x], axis=-1) @ self.W + z @ self.W_z + self.b)
        z = z + self.dt * (force - self.gamma * h - self.epsilon * z)
        h = h + self.dt * z
        return h, Motion(h, z)


class UnICORNNCell(Cell):
    """Undamped independent controlled oscillatory RNN (Rusch and Mishra 2021): each unit by itself.

    z' = z - Δt σ(c) (tanh(w h + x V + b) + α h),  h' = h + Δt σ(c) z'.  The output is h'.
    """

    State = Motion

    def __init__(self, input_size: int, hidden_size: int, *, dt: float = 0.1, alpha: float = 1.0) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.dt, self.alpha = float(dt), float(alpha)
        self.w = parameter(init.uniform(hidden_size))
        self.V = parameter(init.glorot(input_size, hidden_size))
        self.b = parameter(init.zeros(hidden_size))
        self.c = parameter(init.uniform(hidden_size, low=-0.1, high=0.1))

    def step(self, x: Tensor, state: Motion) -> tuple[Tensor, Motion]:
        self.check(x, state)
        h, z = state
        step = self.dt * sigmoid(self.c)
        z = z - step * (tanh(self.w * h + x @ self.V + self.b) + self.alpha * h)
        h = h + step * z
        return h, Motion(h, z)


class LEMCell(Cell):
    """Long expressive memory (Rusch et al. 2022): two learned time steps, and an output that reads the new memory.

    d, e = Δt σ([h, x] W + b),  z' = (1 - d) z + d tanh([h, x] W_z + b_z),
    h' = (1 - e) h + e tanh([z', x] W_h + b_h).  The output is h'.
    """

    State = Motion

    def __init__(self, input_size: int, hidden_size: int, *, dt: float = 1.0) -> None:
        self.input_size, self.hidden_size, self.dt = input_size, hidden_size, float(dt)
        self.W_d = parameter(init.recurrent(hidden_size, input_size))
        self.b_d = parameter(init.zeros(hidden_size))
        self.W_e = parameter(init.recurrent(hidden_size, input_size))
        self.b_e = parameter(init.zeros(hidden_size))
        self.W_z = parameter(init.recurrent(hidden_size, input_size))
        self.b_z = parameter(init.zeros(hidden_size))
        self.W_h = parameter(init.recurrent(hidden_size, input_size))
        self.b_h = parameter(init.zeros(hidden_size))

    def step(self, x: Tensor, state: Motion) -> tuple[Tensor, Motion]:
        self.check(x, state)
        h, z = state
        hx = concat([h, x], axis=-1)
        d = self.dt * sigmoid(hx @ self.W_d + self.b_d)
        e = self.dt * sigmoid(hx @ self.W_e + self.b_e)
        z = (1.0 - d) * z + d * tanh(hx @ self.W_z + self.b_z)
        h = (1.0 - e) * h + e * tanh(concat([z, x], axis=-1) @ self.W_h + self.b_h)
        return h, Motion(h, z)
