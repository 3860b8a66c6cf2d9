"""What a CUDA kernel is, and the writer that gathers its statements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tinyseq.compiler.lower.access import Access, Shape
from tinyseq.compiler.lower.cupy.operations import TYPES, literal
from tinyseq.compiler.lower.grouping import Lane, lanes
from tinyseq.compiler.lower.stages import Work

#: Threads of a block.
BLOCK: Final = 256
#: Stands in ``Kernel.slots`` for the memory of partial results.
SCRATCH: Final = -1


@dataclass(frozen=True)
class Kernel:
    """One kernel: its text with ``NAME`` in the place of its name, what memory it takes, and how many threads.

    Its parameters are the addresses of ``slots``, then the time step and the turn of the loop around it.
    """

    text: str
    slots: tuple[int, ...]
    count: int
    scratch: int = 0
    #: Threads of a block, and the blocks that wait for each other (a cluster).
    block: int = BLOCK
    cluster: int = 1
    #: Bytes of shared memory that a launch asks for.
    shared: int = 0
    #: What the module says before, beyond the operations.
    prelude: str = ""

    @property
    def blocks(self) -> int:
        return -(-self.count // (self.block * self.cluster)) * self.cluster


class KernelWriter:
    """Gathers the statements of one kernel and the slots that they touch."""

    def __init__(self, count: int, accesses: Sequence[Access], terms: int = 0) -> None:
        """Begin a kernel of ``count`` threads, each of which may count up to ``terms``."""
        self.count = count
        self.slots: set[int] = set()
        # Threads count in 32 bits where they can, for 64 bits divide slowly; a step's place is added in 64.
        reach = max((abs(end) + abs(x.flip) for x in accesses for end in x.span), default=0)
        self.index = "int" if max(reach, count, terms) < 2**30 else "long long"
        self.lines: list[str] = []
        self.names = 0

    def let(self, kind: str, text: str) -> str:
        """Write a value into a register and return its name."""
        name = f"v{self.names}"
        self.names += 1
        self.lines.append(f"const {kind} {name} = {text};")
        return name

    def axes(self, flat: str, shape: Shape) -> list[str]:
        """Take a flat index apart into one an axis, the last axis fastest."""
        indices: list[str] = []
        for extent in reversed(shape):
            indices.append("0" if extent == 1 else self.let(self.index, f"{flat} % {extent}"))
            if extent > 1:
                flat = self.let(self.index, f"{flat} / {extent}")
        return indices[::-1]

    def address(self, x: Access | Lane, indices: Sequence[str], strides: Shape) -> str:
        """Return the element of an access (or lane) at some indices, to be read or written."""
        self.slots.add(x.slot)
        phase = x.phase * x.flip
        terms = ["scratch" if x.slot == SCRATCH else f"s{x.slot}", str(x.offset - phase)]
        if x.step:
            terms.append(f"(long long)t * {x.step}")
        if x.flip:
            terms.append(f"((turn & 1) ^ {x.phase}) * {x.flip}")
        terms += [f"{i} * {s}" for i, s in zip(indices, strides, strict=True) if s and i != "0"]
        return f"*({TYPES[x.kind]}*)({' + '.join(terms)})"

    def operand(self, x: Any, kind: str, indices: Sequence[str]) -> str:
        return self.address(x, indices, x.strides) if isinstance(x, Access) else literal(kind, x)

    def kernel(self, scratch: int = 0, whole_blocks: bool = False) -> Kernel:
        """Return the kernel; with ``whole_blocks`` no thread leaves early, for they wait for each other."""
        slots = (*sorted(self.slots - {SCRATCH}), *([SCRATCH] if scratch else []))
        parameters = ", ".join([*(f"char* s{n}" if n >= 0 else "char* scratch" for n in slots), "int t", "int turn"])
        body = "\n  ".join(self.lines)
        place = f"const {self.index} i = ({self.index})blockIdx.x * {BLOCK} + threadIdx.x;"
        head = "const int q = threadIdx.x;" if whole_blocks else f"{place}\n  if (i >= {self.count}) return;"
        text = f'extern "C" __global__ void NAME({parameters}) {{\n  {head}\n  {body}\n}}\n'
        return Kernel(text, slots, self.count, scratch)


def operand(x: Any, number: int, width: int, work: Work, read: Callable[[int, Lane], str]) -> tuple[str, str]:
    """Return the text and the kind of an operand for an application's lane of some number.

    ``read`` gives the text of a buffer's lane.
    """
    if isinstance(x, Access):
        own = lanes(x, width)
        return read(x.buffer, own[number if len(own) > 1 else 0]), x.kind
    kind = "b1" if isinstance(x, bool) else work.kind
    return literal(kind, x), kind
