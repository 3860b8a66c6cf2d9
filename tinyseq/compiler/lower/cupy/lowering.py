"""A plan as launches: generated kernels, products, loops of both, and what is left to CuPy's own kernels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.cupy import copying, persistent_kernel
from tinyseq.compiler.lower.cupy.describing import FORMS
from tinyseq.compiler.lower.cupy.gemm import Gemm, gemms
from tinyseq.compiler.lower.cupy.kernels import Kernel, module, write
from tinyseq.compiler.lower.cupy.persistent import NotPersistent, recurrence
from tinyseq.compiler.lower.describe import Forms
from tinyseq.compiler.lower.grouping import S, group, leave_unstored
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.partition import partition
from tinyseq.compiler.lower.stages import Group, Product, Repeat, Stage, Step, reads, writes
from tinyseq.compiler.plan import Instruction, Plan


@dataclass
class Launches:
    """Kernels and products in a row, which can be captured: no other code runs in between."""

    stages: list[Stage] = field(default_factory=list)
    launches: list[Launch | Steps] = field(default_factory=list)


@dataclass(frozen=True)
class Launch:
    """A kernel, by its name in the plan's module, or a product."""

    what: Kernel | Gemm
    name: str = ""


@dataclass(frozen=True)
class Steps:
    """Launches done for every time step."""

    length: int
    reverse: bool
    body: tuple[Launch, ...]

    def turns(self) -> Iterator[tuple[int, int]]:
        """Yield the turn and the time step, in the order in which they are done."""
        return enumerate(range(self.length)[::-1] if self.reverse else range(self.length))


@dataclass
class Lowered:
    """A plan in pieces, in order, the module that their kernels stand in, and the scratch bytes that they share."""

    pieces: list[Launches | Instruction] = field(default_factory=list)
    #: Which pieces come before those that only gradients need.
    boundary: int = 0
    source: str = ""
    scratch: int = 0
    #: The instructions that are left to CuPy, and why.
    left: list[tuple[str, str]] = field(default_factory=list)
    #: How each loop runs, where a device has clusters of blocks.
    loops: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return how many kernels and products one run launches, and how many of each a step of the loops takes."""
        counts = {"kernels": 0, "products": 0, "kernels_per_step": 0, "products_per_step": 0}
        for launch, steps in self.launches():
            key = "products" if isinstance(launch.what, Gemm) else "kernels"
            counts[key] += steps or 1
            counts[f"{key}_per_step"] += steps is not None
        return counts

    def launches(self) -> Iterator[tuple[Launch, int | None]]:
        """Yield every launch, and the steps of the loop that it stands in."""
        for piece in self.pieces:
            for x in piece.launches if isinstance(piece, Launches) else ():
                if isinstance(x, Steps):
                    yield from ((launch, x.length) for launch in x.body)
                else:
                    yield x, None

    def bytes(self) -> int:
        """Return the bytes that one run reads and writes; what stays in registers does not count."""
        total = 0
        for piece in self.pieces:
            for stage in piece.stages if isinstance(piece, Launches) else ():
                total += (stage.length if isinstance(stage, Repeat) else 1) * sum(map(_traffic, _inner(stage)))
        return total


def lower(plan: Plan, multiprocessors: int = 0, forms: Forms = FORMS) -> Lowered:
    """Describe what can be launched, join element-wise work into groups, and write the kernels.

    A device that has clusters of blocks (sm_90 and later) is named by its number of multiprocessors: there loops may
    become one kernel.
    """
    parts = partition(plan, forms)
    segments = [Launches(_grouped(segment)) for segment in parts.segments]
    leave_unstored([stage for piece in segments for stage in piece.stages], parts.free)
    pieces = iter(segments)
    lowered = Lowered(
        [next(pieces) if isinstance(piece, list) else piece for piece in parts.pieces], parts.boundary, left=parts.left
    )
    whole = _persistent(lowered, segments, parts.free, multiprocessors) if multiprocessors else {}
    _write(lowered, segments, whole)
    return lowered


def _persistent(
    lowered: Lowered, segments: Sequence[Launches], free: set[int], multiprocessors: int
) -> dict[int, Kernel]:
    """Find the loops that can be one kernel each, by the identity of the stage."""
    stages = [stage for piece in segments for stage in piece.stages]
    users: dict[int, set[int]] = {}
    for stage in stages:
        for x in (*reads(stage), *writes(stage)):
            users.setdefault(x.buffer, set()).add(id(stage))
    kernels: dict[int, Kernel] = {}
    for loop in stages:
        if isinstance(loop, Repeat):
            elsewhere = {buffer for buffer, at in users.items() if buffer not in free or at != {id(loop)}}
            try:
                whole = recurrence(loop, elsewhere, multiprocessors)
                kernels[id(loop)] = persistent_kernel.kernel(whole)
                lowered.loops.append(f"{loop.length} steps in one kernel: {whole.shares}")
            except NotPersistent as reason:
                lowered.loops.append(f"{loop.length} steps by launches: {reason}")
    return kernels


def _inner(stage: Stage) -> list[Step]:
    return stage.stages if isinstance(stage, Repeat) else [stage]


def _grouped(stages: Sequence[Stage]) -> list[Stage]:
    """Join stages; products are cuBLAS's own."""
    for stage in stages:
        if isinstance(stage, Repeat):
            stage.stages = _split(stage.stages)
    return _split(stages)


def _split(stages: Sequence[S]) -> list[S]:
    kept: list[S] = []
    for stage in group(stages):
        if isinstance(stage, Group) and stage.product:
            kept.append(stage.product)
            stage.product = None
            if not stage.works:
                continue
        kept.append(stage)
    return kept


def _write(lowered: Lowered, segments: Sequence[Launches], whole: Mapping[int, Kernel]) -> None:
    """Write the kernels of all segments into one module; ``whole`` are those of loops."""

    def made(stage: Step) -> list[Kernel | Gemm]:
        if isinstance(stage, Product):
            return list(gemms(stage))
        return list(write(stage))

    def parts(stage: Stage) -> tuple[Repeat | None, list[list[Kernel | Gemm]]]:
        if id(stage) in whole:
            return None, [[whole[id(stage)]]]
        if isinstance(stage, Repeat):
            return stage, [made(inner) for inner in stage.stages]
        return None, [made(stage)]

    plans = [[parts(stage) for stage in piece.stages] for piece in segments]
    kernels = [x for plan in plans for _, works in plan for x in chain.from_iterable(works) if isinstance(x, Kernel)]
    text, names = module(kernels)
    lowered.source = text + copying.TEXT
    lowered.scratch = max((kernel.scratch for kernel in kernels), default=0)
    given = iter(names)
    for piece, plan in zip(segments, plans, strict=True):
        for repeat, works in plan:
            made_of = chain.from_iterable(works)
            body = tuple(Launch(x, next(given) if isinstance(x, Kernel) else "") for x in made_of)
            piece.launches += [Steps(repeat.length, repeat.reverse, body)] if repeat else body


def _traffic(stage: Step) -> int:
    if not isinstance(stage, Group):
        return sum(map(_size, (*reads(stage), *writes(stage))))
    written: set[int] = set()
    total = 0
    for work in stage.works:
        taken = [x for x in work.operands if isinstance(x, Access) and x.buffer not in written]
        total += sum(map(_size, taken)) + (_size(work.output) if work.stored else 0)
        written.add(work.output.buffer)
    return total


def _size(x: Access) -> int:
    """The bytes of the elements that are different ones."""
    return SIZES[x.kind] * math.prod(n for n, s in zip(x.shape, x.strides, strict=True) if s)
