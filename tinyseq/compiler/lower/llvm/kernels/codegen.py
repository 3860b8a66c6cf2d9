"""Stages as functions: ``stage(buffers, scratch, t, turn, from, to)`` does a part of one, between two barriers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from tinyseq.compiler.lower.llvm.ir.context import PARAMETERS, StageWriter
from tinyseq.compiler.lower.llvm.kernels.along_axis import PLACES, write_cumulation, write_place
from tinyseq.compiler.lower.llvm.kernels.elementwise import GroupWriter
from tinyseq.compiler.lower.llvm.kernels.gathering import write_gathering
from tinyseq.compiler.lower.llvm.kernels.matmul import write_batched, write_kept
from tinyseq.compiler.lower.llvm.kernels.panels import write_products
from tinyseq.compiler.lower.llvm.kernels.reducing import write_normalization, write_reduction
from tinyseq.compiler.lower.llvm.kernels.sparse import write_sparse_product
from tinyseq.compiler.lower.llvm.kernels.uniform import write_draw
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
    SparseProduct,
    Step,
    TriangleStage,
)


def write_stage(
    writer: StageWriter, stage: Step, name: str, keep_rows: bool = False, packed: Sequence[int] = ()
) -> int:
    """Write a stage as a function; return how many parts it can be split into.

    ``keep_rows`` says that parts are to be rows, as in a loop that is split along them; ``packed``, where in the
    scratch memory the right operands of its products have been laid out.
    """
    f = writer.module.function(name, PARAMETERS)
    parts = 1
    match stage:
        case Group() if stage.product is None:
            parts = GroupWriter(writer, f, stage).write()
        case Group() if packed:
            parts = write_kept(writer, f, stage, packed, keep_rows)
        case Group():
            parts = write_products(writer, f, [stage], None, keep_rows)
        case Bundle():
            parts = write_products(writer, f, stage.groups, stage.sum, keep_rows)
        case Product():
            parts = write_batched(writer, f, stage)
        case ReductionStage() if stage.name in PLACES:
            parts = write_place(writer, f, stage)
        case ReductionStage():
            parts = write_reduction(writer, f, stage, keep_rows)
        case Normalization():
            parts = write_normalization(writer, f, stage)
        case Draw():
            parts = write_draw(writer, f, stage)
        case Gathering():
            parts = write_gathering(writer, f, stage)
        case SparseProduct():
            parts = write_sparse_product(f, stage)
        case Cumulation():
            parts = write_cumulation(f, stage)
        case Contraction() | TriangleStage():
            raise TypeError(f"no function for a {type(stage).__name__}: its ops have no form here")
        case _:
            assert_never(stage)
    f.do("ret void")
    return parts
