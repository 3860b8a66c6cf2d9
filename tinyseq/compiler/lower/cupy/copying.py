"""Many small arrays into a plan's memory, or out of it, by one kernel.

Copied one by one, the weights of a small model keep the host busy for longer than its step keeps the device. Large
arrays are left to the driver, whose copies are as fast as memory, and take longer than their launch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from tinyseq.compiler.lower.cupy.writing import BLOCK, Kernel

NAME: Final = "copy"
#: Arrays of one launch, the blocks that copy each, and the bytes that such an array has at most.
_ROWS, _PARTS, _MOST = 24, 16, 1 << 20
_OUTSIDE: Final = ", ".join(f"char* o{i}" for i in range(_ROWS))
_CASE: Final = "case {0}: outside = o{0}; break;"
#: A row of the table is an array's place in the plan's memory, and its bytes; who is outside at 0 is not copied.
TEXT: Final = f"""
extern "C" __global__ void {NAME}(const long long* table, {_OUTSIDE}, int t, int turn) {{
  const int number = blockIdx.x / {_PARTS};
  char* outside = 0;
  switch (number) {{ {" ".join(map(_CASE.format, range(_ROWS)))} }}
  if (!outside) return;
  char* inside = (char*)table[2 * number];
  const char* from = t ? outside : inside;
  char* to = t ? inside : outside;
  const long long bytes = table[2 * number + 1], first = blockIdx.x % {_PARTS} * {BLOCK} + threadIdx.x;
  if (((long long)from | (long long)to | bytes) % 16 == 0) {{
    struct alignas(16) Four {{ int at[4]; }};
    for (long long i = first; i < bytes / 16; i += {_PARTS * BLOCK}) ((Four*)to)[i] = ((const Four*)from)[i];
  }} else {{
    for (long long i = first; i < bytes / 4; i += {_PARTS * BLOCK}) ((int*)to)[i] = ((const int*)from)[i];
  }}
}}
"""


class Copies:
    """Some arrays of a plan, and how others are copied to where they are, or they to others.

    Args:
        inside: the arrays, by what they are called.
        backend: where these are.
        address: where an array begins.
        launch: (kernel, addresses, inwards) -> launches the kernel.
    """

    def __init__(
        self,
        inside: Mapping[Any, Any],
        backend: Any,
        address: Callable[[Any], int],
        launch: Callable[[Kernel, list[int], int], None],
    ) -> None:
        self.address, self.launch, self.kind = address, launch, backend.array_type
        self.inside = {key: x for key, x in inside.items() if isinstance(x, self.kind) and _fits(x)}
        rows = np.array([(address(x), x.nbytes) for x in self.inside.values()], np.int64).reshape(-1, 2)
        self.tables = [backend.from_host(rows[i : i + _ROWS]) for i in range(0, len(rows), _ROWS)]

    def copy(self, outside: Mapping[Any, Any], inwards: bool) -> set[Any]:
        """Copy arrays in or out, as far as the kernel can; return the names of those that are copied."""
        addresses: list[int] = []
        done = set()
        for key, x in self.inside.items():
            y = outside.get(key)
            fits = isinstance(y, self.kind) and y.dtype == x.dtype and y.shape == x.shape and y.flags.c_contiguous
            addresses.append(self.address(y) if fits else 0)
            if fits:
                done.add(key)
        for table, first in zip(self.tables, range(0, len(addresses), _ROWS), strict=True):
            some = addresses[first : first + _ROWS]
            if any(some):
                kernel = Kernel(TEXT, (), len(some) * _PARTS * BLOCK)
                self.launch(kernel, [self.address(table), *some, *[0] * (_ROWS - len(some))], int(inwards))
        return done


def _fits(x: Any) -> bool:
    """Whether an array is one stretch of words of four bytes, and not a large one."""
    return bool(x.dtype.itemsize >= 4 and 0 < x.nbytes <= _MOST and x.flags.c_contiguous)
