"""Stages as CUDA C++ kernels. Of a group, a thread computes one place of its space, whatever its lanes are.

The text depends on shapes and places within slots, never on addresses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import assert_never

from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.cupy.gemm import gemms
from tinyseq.compiler.lower.cupy.indexing import can_gather, write_gathering
from tinyseq.compiler.lower.cupy.operations import PRELUDE, TYPES, expression, literal
from tinyseq.compiler.lower.cupy.reducing import can_reduce, write_contraction, write_normalization, write_reduction
from tinyseq.compiler.lower.cupy.writing import BLOCK, SCRATCH, Kernel, KernelWriter, operand
from tinyseq.compiler.lower.grouping import Lane, lanes
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

__all__ = ["BLOCK", "SCRATCH", "Kernel", "module", "refusal", "write"]


def module(kernels: Iterable[Kernel]) -> tuple[str, list[str]]:
    """Return one module's text, and the name of each kernel; equal ones are written once."""
    names: dict[str, str] = {}
    kernels = list(kernels)
    order = [names.setdefault(kernel.text, f"k{len(names)}") for kernel in kernels]
    preludes = dict.fromkeys((PRELUDE, *(kernel.prelude for kernel in kernels)))
    return "\n".join([*preludes, *(text.replace("NAME", name) for text, name in names.items())]), order


def refusal(stage: Step) -> str:
    """Return why there is no kernel for a stage; nothing where there is."""
    match stage:
        case ReductionStage() if not can_reduce(stage):
            return f"of {stage.operand.kind} to {stage.output.kind}"
        case Gathering() if not can_gather(stage):
            return "of more elements than 32 bits count"
        case Product() if not gemms(stage):
            return "of operands in pieces"
        case Bundle():
            return "of several products at once"
        case SparseProduct():
            return "of entries one by one"
        case Group() | ReductionStage() | Gathering() | Product():
            return ""
        case Contraction() | Cumulation() | Draw() | Normalization() | TriangleStage():
            return ""
        case _:
            assert_never(stage)


def write(stage: Step) -> list[Kernel]:
    """Return a stage's kernels, in order."""
    match stage:
        case Group():
            return [_group(stage)]
        case ReductionStage():
            return write_reduction(stage)
        case Normalization():
            return [write_normalization(stage)]
        case Gathering():
            return write_gathering(stage)
        case Contraction():
            return write_contraction(stage)
        case Cumulation():
            return [_cumulation(stage)]
        case TriangleStage():
            return [_triangle(stage)]
        case Draw():
            return [_draw(stage)]
        case Product() | Bundle() | SparseProduct():
            raise TypeError(f"no kernel for a {type(stage).__name__}: products are cuBLAS's, or CuPy's")
        case _:
            assert_never(stage)


def _group(group: Group) -> Kernel:
    accesses = [x for w in group.works for x in (*w.operands, w.output) if isinstance(x, Access)]
    out = KernelWriter(math.prod(group.lead) * group.width, accesses)
    *rows, column = out.axes("i", (*group.lead, group.width))
    known: dict[Lane, str] = {}

    def read(_: int, lane: Lane) -> str:
        if lane not in known:
            known[lane] = out.let(TYPES[lane.kind], out.address(lane, [*rows, column], (*lane.rows, lane.column)))
        return known[lane]

    for work in group.works:
        made = []
        for number, target in enumerate(lanes(work.output, group.width)):
            operands = [operand(x, number, group.width, work, read) for x in work.operands]
            text = expression(work.name, work.kind, operands, dict(work.attrs), target.kind)
            made.append((target, out.let(TYPES[target.kind], text)))
        for target, value in made:  # after all lanes are read
            known[target] = value
            if work.stored:
                place = out.address(target, [*rows, column], (*target.rows, target.column))
                out.lines.append(f"{place} = {value};")
    return out.kernel()


def _draw(stage: Draw) -> Kernel:
    y = stage.output
    out = KernelWriter(math.prod(y.shape), [x for x in (y, stage.call, stage.step) if isinstance(x, Access)])
    places = out.axes("i", y.shape)
    call, step = (
        f"(u32)({out.operand(x, 'i8', ['0'] * len(x.shape) if isinstance(x, Access) else [])})"
        for x in (stage.call, stage.step)
    )
    keys = f"{stage.seed & 0xFFFFFFFF}u, {stage.seed >> 32 & 0xFFFFFFFF}u"
    bits = out.let("u32", f"ts_philox((u64)i, {step}, {call}, {stage.site & 0xFFFFFFFF}u, {keys})")
    of = TYPES[y.kind]
    out.lines.append(f"{out.address(y, places, y.strides)} = ({of})({bits} >> 8) * ({of})0x1p-24;")
    return out.kernel()


def _triangle(stage: TriangleStage) -> Kernel:
    x, y = stage.operand, stage.output
    out = KernelWriter(math.prod(y.shape), [x, y])
    places = out.axes("i", y.shape)
    sign = "<=" if stage.lower else ">="
    inside = f"{places[-1]} - {places[-2]} {sign} {stage.diagonal}"
    value = out.address(x, places, x.strides)
    out.lines.append(f"{out.address(y, places, y.strides)} = {inside} ? {value} : {literal(y.kind, 0)};")
    return out.kernel()


def _cumulation(stage: Cumulation) -> Kernel:
    """A warp a line, 32 terms at a time: each lane adds those before it, and what the terms before those came to."""
    x, y, axis = stage.operand, stage.output, stage.axis
    lines, length, of = math.prod(y.shape) // y.shape[axis], y.shape[axis], TYPES[y.kind]
    out = KernelWriter(-(-lines // (BLOCK // 32)) * BLOCK, [x, y])
    line = out.let(out.index, f"({out.index})blockIdx.x * {BLOCK // 32} + q / 32")
    out.lines.append("const int lane = q % 32;")
    places = out.axes(line, (*y.shape[:axis], *y.shape[axis + 1 :]))
    places.insert(axis, "j")
    live = f"{line} < {lines} && j < {length}"
    out.lines += [
        f"{of} carry = 0;",
        f"for (int j = lane; j - lane < {length}; j += 32) {{",
        f"  {of} total = 0;",
        f"  if ({live}) total = {out.address(x, places, x.strides)};",
        "  for (int k = 1; k < 32; k *= 2) {",
        f"    const {of} before = __shfl_up_sync(~0u, total, k);",
        "    if (lane >= k) total += before;",
        "  }",
        "  total += carry;",
        f"  if ({live}) {out.address(y, places, y.strides)} = total;",
        "  carry = __shfl_sync(~0u, total, 31);",
        "}",
    ]
    return out.kernel(whole_blocks=True)
