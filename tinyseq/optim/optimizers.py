"""Optimisers: how a parameter moves, given its gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tinyseq.errors import DataError, ShapeError
from tinyseq.modes import each_call, no_grad
from tinyseq.ops.elementwise import sqrt
from tinyseq.ops.shape import zeros_like
from tinyseq.tensors import Tensor, live

State = dict[str, Tensor]
#: Python floats or, in a compiled step, inputs that stand for them.
Numbers = Mapping[str, Any]


class Optimizer:
    """The base: holds the parameters, and for each of them a state of named tensors.

    A subclass gives ``start(p)``, the state before the first step, ``numbers(t)``, what a step depends on besides (t
    counts steps from 1), and ``update(p, g, state, n)``, which returns the new value and the new state from those
    numbers. ``update`` is written in ops, so a step can be compiled; the numbers are inputs of a compiled step.

    Raises:
        DataError: no parameters, one of them twice, or an option out of range.
    """

    def __init__(self, parameters: Sequence[Tensor], lr: float) -> None:
        self.parameters = list(parameters)
        name = type(self).__name__
        if not self.parameters:
            raise DataError(f"{name}: no parameters", required="model.parameters()", got="an empty list")
        if len({id(p) for p in self.parameters}) < len(self.parameters):
            raise DataError(f"{name}: a parameter is there twice, and would move twice", fix="model.parameters()")
        if fixed := [p for p in self.parameters if not p.requires_grad]:
            raise DataError(f"{name}: not a parameter", required="requires_grad=True", got=repr(fixed[0])[:80])
        require(name, "lr", lr, lr > 0.0, "over 0")
        self.lr = lr
        self.steps = 0
        with no_grad():
            self.state = [self.start(p) for p in self.parameters]

    def start(self, p: Tensor) -> State:
        """Return the state of a parameter before the first step."""
        return {}

    def numbers(self, t: int) -> Numbers:
        """Return the numbers that step t depends on, by name."""
        return {"lr": float(self.lr)}

    def update(self, p: Tensor, g: Tensor, state: State, n: Numbers) -> tuple[Tensor, State]:
        """Return a parameter's new value and state, with a step's numbers."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def step(self) -> None:
        """Move every parameter that has a gradient."""
        now = self.numbers(self.steps + 1)
        for_dtype: dict[Any, Numbers] = {}
        with no_grad():
            for p, state in zip(self.parameters, self.state, strict=True):
                if p.grad is None:
                    continue
                if p.dtype not in for_dtype:
                    for_dtype[p.dtype] = {name: live(partial(self._number, name), p.dtype) for name in now}
                value, new = self.update(p.detach(), p.grad, state, for_dtype[p.dtype])
                p.assign(value)
                for name, part in new.items():
                    state[name].assign(part)
        each_call(self._count)

    def _number(self, name: str) -> float:
        return float(self.numbers(self.steps + 1)[name])

    def _count(self) -> None:
        self.steps += 1

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.parameters:
            p.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on, parameters apart."""
        return {"lr": self.lr, "steps": self.steps, "state": [_copied(part) for part in self.state]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; all or nothing.

        Raises:
            DataError: the state is of another optimiser, or of another number of parameters.
            ShapeError: it is of parameters of other shapes.
        """
        name, parts = type(self).__name__, state["state"]
        if len(parts) != len(self.parameters):
            raise DataError(
                f"{name}: a state of another model", required=f"{len(self.parameters)} parameters", got=str(len(parts))
            )
        for p, own, part in zip(self.parameters, self.state, parts, strict=True):
            if own.keys() != part.keys():
                raise DataError(
                    f"{name}: a state of another optimiser",
                    required=", ".join(own) or "none",
                    got=", ".join(part) or "none",
                )
            for key, value in part.items():
                if value.shape != own[key].shape:
                    raise ShapeError(
                        f"{name}: the state {key} of {p.name or 'a parameter'}",
                        required=str(own[key].shape),
                        got=str(value.shape),
                    )
        self.lr, self.steps = float(state["lr"]), int(state["steps"])
        self.state = [
            {key: Tensor(own[key].backend.from_host(value.numpy())) for key, value in part.items()}
            for own, part in zip(self.state, parts, strict=True)
        ]


def _copied(state: Mapping[str, Tensor]) -> State:
    """The same values in tensors of their own: a step gives the old ones new values."""
    return {name: part.detach() for name, part in state.items()}


def require(name: str, option: str, value: object, fits: bool, required: str) -> None:
    """Refuse an option out of range."""
    if not fits:
        raise DataError(f"{name}: {option}", required=required, got=str(value))


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
        require("SGD", "momentum", momentum, 0.0 <= momentum < 1.0, "0 <= momentum < 1")
        require("SGD", "momentum with nesterov", momentum, not nesterov or momentum > 0.0, "over 0")
        require("SGD", "weight_decay", weight_decay, weight_decay >= 0.0, "0 or more")
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        super().__init__(parameters, lr)

    def start(self, p: Tensor) -> State:
        return {"velocity": zeros_like(p)} if self.momentum else {}

    def update(self, p: Tensor, g: Tensor, state: State, n: Numbers) -> tuple[Tensor, State]:
        if self.weight_decay:
            g = g + self.weight_decay * p
        if self.momentum:
            velocity = self.momentum * state["velocity"] + g
            state = {"velocity": velocity}
            g = g + self.momentum * velocity if self.nesterov else velocity
        return p - n["lr"] * g, state


class RMSprop(Optimizer):
    """v <- α v + (1 - α) g²,  p <- p - lr g / (sqrt(v) + ε)  (Hinton 2012, lecture 6e).

    With ``momentum`` μ: m <- μ m + g / (sqrt(v) + ε), p <- p - lr m. With ``centered`` v - ḡ² stands for v, ḡ the
    running mean of g (Graves 2013, eq. 38-45). ``weight_decay`` adds λ p to the gradient.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        lr: float = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        require("RMSprop", "alpha", alpha, 0.0 <= alpha < 1.0, "0 <= alpha < 1")
        require("RMSprop", "momentum", momentum, 0.0 <= momentum < 1.0, "0 <= momentum < 1")
        require("RMSprop", "weight_decay", weight_decay, weight_decay >= 0.0, "0 or more")
        require("RMSprop", "eps", eps, eps >= 0.0, "0 or more")
        self.alpha, self.eps, self.momentum, self.centered = alpha, eps, momentum, centered
        self.weight_decay = weight_decay
        super().__init__(parameters, lr)

    def start(self, p: Tensor) -> State:
        names = ["v", *(["mean"] if self.centered else []), *(["m"] if self.momentum else [])]
        return {name: zeros_like(p) for name in names}

    def update(self, p: Tensor, g: Tensor, state: State, n: Numbers) -> tuple[Tensor, State]:
        if self.weight_decay:
            g = g + self.weight_decay * p
        v = self.alpha * state["v"] + (1.0 - self.alpha) * (g * g)
        new = {"v": v}
        if self.centered:
            new["mean"] = self.alpha * state["mean"] + (1.0 - self.alpha) * g
            v = v - new["mean"] * new["mean"]
        step = g / (sqrt(v) + self.eps)
        if self.momentum:
            step = new["m"] = self.momentum * state["m"] + step
        return p - n["lr"] * step, new


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
        name = type(self).__name__
        require(name, "betas", betas, len(betas) == 2 and all(0.0 <= b < 1.0 for b in betas), "two, 0 <= beta < 1")
        require(name, "weight_decay", weight_decay, weight_decay >= 0.0, "0 or more")
        require(name, "eps", eps, eps >= 0.0, "0 or more")
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        super().__init__(parameters, lr)

    def start(self, p: Tensor) -> State:
        return {"m": zeros_like(p), "v": zeros_like(p)}

    def numbers(self, t: int) -> Numbers:
        beta1, beta2 = self.betas
        return {"lr": float(self.lr), "scale": float(self.lr) / (1.0 - beta1**t), "correction": 1.0 - beta2**t}

    def update(self, p: Tensor, g: Tensor, state: State, n: Numbers) -> tuple[Tensor, State]:
        if self.weight_decay:
            g = g + self.weight_decay * p
        return self.move(p, g, state, n)

    def move(self, p: Tensor, g: Tensor, state: State, n: Numbers) -> tuple[Tensor, State]:
        """Return Adam's step, without weight decay."""
        beta1, beta2 = self.betas
        m = beta1 * state["m"] + (1.0 - beta1) * g
        v = beta2 * state["v"] + (1.0 - beta2) * (g * g)
        p = p - n["scale"] * m / (sqrt(v / n["correction"]) + self.eps)
        return p, {"m": m, "v": v}


class AdamW(Adam):
    """Adam whose weight decay leaves the gradient's averages alone: p <- p - lr λ p, then Adam's step.

    Loshchilov and Hutter 2019, algorithm 2.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def update(self, p: Tensor, g: Tensor, state: State, n: Numbers) -> tuple[Tensor, State]:
        return self.move(p - n["lr"] * self.weight_decay * p, g, state, n)
