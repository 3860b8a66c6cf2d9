"""Losses: summed over batch and time as in the lecture, with the mean as an option, and masks.

All take ``mask``, booleans over the leading axes ((batch, time), say): what is False adds nothing, to mean neither; its
values do not matter, NaN included. ``reduction`` is "sum"; "mean", divided by how many terms count (0 where none do);
or "none", a loss for each term, 0 where masked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinyseq.errors import DataError, ShapeError
from tinyseq.masks import align
from tinyseq.nn import functional
from tinyseq.ops.elementwise import absolute, exp, log1p, maximum, where, within
from tinyseq.ops.reduce import sum_
from tinyseq.ops.shape import broadcast_to
from tinyseq.tensors import Tensor


def squared_error(
    predictions: Tensor, targets: Tensor, *, mask: Tensor | None = None, reduction: str = "sum"
) -> Tensor:
    """L = 1/2 Σ (y - t)²: the gradient is y - t. The mean is over elements, so it is half the mean squared error.

    Args:
        predictions, targets: of one shape.
        mask, reduction: see the module.

    Raises:
        ShapeError: the shapes differ.
        DataError: an unknown reduction.

    As ``torch.nn.functional.mse_loss``, with the half.

    >>> nn.squared_error(ts.tensor([1.0, 4.0]), ts.tensor([0.0, 2.0])).item()
    2.5
    """
    _require_same("squared_error", predictions, targets)
    predictions, targets = _silence(mask, predictions, targets)
    error = predictions - targets
    return _reduce("squared_error", 0.5 * (error * error), mask, reduction)


def binary_cross_entropy(
    logits: Tensor, targets: Tensor, *, mask: Tensor | None = None, reduction: str = "sum"
) -> Tensor:
    """L = -Σ t log σ(x) + (1 - t) log(1 - σ(x)), as max(x, 0) - x t + log(1 + exp(-|x|)), which cannot overflow.

    Args:
        logits: x, any shape.
        targets: t, of that shape, from 0 to 1.
        mask, reduction: see the module.

    Raises:
        ShapeError: the shapes differ.
        DataError: an unknown reduction, or a target outside [0, 1].

    As ``torch.nn.functional.binary_cross_entropy_with_logits``.

    >>> round(nn.binary_cross_entropy(ts.tensor([0.0]), ts.tensor([1.0])).item(), 4)
    0.6931
    """
    _require_same("binary_cross_entropy", logits, targets)
    logits, targets = _silence(mask, logits, targets)
    targets = within(targets, 0, 1, what="binary_cross_entropy: a target is out of range", required="0 to 1")
    losses = maximum(logits, 0.0) - logits * targets + log1p(exp(-absolute(logits)))
    return _reduce("binary_cross_entropy", losses, mask, reduction)


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    *,
    mask: Tensor | None = None,
    weight: Tensor | Sequence[float] | None = None,
    ignore_index: int | None = None,
    reduction: str = "sum",
) -> Tensor:
    """L = -Σ w_t log softmax(x)_t for integer targets t.

    Args:
        logits: x (..., classes).
        targets: t (...), integers in [0, classes).
        mask, reduction: see the module; the mean is divided by the summed weight of the targets that count.
        weight: (classes,), a factor for each class.
        ignore_index: a target value that adds nothing.

    Raises:
        ShapeError: the shapes do not fit.
        DataError: a target out of range, or an unknown reduction.

    As ``torch.nn.functional.cross_entropy``, classes last and summed by default.

    >>> round(nn.cross_entropy(ts.zeros(1, 4), ts.tensor([2])).item(), 4)
    1.3863
    """
    if mask is not None:
        keep = broadcast_to(align(mask, targets), targets.shape)
        logits = where(align(keep, logits), logits, 0.0)
        ignore_index = -1 if ignore_index is None else ignore_index
        targets = where(keep, targets, ignore_index)
    return functional.cross_entropy(logits, targets, weight=weight, ignore_index=ignore_index, reduction=reduction)


def _require_same(name: str, predictions: Tensor, targets: Tensor) -> None:
    if predictions.shape != targets.shape:  # broadcasting (batch, 1) against (batch,) here is always a mistake
        raise ShapeError(
            f"{name}: shapes differ", required=f"targets {predictions.shape}, as predictions", got=str(targets.shape)
        )


def _silence(mask: Tensor | None, *xs: Tensor) -> tuple[Tensor, ...]:
    """Put 0 where the mask is False, before anything is computed: 0 times NaN would be NaN."""
    return xs if mask is None else tuple(where(align(mask, x), x, 0.0) for x in xs)


def _reduce(name: str, losses: Tensor, mask: Tensor | None, reduction: str) -> Tensor:
    if reduction not in ("sum", "mean", "none"):
        raise DataError(f"{name}: unknown reduction {reduction!r}", required="'sum', 'mean' or 'none'")
    if mask is not None:
        losses = where(align(mask, losses), losses, 0.0)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return sum_(losses)
    if mask is None:
        return sum_(losses) / float(max(math.prod(losses.shape), 1))
    count = sum_(broadcast_to(align(mask, losses), losses.shape))
    return sum_(losses) / maximum(count, 1).cast(losses.dtype)
