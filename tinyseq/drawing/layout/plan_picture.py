"""A plan as a picture: instructions from top to bottom, and beside them the buffers, as bars from first to last use.

A column is a slot, so buffers that use the same memory one after another stand in one column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tinyseq.compiler.plan import Buffer, Loop, Plan, Ref
from tinyseq.drawing.shared.labels import details, dtype_text, shape_text
from tinyseq.drawing.shared.scene import Box, Frame, Mark, Scene, Text
from tinyseq.drawing.shared.text import clean, plural, width
from tinyseq.drawing.shared.view import Details, Edge, Item, Kind, View

_ROW, _BAR, _GAP, _TOP = 18.0, 34.0, 4.0, 76.0
_INPUT = 12.0
#: More rows than this are no picture; the rest is told in a note.
_MOST_ROWS = 400
_KINDS: dict[str, Kind] = {"input": "input buffer", "state": "state buffer", "stack": "stack buffer"}
_WHAT = {
    "input": "an input: given by the caller, kept until the end",
    "state": "a state: what one step leaves to the next",
    "stack": "one value for each step, kept for what comes after the loop",
    "temp": "a value in between",
}


@dataclass(slots=True)
class _Rows:
    """Which instruction stands in which row, and how far down each position of the plan is."""

    rows: list[tuple[int, Any]] = field(default_factory=list)  # (position, instruction)
    y: dict[int, float] = field(default_factory=dict)
    loops: list[tuple[Loop, float, float]] = field(default_factory=list)
    bottom: float = _TOP

    def add(self, position: int, instruction: Any) -> None:
        self.rows.append((position, instruction))
        self.y[position] = self.bottom + _ROW / 2
        self.bottom += _ROW


def draw_plan(plan: Plan, title: str = "") -> tuple[View, Scene]:
    """Return the view model of a plan and its picture."""
    rows = _rows(plan)
    shown = rows.rows[:_MOST_ROWS]
    count = len(rows.rows)
    notes = [
        f"{plural(count, 'instruction')}, {plural(len(plan.buffers), 'buffer')} in "
        f"{plural(len(plan.slots()), 'slot')}, "
        f"{plan.memory:,} bytes; a column is a slot, ■ writes, ○ reads"
    ]
    if count > len(shown):
        notes.append(f"the first {len(shown)} of {count} instructions shown")
        rows.bottom = rows.y[shown[-1][0]] + _ROW / 2
    ids = {id(buffer): number for number, buffer in enumerate(plan.buffers)}
    items = [_buffer(buffer, number) for number, buffer in enumerate(plan.buffers)]
    edges: list[Edge] = []
    for row, (_, instruction) in enumerate(shown):
        number = len(plan.buffers) + row
        items.append(_instruction(instruction, number))
        reads, writes = _refs(instruction)
        edges += [Edge(ids[id(buffer)], number, "reads") for buffer in reads]
        edges += [Edge(number, ids[id(buffer)], "writes") for buffer in writes]
    view = View(title, "plan", tuple(items), tuple(edges), (), (), (), tuple(notes), len(shown))
    return view, _scene(view, plan, rows, shown)


def _rows(plan: Plan) -> _Rows:
    rows = _Rows()
    position = 0
    for instruction in plan.instructions:
        if not isinstance(instruction, Loop):
            rows.add(position, instruction)
            position += 1
            continue
        start = rows.bottom
        rows.bottom += _ROW  # for the loop's own line
        for inner in instruction.body:
            rows.add(position, inner)
            position += 1
        rows.y[position] = rows.bottom - _ROW / 2  # where the loop ends is a position too, without a row
        position += 1
        rows.loops.append((instruction, start + 1, rows.bottom + 3))
        rows.bottom += _GAP + 2
    rows.y[position] = rows.bottom - _ROW / 2
    return rows


def _refs(instruction: Any) -> tuple[list[Buffer], list[Buffer]]:
    """The buffers that an instruction reads and writes."""
    writes = [instruction.output.buffer]
    operands = instruction.inputs if hasattr(instruction, "inputs") else [instruction.source]
    reads = [ref.buffer for ref in operands if isinstance(ref, Ref)]
    return list(dict.fromkeys(reads)), writes


def _instruction(instruction: Any, number: int) -> Item:
    node = getattr(instruction, "node", None)
    known = Details(op="copy", formula="y = x") if node is None else details(node)
    text = str(instruction)
    return Item(number, "instruction", text, "", (), known, known.scope, known.step)


def _buffer(buffer: Buffer, number: int) -> Item:
    more = (
        ("what", _WHAT.get(buffer.kind, buffer.kind)),
        ("bytes", f"{buffer.nbytes:,}"),
        ("slot", str(buffer.slot)),
        ("alive", f"instructions {buffer.first} to {buffer.last}"),
    )
    known = Details(shape=shape_text(buffer.shape), dtype=dtype_text(buffer.dtype), more=more)
    return Item(number, _KINDS.get(buffer.kind, "buffer"), buffer.label, _size(buffer.nbytes), (), known)


def _size(nbytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} GB"


def _scene(view: View, plan: Plan, rows: _Rows, shown: list[tuple[int, Any]]) -> Scene:
    left = 80.0 if plan.forward < len(plan.instructions) else 30.0
    wide = max((width(clean(str(instruction), 60), 11) for _, instruction in shown), default=80.0) + 20
    boxes: list[Box] = []
    first = len(plan.buffers)
    for row, (position, _) in enumerate(shown):
        boxes.append(Box(view.items[first + row], left + wide / 2, rows.y[position], wide, _ROW - 3))
    columns = dict(_columns(plan, left + wide + 24))
    marks: list[Mark] = []
    for number, buffer in enumerate(plan.buffers):
        top, bottom = rows.y.get(buffer.first), rows.y.get(buffer.last, rows.bottom)
        if top is None or top > rows.bottom:
            continue
        top, bottom = top - _ROW / 2 + 1, min(bottom + _ROW / 2 - 1, rows.bottom)
        size = _BAR - 4 if buffer.kind != "input" else _INPUT
        boxes.append(Box(view.items[number], columns[buffer.slot], (top + bottom) / 2, size, bottom - top))
    for position, instruction in shown:
        for role, buffers in zip(("read", "write"), _refs(instruction), strict=True):
            for buffer in buffers:  # to the left of the buffer's name
                x = columns[buffer.slot] - (0 if buffer.kind == "input" else _BAR / 2 - 9)
                marks.append(Mark(role, x, rows.y[position]))
    frames = [
        Frame(clean(str(loop), 60), left - 12, top, wide + 24, bottom - top, number, 0)
        for number, (loop, top, bottom) in enumerate(rows.loops)
        if top < rows.bottom
    ]
    texts = [
        Text("instructions", left, _TOP - 20, 12, "step", "start"),
        Text("buffers", min(columns.values(), default=left) - 10, _TOP - 20, 12, "step", "start"),
    ]
    if plan.forward < len(plan.instructions) and rows.rows:
        texts += _backward_line(plan, rows, left, wide)
    texts += [
        Text(note, 16, rows.bottom + 34 + 15 * number, 11, "note", "start") for number, note in enumerate(view.notes)
    ]
    right = max([*columns.values(), left + wide]) + 30
    right = max([right, *(16 + width(note, 11) for note in view.notes)])
    return Scene(view, boxes, [], frames, [], texts, right, rows.bottom + 54 + 15 * len(view.notes), marks=marks)


def _columns(plan: Plan, x: float) -> Iterator[tuple[int, float]]:
    """Where each slot stands: the inputs' first, narrow, then the others in the order of first use."""
    slots: dict[int, Buffer] = {}
    for buffer in sorted(plan.buffers, key=lambda buffer: (buffer.kind != "input", buffer.first)):
        slots.setdefault(buffer.slot, buffer)
    for slot, buffer in slots.items():
        wide = _INPUT + 8 if buffer.kind == "input" else _BAR + _GAP
        yield slot, x + wide / 2
        x += wide


def _backward_line(plan: Plan, rows: _Rows, left: float, wide: float) -> list[Text]:
    """Say where the backward pass begins."""
    position = sum(
        len(instruction.body) + 1 if isinstance(instruction, Loop) else 1
        for instruction in plan.instructions[: plan.forward]
    )
    if position not in rows.y:
        return []
    return [Text("backward ▸", left - 4, rows.y[position] + 4, 10, "note", "end")]
