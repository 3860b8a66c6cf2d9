"""The echo state cell: a fixed random reservoir (Jaeger 2001)."""

from __future__ import annotations

from tinyseq.errors import DataError
from tinyseq.nn import init
from tinyseq.nn.cells.base import Cell
from tinyseq.nn.module import buffer
from tinyseq.ops.elementwise import tanh
from tinyseq.sparse import constant_product
from tinyseq.tensors import Tensor


class ESNCell(Cell):
    """h' = (1 - a) h + a tanh([1; x] W_in + h W), W_in and W fixed (Lukoševičius 2012, eq. 2-3). The output is h'.

    Nothing in it is learned: W_in (input_size, hidden_size), b_in (its row for the 1) and W (hidden_size, hidden_size)
    are buffers.

    Args:
        spectral_radius: max |λ(W)|; below 1 the echoes of the past fade, as a rule.
        leak: a, the share of the state that is new at each step.
        input_scaling: W_in is uniform within ± this.
        bias_scaling: b_in is uniform within ± this.
        density: the share of W's entries that are not 0; by default so many that each unit hears 10 others (the same,
            section 3.2.2), whatever the size.

    Raises:
        DataError: an option out of range.

    >>> nn.ESNCell(2, 30).num_parameters(), [tuple(b.shape) for b in nn.ESNCell(2, 30).buffers()]
    (0, [(2, 30), (30,), (30, 30)])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        spectral_radius: float = 0.9,
        leak: float = 1.0,
        input_scaling: float = 1.0,
        bias_scaling: float = 1.0,
        density: float | None = None,
    ) -> None:
        if not 0.0 < leak <= 1.0 or input_scaling < 0.0 or bias_scaling < 0.0:
            raise DataError(
                "ESNCell", required="0 < leak <= 1, scalings >= 0", got=f"{leak}, {input_scaling}, {bias_scaling}"
            )
        self.input_size, self.hidden_size, self.leak = input_size, hidden_size, leak
        self.W_in = buffer(init.uniform(input_size, hidden_size, low=-input_scaling, high=input_scaling))
        self.b_in = buffer(init.uniform(hidden_size, low=-bias_scaling, high=bias_scaling))
        density = min(1.0, 10.0 / max(hidden_size, 1)) if density is None else density
        self.W = buffer(init.reservoir(hidden_size, spectral_radius=spectral_radius, density=density))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        a = self.leak
        h = (1.0 - a) * h + a * tanh(x @ self.W_in + self.b_in + constant_product(h, self.W, "W"))
        return h, h
