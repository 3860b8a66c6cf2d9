"""A loop over as many steps as are asked for, compiled once: for a chunk of them, and called chunk after chunk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from tinyseq import trees
from tinyseq.compiler import CompiledFunction, compile
from tinyseq.compiler.passes.tabulate import tabulate
from tinyseq.compiler.pipeline import Pipeline
from tinyseq.creation import tensor
from tinyseq.errors import TinyseqError
from tinyseq.modes import no_grad
from tinyseq.unrolling import unroll

log = logging.getLogger("tinyseq.compiler")

#: Steps of a chunk: so many that what a call costs besides (Python, laying out weights) is shared by many of them, so
#: few that a short text is not computed in vain far beyond its end.
CHUNK: Final = 64
#: Chunks from which on long ones are taken, and how many of the others one has.
_MANY, _LONG = 8, 4


def _with_tables(own: Pipeline) -> Pipeline:
    """What is chosen in a step is looked up in the next one, in tables that hold what would be computed of it."""
    return own.with_pass(tabulate, after="merge")


class ChunkedLoop:
    """``y_t, s_t = step(x_t, s_{t-1}, *options)`` for t = 1, 2, ..., without gradients.

    A step that cannot be compiled runs eagerly, and the log says why.

    Args:
        step: the step. Options that are floats or tensors may differ from call to call; for others it compiles anew.
        compiled: whether to compile it at all.
        length: steps of a chunk; of long sequences, four times as many.
    """

    def __init__(self, step: Callable[..., tuple[Any, Any]], *, compiled: bool = True, length: int = CHUNK) -> None:
        self.step, self.length = step, length
        self.function: CompiledFunction[..., Any] | None = (
            compile(self._loop, pipeline=_with_tables) if compiled else None
        )
        if self.function is not None:
            self.function.__name__ = getattr(step, "__name__", "step")

    def __call__(self, xs: Any, state: Any, *options: Any) -> Iterator[Any]:
        """Yield the outputs of a chunk, arrays (batch, time of the chunk, ...); one that nobody takes is not run.

        Args:
            xs: arrays (batch, time, ...), or nested tuples and dicts of them.
            state: s_0, of tensors.
            options: what else each step is given.
        """
        time = next(x.shape[1] for _, x in trees.leaves(xs))
        length = self.length * (_LONG if time >= _MANY * self.length else 1)
        for start in range(0, time, length):
            part = trees.map_leaves(lambda x, start=start: x[:, start : start + length], xs)
            with no_grad():
                ys, state = self._chunk(part, max(start + length - time, 0), state, options)
            yield trees.map_leaves(lambda y, real=time - start: y.numpy()[:, :real], ys)

    def _chunk(self, part: Any, missing: int, state: Any, options: tuple[Any, ...]) -> tuple[Any, Any]:
        """Return outputs and state of a chunk.

        So that few lengths are compiled, the last one is filled up with its last input; what comes of that is dropped.
        """

        def eagerly() -> tuple[Any, Any]:
            return self._loop(trees.map_leaves(tensor, part), state, *options)

        if self.function is None:
            return eagerly()
        filling = (0, 0), (0, missing)

        def filled(x: Any) -> Any:
            return tensor(np.pad(x, (*filling, *[(0, 0)] * (x.ndim - 2)), mode="edge") if missing else x)

        try:
            found: tuple[Any, Any] = self.function(trees.map_leaves(filled, part), state, *options)
        except TinyseqError as error:
            found = eagerly()  # raises where it is no matter of compiling
            log.info("not compiled, runs eagerly: %s", error.what)
            self.function = None
        return found

    def _loop(self, xs: Any, state: Any, *options: Any) -> tuple[Any, Any]:
        return unroll(lambda x, state: self.step(x, state, *options), xs, state)
