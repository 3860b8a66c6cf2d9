"""The pipeline: which passes run, in which order, and what each of them did.

The forward graph is brought into shape first and differentiated then, so that the backward graph inherits the schedule:
where four gates are one product and one wide tanh, their gradients are one product and one wide kernel too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinyseq.compiler.differentiate import Differentiated, differentiate, has_gradients
from tinyseq.compiler.passes.absorb import absorb
from tinyseq.compiler.passes.accumulate import accumulate
from tinyseq.compiler.passes.distribute import distribute
from tinyseq.compiler.passes.expand import expand
from tinyseq.compiler.passes.hoist import hoist
from tinyseq.compiler.passes.merge import merge
from tinyseq.compiler.passes.pack import pack
from tinyseq.compiler.passes.prune import prune
from tinyseq.compiler.passes.simplify import simplify
from tinyseq.compiler.passes.tile import tile
from tinyseq.compiler.passes.unite import unite
from tinyseq.graph import Graph, Leaf

Pass = Callable[[Graph], Graph]

FORWARD: tuple[Pass, ...] = (
    simplify,
    prune,
    expand,  # gates in one form
    hoist,  # so that merge finds weights, not slices of them
    merge,  # one product for all gates
    pack,  # one kernel for all gates
    simplify,
    hoist,  # the joined weights
    distribute,  # input projections before the loop, heads after it
    simplify,
    prune,
)
BACKWARD: tuple[Pass, ...] = (
    unite,  # loops that second derivatives ran twice
    simplify,
    prune,
    accumulate,  # weight gradients as one product over time
    hoist,  # transposed weights
    prune,
    distribute,  # input gradients after the loop
    simplify,
    prune,
    simplify,
)
#: What is better otherwise than in the schedule that is found where BLAS multiplies.
BLAS: tuple[Pass, ...] = (
    absorb,  # input projections and biases, in the loop's own product
    prune,
)


@dataclass(frozen=True)
class Stage:
    """The graph after a pass, and how long the pass took."""

    name: str
    graph: Graph
    seconds: float


@dataclass(frozen=True)
class Compiled:
    """The result of the pipeline: the stages in order; the gradients' inputs and leaves, empty without gradients."""

    stages: tuple[Stage, ...]
    seeds: tuple[Leaf | None, ...]
    reached: tuple[Leaf, ...]
    #: For each output of the function, to which of these a gradient flows from it, a bit each.
    paths: tuple[int, ...]

    @property
    def graph(self) -> Graph:
        """The last stage's graph."""
        return self.stages[-1].graph


def run_passes(
    graph: Graph,
    wanted: Sequence[Leaf] = (),
    *,
    verify: bool = False,
    recompute: bool | int = False,
    for_blas: bool = True,
) -> Compiled:
    """Run the forward passes, differentiate with respect to ``wanted``, and run the backward passes.

    Args:
        graph: a traced function.
        wanted: the inputs that need a gradient; none means that only the outputs are computed.
        verify: check every shape and dtype by the ops' own rules after each pass.
        recompute: cut loops into tiles of so many steps (True: about √T) and compute their values again when the
            gradient needs them, instead of keeping them.
        for_blas: whether the products of the plan to come are BLAS calls.
    """
    stages = [Stage("trace", graph, 0.0)]

    def advance(name: str, change: Callable[[], Graph]) -> None:
        start = time.perf_counter()
        after = change()
        stages.append(Stage(name, after.verify() if verify else after, time.perf_counter() - start))

    if recompute:
        advance("tile", lambda: tile(stages[-1].graph, None if recompute is True else int(recompute)))
    for step in FORWARD:
        advance(step.__name__, lambda step=step: step(stages[-1].graph))  # type: ignore[misc]
    derived: list[Differentiated] = []
    if wanted or has_gradients(stages[-1].graph):

        def derive() -> Graph:
            derived.append(differentiate(stages[-1].graph, wanted))
            return derived[0].graph

        advance("differentiate", derive)
        for step in BACKWARD:
            advance(step.__name__, lambda step=step: step(stages[-1].graph))  # type: ignore[misc]
    for step in BLAS if for_blas else ():
        advance(step.__name__, lambda step=step: step(stages[-1].graph))  # type: ignore[misc]
    if not derived:
        return Compiled(tuple(stages), (None,) * len(graph.outputs), (), ())
    return Compiled(tuple(stages), derived[0].seeds, derived[0].reached, derived[0].paths)
