"""Long short-term memory, without and with peepholes."""

from __future__ import annotations

from typing import NamedTuple

from tinyseq.nn import init
from tinyseq.nn.cells.base import Cell
from tinyseq.nn.init import Initializer
from tinyseq.nn.module import parameter
from tinyseq.ops.elementwise import sigmoid, tanh
from tinyseq.ops.shape import concat
from tinyseq.tensors import Tensor


class LSTMState(NamedTuple):
    """Hidden state and cell state, (batch, hidden_size) each.

    As PyTorch's pair (h, c).

    >>> nn.LSTMCell(3, 2).initial_state(1).c
    tensor([[0., 0.]])
    """

    h: Tensor
    c: Tensor


class LSTMCell(Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

    f, i, o = σ([h, x] W + b),  c~ = tanh([h, x] W_c + b_c),  c' = f c + i c~,  h' = o tanh(c').  The output is h'.
    Parameters: 4 hidden (input + hidden + 1).

    As ``torch.nn.LSTMCell``, with one bias a gate.

    >>> nn.LSTMCell(100, 50)
    LSTMCell(100 -> 50, 30,200 parameters)
    """

    State = LSTMState

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float = 1.0,
        recurrent_init: str | Initializer = "orthogonal",
        input_init: str | Initializer = "glorot",
    ) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W_f = parameter(init.recurrent(hidden_size, input_size, recurrent_init, input_init))
        self.b_f = parameter(init.full(hidden_size, value=forget_bias))  # 1: remember at first (Jozefowicz et al. 2015)
        self.W_i = parameter(init.recurrent(hidden_size, input_size, recurrent_init, input_init))
        self.b_i = parameter(init.zeros(hidden_size))
        self.W_c = parameter(init.recurrent(hidden_size, input_size, recurrent_init, input_init))
        self.b_c = parameter(init.zeros(hidden_size))
        self.W_o = parameter(init.recurrent(hidden_size, input_size, recurrent_init, input_init))
        self.b_o = parameter(init.zeros(hidden_size))

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        self.check(x, state)
        h, c = state
        hx = concat([h, x], axis=-1)
        f = sigmoid(hx @ self.W_f + self.b_f)
        i = sigmoid(hx @ self.W_i + self.b_i)
        c_tilde = tanh(hx @ self.W_c + self.b_c)
        o = sigmoid(hx @ self.W_o + self.b_o)
        c = f * c + i * c_tilde
        h = o * tanh(c)
        return h, LSTMState(h, c)


class PeepholeLSTMCell(LSTMCell):
    """An LSTM whose gates see the cell state, each unit its own (Gers, Schraudolph and Schmidhuber 2002).

    f, i = σ([h, x] W + p c + b),  c' = f c + i c~,  o = σ([h, x] W_o + p_o c' + b_o),  h' = o tanh(c').
    The peepholes start at 0, as a plain LSTM. Parameters: 4 hidden (input + hidden + 1) + 3 hidden.

    >>> nn.PeepholeLSTMCell(100, 50)
    PeepholeLSTMCell(100 -> 50, 30,350 parameters)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float = 1.0,
        recurrent_init: str | Initializer = "orthogonal",
        input_init: str | Initializer = "glorot",
    ) -> None:
        super().__init__(
            input_size, hidden_size, forget_bias=forget_bias, recurrent_init=recurrent_init, input_init=input_init
        )
        self.p_f = parameter(init.zeros(hidden_size))
        self.p_i = parameter(init.zeros(hidden_size))
        self.p_o = parameter(init.zeros(hidden_size))

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        self.check(x, state)
        h, c = state
        hx = concat([h, x], axis=-1)
        f = sigmoid(hx @ self.W_f + self.p_f * c + self.b_f)
        i = sigmoid(hx @ self.W_i + self.p_i * c + self.b_i)
        c_tilde = tanh(hx @ self.W_c + self.b_c)
        c = f * c + i * c_tilde
        o = sigmoid(hx @ self.W_o + self.p_o * c + self.b_o)  # the new cell state: the output gate opens last
        h = o * tanh(c)
        return h, LSTMState(h, c)
