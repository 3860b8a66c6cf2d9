"""Optimisers: how a parameter moves, given its gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyseq.errors import DataError
from tinyseq.ops.elementwise import sqrt
from tinyseq.ops.shape import zeros_like
from tinyseq.tensors import Tensor, no_grad

State = dict[str, Tensor]


class Optimizer:
    """The base: holds the parameters, and for each of them a state of named tensors.

    A subclass gives ``start(p)``, the state before the first step, and ``update(p, g, state, t)``, which returns the new
    value and the new state; t counts steps from 1. Both are written in ops, so a step can be compiled.
    """

    def __init__(self, parameters: Sequence[Tensor], lr: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise DataError("an optimiser with no parameters", required="model.parameters()", got="an empty list")
        if not lr > 0.0:
            raise DataError("an optimiser's learning rate", required="lr > 0", got=str(lr))
        self.lr = lr
        self.steps = 0
        with no_grad():
            self.state = [self.start(p) for p in self.parameters]

    def start(self, p: Tensor) -> State:
        """Return the state of a parameter before the first step."""
        return {}

    def update(self, p: Tensor, g: Tensor, state: State, t: int) -> tuple[Tensor, State]:
        """Return a parameter's new value and state after step t."""
        raise NotImplementedError

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        self.steps += 1
        with no_grad():
            for i, p in enumerate(self.parameters):
                if p.grad is not None:
                    value, self.state[i] = self.update(p.detach(), p.grad, self.state[i], self.steps)
                    p.assign(value)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.parameters:
            p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on, parameters apart."""
        return {"lr": self.lr, "steps": self.steps, "state": [dict(state) for state in self.state]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        if len(state["state"]) != len(self.parameters):
            raise DataError(
                "an optimiser's state of another model",
                required=f"{len(self.parameters)} parameters",
                got=str(len(state["state"])),
            )
        self.lr, self.steps = float(state["lr"]), int(state["steps"])
        self.state = [dict(part) for part in state["state"]]


class SGD(Optimizer):
    """Gradient descent, v <- μ v + g, p <- p - lr v (with ``nesterov``: p <- p - lr (g + μ v)).

    ``weight_decay`` adds λ p to the gradient. Sutskever et al. 2013, in PyTorch's form.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        lr: float,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        if nesterov and not momentum:
            raise DataError("SGD: nesterov without momentum", required="momentum > 0", got=str(momentum))
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        super().__init__(parameters, lr)

    def start(self, p: Tensor) -> State:
        return {"velocity": zeros_like(p)} if self.momentum else {}

    def update(self, p: Tensor, g: Tensor, state: State, t: int) -> tuple[Tensor, State]:
        if self.weight_decay:
            g = g + self.weight_decay * p
        if self.momentum:
            velocity = self.momentum * state["velocity"] + g
            state = {"velocity": velocity}
            g = g + self.momentum * velocity if self.nesterov else velocity
        return p - self.lr * g, state


class Adam(Optimizer):
    """m <- β1 m + (1 - β1) g,  v <- β2 v + (1 - β2) g²,  p <- p - lr m^ / (sqrt(v^) + ε)  (Kingma and Ba 2015).

    m^ = m / (1 - β1^t), v^ = v / (1 - β2^t). ``weight_decay`` adds λ p to the gradient.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if not all(0.0 <= beta < 1.0 for beta in betas):
            raise DataError("Adam: betas", required="0 <= beta < 1", got=str(betas))
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        super().__init__(parameters, lr)

    def start(self, p: Tensor) -> State:
        return {"m": zeros_like(p), "v": zeros_like(p)}

    def update(self, p: Tensor, g: Tensor, state: State, t: int) -> tuple[Tensor, State]:
        beta1, beta2 = self.betas
        if self.weight_decay:
            g = g + self.weight_decay * p
        m = beta1 * state["m"] + (1.0 - beta1) * g
        v = beta2 * state["v"] + (1.0 - beta2) * (g * g)
        scale = self.lr / (1.0 - beta1**t)
        p = p - scale * m / (sqrt(v / (1.0 - beta2**t)) + self.eps)
        return p, {"m": m, "v": v}
