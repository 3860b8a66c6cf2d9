"""How gradients flow through time: the lecture's two problems, vanishing and exploding, measured on any model.

Everything is read off the recorded graph. ``unroll`` names the nodes that carry a state (``h``, ``c``, ...) and marks
them with scope and step, so no cell needs to be instrumented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyseq.creation import tensor
from tinyseq.errors import DataError
from tinyseq.functional import gradients
from tinyseq.graph import Leaf, Node, reach
from tinyseq.tensors import Tensor, sweep

Series = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class TruncationBias:
    """How a truncated gradient differs from the full one: cosine of the angle, and ratio of the norms."""

    steps: int
    cosine: float
    norm_ratio: float


def carried_states(output: Tensor) -> dict[str, list[Node]]:
    """Return the nodes that carry each state, in the order of time, under ``scope.name`` (``lstm0.c``)."""
    found: dict[str, dict[int, Node]] = {}
    for node in reach([output.node]):
        if node.name and node.step is not None and not isinstance(node, Leaf):
            found.setdefault(f"{node.scope}.{node.name}" if node.scope else node.name, {})[node.step] = node
    if not found:
        raise DataError("gradient flow: no carried states in the graph", required="a loss computed through ts.unroll")
    return {label: [node for _, node in sorted(steps.items())] for label, steps in found.items()}


def gradient_norms(loss: Tensor) -> Series:
    """Return ||dL/ds_t|| for every step t of every carried state, over the whole batch; the graph is kept.

    NaN marks a state that the loss does not depend on, which is not the same as a gradient of 0.
    """
    states = carried_states(loss)
    nodes = [node for series in states.values() for node in series]
    seed = Tensor(loss.backend.xp.ones_like(loss.value))
    found = sweep({loss.node: seed}, nodes, retain=True)
    return {label: np.array([_norm(found.get(node)) for node in series]) for label, series in states.items()}


def jacobian_norms(output: Tensor) -> Series:
    """Return ||ds_T/ds_t||, the spectral norm of the Jacobian, for every step t; the last entry (lag 0) is 1.

    All rows of the batch must be the same sequence, and there must be as many as the state has units: row k then
    carries unit k's own derivative, so that one sweep a state gives whole Jacobians. (Pascanu, Mikolov and Bengio 2013,
    eq. 5.)

    Raises:
        DataError: the batch has not as many rows as a state has units.
    """
    series: Series = {}
    for label, nodes in carried_states(output).items():
        last = nodes[-1]
        if len(last.shape) != 2 or last.shape[0] != last.shape[1]:
            raise DataError(
                f"jacobian norms of {label}",
                required=f"the same sequence in {last.shape[-1]} rows, one for each unit",
                got=f"a state of shape {last.shape}",
            )
        seed = tensor(np.eye(last.shape[0]), dtype=last.dtype)
        found = sweep({last: seed}, nodes, retain=True)
        series[label] = np.array([_norm(found.get(node), spectral=True) for node in nodes])
    return series


def _norm(gradient: Tensor | None, spectral: bool = False) -> float:
    if gradient is None:
        return float("nan")
    return float(np.linalg.norm(gradient.numpy(), 2 if spectral else None))


def truncation_bias(
    loss_at: Callable[[int | None], Tensor], parameters: Sequence[Tensor], steps: Iterable[int]
) -> list[TruncationBias]:
    """Compare the gradient truncated every k steps with the full one, for each k.

    Args:
        loss_at: computes the loss anew with ``truncate=k``; ``None`` is full backpropagation through time.
        parameters: what the gradient is taken with respect to, joined into one vector.
        steps: the values of k.

    Returns:
        cosine and norm ratio (truncated / full) for each k; both tend to 1 as k reaches the length (Tallec and
        Ollivier 2017 discuss the bias).
    """

    def vector(k: int | None) -> np.ndarray[Any, Any]:
        found = gradients(loss_at(k), parameters)
        parts = [np.zeros(p.shape) if g is None else g.numpy() for p, g in zip(parameters, found, strict=True)]
        return np.concatenate([part.ravel().astype(np.float64) for part in parts])

    full = vector(None)
    size = float(np.linalg.norm(full))
    rows = []
    for k in steps:
        cut = vector(k)
        length = float(np.linalg.norm(cut))
        cosine = float(cut @ full / (length * size)) if length and size else float("nan")
        rows.append(TruncationBias(k, cosine, length / size if size else float("nan")))
    return rows
