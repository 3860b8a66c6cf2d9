"""Stages as functions: ``stage(buffers, scratch, t, turn, from, to)`` does a part of one, between two barriers."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

from tinyseq.compiler.lower.llvm import maths
from tinyseq.compiler.lower.llvm.access import Access, Shape
from tinyseq.compiler.lower.llvm.gemm import DEPTH, Tile, choose_tile, kernel, pack
from tinyseq.compiler.lower.llvm.grouping import Lane, lanes
from tinyseq.compiler.lower.llvm.host import Host
from tinyseq.compiler.lower.llvm.operations import write
from tinyseq.compiler.lower.llvm.stages import Gathering, Group, Normalization, Product, Reduction, Stage
from tinyseq.compiler.lower.llvm.text import IN_MEMORY, Function, Module
from tinyseq.compiler.lower.llvm.vectors import SIZES, Value, Vectors

PARAMETERS: Final = ["ptr %buffers", "ptr %scratch", "i64 %t", "i64 %turn", "i64 %from", "i64 %to"]
#: The first entry of the table of buffers: where a wrong index is noted.
STATUS: Final = 0
#: Bytes between neighbours on the contracted axis from which on they crowd in few lines of the first cache.
_FAR: Final = 512
#: Vectors that a sum over rows keeps side by side.
_SIDE_BY_SIDE: Final = 8


@dataclass
class Scratch:
    """A thread's own memory, handed out in pieces while code is written."""

    size: int = 0

    def take(self, size: int) -> int:
        start, self.size = self.size, self.size + -(-size // 64) * 64
        return start


@dataclass
class Writer:
    """Writes stages into a module."""

    host: Host
    module: Module
    scratch: Scratch = field(default_factory=Scratch)

    def stage(self, stage: Stage, name: str, keep_rows: bool, packed: int | None = None) -> int:
        """Write a stage as a function; return how many parts it can be split into."""
        f = self.module.function(name, PARAMETERS)
        match stage:
            case Group():
                parts = _GroupWriter(self, f, stage, packed).write(keep_rows)
            case Product():
                parts = _write_batched(self, f, stage)
            case Reduction():
                parts = _write_reduction(self, f, stage, keep_rows)
            case Normalization():
                parts = _write_normalization(self, f, stage)
            case Gathering():
                parts = _write_gathering(self, f, stage)
        f.do("ret void")
        return parts

    def lanes_of(self, kinds: list[str], width: int) -> int:
        """Elements of a vector: a full register of the widest float, less for narrow rows."""
        widest = max([SIZES[kind] for kind in kinds if kind in ("f4", "f8")], default=8)
        full = self.host.vector // widest
        return min(full, 1 << (width - 1).bit_length())


def base(f: Function, x: Access | Lane) -> str:
    """Return the address of an access's first element in this step and turn."""
    pointer = f.let(f"load ptr, ptr {f.at('%buffers', 8 * (x.slot + 1))}")
    offset: str | int = x.offset - (x.phase * x.flip if x.flip else 0)
    if x.step:
        offset = f.add(f.mul("%t", x.step), offset)
    if x.flip:
        turn = f.let("and i64 %turn, 1")
        turn = f.let(f"xor i64 {turn}, {x.phase}")
        offset = f.add(f.mul(turn, x.flip), offset)
    return f.at(pointer, offset)


def _moved(f: Function, pointer: str, indices: list[str | int], strides: Shape) -> str:
    total: str | int = 0
    for index, stride in zip(indices, strides, strict=True):
        total = f.add(total, f.mul(index, stride))
    return f.at(pointer, total)


class _GroupWriter:
    """Writes one group; a product's tile is computed first, then the applications on its rows."""

    def __init__(self, writer: Writer, f: Function, group: Group, packed: int | None) -> None:
        self.writer, self.f, self.group, self.packed = writer, f, group, packed
        kinds = [x.kind for w in group.works for x in (*w.operands, w.output) if isinstance(x, Access)]
        kinds += [w.kind for w in group.works] + ([group.product.output.kind] if group.product else [])
        self.tile: Tile | None = None
        if group.product:
            count = group.product.output.shape[1] // group.width
            self.tile = choose_tile(writer.host, group.product.output.kind, count, group.width)
        self.v = Vectors(f, self.tile.vector if self.tile else writer.lanes_of(kinds, group.width))
        self.stored = {lane.slot for w in group.works if w.stored for lane in lanes(w.output, group.width)}
        if group.product and group.product.stored:
            self.stored.add(group.product.output.slot)
        self.bases: dict[Lane, str] = {}

    def write(self, keep_rows: bool) -> int:
        group = self.group
        for lane in self.used():
            self.bases[lane] = base(self.f, lane)
        if group.product:
            return self.product(keep_rows)
        with ExitStack() as nest:
            indices = [nest.enter_context(self.f.loop("%from", "%to"))]
            indices += [nest.enter_context(self.f.loop(0, n)) for n in group.lead[1:]]
            rows = {lane: _moved(self.f, pointer, indices, lane.rows) for lane, pointer in self.bases.items()}
            whole, rest = divmod(group.width, self.v.width)
            fixed = self.fixed(rows)
            if whole:
                with self.f.loop(0, whole) as block:
                    self.element(rows, fixed, self.f.mul(block, self.v.width), None, None)
            if rest:
                self.element(rows, fixed, whole * self.v.width, rest, None)
        return group.lead[0]

    def used(self) -> list[Lane]:
        """Every lane that is read from or written to memory."""
        known: set[Lane] = set()
        found: dict[Lane, None] = {}
        if self.group.product:
            own = lanes(self.group.product.output, self.group.width)
            known.update(own)
            if self.group.product.stored:
                found.update(dict.fromkeys(own))
        for work in self.group.works:
            for x in work.operands:
                if isinstance(x, Access):
                    found.update(dict.fromkeys(lane for lane in lanes(x, self.group.width) if lane not in known))
            made = lanes(work.output, self.group.width)
            known.update(made)
            if work.stored:
                found.update(dict.fromkeys(made))
        return list(found)

    def fixed(self, rows: dict[Lane, str]) -> dict[Lane, Value]:
        """Load what is the same for all columns of a row, once."""
        return {
            lane: self.v.load(pointer, lane.kind, 0)
            for lane, pointer in rows.items()
            if lane.column == 0 and lane.slot not in self.stored
        }

    def element(
        self,
        rows: dict[Lane, str],
        fixed: dict[Lane, Value],
        column: str | int,
        count: int | None,
        made: dict[Lane, Value] | None,
    ) -> None:
        """Write all applications at one place: the vectors of every lane from ``column`` on."""
        values = {**fixed, **(made or {})}
        product = self.group.product
        if product and product.stored and made:
            for lane, value in made.items():
                self.store(rows, lane, value, column, count)
        for work in self.group.works:
            outputs = lanes(work.output, self.group.width)
            operands = [lanes(x, self.group.width) if isinstance(x, Access) else x for x in work.operands]
            for number, output in enumerate(outputs):
                arguments = []
                for x in operands:
                    if not isinstance(x, list):
                        arguments.append(self.v.const(work.kind if work.name != "where" or x is not operands[0] else "b1", x))
                        continue
                    lane = x[number if len(x) > 1 else 0]
                    if lane not in values:
                        place = self.f.at(rows[lane], self.f.mul(column, lane.column))
                        values[lane] = self.v.load(place, lane.kind, lane.column, count)
                    arguments.append(values[lane])
                result = write(self.v, work.name, work.kind, arguments, dict(work.attrs), output.kind)
                values[output] = result
                if work.stored:
                    self.store(rows, output, result, column, count)

    def store(self, rows: dict[Lane, str], lane: Lane, value: Value, column: str | int, count: int | None) -> None:
        self.v.store(value, self.f.at(rows[lane], self.f.mul(column, lane.column)), lane.column, count)

    # -- products ------------------------------------------------------------------------------------------------------

    def product(self, keep_rows: bool) -> int:
        """Write the product in pieces of the contracted axis, panels of columns, tiles of rows, from outside inwards.

        A loop's panels are laid out already and not cut. Where there are several pieces, tiles wait in memory between
        them, and a left operand that lies across is laid out too, once for all panels.
        """
        f, tile, product, scratch = self.f, self.tile, self.group.product, self.writer.scratch
        assert tile is not None and product is not None
        size, (rows, length) = SIZES[tile.kind], product.left.shape
        by_rows = keep_rows or rows >= tile.panels * tile.blocks * tile.vector * tile.lanes or tile.panels < 2
        first, last = ("%from", "%to") if by_rows else (0, rows)
        depth = length if self.packed is not None or length <= DEPTH + DEPTH // 2 else DEPTH
        pieces = -(-length // depth)
        across = pieces > 1 and product.left.strides[0] == size and product.left.strides[1] >= _FAR
        place = scratch.take((tile.panels * rows if pieces > 1 else tile.rows) * tile.row_bytes)
        room = scratch.take(depth * tile.row_bytes) if self.packed is None else 0
        turned = scratch.take(rows * depth * size + 64) if across else 0
        left, right = base(f, product.left), base(f, product.right)
        with f.loop(0, pieces) as piece:
            start = f.mul(piece, depth)
            here = f.at(left, f.mul(start, product.left.strides[1]))
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
                    lines = f.at(right, f.mul(start, product.right.strides[0]))
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
        f, tile, product = self.f, self.tile, self.group.product
        assert tile is not None and product is not None
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
        assert tile is not None
        rows = {lane: _moved(f, pointer, [row], lane.rows) for lane, pointer in self.bases.items()}
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
        tile, product = self.tile, self.group.product
        assert tile is not None and product is not None
        size = tile.vector * SIZES[tile.kind]
        found = {}
        for number, lane in enumerate(lanes(product.output, self.group.width)):
            here = self.f.at(place, self.f.mul(self.f.add(block, number * tile.blocks), size))
            found[lane] = self.v.load(here, tile.kind, SIZES[tile.kind])
        return found


def even_tiles(f: Function, first: Any, last: Any, most: int) -> Any:
    """Loop over tiles of rows: as few as can be, and of heights that differ by one at most."""
    count = f.let(f"sub i64 {last}, {first}")
    tiles = f.let(f"udiv i64 {f.add(count, most - 1)}, {most}")
    with f.loop(0, tiles) as number:
        start = f.let(f"udiv i64 {f.mul(number, count)}, {tiles}")
        stop = f.let(f"udiv i64 {f.mul(f.add(number, 1), count)}, {tiles}")
        yield f.add(start, first), f.let(f"sub i64 {stop}, {start}")


def _two(strides: Shape) -> tuple[int, int]:
    return strides[0], strides[1]


def _write_batched(writer: Writer, f: Function, product: Product) -> int:
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
            _moved(f, pointer, indices, x.strides[:-2])
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


def _write_reduction(writer: Writer, f: Function, stage: Reduction, keep_rows: bool) -> int:
    """Vectors along the last axis: summed at the end where it is reduced, side by side where it is kept."""
    x, out = stage.operand, stage.output
    axes = [i for i, n in enumerate(x.shape) if n > 1] or [len(x.shape) - 1][: len(x.shape)]
    shape, last = x.shape, (axes[-1] if axes else None)
    kept = [i for i in axes if not stage.reduced[i] and i != last]
    gone = [i for i in axes if stage.reduced[i] and i != last]
    width = shape[last] if last is not None else 1
    along = last is not None and stage.reduced[last]
    v = Vectors(f, writer.lanes_of([out.kind, x.kind], width))
    combine: Callable[[Value, Value], Value]
    if stage.name == "max":
        lowest: Any = -math.inf if out.kind in ("f4", "f8") else -(2**63 if out.kind == "i8" else 2**31)
        start = v.const(out.kind, lowest)
        combine = lambda a, b: _larger(v, a, b)  # noqa: E731
    else:
        start = v.const(out.kind, 0)
        combine = lambda a, b: v.op("fadd" if out.kind in ("f4", "f8") else "add", a, b)  # noqa: E731
    source, target = base(f, x), base(f, out)
    stride = x.strides[last] if last is not None and shape[last] > 1 else SIZES[x.kind]
    vector = v.type(out.kind)
    whole, rest = divmod(width, v.width)
    # In parts along the first axis that is kept; a loop's rows are axis 0 even where it has one element.
    by_first = bool(kept)
    by_column = not by_first and not along and not keep_rows and last is not None
    parts = shape[kept[0]] if by_first else -(-width // v.width) if by_column else 1

    def add(total: str, place: str, count: Any) -> None:
        value = v.cast(v.load(place, x.kind, stride, count), out.kind)
        if count is not None and stage.name == "max":
            value = v.select(Value(v.mask(count).split("> ", 1)[1], "b1"), value, start)
        before = Value(f.let(f"load {vector}, ptr {total}"), out.kind)
        f.do(f"store {vector} {combine(before, value).name}, ptr {total}")

    with ExitStack() as nest:
        if not by_first and not by_column:
            nest.enter_context(f.loop("%from", "%to"))
        outer = [nest.enter_context(f.loop(*(("%from", "%to") if n == 0 else (0, shape[i])))) for n, i in enumerate(kept)]
        here = _moved(f, source, outer, tuple(x.strides[i] for i in kept))
        there = _moved(f, target, outer, tuple(out.strides[i] for i in kept))
        total = f.variable(vector)
        if along or last is None:
            f.do(f"store {vector} {start.name}, ptr {total}")
            with ExitStack() as inner:
                indices = [inner.enter_context(f.loop(0, shape[i])) for i in gone]
                line = _moved(f, here, indices, tuple(x.strides[i] for i in gone))
                if whole:
                    with f.loop(0, whole) as block:
                        add(total, f.at(line, f.mul(block, stride * v.width)), None)
                if rest:
                    add(total, f.at(line, whole * v.width * stride), rest)
            result = Value(f.let(f"load {vector}, ptr {total}"), out.kind)
            scalar = _across(v, result, combine)
            _store_scalar(f, scalar, out.kind, there)
        else:
            _sum_columns(f, v, stage, combine, start, (here, there), kept, gone, by_column)
    return parts


def _sum_columns(
    f: Function, v: Vectors, stage: Reduction, combine: Callable[[Value, Value], Value], start: Value,
    places: tuple[str, str], kept: list[int], gone: list[int], by_column: bool,
) -> None:  # fmt: skip
    """Reduce over rows: some vectors of the last axis side by side, so that a row is read in long stretches."""
    x, out = stage.operand, stage.output
    here, there = places
    last = max(i for i, n in enumerate(x.shape) if n > 1)
    width = x.shape[last]
    blocks = -(-width // v.width)
    vector = v.type(out.kind)
    steps = x.strides[last], out.strides[last]
    totals = [f.variable(vector) for _ in range(min(_SIDE_BY_SIDE, blocks))]

    def some(block: Any, several: list[str]) -> None:
        for total in several:
            f.do(f"store {vector} {start.name}, ptr {total}")
        columns = [f.mul(f.add(block, number), v.width) for number in range(len(several))]
        counts = [f.let(f"sub i64 {width}, {column}") if width % v.width else None for column in columns]
        with ExitStack() as inner:
            indices = [inner.enter_context(f.loop(0, x.shape[i])) for i in gone]
            line = _moved(f, here, indices, tuple(x.strides[i] for i in gone))
            for total, column, count in zip(several, columns, counts, strict=True):
                value = v.cast(v.load(f.at(line, f.mul(column, steps[0])), x.kind, steps[0], count), out.kind)
                before = Value(f.let(f"load {vector}, ptr {total}"), out.kind)
                f.do(f"store {vector} {combine(before, value).name}, ptr {total}")
        for total, column, count in zip(several, columns, counts, strict=True):
            result = Value(f.let(f"load {vector}, ptr {total}"), out.kind)
            v.store(result, f.at(there, f.mul(column, steps[1])), steps[1], count)

    begin, end = ("%from", "%to") if by_column else (0, blocks)
    count = f.let(f"sub i64 {end}, {begin}")
    rounds = f.let(f"udiv i64 {count}, {len(totals)}")
    with f.loop(0, rounds) as number:
        some(f.add(begin, f.mul(number, len(totals))), totals)
    with f.loop(f.add(begin, f.mul(rounds, len(totals))), end) as block:
        some(block, totals[:1])


def _larger(v: Vectors, a: Value, b: Value) -> Value:
    chosen = v.select(v.compare("ge", a, b), a, b)
    return v.select(v.compare("unordered", a, a), a, chosen) if a.kind in ("f4", "f8") else chosen


def _across(v: Vectors, x: Value, combine: Callable[[Value, Value], Value]) -> str:
    """Combine a vector's elements, halves first; return the scalar."""
    of, width = v.type(x.kind), v.width
    while width > 1:
        width //= 2
        order = ", ".join(f"i32 {i + width if i < width else 0}" for i in range(v.width))
        other = Value(v.f.let(f"shufflevector {of} {x.name}, {of} poison, <{v.width} x i32> <{order}>"), x.kind)
        x = combine(x, other)
    return v.f.let(f"extractelement {of} {x.name}, i64 0")


def _store_scalar(f: Function, scalar: str, kind: str, place: str) -> None:
    f.do(f"store {IN_MEMORY[kind]} {scalar}, ptr {place}, align {SIZES[kind]}")


def _write_normalization(writer: Writer, f: Function, stage: Normalization) -> int:
    """Row by row: the largest element, the sum of exp(x - largest), then the results."""
    x, out = stage.operand, stage.output
    lead, width, kind = x.shape[:-1] or (1,), x.shape[-1], x.kind
    v = Vectors(f, writer.lanes_of([kind], width))
    vector = v.type(kind)
    whole, rest = divmod(width, v.width)
    source, target = base(f, x), base(f, out)
    stride = x.strides[-1] if width > 1 else SIZES[kind]
    total = f.variable(vector)
    lowest = v.const(kind, -math.inf)

    def over(line: str, body: Callable[[Value, Any, Any], None]) -> None:
        if whole:
            with f.loop(0, whole) as block:
                body(v.load(f.at(line, f.mul(block, stride * v.width)), kind, stride), f.mul(block, v.width), None)
        if rest:
            column = whole * v.width
            value = v.load(f.at(line, column * stride), kind, stride, rest)
            mask = Value(v.mask(rest).split("> ", 1)[1], "b1")
            body(v.select(mask, value, lowest), column, rest)

    def gather(combine: Callable[[Value, Value], Value], value: Value) -> None:
        before = Value(f.let(f"load {vector}, ptr {total}"), kind)
        f.do(f"store {vector} {combine(before, value).name}, ptr {total}")

    def finished(combine: Callable[[Value, Value], Value]) -> Value:
        return v.splat(_across(v, Value(f.let(f"load {vector}, ptr {total}"), kind), combine), kind)

    with ExitStack() as nest:
        indices = [nest.enter_context(f.loop("%from", "%to"))]
        indices += [nest.enter_context(f.loop(0, n)) for n in lead[1:]]
        strides = x.strides[:-1] or (0,)
        line = _moved(f, source, indices, strides)
        there = _moved(f, target, indices, out.strides[:-1] or (0,))
        f.do(f"store {vector} {lowest.name}, ptr {total}")
        over(line, lambda value, column, count: gather(lambda a, b: _larger(v, a, b), value))
        peak = finished(lambda a, b: _larger(v, a, b))
        if stage.name == "logsumexp":
            finite = v.compare("lt", v.intrinsic("fabs", peak), v.const(kind, math.inf))
            peak = v.select(finite, peak, v.const(kind, 0.0))
        f.do(f"store {vector} zeroinitializer, ptr {total}")

        def powers(value: Value, column: Any, count: Any) -> None:
            power = maths.exp(v, v.fsub(value, peak))
            if count is not None:  # -inf - -inf is no number
                mask = Value(v.mask(count).split("> ", 1)[1], "b1")
                power = v.select(mask, power, v.const(kind, 0.0))
            gather(v.fadd, power)
            if stage.name == "softmax":
                v.store(power, f.at(there, f.mul(column, out_stride)), out_stride, count)

        out_stride = out.strides[-1] if out.shape[-1] > 1 else SIZES[kind]
        over(line, powers)
        scale = finished(v.fadd)
        if stage.name == "logsumexp":
            result = v.fadd(maths.log(v, scale), peak)
            _store_scalar(f, f.let(f"extractelement {vector} {result.name}, i64 0"), kind, there)
        elif stage.name == "log_softmax":
            shift = maths.log(v, scale)
            over(
                line,
                lambda value, column, count: v.store(
                    v.fsub(v.fsub(value, peak), shift), f.at(there, f.mul(column, out_stride)), out_stride, count
                ),
            )
        else:
            if whole:
                with f.loop(0, whole) as block:
                    place = f.at(there, f.mul(block, out_stride * v.width))
                    v.store(v.fdiv(v.load(place, kind, out_stride), scale), place, out_stride)
            if rest:
                place = f.at(there, whole * v.width * out_stride)
                v.store(v.fdiv(v.load(place, kind, out_stride, rest), scale), place, out_stride, rest)
    return lead[0]


def _write_gathering(writer: Writer, f: Function, stage: Gathering) -> int:
    """Element by element of the index arrays; a wrong index is noted, and takes the first element instead."""
    whole, part, before = stage.whole, stage.part, stage.before
    count = len(stage.arrays)
    shape = stage.arrays[0].shape
    extents = whole.shape[before : before + count]
    kind = whole.kind
    after = whole.shape[before + count :]
    width = after[-1] if after else 1
    v = Vectors(f, writer.lanes_of([kind], width))
    sources = [base(f, x) for x in (whole, part)]
    tables = [base(f, x) for x in stage.arrays]
    status = f.let("load ptr, ptr %buffers")
    with ExitStack() as nest:
        first: list[Any] = []
        # With add, two elements of the indices may meet in one place: one thread does them all, in order.
        space = [*whole.shape[:before], *shape]
        split = not stage.add and bool(space)
        if not split:
            nest.enter_context(f.loop("%from", "%to"))
        if stage.add:
            _fill_zero(writer, f, whole)
        first = [nest.enter_context(f.loop(*(("%from", "%to") if split and n == 0 else (0, m)))) for n, m in enumerate(space)]
        place = _moved(f, sources[0], first[:before], whole.strides[:before])
        for array, table, extent, stride in zip(
            stage.arrays, tables, extents, whole.strides[before : before + count], strict=True
        ):
            entry = _moved(f, table, first[before:], array.strides)
            index = f.let(f"load {IN_MEMORY[array.kind]}, ptr {entry}, align {SIZES[array.kind]}")
            if array.kind == "i4":
                index = f.let(f"sext i32 {index} to i64")
            negative = f.let(f"icmp slt i64 {index}, 0")
            index = f.let(f"select i1 {negative}, i64 {f.let(f'add i64 {index}, {extent}')}, i64 {index}")
            right = f.let(f"icmp ult i64 {index}, {extent}")
            with f.when(f.let(f"xor i1 {right}, true")):
                f.do(f"store i64 1, ptr {status}")
            index = f.let(f"select i1 {right}, i64 {index}, i64 0")
            place = f.at(place, f.mul(index, stride))
        strides = part.strides
        other = _moved(f, sources[1], first, strides[: len(first)])
        inner = [nest.enter_context(f.loop(0, n)) for n in after[:-1]]
        place = _moved(f, place, inner, whole.strides[before + count :][: len(inner)])
        other = _moved(f, other, inner, strides[len(first) :][: len(inner)])
        steps = [x.strides[-1] if after and width > 1 else SIZES[kind] for x in (whole, part)]
        blocks, rest = divmod(width, v.width)

        def move(column: Any, limit: int | None) -> None:
            a, b = f.at(place, f.mul(column, steps[0])), f.at(other, f.mul(column, steps[1]))
            if stage.add:
                total = v.fadd(v.load(a, kind, steps[0], limit), v.load(b, kind, steps[1], limit))
                v.store(total, a, steps[0], limit)
            else:
                v.store(v.load(a, kind, steps[0], limit), b, steps[1], limit)

        if blocks:
            with f.loop(0, blocks) as block:
                move(f.mul(block, v.width), None)
        if rest:
            move(blocks * v.width, rest)
    return space[0] if split else 1


def _fill_zero(writer: Writer, f: Function, x: Access) -> None:
    width = x.shape[-1] if x.shape else 1
    v = Vectors(f, writer.lanes_of([x.kind], width))
    pointer = base(f, x)
    with ExitStack() as nest:
        indices = [nest.enter_context(f.loop(0, n)) for n in x.shape[:-1]]
        line = _moved(f, pointer, indices, x.strides[:-1])
        stride = x.strides[-1] if width > 1 else SIZES[x.kind]
        with f.loop(0, -(-width // v.width)) as block:
            column = f.mul(block, v.width)
            count = f.let(f"sub i64 {width}, {column}") if width % v.width else None
            v.store(v.const(x.kind, 0), f.at(line, f.mul(column, stride)), stride, count)
