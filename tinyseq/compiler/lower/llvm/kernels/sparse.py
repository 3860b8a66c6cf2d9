"""Products by matrices of which most entries are 0."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm.ir.builder import Function
from tinyseq.compiler.lower.llvm.ir.context import base, moved, note_wrong
from tinyseq.compiler.lower.llvm.ir.vectors import Value, Vectors
from tinyseq.compiler.lower.stages import SparseProduct


def write_sparse_product(f: Function, stage: SparseProduct) -> int:
    """Row by row, column by column, entry by entry; an index that is none is noted, and its entry passed over."""
    left, values, output, turned = stage.left, stage.values, stage.output, stage.turned
    v = Vectors(f, 1)
    kind, of = output.kind, v.type(output.kind)
    entries, columns, rows = values.shape[0], stage.starts.shape[0] - 1, (output if turned else left).shape[-1]
    sources = [base(f, x) for x in (left, output)]
    table, weights, starts = (base(f, x) for x in (stage.indices, values, stage.starts))

    def whole(pointer: str, place: Any, stride: int) -> str:
        return f.let(f"load i64, ptr {f.at(pointer, f.mul(place, stride))}, align 8")

    with ExitStack() as nest:
        lead = output.shape[:-1]
        indices: list[Any] = [
            nest.enter_context(f.loop(*(("%from", "%to") if n == 0 else (0, m)))) for n, m in enumerate(lead)
        ]
        x, y = (
            moved(f, pointer, indices, access.strides[:-1])
            for pointer, access in zip(sources, (left, output), strict=True)
        )
        x_step, y_step = left.strides[-1], output.strides[-1] or SIZES[kind]
        if turned:
            with f.loop(0, rows) as i:
                v.store(v.const(kind, 0), f.at(y, f.mul(i, y_step)), SIZES[kind])
        total = f.variable(of)
        with f.loop(0, columns) as j:
            first, last = whole(starts, j, stage.starts.strides[0]), whole(starts, f.add(j, 1), stage.starts.strides[0])
            good = f.let(f"icmp ule i64 {last}, {entries}")
            good = f.let(f"and i1 {good}, {f.let(f'icmp ule i64 {first}, {entries}')}")
            with f.when(f.let(f"xor i1 {good}, true")):
                note_wrong(f)
            last = f.let(f"select i1 {good}, i64 {last}, i64 {first}")
            scale = v.load(f.at(x, f.mul(j, x_step)), kind, 0) if turned else None
            f.do(f"store {of} {v.const(kind, 0).name}, ptr {total}")
            with f.loop(first, last) as entry:
                i = whole(table, entry, stage.indices.strides[0])
                inside = f.let(f"icmp ult i64 {i}, {rows}")
                with f.when(f.let(f"xor i1 {inside}, true")):
                    note_wrong(f)
                i = f.let(f"select i1 {inside}, i64 {i}, i64 0")
                weight = v.load(f.at(weights, f.mul(entry, values.strides[0])), kind, 0)
                if scale is None:
                    before = Value(f.let(f"load {of}, ptr {total}"), kind)
                    after = v.fma(v.load(f.at(x, f.mul(i, x_step)), kind, 0), weight, before)
                    f.do(f"store {of} {after.name}, ptr {total}")
                else:
                    place = f.at(y, f.mul(i, y_step))
                    v.store(v.fma(scale, weight, v.load(place, kind, 0)), place, SIZES[kind])
            if not turned:
                v.store(Value(f.let(f"load {of}, ptr {total}"), kind), f.at(y, f.mul(j, y_step)), SIZES[kind])
    return output.shape[0]
