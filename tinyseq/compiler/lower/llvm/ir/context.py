"""What writers of stages share: the module, the scratch memory, addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tinyseq.compiler.lower.access import Access, Shape
from tinyseq.compiler.lower.grouping import Lane
from tinyseq.compiler.lower.kinds import SIZES
from tinyseq.compiler.lower.llvm.ir.builder import Function, IRModule
from tinyseq.compiler.lower.llvm.runtime.host import Host

#: Of a stage's function: the step and the turn in a loop, and which parts of the stage are to be done.
PARAMETERS: Final = ["ptr %buffers", "ptr %scratch", "i64 %t", "i64 %turn", "i64 %from", "i64 %to"]


@dataclass
class Scratch:
    """A thread's own memory, handed out in pieces while code is written."""

    size: int = 0

    def take(self, size: int) -> int:
        start, self.size = self.size, self.size + -(-size // 64) * 64
        return start


@dataclass
class StageWriter:
    """Where stages are written to, and for what machine."""

    host: Host
    module: IRModule
    scratch: Scratch = field(default_factory=Scratch)

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


def note_wrong(f: Function) -> None:
    """Write into the status word that something was refused; what, is found out without hurry."""
    f.do(f"store atomic i64 1, ptr {f.let('load ptr, ptr %buffers')} monotonic, align 8")


def moved(f: Function, pointer: str, indices: list[str | int], strides: Shape) -> str:
    """Return the address of the element at some indices."""
    total: str | int = 0
    for index, stride in zip(indices, strides, strict=True):
        total = f.add(total, f.mul(index, stride))
    return f.at(pointer, total)
