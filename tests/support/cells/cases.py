"""Cases by name: cells over a sequence, functions, and the layers of ``nn``."""

from __future__ import annotations

from typing import Any

import tinyseq as ts
from support.cells.table import CELLS, F64, FUNCTIONS, Case, Draw, Sizes
from tinyseq import nn


def cell_case(name: str, sizes: Sizes | None = None, **options: Any) -> Case:
    """The cell over a sequence; ``options`` are those of ``ts.unroll``."""
    draw = Draw(sizes or Sizes())
    step, state = CELLS[name](draw)

    def fn(xs: Any, state: Any) -> Any:
        return ts.unroll(step, xs, state, **options)

    return Case(fn, (draw.xs(), state), draw.weights)


def registered(name: str, sizes: Sizes | None = None, **options: Any) -> Case:
    """A cell of ``nn.CELLS`` over a sequence, with weights that differ and a state that is not zero."""
    sizes = sizes or Sizes()
    draw = Draw(sizes, seed=3)
    one = nn.CELLS[name](sizes.inputs, sizes.hidden).cast(F64)
    one.load_state_dict({path: draw.rng.normal(0.1, 0.5, v.shape) for path, v in one.state_dict().items()})
    state = ts.trees.map_leaves(lambda s: draw(*s.shape), one.initial_state(sizes.batch))
    return Case(lambda xs, state: ts.unroll(one, xs, state, **options), (draw.xs(), state), one.parameters())


def recurrent(sizes: Sizes | None = None, kind: str = "lstm", call: dict[str, Any] | None = None, **opts: Any) -> Case:
    """A stack of layers of ``nn``; ``call`` are the options of a call, the others those of the module."""
    sizes = sizes or Sizes()
    draw = Draw(sizes, seed=4)
    model = nn.Recurrent(kind, sizes.inputs, sizes.hidden, **opts).cast(F64)
    return Case(lambda xs: model(xs, **(call or {})), (draw.xs(),), model.parameters())


#: Options of ``ts.unroll``, one alone and all together.
UNROLLINGS: list[dict[str, Any]] = [
    {"reverse": True},
    {"truncate": 2},
    {"lengths": [5, 2, 0]},
    {"lengths": [5, 4, 1], "truncate": 2, "reverse": True},
]


def case_of(name: str, sizes: Sizes | None = None) -> Case:
    """The cell over a sequence, or the function, of that name."""
    ts.seed(0)
    return FUNCTIONS[name](sizes or Sizes()) if name in FUNCTIONS else cell_case(name, sizes)
