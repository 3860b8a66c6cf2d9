"""Products whose right operand is not at hand in panels: it is laid out as they go, once for all that share it.

From outside inwards: pieces of the contracted axis, panels of columns, products, tiles of rows. Where there are several
pieces, tiles wait in memory between them, and a left operand that lies across is laid out as well, once for all panels.
While a panel is worked on, the memory of the next is on its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm.ir.builder import Function
from tinyseq.compiler.lower.llvm.ir.context import StageWriter, base
from tinyseq.compiler.lower.llvm.ir.vectors import Value, Vectors
from tinyseq.compiler.lower.llvm.kernels.gemm import DEPTH, STEPS_A_LINE, kernel, pack
from tinyseq.compiler.lower.llvm.kernels.matmul import ProductWriter, by_columns, even_tiles, tile_of
from tinyseq.compiler.lower.stages import Group, ReductionStage

#: Bytes between neighbours on the contracted axis from which on they crowd in few lines of the first cache.
_FAR: Final = 512
#: Steps along the contracted axis for which all rows of a left operand that lies across are turned at a time: as many
#: lines as one place of the first cache holds, into which rows that lie powers of two apart may all fall.
_STRETCH: Final = 8
#: Rows of a panel where threads share columns: so few that all of the left operand's piece stays in the second cache
#: beside it. The tiles that wait then are those of a matrix of weights; where threads share rows, they may be many.
_FEW: Final = 256
#: Bytes of a right operand from which on its panels are not in the second cache when they are needed.
_LARGE: Final = 1 << 20


def write_products(
    writer: StageWriter, f: Function, groups: Sequence[Group], total: ReductionStage | None, keep_rows: bool
) -> int:
    """Write groups whose products have one right operand, and maybe the sum of its rows; return how many parts."""
    blocking = _Blocking(writer, groups[0], keep_rows)
    tile, right, length, depth = blocking.tile, blocking.right, blocking.length, blocking.depth
    members = [_Member(writer, f, group, blocking) for group in groups]
    sums = _Sums(writer, f, total, blocking) if total else None
    source, panel = base(f, right), f.at("%scratch", writer.scratch.take(depth * tile.row_bytes))
    strides = right.strides[0], right.strides[1]
    first, last = ("%from", "%to") if blocking.columns else (0, tile.panels)
    with f.loop(0, blocking.pieces) as piece:
        start = f.mul(piece, depth)
        run = f.minimum(f.let(f"sub i64 {length}, {start}"), depth) if blocking.pieces > 1 else depth
        for member in members:
            member.begin(start, run)
        with f.loop(first, last) as index:
            totals = sums.begin(piece, index) if sums else []
            pack(f, tile, f.at(source, f.mul(start, strides[0])), strides, panel, index, run, totals)
            if sums:
                sums.end(piece, index)
            ahead = _Ahead(f, blocking, source, start, index, (first, last)) if blocking.ahead else None
            for member in members:
                member.tiles(piece, index, panel, run, ahead)
    return tile.panels if blocking.columns else blocking.rows


class _Blocking:
    """How the products of one right operand are cut."""

    def __init__(self, writer: StageWriter, group: Group, keep_rows: bool) -> None:
        assert group.product is not None
        assert not group.others  # they are for loops whose panels are kept
        self.tile, self.right = tile_of(writer.host, group), group.product.right
        self.rows, self.length = group.product.left.shape
        self.columns = not keep_rows and by_columns(self.tile, self.rows)
        depth = _FEW if self.columns else DEPTH
        self.depth = self.length if self.length <= depth + depth // 2 else depth
        self.pieces = -(-self.length // self.depth)
        size = SIZES[self.tile.kind]
        large = self.length * self.tile.lanes * self.tile.width * size >= _LARGE
        self.ahead = large and self.tile.panels > 1 and self.right.strides[1] == size

    def last(self, piece: Any) -> str:
        return f"icmp eq i64 {piece}, {self.pieces - 1}"


class _Member:
    """One of the products."""

    def __init__(self, writer: StageWriter, f: Function, group: Group, blocking: _Blocking) -> None:
        self.writer, self.f, self.blocking = writer, f, blocking
        self.inner = ProductWriter(writer, f, group)
        tile, left = blocking.tile, self.inner.product.left
        self.size, self.rows = SIZES[tile.kind], left.shape[0]
        self.span: tuple[Any, Any] = (0, self.rows) if blocking.columns else ("%from", "%to")
        self.strides = left.strides[0], left.strides[1]
        several = blocking.pieces > 1
        self.across = several and self.strides[0] == self.size and self.strides[1] >= _FAR
        self.place = writer.scratch.take((tile.panels * self.rows if several else tile.rows) * tile.row_bytes)
        # A tile's rows end in room for one vector more, which also keeps tiles from crowding in the same lines.
        self.pitch = blocking.depth * tile.rows * self.size + 64
        self.turned = writer.scratch.take(-(-self.rows // tile.rows) * self.pitch) if self.across else 0

    def begin(self, start: Any, run: Any) -> None:
        """Prepare for a piece of the contracted axis."""
        self.here = self.f.at(self.inner.left, self.f.mul(start, self.strides[1]))
        if self.across:
            self.turn(run)

    def turn(self, run: Any) -> None:
        """Lay out the left operand's tiles so that the rows of one lie side by side along the contracted axis."""
        f, tile, size = self.f, self.blocking.tile, self.size
        v = Vectors(f, 1 << (tile.rows - 1).bit_length())
        block = f.at("%scratch", self.turned)
        with f.loop(0, f.let(f"udiv i64 {f.add(run, _STRETCH - 1)}, {_STRETCH}")) as stretch:
            begin = f.mul(stretch, _STRETCH)
            end = f.minimum(f.add(begin, _STRETCH), run)
            for row, height, number in even_tiles(f, self.span[0], self.span[1], tile.rows):
                source = f.at(self.here, f.mul(row, size))
                target = f.at(block, f.mul(number, self.pitch))
                with f.loop(begin, end) as k:
                    line = f.at(source, f.mul(k, self.strides[1]))
                    # Whole vectors are written: what is too much, the next one overwrites.
                    v.store(v.load(line, tile.kind, size, height), f.at(target, f.mul(f.mul(k, height), size)), size)

    def tiles(self, piece: Any, index: Any, panel: str, run: Any, ahead: _Ahead | None) -> None:
        """Multiply by a panel; after the last piece, do to the tiles what the group does."""
        f, tile, size, blocking = self.f, self.blocking.tile, self.size, self.blocking
        several = blocking.pieces > 1
        place = f.at("%scratch", self.place)
        fresh = "true"
        if several:
            place = f.at(place, f.mul(index, self.rows * tile.row_bytes))
            fresh = f.let(f"icmp eq i64 {piece}, 0")
        for row, height, number in even_tiles(f, self.span[0], self.span[1], tile.rows):
            inner_row = f.let(f"sub i64 {row}, {self.span[0]}")
            target = f.at(place, f.mul(inner_row, tile.row_bytes)) if several else place
            if self.across:
                a, steps = f.at(f.at("%scratch", self.turned), f.mul(number, self.pitch)), (size, f.mul(height, size))
            else:
                a, steps = f.at(self.here, f.mul(row, self.strides[0])), self.strides
            name = kernel(self.writer.module, replace(tile, ahead=ahead is not None))
            f.do(
                f"call void @{name}(i64 {height}, ptr {a}, i64 {steps[0]}, i64 {steps[1]}, ptr {panel}, i64 {run},"
                f" ptr {target}, i1 {fresh}{ahead.next() if ahead else ''})"
            )
            if several:
                with f.when(f.let(blocking.last(piece))):
                    self.inner.finish(row, height, index, target)
            else:
                self.inner.finish(row, height, index, target)


class _Ahead:
    """Deals out the lines of the panel that comes next to the kernel calls for this one: each asks for some rows."""

    def __init__(
        self, f: Function, blocking: _Blocking, source: str, start: Any, index: Any, span: tuple[Any, Any]
    ) -> None:
        self.f, self.blocking = f, blocking
        depth, stride = blocking.depth, blocking.right.strides[0]
        following = f.add(index, 1)
        more = f.let(f"icmp slt i64 {following}, {span[1]}")
        panel = f.let(f"select i1 {more}, i64 {following}, i64 {span[0]}")
        row = f.let(f"select i1 {more}, i64 {start}, i64 {f.add(start, depth)}")
        column = f.mul(panel, blocking.tile.blocks * blocking.tile.vector * SIZES[blocking.tile.kind])
        self.base = f.at(source, f.add(f.mul(row, stride), column))
        self.calls = f.variable("i64")
        f.do(f"store i64 0, ptr {self.calls}")

    def next(self) -> str:
        f, tile, depth = self.f, self.blocking.tile, self.blocking.depth
        stride, size = self.blocking.right.strides[0], SIZES[tile.kind]
        call = f.let(f"load i64, ptr {self.calls}")
        f.do(f"store i64 {f.add(call, 1)}, ptr {self.calls}")
        vector, rows = f.let(f"urem i64 {call}, {tile.vectors}"), depth // STEPS_A_LINE
        row = f.minimum(f.mul(f.let(f"udiv i64 {call}, {tile.vectors}"), rows), depth - rows)
        lane, block = f.let(f"udiv i64 {vector}, {tile.blocks}"), f.let(f"urem i64 {vector}, {tile.blocks}")
        column = f.add(f.mul(lane, tile.width * size), f.mul(block, tile.vector * size))
        return f", ptr {f.at(self.base, f.add(f.mul(row, stride), column))}, i64 {stride}"


class _Sums:
    """The sum of the right operand's rows, taken while they are laid out."""

    def __init__(self, writer: StageWriter, f: Function, total: ReductionStage, blocking: _Blocking) -> None:
        self.f, self.blocking, self.output = f, blocking, total.output
        tile = blocking.tile
        self.v = Vectors(f, tile.vector)
        self.totals = [f.variable(self.v.type(tile.kind)) for _ in range(tile.vectors)]
        self.target = base(f, total.output)
        self.place = writer.scratch.take(tile.panels * tile.row_bytes) if blocking.pieces > 1 else 0

    def begin(self, piece: Any, index: Any) -> list[str]:
        """Start, or go on from the piece before; return the variables that the rows are added to."""
        f, v, tile = self.f, self.v, self.blocking.tile
        of = v.type(tile.kind)
        for total in self.totals:
            f.do(f"store {of} zeroinitializer, ptr {total}")
        if self.blocking.pieces > 1:
            with f.when(f.let(f"icmp ne i64 {piece}, 0")):
                for place, total in zip(self.places(index), self.totals, strict=True):
                    f.do(f"store {of} {v.load(place, tile.kind, SIZES[tile.kind]).name}, ptr {total}")
        return self.totals

    def end(self, piece: Any, index: Any) -> None:
        if self.blocking.pieces == 1:
            self.write(index)
            return
        f, v, tile = self.f, self.v, self.blocking.tile
        for place, total in zip(self.places(index), self.totals, strict=True):
            v.store(Value(f.let(f"load {v.type(tile.kind)}, ptr {total}"), tile.kind), place, SIZES[tile.kind])
        with f.when(f.let(self.blocking.last(piece))):
            self.write(index)

    def places(self, index: Any) -> list[str]:
        """Where the sums of a panel wait between two pieces."""
        tile = self.blocking.tile
        row = self.f.at("%scratch", self.f.add(self.f.mul(index, tile.row_bytes), self.place))
        return [self.f.at(row, j * tile.vector * SIZES[tile.kind]) for j in range(tile.vectors)]

    def write(self, index: Any) -> None:
        f, v, tile = self.f, self.v, self.blocking.tile
        stride = self.output.strides[-1]
        for j, total in enumerate(self.totals):
            lane, block = divmod(j, tile.blocks)
            column = f.mul(f.add(f.mul(index, tile.blocks), block), tile.vector)
            count = f.let(f"sub i64 {tile.width}, {column}") if tile.width % (tile.blocks * tile.vector) else None
            place = f.at(self.target, f.mul(f.add(column, lane * tile.width), stride))
            v.store(Value(f.let(f"load {v.type(tile.kind)}, ptr {total}"), tile.kind), place, stride, count)
