"""Ops that only traced graphs have: a sweep that is still to be worked out, and what it goes back to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tinyseq.errors import GraphError
from tinyseq.graph import Node
from tinyseq.ops.base import Op


class Gradient(Op):
    """The gradient of Σ seed · output with respect to some nodes, as one node of a traced graph.

    Inputs: the outputs, their seeds, what to differentiate with respect to. The compiler works the sweep out when the
    forward graph has its final form (``compiler.differentiate``).
    """

    name = "gradient"
    formula = r"y_i = \sum_k s_k \, \partial f_k / \partial x_i"
    multiple = True
    primitive = False

    def infer(self, *inputs: Any, **attrs: Any) -> Any:
        wanted = inputs[2 * attrs["outputs"] :]
        return tuple(x.shape for x in wanted), tuple(x.dtype for x in wanted)

    def joint(self, node: Node, g: list[Any], needed: Sequence[bool]) -> list[Any]:
        raise GraphError(
            "a gradient that is taken in a time step of a loop is differentiated again",
            required="gradients of the whole loop, or none of its results",
            where=node.where,
            fix="ts.grad around ts.unroll; or eagerly, without compile",
        )


class Anchor(Op):
    """The identity, kept apart by the compiler until gradients with respect to it are found."""

    name = "anchor"
    formula = "y = x"
    primitive = False
    vjps = (lambda g, y, x: g,)

    def infer(self, *inputs: Any, **attrs: Any) -> Any:
        return inputs[0].shape, inputs[0].dtype

    def kernel(self, xp: Any, x: Any) -> Any:
        return x

    def flops(self, shape: Any, /, *inputs: Any, **attrs: Any) -> int:
        return 0


gradient: Final[Gradient] = Gradient()
anchor: Final[Anchor] = Anchor()
