"""Gated cells: what is left of the LSTM and the GRU where a gate is left out, shared or fed otherwise."""

from __future__ import annotations

from tinyseq.nn import init
from tinyseq.nn.cells.base import Cell
from tinyseq.nn.cells.lstm import LSTMState
from tinyseq.nn.module import parameter
from tinyseq.ops.elementwise import relu, sigmoid, tanh
from tinyseq.ops.shape import concat
from tinyseq.tensors import Tensor


class _Gated(Cell):
    """What these share: weights on [h, x] with a bias, each under the name of its gate."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size

    def _gates(self, *names: str, bias: float = 0.0) -> None:
        for name in names:
            setattr(self, f"W_{name}", parameter(init.recurrent(self.hidden_size, self.input_size)))
            setattr(self, f"b_{name}", parameter(init.full(self.hidden_size, value=bias)))

    def _inputs(self, name: str, bias: bool = True) -> None:
        setattr(self, f"W_{name}", parameter(init.glorot(self.input_size, self.hidden_size)))
        if bias:
            setattr(self, f"b_{name}", parameter(init.zeros(self.hidden_size)))


class MGUCell(_Gated):
    """Minimal gated unit (Zhou et al. 2016): one gate forgets and resets.

    f = σ([h, x] W_f + b_f),  h~ = tanh([f h, x] W_h + b_h),  h' = (1 - f) h + f h~.  The output is h'.
    """

    W_f: Tensor
    b_f: Tensor
    W_h: Tensor
    b_h: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self._gates("f", "h")

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        f = sigmoid(concat([h, x], axis=-1) @ self.W_f + self.b_f)
        h_tilde = tanh(concat([f * h, x], axis=-1) @ self.W_h + self.b_h)
        h = (1.0 - f) * h + f * h_tilde
        return h, h


class UGRNNCell(_Gated):
    """Update gate RNN (Collins, Sohl-Dickstein and Sussillo 2017).

    g = σ([h, x] W_g + b_g),  c = tanh([h, x] W_c + b_c),  h' = g h + (1 - g) c.  The output is h'.
    """

    W_g: Tensor
    b_g: Tensor
    W_c: Tensor
    b_c: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self._gates("g", bias=1.0)
        self._gates("c")

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        hx = concat([h, x], axis=-1)
        g = sigmoid(hx @ self.W_g + self.b_g)
        c = tanh(hx @ self.W_c + self.b_c)
        h = g * h + (1.0 - g) * c
        return h, h


class JANETCell(_Gated):
    """Just another network (van der Westhuizen and Lasenby 2018): an LSTM with only a forget gate.

    s = [h, x] W_f + b_f,  c~ = tanh([h, x] W_c + b_c),  h' = σ(s) h + (1 - σ(s - β)) c~.  The output is h'.
    """

    W_f: Tensor
    b_f: Tensor
    W_c: Tensor
    b_c: Tensor

    def __init__(self, input_size: int, hidden_size: int, *, beta: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        self.beta = float(beta)
        self._gates("f", bias=1.0)
        self._gates("c")

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        hx = concat([h, x], axis=-1)
        s = hx @ self.W_f + self.b_f
        c_tilde = tanh(hx @ self.W_c + self.b_c)
        h = sigmoid(s) * h + (1.0 - sigmoid(s - self.beta)) * c_tilde
        return h, h


class LiGRUCell(_Gated):
    """Light GRU (Ravanelli et al. 2018), without its batch normalisation.

    z = σ([h, x] W_z + b_z),  h~ = relu([h, x] W_h + b_h),  h' = z h + (1 - z) h~.  The output is h'.
    """

    W_z: Tensor
    b_z: Tensor
    W_h: Tensor
    b_h: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self._gates("z", "h")

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        hx = concat([h, x], axis=-1)
        z = sigmoid(hx @ self.W_z + self.b_z)
        h_tilde = relu(hx @ self.W_h + self.b_h)
        h = z * h + (1.0 - z) * h_tilde
        return h, h


class MinimalRNNCell(_Gated):
    """MinimalRNN (Chen 2017): the input goes into a latent space, in which one gate mixes it with the state.

    z = tanh(x W_z + b_z),  u = σ([h, z] W_u + b_u),  h' = u h + (1 - u) z.  The output is h'.
    """

    W_z: Tensor
    b_z: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self._inputs("z")
        self.W_u = parameter(init.recurrent(hidden_size, hidden_size))
        self.b_u = parameter(init.full(hidden_size, value=1.0))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        z = tanh(x @ self.W_z + self.b_z)
        u = sigmoid(concat([h, z], axis=-1) @ self.W_u + self.b_u)
        h = u * h + (1.0 - u) * z
        return h, h


class STARCell(_Gated):
    """Stackable recurrent cell (Turkoglu et al. 2021).

    z = tanh(x W_z + b_z),  k = σ([h, x] W_k + b_k),  h' = tanh((1 - k) h + k z).  The output is h'.
    """

    W_z: Tensor
    b_z: Tensor
    W_k: Tensor
    b_k: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self._inputs("z")
        self._gates("k")

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        z = tanh(x @ self.W_z + self.b_z)
        k = sigmoid(concat([h, x], axis=-1) @ self.W_k + self.b_k)
        h = tanh((1.0 - k) * h + k * z)
        return h, h


class CFNCell(_Gated):
    """Chaos-free network (Laurent and von Brecht 2017): without input the state goes to 0.

    f, i = σ([h, x] W + b),  h' = f tanh(h) + i tanh(x W_x).  The output is h'.
    """

    W_f: Tensor
    b_f: Tensor
    W_i: Tensor
    b_i: Tensor
    W_x: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self._gates("f", bias=1.0)
        self._gates("i")
        self._inputs("x", bias=False)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        hx = concat([h, x], axis=-1)
        f = sigmoid(hx @ self.W_f + self.b_f)
        i = sigmoid(hx @ self.W_i + self.b_i)
        h = f * tanh(h) + i * tanh(x @ self.W_x)
        return h, h


class RANCell(_Gated):
    """Recurrent additive network (Lee, Levy and Zettlemoyer 2017): the cell state is a weighted sum of inputs.

    i, f = σ([h, x] W + b),  c' = i (x W_c) + f c,  h' = tanh(c').  The output is h'.
    """

    State = LSTMState
    W_i: Tensor
    b_i: Tensor
    W_f: Tensor
    b_f: Tensor
    W_c: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self._gates("i")
        self._gates("f", bias=1.0)
        self._inputs("c", bias=False)

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        self.check(x, state)
        h, c = state
        hx = concat([h, x], axis=-1)
        i = sigmoid(hx @ self.W_i + self.b_i)
        f = sigmoid(hx @ self.W_f + self.b_f)
        c = i * (x @ self.W_c) + f * c
        h = tanh(c)
        return h, LSTMState(h, c)


class CoupledLSTMCell(_Gated):
    """LSTM with coupled gates (CIFG; Greff et al. 2017): what is forgotten makes room for what comes in, i = 1 - f.

    f, o = σ([h, x] W + b),  c~ = tanh([h, x] W_c + b_c),  c' = f c + (1 - f) c~,  h' = o tanh(c').  The output is h'.
    """

    State = LSTMState
    W_f: Tensor
    b_f: Tensor
    W_c: Tensor
    b_c: Tensor
    W_o: Tensor
    b_o: Tensor

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self._gates("f", bias=1.0)
        self._gates("c", "o")

    def step(self, x: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        self.check(x, state)
        h, c = state
        hx = concat([h, x], axis=-1)
        f = sigmoid(hx @ self.W_f + self.b_f)
        c_tilde = tanh(hx @ self.W_c + self.b_c)
        o = sigmoid(hx @ self.W_o + self.b_o)
        c = f * c + (1.0 - f) * c_tilde
        h = o * tanh(c)
        return h, LSTMState(h, c)
