"""Gradient clipping: the cure for exploding gradients (Pascanu, Mikolov and Bengio 2013)."""

from __future__ import annotations

from collections.abc import Sequence

from tinyseq.errors import DataError
from tinyseq.modes import no_grad
from tinyseq.ops.elementwise import clip, maximum, sqrt
from tinyseq.tensors import Tensor


def grad_norm(parameters: Sequence[Tensor]) -> Tensor:
    """Return the joint L2 norm of all gradients, ||g|| = sqrt(Σ g²); parameters without a gradient are passed over.

    It is summed in the gradients' dtype: in float32 it overflows to infinity beyond 1.8e19.

    Raises:
        DataError: no gradient at all.

    As ``torch.nn.utils.get_total_norm``.

    >>> p = ts.tensor([0.0, 0.0], requires_grad=True)
    >>> (p * ts.tensor([3.0, 4.0])).sum().backward()
    >>> optim.grad_norm([p])
    tensor(5.)
    """
    with no_grad():
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            raise DataError("no parameter has a gradient", fix="loss.backward() first")
        norm: Tensor = sqrt(sum((g * g).sum() for g in gradients))
    return norm


def clip_grad_norm(parameters: Sequence[Tensor], max_norm: float) -> Tensor:
    """Scale all gradients together so that their joint L2 norm is at most ``max_norm``; return the norm before.

    g <- g min(1, max_norm / ||g||) (Pascanu et al. 2013, algorithm 1). Parameters without a gradient are passed over.

    Raises:
        DataError: a limit that is not positive, or no gradient at all.

    As ``torch.nn.utils.clip_grad_norm_``.

    >>> p = ts.tensor([0.0, 0.0], requires_grad=True)
    >>> (p * ts.tensor([3.0, 4.0])).sum().backward()
    >>> optim.clip_grad_norm([p], 1.0), p.grad
    (tensor(5.), tensor([0.6, 0.8]))
    """
    _require_positive("clip_grad_norm", max_norm)
    with no_grad():
        norm = grad_norm(parameters)
        scale = max_norm / maximum(norm, max_norm)  # min(1, max_norm / norm), also where the norm is 0
        for p in parameters:
            if p.grad is not None:
                p.grad = p.grad * scale
    return norm


def clip_grad_value(parameters: Sequence[Tensor], max_value: float) -> None:
    """Bring each element of each gradient within [-max_value, max_value].

    Raises:
        DataError: a limit that is not positive.

    As ``torch.nn.utils.clip_grad_value_``.

    >>> p = ts.tensor([0.0, 0.0], requires_grad=True)
    >>> (p * ts.tensor([3.0, 4.0])).sum().backward()
    >>> optim.clip_grad_value([p], 3.5)
    >>> p.grad
    tensor([3. , 3.5])
    """
    _require_positive("clip_grad_value", max_value)
    with no_grad():
        for p in parameters:
            if p.grad is not None:
                p.grad = clip(p.grad, -max_value, max_value)


def _require_positive(name: str, limit: float) -> None:
    if not limit > 0.0:
        raise DataError(f"{name}: the limit", required="over 0", got=str(limit))
