"""Lifetimes: from which instruction to which a buffer is needed, and which buffers may share memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinyseq.compiler.plan import Buffer, Instruction, Loop


def mark_lifetimes(instructions: Sequence[Instruction], kept: Iterable[Buffer], given: Iterable[Buffer]) -> None:
    """Number the instructions, those in loops each on its own, and note where each buffer is first and last used."""
    position = 0

    def touch(buffer: Buffer, first: int, last: int) -> None:
        buffer.first = first if buffer.first < 0 else min(buffer.first, first)
        buffer.last = max(buffer.last, last)

    for instruction in instructions:
        if isinstance(instruction, Loop):
            start, end = position, position + len(instruction.body)
            for offset, inner in enumerate(instruction.body):
                for ref in inner.refs():
                    # A value that one step makes and another reads must outlive the loop; others only their step.
                    local = ref.buffer.kind == "temp" and ref.step == "" and _made_in(ref.buffer, instruction)
                    touch(ref.buffer, start + offset if local else start, start + offset if local else end)
            position = end + 1
        else:
            for ref in instruction.refs():
                touch(ref.buffer, position, position)
            position += 1
    for buffer in given:
        buffer.first, buffer.last = 0, position
    for buffer in kept:
        buffer.last = position


def _made_in(buffer: Buffer, loop: Loop) -> bool:
    return any(inner.output.buffer is buffer for inner in loop.body)


def share_slots(buffers: Sequence[Buffer]) -> None:
    """Let a buffer use the memory of one of the same size whose last reader has come before (linear scan)."""
    free: list[tuple[int, int, int]] = []  # (nbytes, last use, slot)
    slots = 0
    for buffer in sorted(buffers, key=lambda b: b.first):
        if buffer.kind == "input":
            buffer.slot, slots = slots, slots + 1
            continue
        fitting = [entry for entry in free if entry[1] < buffer.first and entry[0] == buffer.nbytes]
        if fitting:
            entry = max(fitting, key=lambda e: e[1])
            free.remove(entry)
            buffer.slot = entry[2]
        else:
            buffer.slot, slots = slots, slots + 1
        free.append((buffer.nbytes, buffer.last, buffer.slot))
