"""Many arrays into a plan's memory, or out of it, by one kernel.

Copied one by one, the weights of a small model keep the host busy for longer than its step keeps the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from tinyseq.compiler.lower.cupy.writing import BLOCK, Kernel

NAME: Final = "copy"
#: Arrays of one launch, and the blocks that copy each.
_ROWS, _PARTS = 16, 32
_ROW: Final = "char* from{0}, char* to{0}, char* words{0}"
_CASE: Final = "case {0}: from = (int*)from{0}; to = (int*)to{0}; words = (long long)words{0}; break;"
#: What else travels as an address does: how many words of four bytes an array has.
TEXT: Final = f"""
extern "C" __global__ void {NAME}({", ".join(map(_ROW.format, range(_ROWS)))}, int t, int turn) {{
  const int *from = 0;
  int *to = 0;
  long long words = 0;
  switch (blockIdx.x / {_PARTS}) {{
    {" ".join(map(_CASE.format, range(_ROWS)))}
  }}
  for (long long i = blockIdx.x % {_PARTS} * {BLOCK} + threadIdx.x; i < words; i += {_PARTS * BLOCK}) to[i] = from[i];
}}
"""


class Copy(NamedTuple):
    """Where an array lies, where it goes, and how many bytes it has."""

    source: int
    target: int
    nbytes: int


def launches(copies: Sequence[Copy]) -> Iterator[tuple[Kernel, list[int]]]:
    """Yield the launches that make copies, each with its kernel's parameters."""
    for first in range(0, len(copies), _ROWS):
        some = copies[first : first + _ROWS]
        given = [x for copy in some for x in (copy.source, copy.target, copy.nbytes // 4)]
        yield Kernel(TEXT, (), len(some) * _PARTS * BLOCK), given + [0] * (3 * _ROWS - len(given))


def can_copy(array: Any) -> bool:
    """Whether an array is a stretch of words of four bytes."""
    return bool(array.dtype.itemsize >= 4 and array.nbytes > 0 and array.flags.c_contiguous)
