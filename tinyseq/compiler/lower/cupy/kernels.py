"""Stages as CUDA C++ kernels: a thread computes one place of the stage's space, whatever its lanes are.

Threads never wait for each other, so a kernel is right in any order of them; what needs a second look at partial
results (long sums) is two kernels. The text depends on shapes and places within slots, never on addresses.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from tinyseq.compiler.lower.access import Access, Shape
from tinyseq.compiler.lower.cupy.operations import OPERATIONS, PRELUDE, TYPES, expression, literal
from tinyseq.compiler.lower.grouping import Lane, lanes
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.stages import Draw, Gathering, Group, Normalization, Product, Reduction, Stage, Work

#: Threads of a block.
BLOCK: Final = 256
#: Terms that one thread adds up, and the threads from which on a device is busy without splitting sums.
_TERMS, _BUSY = 64, 1 << 16
#: What any element replaces; the least integers are written so that no literal overflows.
_EXTREMES: Final = {
    **{("max", kind): "(-INF({}))" for kind in ("f4", "f8")},
    **{("min", kind): "INF({})" for kind in ("f4", "f8")},
    ("max", "i4"): "(-2147483647 - 1)",
    ("min", "i4"): "2147483647",
    ("max", "i8"): "(-9223372036854775807LL - 1)",
    ("min", "i8"): "9223372036854775807LL",
}
#: Stands in ``Kernel.slots`` for the memory of partial results.
SCRATCH: Final = -1


@dataclass(frozen=True)
class Kernel:
    """One kernel: its text with ``NAME`` in the place of its name, what memory it takes, and how many threads.

    Its parameters are the addresses of ``slots``, then the time step and the turn of the loop around it.
    """

    text: str
    slots: tuple[int, ...]
    count: int
    scratch: int = 0
    #: Threads of a block, and the blocks that wait for each other (a cluster).
    block: int = BLOCK
    cluster: int = 1

    @property
    def blocks(self) -> int:
        return -(-self.count // (self.block * self.cluster)) * self.cluster


def module(kernels: Iterable[Kernel]) -> tuple[str, list[str]]:
    """Return one module's text, and the name of each kernel; equal ones are written once."""
    names: dict[str, str] = {}
    order = [names.setdefault(kernel.text, f"k{len(names)}") for kernel in kernels]
    return "\n".join([PRELUDE, *(text.replace("NAME", name) for text, name in names.items())]), order


def can_write(stage: Stage) -> bool:
    """Whether there are kernels for a stage, as it is described."""
    match stage:
        case Group():
            return all(work.name in OPERATIONS for work in stage.works)
        case Reduction():
            return stage.name == "sum" or (stage.name, stage.output.kind) in _EXTREMES
    return isinstance(stage, Draw | Gathering | Normalization | Product)


def write(stage: Stage) -> list[Kernel]:
    """Return a stage's kernels, in order."""
    match stage:
        case Group():
            return [_group(stage)]
        case Reduction():
            return _reduction(stage)
        case Normalization():
            return [_normalization(stage)]
        case Gathering():
            return _gathering(stage)
        case Draw():
            return [_draw(stage)]
    raise TypeError(f"no kernel for {type(stage).__name__}")


class _Writer:
    """Gathers the statements of one kernel and the slots that they touch."""

    def __init__(self, count: int, accesses: Sequence[Access]) -> None:
        self.count = count
        self.slots: set[int] = set()
        # Threads count in 32 bits where they can, for 64 bits divide slowly; a step's place is added in 64.
        reach = max((abs(end) + abs(x.flip) for x in accesses for end in x.span), default=0)
        self.index = "int" if max(reach, count) < 2**30 else "long long"
        self.lines: list[str] = []
        self.names = 0

    def let(self, kind: str, text: str) -> str:
        """Write a value into a register and return its name."""
        name = f"v{self.names}"
        self.names += 1
        self.lines.append(f"const {kind} {name} = {text};")
        return name

    def axes(self, flat: str, shape: Shape) -> list[str]:
        """Take a flat index apart into one an axis, the last axis fastest."""
        found: list[str] = []
        for extent in reversed(shape):
            found.append("0" if extent == 1 else self.let(self.index, f"{flat} % {extent}"))
            if extent > 1:
                flat = self.let(self.index, f"{flat} / {extent}")
        return found[::-1]

    def address(self, x: Access | Lane, indices: Sequence[str], strides: Shape) -> str:
        """Return the element of an access (or lane) at some indices, to be read or written."""
        self.slots.add(x.slot)
        phase = x.phase * x.flip
        terms = [f"s{x.slot}", str(x.offset - phase)]
        if x.step:
            terms.append(f"(long long)t * {x.step}")
        if x.flip:
            terms.append(f"((turn & 1) ^ {x.phase}) * {x.flip}")
        terms += [f"{i} * {s}" for i, s in zip(indices, strides, strict=True) if s and i != "0"]
        return f"*({TYPES[x.kind]}*)({' + '.join(terms)})"

    def operand(self, x: Any, kind: str, indices: Sequence[str]) -> str:
        return self.address(x, indices, x.strides) if isinstance(x, Access) else literal(kind, x)

    def kernel(self, scratch: int = 0) -> Kernel:
        slots = (*sorted(self.slots), *([SCRATCH] if scratch else []))
        parameters = ", ".join([*(f"char* s{n}" if n >= 0 else "char* scratch" for n in slots), "int t", "int turn"])
        body = "\n  ".join(self.lines)
        place = f"const {self.index} i = ({self.index})blockIdx.x * {BLOCK} + threadIdx.x;"
        head = f"{place}\n  if (i >= {self.count}) return;"
        text = f'extern "C" __global__ void NAME({parameters}) {{\n  {head}\n  {body}\n}}\n'
        return Kernel(text, slots, self.count, scratch)


def _group(group: Group) -> Kernel:
    accesses = [x for w in group.works for x in (*w.operands, w.output) if isinstance(x, Access)]
    out = _Writer(math.prod(group.lead) * group.width, accesses)
    *rows, column = out.axes("i", (*group.lead, group.width))
    known: dict[Lane, str] = {}

    def read(lane: Lane) -> str:
        if lane not in known:
            known[lane] = out.let(TYPES[lane.kind], out.address(lane, [*rows, column], (*lane.rows, lane.column)))
        return known[lane]

    for work in group.works:
        made = []
        for number, target in enumerate(lanes(work.output, group.width)):
            operands = [_operand(x, number, group.width, work, read) for x in work.operands]
            text = expression(work.name, work.kind, operands, dict(work.attrs), target.kind)
            made.append((target, out.let(TYPES[target.kind], text)))
        for target, value in made:  # after all lanes are read
            known[target] = value
            if work.stored:
                place = out.address(target, [*rows, column], (*target.rows, target.column))
                out.lines.append(f"{place} = {value};")
    return out.kernel()


def _operand(x: Any, number: int, width: int, work: Work, read: Any) -> tuple[str, str]:
    if isinstance(x, Access):
        own = lanes(x, width)
        return read(own[number if len(own) > 1 else 0]), x.kind
    kind = "b1" if isinstance(x, bool) else work.kind
    return literal(kind, x), kind


def _reduction(stage: Reduction) -> list[Kernel]:
    x, y = stage.operand, stage.output
    kept = [axis for axis, gone in enumerate(stage.reduced) if not gone]
    gone = [axis for axis, is_gone in enumerate(stage.reduced) if is_gone]
    outputs, terms = (math.prod(x.shape[axis] for axis in axes) for axes in (kept, gone))
    parts = min(-(-terms // _TERMS), max(_BUSY // max(outputs, 1), 1))
    each = -(-terms // parts)
    parts = -(-terms // each)
    of = TYPES[y.kind]
    start = literal(y.kind, 0) if stage.name == "sum" else _EXTREMES[stage.name, y.kind].format(of)

    def combined(term: str) -> str:
        return f"total += {term};" if stage.name == "sum" else f"total = ts_{stage.name}(total, {term});"

    out = _Writer(outputs * parts, [x, *([y] if parts == 1 else [])])
    # Neighbouring threads take neighbouring outputs: what they read lies side by side.
    part = out.let(out.index, f"i / {max(outputs, 1)}") if parts > 1 else "0"
    places = out.axes(f"i % {outputs}" if parts > 1 else "i", tuple(x.shape[axis] for axis in kept))
    out.lines.append(f"{of} total = {start};")
    stop = f"{part} * {each} + {each} < {terms} ? {part} * {each} + {each} : {terms}" if parts > 1 else str(terms)
    out.lines.append(f"const {out.index} stop = {stop};")
    out.lines.append(f"for ({out.index} r = {part} * {each}; r < stop; ++r) {{")
    inner = out.axes("r", tuple(x.shape[axis] for axis in gone))
    indices = dict(zip((*kept, *gone), (*places, *inner), strict=True))
    along = [indices[axis] for axis in range(len(x.shape))]
    out.lines.append(combined(f"({of}){out.address(x, along, x.strides)}") + " }")
    if parts == 1:
        target = out.address(y, along, tuple(0 if g else s for g, s in zip(stage.reduced, y.strides, strict=True)))
        out.lines.append(f"{target} = total;")
        return [out.kernel()]
    out.lines.append(f"(({of}*)scratch)[i] = total;")
    last = _Writer(outputs, [y])
    places = last.axes("i", tuple(x.shape[axis] for axis in kept))
    last.lines.append(f"{of} total = {start};")
    last.lines.append(
        f"for (int p = 0; p < {parts}; ++p) {combined(f'(({of}*)scratch)[({last.index})p * {outputs} + i]')}"
    )
    strides = tuple(y.strides[axis] for axis in kept)
    last.lines.append(f"{last.address(y, places, strides)} = total;")
    size = outputs * parts * SIZES[y.kind]
    return [out.kernel(size), last.kernel(size)]


def _normalization(stage: Normalization) -> Kernel:
    x, y = stage.operand, stage.output
    length, of = x.shape[-1], TYPES[x.kind]
    suffix = "f" if x.kind == "f4" else ""
    out = _Writer(math.prod(x.shape[:-1]), [x, y])
    rows = out.axes("i", x.shape[:-1])
    value, target = (out.address(a, [*rows, "j"], a.strides) for a in (x, y))
    loop = f"for (int j = 0; j < {length}; ++j)"
    out.lines += [
        f"{of} peak = -INF({of}), total = 0;",
        f"{loop} peak = ts_max(peak, {value});",
    ]
    if stage.name == "logsumexp":
        out.lines += [
            f"if (!(ts_abs(peak) < INF({of}))) peak = 0;",
            f"{loop} total += exp{suffix}({value} - peak);",
            f"{out.address(y, [*rows, '0'], y.strides)} = log{suffix}(total) + peak;",
        ]
    else:
        out.lines.append(f"{loop} total += exp{suffix}({value} - peak);")
        if stage.name == "softmax":
            out.lines.append(f"{loop} {target} = exp{suffix}({value} - peak) / total;")
        else:
            out.lines.append(f"total = log{suffix}(total);")
            out.lines.append(f"{loop} {target} = {value} - peak - total;")
    return out.kernel()


def _gathering(stage: Gathering) -> list[Kernel]:
    whole, part, arrays, before = stage.whole, stage.part, stage.arrays, stage.before
    out = _Writer(math.prod(part.shape), [whole, part, *arrays])
    own = out.axes("i", part.shape)
    middle = len(arrays[0].shape)
    places, extents = [], whole.shape[before : before + len(arrays)]
    inside = []
    for array, extent in zip(arrays, extents, strict=True):
        read = out.let(out.index, f"({out.index}){out.address(array, own[before : before + middle], array.strides)}")
        place = out.let(out.index, f"{read} < 0 ? {read} + {extent} : {read}")
        inside.append(f"{place} >= 0 && {place} < {extent}")
        places.append(place)
    element = out.address(whole, [*own[:before], *places, *own[before + middle :]], whole.strides)
    mine = out.address(part, own, part.strides)
    # Nothing can be raised from here: an index out of range adds nothing, and reads as NaN, which no loss overlooks.
    if stage.add:
        out.lines.append(f"if ({' && '.join(inside)}) atomicAdd(&{element}, {mine});")
        zeros = Work("identity", whole.kind, [0], _matrix(whole))
        return [_group(Group(zeros.output.shape[:-1], zeros.output.shape[-1], [zeros])), out.kernel()]
    otherwise = literal(whole.kind, math.nan if whole.kind in ("f4", "f8") else 0)
    out.lines.append(f"{mine} = {' && '.join(inside)} ? {element} : {otherwise};")
    return [out.kernel()]


def _matrix(x: Access) -> Access:
    missing = max(2 - len(x.shape), 0)
    return replace(x, shape=(1,) * missing + x.shape, strides=(0,) * missing + x.strides) if missing else x


def _draw(stage: Draw) -> Kernel:
    y = stage.output
    out = _Writer(math.prod(y.shape), [x for x in (y, stage.call, stage.step) if isinstance(x, Access)])
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
