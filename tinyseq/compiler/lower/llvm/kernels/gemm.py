"""Products of matrices: register-blocked kernels over panels of the right operand.

A panel holds, for each row of the right operand, the vectors of one tile's columns: for several lanes, the same columns
of each lane side by side. The kernel keeps a tile of rows x vectors in registers over the whole contracted axis (Goto
and van de Geijn 2008), so an element is one chain of fused multiply-adds in the order of that axis, whatever the tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm.ir.builder import IN_MEMORY, Function, IRModule
from tinyseq.compiler.lower.llvm.ir.vectors import Value, Vectors
from tinyseq.compiler.lower.llvm.runtime.host import Host

#: Rows of the right operand that one panel holds, unless the panels are kept: it is to stay in the second cache.
DEPTH: Final = 1024
_MOST_ROWS: Final = 8


@dataclass(frozen=True)
class Tile:
    """The blocking of a product whose columns are ``lanes`` times ``width``."""

    kind: str
    vector: int  # elements in one
    lanes: int
    width: int
    blocks: int  # vectors of one lane in a tile
    rows: int  # at most
    #: Whether its kernel asks for other memory meanwhile.
    ahead: bool = False

    @property
    def vectors(self) -> int:
        return self.lanes * self.blocks

    @property
    def name(self) -> str:
        """The name of its kernel."""
        return f"tinyseq_gemm_{self.kind}_{self.rows}x{self.vectors}x{self.vector}{'_ahead' * self.ahead}"

    @property
    def row_bytes(self) -> int:
        return self.vectors * self.vector * SIZES[self.kind]

    @property
    def panels(self) -> int:
        return -(-self.width // (self.blocks * self.vector))


def choose_tile(host: Host, kind: str, lanes: int, width: int) -> Tile:
    """Choose the tile: few vectors beyond the columns, many products for each load."""
    vector = host.vector // SIZES[kind]
    needed = -(-width // vector)
    best: tuple[float, Tile] | None = None
    for blocks in range(1, needed + 1):
        vectors = lanes * blocks
        rows = min((host.registers - vectors - 1) // vectors, _MOST_ROWS)
        if blocks > 1 and rows < 2:
            break
        rows = max(rows, 1)
        panels = -(-needed // blocks)
        # Loads a multiply-add: a row is loaded once for all vectors, a vector once for all rows.
        price = panels * blocks / needed * (1.0 + 1.0 / rows + 0.5 / vectors)
        if best is None or price < best[0]:
            best = price, Tile(kind, vector, lanes, width, blocks, rows)
    assert best is not None
    return best[1]


#: Steps along the contracted axis for each line that a kernel asks for ahead.
STEPS_A_LINE: Final = 8

_KERNEL: Final = ("i64 %rows", "ptr %a", "i64 %row", "i64 %inner", "ptr %b", "i64 %length", "ptr %c", "i1 %fresh")
_AHEAD: Final = ("ptr %ahead", "i64 %apart")


def _parameters(tile: Tile) -> tuple[str, ...]:
    return _KERNEL + _AHEAD * tile.ahead


def kernel(module: IRModule, tile: Tile) -> str:
    """Declare a tile's kernel, which is code of its own for all plans; return its name.

    Its arguments: the number of rows; the left operand with its strides along rows and the contracted axis; the panel
    and its length; where the tile goes (row after row), and whether it starts from zero or from what is there. One that
    asks for memory ahead is told where it begins and how far apart the lines are, one for every eight steps.
    """
    module.kernels[tile.name] = tile
    types = ", ".join(parameter.split()[0] for parameter in _parameters(tile))
    return module.declare(tile.name, f"void ({types})")


def kernel_module(tile: Tile, host: Host) -> str:
    """Return the module of a tile's kernel, with a body for each number of rows that a tile may have."""
    module = IRModule(host.attributes)
    f = module.function(tile.name, _parameters(tile), linkage="")
    blocks = [f"rows{n}" for n in range(1, tile.rows + 1)]
    cases = " ".join(f"i64 {n + 1}, label %{label}" for n, label in enumerate(blocks))
    f.do(f"switch i64 %rows, label %none [{cases}]")
    for n, label in enumerate(blocks):
        f.label(label)
        _body(f, tile, n + 1)
        f.do("ret void")
    f.label("none")
    f.do("ret void")
    return str(module)


def _body(f: Function, tile: Tile, rows: int) -> None:
    v = Vectors(f, tile.vector)
    size = SIZES[tile.kind]
    vector = v.type(tile.kind)
    places = [(i, j) for i in range(rows) for j in range(tile.vectors)]
    totals = {place: f.variable(vector) for place in places}
    aligned = f"align {size}"

    def tile_at(i: int, j: int) -> str:
        return f.at("%c", i * tile.row_bytes + j * tile.vector * size)

    for place in places:
        f.do(f"store {vector} zeroinitializer, ptr {totals[place]}")
    again = f.let("xor i1 %fresh, true")
    with f.when(again):
        for place in places:
            before = f.let(f"load {vector}, ptr {tile_at(*place)}, {aligned}")
            f.do(f"store {vector} {before}, ptr {totals[place]}")
    lines = [f.at("%a", f.mul("%row", i)) for i in range(rows)]
    with f.loop(0, "%length") as k:
        across = f.mul(k, "%inner")
        if tile.ahead:
            line = f.let(f"udiv i64 {k}, {STEPS_A_LINE}")
            prefetch = f.module.declare("llvm.prefetch.p0", "void (ptr, i32, i32, i32)")
            f.do(f"call void @{prefetch}(ptr {f.at('%ahead', f.mul(line, '%apart'))}, i32 0, i32 2, i32 1)")
        panel = f.at("%b", f.mul(k, tile.row_bytes))
        right = [v.load(f.at(panel, j * tile.vector * size), tile.kind, size) for j in range(tile.vectors)]
        for i in range(rows):
            scalar = f.let(f"load {IN_MEMORY[tile.kind]}, ptr {f.at(lines[i], across)}, {aligned}")
            left = v.splat(scalar, tile.kind)
            for j in range(tile.vectors):
                total = Value(f.let(f"load {vector}, ptr {totals[i, j]}"), tile.kind)
                f.do(f"store {vector} {v.fma(left, right[j], total).name}, ptr {totals[i, j]}")
    for place in places:
        result = f.let(f"load {vector}, ptr {totals[place]}")
        f.do(f"store {vector} {result}, ptr {tile_at(*place)}, {aligned}")


def pack(
    f: Function,
    tile: Tile,
    right: str,
    strides: tuple[int, int],
    panel: str,
    index: str | int,
    length: str | int,
    totals: Sequence[str] = (),
) -> None:
    """Write the laying out of a panel: ``length`` rows from ``right``, its columns those of panel ``index``.

    Columns beyond the width are zeros, so that the kernel need not know of them. ``totals`` are variables to which the
    rows are added, a vector in each.
    """
    v = Vectors(f, tile.vector)
    size = SIZES[tile.kind]
    first = f.mul(index, tile.blocks * tile.vector)
    ragged = tile.width % (tile.blocks * tile.vector) != 0
    start = f.at(right, f.mul(first, strides[1]))
    done: str | int = 0
    if strides[0] == size != strides[1] and tile.vector > 1 and not totals:
        done = f.mul(f.let(f"udiv i64 {length}, {tile.vector}"), tile.vector)
        if ragged:
            whole = f.let(f"icmp slt i64 {index}, {tile.width // (tile.blocks * tile.vector)}")
            done = f.let(f"select i1 {whole}, i64 {done}, i64 0")
        _pack_across(v, tile, start, strides[1], panel, done)
    counts: list[str | int | None] = []
    for block in range(tile.blocks):
        left = f.let(f"sub i64 {tile.width - block * tile.vector}, {first}") if ragged else None
        counts.append(left)
    with f.loop(done, length) as k:
        line = f.at(start, f.mul(k, strides[0]))
        target = f.at(panel, f.mul(k, tile.row_bytes))
        for lane in range(tile.lanes):
            for block in range(tile.blocks):
                source = f.at(line, (lane * tile.width + block * tile.vector) * strides[1])
                value = v.load(source, tile.kind, strides[1], counts[block])
                number = lane * tile.blocks + block
                v.store(value, f.at(target, number * tile.vector * size), size)
                if totals:
                    before = Value(f.let(f"load {v.type(tile.kind)}, ptr {totals[number]}"), tile.kind)
                    f.do(f"store {v.type(tile.kind)} {v.fadd(before, value).name}, ptr {totals[number]}")


def _pack_across(v: Vectors, tile: Tile, start: str, stride: int, panel: str, length: str | int) -> None:
    """Lay out columns that each lie in one piece: squares are read along them and turned in registers."""
    f, size = v.f, SIZES[tile.kind]
    with f.loop(0, tile.lanes) as lane, f.loop(0, tile.blocks) as block:
        column = f.add(f.mul(lane, tile.width), f.mul(block, tile.vector))
        lines = f.at(start, f.mul(column, stride))
        place = f.mul(f.add(f.mul(lane, tile.blocks), block), tile.vector * size)
        with f.loop(0, length, tile.vector) as k:
            source = f.at(lines, f.mul(k, size))
            target = f.at(panel, f.add(f.mul(k, tile.row_bytes), place))
            square = [v.load(f.at(source, i * stride), tile.kind, size) for i in range(tile.vector)]
            for i, row in enumerate(v.transposed(square)):
                v.store(row, f.at(target, i * tile.row_bytes), size)
