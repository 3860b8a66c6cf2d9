"""The pipeline: which passes run, in which order, and what each of them did.

The forward graph is brought into shape first and differentiated then, so that the backward graph inherits the schedule:
where four gates are one product and one wide tanh, their gradients are one product and one wide kernel too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from tinyseq.compiler.differentiate import Differentiated, differentiate, has_gradients
from tinyseq.compiler.passes.absorb import absorb
from tinyseq.compiler.passes.accumulate import accumulate
from tinyseq.compiler.passes.chunk import chunk
from tinyseq.compiler.passes.distribute import distribute
from tinyseq.compiler.passes.expand import expand
from tinyseq.compiler.passes.hoist import hoist
from tinyseq.compiler.passes.merge import merge
from tinyseq.compiler.passes.pack import pack
from tinyseq.compiler.passes.prune import prune
from tinyseq.compiler.passes.simplify import simplify
from tinyseq.compiler.passes.tile import tile
from tinyseq.compiler.passes.unite import unite
from tinyseq.errors import GraphError, did_you_mean
from tinyseq.graph import Graph, Leaf

Pass = Callable[[Graph], Graph]


@dataclass(frozen=True)
class Pipeline:
    """Passes in the order in which they run: before the graph is differentiated, after that, and at the end of all."""

    forward: tuple[Pass, ...]
    backward: tuple[Pass, ...]
    final: tuple[Pass, ...] = ()

    def names(self) -> tuple[str, ...]:
        """Return the names of the passes, each once, in the order of their first run."""
        return tuple(dict.fromkeys(one.__name__ for one in (*self.forward, *self.backward, *self.final)))

    def without(self, *names: str) -> Pipeline:
        """Return the pipeline that leaves passes out, each wherever it stands.

        Raises:
            GraphError: there is no pass of that name.
        """
        for name in names:
            self._require(name)
        return self._changed(lambda one: () if one.__name__ in names else (one,))

    def with_pass(self, new: Pass, *, after: str) -> Pipeline:
        """Return the pipeline with one more pass, wherever the pass named ``after`` has run.

        Raises:
            GraphError: there is no pass of that name.
        """
        self._require(after)
        return self._changed(lambda one: (one, new) if one.__name__ == after else (one,))

    def _changed(self, change: Callable[[Pass], tuple[Pass, ...]]) -> Pipeline:
        parts = (self.forward, self.backward, self.final)
        return Pipeline(*(tuple(x for one in part for x in change(one)) for part in parts))

    def _require(self, name: str) -> None:
        if name not in self.names():
            raise GraphError(f"the pipeline has no pass {name!r}", fix=did_you_mean(name, self.names()))


#: A pipeline, or what makes one of the target's own.
PipelineLike: TypeAlias = Pipeline | Callable[[Pipeline], Pipeline] | None


def choose(wanted: PipelineLike, own: Pipeline) -> Pipeline:
    """Return the pipeline that is wanted, where ``own`` is the target's."""
    if wanted is None or isinstance(wanted, Pipeline):
        return wanted or own
    return wanted(own)


STANDARD: Final = Pipeline(
    forward=(
        simplify,
        prune,
        expand,  # gates in one form
        hoist,  # so that merge finds weights, not slices of them
        merge,  # one product for all gates
        pack,  # one kernel for all gates
        simplify,
        hoist,  # the joined weights
        distribute,  # input projections before the loop, heads after it
        chunk,  # states that are matrices, affine in themselves, by products
        simplify,
        prune,
    ),
    backward=(
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
    ),
)
#: Where BLAS multiplies, some of what the schedule has found is better otherwise.
BLAS: Final = replace(
    STANDARD,
    final=(
        absorb,  # input projections and biases, in the loop's own product
        prune,
    ),
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
    pipeline: Pipeline = BLAS,
    *,
    verify: bool = False,
    recompute: bool | int = False,
) -> Compiled:
    """Run the forward passes, differentiate with respect to ``wanted``, and run the backward passes.

    Args:
        graph: a traced function.
        wanted: the inputs that need a gradient; none means that only the outputs are computed.
        pipeline: the passes.
        verify: check every shape and dtype by the ops' own rules after each pass.
        recompute: cut loops into tiles of so many steps (True: about √T) and compute their values again when the
            gradient needs them, instead of keeping them.
    """
    stages = [Stage("trace", graph, 0.0)]

    def advance(name: str, change: Callable[[], Graph]) -> None:
        start = time.perf_counter()
        after = change()
        stages.append(Stage(name, after.verify() if verify else after, time.perf_counter() - start))

    if recompute:
        advance("tile", lambda: tile(stages[-1].graph, None if recompute is True else int(recompute)))
    for step in pipeline.forward:
        advance(step.__name__, lambda step=step: step(stages[-1].graph))  # type: ignore[misc]
    derived: list[Differentiated] = []
    if wanted or has_gradients(stages[-1].graph):

        def derive() -> Graph:
            derived.append(differentiate(stages[-1].graph, wanted, graph))
            return derived[0].graph

        advance("differentiate", derive)
        for step in pipeline.backward:
            advance(step.__name__, lambda step=step: step(stages[-1].graph))  # type: ignore[misc]
    for step in pipeline.final:
        advance(step.__name__, lambda step=step: step(stages[-1].graph))  # type: ignore[misc]
    if not derived:
        return Compiled(tuple(stages), (None,) * len(graph.outputs), (), ())
    return Compiled(tuple(stages), derived[0].seeds, derived[0].reached, derived[0].paths)
