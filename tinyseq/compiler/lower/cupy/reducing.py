"""Reductions and normalisations as CUDA kernels: the threads of a block share out the terms of its outputs.

What neighbouring threads read lies side by side: along a reduced axis, which lanes of a warp or a whole block then take
together, or along an axis that is kept. Which terms a thread takes, and in which order partial results meet, depends on
shapes alone, so results are the same bits every time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

from tinyseq.compiler.lower.access import Access, Shape
from tinyseq.compiler.lower.cupy.operations import TYPES, literal
from tinyseq.compiler.lower.cupy.writing import BLOCK, SCRATCH, Kernel, KernelWriter
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.stages import Contraction, Normalization, ReductionStage

#: Fewer terms than this are one thread's; as many outputs keep a device busy with a thread each.
_FEW: Final = 8
_BUSY: Final = 1 << 16
#: Terms from which on a whole block takes a row, and how many outputs in rows keep a device busy with a warp each.
_LONG: Final = 1024
_ROWS: Final = 1 << 12
#: Terms of a thread from which on a second kernel is worth it, how many are left to each then, and to how many blocks.
_MANY: Final = 64
_LEFT: Final = 16
_BLOCKS: Final = 1024
#: Values of a row that a thread keeps in registers.
_KEPT: Final = 32
#: What any element replaces; the least integers are written so that no literal overflows.
_EXTREMES: Final = {
    **{("max", kind): "(-INF({}))" for kind in ("f4", "f8")},
    **{("min", kind): "INF({})" for kind in ("f4", "f8")},
    ("max", "i4"): "(-2147483647 - 1)",
    ("min", "i4"): "2147483647",
    ("max", "i8"): "(-9223372036854775807LL - 1)",
    ("min", "i8"): "9223372036854775807LL",
}
_ARGUMENTS: Final = {"argmax": ">", "argmin": "<"}


def can_reduce(stage: ReductionStage) -> bool:
    """Whether there is a kernel for a reduction."""
    return stage.name == "sum" or stage.name in _ARGUMENTS or (stage.name, stage.output.kind) in _EXTREMES


@dataclass(frozen=True)
class _Fold:
    """How terms become one result: variables, what a term does to them, and what those of another thread do."""

    #: (type, name, value before the first term)
    variables: tuple[tuple[str, str, str], ...]
    #: (term, its number) -> statement
    take: Callable[[str, str], str]
    #: the other's variables -> statement
    merge: Callable[[Sequence[str]], str]

    @property
    def start(self) -> list[str]:
        return [f"{of} {name} = {value};" for of, name, value in self.variables]


def _fold(name: str, kind: str, result: str = "total") -> _Fold:
    of = TYPES[kind]
    if name in _ARGUMENTS:
        # The first of equal ones; what is not a number is greater, and less, than all that is.
        sign = _ARGUMENTS[name]
        before = f"ts_before({{}}, {{}}, best, at, {{}} {sign} best)"

        def take(term: str, number: str) -> str:
            condition = before.format("next", number, "next")
            return f"{{ const {of} next = {term}; if ({condition}) {{ best = next; at = {number}; }} }}"

        def merge(other: Sequence[str]) -> str:
            value, place = other
            return f"if ({before.format(value, place, value)}) {{ best = {value}; at = {place}; }}"

        return _Fold(((of, "best", "0"), ("int", "at", "-1")), take, merge)
    start = literal(kind, 0) if name == "sum" else _EXTREMES[name, kind].format(of)

    def joined(term: str) -> str:
        return f"{result} += {term};" if name == "sum" else f"{result} = ts_{name}({result}, {term});"

    return _Fold(((of, result, start),), lambda term, number: joined(term), lambda other: joined(other[0]))


# -- who takes what ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tile:
    """``outputs`` of a block, times ``lanes`` threads for each; lanes are neighbours where they go ``along`` rows."""

    outputs: int
    lanes: int
    along: bool

    @staticmethod
    def of(lanes: int, along: bool) -> _Tile:
        return _Tile(BLOCK // lanes, lanes, along)

    @property
    def waits(self) -> bool:
        return self.lanes > 1

    def blocks(self, outputs: int) -> int:
        return -(-outputs // self.outputs)

    def head(self) -> list[str]:
        """Say which output of its block is a thread's, ``mine``, and which lane it is of it."""
        inner, outer = ("lane", "mine") if self.along else ("mine", "lane")
        extent = self.lanes if self.along else self.outputs
        return [f"const int {inner} = q % {extent}, {outer} = q / {extent};"]

    def meet(self, fold: _Fold) -> list[str]:
        """Bring the lanes' results together: lane 0 of each output has it afterwards, and along rows every lane."""
        kinds = [(of, name) for of, name, _ in fold.variables]
        others = [f"{name}_" for _, name in kinds]
        if self.along:
            moved = [f"const {of} {name}_ = __shfl_xor_sync(~0u, {name}, k);" for of, name in kinds]
            reach = min(self.lanes, 32)
            lines = [f"for (int k = {reach // 2}; k; k /= 2) {{ {' '.join(moved)} {fold.merge(others)} }}"]
            if self.lanes > 32:
                lines += [f"__shared__ {of} {name}_of_warp[{BLOCK // 32}];" for of, name in kinds]
                lines += [f"if (q % 32 == 0) {name}_of_warp[q / 32] = {name};" for _, name in kinds]
                # Each thread goes through the warps in the same order.
                lines.append("__syncthreads();")
                lines += [f"{name} = {name}_of_warp[0];" for _, name in kinds]
                read = [f"const {of} {name}_ = {name}_of_warp[k];" for of, name in kinds]
                lines.append(f"for (int k = 1; k < {BLOCK // 32}; ++k) {{ {' '.join(read)} {fold.merge(others)} }}")
            return lines
        lines = [f"__shared__ {of} {name}_of[{BLOCK}];" for of, name in kinds]
        lines += [f"{name}_of[q] = {name};" for _, name in kinds]
        lines.append("__syncthreads();")
        read = [f"const {of} {name}_ = {name}_of[q + k * {self.outputs}];" for of, name in kinds]
        kept = " ".join(f"{name}_of[q] = {name};" for _, name in kinds)
        lines.append(f"for (int k = {self.lanes // 2}; k; k /= 2) {{")
        lines.append(f"  if (lane < k) {{ {' '.join(read)} {fold.merge(others)} {kept} }}")
        lines.append("  __syncthreads(); }")
        return lines


def _power(n: int) -> int:
    """Return the greatest power of two that is not over ``n``."""
    return 1 << max(n.bit_length() - 1, 0)


def _tile(outputs: int, terms: int, along: bool) -> _Tile:
    if terms < _FEW or (not along and outputs >= _BUSY):
        return _Tile.of(1, along)
    if along:
        return _Tile.of(BLOCK if terms > _LONG and outputs < _ROWS else min(32, _power(terms)), True)
    beside = min(32, _power(2 * outputs - 1))
    return _Tile.of(min(BLOCK // beside, _power(terms)), False)


# -- reductions --------------------------------------------------------------------------------------------------------

#: extent, then the stride of each operand and of the output
_Axis = tuple[int, ...]


def _merged(axes: list[_Axis]) -> list[_Axis]:
    """Order axes from far to near in the operands' memory, and take those as one that lie as one."""
    merged: list[_Axis] = []
    for extent, *strides in sorted((axis for axis in axes if axis[0] > 1), key=lambda axis: -max(map(abs, axis[1:-1]))):
        if merged and merged[-1][1:] == tuple(stride * extent for stride in strides):
            merged[-1] = (merged[-1][0] * extent, *strides)
        else:
            merged.append((extent, *strides))
    return merged


def write_reduction(stage: ReductionStage) -> list[Kernel]:
    """One kernel; two where a few long sums are split over more blocks than they have outputs."""
    return _reduce(stage.name, [stage.operand], stage.output, stage.reduced, 0)


def _reduce(name: str, operands: Sequence[Access], y: Access, reduced: Sequence[bool], scratch: int) -> list[Kernel]:
    """Reduce the product of operands; ``scratch`` bytes of the scratch memory are in use."""
    numbered = name in _ARGUMENTS
    kind = operands[0].kind if numbered else y.kind
    # What is read most decides who takes what.
    first, *others = sorted(operands, key=_elements, reverse=True)
    sources = (first, *others)
    axes = list(zip(first.shape, *(x.strides for x in (*sources, y)), strict=True))
    kept = _merged([axis for axis, is_gone in zip(axes, reduced, strict=True) if not is_gone])
    gone = _merged([(*axis[:-1], 0) for axis, is_gone in zip(axes, reduced, strict=True) if is_gone])
    outputs, terms = (math.prod(axis[0] for axis in side) for side in (kept, gone))
    near = min((abs(axis[1]) for axis in gone if axis[1]), default=math.inf)
    along = outputs == 1 or near < min((abs(axis[1]) for axis in kept if axis[1]), default=math.inf)
    tile = _tile(outputs, terms, along)
    blocks = tile.blocks(outputs)
    parts = 1
    if tile.waits and not numbered and terms > tile.lanes * _MANY:
        parts = max(min(terms // (tile.lanes * _LEFT), _BLOCKS // blocks), 1)
    each = -(-terms // parts)
    parts = -(-terms // each)
    shape = (*(axis[0] for axis in kept), parts)
    if parts > 1:
        target = _partial(scratch, shape, kind, along)
        scratch += _bytes(target)
    else:
        target = y.shaped(shape, (*(axis[-1] for axis in kept), 0))
    fold, of = _fold(name, kind), TYPES[kind]
    out = KernelWriter(blocks * parts * BLOCK, [*sources, target], terms)
    block, part = "blockIdx.x", "0"
    if parts > 1:
        block, part = (out.let(out.index, f"({out.index})blockIdx.x {sign} {blocks}") for sign in "%/")
    out.lines += tile.head()
    output = out.let(out.index, f"({out.index}){block} * {tile.outputs} + mine")
    places = out.axes(output, shape[:-1])
    begin = out.let(out.index, f"{part} * {each}")
    stop = out.let(out.index, f"{begin} + {each} < {terms} ? {begin} + {each} : {terms}")
    out.lines += fold.start
    out.lines.append(
        f"if ({output} < {outputs}) for ({out.index} r = {begin} + lane; r < {stop}; r += {tile.lanes}) {{"
    )
    inner = out.axes("r", tuple(axis[0] for axis in gone))
    read = [
        f"({of}){out.address(x, [*places, *inner], tuple(axis[number] for axis in (*kept, *gone)))}"
        for number, x in enumerate(sources, 1)
    ]
    out.lines.append(f"{fold.take(' * '.join(read), '(int)r')} }}")
    out.lines += tile.meet(fold) if tile.waits else []
    result = out.address(target, [*places, part], target.strides)
    out.lines.append(f"if ({output} < {outputs} && lane == 0) {result} = {fold.variables[-1][1]};")
    kernels = [out.kernel(scratch, whole_blocks=True)]
    if parts > 1:
        whole = y.shaped(shape, (*(axis[-1] for axis in kept), 0))
        kernels += _reduce(name, [target], whole, [*(False for _ in kept), True], scratch)
    return kernels


def _partial(offset: int, shape: Shape, kind: str, rows: bool) -> Access:
    """Return a place in the scratch memory, with the last axis as the nearest one (``rows``) or as the farthest."""
    order = [*range(len(shape))] if rows else [len(shape) - 1, *range(len(shape) - 1)]
    strides, size = [0] * len(shape), SIZES[kind]
    for axis in reversed(order):
        strides[axis] = size
        size *= shape[axis]
    return Access(SCRATCH, SCRATCH, offset, 0, 0, 0, shape, tuple(strides), kind, 0)


def _bytes(x: Access) -> int:
    """The bytes of a place in the scratch memory: what follows it begins at a multiple of 8."""
    size = _elements(x) * SIZES[x.kind]
    return size + -size % 8


def _elements(x: Access) -> int:
    """The elements that are different ones."""
    return math.prod(n for n, s in zip(x.shape, x.strides, strict=True) if s)


# -- contractions ------------------------------------------------------------------------------------------------------


def write_contraction(stage: Contraction) -> list[Kernel]:
    """Two operands at a time, the cheapest first; what lies between stands in the scratch memory."""
    operands, y = list(stage.operands), stage.output
    kernels: list[Kernel] = []
    scratch = 0
    left = set(range(len(y.shape)))
    while len(operands) > 2:
        pair = min(combinations(operands, 2), key=lambda pair: math.prod(pair[0].shape[axis] for axis in _axes(pair)))
        operands = [x for x in operands if x is not pair[0] and x is not pair[1]]
        mine = _axes(pair)
        kept = mine & (_axes(operands) | {axis for axis, is_gone in enumerate(stage.reduced) if not is_gone})
        made = _partial(scratch, _within(pair[0], kept).shape, y.kind, True)
        made = replace(made, shape=y.shape, strides=tuple(s if n in kept else 0 for n, s in enumerate(made.strides)))
        scratch += _bytes(made)
        reduced = [axis not in kept for axis in range(len(y.shape))]
        kernels += _reduce("sum", [_within(x, mine) for x in pair], _within(made, kept), reduced, scratch)
        operands.append(made)
        left -= mine - kept
    given = [_within(x, left) for x in operands]
    return kernels + _reduce("sum", given, _within(y, left), stage.reduced, scratch)


def _axes(operands: Iterable[Access]) -> set[int]:
    return {axis for x in operands for axis, stride in enumerate(x.strides) if stride}


def _within(x: Access, axes: set[int]) -> Access:
    """Return an access with an extent of 1 along all other axes."""
    return replace(x, shape=tuple(n if axis in axes else 1 for axis, n in enumerate(x.shape)))


# -- normalisations ----------------------------------------------------------------------------------------------------


def write_normalization(stage: Normalization) -> Kernel:
    """The lanes of a row keep its values in registers where they fit: they are read once."""
    x, y = stage.operand, stage.output
    rows, length, of = math.prod(x.shape[:-1]), x.shape[-1], TYPES[x.kind]
    suffix = "f" if x.kind == "f4" else ""
    others = [abs(s) for n, s in zip(x.shape[:-1], x.strides[:-1], strict=True) if n > 1 and s]
    along = rows < _BUSY // 32 or abs(x.strides[-1]) < min(others, default=math.inf)
    lanes = 1 if length < _FEW or not along else BLOCK if length > _LONG else min(32, _power(2 * length - 1))
    tile = _Tile.of(lanes, True)
    each = -(-length // lanes)
    out = KernelWriter(tile.blocks(rows) * BLOCK, [x, y])
    out.lines += tile.head()
    row = out.let(out.index, f"({out.index})blockIdx.x * {tile.outputs} + mine")
    live = out.let("bool", f"{row} < {rows}")
    # Who has no row goes through the last one, for the lanes of a warp wait for each other, and writes nothing.
    place = out.axes(out.let(out.index, f"{live} ? {row} : {rows - 1}"), x.shape[:-1])
    value, target = (out.address(a, [*place, "j"], a.strides) for a in (x, y))
    loop = f"for (int k = 0, j = lane; k < {each}; ++k, j += {lanes}) if (j < {length})"
    if each <= _KEPT:
        loop = f"#pragma unroll\n  {loop}"
        out.lines += [f"{of} kept[{each}];", f"{loop} kept[k] = {value};"]
        value = "kept[k]"

    def reduction(name: str, result: str, term: str) -> None:
        fold = _fold(name, x.kind, result)
        out.lines += [*fold.start, f"{loop} {fold.take(term, 'j')}", *(tile.meet(fold) if tile.waits else [])]

    reduction("max", "peak", value)
    if stage.name == "logsumexp":
        out.lines.append(f"if (!(ts_abs(peak) < INF({of}))) peak = 0;")
    reduction("sum", "total", f"exp{suffix}({value} - peak)")
    if stage.name == "logsumexp":
        result = out.address(y, [*place, "0"], y.strides)
        out.lines.append(f"if ({live} && lane == 0) {result} = log{suffix}(total) + peak;")
    elif stage.name == "softmax":
        out.lines.append(f"if ({live}) {{\n  {loop} {target} = exp{suffix}({value} - peak) / total; }}")
    else:
        out.lines.append(f"total = log{suffix}(total);")
        out.lines.append(f"if ({live}) {{\n  {loop} {target} = {value} - peak - total; }}")
    return out.kernel(whole_blocks=True)
