"""Optimisers: how a parameter moves, given its gradient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from tinyseq.errors import DataError, DtypeError, ShapeError, did_you_mean
from tinyseq.modes import concrete, each_call, looked_at, mode, no_grad
from tinyseq.ops.elementwise import sqrt
from tinyseq.ops.shape import zeros_like
from tinyseq.tensors import Tensor, live

State = dict[str, Tensor]
#: Some parameters (``params``) and the options that they move by.
Group = dict[str, Any]
#: A step's numbers by name, Python floats or, in a compiled step, inputs that stand for them; and a group's options.
Numbers = Mapping[str, Any]
#: Tensors, or groups: dicts with ``params`` and the options that differ from the optimiser's.
Parameters = Iterable[Tensor] | Iterable[Mapping[str, object]]


class Option:
    """An option as an attribute of the optimiser: it reads the first group's, and setting it sets every group's."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, optimizer: Optimizer | None, owner: type) -> Any:
        if optimizer is None:
            return self
        return looked_at(partial(optimizer.param_groups[0].__getitem__, self.name))

    def __set__(self, optimizer: Optimizer, value: Any) -> None:
        for group in optimizer.param_groups:
            group[self.name] = value


class Optimizer:
    """The base: holds groups of parameters with their options, and for each parameter a state and a count of its steps.

    ``param_groups`` is a list of dicts, as PyTorch's: ``params``, ``lr`` and the other options, which may be changed
    between steps. A parameter without a gradient stays as it is, and the step is not counted for it.

    A subclass hands its options on to ``__init__`` and gives ``start(p, group)``, the state before the first step,
    ``numbers(group, t)``, what a step depends on besides (t counts the parameter's steps from 1), and
    ``update(p, g, state, n)``, which returns the new value and the new state; n holds those numbers and the group's
    options. ``update`` is written in ops, so a step can be compiled: the numbers are inputs of the compiled step, and
    the step is compiled anew where an option has changed.

    Raises:
        DataError: no parameters, one of them twice, or an option unknown or out of range.

    As ``torch.optim.Optimizer``. An optimiser of one's own:

    >>> class SignSGD(optim.Optimizer):
    ...     def update(self, p, g, state, n):
    ...         return p - n["lr"] * ts.sign(g), state
    ...
    >>> p = ts.tensor([1.0], requires_grad=True)
    >>> opt = SignSGD([p], 0.1)
    >>> (3.0 * p).sum().backward()
    >>> opt.step()
    >>> round(p.item(), 4)
    0.9
    """

    lr = Option()
    #: What a call may not change, though it is no guard (compiler/environment.py).
    __kept__ = ("param_groups",)
    #: What a compiled step looks at by itself, or changes after each call: no guards of it.
    __live__ = ("param_groups", "counts", "_made", "_places", "defaults")

    def __init__(self, parameters: Parameters, lr: float | None, **options: float | tuple[float, float]) -> None:
        name = type(self).__name__
        self.defaults: Group = {"lr": lr, **options}
        self.param_groups: list[Group] = []
        self.parameters: list[Tensor] = []
        self.state: list[State] = []
        #: How many steps each parameter has made.
        self.counts: list[int] = []
        self._places: dict[Tensor, int] = {}
        #: The options that each group's states were made for.
        self._made: list[Group] = []
        if isinstance(parameters, Tensor | dict):
            raise DataError(
                f"{name}: not a list of parameters", required="model.parameters()", got=repr(parameters)[:80]
            )
        given: list[Any] = list(parameters)
        for group in given if any(isinstance(x, dict) for x in given) else [{"params": given}]:
            self.add_param_group(group)
        if not self.parameters:
            raise DataError(f"{name}: no parameters", required="model.parameters()", got="an empty list")

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add parameters with options of their own; what is not given is as for the others. All or nothing.

        Raises:
            DataError: one is no parameter, or there already; or an option is unknown or out of range.
        """
        name = type(self).__name__
        if not isinstance(group, Mapping) or "params" not in group:
            raise DataError(f"{name}: not a group", required='{"params": [...], "lr": ...}', got=repr(group)[:80])
        if unknown := [key for key in group if key not in ("params", "name", *self.defaults)]:
            raise DataError(
                f"{name}: a group has no option {unknown[0]!r}", fix=did_you_mean(unknown[0], self.defaults)
            )
        given = group["params"]
        parameters = [given] if isinstance(given, Tensor) else list(given)
        for p in parameters:
            if not isinstance(p, Tensor) or not p.requires_grad or not p.is_leaf:
                raise DataError(f"{name}: not a parameter", required="a leaf, requires_grad=True", got=repr(p)[:80])
        if len({id(p) for p in (*self.parameters, *parameters)}) < len(self.parameters) + len(parameters):
            raise DataError(f"{name}: a parameter is there twice, and would move twice", fix="model.parameters()")
        whole = {**self.defaults, **group, "params": parameters}
        require(name, "lr", whole["lr"], whole["lr"] is not None and whole["lr"] > 0.0, "over 0")
        self.check(whole)
        with no_grad(), concrete():
            state = [self.start(p, whole) for p in parameters]
        self.param_groups.append(whole)
        self._made.append(_options(whole))
        self._places |= {p: len(self.parameters) + i for i, p in enumerate(parameters)}
        self.parameters += parameters
        self.state += state
        self.counts += [0] * len(parameters)

    @property
    def steps(self) -> int:
        """How many steps were made: by the parameter that made the most."""
        return looked_at(lambda: max(self.counts, default=0))

    # -- what a subclass gives -----------------------------------------------------------------------------------------

    def check(self, group: Group) -> None:
        """Refuse options out of range."""

    def start(self, p: Tensor, group: Group) -> State:
        """Return the state of a parameter before the first step."""
        return {}

    def numbers(self, group: Group, t: int) -> Numbers:
        """Return the numbers that a parameter's step t depends on, by name."""
        return {"lr": float(group["lr"])}

    def update(self, p: Tensor, g: Tensor, state: State, n: Numbers) -> tuple[Tensor, State]:
        """Return a parameter's new value and state, with a step's numbers and its group's options."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    # -- stepping ------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Move every parameter that has a gradient.

        Raises:
            DtypeError: a gradient is of another dtype than its parameter; nothing has moved.
        """
        self._complete(looked_at(self._options))
        looked_at(lambda: [len(group["params"]) for group in self.param_groups])
        moving = [(number, self._place(p)) for number, group in enumerate(self.param_groups) for p in group["params"]]
        moving = [(number, i) for number, i in moving if self.parameters[i].grad is not None]
        places = [i for _, i in moving]
        for i in places:
            self._fit(i)
        # Parameters that have made equally many steps share their numbers; a compiled step relies on that.
        looked_at(partial(self._apart, places))
        ahead = self._made_in_trace()
        known: dict[Any, Numbers] = {}
        with no_grad():
            for number, i in moving:
                p, state = self.parameters[i], self.state[i]
                key = number, self.counts[i] + ahead.get(i, 0), p.dtype
                if key not in known:
                    known[key] = self._numbers(number, i, ahead.get(i, 0) + 1, p.dtype)
                value, new = self.update(p.detach(), _gradient(p), state, known[key])
                p.assign(value)
                for name, part in new.items():
                    state[name].assign(part)
        each_call(partial(self._count, places))

    def _place(self, p: Tensor) -> int:
        if p not in self._places:
            raise DataError(
                f"{type(self).__name__}: a parameter that was put into a group by hand",
                got=repr(p)[:80],
                fix="add_param_group",
            )
        return self._places[p]

    def _complete(self, options: list[Group]) -> None:
        """Add to the states what options need that have changed since, such as a velocity."""
        for number, (group, now) in enumerate(zip(self.param_groups, options, strict=True)):
            if now != self._made[number]:
                self.check(group)
                with no_grad(), concrete():
                    for p in group["params"]:
                        for name, part in self.start(p, group).items():
                            self.state[self._place(p)].setdefault(name, part)
                self._made[number] = now

    def _fit(self, i: int) -> None:
        """Give a state the dtype of its parameter, and see that the gradient has it too."""
        p, state = self.parameters[i], self.state[i]
        if _gradient(p).dtype != p.dtype:
            raise DtypeError(
                f"{type(self).__name__}: a gradient of another dtype than {p.name or 'its parameter'}: no step",
                required=str(p.dtype),
                got=str(_gradient(p).dtype),
                fix="p.grad.cast(p.dtype)",
            )
        for part in state.values():
            if part.dtype != p.dtype:  # the parameter was cast since
                part.value, part._node = part.value.astype(p.dtype), None

    def _options(self) -> list[Group]:
        """What a compiled step has in it: the options but for the learning rate, which it reads."""
        return [_options(group) for group in self.param_groups]

    def _apart(self, places: Sequence[int]) -> list[int]:
        """How many steps each of some parameters has made more than the first of them."""
        return [self.counts[i] - self.counts[places[0]] for i in places]

    def _made_in_trace(self) -> dict[int, int]:
        """How many steps each parameter has made in the function that is being traced: its calls will count them."""
        made: dict[int, int] = {}
        for effect in mode.tracing.effects if mode.tracing is not None else []:
            if isinstance(effect, partial) and effect.func == self._count:
                for i in effect.args[0]:
                    made[i] = made.get(i, 0) + 1
        return made

    def _numbers(self, number: int, i: int, step: int, dtype: Any) -> Numbers:
        """Return a group's options and, read live, the numbers of a parameter's next step but so many."""

        def read(name: str) -> float:
            return float(self.numbers(self.param_groups[number], self.counts[i] + step)[name])

        group = self.param_groups[number]
        names = self.numbers(group, self.counts[i] + step)
        if mode.tracing is None:
            return {**group, **names}
        return {**group, **{name: live(partial(read, name), dtype) for name in names}}

    def _count(self, places: Sequence[int]) -> None:
        for i in places:
            self.counts[i] += 1

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.parameters:
            p.grad = None

    # -- its state -----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on, parameters apart: ``params`` are places in their order."""
        groups = [{**group, "params": [self._places[p] for p in group["params"]]} for group in self.param_groups]
        return {
            "param_groups": groups,
            "steps": list(self.counts),
            "state": [{name: part.detach() for name, part in state.items()} for state in self.state],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, options included; all or nothing. Values take the parameters' dtypes.

        A state of before there were groups has one learning rate, and one count of steps, for all.

        Raises:
            DataError: the state is of another optimiser, or of other numbers of parameters.
            ShapeError: it is of parameters of other shapes.
        """
        name, parts = type(self).__name__, state["state"]
        if len(parts) != len(self.parameters):
            raise DataError(
                f"{name}: a state of another model", required=f"{len(self.parameters)} parameters", got=str(len(parts))
            )
        counts = _counts(name, state["steps"], len(self.parameters))
        groups = self._groups(name, state)
        of_parameter = {p: group for group in groups for p in group["params"]}
        for p, part in zip(self.parameters, parts, strict=True):
            with no_grad(), concrete():
                own = self.start(p, of_parameter[p])
            # What an option needed that is off now is kept, as it is between steps.
            if own.keys() - part.keys() or ("param_groups" not in state and part.keys() - own.keys()):
                raise DataError(
                    f"{name}: a state of another optimiser",
                    required=", ".join(own) or "none",
                    got=", ".join(part) or "none",
                )
            for key, value in part.items():
                if value.shape != (wanted := own.get(key, p).shape):
                    raise ShapeError(
                        f"{name}: the state {key} of {p.name or 'a parameter'}",
                        required=str(wanted),
                        got=str(value.shape),
                    )
        self.counts, self.param_groups, self._made = counts, groups, [_options(group) for group in groups]
        self.state = [
            {key: Tensor(p.backend.from_host(value.numpy().astype(p.dtype))) for key, value in part.items()}
            for p, part in zip(self.parameters, parts, strict=True)
        ]

    def _groups(self, name: str, state: Mapping[str, Any]) -> list[Group]:
        """Return the groups with a state's options."""
        if "param_groups" not in state:
            return [{**group, "lr": float(state["lr"])} for group in self.param_groups]
        kept = state["param_groups"]
        sizes, got = [len(g["params"]) for g in self.param_groups], [len(g["params"]) for g in kept]
        if sizes != got:
            raise DataError(f"{name}: a state of other groups", required=f"groups of {sizes} parameters", got=str(got))
        groups = []
        for group, part in zip(self.param_groups, kept, strict=True):
            if unknown := sorted(part.keys() - group.keys() - {"name"}):
                raise DataError(
                    f"{name}: a state of another optimiser", required=", ".join(self.defaults), got=", ".join(unknown)
                )
            # JSON has no tuples.
            options = {key: tuple(value) if isinstance(value, list) else value for key, value in part.items()}
            groups.append({**group, **options, "lr": float(part["lr"]), "params": group["params"]})
            self.check(groups[-1])
        return groups


def _options(group: Group) -> Group:
    return {key: value for key, value in group.items() if key not in ("params", "lr")}


def _gradient(p: Tensor) -> Tensor:
    gradient = p.grad
    assert gradient is not None
    return gradient


def _counts(name: str, steps: int | Sequence[int], parameters: int) -> list[int]:
    counts = [int(t) for t in steps] if isinstance(steps, Sequence) else [int(steps)] * parameters
    if len(counts) != parameters or min(counts, default=0) < 0:
        raise DataError(
            f"{name}: counts of steps", required=f"{parameters} numbers, 0 or more", got=f"{len(counts)}: {counts[:8]}"
        )
    return counts


def require(name: str, option: str, value: object, fits: bool, required: str) -> None:
    """Refuse an option out of range."""
    if not fits:
        raise DataError(f"{name}: {option}", required=required, got=str(value))


class SGD(Optimizer):
    """Gradient descent, v <- μ v + g, p <- p - lr v (with ``nesterov``: p <- p - lr (g + μ v)).

    ``weight_decay`` adds λ p to the gradient. Sutskever et al. 2013, in PyTorch's form. Where each group has an ``lr``,
    none need be given for all.

    As ``torch.optim.SGD``.

    >>> p = ts.tensor([1.0], requires_grad=True)
    >>> opt = optim.SGD([p], lr=0.1)
    >>> (3.0 * p).sum().backward()
    >>> opt.step()
    >>> round(p.item(), 4)
    0.7
    """

    momentum, nesterov, weight_decay = Option(), Option(), Option()

    def __init__(
        self,
        parameters: Parameters,
        lr: float | None = None,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)

    def check(self, group: Group) -> None:
        momentum, decay = group["momentum"], group["weight_decay"]
        require("SGD", "momentum", momentum, 0.0 <= momentum < 1.0, "0 <= momentum < 1")
        require("SGD", "momentum with nesterov", momentum, not group["nesterov"] or momentum > 0.0, "over 0")
        require("SGD", "weight_decay", decay, decay >= 0.0, "0 or more")

    def start(self, p: Tensor, group: Group) -> State:
        return {"velocity": zeros_like(p)} if group["momentum"] else {}

    def update(self, p: Tensor, g: Tensor, state: State, n: Numbers) -> tuple[Tensor, State]:
        momentum = n["momentum"]
        if n["weight_decay"]:
            g = g + n["weight_decay"] * p
        if momentum:
            velocity = momentum * state["velocity"] + g
            state = {"velocity": velocity}
            g = g + momentum * velocity if n["nesterov"] else velocity
        else:
            state = {}
        return p - n["lr"] * g, state


class RMSprop(Optimizer):
    """v <- α v + (1 - α) g²,  p <- p - lr g / (sqrt(v) + ε)  (Hinton 2012, lecture 6e).

    With ``momentum`` μ: m <- μ m + g / (sqrt(v) + ε), p <- p - lr m. With ``centered`` v - ḡ² stands for v, ḡ the
    running mean of g (Graves 2013, eq. 38-45). ``weight_decay`` adds λ p to the gradient.

    As ``torch.optim.RMSprop``.

    >>> p = ts.tensor([1.0], requires_grad=True)
    >>> opt = optim.RMSprop([p], lr=0.05)
    >>> (3.0 * p).sum().backward()
    >>> opt.step()
    >>> round(p.item(), 4)
    0.5
    """

    alpha, eps, momentum, centered, weight_decay = Option(), Option(), Option(), Option(), Option()

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-2,
        *,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            parameters, lr, alpha=alpha, eps=eps, momentum=momentum, centered=centered, weight_decay=weight_decay
        )

    def check(self, group: Group) -> None:
        alpha, momentum, decay, eps = (group[key] for key in ("alpha", "momentum", "weight_decay", "eps"))
        require("RMSprop", "alpha", alpha, 0.0 <= alpha < 1.0, "0 <= alpha < 1")
        require("RMSprop", "momentum", momentum, 0.0 <= momentum < 1.0, "0 <= momentum < 1")
        require("RMSprop", "weight_decay", decay, decay >= 0.0, "0 or more")
        require("RMSprop", "eps", eps, eps >= 0.0, "0 or more")

    def start(self, p: Tensor, group: Group) -> State:
        names = ["v", *(["mean"] if group["centered"] else []), *(["m"] if group["momentum"] else [])]
        return {name: zeros_like(p) for name in names}

    def update(self, p: Tensor, g: Tensor, state: State, n: Numbers) -> tuple[Tensor, State]:
        alpha = n["alpha"]
        if n["weight_decay"]:
            g = g + n["weight_decay"] * p
        v = alpha * state["v"] + (1.0 - alpha) * (g * g)
        new = {"v": v}
        if n["centered"]:
            new["mean"] = alpha * state["mean"] + (1.0 - alpha) * g
            v = v - new["mean"] * new["mean"]
        step = g / (sqrt(v) + n["eps"])
        if n["momentum"]:
            step = new["m"] = n["momentum"] * state["m"] + step
        return p - n["lr"] * step, new


class Adam(Optimizer):
    """m <- β1 m + (1 - β1) g,  v <- β2 v + (1 - β2) g²,  p <- p - lr m^ / (sqrt(v^) + ε)  (Kingma and Ba 2015).

    m^ = m / (1 - β1^t), v^ = v / (1 - β2^t), where t counts the steps of the parameter itself: those at which it had a
    gradient. ``weight_decay`` adds λ p to the gradient.

    As ``torch.optim.Adam``.

    >>> p = ts.tensor([1.0], requires_grad=True)
    >>> opt = optim.Adam([p], lr=0.1)
    >>> (3.0 * p).sum().backward()
    >>> opt.step()
    >>> round(p.item(), 4)
    0.9
    """

    betas, eps, weight_decay = Option(), Option(), Option()

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def check(self, group: Group) -> None:
        name, betas, decay, eps = type(self).__name__, group["betas"], group["weight_decay"], group["eps"]
        require(name, "betas", betas, len(betas) == 2 and all(0.0 <= b < 1.0 for b in betas), "two, 0 <= beta < 1")
        require(name, "weight_decay", decay, decay >= 0.0, "0 or more")
        require(name, "eps", eps, eps >= 0.0, "0 or more")

    def start(self, p: Tensor, group: Group) -> State:
        return {"m": zeros_like(p), "v": zeros_like(p)}

    def numbers(self, group: Group, t: int) -> Numbers:
        beta1, beta2 = group["betas"]
        rate = float(group["lr"])
        return {"lr": rate, "scale": rate / (1.0 - beta1**t), "correction": 1.0 - beta2**t}

    def update(self, p: Tensor, g: Tensor, state: State, n: Numbers) -> tuple[Tensor, State]:
        if n["weight_decay"]:
            g = g + n["weight_decay"] * p
        return self.move(p, g, state, n)

    def move(self, p: Tensor, g: Tensor, state: State, n: Numbers) -> tuple[Tensor, State]:
        """Return Adam's step, without weight decay."""
        beta1, beta2 = n["betas"]
        m = beta1 * state["m"] + (1.0 - beta1) * g
        v = beta2 * state["v"] + (1.0 - beta2) * (g * g)
        p = p - n["scale"] * m / (sqrt(v / n["correction"]) + n["eps"])
        return p, {"m": m, "v": v}


class AdamW(Adam):
    """Adam whose weight decay leaves the gradient's averages alone: p <- p - lr λ p, then Adam's step.

    Loshchilov and Hutter 2019, algorithm 2.

    As ``torch.optim.AdamW``.

    >>> p = ts.tensor([1.0], requires_grad=True)
    >>> opt = optim.AdamW([p], lr=0.1, weight_decay=0.5)
    >>> (3.0 * p).sum().backward()
    >>> opt.step()
    >>> round(p.item(), 4)
    0.85
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def update(self, p: Tensor, g: Tensor, state: State, n: Numbers) -> tuple[Tensor, State]:
        return self.move(p - n["lr"] * n["weight_decay"] * p, g, state, n)
