"""Models whose calls run from plans: all of them, or those that are alike often enough to be worth one."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any, Final

from tinyseq import nn, trees
from tinyseq.compiler import CompiledFunction, compile
from tinyseq.errors import BackendError, GraphError, TinyseqError
from tinyseq.modes import is_recording
from tinyseq.tensors import Tensor

log = logging.getLogger("tinyseq.compiler")

#: Calls of one set of shapes that run eagerly before one is compiled, which takes as long as some of them.
EAGER_CALLS: Final = 2
#: Sets of shapes that are compiled, the first ones that come so often.
PLANS: Final = 4


class CompiledModel:
    """A model whose calls run from plans; all else of it is as it is."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._function: CompiledFunction[..., Any] = compile(model)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outputs = self._function(*args, **kwargs)
        # What it was given is kept for pictures; nobody draws any here, and the weights would stay until the next call.
        self._function.entry_of_last_call().forget()
        return outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class PlannedModel(CompiledModel):
    """A model whose calls without gradients run from plans once their shapes have come before.

    One that cannot be compiled runs eagerly, and the log says why.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self._compilable = True
        self._calls: Counter[Any] = Counter()
        self._planned: set[Any] = set()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._compilable or is_recording():
            return self._model(*args, **kwargs)
        given = trees.leaves((args, kwargs))
        shapes = tuple((path, x.shape, x.dtype) for path, x in given if isinstance(x, Tensor))
        self._calls[shapes] += 1
        if self._calls[shapes] > EAGER_CALLS and len(self._planned) < PLANS:
            self._planned.add(shapes)
        if shapes not in self._planned:
            return self._model(*args, **kwargs)
        try:
            return super().__call__(*args, **kwargs)
        except (GraphError, BackendError, MemoryError) as error:  # plans keep the memory that they work in
            outputs = self._model(*args, **kwargs)  # raises where it is no matter of compiling
            reason = error.what if isinstance(error, TinyseqError) else "no memory for its plans"
            log.info("not compiled, runs eagerly: %s", reason)
            self._compilable, self._function = False, compile(self._model)  # without plans, whose memory goes
        return outputs
