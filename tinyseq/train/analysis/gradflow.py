"""How gradients flow through time: the lecture's two problems, vanishing and exploding, measured on any model.

Everything is read off the recorded graph. ``unroll`` names the nodes that carry a state (``h``, ``c``, ...) and marks
them with scope and step, so no cell needs to be instrumented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyseq import nn, optim
from tinyseq.creation import tensor
from tinyseq.errors import DataError
from tinyseq.functional import detach, gradients
from tinyseq.graph import Leaf, Node, reach
from tinyseq.tensors import Tensor, sweep
from tinyseq.train.config.run_config import TrainConfig
from tinyseq.train.tasks.learning import Learning
from tinyseq.unrolling import truncating

Series = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class TruncationBias:
    """How a truncated gradient differs from the full one: cosine of the angle, and ratio of the norms."""

    steps: int
    cosine: float
    norm_ratio: float


@dataclass(frozen=True)
class Flow:
    """What is measured of one model: see ``gradient_norms``, ``jacobian_norms`` and ``truncation_bias``."""

    label: str
    gradients: Series
    jacobians: Series
    bias: list[TruncationBias]
    #: The norm of the gradient of all parameters.
    total: float


@dataclass(frozen=True)
class Updates:
    """Loss and gradient norm (before clipping) at each update; shorter where a number was no longer finite."""

    losses: np.ndarray[Any, Any]
    norms: np.ndarray[Any, Any]
    diverged: bool


def carried_states(output: Tensor) -> dict[str, list[Node]]:
    """Return the nodes that carry each state, in the order of time, under ``scope.name`` (``lstm0.c``)."""
    nodes: dict[str, dict[int, Node]] = {}
    for node in reach([output.node]):
        if node.name and node.step is not None and not isinstance(node, Leaf):
            nodes.setdefault(f"{node.scope}.{node.name}" if node.scope else node.name, {})[node.step] = node
    if not nodes:
        raise DataError("gradient flow: no carried states in the graph", required="a loss computed through ts.unroll")
    return {label: [node for _, node in sorted(steps.items())] for label, steps in nodes.items()}


def gradient_norms(loss: Tensor) -> Series:
    """Return ||dL/ds_t|| for every step t of every carried state, over the whole batch; the graph is kept.

    NaN marks a state that the loss does not depend on, which is not the same as a gradient of 0.
    """
    states = carried_states(loss)
    nodes = [node for series in states.values() for node in series]
    xp = loss.backend.xp
    gradients = sweep({loss.node: Tensor(xp.ones_like(loss.value))}, nodes, retain=True)
    # A slice passes zeros on for what it left out. To tell them from gradients that are 0, a NaN is sent the same way:
    # no product swallows it, so what stays free of it was not reached.
    marked = sweep({loss.node: Tensor(xp.full_like(loss.value, xp.nan))}, nodes, retain=True)
    reached = {node for node, mark in marked.items() if np.isnan(mark.numpy()).any()}
    return {
        label: np.array([_norm(gradients.get(node) if node in reached else None) for node in series])
        for label, series in states.items()
    }


def jacobian_norms(output: Tensor) -> Series:
    """Return ||ds_T/ds_t||, the spectral norm of the Jacobian, for every step t; the last entry (lag 0) is 1.

    Each unit of a state takes a sweep, whatever the cell (Pascanu, Mikolov and Bengio 2013, eq. 5). Where the batch has
    several rows, which must not look at each other, the largest of their norms is told. A state is differentiated by
    itself: of an LSTM, dc_T/dc_t holds what reaches c_T through h as well, and dh_T/dh_t what reaches h_T while c_t
    stays as it is. Steps are in the order in which they were computed, also where a layer reads from the end.

    Raises:
        DataError: a state that is not (batch, units).
    """
    series: Series = {}
    for label, states in carried_states(output).items():
        nodes = sorted(states, key=lambda node: node.serial)
        last = nodes[-1]
        if len(last.shape) != 2:
            raise DataError(f"jacobian norms of {label}", required="a state (batch, units)", got=str(last.shape))
        rows, units = last.shape
        jacobians = np.full((len(nodes), rows, units, units), np.nan)
        for unit in range(units):
            seed = np.zeros(last.shape)
            seed[:, unit] = 1.0
            gradients = sweep({last: tensor(seed, dtype=last.dtype)}, nodes, retain=True)
            for step, node in enumerate(nodes):
                if node in gradients:
                    jacobians[step, :, unit] = gradients[node].numpy()
        series[label] = np.array([max(map(_spectral, of_rows)) for of_rows in jacobians])
    return series


def _norm(gradient: Tensor | None) -> float:
    return float("nan") if gradient is None else float(np.linalg.norm(gradient.numpy()))


def _joint(gradients: Sequence[Tensor | None]) -> float:
    """Return the norm of gradients joined into one vector."""
    return float(
        np.sqrt(sum(float(np.sum(np.square(g.numpy(), dtype=np.float64))) for g in gradients if g is not None))
    )


def _spectral(jacobian: np.ndarray[Any, Any]) -> float:
    """Return the largest singular value; NaN where an entry is NaN, infinity where one is infinite."""
    if not np.isfinite(jacobian).all():
        return float("nan") if np.isnan(jacobian).any() else float("inf")
    return float(np.linalg.norm(jacobian, 2))


def truncation_bias(
    loss_at: Callable[[int | None], Tensor], parameters: Sequence[Tensor], steps: Iterable[int]
) -> list[TruncationBias]:
    """Compare the gradient truncated every k steps with the full one, for each k.

    Args:
        loss_at: computes the loss anew with ``truncate=k``; ``None`` is full backpropagation through time.
        parameters: what the gradient is taken with respect to, joined into one vector.
        steps: the values of k.

    Returns:
        cosine and norm ratio (truncated / full) for each k; both are 1 once k reaches the length (Tallec and Ollivier
        2017 discuss the bias).
    """

    def vector(k: int | None) -> np.ndarray[Any, Any]:
        swept = gradients(loss_at(k), parameters)
        parts = [np.zeros(p.shape) if g is None else g.numpy() for p, g in zip(parameters, swept, strict=True)]
        return np.concatenate([part.ravel().astype(np.float64) for part in parts])

    full = vector(None)
    size = float(np.linalg.norm(full))
    rows = []
    for k in steps:
        cut = vector(k)
        if np.array_equal(cut, full):  # nothing was cut: 1, and not 1 to rounding
            rows.append(TruncationBias(k, 1.0, 1.0) if size else TruncationBias(k, float("nan"), float("nan")))
            continue
        length = float(np.linalg.norm(cut))
        cosine = float(cut @ full / (length * size)) if length and size else float("nan")
        rows.append(TruncationBias(k, cosine, length / size if size else float("nan")))
    return rows


def measure(task: Learning[Any], model: nn.Module, steps: int, label: str = "model") -> Flow:
    """Measure the flow of gradients over the task's example of so many steps, without dropout.

    The bias of truncation is taken at k = 1, 2, 4, ... below ``steps``, and at ``steps``.
    """
    model.eval()
    parameters = model.parameters()

    def loss_at(k: int | None) -> Tensor:
        with truncating(k):
            return task.example(model, steps)

    loss = task.example(model, steps)
    norms, jacobians = gradient_norms(loss), jacobian_norms(loss)
    total = _joint(gradients(loss, parameters))
    lengths = [*(2**i for i in range((steps - 1).bit_length())), steps]
    return Flow(label, norms, jacobians, truncation_bias(loss_at, parameters, lengths), total)


def updates(task: Learning[Any], model: nn.Module, config: TrainConfig, count: int, clip_norm: float | None) -> Updates:
    """Train for some updates, at a constant rate, and note loss and gradient norm; with or without clipping.

    Raises:
        DataError: the task is trained in one pass.
    """
    if task.one_pass:
        raise DataError("there are no updates to watch", required="a model that is trained along gradients")
    optimizer = config.optimizer.make(model.parameters())
    batches, state = task.batches(), None
    losses: list[float] = []
    norms: list[float] = []
    model.train()
    for _ in range(count):
        result = task.step(model, next(batches), state)
        result.loss.backward()
        norm = _joint([p.grad for p in optimizer.parameters])
        loss = float(result.loss.item())
        if not (np.isfinite(loss) and np.isfinite(norm)):
            return Updates(np.array(losses), np.array(norms), True)
        losses.append(loss)
        norms.append(norm)
        if clip_norm is not None:
            optim.clip_grad_norm(optimizer.parameters, clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        model.constrain()
        state = detach(result.state)
    return Updates(np.array(losses), np.array(norms), False)
