"""Running a lowered plan: which launch comes when, with which addresses. How a launch is made is the subclass's."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from tinyseq import backends
from tinyseq.backends.base import Array
from tinyseq.compiler.lower import arrays
from tinyseq.compiler.lower.arrays import place
from tinyseq.compiler.lower.cupy import copying
from tinyseq.compiler.lower.cupy.describing import FORMS
from tinyseq.compiler.lower.cupy.gemm import Gemm
from tinyseq.compiler.lower.cupy.kernels import SCRATCH, Kernel
from tinyseq.compiler.lower.cupy.lowering import Launch, Launches, Lowered, Steps, lower
from tinyseq.compiler.lower.describe import Forms
from tinyseq.compiler.plan import Plan
from tinyseq.graph import Leaf

#: What each plan became, for a number of multiprocessors, and the forms that it was lowered by.
_known: weakref.WeakKeyDictionary[Plan, dict[int, tuple[Forms, Lowered]]] = weakref.WeakKeyDictionary()


def lowered(plan: Plan, multiprocessors: int, forms: Forms) -> Lowered:
    """Lower a plan, once for all executables of it by these forms."""
    lowered = _known.setdefault(plan, {})
    if multiprocessors not in lowered or lowered[multiprocessors][0] is not forms:
        lowered[multiprocessors] = forms, lower(plan, multiprocessors, forms)
    return lowered[multiprocessors][1]


class Launching(arrays.Executable):
    """A plan bound to memory, run by launches; what has no kernel of ours runs by the array module's own."""

    def __init__(self, plan: Plan, forms: Forms = FORMS) -> None:
        super().__init__(plan)
        self.lowered = lowered(plan, self.multiprocessors(), forms)
        self.precision = backends.precision()
        scratch = self.backend.allocate(max(self.lowered.scratch, 1))
        self.addresses = {slot: self.address(memory) for slot, memory in self.memory.items()}
        self.addresses[SCRATCH] = self.address(scratch)
        self.memory[SCRATCH] = scratch
        self.load()

        def launch(kernel: Kernel, addresses: list[int], inwards: int) -> None:
            self.start(copying.NAME, kernel, addresses, inwards, 0)

        self.coming = copying.Copies(self.inputs, self.backend, self.address, launch)
        self.going = copying.Copies(dict(enumerate(self.outputs)), self.backend, self.address, launch)

    @abstractmethod
    def load(self) -> None:
        """Make the module's kernels callable."""

    @abstractmethod
    def multiprocessors(self) -> int:
        """Return how many multiprocessors the device has, 0 where they cannot work in clusters."""

    @abstractmethod
    def address(self, memory: Any) -> int:
        """Return where a buffer begins."""

    @abstractmethod
    def start(self, name: str, kernel: Kernel, addresses: list[int], t: int, turn: int) -> None:
        """Launch a kernel."""

    @abstractmethod
    def multiply(self, gemm: Gemm, a: int, b: int, c: int) -> None:
        """Launch a product of the matrices at some addresses."""

    def give(self, values: Mapping[Leaf, Array]) -> None:
        done = self.coming.come(values)
        super().give({leaf: value for leaf, value in values.items() if leaf not in done})

    def fresh(self, which: slice) -> list[Array]:
        empty, numbers, forms = self.backend.xp.empty, range(len(self.outputs))[which], self.going.forms
        made = {i: empty(*forms[i]) for i in numbers if i in forms}
        self.going.go(made)
        return [made[i] if i in made else self.copied(self.outputs[i]) for i in numbers]

    def run_forward(self) -> None:
        for piece in self.lowered.pieces[: self.lowered.boundary]:
            self.run(piece)

    def run_backward(self) -> None:
        for piece in self.lowered.pieces[self.lowered.boundary :]:
            self.run(piece)

    def run(self, piece: Any) -> None:
        """Run a piece of the plan."""
        if isinstance(piece, Launches):
            self.enqueue(piece)
        else:
            self.do(piece)

    def enqueue(self, piece: Launches) -> None:
        """Make all launches of a piece, in order."""
        for launch in piece.launches:
            if isinstance(launch, Steps):
                for turn, t in launch.turns():
                    for inner in launch.body:
                        self.launch(inner, t, turn)
            else:
                self.launch(launch, 0, 0)

    def launch(self, launch: Launch, t: int, turn: int) -> None:
        what = launch.what
        if isinstance(what, Gemm):
            a, b, c = (self.addresses[x.slot] + place(x, turn, t) for x in (what.a, what.b, what.c))
            self.multiply(what, a, b, c)
        else:
            self.start(launch.name, what, [self.addresses[slot] for slot in what.slots], t, turn)

    def notes(self) -> list[str]:
        counts = self.lowered.counts()
        kernels, products = counts["kernels"], counts["products"]
        per_step = f"{counts['kernels_per_step']} kernels and {counts['products_per_step']} products"
        rows = ["", f"launches: {kernels} kernels and {products} products ({self.precision}); {per_step} a step"]
        rows += [f"loop: {text}" for text in self.lowered.loops]
        return rows + [f"left to CuPy: {text}  ({reason})" for text, reason in self.lowered.left]
