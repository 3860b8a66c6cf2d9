"""An op applied at every time step, as one op on whole sequences: time is one more leading axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyseq.compiler.rewriting import standing_at, symbol
from tinyseq.graph import Node
from tinyseq.ops import linalg
from tinyseq.ops import shape as sh
from tinyseq.ops.elementwise import Elementwise
from tinyseq.ops.reduce import AlongAxis, Reduction
from tinyseq.tensors import record


def can_batch(node: Node, stacked: Sequence[bool]) -> bool:
    """Return whether ``batched`` knows this op; ``stacked`` says which inputs differ from step to step."""
    op = node.op
    if isinstance(op, Elementwise | Reduction | AlongAxis) or op in _STRUCTURAL:
        return True
    if op is linalg.matmul:
        a, b = node.inputs
        return len(b.shape) >= 2 if len(a.shape) >= 2 else len(b.shape) == 2 and not stacked[1]
    return False


def batched(node: Node, inputs: Sequence[Node], stacked: Sequence[bool], length: int) -> Node:
    """Return the op on (length, ...) sequences, where ``stacked``, and on values that are the same at each step."""
    op: Any = node.op
    with standing_at(node):
        values = [symbol(x) for x in inputs]
        if isinstance(op, Elementwise) or (op is linalg.matmul and len(node.inputs[0].shape) > 1):
            rank = len(node.shape)  # operands of fewer axes get 1s after the time, or time would fall on another axis
            aligned = [
                sh.reshape(v, (length, *(1,) * (rank - len(x.shape)), *x.shape)) if s else v
                for v, x, s in zip(values, node.inputs, stacked, strict=True)
            ]
            result = record(op, aligned, node.attrs)
        elif op is linalg.matmul:
            result = values[0] @ values[1]
        elif isinstance(op, Reduction):
            axes = tuple(axis + 1 for axis in node.attrs["axis"])
            result = record(op, values, {**node.attrs, "axis": axes})
        elif isinstance(op, AlongAxis):
            result = record(op, values, {**node.attrs, "axis": node.attrs["axis"] + 1})
        else:
            result = _STRUCTURAL[op](node, values, stacked, length)
    return result.node  # type: ignore[no-any-return]


def _transpose(node: Node, values: list[Any], stacked: Sequence[bool], length: int) -> Any:
    return sh.transpose(values[0], 0, *(axis + 1 for axis in node.attrs["axes"]))


def _reshape(node: Node, values: list[Any], stacked: Sequence[bool], length: int) -> Any:
    return sh.reshape(values[0], (length, *node.shape))


def _broadcast_to(node: Node, values: list[Any], stacked: Sequence[bool], length: int) -> Any:
    shape = node.inputs[0].shape
    aligned = sh.reshape(values[0], (length, *(1,) * (len(node.shape) - len(shape)), *shape))
    return sh.broadcast_to(aligned, (length, *node.shape))


def _sum_to(node: Node, values: list[Any], stacked: Sequence[bool], length: int) -> Any:
    added = len(node.inputs[0].shape) - len(node.shape)
    summed = values[0].sum(tuple(range(1, added + 1))) if added else values[0]
    return sh.sum_to(summed, (length, *node.shape))


def _join(node: Node, values: list[Any], stacked: Sequence[bool], length: int) -> Any:
    whole = [
        v if s else sh.broadcast_to(v, (length, *x.shape)) for v, x, s in zip(values, node.inputs, stacked, strict=True)
    ]
    op: Any = node.op
    return op(whole, node.attrs["axis"] + 1)


def _slice(node: Node, values: list[Any], stacked: Sequence[bool], length: int) -> Any:
    return sh.slice_(values[0], (slice(None), *node.attrs["key"]))


def _unslice(node: Node, values: list[Any], stacked: Sequence[bool], length: int) -> Any:
    return sh.unslice(values[0], (slice(None), *node.attrs["key"]), (length, *node.attrs["shape"]))


_STRUCTURAL: dict[Any, Any] = {
    sh.transpose: _transpose,
    sh.reshape: _reshape,
    sh.broadcast_to: _broadcast_to,
    sh.sum_to: _sum_to,
    sh.concat: _join,
    sh.stack: _join,
    sh.slice_: _slice,
    sh.unslice: _unslice,
}
