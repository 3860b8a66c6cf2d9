"""The independently recurrent cell: each unit remembers only itself."""

from __future__ import annotations

from tinyseq.errors import DataError
from tinyseq.modes import no_grad
from tinyseq.nn import init
from tinyseq.nn.cells.base import Cell
from tinyseq.nn.cells.rnn import NONLINEARITIES, check_nonlinearity
from tinyseq.nn.init import Initializer
from tinyseq.nn.module import parameter
from tinyseq.ops.elementwise import clip
from tinyseq.tensors import Tensor


class IndRNNCell(Cell):
    """h' = g(x W + u h + b), u a vector, g ReLU or tanh (Li et al. 2018, eq. 2). The output is h'.

    Over T steps a gradient is scaled by about u^T, so |u| is kept within γ^(1/T), γ = 2 (the paper's section 3.1):
    ``constrain()`` clips u, and a training loop calls ``model.constrain()`` after each ``opt.step()``. At first u is
    uniform between ``remember`` and the bound; near the bound, units keep a long memory (the paper's last layer).
    Parameters: hidden (input + 2).

    Args:
        steps: T, the length of the sequences, from which the bound follows.
        bound: the largest |u|, instead of ``steps``; 1 by default, where nothing explodes whatever T.
        remember: the smallest u at first.

    Raises:
        DataError: both ``steps`` and ``bound``, a bound that is not positive, or ``remember`` beyond it.

    >>> nn.IndRNNCell(100, 50)
    IndRNNCell(100 -> 50, 5,100 parameters)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "relu",
        steps: int | None = None,
        bound: float | None = None,
        remember: float = 0.0,
        input_init: str | Initializer = "glorot",
    ) -> None:
        if steps is not None and (bound is not None or steps < 1):
            raise DataError("IndRNNCell: steps", required="at least 1, and no bound beside it", got=f"{steps}, {bound}")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.nonlinearity = check_nonlinearity("IndRNNCell", nonlinearity)
        self.bound = 2.0 ** (1.0 / steps) if steps is not None else 1.0 if bound is None else float(bound)
        if not self.bound > 0.0 or not -self.bound <= remember <= self.bound:
            raise DataError(
                "IndRNNCell: the range of u", required="bound > 0, |remember| <= bound", got=f"{bound}, {remember}"
            )
        self.W = parameter(init.draw(input_init, input_size, hidden_size))
        self.u = parameter(init.uniform(hidden_size, low=remember, high=self.bound))
        self.b = parameter(init.zeros(hidden_size))

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x, h)
        g = NONLINEARITIES[self.nonlinearity]
        h = g(x @ self.W + self.u * h + self.b)
        return h, h

    def constrain(self) -> None:
        """Clip u to [-bound, bound]."""
        with no_grad():
            self.u.assign(clip(self.u.detach(), -self.bound, self.bound))
