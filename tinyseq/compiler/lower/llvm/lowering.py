"""From a plan to stages that are worth writing as they stand: joined, moved and bundled, segment by segment."""

from __future__ import annotations

from typing import Final

from tinyseq.compiler.lower import describe
from tinyseq.compiler.lower.describe import Forms
from tinyseq.compiler.lower.grouping import group, leave_unstored, split_rows
from tinyseq.compiler.lower.llvm.ir.operations import WRITERS
from tinyseq.compiler.lower.llvm.kernels.matmul import turned
from tinyseq.compiler.lower.llvm.runtime.host import host
from tinyseq.compiler.lower.llvm.schedule.fuse_into_loop import move_in
from tinyseq.compiler.lower.llvm.schedule.rematerialise import recompute
from tinyseq.compiler.lower.llvm.schedule.shared_operand import bundle
from tinyseq.compiler.lower.partition import Partition, partition
from tinyseq.compiler.lower.stages import Repeat, Stage
from tinyseq.compiler.plan import Plan

#: The native forms of ops in this lowering.
FORMS: Final[Forms] = {**describe.elementwise(WRITERS), **describe.FORMS}


def lower(plan: Plan, forms: Forms = FORMS) -> Partition:
    """Describe what can be native, join it, and leave the rest."""
    lowered = partition(plan, forms)
    lowered.replace_segments([[_grouped(stage) for stage in group(segment)] for segment in lowered.segments])
    every = [stage for segment in lowered.segments for stage in segment]
    leave_unstored(every, lowered.free)
    recompute(every, lowered.stacks)
    moved = move_in(lowered.segments, lowered.free, host())
    lowered.replace_segments([bundle([turned(stage, host()) for stage in segment], host()) for segment in moved])
    return lowered


def _grouped(stage: Stage) -> Stage:
    if isinstance(stage, Repeat):
        stage.stages = group(stage.stages)
        stage.rows = split_rows(stage.stages)
    return stage
