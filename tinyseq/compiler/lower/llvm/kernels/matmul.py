"""Products: a tile in registers, then what the group does to it; and stacks of products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

from tinyseq.compiler.lower.access import Access, Shape
from tinyseq.compiler.lower.grouping import Lane, lanes
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm.ir.builder import Function
from tinyseq.compiler.lower.llvm.ir.context import StageWriter, base, moved
from tinyseq.compiler.lower.llvm.ir.vectors import Value, Vectors
from tinyseq.compiler.lower.llvm.kernels.elementwise import GroupWriter
from tinyseq.compiler.lower.llvm.kernels.gemm import Tile, choose_tile, kernel, pack
from tinyseq.compiler.lower.llvm.runtime.host import Host
from tinyseq.compiler.lower.stages import Group, Product, Repeat, Stage, writes

#: How much better rows must fill vectors than columns do for a product to be transposed.
_BADLY_FILLED: Final = 0.9


class ProductWriter(GroupWriter):
    """Writes what becomes of a product's tiles; where its panels come from is for the functions below."""

    def __init__(self, writer: StageWriter, f: Function, group: Group) -> None:
        assert group.product is not None
        self.product = group.product
        self.tile = tile_of(writer.host, group)
        self.left = base(f, self.product.left)
        super().__init__(writer, f, group)

    def vector(self) -> int:
        return self.tile.vector

    def finish(self, row: Any, height: Any, index: Any, place: str) -> None:
        """Do to a tile what the group does."""
        with self.f.loop(0, height) as number:
            self.epilogue(self.f.add(row, number), index, self.f.at(place, self.f.mul(number, self.tile.row_bytes)))

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
        """The products' values at one block of columns, from their tiles, which lie behind each other."""
        tile = self.tile
        size = tile.vector * SIZES[tile.kind]
        vectors = {}
        for place_of, product in enumerate(self.group.products):
            here = self.f.at(place, place_of * tile.rows * tile.row_bytes)
            for number, lane in enumerate(lanes(product.output, self.group.width)):
                vector = self.f.at(here, self.f.mul(self.f.add(block, number * tile.blocks), size))
                vectors[lane] = self.v.load(vector, tile.kind, SIZES[tile.kind])
        return vectors


def lies_still(x: Access, loop: Repeat) -> bool:
    """Whether what a loop reads is the same in all steps, so that it may be laid out before."""
    return not x.step and not x.flip and all(x.slot != made.slot for made in writes(loop))


def tile_of(host: Host, group: Group) -> Tile:
    """Return the blocking of a group's product: its lanes are those of the group."""
    assert group.product is not None
    output = group.product.output
    return choose_tile(host, output.kind, output.shape[1] // group.width, group.width)


def turned(stage: Stage, host: Host) -> Stage:
    """Return a product whose columns fill vectors badly as the product of the transposed operands.

    Its rows must fill them better, and lie side by side in the left operand.
    """
    if not isinstance(stage, Group) or stage.product is None or stage.works or stage.others:
        return stage
    product = stage.product
    rows, columns = product.output.shape

    def filled(count: int) -> float:
        vector = host.vector // SIZES[product.output.kind]
        return count / (-(-count // vector) * vector)

    across = product.left.strides[0] == SIZES[product.left.kind]
    if not across or rows < columns or filled(columns) > _BADLY_FILLED * filled(rows):
        return stage
    right, left, output = (
        replace(x.shaped(x.shape[::-1], x.strides[::-1]), row=0) for x in (product.left, product.right, product.output)
    )
    return Group((columns,), rows, product=replace(product, left=left, right=right, output=output))


def by_columns(tile: Tile, rows: int) -> bool:
    """Whether threads share a product's columns: then each panel is laid out by one of them only."""
    return tile.panels > 1 and rows < tile.panels * tile.blocks * tile.vector * tile.lanes


def even_tiles(f: Function, first: Any, last: Any, most: int) -> Iterator[tuple[str | int, str, str | int]]:
    """Loop over tiles of rows, as few as can be, and of heights that differ by one at most: (row, height, number)."""
    count = f.let(f"sub i64 {last}, {first}")
    tiles = f.let(f"udiv i64 {f.add(count, most - 1)}, {most}")
    with f.loop(0, tiles) as number:
        start = f.let(f"udiv i64 {f.mul(number, count)}, {tiles}")
        stop = f.let(f"udiv i64 {f.mul(f.add(number, 1), count)}, {tiles}")
        yield f.add(start, first), f.let(f"sub i64 {stop}, {start}"), number


def _two(strides: Shape) -> tuple[int, int]:
    return strides[0], strides[1]


def write_kept(writer: StageWriter, f: Function, group: Group, packed: Sequence[int], keep_rows: bool) -> int:
    """Products in a loop, whose panels lie in the scratch memory already; return how many parts there are."""
    member = ProductWriter(writer, f, group)
    tile, rows = member.tile, member.product.left.shape[0]
    columns = not keep_rows and by_columns(tile, rows)
    tile_bytes = tile.rows * tile.row_bytes
    place = f.at("%scratch", writer.scratch.take(len(group.products) * tile_bytes))
    lefts = [base(f, product.left) for product in group.products]
    first, last = (0, rows) if columns else ("%from", "%to")
    with f.loop("%from", "%to") if columns else f.loop(0, tile.panels) as index:
        lengths = [product.left.shape[1] for product in group.products]
        panels = [
            f.at("%scratch", f.add(f.mul(index, length * tile.row_bytes), start))
            for length, start in zip(lengths, packed, strict=True)
        ]
        for row, height, _ in even_tiles(f, first, last, tile.rows):
            for number, product in enumerate(group.products):
                strides = product.left.strides
                a, c = f.at(lefts[number], f.mul(row, strides[0])), f.at(place, number * tile_bytes)
                f.do(
                    f"call void @{kernel(writer.module, tile)}(i64 {height}, ptr {a}, i64 {strides[0]},"
                    f" i64 {strides[1]}, ptr {panels[number]}, i64 {lengths[number]}, ptr {c}, i1 true)"
                )
            member.finish(row, height, index, place)
    return tile.panels if columns else rows


def write_batched(writer: StageWriter, f: Function, product: Product) -> int:
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
            for row, height, _ in even_tiles(f, 0, rows, tile.rows):
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
