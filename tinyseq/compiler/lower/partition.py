"""A plan cut in two: what a lowering has forms for, as stages in a row, and what it leaves as it is, and why.

The walk is the same for every lowering; what becomes of the stages is its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tinyseq.compiler.lower.access import Ghosts
from tinyseq.compiler.lower.describe import Forms, NotNative, describe
from tinyseq.compiler.lower.stages import Repeat, Stage, Step, writes
from tinyseq.compiler.plan import Instruction, Loop, Plan


@dataclass
class Partition:
    """A plan in pieces, in order: lists of stages (a segment), and instructions that are left as they are."""

    pieces: list[list[Stage] | Instruction] = field(default_factory=list)
    #: Which pieces come before those that only gradients need.
    boundary: int = 0
    #: The instructions that are left, and why.
    left: list[tuple[str, str]] = field(default_factory=list)
    #: Slots that those touch.
    foreign: set[int] = field(default_factory=set)
    #: Buffers, by number, that nothing but the segments uses: of values, and of those that loops keep for all steps.
    free: set[int] = field(default_factory=set)
    stacks: set[int] = field(default_factory=set)

    @property
    def segments(self) -> list[list[Stage]]:
        return [piece for piece in self.pieces if isinstance(piece, list)]

    def replace_segments(self, segments: list[list[Stage]]) -> None:
        """Put others in the place of the segments, in their order."""
        others = iter(segments)
        self.pieces = [next(others) if isinstance(piece, list) else piece for piece in self.pieces]

    def written(self, start: int, stop: int) -> set[int]:
        """Return the slots that the segments among some of the pieces write to."""
        segments = [piece for piece in self.pieces[start:stop] if isinstance(piece, list)]
        return {x.slot for segment in segments for stage in segment for x in writes(stage)}


def partition(plan: Plan, forms: Forms) -> Partition:
    """Describe what has a form, and leave the rest; a loop is left whole where one instruction of its body has none."""
    ghosts = Ghosts(plan.buffers)
    made = Partition()
    foreign: set[int] = set()
    segment: list[Stage] | None = None
    for position, instruction in enumerate(plan.instructions):
        if position == plan.forward:
            made.boundary, segment = len(made.pieces), None
        try:
            stages = _described(instruction, ghosts, forms)
        except NotNative as reason:
            made.left.append((str(instruction), str(reason)))
            made.pieces.append(instruction)
            foreign.update(ghosts.numbers[id(ref.buffer)] for ref in instruction.refs())
            made.foreign.update(ref.buffer.slot for ref in instruction.refs())
            segment = None
            continue
        if segment is None:
            segment = []
            made.pieces.append(segment)
        segment += stages
    if plan.forward == len(plan.instructions):
        made.boundary = len(made.pieces)
    kept = {ghosts.numbers[id(x.buffer)] for x in (*plan.outputs, *plan.inputs.values())}
    made.free, made.stacks = (
        {number for number, buffer in enumerate(plan.buffers) if buffer.kind == kind} - kept - foreign
        for kind in ("temp", "stack")
    )
    return made


def _described(instruction: Instruction, ghosts: Ghosts, forms: Forms) -> list[Stage]:
    if not isinstance(instruction, Loop):
        return [*describe(instruction, ghosts, forms)]
    if not instruction.length:
        return []
    stages: list[Step] = []
    reasons: dict[str, None] = {}
    for inner in instruction.body:
        try:
            stages += describe(inner, ghosts, forms, in_loop=True)
        except NotNative as reason:
            reasons[str(reason)] = None
    if reasons:
        raise NotNative("; ".join(reasons))
    return [Repeat(instruction.length, instruction.reverse, stages)]
