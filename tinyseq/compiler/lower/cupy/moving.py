"""New values of a plan's inputs, such as a step's weights: one kernel takes them all out, one brings them back in.

Copied one by one, they would keep the host busy for longer than a small step keeps the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinyseq.backends.base import Array
from tinyseq.compiler.lower.cupy.kernels import BLOCK, Kernel
from tinyseq.graph import Leaf

NAME = "move"
#: Blocks that copy one array.
_PARTS = 32
#: Where an array may begin in the memory that all of them leave in.
_ALIGNMENT = 256
#: A row of the table: where the input lies, where the output lies, its offset outside, how many words it has.
TEXT = f"""
extern "C" __global__ void {NAME}(const long long* table, char* memory, int inwards, int turn) {{
  const long long* row = table + 4 * (blockIdx.x / {_PARTS});
  int* inside = (int*)row[inwards ? 0 : 1];
  int* outside = (int*)(memory + row[2]);
  for (long long i = blockIdx.x % {_PARTS} * {BLOCK} + threadIdx.x; i < row[3]; i += {_PARTS * BLOCK}) {{
    if (inwards) inside[i] = outside[i]; else outside[i] = inside[i];
  }}
}}
"""


class Moving:
    """What has left a plan's memory last, and how it comes back.

    The arrays that leave are views of one fresh stretch of memory, which nobody writes to afterwards. A call that is
    given one of them again, as the next step is, copies from there.

    Args:
        updates: which outputs are new values of which inputs.
        inputs: the inputs' arrays, in the plan's memory.
        outputs: the outputs' arrays there; numbers among them do not count.
        backend: where these are.
        address: where an array begins.
        launch: (kernel, addresses, inwards) -> launches the kernel.
    """

    def __init__(
        self,
        updates: Mapping[int, Leaf],
        inputs: Mapping[Leaf, Array],
        outputs: list[Any],
        backend: Any,
        address: Callable[[Array], int],
        launch: Callable[[Kernel, list[int], int], None],
    ) -> None:
        self.backend, self.address, self.launch = backend, address, launch
        self.moved = {
            i: leaf
            for i, leaf in updates.items()
            if isinstance(outputs[i], backend.array_type) and all(map(_is_whole, (inputs[leaf], outputs[i])))
        }
        self.outputs = {i: outputs[i] for i in self.moved}
        self.offsets: dict[int, int] = {}
        self.size = 0
        for i, x in self.outputs.items():
            self.offsets[i] = self.size
            self.size += -(-x.nbytes // _ALIGNMENT) * _ALIGNMENT
        rows = [
            (address(inputs[leaf]), address(outputs[i]), self.offsets[i], outputs[i].nbytes // 4)
            for i, leaf in self.moved.items()
        ]
        self.kernel = Kernel(TEXT, (), len(rows) * _PARTS * BLOCK)
        self.table = backend.from_host(np.array(rows, np.int64)) if rows else None
        self.memory: Array = None
        self.left: dict[Leaf, Array] = {}

    def take(self) -> dict[int, Array]:
        """Return fresh arrays of the outputs that are new values."""
        if self.table is None:
            return {}
        self.memory = self.backend.xp.empty(self.size, self.backend.xp.uint8)
        self._move(0)
        found = {
            i: self.backend.view(self.memory, self.offsets[i], x.shape, x.strides, x.dtype)
            for i, x in self.outputs.items()
        }
        self.left = {leaf: found[i] for i, leaf in self.moved.items()}
        return found

    def give(self, values: Mapping[Leaf, Array]) -> Mapping[Leaf, Array]:
        """Bring in those of the values that have left last; return the others."""
        same = {leaf for leaf, array in self.left.items() if values.get(leaf) is array}
        if not same:
            return values
        self._move(1)
        return {leaf: value for leaf, value in values.items() if leaf not in same}

    def _move(self, inwards: int) -> None:
        self.launch(self.kernel, [self.address(self.table), self.address(self.memory)], inwards)


def _is_whole(x: Array) -> bool:
    """Whether an array is a stretch of words of four bytes."""
    return bool(x.flags.c_contiguous) and x.nbytes > 0 and x.nbytes % 4 == 0
