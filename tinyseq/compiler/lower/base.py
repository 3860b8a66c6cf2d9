"""The protocol of an executable: what a lowering makes of a plan, and what a compiled function asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tinyseq.backends.base import Array
from tinyseq.compiler.arena import Slab
from tinyseq.compiler.plan import Plan
from tinyseq.graph import Leaf


class Executable(Protocol):
    """A plan bound to memory of its own. It is run by one caller at a time: ``forward``, then maybe ``backward``.

    What is returned is the caller's: it lies in memory that no later run writes to.
    """

    plan: Plan

    @property
    def slab(self) -> Slab | None:
        """The memory of the arena that it works in, None where it has its own."""

    def forward(self, values: Mapping[Leaf, Array], count: int) -> list[Array]:
        """Run what the first outputs need; return the first ``count`` of them."""

    def backward(self, seeds: Mapping[Leaf, Array], count: int) -> list[Array]:
        """Run the rest, after ``forward``, with the gradients that arrive from above; return the other outputs."""

    def forward_list(self, arrays: Sequence[Array], count: int) -> list[Array]:
        """As ``forward``, with arrays for the first of the plan's inputs, in their order."""

    def backward_list(self, seeds: Sequence[Array], count: int) -> list[Array]:
        """As ``backward``, with arrays for the last of the plan's inputs, in their order."""

    def forget(self) -> None:
        """Let go of the arrays of the last run."""

    def notes(self) -> list[str]:
        """Say what a reader of the plan should know of how it runs, a line each."""
