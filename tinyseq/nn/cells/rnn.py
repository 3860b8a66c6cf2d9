"""The vanilla recurrent cell."""

from __future__ import annotations

from collections.abc import Callable

from tinyseq.nn import init
from tinyseq.nn.cells.base import Cell
from tinyseq.nn.init import Initializer
from tinyseq.nn.module import parameter
from tinyseq.ops.elementwise import relu, tanh
from tinyseq.registry import Registry
from tinyseq.tensors import Tensor

#: What an RNNCell and an IndRNNCell may apply, by name.
NONLINEARITIES: Registry[Callable[[Tensor], Tensor]] = Registry("nonlinearity", {"tanh": tanh, "relu": relu})


def check_nonlinearity(where: str, name: str) -> str:
    """Return the name of a nonlinearity, or refuse it."""
    NONLINEARITIES.find(name, where)
    return name


class RNNCell(Cell):
    """h' = g(x W_xh + h W_hh + b_h), g tanh or ReLU (Elman 1990). The output is h'.

    Parameters: hidden (input + hidden + 1).

    As ``torch.nn.RNNCell``, with one bias.

    >>> nn.RNNCell(100, 50)
    RNNCell(100 -> 50, 7,550 parameters)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "tanh",
        recurrent_init: str | Initializer = "orthogonal",
        input_init: str | Initializer = "glorot",
    ) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.nonlinearity = check_nonlinearity("RNNCell", nonlinearity)
        self.W_xh = parameter(init.draw(input_init, input_size, hidden_size))
        self.W_hh = parameter(init.draw(recurrent_init, hidden_size, hidden_size))
        self.b_h = parameter(init.zeros(hidden_size))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        g = NONLINEARITIES[self.nonlinearity]
        h = g(x @ self.W_xh + h @ self.W_hh + self.b_h)
        return h, h
