"""Groups: every application at one place, vector by vector, what one gives another kept in registers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any

from tinyseq.compiler.lower.access import Access
from tinyseq.compiler.lower.grouping import Lane, lanes
from tinyseq.compiler.lower.llvm.ir.builder import Function
from tinyseq.compiler.lower.llvm.ir.context import StageWriter, base, moved, note_wrong
from tinyseq.compiler.lower.llvm.ir.operations import write
from tinyseq.compiler.lower.llvm.ir.vectors import Value, Vectors
from tinyseq.compiler.lower.stages import Group


class GroupWriter:
    """Writes one group into its function."""

    def __init__(self, writer: StageWriter, f: Function, group: Group) -> None:
        self.writer, self.f, self.group = writer, f, group
        self.v = Vectors(f, self.vector())
        self.stored = {work.output.slot for work in group.made if work.stored}
        #: The address of each lane's first element.
        self.bases = {lane: base(f, lane) for lane in self.used()}

    def vector(self) -> int:
        """Elements of a vector."""
        kinds = [x.kind for w in self.group.works for x in (*w.operands, w.output) if isinstance(x, Access)]
        return self.writer.lanes_of(kinds + [w.kind for w in self.group.works], self.group.width)

    def write(self) -> int:
        """Write the group, in parts along its first axis; return how many there are."""
        with ExitStack() as nest:
            indices = [nest.enter_context(self.f.loop("%from", "%to"))]
            indices += [nest.enter_context(self.f.loop(0, n)) for n in self.group.lead[1:]]
            rows = self.rows(indices)
            whole, rest = divmod(self.group.width, self.v.width)
            fixed = self.fixed(rows)
            if whole:
                with self.f.loop(0, whole) as block:
                    self.element(rows, fixed, self.f.mul(block, self.v.width), None)
            if rest:
                self.element(rows, fixed, whole * self.v.width, rest)
        return self.group.lead[0]

    def rows(self, indices: list[str | int]) -> dict[Lane, str]:
        """Return the address of each lane in the row at some indices."""
        return {lane: moved(self.f, pointer, indices, lane.rows) for lane, pointer in self.bases.items()}

    def used(self) -> list[Lane]:
        """Every lane that is read from or written to memory."""
        known: set[Lane] = set()
        lanes_read: dict[Lane, None] = {}
        for product in self.group.products:
            own = lanes(product.output, self.group.width)
            known.update(own)
            if product.stored:
                lanes_read.update(dict.fromkeys(own))
        for work in self.group.works:
            for x in work.operands:
                if isinstance(x, Access):
                    lanes_read.update(dict.fromkeys(lane for lane in lanes(x, self.group.width) if lane not in known))
            made = lanes(work.output, self.group.width)
            known.update(made)
            if work.stored:
                lanes_read.update(dict.fromkeys(made))
        return list(lanes_read)

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
        made: Mapping[Lane, Value] = MappingProxyType({}),
    ) -> None:
        """Write all applications at one place: the vectors of every lane from ``column`` on.

        ``count`` says how many of their elements there are, where not all; ``made`` are the values of products there.
        """
        values = {**fixed, **made}
        if self.group.product and self.group.product.stored:
            for lane, value in made.items():
                self.store(rows, lane, value, column, count)
        for work in self.group.works:
            outputs = lanes(work.output, self.group.width)
            operands = [lanes(x, self.group.width) if isinstance(x, Access) else x for x in work.operands]
            for number, output in enumerate(outputs):
                arguments = []
                for x in operands:
                    if not isinstance(x, list):
                        arguments.append(self.v.const("b1" if isinstance(x, bool) else work.kind, x))
                        continue
                    lane = x[number if len(x) > 1 else 0]
                    if lane not in values:
                        place = self.f.at(rows[lane], self.f.mul(column, lane.column))
                        values[lane] = self.v.load(place, lane.kind, lane.column, count)
                    arguments.append(values[lane])
                if work.name == "within":
                    self.check(arguments[0], dict(work.attrs), count)
                result = write(self.v, work.name, work.kind, arguments, dict(work.attrs), output.kind)
                values[output] = result
                if work.stored:
                    self.store(rows, output, result, column, count)

    def check(self, x: Value, bounds: Mapping[str, Any], count: int | None) -> None:
        """Note where some of the elements there are lie outside their bounds."""
        v = self.v
        low, high = (v.const(x.kind, bounds[name]) for name in ("low", "high"))
        right = v.op("and", v.compare("ge", x, low), v.compare("le", x, high))
        if bounds["allowed"] is not None:
            right = v.op("or", right, v.compare("eq", x, v.const(x.kind, bounds["allowed"])))
        if count is not None:
            right = v.select(Value(v.mask(count).split("> ", 1)[1], "b1"), right, v.const("b1", 1))
        bits = self.f.let(f"bitcast {v.type('b1')} {right.name} to i{v.width}")
        with self.f.when(self.f.let(f"icmp ne i{v.width} {bits}, -1")):
            note_wrong(self.f)

    def store(self, rows: dict[Lane, str], lane: Lane, value: Value, column: str | int, count: int | None) -> None:
        self.v.store(value, self.f.at(rows[lane], self.f.mul(column, lane.column)), lane.column, count)
