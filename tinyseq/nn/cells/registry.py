"""The cells by name, for configurations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import ParamSpec

from tinyseq.errors import DataError, did_you_mean
from tinyseq.nn.cells.base import Cell
from tinyseq.nn.cells.esn import ESNCell
from tinyseq.nn.cells.gru import GRUCell
from tinyseq.nn.cells.indrnn import IndRNNCell
from tinyseq.nn.cells.layernorm import LayerNormGRUCell, LayerNormLSTMCell, LayerNormRNNCell
from tinyseq.nn.cells.lstm import LSTMCell, PeepholeLSTMCell
from tinyseq.nn.cells.rnn import RNNCell
from tinyseq.nn.init import Initializer
from tinyseq.nn.zoo import ZOO
from tinyseq.registry import Registry

P = ParamSpec("P")
#: (input_size, hidden_size) -> cell.
CellFactory = Callable[[int, int], Cell]
#: What an option of a cell may be.
CellOption = str | float | Initializer | None

#: A cell of one's own joins with ``CELLS.register("mine", MyCell)``.
CELLS: Registry[Callable[..., Cell]] = Registry(
    "cell",
    {
        "esn": ESNCell,
        "gru": GRUCell,
        "indrnn": IndRNNCell,
        "layernorm_gru": LayerNormGRUCell,
        "layernorm_lstm": LayerNormLSTMCell,
        "layernorm_rnn": LayerNormRNNCell,
        "lstm": LSTMCell,
        "peephole_lstm": PeepholeLSTMCell,
        "rnn": RNNCell,
    },
)


def cell_factory(kind: str | Callable[..., Cell], **options: CellOption) -> CellFactory:
    """Return a function (input_size, hidden_size) -> cell, for a name in ``CELLS`` or ``ZOO``, a class or a function.

    Raises:
        DataError: no such cell, or no such option; lists what there is.

    tinyseq's own.

    >>> nn.cell_factory("lstm", forget_bias=0.0)(100, 50)
    LSTMCell(100 -> 50, 30,200 parameters)
    """
    if isinstance(kind, str):
        kind = CELLS.over(ZOO).find(kind)
    parameters = inspect.signature(kind).parameters.values()
    known = [p.name for p in [*parameters][2:] if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        _require_known(getattr(kind, "__name__", "the cell"), options, known)
    return partial(kind, **options) if options else kind


def _require_known(name: str, options: Iterable[str], known: list[str]) -> None:
    if unknown := [option for option in options if option not in known]:
        raise DataError(
            f"{name} has no option {unknown[0]!r}",
            required=f"some of {', '.join(known)}" if known else "no options",
            fix=did_you_mean(unknown[0], known) if known else "",
        )


def known_options(init: Callable[P, None]) -> Callable[P, None]:
    """Return an ``__init__`` of the same signature that refuses an unknown option as ``cell_factory`` does."""
    known = [p.name for p in inspect.signature(init).parameters.values()][1:]

    @wraps(init)
    def checked(*args: P.args, **options: P.kwargs) -> None:
        _require_known(type(args[0]).__name__, options, known)
        init(*args, **options)

    return checked
