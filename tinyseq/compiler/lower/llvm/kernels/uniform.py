"""Random numbers: Philox4x32-10 on vectors of elements, the same numbers as every backend draws."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from tinyseq.backends.philox import MULTIPLIERS, WEYL, WORD
from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm.ir.builder import IN_MEMORY, Function
from tinyseq.compiler.lower.llvm.ir.context import StageWriter, base, moved
from tinyseq.compiler.lower.llvm.ir.vectors import Value, Vectors
from tinyseq.compiler.lower.stages import Draw


def write_draw(writer: StageWriter, f: Function, stage: Draw) -> int:
    """Each element computes its block of four words and takes its own: any part of them can be drawn anywhere."""
    out = stage.output
    lead, width = out.shape[:-1] or (1,), out.shape[-1] if out.shape else 1
    v = Vectors(f, writer.lanes_of([out.kind], width))
    call, step = _integer(f, v, stage.call), _integer(f, v, stage.step)
    target = base(f, out)
    whole, rest = divmod(width, v.width)
    stride = out.strides[-1] if width > 1 else SIZES[out.kind]
    with ExitStack() as nest:
        indices: list[str | int] = [nest.enter_context(f.loop("%from", "%to"))]
        indices += [nest.enter_context(f.loop(0, n)) for n in lead[1:]]
        line = moved(f, target, indices, out.strides[:-1] or (0,))
        row: str | int = 0
        for index, extent in zip(indices, lead, strict=True):
            row = f.add(f.mul(row, extent), index)
        start = f.mul(row, width)

        def some(column: str | int, count: int | None) -> None:
            first = v.splat(str(f.add(start, column)), "i8")
            numbers = _uniform(v, stage, first, call, step)
            v.store(numbers, f.at(line, f.mul(column, stride)), stride, count)

        if whole:
            with f.loop(0, whole) as block:
                some(f.mul(block, v.width), None)
        if rest:
            some(whole * v.width, rest)
    return lead[0]


def _integer(f: Function, v: Vectors, x: Any) -> Value:
    if not isinstance(x, Access):
        return v.const("i8", int(x) & WORD)
    element = IN_MEMORY[x.kind]
    loaded = f.let(f"load {element}, ptr {base(f, x)}, align {SIZES[x.kind]}")
    wide = loaded if element == "i64" else f.let(f"sext {element} {loaded} to i64")
    return v.splat(f.let(f"and i64 {wide}, {WORD}"), "i8")


def _uniform(v: Vectors, stage: Draw, first: Value, call: Value, step: Value) -> Value:
    index = v.op("add", first, Value(v.iota(), "i8"))
    word, half = v.const("i8", WORD), v.const("i8", 32)
    c0, c1, c2 = v.op("and", v.op("lshr", index, v.const("i8", 2)), word), step, call
    c3 = v.const("i8", stage.site & WORD)
    k0, k1 = stage.seed & WORD, (stage.seed >> 32) & WORD
    for _ in range(10):
        a = v.op("mul", c0, v.const("i8", MULTIPLIERS[0]))
        b = v.op("mul", c2, v.const("i8", MULTIPLIERS[1]))
        c0 = v.op("xor", v.op("xor", v.op("lshr", b, half), c1), v.const("i8", k0))
        c2 = v.op("xor", v.op("xor", v.op("lshr", a, half), c3), v.const("i8", k1))
        c1, c3 = v.op("and", b, word), v.op("and", a, word)
        k0, k1 = (k0 + WEYL[0]) & WORD, (k1 + WEYL[1]) & WORD
    place = v.op("and", index, v.const("i8", 3))
    bits = c3
    for number, candidate in ((2, c2), (1, c1), (0, c0)):
        bits = v.select(v.compare("eq", place, v.const("i8", number)), candidate, bits)
    kind = stage.output.kind
    return v.fmul(v.cast(v.op("lshr", bits, v.const("i8", 8)), kind), v.const(kind, 2.0**-24))
