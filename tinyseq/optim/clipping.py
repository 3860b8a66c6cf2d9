"""Gradient clipping: the cure for exploding gradients (Pascanu, Mikolov and Bengio 2013)."""

from __future__ import annotations

from collections.abc import Sequence

from tinyseq.errors import DataError
from tinyseq.ops.elementwise import clip, minimum, sqrt
from tinyseq.tensors import Tensor, no_grad


def clip_grad_norm(parameters: Sequence[Tensor], max_norm: float) -> Tensor:
    """Scale all gradients together so that their joint L2 norm is at most ``max_norm``; return the norm before.

    g <- g min(1, max_norm / ||g||). Parameters without a gradient are passed over.
    """
    _require_positive("clip_grad_norm", max_norm)
    with no_grad():
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            raise DataError("clip_grad_norm: no parameter has a gradient", fix="loss.backward() first")
        norm: Tensor = sqrt(sum((g * g).sum() for g in gradients))
        scale = minimum(max_norm / (norm + 1e-12), 1.0)
        for p in parameters:
            if p.grad is not None:
                p.grad = p.grad * scale
    return norm


def clip_grad_value(parameters: Sequence[Tensor], max_value: float) -> None:
    """Bring each element of each gradient within [-max_value, max_value]."""
    _require_positive("clip_grad_value", max_value)
    with no_grad():
        for p in parameters:
            if p.grad is not None:
                p.grad = clip(p.grad, -max_value, max_value)


def _require_positive(name: str, limit: float) -> None:
    if not limit > 0.0:
        raise DataError(f"{name}: the limit", required="over 0", got=str(limit))
