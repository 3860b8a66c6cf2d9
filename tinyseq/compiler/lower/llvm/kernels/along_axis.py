"""What goes along one axis and looks at every element in turn: cumulative sums, the places of extremes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.kinds import FLOATS, SIZES
from tinyseq.compiler.lower.llvm.ir.builder import Function
from tinyseq.compiler.lower.llvm.ir.context import StageWriter, base, moved
from tinyseq.compiler.lower.llvm.ir.vectors import Value, Vectors
from tinyseq.compiler.lower.llvm.kernels.reducing import across, extreme, store_scalar
from tinyseq.compiler.lower.stages import Cumulation, ReductionStage

#: Op -> how the element that it looks for compares with the others.
PLACES: Final = {"argmax": "ge", "argmin": "le"}


@contextmanager
def _lines(f: Function, x: Access, out: Access, axis: int) -> Iterator[tuple[str, str]]:
    """Write loops over the other axes, the first of them in parts; give where x's and the output's elements begin."""
    kept = [i for i in range(len(x.shape)) if i != axis]
    source, target = base(f, x), base(f, out)
    with ExitStack() as nest:
        if not kept:
            nest.enter_context(f.loop("%from", "%to"))
        indices: list[Any] = [
            nest.enter_context(f.loop(*(("%from", "%to") if n == 0 else (0, x.shape[i])))) for n, i in enumerate(kept)
        ]
        yield (
            moved(f, source, indices, tuple(x.strides[i] for i in kept)),
            moved(f, target, indices, tuple(out.strides[i] for i in kept)),
        )


def _parts(x: Access, axis: int) -> int:
    return next((n for i, n in enumerate(x.shape) if i != axis), 1)


def write_cumulation(f: Function, stage: Cumulation) -> int:
    """One element after the other, as NumPy adds them."""
    x, out, axis = stage.operand, stage.output, stage.axis
    v = Vectors(f, 1)
    vector = v.type(out.kind)
    floats = out.kind in FLOATS
    with _lines(f, x, out, axis) as (here, there):
        total = f.variable(vector)
        f.do(f"store {vector} {v.const(out.kind, -0.0 if floats else 0).name}, ptr {total}")  # -0.0 + x is x
        with f.loop(0, x.shape[axis]) as i:
            value = v.cast(v.load(f.at(here, f.mul(i, x.strides[axis])), x.kind, 0), out.kind)
            before = Value(f.let(f"load {vector}, ptr {total}"), out.kind)
            after = v.op("fadd" if floats else "add", before, value)
            f.do(f"store {vector} {after.name}, ptr {total}")
            v.store(after, f.at(there, f.mul(i, out.strides[axis])), SIZES[out.kind])
    return _parts(x, axis)


def write_place(writer: StageWriter, f: Function, stage: ReductionStage) -> int:
    """The extreme first, then the first place where it is; of NaN the first one's."""
    x, axis = stage.operand, stage.reduced.index(True)
    how, length, stride = PLACES[stage.name], x.shape[axis], x.strides[axis]
    kind = "i4" if x.kind == "b1" else x.kind
    v = Vectors(f, writer.lanes_of([kind], length))
    top: Any = math.inf if kind in FLOATS else 2**63 - 1 if kind == "i8" else 2**31 - 1
    start = v.const(kind, -top - (kind not in FLOATS) if how == "ge" else top)
    nowhere = v.const("i8", length)

    def along(line: str, first: Value, of: Callable[[Value, Any], Value], combine: Callable[..., Value]) -> str:
        """Combine what ``of`` makes of the elements and their first place; return the scalar."""
        vector, total = v.type(first.kind), f.variable(v.type(first.kind))

        def add(column: Any, count: int | None) -> None:
            value = of(v.cast(v.load(f.at(line, f.mul(column, stride)), x.kind, stride, count), kind), column)
            if count is not None:
                value = v.select(Value(v.mask(count).split("> ", 1)[1], "b1"), value, first)
            before = Value(f.let(f"load {vector}, ptr {total}"), first.kind)
            f.do(f"store {vector} {combine(before, value).name}, ptr {total}")

        f.do(f"store {vector} {first.name}, ptr {total}")
        whole, rest = divmod(length, v.width)
        if whole:
            with f.loop(0, whole) as block:
                add(f.mul(block, v.width), None)
        if rest:
            add(whole * v.width, rest)
        return across(v, Value(f.let(f"load {vector}, ptr {total}"), first.kind), combine)

    def there(value: Value, column: Any) -> Value:
        hit = v.compare("eq", value, peak)
        if kind in FLOATS:  # where there is a NaN, it is the extreme
            hit = v.op("or", hit, v.compare("unordered", value, value))
        place = v.op("add", v.splat(str(column), "i8"), Value(v.iota(), "i8"))
        return v.select(hit, place, nowhere)

    with _lines(f, x, stage.output, axis) as (line, target):
        peak = v.splat(along(line, start, lambda value, column: value, lambda a, b: extreme(v, a, b, how)), kind)
        place = along(line, nowhere, there, lambda a, b: extreme(v, a, b, "le"))
        store_scalar(f, place, "i8", target)
    return _parts(x, axis)
