"""Random draws."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tinyseq.backends.philox import random_uniform
from tinyseq.graph import Shape, Signature
from tinyseq.ops.base import Inferred, Op, Value, Xp


class Uniform(Op):
    """Philox4x32-10 draws on [0, 1): a pure function of (seed, site, call, step).

    ``call`` and ``step`` are inputs, not attributes: a compiled function draws anew each time it is called, and at each
    step of a loop.
    """

    name = "uniform"
    formula = r"y \sim U[0, 1)"
    differentiable = False

    def __call__(self, call: Value, step: Value, *, shape: Shape, dtype: Any, seed: int, site: int) -> Any:
        return super().__call__(call, step, shape=tuple(shape), dtype=np.dtype(dtype), seed=seed, site=site)

    def infer(self, *inputs: Signature, **attrs: Any) -> Inferred:
        return attrs["shape"], attrs["dtype"]

    def kernel(self, xp: Xp, call: Any, step: Any, shape: Shape, dtype: Any, seed: int, site: int) -> Any:
        return random_uniform(xp, shape, dtype, seed, site, call, step)


uniform: Final[Uniform] = Uniform()
