"""The tools of passes: symbols that ops can be called on, and nodes made in the place of others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinyseq.graph import Leaf, Literal, Node, here
from tinyseq.markers import Anchor
from tinyseq.ops.base import Op
from tinyseq.tensors import Tensor
from tinyseq.tracing import AbstractTensor


def symbol(node: Node) -> Any:
    """Return a node as something to call ops on: an abstract tensor, or a literal's Python scalar."""
    return node.attrs["value"] if isinstance(node, Literal) else AbstractTensor(node)


@contextmanager
def standing_at(node: Node) -> Iterator[None]:
    """Give the nodes made inside the scope, step and source line of another, so that plans still name user's lines."""
    outer = here.place, here.source
    here.place, here.source = node.place, node.source
    try:
        yield
    finally:
        here.place, here.source = outer


def emit(like: Node, function: Callable[..., Tensor], *inputs: Node, **attrs: Any) -> Node:
    """Apply an op (or any function of ops) to nodes, in the place of ``like``."""
    with standing_at(like):
        return function(*(symbol(node) for node in inputs), **attrs).node


def fresh_leaf(like: Node) -> Leaf:
    """Return a leaf of a node's shape, dtype, name and place, to stand for it in a body."""
    leaf = Leaf(like.shape, like.dtype, True, like.name)
    leaf.place = like.place
    return leaf


class Constant(Op):
    """An array that a pass has worked out; the only op that makes values from nothing, so only passes use it."""

    name = "constant"
    formula = "y = c"
    primitive = False

    def infer(self, *inputs: Any, **attrs: Any) -> Any:
        return (len(attrs["values"]),), attrs["dtype"]

    def kernel(self, xp: Any, *, values: tuple[Any, ...], dtype: Any) -> Any:
        return xp.asarray(values, dtype=dtype)

    def flops(self, shape: Any, /, *inputs: Any, **attrs: Any) -> int:
        return 0


_constant = Constant()


def fixed(values: tuple[Any, ...], dtype: Any) -> AbstractTensor:
    """Return a vector of known values as part of a graph."""
    attrs = {"values": values, "dtype": np.dtype(dtype)}
    return AbstractTensor(Node(_constant, (), attrs, *_constant.infer(**attrs)))


class Again(Anchor):
    """The identity, marking a value that is read once more to compute something again: what follows is not merged with
    what was computed from it before.
    """

    name = "again"


again = Again()
