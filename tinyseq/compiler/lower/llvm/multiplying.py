"""Products: a tile in registers, then what the group does to it; and stacks of products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Final

from tinyseq.compiler.lower.access import Shape
from tinyseq.compiler.lower.grouping import Lane, lanes
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm.context import Writer, base, moved
from tinyseq.compiler.lower.llvm.elementwise import GroupWriter
from tinyseq.compiler.lower.llvm.gemm import DEPTH, Tile, choose_tile, kernel, pack
from tinyseq.compiler.lower.llvm.text import Function
from tinyseq.compiler.lower.llvm.vectors import Value, Vectors
from tinyseq.compiler.lower.stages import Group, Product

#: Bytes between neighbours on the contracted axis from which on they crowd in few lines of the first cache.
_FAR: Final = 512


class ProductWriter(GroupWriter):
    """Writes a group that begins with a product; ``packed`` says where its right operand is laid out, if it is."""

    def __init__(self, writer: Writer, f: Function, group: Group, packed: int | None) -> None:
        assert group.product is not None
        self.product, self.packed = group.product, packed
        self.tile = tile_of(writer, group)
        self.left, self.right = base(f, self.product.left), base(f, self.product.right)
        super().__init__(writer, f, group)

    def vector(self) -> int:
        return self.tile.vector

    def write(self, keep_rows: bool) -> int:
        """Write the product in pieces of the contracted axis, panels of columns, tiles of rows, from outside inwards.

        A loop's panels are laid out already and not cut. Where there are several pieces, tiles wait in memory between
        them, and a left operand that lies across is laid out too, once for all panels.
        """
        f, tile, product, scratch = self.f, self.tile, self.product, self.writer.scratch
        size, (rows, length) = SIZES[tile.kind], product.left.shape
        by_rows = keep_rows or rows >= tile.panels * tile.blocks * tile.vector * tile.lanes or tile.panels < 2
        first, last = ("%from", "%to") if by_rows else (0, rows)
        depth = length if self.packed is not None or length <= DEPTH + DEPTH // 2 else DEPTH
        pieces = -(-length // depth)
        across = pieces > 1 and product.left.strides[0] == size and product.left.strides[1] >= _FAR
        place = scratch.take((tile.panels * rows if pieces > 1 else tile.rows) * tile.row_bytes)
        room = scratch.take(depth * tile.row_bytes) if self.packed is None else 0
        turned = scratch.take(rows * depth * size + 64) if across else 0
        with f.loop(0, pieces) as piece:
            start = f.mul(piece, depth)
            here = f.at(self.left, f.mul(start, product.left.strides[1]))
            run = f.minimum(f.let(f"sub i64 {length}, {start}"), depth) if pieces > 1 else depth
            strides = _two(product.left.strides)
            block = f.at("%scratch", turned) if across else ""
            if across:
                self.turn(first, last, here, block, run, depth * size)
            with f.loop(0, tile.panels) if by_rows else f.loop("%from", "%to") as index:
                if self.packed is not None:
                    panel = f.at("%scratch", f.add(f.mul(index, length * tile.row_bytes), self.packed))
                else:
                    panel = f.at("%scratch", room)
                    lines = f.at(self.right, f.mul(start, product.right.strides[0]))
                    pack(f, tile, lines, _two(product.right.strides), panel, index, run)
                waiting = f.at("%scratch", place)
                if pieces > 1:
                    waiting = f.at(waiting, f.mul(index, rows * tile.row_bytes))
                fresh = f.let(f"icmp eq i64 {piece}, 0") if pieces > 1 else "true"
                for row, height in even_tiles(f, first, last, tile.rows):
                    inner_row = f.let(f"sub i64 {row}, {first}")
                    target = f.at(waiting, f.mul(inner_row, tile.row_bytes)) if pieces > 1 else waiting
                    if across:
                        a, steps = f.at(block, f.mul(inner_row, depth * size)), (size, f.mul(height, size))
                    else:
                        a, steps = f.at(here, f.mul(row, strides[0])), strides
                    f.do(
                        f"call void @{kernel(self.writer.module, tile)}(i64 {height}, ptr {a}, i64 {steps[0]},"
                        f" i64 {steps[1]}, ptr {panel}, i64 {run}, ptr {target}, i1 {fresh})"
                    )
                    with ExitStack() as final:
                        if pieces > 1:
                            final.enter_context(f.when(f.let(f"icmp eq i64 {piece}, {pieces - 1}")))
                        with f.loop(0, height) as number:
                            self.epilogue(f.add(row, number), index, f.at(target, f.mul(number, tile.row_bytes)))
        return rows if by_rows else tile.panels

    def turn(self, first: Any, last: Any, left: str, block: str, run: Any, row_bytes: int) -> None:
        """Lay out the left operand's tiles so that the rows of one lie side by side along the contracted axis."""
        f, tile, product = self.f, self.tile, self.product
        size, v = SIZES[tile.kind], Vectors(f, 1 << (tile.rows - 1).bit_length())
        for row, height in even_tiles(f, first, last, tile.rows):
            source = f.at(left, f.mul(row, product.left.strides[0]))
            target = f.at(block, f.mul(f.let(f"sub i64 {row}, {first}"), row_bytes))
            with f.loop(0, run) as k:
                line = f.at(source, f.mul(k, product.left.strides[1]))
                # Whole vectors are written: what is too much, the next one overwrites.
                v.store(v.load(line, tile.kind, size, height), f.at(target, f.mul(f.mul(k, height), size)), size)

    def epilogue(self, row: Any, index: Any, place: str) -> None:
        f, tile = self.f, self.tile
        rows = self.rows([row])
        fixed = self.fixed(rows)
        whole, rest = divmod(self.group.width, tile.vector)
        first = f.mul(index, tile.blocks)
        if whole:
            left = f.let(f"sub i64 {whole}, {first}")
            with f.loop(0, f.minimum(left, tile.blocks) if tile.panels > 1 else whole) as block:
                column = f.mul(f.add(first, block), tile.vector)
                self.element(rows, fixed, column, None, self.made(place, block))
        if rest:
            block = whole - (tile.panels - 1) * tile.blocks
            if tile.panels == 1:
                self.element(rows, fixed, whole * tile.vector, rest, self.made(place, block))
            else:
                with f.when(f.let(f"icmp eq i64 {index}, {tile.panels - 1}")):
                    self.element(rows, fixed, whole * tile.vector, rest, self.made(place, block))

    def made(self, place: str, block: Any) -> dict[Lane, Value]:
        """The product's values at one block of columns, from the tile."""
        tile = self.tile
        size = tile.vector * SIZES[tile.kind]
        found = {}
        for number, lane in enumerate(lanes(self.product.output, self.group.width)):
            here = self.f.at(place, self.f.mul(self.f.add(block, number * tile.blocks), size))
            found[lane] = self.v.load(here, tile.kind, SIZES[tile.kind])
        return found


def tile_of(writer: Writer, group: Group) -> Tile:
    """Return the blocking of a group's product: its lanes are those of the group."""
    assert group.product is not None
    output = group.product.output
    return choose_tile(writer.host, output.kind, output.shape[1] // group.width, group.width)


def even_tiles(f: Function, first: Any, last: Any, most: int) -> Iterator[tuple[str | int, str]]:
    """Loop over tiles of rows: as few as can be, and of heights that differ by one at most."""
    count = f.let(f"sub i64 {last}, {first}")
    tiles = f.let(f"udiv i64 {f.add(count, most - 1)}, {most}")
    with f.loop(0, tiles) as number:
        start = f.let(f"udiv i64 {f.mul(number, count)}, {tiles}")
        stop = f.let(f"udiv i64 {f.mul(f.add(number, 1), count)}, {tiles}")
        yield f.add(start, first), f.let(f"sub i64 {stop}, {start}")


def _two(strides: Shape) -> tuple[int, int]:
    return strides[0], strides[1]


def write_batched(writer: Writer, f: Function, product: Product) -> int:
    """A stack of products: each right operand is laid out by itself."""
    batch = product.batch
    rows, length = product.left.shape[-2:]
    columns = product.output.shape[-1]
    tile = choose_tile(writer.host, product.output.kind, 1, columns)
    size = SIZES[tile.kind]
    v = Vectors(f, tile.vector)
    name = kernel(writer.module, tile)
    place = f.at("%scratch", writer.scratch.take(tile.rows * tile.row_bytes))
    panel = f.at("%scratch", writer.scratch.take(length * tile.row_bytes))
    bases = [base(f, x) for x in (product.left, product.right, product.output)]
    with ExitStack() as nest:
        indices = [nest.enter_context(f.loop("%from", "%to"))]
        indices += [nest.enter_context(f.loop(0, n)) for n in batch[1:]]
        left, right, output = (
            moved(f, pointer, indices, x.strides[:-2])
            for pointer, x in zip(bases, (product.left, product.right, product.output), strict=True)
        )
        with f.loop(0, tile.panels) as index:
            pack(f, tile, right, _two(product.right.strides[-2:]), panel, index, length)
            for row, height in even_tiles(f, 0, rows, tile.rows):
                row_stride, inner = product.left.strides[-2:]
                f.do(
                    f"call void @{name}(i64 {height}, ptr {f.at(left, f.mul(row, row_stride))}, i64 {row_stride},"
                    f" i64 {inner}, ptr {panel}, i64 {length}, ptr {place}, i1 true)"
                )
                with f.loop(0, height) as inner_row, f.loop(0, tile.blocks) as block:
                    tile_place = f.add(f.mul(inner_row, tile.row_bytes), f.mul(block, tile.vector * size))
                    value = v.load(f.at(place, tile_place), tile.kind, size)
                    column = f.mul(f.add(f.mul(index, tile.blocks), block), tile.vector)
                    count = f.let(f"sub i64 {columns}, {column}")
                    stride = product.output.strides[-1] if columns > 1 else size
                    target = f.add(f.mul(f.add(row, inner_row), product.output.strides[-2]), f.mul(column, stride))
                    v.store(value, f.at(output, target), stride, count)
    return batch[0]
