"""Which of a plan's instructions run natively: segments of them, with NumPy's calls in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tinyseq.compiler.lower.access import Ghosts
from tinyseq.compiler.lower.describe import NotNative, describe
from tinyseq.compiler.lower.grouping import group, leave_unstored, split_rows
from tinyseq.compiler.lower.llvm.bundling import bundle
from tinyseq.compiler.lower.llvm.host import host
from tinyseq.compiler.lower.llvm.moving import move_in
from tinyseq.compiler.lower.llvm.multiplying import turned
from tinyseq.compiler.lower.llvm.recomputing import recompute
from tinyseq.compiler.lower.stages import Repeat, Stage, writes
from tinyseq.compiler.plan import Loop, Plan, Ref


@dataclass
class Lowered:
    """A plan in pieces, in order: lists of stages (a native segment) and instructions that NumPy runs."""

    pieces: list[Any] = field(default_factory=list)
    #: Which pieces come before those that only gradients need.
    boundary: int = 0
    #: The instructions that stay with NumPy, and why.
    left: list[tuple[str, str]] = field(default_factory=list)
    #: Slots that those touch.
    foreign: set[int] = field(default_factory=set)

    def written(self, start: int, stop: int) -> set[int]:
        """Return the slots that some of the native segments write to."""
        segments = [piece for piece in self.pieces[start:stop] if isinstance(piece, list)]
        return {x.slot for segment in segments for stage in segment for x in writes(stage)}

    @property
    def segments(self) -> list[list[Stage]]:
        return [piece for piece in self.pieces if isinstance(piece, list)]


def lower(plan: Plan) -> Lowered:
    """Describe what can be native, join it, and leave the rest."""
    ghosts = Ghosts(plan.buffers)
    lowered = Lowered()
    foreign: set[int] = set()
    for position, instruction in enumerate(plan.instructions):
        if position == plan.forward:
            lowered.boundary = len(lowered.pieces)
        try:
            stages = _loop(instruction, ghosts) if isinstance(instruction, Loop) else describe(instruction, ghosts)
        except NotNative as reason:
            lowered.left.append((str(instruction), str(reason)))
            lowered.pieces.append(instruction)
            foreign.update(ghosts.numbers[id(ref.buffer)] for ref in instruction.refs())
            lowered.foreign.update(ref.buffer.slot for ref in instruction.refs())
            continue
        if position == plan.forward or not lowered.pieces or not isinstance(lowered.pieces[-1], list):
            lowered.pieces.append([])
        lowered.pieces[-1] += stages
    if plan.forward == len(plan.instructions):
        lowered.boundary = len(lowered.pieces)
    kept = {ghosts.numbers[id(x.buffer)] for x in (*plan.outputs, *plan.inputs.values()) if isinstance(x, Ref)}
    free = {n for n, b in enumerate(plan.buffers) if b.kind == "temp"} - kept - foreign
    for index, piece in enumerate(lowered.pieces):
        if isinstance(piece, list):
            lowered.pieces[index] = [_grouped(stage) for stage in group(piece)]
    every = [stage for piece in lowered.segments for stage in piece]
    leave_unstored(every, free)
    recompute(every, {n for n, b in enumerate(plan.buffers) if b.kind == "stack"} - kept - foreign)
    moved = iter(move_in(lowered.segments, free, host()))
    for index, piece in enumerate(lowered.pieces):
        if isinstance(piece, list):
            lowered.pieces[index] = bundle([turned(stage, host()) for stage in next(moved)], host())
    return lowered


def _grouped(stage: Stage) -> Stage:
    if isinstance(stage, Repeat):
        stage.stages = group(stage.stages)
        stage.rows = split_rows(stage.stages)
    return stage


def _loop(loop: Loop, ghosts: Ghosts) -> list[Stage]:
    if not loop.length:
        return []
    stages: list[Stage] = []
    reasons: dict[str, None] = {}
    for inner in loop.body:
        try:
            stages += describe(inner, ghosts, in_loop=True)
        except NotNative as reason:
            reasons[str(reason)] = None
    if reasons:
        raise NotNative("; ".join(reasons))
    return [Repeat(loop.length, loop.reverse, stages)]
