"""The proof that a plan's buffers may share memory: it is run with the history of each byte in the place of its value.

Each byte remembers which buffer was written there last, and in which turn of the loop. An instruction may read only
what its own buffer was given, and only what is new enough: a value made within a step, from the same step; one that is
carried, from the step before. Outside of loops no place of a buffer is written twice. What is handed out must be there
by then: results where the forward part ends, gradients where the plan ends. Nothing here knows how the planner chose;
it sees what a kernel would see.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tinyseq.compiler.plan import Buffer, Call, Copy, Instruction, Loop, Plan, Ref
from tinyseq.errors import GraphError
from tinyseq.ops.elementwise import Elementwise

_BEFORE = -1  # the turn of what was written outside of the loop at hand


def verify_plan(plan: Plan) -> Plan:
    """Check that no live value is overwritten and nothing is read before it is written; return the plan itself.

    Raises:
        GraphError: an instruction reads memory that holds something else, or writes over what it still reads or another
            has written; an output is not there when it is handed out.
    """
    _Memory(plan).run()
    return plan


class _Memory:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        starts, size = {}, 0
        for slot, extent in plan.slots().items():
            starts[slot], size = size, size + extent
        self.addresses = {id(b): _elements(b, starts[b.slot]) for b in plan.buffers}
        self.numbers = {id(b): number for number, b in enumerate(plan.buffers)}
        self.owner = np.full(size, -1)
        self.turn = np.full(size, _BEFORE)

    def run(self) -> None:
        for ref in self.plan.inputs.values():
            self.write(ref, _BEFORE, 0)
        plan, returned = self.plan, self.plan.returned
        self.part(plan.instructions[: plan.forward])
        self.hand_out(plan.outputs[:returned], "an output, where the forward part ends")
        self.part(plan.instructions[plan.forward :])
        self.hand_out(plan.outputs[returned:], "a gradient, where the plan ends")

    def part(self, instructions: Sequence[Instruction]) -> None:
        for instruction in instructions:
            if isinstance(instruction, Loop):
                self.loop(instruction)
            else:
                self.step(instruction, set(), _BEFORE, 0)

    def hand_out(self, outputs: Sequence[Ref], what: str) -> None:
        for output in outputs:
            self.read(output, set(), _BEFORE, 0, what)

    def loop(self, loop: Loop) -> None:
        self.turn[:] = _BEFORE
        made = {id(inner.output.buffer) for inner in loop.body}
        for count, t in enumerate(loop.steps()):
            for inner in loop.body:
                self.step(inner, made, count, t)
        self.turn[:] = _BEFORE

    def step(self, instruction: Call | Copy, made: set[int], count: int, t: int) -> None:
        out = self.at(instruction.output, count, t)
        for ref in _reads(instruction):
            place = self.read(ref, made, count, t, str(instruction))
            same = ref.dtype == instruction.output.dtype and np.array_equal(place, out)
            in_turn = same and isinstance(instruction, Call) and isinstance(instruction.node.op, Elementwise)
            if not in_turn and _overlap(_bytes(place, ref), _bytes(out, instruction.output)):
                raise GraphError("a plan's instruction writes over what it reads", got=str(instruction))
        if np.unique(out).size != out.size:
            raise GraphError("a plan's instruction writes twice to one place", got=str(instruction))
        if count == _BEFORE and np.any(self.owner[_bytes(out, instruction.output)] == self.number(instruction.output)):
            raise GraphError("a plan's instruction overwrites another's result", got=str(instruction))
        self.write(instruction.output, count, t)

    def number(self, ref: Ref) -> int:
        return self.numbers[id(ref.buffer)]

    def at(self, ref: Ref, count: int, t: int) -> Any:
        return ref.resolve(self.addresses[id(ref.buffer)], max(count, 0), t)

    def write(self, ref: Ref, count: int, t: int) -> None:
        place = _bytes(self.at(ref, count, t), ref)
        self.owner[place], self.turn[place] = self.number(ref), count

    def read(self, ref: Ref, made: set[int], count: int, t: int, reader: str) -> Any:
        elements = self.at(ref, count, t)
        place = _bytes(elements, ref)
        if np.any(self.owner[place] != self.number(ref)):
            held = [self.plan.buffers[n].label if n >= 0 else "nothing" for n in np.unique(self.owner[place])]
            raise GraphError(
                f"a plan reads {ref} where another value lies",
                required=ref.buffer.label,
                got=", ".join(held),
                where=f"{reader}, step {t}",
            )
        # Steps of a longer buffer are written once each; what has one place, or two in turn, must be of the right turn.
        if id(ref.buffer) in made and ref.step != "t":
            turns = np.unique(self.turn[place])
            wanted = {count} if ref.step == "" or ref.offset == 1 else {count - 1}
            if not set(turns.tolist()) <= wanted:
                raise GraphError(
                    f"a plan reads {ref} of another step",
                    required=f"written in turn {wanted.pop()}",
                    got=str(turns.tolist()),
                    where=f"{reader}, step {t}",
                )
        return elements


def _reads(instruction: Call | Copy) -> Iterator[Ref]:
    operands = [instruction.source] if isinstance(instruction, Copy) else instruction.inputs
    return (x for x in operands if isinstance(x, Ref))


def _elements(buffer: Buffer, start: int) -> Any:
    """The address of each of a buffer's elements."""
    count = buffer.nbytes // buffer.dtype.itemsize
    return buffer.lay(start + buffer.dtype.itemsize * np.arange(count))


def _bytes(elements: Any, ref: Ref) -> Any:
    return (np.ravel(elements)[:, np.newaxis] + np.arange(ref.buffer.dtype.itemsize)).ravel()


def _overlap(a: Any, b: Any) -> bool:
    # Most values lie in stretches of their own: only where these meet are bytes compared one by one.
    if not a.size or not b.size or a.max() < b.min() or b.max() < a.min():
        return False
    return bool(np.intersect1d(a, b).size)
