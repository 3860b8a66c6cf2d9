"""Optimisers and clipping: known values, states, refusals; against PyTorch in tests/parity."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import tinyseq as ts
from support.optimizers import OPTIMIZERS
from tinyseq import nn, optim
from tinyseq.errors import DataError, DtypeError, ShapeError


def leaf(values: object, dtype: type = np.float64) -> ts.Tensor:
    return ts.tensor(np.asarray(values, dtype=dtype), requires_grad=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_they_find_the_bottom_of_a_bowl(name: str, dtype: type) -> None:
    p = leaf([3.0, -2.0], dtype)
    opt = OPTIMIZERS[name]([p])
    target = ts.tensor([1.0, 0.5], dtype=dtype)
    for _ in range(300):
        opt.zero_grad()
        nn.squared_error(p, target).backward()
        opt.step()
    np.testing.assert_allclose(p.numpy(), target.numpy(), atol=0.05)
    assert p.dtype == dtype
    assert p.requires_grad
    assert opt.steps == 300


def first_step(make: Callable[[list[ts.Tensor]], optim.Optimizer], gradient: float = 2.0) -> float:
    p = leaf(1.0)
    opt = make([p])
    p.grad = ts.tensor(np.float64(gradient))
    opt.step()
    return float(p.item())


def test_first_steps_by_hand() -> None:
    assert first_step(lambda p: optim.SGD(p, 0.1)) == pytest.approx(1 - 0.1 * 2)
    assert first_step(lambda p: optim.SGD(p, 0.1, weight_decay=0.5)) == pytest.approx(1 - 0.1 * 2.5)
    assert first_step(lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True)) == pytest.approx(1 - 0.1 * (2 + 1.8))
    assert first_step(lambda p: optim.Adam(p, 0.1)) == pytest.approx(0.9)
    assert first_step(lambda p: optim.AdamW(p, 0.1, weight_decay=0.5)) == pytest.approx(1 - 0.05 - 0.1)
    assert first_step(lambda p: optim.RMSprop(p, 0.1, alpha=0.75)) == pytest.approx(1 - 0.1 * 2 / math.sqrt(0.25 * 4))


# -- steps are counted for each parameter ------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_a_late_first_gradient_is_corrected_as_at_its_own_first_step(compiled: bool) -> None:
    """With a constant gradient Adam moves by lr at each step, whatever others have done before (Kingma and Ba, 2.1)."""
    p, q = leaf([1.0]), leaf([1.0])
    opt = optim.Adam([p, q], lr=0.1, eps=0.0)

    def early() -> ts.Tensor:
        loss = (p * 2.0).sum()
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss

    def late() -> ts.Tensor:
        loss = (p * 2.0 + q * 3.0).sum()
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss

    if compiled:
        early, late = ts.compile(early), ts.compile(late)
    for _ in range(7):
        early()
    for step in range(1, 6):
        late()
        np.testing.assert_allclose(q.numpy(), 1.0 - 0.1 * step, rtol=1e-12)
    early()
    late()
    np.testing.assert_allclose([p.item(), q.item()], [1.0 - 0.1 * 14, 1.0 - 0.1 * 6], rtol=1e-12)
    assert opt.counts == [14, 6]
    assert opt.steps == 14
    if compiled:
        # The counts are inputs of the plan. Compiled anew once: the two were six steps apart, and then seven.
        assert [sum(map(len, fn.entries.values())) for fn in (early, late)] == [1, 2]


def test_two_steps_in_one_compiled_function_are_two_steps() -> None:
    ends = []
    for compiled in (False, True):
        p = leaf([1.0, -2.0])
        opt = optim.Adam([p], lr=0.1)

        def two(*gradients: ts.Tensor, p: ts.Tensor = p, opt: optim.Optimizer = opt) -> ts.Tensor:
            for g in gradients:
                p.grad = g
                opt.step()
                opt.zero_grad()
            return gradients[0].sum()

        run = ts.compile(two) if compiled else two
        for i in range(4):
            run(ts.tensor(np.array([1.0 + i, 2.0])), ts.tensor(np.array([-0.5, 4.0 * i])))
        ends.append(p.numpy())
        assert opt.counts == [8]
    np.testing.assert_allclose(*ends, rtol=1e-12)


# -- groups ------------------------------------------------------------------------------------------------------------


def test_groups_have_options_of_their_own() -> None:
    p, q, r = (leaf([1.0]) for _ in range(3))
    opt = optim.SGD([{"params": [p], "lr": 0.5}, {"params": q, "name": "head"}], lr=0.1, momentum=0.5)
    opt.add_param_group({"params": [r], "momentum": 0.0, "weight_decay": 1.0})
    assert opt.parameters == [p, q, r]
    assert sorted(opt.param_groups[0]) == ["lr", "momentum", "nesterov", "params", "weight_decay"]
    for x in opt.parameters:
        x.grad = ts.tensor([2.0], dtype=np.float64)
    opt.step()
    opt.step()
    np.testing.assert_allclose([x.item() for x in (p, q, r)], [1 - 0.5 * (2 + 3), 1 - 0.1 * (2 + 3), 0.7 - 0.1 * 2.7])


def test_an_option_of_all_groups_is_an_attribute() -> None:
    p, q = leaf([1.0]), leaf([1.0])
    opt = optim.AdamW([{"params": [p], "lr": 0.5}, {"params": [q]}], lr=0.1)
    assert (opt.lr, opt.betas, opt.weight_decay) == (0.5, (0.9, 0.999), 0.01)
    opt.lr, opt.betas = 0.25, (0.5, 0.5)
    assert [(group["lr"], group["betas"]) for group in opt.param_groups] == [(0.25, (0.5, 0.5))] * 2


def test_a_schedule_scales_the_rate_of_each_group() -> None:
    p, q, r = (leaf([1.0]) for _ in range(3))
    opt = optim.SGD([{"params": [p], "lr": 0.4}, {"params": [q]}], lr=0.1)
    scheduler = optim.Scheduler(opt, optim.StepDecay(1, 0.5))
    scheduler.step()
    assert [group["lr"] for group in opt.param_groups] == [0.2, 0.05]
    opt.add_param_group({"params": [r], "lr": 0.8})
    scheduler.step()
    assert [group["lr"] for group in opt.param_groups] == [0.1, 0.025, 0.2]
    again = optim.Scheduler(opt, optim.StepDecay(1, 0.5))
    again.load_state_dict(scheduler.state_dict())
    assert again.first == [0.4, 0.1, 0.8]
    opt.lr = 1.0
    again.load_state_dict({**scheduler.state_dict(), "first": 0.4})  # as written when there were no groups
    assert [group["lr"] for group in opt.param_groups] == [0.1, 0.1, 0.1]
    with pytest.raises(DataError, match="other groups"):
        optim.Scheduler(optim.SGD([leaf(1.0)], 0.1), optim.Constant()).load_state_dict(scheduler.state_dict())


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda p: optim.SGD(p, 0.1, momentum=0.5), {"momentum": 0.9}),
        (lambda p: optim.SGD(p, 0.1), {"momentum": 0.9, "nesterov": True}),
        (lambda p: optim.SGD(p, 0.1, momentum=0.5), {"momentum": 0.0}),
        (lambda p: optim.Adam(p, 0.1), {"betas": (0.5, 0.9)}),
        (lambda p: optim.Adam(p, 0.1), {"eps": 0.5}),
        (lambda p: optim.AdamW(p, 0.1), {"weight_decay": 0.5}),
        (lambda p: optim.RMSprop(p, 0.1), {"centered": True, "alpha": 0.5}),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, dict) else "",
)
def test_options_may_change_between_steps(compiled: bool, make: Callable, change: dict[str, object]) -> None:
    """The steps after it are those of an optimiser made with the option, given the state there was."""

    def steps(p: ts.Tensor, opt: optim.Optimizer, change: dict[str, object] | None) -> list[float]:
        def step() -> ts.Tensor:
            loss = (p * p).sum()
            loss.backward()
            opt.step()
            opt.zero_grad()
            return loss

        run, found = ts.compile(step) if compiled and change is not None else step, []
        for i in range(6):
            if i == 3 and change is not None:
                for name, value in change.items():
                    setattr(opt, name, value)
            elif i == 3:
                opt = remade(p, opt)
            run()
            found.append(p.item())
        return found

    def remade(p: ts.Tensor, before: optim.Optimizer) -> optim.Optimizer:
        after = make([p])
        for name, value in change.items():
            setattr(after, name, value)
        fresh = {name: ts.zeros(1, dtype=np.float64) for name in after.start(p, after.param_groups[0])}
        after.state = [{name: before.state[0].get(name, zero) for name, zero in fresh.items()}]
        after.counts = list(before.counts)
        return after

    p, q = leaf([1.0]), leaf([1.0])
    np.testing.assert_allclose(steps(p, make([p]), change), steps(q, make([q]), None), rtol=1e-12)


def test_a_change_out_of_range_is_refused() -> None:
    opt = optim.SGD([leaf(1.0)], 0.1)
    opt.momentum = 1.5
    with pytest.raises(DataError, match="momentum"):
        opt.step()


def test_a_parameter_put_into_a_group_by_hand_is_refused() -> None:
    opt = optim.SGD([leaf(1.0)], 0.1)
    opt.param_groups[0]["params"].append(leaf(2.0))
    with pytest.raises(DataError, match="add_param_group"):
        opt.step()


def test_a_group_that_is_refused_changes_nothing() -> None:
    p, q = leaf(1.0), leaf(2.0)
    opt = optim.Adam([p])
    for group, words in [
        ({"params": [q, p]}, "twice"),
        ({"params": [q], "beta": 0.5}, "did you mean 'betas'"),
        ({"params": [q], "betas": (0.5, 2.0)}, "0 <= beta < 1"),
        ({"params": [q, ts.ones(1)]}, "requires_grad"),
        ({"lr": 0.1}, "params"),
        ([q], "params"),
    ]:
        with pytest.raises(DataError, match=words):
            opt.add_param_group(group)
        assert (opt.parameters, len(opt.param_groups), len(opt.state), opt.counts) == ([p], 1, 1, [0])


# -- dtypes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_model_may_be_cast_after_the_optimizer_was_made(name: str, compiled: bool) -> None:
    model = nn.Linear(2, 2)
    opt = OPTIMIZERS[name](model.parameters())

    def step(x: ts.Tensor) -> ts.Tensor:
        loss = (model(x) ** 2).sum()
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss

    run = ts.compile(step) if compiled else step
    for dtype in (np.float32, np.float64, np.float32):
        model.cast(dtype)
        before = [p.numpy().copy() for p in opt.parameters]
        for _ in range(2):
            run(ts.ones(3, 2, dtype=dtype))
        held = [*opt.parameters, *(part for state in opt.state for part in state.values())]
        assert [x for x in held if x.dtype != dtype] == []
        assert all((p.numpy() != b).all() for p, b in zip(opt.parameters, before, strict=True))
    assert opt.counts == [6, 6]


def test_a_gradient_of_another_dtype_is_refused_before_anything_moves() -> None:
    p, q = leaf([1.0], np.float32), leaf([1.0], np.float32)
    p.grad, q.grad = ts.ones(1), ts.ones(1, dtype=np.float64)
    opt = optim.Adam([p, q])
    with pytest.raises(DtypeError, match="float64"):
        opt.step()
    assert (p.item(), q.item(), opt.counts) == (1.0, 1.0, [0, 0])
    assert not opt.state[0]["m"].numpy().any()


def test_a_state_takes_the_dtypes_of_the_parameters() -> None:
    wide, narrow = leaf([1.0]), leaf([1.0], np.float32)
    first, second = optim.Adam([wide]), optim.Adam([narrow])
    wide.grad = ts.tensor(np.array([0.1]))
    first.step()
    second.load_state_dict(first.state_dict())
    assert second.state[0]["m"].dtype == np.float32
    narrow.grad = ts.tensor([0.1])
    second.step()
    assert second.counts == [2]


# -- states ------------------------------------------------------------------------------------------------------------


def test_a_state_of_before_there_were_groups_goes_on() -> None:
    """It had one learning rate, and one count of steps, for all parameters."""
    ends = []
    for old in (False, True):
        parameters = [leaf([1.0, 2.0]), leaf(3.0)]
        opt = optim.Adam(parameters, 0.1)
        for i in range(8):
            if i == 4:
                state = opt.state_dict()
                if old:
                    state = {"lr": opt.lr, "steps": 4, "state": state["state"]}
                opt = optim.Adam(parameters, 0.5)
                opt.load_state_dict(state)
            for p in parameters:
                p.grad = ts.tensor(np.full(p.shape, 0.5 + i))
            opt.step()
        assert opt.counts == [8, 8]
        ends.append([p.numpy() for p in parameters])
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_state_of_other_groups_or_counts_is_refused_and_changes_nothing() -> None:
    p, q = leaf(1.0), leaf(2.0)
    opt = optim.Adam([p, q], 0.1)
    good = optim.Adam([p, q], 0.2).state_dict()
    split = optim.Adam([{"params": [p]}, {"params": [q]}]).state_dict()
    group = good["param_groups"][0]
    for state, words in [
        (split, "other groups"),
        ({**good, "steps": [1]}, "counts of steps"),
        ({**good, "steps": [1, -1]}, "counts of steps"),
        ({**good, "param_groups": [{**group, "betas": (0.9, 7.0)}]}, "betas"),
        ({**good, "param_groups": [{**group, "momentum": 0.5}]}, "another optimiser"),
    ]:
        with pytest.raises(DataError, match=words):
            opt.load_state_dict(state)
        assert (opt.lr, opt.counts) == (0.1, [0, 0])
    opt.load_state_dict(good)
    assert opt.lr == 0.2


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_state_goes_on_exactly(name: str) -> None:
    def gradients(p: ts.Tensor, count: int, opt: optim.Optimizer, rng: np.random.Generator) -> None:
        for _ in range(count):
            p.grad = ts.tensor(rng.normal(size=p.shape))
            opt.step()

    whole, part = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    rng = np.random.default_rng(0)
    first = OPTIMIZERS[name]([whole])
    gradients(whole, 8, first, rng)

    rng = np.random.default_rng(0)
    before = OPTIMIZERS[name]([part])
    gradients(part, 3, before, rng)
    saved = before.state_dict()
    gradients(part, 1, before, np.random.default_rng(7))  # what comes later does not reach what was saved
    resumed = leaf([1.0, 2.0])
    again = OPTIMIZERS[name]([resumed])
    rng = np.random.default_rng(0)
    gradients(resumed, 3, again, rng)
    fresh = OPTIMIZERS[name]([resumed])
    fresh.load_state_dict(saved)
    gradients(resumed, 5, fresh, rng)
    np.testing.assert_array_equal(resumed.numpy(), whole.numpy())
    assert fresh.steps == 8


def test_a_parameter_without_a_gradient_stays_and_recorded_graphs_keep_the_old_values() -> None:
    p, q = leaf([1.0]), leaf([1.0])
    loss = (p * p).sum()
    opt = optim.SGD([p, q], 0.5)
    loss.backward()
    y = (p * 3.0).sum()
    opt.step()
    assert p.item() == 0.0
    assert q.item() == 1.0
    assert y.item() == 3.0
    opt.zero_grad()
    assert p.grad is None
    opt.step()
    assert p.item() == 0.0


@pytest.mark.parametrize(
    ("call", "family", "words"),
    [
        (lambda p: optim.SGD([], 0.1), DataError, ["SGD", "no parameters"]),
        (lambda p: optim.SGD([p, p], 0.1), DataError, ["twice"]),
        (lambda p: optim.SGD([ts.ones(2)], 0.1), DataError, ["requires_grad"]),
        (lambda p: optim.SGD(p, 0.1), DataError, ["not a list", "model.parameters()"]),
        (lambda p: optim.SGD([p * 2.0], 0.1), DataError, ["a leaf"]),
        (lambda p: optim.SGD([("W", p)], 0.1), DataError, ["a leaf"]),
        (lambda p: optim.SGD([{"params": [p]}]), DataError, ["lr", "over 0", "None"]),
        (lambda p: optim.SGD([{"params": [p]}, p], 0.1), DataError, ["not a group"]),
        (lambda p: optim.Adam([p], 0.0), DataError, ["lr", "over 0"]),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), DataError, ["betas", "1.0"]),
        (lambda p: optim.SGD([p], 0.1, nesterov=True), DataError, ["nesterov"]),
        (lambda p: optim.SGD([p], 0.1, momentum=1.0), DataError, ["momentum"]),
        (lambda p: optim.RMSprop([p], alpha=1.0), DataError, ["alpha"]),
        (lambda p: optim.AdamW([p], weight_decay=-1.0), DataError, ["AdamW", "weight_decay"]),
        (lambda p: optim.Adam([p]).load_state_dict(optim.SGD([p], 0.1).state_dict()), DataError, ["another optimiser"]),
        (lambda p: optim.Adam([p]).load_state_dict({"lr": 1, "steps": 0, "state": []}), DataError, ["another model"]),
        (lambda p: optim.Adam([p]).load_state_dict(optim.Adam([leaf([1.0, 2.0])]).state_dict()), ShapeError, ["(2,)"]),
    ],
)
def test_refused_with_words(call, family, words: list[str]) -> None:
    with pytest.raises(family) as caught:
        call(leaf(1.0))
    assert [word for word in words if word not in str(caught.value)] == []


def with_gradients(*values: object) -> list[ts.Tensor]:
    made = []
    for value in values:
        p = leaf(np.zeros(np.shape(value)))
        p.grad = ts.tensor(np.asarray(value, dtype=np.float64))
        made.append(p)
    return made


def test_clipping_by_norm() -> None:
    parameters = [*with_gradients([3.0], [[4.0, 0.0]]), leaf([1.0])]
    assert optim.clip_grad_norm(parameters, 1.0).item() == pytest.approx(5.0)
    np.testing.assert_allclose(parameters[0].grad.numpy(), [0.6])
    np.testing.assert_allclose(parameters[1].grad.numpy(), [[0.8, 0.0]])
    assert parameters[2].grad is None
    assert optim.clip_grad_norm(parameters, 2.0).item() == pytest.approx(1.0)  # below the limit: nothing changes
    np.testing.assert_allclose(parameters[0].grad.numpy(), [0.6])
    zero = with_gradients([0.0, 0.0])
    assert optim.clip_grad_norm(zero, 1.0).item() == 0.0
    np.testing.assert_array_equal(zero[0].grad.numpy(), [0.0, 0.0])


def test_grad_norm_is_joint_and_finite_only_where_all_gradients_are() -> None:
    assert optim.grad_norm(with_gradients([3.0, 0.0], [4.0])).item() == pytest.approx(5.0)
    assert math.isinf(optim.grad_norm(with_gradients([3.0], [math.inf])).item())
    assert math.isnan(optim.grad_norm(with_gradients([math.nan, 1.0])).item())
    with pytest.raises(DataError, match="gradient"):
        optim.grad_norm([leaf([1.0])])


def test_clipping_by_value() -> None:
    (p,) = with_gradients([-3.0, 0.25, 3.0])
    optim.clip_grad_value([p, leaf([1.0])], 0.5)
    np.testing.assert_array_equal(p.grad.numpy(), [-0.5, 0.25, 0.5])


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_clipping_refuses(limit: float) -> None:
    with pytest.raises(DataError, match="over 0"):
        optim.clip_grad_norm(with_gradients([1.0]), limit)
    with pytest.raises(DataError, match="over 0"):
        optim.clip_grad_value(with_gradients([1.0]), limit)
    with pytest.raises(DataError, match="no parameter has a gradient"):
        optim.clip_grad_norm([leaf([1.0])], 1.0)
