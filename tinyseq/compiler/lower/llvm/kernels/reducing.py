"""Reductions: sums and maxima over axes, softmax and its logarithm along rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm.ir import maths
from tinyseq.compiler.lower.llvm.ir.builder import IN_MEMORY, Function
from tinyseq.compiler.lower.llvm.ir.context import StageWriter, base, moved
from tinyseq.compiler.lower.llvm.ir.vectors import Value, Vectors
from tinyseq.compiler.lower.stages import Normalization, ReductionStage

#: Vectors that a sum over rows keeps side by side.
_SIDE_BY_SIDE: Final = 8


def write_reduction(writer: StageWriter, f: Function, stage: ReductionStage, keep_rows: bool) -> int:
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
    if stage.name in ("max", "min"):
        top: Any = math.inf if out.kind in ("f4", "f8") else 2**63 - 1 if out.kind == "i8" else 2**31 - 1
        start = v.const(out.kind, -top - (out.kind in ("i4", "i8")) if stage.name == "max" else top)
        combine = lambda a, b: extreme(v, a, b, "ge" if stage.name == "max" else "le")  # noqa: E731
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
        if count is not None:  # what is beyond the end counts for nothing, whatever was read there
            value = v.select(Value(v.mask(count).split("> ", 1)[1], "b1"), value, start)
        before = Value(f.let(f"load {vector}, ptr {total}"), out.kind)
        f.do(f"store {vector} {combine(before, value).name}, ptr {total}")

    with ExitStack() as nest:
        if not by_first and not by_column:
            nest.enter_context(f.loop("%from", "%to"))
        outer = [
            nest.enter_context(f.loop(*(("%from", "%to") if n == 0 else (0, shape[i])))) for n, i in enumerate(kept)
        ]
        here = moved(f, source, outer, tuple(x.strides[i] for i in kept))
        there = moved(f, target, outer, tuple(out.strides[i] for i in kept))
        total = f.variable(vector)
        if along or last is None:
            f.do(f"store {vector} {start.name}, ptr {total}")
            with ExitStack() as inner:
                indices = [inner.enter_context(f.loop(0, shape[i])) for i in gone]
                line = moved(f, here, indices, tuple(x.strides[i] for i in gone))
                if whole:
                    with f.loop(0, whole) as block:
                        add(total, f.at(line, f.mul(block, stride * v.width)), None)
                if rest:
                    add(total, f.at(line, whole * v.width * stride), rest)
            result = Value(f.let(f"load {vector}, ptr {total}"), out.kind)
            scalar = across(v, result, combine)
            store_scalar(f, scalar, out.kind, there)
        else:
            _sum_columns(f, v, stage, combine, start, (here, there), last, gone, by_column)
    return parts


def _sum_columns(
    f: Function, v: Vectors, stage: ReductionStage, combine: Callable[[Value, Value], Value], start: Value,
    places: tuple[str, str], last: int, gone: list[int], by_column: bool,
) -> None:  # fmt: skip
    """Reduce over rows: some vectors of the last axis side by side, so that a row is read in long stretches."""
    x, out = stage.operand, stage.output
    here, there = places
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
            line = moved(f, here, indices, tuple(x.strides[i] for i in gone))
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


def extreme(v: Vectors, a: Value, b: Value, how: str) -> Value:
    """The one that is larger or smaller; NaN where one is."""
    chosen = v.select(v.compare(how, a, b), a, b)
    return v.select(v.compare("unordered", a, a), a, chosen) if a.kind in ("f4", "f8") else chosen


def across(v: Vectors, x: Value, combine: Callable[[Value, Value], Value]) -> str:
    """Combine a vector's elements, halves first; return the scalar."""
    of, width = v.type(x.kind), v.width
    while width > 1:
        width //= 2
        order = ", ".join(f"i32 {i + width if i < width else 0}" for i in range(v.width))
        other = Value(v.f.let(f"shufflevector {of} {x.name}, {of} poison, <{v.width} x i32> <{order}>"), x.kind)
        x = combine(x, other)
    return v.f.let(f"extractelement {of} {x.name}, i64 0")


def store_scalar(f: Function, scalar: str, kind: str, place: str) -> None:
    f.do(f"store {IN_MEMORY[kind]} {scalar}, ptr {place}, align {SIZES[kind]}")


def write_normalization(writer: StageWriter, f: Function, stage: Normalization) -> int:
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
        return v.splat(across(v, Value(f.let(f"load {vector}, ptr {total}"), kind), combine), kind)

    with ExitStack() as nest:
        indices = [nest.enter_context(f.loop("%from", "%to"))]
        indices += [nest.enter_context(f.loop(0, n)) for n in lead[1:]]
        strides = x.strides[:-1] or (0,)
        line = moved(f, source, indices, strides)
        there = moved(f, target, indices, out.strides[:-1] or (0,))
        f.do(f"store {vector} {lowest.name}, ptr {total}")
        over(line, lambda value, column, count: gather(lambda a, b: extreme(v, a, b, "ge"), value))
        peak = finished(lambda a, b: extreme(v, a, b, "ge"))
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
            store_scalar(f, f.let(f"extractelement {vector} {result.name}, i64 0"), kind, there)
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
