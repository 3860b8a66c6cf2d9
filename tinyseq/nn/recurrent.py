"""Cells over time and depth: stacked, bidirectional, residual; for any cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinyseq import trees
from tinyseq.errors import DataError, ShapeError
from tinyseq.masks import LengthsLike, align, check_lengths
from tinyseq.nn.cells import Cell, GRUCell, LSTMCell, RNNCell, cell_factory
from tinyseq.nn.cells.registry import CellOption, known_options
from tinyseq.nn.init import Initializer
from tinyseq.nn.layers import Dropout
from tinyseq.nn.module import Module
from tinyseq.ops.elementwise import where
from tinyseq.ops.shape import concat
from tinyseq.tensors import Tensor
from tinyseq.unrolling import unroll

MakeCell = str | Callable[..., Cell]


class Recurrent(Module):
    """Cells over time, stacked: each layer reads the outputs of the one below.

    Args:
        make_cell: a cell class, a name in ``nn.CELLS`` or a function (input_size, hidden_size) -> cell, called once a
            layer and direction; or a list of them, one a layer.
        input_size: features of the input.
        hidden_size: features of each cell's output.
        num_layers: how many layers; the length of the list where ``make_cell`` is one.
        bidirectional: a second cell a layer that reads from the end; outputs are joined, forward first.
        dropout: probability, applied to what every layer but the first reads, in training.
        residual: add what a layer reads to its output wherever the two have one size (all layers but the first, as a
            rule), so that gradients pass many layers.
        cell: options passed on to every cell.

    Calling it with xs (batch, time, input_size) returns ys (batch, time, hidden_size or twice that) and the last
    state: a tuple a layer, each a tuple of one state a direction.

    Raises:
        DataError: an unknown cell or option, or fewer than one layer.
        ShapeError: (on calling) an input of other features, or a state of another model.

    As ``torch.nn.RNNBase``, for any cell.

    >>> layer = nn.Recurrent("gru", 100, 50, num_layers=2)
    >>> layer.num_parameters(), layer(ts.zeros(3, 7, 100))[0].shape
    (37800, (3, 7, 50))
    """

    def __init__(
        self,
        make_cell: MakeCell | Sequence[MakeCell],
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int | None = None,
        bidirectional: bool = False,
        dropout: float = 0.0,
        residual: bool = False,
        **cell: CellOption,
    ) -> None:
        listed = isinstance(make_cell, Sequence) and not isinstance(make_cell, str)
        kinds: list[Any] = [*make_cell] if listed else [make_cell] * (1 if num_layers is None else num_layers)  # type: ignore[misc]
        if not kinds or num_layers not in (None, len(kinds)):
            required = "the number of cells in the list" if listed else "at least 1"
            raise DataError("num_layers", required=required, got=str(num_layers))
        self.input_size, self.hidden_size = input_size, hidden_size
        self.bidirectional, self.residual = bidirectional, residual
        suffixes = ("", "_reverse") if bidirectional else ("",)
        layers: list[list[Cell]] = []
        size = input_size
        for kind in kinds:
            make = cell_factory(kind, **cell)
            layers.append([make(size, hidden_size) for _ in suffixes])
            size = sum(getattr(one, "output_size", hidden_size) for one in layers[-1])
        self.layers = layers
        for depth, cells in enumerate(layers):
            for one, suffix in zip(cells, suffixes, strict=True):
                one.name = f"{type(self).__name__.lower()}{depth}{suffix}"
        #: The number of features of ys.
        self.output_size = size
        self.dropout = Dropout(dropout)

    def initial_state(self, batch: int) -> Any:
        """Return the initial state, a tuple a layer of a state a direction."""
        return tuple(tuple(cell.initial_state(batch) for cell in cells) for cells in self.layers)

    def forward(
        self,
        xs: Tensor,
        state: Any = None,
        *,
        lengths: LengthsLike | None = None,
        truncate: int | None = None,
    ) -> tuple[Tensor, Any]:
        if len(xs.shape) != 3 or xs.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: the input",
                required=f"(batch, time, {self.input_size})",
                got=str(xs.shape),
                fix="nn.Embedding turns integers into features" if xs.dtype.kind in "iu" else "",
            )
        state = self.initial_state(xs.shape[0]) if state is None else state
        self._check(state)
        # Checked here, so that layers and directions share one mask.
        lengths = None if lengths is None else check_lengths(lengths, xs.shape[1], xs.shape[0])
        if self.residual and lengths is not None:
            xs = where(align(lengths.mask, xs), xs, 0.0)  # padding must not reach the outputs
        last = []
        for depth, (cells, states) in enumerate(zip(self.layers, state, strict=True)):
            if depth:
                xs = self.dropout(xs)
            runs = [
                unroll(cell, xs, s, lengths=lengths, truncate=truncate, reverse=bool(direction))
                for direction, (cell, s) in enumerate(zip(cells, states, strict=True))
            ]
            ys = concat([ys for ys, _ in runs], axis=-1) if len(runs) > 1 else runs[0][0]
            xs = xs + ys if self.residual and xs.shape == ys.shape else ys
            last.append(tuple(s for _, s in runs))
        return xs, tuple(last)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return (y_t, s_t) for x_t (batch, input_size) and s_{t-1}: a call with a single time step.

        Raises:
            DataError: it is bidirectional: there is no step from the end.
        """
        if self.bidirectional:
            raise DataError(
                f"{type(self).__name__}.step", required="layers that read forward", got="bidirectional=True"
            )
        self._check(state)
        last = []
        for depth, ((cell,), (s,)) in enumerate(zip(self.layers, state, strict=True)):
            if depth:
                x = self.dropout(x)
            y, s = cell.step(x, s)
            x = x + y if self.residual and x.shape == y.shape else y
            last.append((s,))
        return x, tuple(last)

    def _check(self, state: Any) -> None:
        directions = 2 if self.bidirectional else 1
        fits = isinstance(state, (tuple, list)) and len(state) == len(self.layers)
        if not fits or any(not isinstance(part, (tuple, list)) or len(part) != directions for part in state):
            raise ShapeError(
                f"{type(self).__name__}: a state of another model",
                required=f"a tuple of {len(self.layers)} layers, each a tuple of {directions} states (one a direction)",
                got=trees.structure(state),
                fix="the state that an earlier call returned, initial_state(batch), or None for zeros",
            )

    def summary(self) -> str:
        return f"{self.input_size} -> {self.output_size}"


class RNN(Recurrent):
    """Vanilla recurrent layers; options as in ``Recurrent`` and ``RNNCell``.

    As ``torch.nn.RNN``, batch first.

    >>> layer = nn.RNN(100, 50, num_layers=2, bidirectional=True)
    >>> layer.num_parameters(), layer(ts.zeros(3, 7, 100))[0].shape
    (30200, (3, 7, 100))
    """

    @known_options
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        residual: bool = False,
        nonlinearity: str = "tanh",
        recurrent_init: str | Initializer = "orthogonal",
        input_init: str | Initializer = "glorot",
    ) -> None:
        super().__init__(
            RNNCell,
            input_size,
            hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            residual=residual,
            nonlinearity=nonlinearity,
            recurrent_init=recurrent_init,
            input_init=input_init,
        )


class LSTM(Recurrent):
    """Long short-term memory layers; options as in ``Recurrent`` and ``LSTMCell``.

    As ``torch.nn.LSTM``, batch first.

    >>> layer = nn.LSTM(100, 50, num_layers=2, bidirectional=True)
    >>> layer.num_parameters(), layer(ts.zeros(3, 7, 100))[0].shape
    (120800, (3, 7, 100))
    """

    @known_options
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        residual: bool = False,
        forget_bias: float = 1.0,
        recurrent_init: str | Initializer = "orthogonal",
        input_init: str | Initializer = "glorot",
    ) -> None:
        super().__init__(
            LSTMCell,
            input_size,
            hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            residual=residual,
            forget_bias=forget_bias,
            recurrent_init=recurrent_init,
            input_init=input_init,
        )


class GRU(Recurrent):
    """Gated recurrent layers; options as in ``Recurrent`` and ``GRUCell``.

    As ``torch.nn.GRU``, batch first.

    >>> layer = nn.GRU(100, 50, num_layers=2, bidirectional=True)
    >>> layer.num_parameters(), layer(ts.zeros(3, 7, 100))[0].shape
    (90600, (3, 7, 100))
    """

    @known_options
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        residual: bool = False,
        update: str = "new",
        reset: str = "before",
        recurrent_init: str | Initializer = "orthogonal",
        input_init: str | Initializer = "glorot",
    ) -> None:
        super().__init__(
            GRUCell,
            input_size,
            hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            residual=residual,
            update=update,
            reset=reset,
            recurrent_init=recurrent_init,
            input_init=input_init,
        )


class Stack(Cell):
    """Cells one above another as one cell, for a decoder that goes step by step: y_l, s_l' = cell_l(y_{l-1}, s_l).

    The state is a tuple of the cells' states; ``dropout`` and ``residual`` are those of ``Recurrent``.

    Raises:
        DataError: no cells.
        ShapeError: (on stepping) a state of another stack.

    As ``tf.keras.layers.StackedRNNCells``.

    >>> nn.Stack([nn.RNNCell(3, 4), nn.RNNCell(4, 5)]).num_parameters()
    82
    """

    def __init__(self, cells: Sequence[Cell], *, dropout: float = 0.0, residual: bool = False) -> None:
        if not cells:
            raise DataError("Stack", required="at least one cell", got="none")
        self.cells = list(cells)
        self.input_size, self.hidden_size = cells[0].input_size, cells[-1].hidden_size
        self.residual = residual
        self.dropout = Dropout(dropout)

    def initial_state(self, batch: int) -> Any:
        return tuple(cell.initial_state(batch) for cell in self.cells)

    @property
    def output_size(self) -> int:
        return self.cells[-1].output_size

    def hidden(self, state: Any) -> Any:
        return self.cells[-1].hidden(state[-1])

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        if not isinstance(state, (tuple, list)) or len(state) != len(self.cells):
            raise ShapeError(
                "Stack: a state of another stack", required=f"a tuple of {len(self.cells)}", got=trees.structure(state)
            )
        new = []
        for depth, (cell, s) in enumerate(zip(self.cells, state, strict=True)):
            if depth:
                x = self.dropout(x)
            y, s = cell.step(x, s)
            x = x + y if self.residual and x.shape == y.shape else y
            new.append(s)
        return x, tuple(new)
