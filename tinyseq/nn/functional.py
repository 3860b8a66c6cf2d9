"""Functions of neural networks, made of ops: dropout, embedding, cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyseq.errors import DataError, DtypeError, ShapeError
from tinyseq.ops.base import Operand, Value, require_float
from tinyseq.ops.draws import uniform
from tinyseq.ops.elementwise import where, within
from tinyseq.ops.reduce import log_softmax, sum_
from tinyseq.ops.shape import gather, reshape, take
from tinyseq.tensors import Tensor


def dropout(x: Tensor, p: float, *, seed: int, site: int = 0, call: Operand = 0, step: Operand = 0) -> Tensor:
    """Zero each element with probability p and scale the rest by 1 / (1 - p) (Srivastava et al. 2014, inverted).

    A draw is a function of seed, site, call and step alone; ``nn.Dropout`` counts them. As
    ``torch.nn.functional.dropout``.

    >>> y = ts.dropout(ts.ones(1000), 0.5, seed=0)
    >>> y.min().item(), y.max().item()
    (0.0, 2.0)
    """
    if not 0.0 <= p < 1.0:
        raise DataError("dropout: the probability is out of range", required="0 <= p < 1", got=str(p))
    if p == 0.0:
        return x
    require_float("dropout", x)
    keep = uniform(call, step, shape=x.shape, dtype=x.dtype, seed=seed, site=site) >= p
    return where(keep, x * (1.0 / (1.0 - p)), 0.0)


def embedding(table: Tensor, ids: Tensor) -> Tensor:
    """Rows of a table, y = W[ids]: (rows, features) and integer (...) give (..., features).

    As ``torch.nn.functional.embedding``, which takes them in the other order.

    >>> ts.embedding(ts.tensor([[1.0, 2.0], [3.0, 4.0]]), ts.tensor([1, 0, 1]))
    tensor([[3., 4.],
            [1., 2.],
            [3., 4.]])
    """
    return take(table, require_labels("embedding", ids, table.shape[0]), 0)


def require_labels(name: str, labels: Value, classes: int, allowed: int | None = None) -> Any:
    """Return labels, refused where they are not integers in [0, classes), ``allowed`` excepted."""
    if labels.dtype.kind not in "iu":
        raise DtypeError(f"{name}: labels are not integers", required="an integer dtype", got=str(labels.dtype))
    required = f"0 <= label < {classes}" + (f", or {allowed} to ignore" if allowed is not None else "")
    return within(labels, 0, classes - 1, what=f"{name}: a label is out of range", required=required, allowed=allowed)


def cross_entropy(
    logits: Value,
    targets: Value,
    *,
    weight: Value | Sequence[float] | None = None,
    ignore_index: int | None = None,
    reduction: str = "sum",
) -> Any:
    """Cross-entropy of integer targets under softmax(logits), L = -Σ w_k log softmax(x)_k.

    Args:
        logits: (..., classes), floating-point.
        targets: (...), integers in [0, classes).
        weight: (classes,), a factor for each class; 1 by default.
        ignore_index: a target value that adds nothing.
        reduction: "sum" (over batch and time, the lecture's), "mean" (divided by the summed weight of the targets that
            count; 0 where none do) or "none" (a loss for each target).

    Raises:
        ShapeError: the shapes do not fit.
        DataError: a target out of range, or an unknown reduction.
    """
    if reduction not in ("sum", "mean", "none"):
        raise DataError(f"cross_entropy: unknown reduction {reduction!r}", required="'sum', 'mean' or 'none'")
    if tuple(logits.shape[:-1]) != tuple(targets.shape) or not logits.shape:
        raise ShapeError(
            "cross_entropy: shapes do not fit",
            required="logits (..., classes) and targets (...)",
            got=f"{tuple(logits.shape)} and {tuple(targets.shape)}",
            fix="logits.T, where the classes are the rows of a column" if tuple(logits.shape[1:]) == (1,) else "",
        )
    classes = logits.shape[-1]
    targets = require_labels("cross_entropy", targets, classes, ignore_index)
    labels = targets if ignore_index is None else where(targets == ignore_index, 0, targets)
    chosen = reshape(gather(log_softmax(logits, -1), reshape(labels, (*labels.shape, 1)), -1), targets.shape)
    losses = -chosen
    scale = None
    if weight is not None:
        weight = weight if hasattr(weight, "shape") else np.asarray(weight, dtype=logits.dtype)
        if weight.shape != (classes,):
            raise ShapeError("cross_entropy: class weights", required=f"({classes},)", got=str(weight.shape))
        scale = take(weight, labels, 0)
        losses = losses * scale
    if ignore_index is not None:
        counts = targets != ignore_index
        scale = where(counts, 1.0 if scale is None else scale, 0.0)
        losses = where(counts, losses, 0.0)  # not times 0: a logit that is ignored may be infinite
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum_(losses)
    if scale is None:
        return sum_(losses) / float(max(int(np.prod(targets.shape)), 1))
    total = sum_(scale)
    return sum_(losses) / where(total == 0, 1.0, total)
