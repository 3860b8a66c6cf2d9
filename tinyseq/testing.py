"""Checks of gradients, public: for a user's own ops and cells as for ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinyseq import backends
from tinyseq.errors import DtypeError, GraphError
from tinyseq.functional import gradients
from tinyseq.graph import Leaf
from tinyseq.modes import no_grad
from tinyseq.tensors import Tensor


class GradientError(AssertionError):
    """A gradient rule disagrees with central differences."""


def check_grads(
    fn: Callable[..., Any],
    *args: Any,
    order: int = 2,
    eps: float = 1e-5,
    rtol: float = 1e-6,
    atol: float = 1e-7,
    seed: int = 0,
) -> None:
    """Compare reverse-mode gradients of ``fn`` with central differences, up to ``order`` derivatives.

    Random projections: for directions u (of the output) and v (of the inputs), <u, J v> by central differences must
    equal <Jᵀ u, v> by the sweep. For the second order the same is asked of x -> Jᵀ u.

    Args:
        fn: takes the tensors ``args``, returns a tensor or a tuple of them.
        args: float64 tensors are differentiated; anything else is passed on as it is.
        order: 1, or 2 to check gradients of gradients too.
        eps: the step of the differences, in units of the arguments.
        rtol, atol: what the two sides may differ by: atol + rtol * (the larger of their sizes).
        seed: of the random directions.

    Raises:
        GradientError: the two sides differ; says the order and both numbers.
        DtypeError: no argument is a float64 tensor.
    """
    places = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.dtype == np.float64]
    if not places:
        raise DtypeError("check_grads: nothing to differentiate", required="float64 tensors", fix="dtype=ts.float64")
    rng = np.random.default_rng(seed)

    def outputs(points: list[Tensor]) -> list[Tensor]:
        full = list(args)
        for place, point in zip(places, points, strict=True):
            full[place] = point
        result = fn(*full)
        parts = list(result) if isinstance(result, tuple | list) else [result]
        return [part for part in parts if part.dtype.kind == "f"]

    points = [_leaf(args[i].numpy()) for i in places]
    shapes = [y.shape for y in outputs(points)]
    projections = [_leaf(rng.standard_normal(shape), False) for shape in shapes]

    def projected(points: list[Tensor]) -> Tensor:
        total = None
        for y, u in zip(outputs(points), projections, strict=True):
            term = (y * u).sum()
            total = term if total is None else total + term
        if total is None:
            raise GraphError("check_grads: no floating-point output")
        return total

    def gradient(points: list[Tensor], create_graph: bool) -> list[Tensor]:
        value = projected(points)
        if not value.requires_grad:
            return [p * 0.0 for p in points]
        grads = gradients(value, points, create_graph=create_graph)
        return [p * 0.0 if g is None else g for p, g in zip(points, grads, strict=True)]

    _compare(1, projected, points, gradient(points, False), rng, eps, rtol, atol)
    if order < 2:
        return
    seconds = [_leaf(rng.standard_normal(p.shape), False) for p in points]

    def projected_gradient(points: list[Tensor]) -> Tensor:
        terms = [(g * w).sum() for g, w in zip(gradient(points, True), seconds, strict=True)]
        return sum(terms[1:], terms[0])

    value = projected_gradient(points)
    grads = gradients(value, points) if value.requires_grad else [None] * len(points)
    filled = [p * 0.0 if g is None else g for p, g in zip(points, grads, strict=True)]
    _compare(2, projected_gradient, points, filled, rng, eps, rtol, atol)


def _leaf(array: np.ndarray[Any, Any], requires_grad: bool = True) -> Tensor:
    value = backends.current().from_host(np.asarray(array, dtype=np.float64))
    return Tensor(value, Leaf(value.shape, value.dtype, requires_grad, passing=True), requires_grad)


def _compare(
    order: int,
    fn: Callable[[list[Tensor]], Tensor],
    points: list[Tensor],
    grads: list[Tensor],
    rng: np.random.Generator,
    eps: float,
    rtol: float,
    atol: float,
) -> None:
    for trial in range(2):
        directions = [rng.standard_normal(p.shape) for p in points]

        def moved(sign: float, directions: list[np.ndarray[Any, Any]] = directions) -> float:
            there = [_leaf(p.numpy() + sign * eps * v) for p, v in zip(points, directions, strict=True)]
            if order > 1:
                return float(fn(there).item())
            with no_grad():
                return float(fn(there).item())

        numeric = (moved(1.0) - moved(-1.0)) / (2.0 * eps)
        analytic = float(sum(np.vdot(g.numpy(), v) for g, v in zip(grads, directions, strict=True)))
        if not abs(numeric - analytic) <= atol + rtol * max(abs(numeric), abs(analytic)):
            raise GradientError(
                f"derivative of order {order}, direction {trial}: central differences give {numeric!r}, the gradient "
                f"rules {analytic!r} (allowed: {atol} + {rtol} relative)"
            )
