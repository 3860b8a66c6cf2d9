"""The lowering for any array module: a plan's instructions, each by its op's own kernel, on views of buffers.

It is plain rather than fast: what a backend with kernels of its own has none for runs like this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tinyseq import backends
from tinyseq.backends.base import Array
from tinyseq.compiler.lower.access import Access, Ghosts
from tinyseq.compiler.lower.giving import fitting, require_count, told
from tinyseq.compiler.plan import Call, Copy, Instruction, Loop, Operand, Plan, Ref
from tinyseq.graph import Leaf


class Executable:
    """A plan bound to a backend's arrays: ``forward`` takes the inputs, ``backward`` the gradients from above.

    To change how it runs, override ``compute`` (an instruction at one step), ``do`` (an instruction, a loop whole), or
    ``run_forward`` and ``run_backward`` (all of them).
    """

    #: The backend whose arrays these are.
    on: ClassVar[str]
    #: Each has memory of its own, on the device.
    slab: None = None

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.backend = backends.load(self.on)
        self.memory = {slot: self.backend.allocate(max(size, 1)) for slot, size in plan.slots().items()}
        self.ghosts = Ghosts(plan.buffers)
        self.inputs = {leaf: self.at(ref) for leaf, ref in plan.inputs.items()}
        self.leaves = list(plan.inputs)
        self.outputs = [self.at(x) for x in plan.outputs]

    def at(self, x: Operand, count: int = 0, t: int = 0) -> Any:
        """Return the array that a view of a buffer is, in turn ``count`` and at step ``t`` of a loop around it."""
        if not isinstance(x, Ref):
            return x
        access = self.ghosts.access(x)
        # Of no elements there is no first one: its place may be behind the end.
        offset = place(access, count, t) if all(access.shape) else 0
        return self.backend.view(self.memory[access.slot], offset, access.shape, access.strides, x.dtype)

    def do(self, instruction: Instruction) -> None:
        """Run one instruction; a loop, for all of its steps."""
        if isinstance(instruction, Loop):
            for count, t in enumerate(instruction.steps()):
                for inner in instruction.body:
                    self.compute(inner, count, t)
        else:
            self.compute(instruction)

    def compute(self, instruction: Call | Copy, count: int = 0, t: int = 0) -> None:
        """Run an instruction that is no loop."""
        out = self.at(instruction.output, count, t)
        if isinstance(instruction, Copy):
            out[...] = self.at(instruction.source, count, t)
            return
        operands = [self.at(x, count, t) for x in instruction.inputs]
        node = instruction.node
        op: Any = node.op
        if op.floating and out.dtype.kind == "f":  # of bytes, array modules compute in half precision
            operands = [
                x.astype(out.dtype) if getattr(getattr(x, "dtype", None), "itemsize", 0) == 1 else x for x in operands
            ]
        with told(node, operands):
            out[...] = op.kernel(self.backend.xp, *operands, **node.attrs)

    def notes(self) -> list[str]:
        """Say what a reader of the plan should know of how it runs, a line each."""
        return []

    def forward(self, values: Mapping[Leaf, Array], count: int) -> list[Array]:
        """Run what the first outputs need; return fresh arrays of the first ``count`` of them."""
        self.give(self.fitted(values, False))
        self.run_forward()
        return self.fresh(slice(0, count))

    def backward(self, seeds: Mapping[Leaf, Array], count: int) -> list[Array]:
        """Run the rest, after ``forward``, with the gradients that arrive from above; return the other outputs."""
        self.give(self.fitted(seeds, True))
        self.run_backward()
        return self.fresh(slice(count, None))

    def forget(self) -> None:
        """Let go of the arrays of the last run: they were copied."""

    def forward_list(self, arrays: Sequence[Array], count: int) -> list[Array]:
        """As ``forward``, with arrays for the first of the plan's inputs, in their order."""
        require_count(self.leaves, arrays)
        return self.forward(dict(zip(self.leaves, arrays, strict=False)), count)

    def backward_list(self, seeds: Sequence[Array], count: int) -> list[Array]:
        """As ``backward``, with arrays for the last of the plan's inputs, in their order."""
        require_count(self.leaves, seeds)
        first = len(self.leaves) - len(seeds)
        return self.backward(dict(zip(self.leaves[first:], seeds, strict=True)), count)

    def fitted(self, values: Mapping[Leaf, Array], number: bool) -> dict[Leaf, Array]:
        """Return arrays of the inputs' shapes and dtypes; with ``number``, or one number for all elements."""
        taken, kind = {}, self.backend.array_type
        for leaf, value in values.items():
            fits = isinstance(value, kind) and (value.shape, value.dtype) == (leaf.shape, leaf.dtype)  # type: ignore[attr-defined]
            taken[leaf] = value if fits else fitting(leaf, value, kind, number)
        return taken

    def run_forward(self) -> None:
        for instruction in self.plan.instructions[: self.plan.forward]:
            self.do(instruction)

    def run_backward(self) -> None:
        for instruction in self.plan.instructions[self.plan.forward :]:
            self.do(instruction)

    def give(self, values: Mapping[Leaf, Array]) -> None:
        """Write inputs into their buffers; a number travels with the launch of the kernel that writes it."""
        for leaf, value in values.items():
            if not isinstance(value, self.backend.array_type):  # from the host: a number, hardly ever more
                value = self.backend.from_host(value) if value.shape else value.item()
            self.inputs[leaf][...] = value

    def fresh(self, which: slice) -> list[Array]:
        """Return copies of outputs: results never lie in a plan's memory."""
        return [self.copied(x) for x in self.outputs[which]]

    def copied(self, x: Any) -> Array:
        """Return an output in memory of its own."""
        return x.copy() if hasattr(x, "copy") else self.backend.xp.asarray(x)


def place(access: Access, count: int, t: int) -> int:
    """Return where an access begins in its slot, in bytes, in turn ``count`` and at step ``t``."""
    turned = (count + access.phase) % 2 - access.phase
    return access.offset + t * access.step + turned * access.flip
