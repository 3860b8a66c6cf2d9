"""The gated recurrent unit, in all the senses that its name is used in."""

from __future__ import annotations

from tinyseq.errors import DataError, did_you_mean
from tinyseq.nn import init
from tinyseq.nn.cells.base import Cell
from tinyseq.nn.init import Initializer
from tinyseq.nn.module import parameter
from tinyseq.ops.elementwise import sigmoid, tanh
from tinyseq.ops.shape import concat
from tinyseq.tensors import Tensor


class GRUCell(Cell):
    """Gated recurrent unit (Cho et al. 2014). The output is h'.

    r, z = σ([h, x] W + b). The candidate, by ``reset``:
    "before" the product: h~ = tanh([r h, x] W_h + b_h), the lecture's, Cho's, ONNX's with linear_before_reset = 0;
    "after" it: h~ = tanh(x W_xh + b_h + r (h W_hh + b_hh)), that of cuDNN, PyTorch and Keras's reset_after.
    The new state, by what the update gate z lets in, ``update``:
    "new": h' = (1 - z) h + z h~ (Chung et al. 2014, eq. 5); "old": h' = z h + (1 - z) h~ (Cho et al. 2014, eq. 7;
    PyTorch, Keras, ONNX).

    Parameters: 3 hidden (input + hidden + 1); with ``reset="after"`` hidden more, for b_hh, which r scales and which
    therefore cannot be one with b_h.

    Raises:
        DataError: another word for ``update`` or ``reset``.

    As ``torch.nn.GRUCell``, with one bias a gate.

    >>> nn.GRUCell(100, 50)
    GRUCell(100 -> 50, 22,650 parameters)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        update: str = "new",
        reset: str = "before",
        recurrent_init: str | Initializer = "orthogonal",
        input_init: str | Initializer = "glorot",
    ) -> None:
        for option, word, words in (("update", update, ("new", "old")), ("reset", reset, ("before", "after"))):
            if word not in words:
                raise DataError(f"GRUCell: unknown {option} {word!r}", fix=did_you_mean(str(word), words))
        self.input_size, self.hidden_size, self.update, self.reset = input_size, hidden_size, update, reset
        self.W_r = parameter(init.recurrent(hidden_size, input_size, recurrent_init, input_init))
        self.b_r = parameter(init.zeros(hidden_size))
        self.W_z = parameter(init.recurrent(hidden_size, input_size, recurrent_init, input_init))
        self.b_z = parameter(init.zeros(hidden_size))
        if reset == "before":
            self.W_h = parameter(init.recurrent(hidden_size, input_size, recurrent_init, input_init))
        else:
            self.W_hh = parameter(init.draw(recurrent_init, hidden_size, hidden_size))
            self.W_xh = parameter(init.draw(input_init, input_size, hidden_size))
            self.b_hh = parameter(init.zeros(hidden_size))
        self.b_h = parameter(init.zeros(hidden_size))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        hx = concat([h, x], axis=-1)
        r = sigmoid(hx @ self.W_r + self.b_r)
        z = sigmoid(hx @ self.W_z + self.b_z)
        if self.reset == "before":
            h_tilde = tanh(concat([r * h, x], axis=-1) @ self.W_h + self.b_h)
        else:
            h_tilde = tanh(x @ self.W_xh + self.b_h + r * (h @ self.W_hh + self.b_hh))
        h = (1.0 - z) * h + z * h_tilde if self.update == "new" else z * h + (1.0 - z) * h_tilde
        return h, h
