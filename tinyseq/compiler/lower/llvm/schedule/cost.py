"""About how long a stage takes one thread, in nanoseconds: whether it is worth sharing."""

from __future__ import annotations

import math
from typing import assert_never

from tinyseq.compiler.lower.llvm.ir.operations import COSTS
from tinyseq.compiler.lower.stages import (
    Bundle,
    Contraction,
    Cumulation,
    Draw,
    Gathering,
    Group,
    Normalization,
    Product,
    ReductionStage,
    Repeat,
    SparseProduct,
    Stage,
    TriangleStage,
    reads,
    writes,
)

_ELEMENT = 0.03  # of a multiplication in a vector
_FLOP = 0.01
_ENTRY = 1.0  # of a sparse matrix
_SCALAR = 3.0  # of an element that is moved by itself


def time_to_share(stage: Stage) -> float:
    """Estimate the time of which threads may each take a part: none of a loop whose steps mix rows, or have but one."""
    return 0.0 if isinstance(stage, Repeat) and not stage.rows else time_of(stage)


def time_of(stage: Stage) -> float:
    """Estimate a stage's time."""
    match stage:
        case Repeat():
            return stage.length * sum(map(time_of, stage.stages))
        case Group():
            elements = sum(math.prod(w.output.shape) * (1 + COSTS.get(w.name, 1)) for w in stage.works)
            return _ELEMENT * elements + sum(map(time_of, stage.products))
        case Product():
            return _FLOP * 2 * math.prod(stage.output.shape) * stage.left.shape[-1]
        case Bundle():
            return sum(map(time_of, stage.groups))
        case Draw():
            return _SCALAR * math.prod(stage.output.shape)
        case SparseProduct():
            return _ENTRY * math.prod(stage.output.shape[:-1]) * stage.values.shape[0]
        case Gathering():
            return _SCALAR * math.prod(stage.part.shape) + _ELEMENT * math.prod(stage.whole.shape)
        case ReductionStage() | Contraction() | Cumulation() | TriangleStage() | Normalization():
            sizes = [math.prod(x.shape) for x in (*reads(stage), *writes(stage))]
            return 20 * _ELEMENT * max(sizes)
        case _:
            assert_never(stage)
