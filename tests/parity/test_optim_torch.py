"""Optimisers, clipping and schedules against PyTorch, in float64, over 20 steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import optim

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install tinyseq[parity]")

pytestmark = pytest.mark.parity

SHAPES = [(3, 4), (4,), ()]
CLOSE = {"rtol": 1e-10, "atol": 1e-13}
TO = torch.optim

OPTIMIZERS: dict[str, tuple[Callable[[Any], optim.Optimizer], Callable[[Any], Any]]] = {
    "sgd": (lambda p: optim.SGD(p, 0.1), lambda p: TO.SGD(p, 0.1)),
    "sgd-decay": (lambda p: optim.SGD(p, 0.1, weight_decay=0.2), lambda p: TO.SGD(p, 0.1, weight_decay=0.2)),
    "momentum": (lambda p: optim.SGD(p, 0.05, momentum=0.9), lambda p: TO.SGD(p, 0.05, momentum=0.9)),
    "nesterov": (
        lambda p: optim.SGD(p, 0.05, momentum=0.8, nesterov=True, weight_decay=0.1),
        lambda p: TO.SGD(p, 0.05, momentum=0.8, nesterov=True, weight_decay=0.1),
    ),
    "rmsprop": (lambda p: optim.RMSprop(p, 0.03), lambda p: TO.RMSprop(p, 0.03)),
    "rmsprop-centered-momentum": (
        lambda p: optim.RMSprop(p, 0.03, alpha=0.9, eps=1e-3, momentum=0.7, centered=True, weight_decay=0.1),
        lambda p: TO.RMSprop(p, 0.03, alpha=0.9, eps=1e-3, momentum=0.7, centered=True, weight_decay=0.1),
    ),
    "adam": (lambda p: optim.Adam(p, 0.1), lambda p: TO.Adam(p, 0.1)),
    "adam-options": (
        lambda p: optim.Adam(p, 0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3),
        lambda p: TO.Adam(p, 0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3),
    ),
    "adamw": (lambda p: optim.AdamW(p, 0.1), lambda p: TO.AdamW(p, 0.1)),
    "adamw-options": (
        lambda p: optim.AdamW(p, 0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3),
        lambda p: TO.AdamW(p, 0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3),
    ),
}


def parameters(seed: int = 0) -> tuple[list[ts.Tensor], list[Any]]:
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=shape) for shape in SHAPES]
    ours = [ts.tensor(value, requires_grad=True, dtype=np.float64) for value in values]
    return ours, [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in values]


def give_gradients(rng: np.random.Generator, ours: list[ts.Tensor], theirs: list[Any], skip: int | None = None) -> None:
    for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
        g = rng.normal(0.3, 2.0, p.shape)
        p.grad = None if i == skip else ts.tensor(np.asarray(g, dtype=np.float64))
        q.grad = None if i == skip else torch.tensor(g, dtype=torch.float64)


def same(ours: list[ts.Tensor], theirs: list[Any], what: str = "") -> None:
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), err_msg=what, **CLOSE)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_twenty_steps(name: str) -> None:
    make, make_theirs = OPTIMIZERS[name]
    ours, theirs = parameters()
    opt, their_opt = make(ours), make_theirs(theirs)
    rng = np.random.default_rng(1)
    for step in range(20):
        give_gradients(rng, ours, theirs)
        opt.step()
        their_opt.step()
        same(ours, theirs, f"step {step}")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_first_gradient_may_come_late(name: str) -> None:
    """PyTorch counts the steps of each parameter: what has had no gradient is corrected as at its own first step."""
    make, make_theirs = OPTIMIZERS[name]
    ours, theirs = parameters()
    opt, their_opt = make(ours), make_theirs(theirs)
    rng = np.random.default_rng(1)
    for step in range(20):
        give_gradients(rng, ours, theirs, skip=1 if step < 11 else 0 if step % 3 else None)
        opt.step()
        their_opt.step()
        same(ours, theirs, f"step {step}")
    if "adam" in name:
        assert opt.counts == [int(their_opt.state[q]["step"]) for q in theirs]


def two_groups(parameters: list[Any]) -> list[dict[str, Any]]:
    return [{"params": parameters[:1], "lr": 0.04, "weight_decay": 0.3}, {"params": parameters[1:]}]


GROUPED = {
    "sgd": (optim.SGD, TO.SGD, {"lr": 0.1}),
    "nesterov": (optim.SGD, TO.SGD, {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    "rmsprop": (optim.RMSprop, TO.RMSprop, {"lr": 0.03, "momentum": 0.5, "centered": True}),
    "adam": (optim.Adam, TO.Adam, {"lr": 0.1, "betas": (0.8, 0.95)}),
    "adamw": (optim.AdamW, TO.AdamW, {"lr": 0.1, "eps": 1e-3}),
}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", GROUPED)
def test_groups(name: str, compiled: bool) -> None:
    """Options of their own, a group that joins later, a schedule over all of them, and options that change."""
    kind, theirs_kind, options = GROUPED[name]
    ours, theirs = parameters()
    opt, their_opt = kind(two_groups(ours[:2]), **options), theirs_kind(two_groups(theirs[:2]), **options)

    def move(*gradients: ts.Tensor) -> ts.Tensor:
        for p, g in zip(opt.parameters, gradients, strict=True):
            p.grad = g
        opt.step()
        opt.zero_grad()
        return gradients[0].sum()

    step = ts.compile(move) if compiled else move
    scheduler, their_scheduler = (
        optim.Scheduler(opt, optim.StepDecay(4, 0.5)),
        TO.lr_scheduler.StepLR(their_opt, 4, 0.5),
    )
    rng = np.random.default_rng(1)
    for i in range(18):
        if i == 5:
            opt.add_param_group({"params": ours[2], "lr": 0.02})
            their_opt.add_param_group({"params": theirs[2], "lr": 0.02})
            scheduler, their_scheduler = optim.Scheduler(opt, optim.Constant()), None
        if i == 9:
            for each in (opt, their_opt):
                each.param_groups[1]["weight_decay"] = 0.5
                each.param_groups[0]["lr"] = 0.3
        give_gradients(rng, ours, theirs)
        step(*[p.grad for p in opt.parameters])
        their_opt.step()
        if their_scheduler is not None:
            scheduler.step()
            their_scheduler.step()
        rates = [group["lr"] for group in their_opt.param_groups]
        np.testing.assert_allclose([group["lr"] for group in opt.param_groups], rates, rtol=1e-12)
        same(opt.parameters, theirs[: len(opt.parameters)], f"step {i}")


@pytest.mark.parametrize("name", GROUPED)
def test_a_state_of_groups_goes_on_as_theirs(name: str) -> None:
    kind, theirs_kind, options = GROUPED[name]
    ours, theirs = parameters()
    opt, their_opt = kind(two_groups(ours), **options), theirs_kind(two_groups(theirs), **options)
    rng = np.random.default_rng(1)
    for i in range(6):
        give_gradients(rng, ours, theirs, skip=2 if i < 3 else None)
        opt.step()
        their_opt.step()
    plain = {"lr": 1.0, **({"momentum": options["momentum"]} if "momentum" in options else {})}
    plain |= {"centered": True} if "centered" in options else {}
    fresh, their_fresh = kind(two_groups(ours), **plain), theirs_kind(two_groups(theirs), **plain)
    fresh.load_state_dict(opt.state_dict())
    their_fresh.load_state_dict(their_opt.state_dict())
    for i in range(6):
        give_gradients(rng, ours, theirs)
        fresh.step()
        their_fresh.step()
        same(ours, theirs, f"step {i}")


@pytest.mark.parametrize("name", ["sgd", "momentum", "rmsprop"])
def test_a_parameter_without_a_gradient_stays(name: str) -> None:
    make, make_theirs = OPTIMIZERS[name]
    ours, theirs = parameters()
    opt, their_opt = make(ours), make_theirs(theirs)
    rng = np.random.default_rng(1)
    for step in range(6):
        give_gradients(rng, ours, theirs, skip=1 if step % 2 else None)
        opt.step()
        their_opt.step()
        same(ours, theirs, f"step {step}")


@pytest.mark.parametrize("limit", [0.5, 3.0, 1e6])
def test_clipping(limit: float) -> None:
    ours, theirs = parameters()
    give_gradients(np.random.default_rng(2), ours, theirs, skip=1)
    norm = optim.clip_grad_norm(ours, limit)
    their_norm = torch.nn.utils.clip_grad_norm_(theirs, limit)
    np.testing.assert_allclose(norm.item(), their_norm.item(), rtol=1e-12)
    for p, q in zip(ours, theirs, strict=True):
        if q.grad is not None:  # PyTorch divides by the norm + 1e-6
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=2e-6)
    give_gradients(np.random.default_rng(3), ours, theirs)
    optim.clip_grad_value(ours, limit)
    torch.nn.utils.clip_grad_value_(theirs, limit)
    same([p.grad for p in ours], [q.grad for q in theirs])


SCHEDULES: dict[str, tuple[Callable[[], optim.Schedule], Callable[[Any], Any]]] = {
    "constant": (optim.Constant, lambda o: TO.lr_scheduler.ConstantLR(o, factor=1.0)),
    "step": (lambda: optim.StepDecay(4, 0.3), lambda o: TO.lr_scheduler.StepLR(o, 4, 0.3)),
    "linear": (
        lambda: optim.Linear(12, 0.1),
        lambda o: TO.lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=12),
    ),
    "cosine": (lambda: optim.Cosine(25, 0.1), lambda o: TO.lr_scheduler.CosineAnnealingLR(o, 25, eta_min=0.02)),
    "warm-up": (
        lambda: optim.WarmUp(7, start=0.25),
        lambda o: TO.lr_scheduler.LinearLR(o, start_factor=0.25, end_factor=1.0, total_iters=7),
    ),
    "warm-up and cosine": (
        lambda: optim.WarmUp(7, optim.Cosine(15), start=0.25),
        lambda o: TO.lr_scheduler.SequentialLR(
            o,
            [
                TO.lr_scheduler.LinearLR(o, start_factor=0.25, end_factor=1.0, total_iters=7),
                TO.lr_scheduler.CosineAnnealingLR(o, 15),
            ],
            milestones=[7],
        ),
    ),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's SequentialLR warns of itself
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str) -> None:
    make, make_theirs = SCHEDULES[name]
    ours, theirs = parameters()
    opt, their_opt = optim.SGD(ours, 0.2), TO.SGD(theirs, 0.2)
    scheduler, their_scheduler = optim.Scheduler(opt, make()), make_theirs(their_opt)
    rng = np.random.default_rng(1)
    for step in range(22):
        np.testing.assert_allclose(opt.lr, their_opt.param_groups[0]["lr"], rtol=1e-10, err_msg=f"step {step}")
        give_gradients(rng, ours, theirs)
        opt.step()
        their_opt.step()
        scheduler.step()
        their_scheduler.step()
        same(ours, theirs)


@pytest.mark.parametrize(("mode", "cooldown", "patience"), [("min", 0, 2), ("max", 3, 1), ("min", 2, 0)])
def test_plateau(mode: str, cooldown: int, patience: int) -> None:
    ours, theirs = parameters()
    opt, their_opt = optim.SGD(ours, 0.2), TO.SGD(theirs, 0.2)
    schedule = optim.Plateau(0.5, patience, mode=mode, threshold=0.05, cooldown=cooldown, minimum=0.05)
    scheduler = optim.Scheduler(opt, schedule)
    their_scheduler = TO.lr_scheduler.ReduceLROnPlateau(
        their_opt, mode, factor=0.5, patience=patience, threshold=0.05, cooldown=cooldown, min_lr=0.01, eps=0.0
    )
    metrics = [3.0, 2.0, 1.99, 1.98, 2.5, 1.5, 1.49, float("nan"), 1.48, 1.47, 1.0, 1.0, 1.0, 1.0, 4.0, 4.1, 5.0, 5.0]
    rates = []
    for metric in metrics * 2:
        scheduler.step(metric)
        their_scheduler.step(metric)
        rates.append(opt.lr)
        np.testing.assert_allclose(opt.lr, their_opt.param_groups[0]["lr"], rtol=1e-12)
    assert len(set(rates)) > 2
