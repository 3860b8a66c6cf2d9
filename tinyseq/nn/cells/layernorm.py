"""Layer-normalised cells (Ba, Kiros and Hinton 2016): the products are normalised before they are added."""

from __future__ import annotations

from tinyseq.nn import init
from tinyseq.nn.cells.base import Cell
from tinyseq.nn.cells.lstm import LSTMState
from tinyseq.nn.cells.rnn import NONLINEARITIES, check_nonlinearity
from tinyseq.nn.init import Array, Initializer
from tinyseq.nn.layers import LayerNorm
from tinyseq.nn.module import parameter
from tinyseq.ops.elementwise import sigmoid, tanh
from tinyseq.ops.shape import split
from tinyseq.tensors import Tensor


def _gates(how: str | Initializer, rows: int, columns: int, count: int) -> Array:
    return init.joined([init.draw(how, rows, columns) for _ in range(count)], axis=1)


class LayerNormRNNCell(Cell):
    """h' = g(LN(x W_xh + h W_hh)), LN with gain and bias (Ba et al. 2016, eq. 4). The output is h'.

    Parameters: hidden (input + hidden + 2).

    >>> nn.LayerNormRNNCell(100, 50)
    LayerNormRNNCell(100 -> 50, 7,600 parameters)
      norm: LayerNorm(50, eps=1e-05, 100 parameters)
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
        self.nonlinearity = check_nonlinearity("LayerNormRNNCell", nonlinearity)
        self.W_xh = parameter(init.draw(input_init, input_size, hidden_size))
        self.W_hh = parameter(init.draw(recurrent_init, hidden_size, hidden_size))
        self.norm = LayerNorm(hidden_size)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        g = NONLINEARITIES[self.nonlinearity]
        h = g(self.norm(x @ self.W_xh + h @ self.W_hh))
        return h, h


class LayerNormLSTMCell(Cell):
    """f, i, o, g = LN(h W_h) + LN(x W_x) + b,  c' = σ(f) c + σ(i) tanh(g),  h' = σ(o) tanh(LN(c')).

    Ba et al. 2016, eq. 20-22: a product is normalised over its four gates together, so W_h and W_x hold all four, as
    f, i, o, g. The paper's two biases of the normalised products are one with b.
    Parameters: 4 hidden (input + hidden + 1), gains 8 hidden, and gain and bias of c', 2 hidden.

    >>> nn.LayerNormLSTMCell(100, 50)
    LayerNormLSTMCell(100 -> 50, 30,700 parameters)
      norm_h: LayerNorm(200, eps=1e-05, 200 parameters)
      norm_x: LayerNorm(200, eps=1e-05, 200 parameters)
      norm_c: LayerNorm(50, eps=1e-05, 100 parameters)
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
        self.W_h = parameter(_gates(recurrent_init, hidden_size, hidden_size, 4))
        self.W_x = parameter(_gates(input_init, input_size, hidden_size, 4))
        self.b = parameter(init.joined([init.full(hidden_size, value=forget_bias), init.zeros(3 * hidden_size)], 0))
        self.norm_h = LayerNorm(4 * hidden_size, bias=False)
        self.norm_x = LayerNorm(4 * hidden_size, bias=False)
        self.norm_c = LayerNorm(hidden_size)

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        self.check(x, state)
        h, c = state
        f, i, o, g = split(self.norm_h(h @ self.W_h) + self.norm_x(x @ self.W_x) + self.b, self.hidden_size)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(self.norm_c(c))
        return h, LSTMState(h, c)


class LayerNormGRUCell(Cell):
    """z, r = LN(h W_h) + LN(x W_x) + b,  h~ = tanh(LN(x W) + σ(r) LN(h U) + b_h),  h' = (1 - σ(z)) h + σ(z) h~.

    The GRU of Ba et al. 2016 (appendix), with the biases as in ``LayerNormLSTMCell``; that of LN(h U), which r scales,
    stays.
    W_h and W_x hold the two gates in the order z, r. The output is h'.
    Parameters: 3 hidden (input + hidden + 1), gains 6 hidden, and the bias of LN(h U), hidden.

    >>> nn.LayerNormGRUCell(100, 50)
    LayerNormGRUCell(100 -> 50, 23,000 parameters)
      norm_h: LayerNorm(100, eps=1e-05, 100 parameters)
      norm_x: LayerNorm(100, eps=1e-05, 100 parameters)
      norm_hh: LayerNorm(50, eps=1e-05, 100 parameters)
      norm_xh: LayerNorm(50, eps=1e-05, 50 parameters)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recurrent_init: str | Initializer = "orthogonal",
        input_init: str | Initializer = "glorot",
    ) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W_h = parameter(_gates(recurrent_init, hidden_size, hidden_size, 2))
        self.W_x = parameter(_gates(input_init, input_size, hidden_size, 2))
        self.b = parameter(init.zeros(2 * hidden_size))
        self.U = parameter(init.draw(recurrent_init, hidden_size, hidden_size))
        self.W = parameter(init.draw(input_init, input_size, hidden_size))
        self.b_h = parameter(init.zeros(hidden_size))
        self.norm_h = LayerNorm(2 * hidden_size, bias=False)
        self.norm_x = LayerNorm(2 * hidden_size, bias=False)
        self.norm_hh = LayerNorm(hidden_size)
        self.norm_xh = LayerNorm(hidden_size, bias=False)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        z, r = split(self.norm_h(h @ self.W_h) + self.norm_x(x @ self.W_x) + self.b, self.hidden_size)
        h_tilde = tanh(self.norm_xh(x @ self.W) + sigmoid(r) * self.norm_hh(h @ self.U) + self.b_h)
        h = (1.0 - sigmoid(z)) * h + sigmoid(z) * h_tilde
        return h, h
