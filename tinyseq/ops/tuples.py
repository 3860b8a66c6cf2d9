"""Ops with several outputs are one node; each output that is used is a ``pick`` of it."""

from __future__ import annotations

from typing import Any, Final

from tinyseq.ops.base import Op


class Pick(Op):
    """One output of an op that has several."""

    name = "pick"
    formula = "y = x_i"

    def infer(self, *inputs: Any, **attrs: Any) -> Any:
        return inputs[0].shape[attrs["index"]], inputs[0].dtype[attrs["index"]]

    def kernel(self, xp: Any, x: Any, index: int) -> Any:
        return x[index]

    def flops(self, shape: Any, /, *inputs: Any, **attrs: Any) -> int:
        return 0


pick: Final[Pick] = Pick()
