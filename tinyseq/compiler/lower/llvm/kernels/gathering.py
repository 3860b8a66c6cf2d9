"""Indexing with arrays of integers, and its transpose."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm.ir.builder import IN_MEMORY, Function
from tinyseq.compiler.lower.llvm.ir.context import StageWriter, base, moved, note_wrong
from tinyseq.compiler.lower.llvm.ir.vectors import Vectors
from tinyseq.compiler.lower.stages import Gathering


def write_gathering(writer: StageWriter, f: Function, stage: Gathering) -> int:
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
    with ExitStack() as nest:
        first: list[Any] = []
        # With add, two elements of the indices may meet in one place: one thread does them all, in order.
        space = [*whole.shape[:before], *shape]
        split = not stage.add and bool(space)
        if not split:
            nest.enter_context(f.loop("%from", "%to"))
        if stage.add:
            _fill_zero(writer, f, whole)
        first = [
            nest.enter_context(f.loop(*(("%from", "%to") if split and n == 0 else (0, m)))) for n, m in enumerate(space)
        ]
        place = moved(f, sources[0], first[:before], whole.strides[:before])
        for array, table, extent, stride in zip(
            stage.arrays, tables, extents, whole.strides[before : before + count], strict=True
        ):
            entry = moved(f, table, first[before:], array.strides)
            index = f.let(f"load {IN_MEMORY[array.kind]}, ptr {entry}, align {SIZES[array.kind]}")
            if array.kind == "i4":
                index = f.let(f"sext i32 {index} to i64")
            negative = f.let(f"icmp slt i64 {index}, 0")
            index = f.let(f"select i1 {negative}, i64 {f.let(f'add i64 {index}, {extent}')}, i64 {index}")
            right = f.let(f"icmp ult i64 {index}, {extent}")
            with f.when(f.let(f"xor i1 {right}, true")):
                note_wrong(f)
            index = f.let(f"select i1 {right}, i64 {index}, i64 0")
            place = f.at(place, f.mul(index, stride))
        strides = part.strides
        other = moved(f, sources[1], first, strides[: len(first)])
        inner = [nest.enter_context(f.loop(0, n)) for n in after[:-1]]
        place = moved(f, place, inner, whole.strides[before + count :][: len(inner)])
        other = moved(f, other, inner, strides[len(first) :][: len(inner)])
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


def _fill_zero(writer: StageWriter, f: Function, x: Access) -> None:
    width = x.shape[-1] if x.shape else 1
    v = Vectors(f, writer.lanes_of([x.kind], width))
    pointer = base(f, x)
    with ExitStack() as nest:
        indices = [nest.enter_context(f.loop(0, n)) for n in x.shape[:-1]]
        line = moved(f, pointer, indices, x.strides[:-1])
        stride = x.strides[-1] if width > 1 else SIZES[x.kind]
        with f.loop(0, -(-width // v.width)) as block:
            column = f.mul(block, v.width)
            count = f.let(f"sub i64 {width}, {column}") if width % v.width else None
            v.store(v.const(x.kind, 0), f.at(line, f.mul(column, stride)), stride, count)
