"""Indexing as CUDA kernels, and its gradient: sums of rows by index, the same bits every time.

Where many positions may fall on one row, atomics would add them in any order. Instead positions are sorted by row
(radix sort, least digit first: it is stable, so positions of a row stay in order), and neighbours of the same row added
up: chunk by chunk, then what crosses chunks, in order. Nothing can be raised from a kernel: an index out of range reads
as NaN, which no loss overlooks, and adds nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tinyseq.compiler.lower.access import Access, Shape
from tinyseq.compiler.lower.cupy.operations import TYPES, literal
from tinyseq.compiler.lower.cupy.writing import BLOCK, Kernel, KernelWriter
from tinyseq.compiler.lower.kinds import FLOATS, SIZES
from tinyseq.compiler.lower.stages import Gathering

#: Up to so many positions each element looks through all of them, where there are not more elements than this.
_FEW: Final = 64
_SMALL: Final = 1 << 20
#: Bits of a digit: a thread of a block for each value.
_BITS: Final = 8
#: Blocks that a sort is spread over before threads take more keys each, and how many at most.
_BLOCKS: Final = 64
_KEYS: Final = 4
#: Sorted positions that one thread adds up.
_CHUNK: Final = 32


def can_gather(stage: Gathering) -> bool:
    """Whether there are kernels; rows are numbered in 32 bits."""
    return not stage.add or max(_rows(stage), math.prod(stage.part.shape)) < 2**31 - 1


def write_gathering(stage: Gathering) -> list[Kernel]:
    if not stage.add:
        return [_taken(stage)]
    if math.prod(stage.arrays[0].shape) <= _FEW and math.prod(stage.whole.shape) <= _SMALL:
        return [_searched(stage)]
    return _sorted(stage)


def _extents(stage: Gathering) -> Shape:
    return stage.whole.shape[stage.before : stage.before + len(stage.arrays)]


def _rows(stage: Gathering) -> int:
    return math.prod(_extents(stage))


def _places(out: KernelWriter, stage: Gathering, position: Sequence[str]) -> tuple[list[str], str]:
    """Read the indices of a position; return them, and whether all are in range."""
    places, inside = [], []
    for array, extent in zip(stage.arrays, _extents(stage), strict=True):
        read = out.let(out.index, f"({out.index}){out.address(array, position, array.strides)}")
        place = out.let(out.index, f"{read} < 0 ? {read} + {extent} : {read}")
        inside.append(f"{place} >= 0 && {place} < {extent}")
        places.append(place)
    return places, " && ".join(inside)


def _taken(stage: Gathering) -> Kernel:
    whole, part, before = stage.whole, stage.part, stage.before
    middle = before + len(stage.arrays[0].shape)
    out = KernelWriter(math.prod(part.shape), [whole, part, *stage.arrays])
    own = out.axes("i", part.shape)
    places, inside = _places(out, stage, own[before:middle])
    element = out.address(whole, [*own[:before], *places, *own[middle:]], whole.strides)
    otherwise = literal(whole.kind, math.nan if whole.kind in FLOATS else 0)
    out.lines.append(f"{out.address(part, own, part.strides)} = {inside} ? {element} : {otherwise};")
    return out.kernel()


def _searched(stage: Gathering) -> Kernel:
    """A thread an element of the whole, which goes through all positions."""
    whole, part, before = stage.whole, stage.part, stage.before
    shape = stage.arrays[0].shape
    out = KernelWriter(math.prod(whole.shape), [whole, part, *stage.arrays])
    own = out.axes("i", whole.shape)
    after = before + len(stage.arrays)
    out.lines += [f"{TYPES[whole.kind]} total = 0;", f"for (int r = 0; r < {math.prod(shape)}; ++r) {{"]
    position = out.axes("r", shape)
    places, _ = _places(out, stage, position)
    mine = " && ".join(f"{place} == {axis}" for place, axis in zip(places, own[before:after], strict=True))
    term = out.address(part, [*own[:before], *position, *own[after:]], part.strides)
    out.lines += [f"if ({mine}) total += {term}; }}", f"{out.address(whole, own, whole.strides)} = total;"]
    return out.kernel()


# -- many positions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sort:
    """How positions are sorted by row, and where in the scratch memory what stands: all in elements of 4 bytes.

    A row's number is its key; what is out of range has the key after the last. Keys and positions stand in two places
    in turn, then come the counts of each block's digits, then what chunks leave to each other.
    """

    stage: Gathering

    @property
    def count(self) -> int:
        return math.prod(self.stage.arrays[0].shape)

    @property
    def rows(self) -> int:
        return _rows(self.stage)

    @property
    def passes(self) -> int:
        return -(-self.rows.bit_length() // _BITS)

    @property
    def bits(self) -> int:
        return -(-self.rows.bit_length() // self.passes)

    @property
    def each(self) -> int:
        """Keys of a thread."""
        each = 1
        while each < _KEYS and self.count > _BLOCKS * BLOCK * each:
            each *= 2
        return each

    @property
    def blocks(self) -> int:
        return -(-self.count // (BLOCK * self.each))

    @property
    def columns(self) -> int:
        return math.prod(self.stage.part.shape) // self.count

    @property
    def chunks(self) -> int:
        return -(-self.count // _CHUNK)

    def keys(self, turn: int) -> str:
        return f"((int*)scratch + {2 * (turn % 2) * self.count})"

    def positions(self, turn: int) -> str:
        return f"((int*)scratch + {(2 * (turn % 2) + 1) * self.count})"

    @property
    def counts(self) -> str:
        return f"((int*)scratch + {4 * self.count})"

    def left(self, which: int) -> str:
        """Return where chunks put the sum of their first row (0), or their last (1), where another has part of it."""
        start = 4 * (4 * self.count + self.blocks * (1 << self.bits))
        of = TYPES[self.stage.whole.kind]
        return f"(({of}*)(scratch + {start + start % 8}) + {which * self.chunks * self.columns})"

    @property
    def scratch(self) -> int:
        numbers = 4 * (4 * self.count + self.blocks * (1 << self.bits))
        return numbers + 8 + 2 * self.chunks * self.columns * SIZES[self.stage.whole.kind]


def _sorted(stage: Gathering) -> list[Kernel]:
    sort = _Sort(stage)
    kernels = [_zeros(stage.whole)]
    for turn in range(sort.passes):
        kernels += [_counted(sort, turn), _moved(sort, turn)]
    return [*kernels, _added(sort), _carried(sort)]


def _zeros(whole: Access) -> Kernel:
    out = KernelWriter(math.prod(whole.shape), [whole])
    out.lines.append(f"{out.address(whole, out.axes('i', whole.shape), whole.strides)} = 0;")
    return out.kernel()


def _pass(sort: _Sort, turn: int) -> KernelWriter:
    """Begin a kernel of a pass: each thread's keys, and the digits of its block's, -1 where there is no key."""
    stage = sort.stage
    out = KernelWriter(sort.blocks * BLOCK, [stage.whole, *stage.arrays])
    tile = BLOCK * sort.each
    out.lines += [
        f"__shared__ int digits[{tile}];",
        f"int key[{sort.each}];",
        f"for (int m = 0; m < {sort.each}; ++m) {{",
        f"  const {out.index} p = ({out.index})blockIdx.x * {tile} + m * {BLOCK} + q;",
        "  int digit = -1;",
        f"  if (p < {sort.count}) {{",
    ]
    if turn:
        out.lines.append(f"key[m] = {sort.keys(turn)}[p];")
    else:
        places, inside = _places(out, stage, out.axes("p", stage.arrays[0].shape))
        row = places[0]
        for place, extent in zip(places[1:], _extents(stage)[1:], strict=True):
            row = f"({row} * {extent} + {place})"
        out.lines.append(f"key[m] = {inside} ? (int){row} : {sort.rows};")
    out.lines += [
        f"digit = key[m] >> {turn * sort.bits} & {(1 << sort.bits) - 1}; }}",
        f"digits[m * {BLOCK} + q] = digit; }}",
        "__syncthreads();",
    ]
    return out


def _counted(sort: _Sort, turn: int) -> Kernel:
    """Each thread counts one value of the digit in its block's keys."""
    out = _pass(sort, turn)
    out.lines += [
        "int count = 0;",
        f"for (int p = 0; p < {BLOCK * sort.each}; ++p) count += digits[p] == q;",
        f"if (q < {1 << sort.bits}) {sort.counts}[blockIdx.x * {1 << sort.bits} + q] = count;",
    ]
    return out.kernel(sort.scratch, whole_blocks=True)


def _moved(sort: _Sort, turn: int) -> Kernel:
    """A key goes behind those of lesser digits, those of its digit in blocks before, and those before it in its own."""
    out = _pass(sort, turn)
    values = 1 << sort.bits
    out.lines += [
        f"__shared__ int totals[{values}], starts[{values}];",
        "int before = 0, total = 0;",
        f"if (q < {values}) {{",
        f"  for (int b = 0; b < {sort.blocks}; ++b) {{",
        f"    const int count = {sort.counts}[b * {values} + q];",
        "    total += count;",
        "    if (b < blockIdx.x) before += count;",
        "  }",
        "  totals[q] = total;",
        "}",
        "__syncthreads();",
        f"if (q < {values}) {{ for (int v = 0; v < q; ++v) before += totals[v]; starts[q] = before; }}",
        f"int rank[{sort.each}] = {{}};",
        f"for (int p = 0; p < {BLOCK * sort.each}; ++p)",
        f"  for (int m = 0; m < {sort.each}; ++m)",
        f"    rank[m] += p < m * {BLOCK} + q && digits[p] == digits[m * {BLOCK} + q];",
        "__syncthreads();",
        f"for (int m = 0; m < {sort.each}; ++m) {{",
        f"  const int digit = digits[m * {BLOCK} + q], p = blockIdx.x * {BLOCK * sort.each} + m * {BLOCK} + q;",
        "  if (digit >= 0) {",
        "    const int place = starts[digit] + rank[m];",
        f"    {sort.keys(turn + 1)}[place] = key[m];",
        f"    {sort.positions(turn + 1)}[place] = {f'{sort.positions(turn)}[p]' if turn else 'p'};",
        "  }",
        "}",
    ]
    return out.kernel(sort.scratch, whole_blocks=True)


def _chunked(sort: _Sort) -> KernelWriter:
    """Begin a kernel with a thread for each chunk of sorted positions and each column of a row."""
    out = KernelWriter(sort.chunks * sort.columns, [sort.stage.whole, sort.stage.part])
    out.lines += [
        f"const int* keys = {sort.keys(sort.passes)};",
        f"const {out.index} chunk = i / {sort.columns}, column = i % {sort.columns}, begin = chunk * {_CHUNK};",
    ]
    return out


def _columns(out: KernelWriter, stage: Gathering) -> tuple[list[str], list[str]]:
    """Return the axes before and after the indexed ones."""
    after = stage.before + len(stage.arrays)
    axes = out.axes("column", (*stage.whole.shape[: stage.before], *stage.whole.shape[after:]))
    return axes[: stage.before], axes[stage.before :]


def _store(out: KernelWriter, stage: Gathering, columns: tuple[list[str], list[str]]) -> None:
    out.lines.append("{")
    places = out.axes("row", _extents(stage))
    target = out.address(stage.whole, [*columns[0], *places, *columns[1]], stage.whole.strides)
    out.lines.append(f"{target} = total; }}")


def _added(sort: _Sort) -> Kernel:
    """The sum of every row that lies in one chunk; of others, the part of each chunk."""
    stage = sort.stage
    out = _chunked(sort)
    columns = _columns(out, stage)
    out.lines += [
        f"const {out.index} end = begin + {_CHUNK} < {sort.count} ? begin + {_CHUNK} : {sort.count};",
        "int row = keys[begin];",
        "bool first = begin > 0 && keys[begin - 1] == row;",
        f"{TYPES[stage.whole.kind]} total = 0;",
        f"for ({out.index} r = begin; r < end; ++r) {{",
        "if (keys[r] != row) {",
        f"if (first) {sort.left(0)}[i] = total; else if (row < {sort.rows})",
    ]
    _store(out, stage, columns)
    out.lines += ["row = keys[r]; first = false; total = 0; }", f"const int p = {sort.positions(sort.passes)}[r];"]
    position = out.axes("p", stage.arrays[0].shape)
    term = out.address(stage.part, [*columns[0], *position, *columns[1]], stage.part.strides)
    out.lines += [
        f"total += {term}; }}",
        f"if (first) {sort.left(0)}[i] = total;",
        f"else if (end < {sort.count} && keys[end] == row) {sort.left(1)}[i] = total;",
        f"else if (row < {sort.rows})",
    ]
    _store(out, stage, columns)
    return out.kernel(sort.scratch)


def _carried(sort: _Sort) -> Kernel:
    """Where the last row of a chunk began in it and goes on, add what the chunks after it have."""
    stage = sort.stage
    out = _chunked(sort)
    columns = _columns(out, stage)
    out.lines += [
        f"const {out.index} end = begin + {_CHUNK};",
        f"if (end >= {sort.count}) return;",
        "const int row = keys[end];",
        f"if (row >= {sort.rows} || keys[end - 1] != row) return;",
        "if (begin > 0 && keys[begin - 1] == row) return;",
        f"{TYPES[stage.whole.kind]} total = {sort.left(1)}[i];",
        f"for ({out.index} next = chunk + 1;; ++next) {{",
        f"total += {sort.left(0)}[next * {sort.columns} + column];",
        f"const {out.index} stop = (next + 1) * {_CHUNK};",
        f"if (stop >= {sort.count} || keys[stop] != row) break; }}",
    ]
    _store(out, stage, columns)
    return out.kernel(sort.scratch)
