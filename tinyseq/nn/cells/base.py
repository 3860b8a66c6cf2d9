"""Cell: what happens in one time step; ``ts.unroll`` does the rest."""

from __future__ import annotations

from typing import Any, ClassVar

from tinyseq import trees
from tinyseq.creation import zeros
from tinyseq.errors import DataError, ShapeError, TinyseqError
from tinyseq.nn.latex import display, equations
from tinyseq.nn.module import Module
from tinyseq.tensors import Tensor
from tinyseq.unrolling import unroll


class Cell(Module):
    """The base of cells, a user's own included: define ``step``, and where the state is more than one vector of
    ``hidden_size`` either ``State`` or ``initial_state``.

    The built-in cells follow the lecture: ``W`` acts on ``[h, x]``, in that order; one bias a gate.

    A cell of one's own, h' = h / 2 + x. As ``torch.nn.RNNCellBase``.

    >>> class Half(nn.Cell):
    ...     hidden_size = 1
    ...     def step(self, x, h):
    ...         h = 0.5 * h + x
    ...         return h, h
    ...
    >>> Half()(ts.tensor([[[1.0], [1.0], [1.0]]]))[0]
    tensor([[[1.  ],
             [1.5 ],
             [1.75]]])
    """

    input_size: int
    hidden_size: int
    #: The form of the state: a NamedTuple class whose parts are vectors; None where it is one vector h.
    State: ClassVar[Any] = None

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        """Return (y_t, s_t) for x_t and s_{t-1}."""
        raise NotImplementedError(f"{type(self).__name__} has no step")

    def initial_state(self, batch: int) -> Any:
        """Return s_0, zeros (batch, hidden_size) for each part of the state."""
        if not hasattr(self, "hidden_size"):
            raise DataError(
                f"{type(self).__name__} does not say how its state begins",
                required="an attribute hidden_size, or a method initial_state(batch)",
                fix="or pass state=... to unroll",
            )
        shape, dtype = (batch, self.hidden_size), self.dtype
        if self.State is None:
            return zeros(shape, dtype=dtype)
        return self.State(*(zeros(shape, dtype=dtype) for _ in self.State._fields))

    @property
    def output_size(self) -> int:
        """The number of features of y."""
        return self.hidden_size

    def hidden(self, state: Any) -> Any:
        """Return the part of a state that tells most of it, h (batch, hidden_size): what attention asks with."""
        if isinstance(state, Tensor):
            return state
        parts = dict(trees.leaves(state))
        if "h" not in parts:
            raise DataError(
                f"{type(self).__name__}: which part of the state is h?",
                required="a state with a part named h, or a method hidden(state)",
                got=trees.structure(state),
            )
        return parts["h"]

    def forward(self, xs: Any, state: Any = None, **options: Any) -> tuple[Any, Any]:
        """Unroll over (batch, time, ...); options as in ``ts.unroll``."""
        return unroll(self, xs, state, **options)

    def check(self, x: Tensor, state: Any) -> None:
        """Refuse an input or a state that is not this cell's: other features, another batch, another form.

        Raises:
            ShapeError: says what came and what the cell takes.
        """
        # Every step passes here, so the common case is a few comparisons.
        shape = x.shape
        expected = (*shape[:-1], self.hidden_size)
        parts = (state,) if self.State is None else state
        if (
            shape[-1:] != (self.input_size,)
            or not isinstance(parts, tuple)
            or len(parts) != (1 if self.State is None else len(self.State._fields))
            or any(not isinstance(part, Tensor) or part.shape != expected for part in parts)
        ):
            self._refuse(x, state)

    def _refuse(self, x: Tensor, state: Any) -> None:
        name, form = type(self).__name__, self.State
        if x.shape[-1:] != (self.input_size,):
            raise ShapeError(
                f"{name}: the input's feature size",
                required=f"x (batch, {self.input_size})",
                got=f"x {x.shape}",
                fix="nn.Embedding turns integers into features" if x.dtype.kind in "iu" else "",
            )
        size = (*x.shape[:-1], self.hidden_size)
        parts = ", ".join(f"{path or 'h'} {getattr(part, 'shape', type(part))}" for path, part in trees.leaves(state))
        wanted = f"{form.__name__}({', '.join(form._fields)}), each {size}" if form else f"one tensor h {size}"
        raise ShapeError(
            f"{name}: the state of another cell, of another size or of another batch",
            required=wanted,
            got=f"{trees.structure(state)} of {parts}"
            if not isinstance(state, Tensor)
            else f"one tensor {state.shape}",
            fix=f"cell.initial_state({x.shape[0] if len(x.shape) > 1 else 1}), or state=None for zeros",
        )

    def _repr_latex_(self) -> str | None:
        """Return the equations for a notebook; None, and ``repr`` is shown, where the step cannot be traced."""
        try:
            return display(equations(self))
        except TinyseqError:
            return None

    def summary(self) -> str:
        if hasattr(self, "input_size") and hasattr(self, "hidden_size"):
            return f"{self.input_size} -> {self.hidden_size}"
        return ""
