"""What an executable is given: arrays of the shape and dtype of the plan's inputs, or an error that says which is not.

A compiled function knows what it was compiled for; the executable does not trust it, nor anybody else: native code that
is told of a smaller array reads beyond its end. Values that an op refuses are told as the op tells them eagerly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyseq.errors import DataError, DtypeError, ShapeError, TinyseqError
from tinyseq.graph import Leaf, Node, signature


def fitting(leaf: Leaf, value: Any, array_type: type[Any], number: bool) -> Any:
    """Return an array for an input whose type, shape or dtype is not plainly the input's.

    Args:
        array_type: what else arrays may be than NumPy's.
        number: whether one number may stand for all elements, as for a gradient that arrives from above.

    Raises:
        DataError: it is no array.
        ShapeError: it has another shape.
        DtypeError: it has another dtype; only the order of bytes may differ, and the size of a single number.
    """
    what = f"input {leaf.name or ''}".rstrip() + " of a compiled function"
    if not isinstance(value, array_type | np.ndarray | np.generic):
        raise DataError(f"{what}: no array", required=f"{leaf.dtype}{leaf.shape}", got=type(value).__name__)
    if value.shape != leaf.shape and not (number and value.shape == ()):
        raise ShapeError(f"{what}: another shape", required=str(leaf.shape), got=str(value.shape))
    if value.dtype != leaf.dtype:
        # A single number may be Python's, which has the widest dtype of its kind.
        alike = value.shape == () and np.can_cast(value.dtype, leaf.dtype, "same_kind")
        if not alike and value.dtype.newbyteorder("=") != leaf.dtype:
            raise DtypeError(f"{what}: another dtype", required=str(leaf.dtype), got=str(value.dtype))
        value = value.astype(leaf.dtype)
    return np.asarray(value) if isinstance(value, np.generic) else value


class told:
    """Tells what array modules raise in their own words, such as an index out of range, as eager code does.

    Raises:
        ShapeError, DtypeError: there is such a fault.
    """

    __slots__ = ("node", "operands")

    def __init__(self, node: Node, operands: Sequence[Any]) -> None:
        self.node, self.operands = node, operands

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None or isinstance(error, TinyseqError):
            return
        if isinstance(error, IndexError | ValueError | TypeError):
            node = self.node
            got = ", ".join(signature(x) if hasattr(x, "dtype") else repr(x) for x in self.operands)
            where = f"at {node.line}" if node.source else ""
            family = DtypeError if isinstance(error, TypeError) else ShapeError
            raise family(f"{node.op.name}: {error}", got=got, where=where) from None


def require_count(leaves: Sequence[Leaf], arrays: Sequence[Any]) -> None:
    """Refuse more arrays than a plan has inputs."""
    if len(arrays) > len(leaves):
        raise DataError("a compiled function's arrays", required=f"{len(leaves)} at most", got=str(len(arrays)))
