"""The contract of ``ts.compile`` (docs/compiler.md): what a trace has read is an input, a guard, or refused in words.

Right values are eager's, or worked out by hand where they are written.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools
import gc
import itertools
import random
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn, optim
from tinyseq.compiler import environment, function
from tinyseq.compiler.function import ENTRIES, MANY, CompileWarning
from tinyseq.errors import DataError, GraphError, TinyseqError

BACKENDS = ["numpy", "llvm"]


@pytest.fixture(params=[*BACKENDS, "numpy, guards written at once"], autouse=True)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    name, *written = request.param.split(", ")
    if written:
        monkeypatch.setattr(environment, "_OFTEN", 1)
    with ts.backend(name):
        yield name


def same(fn: Callable[..., Any], fast: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    np.testing.assert_allclose(fast(*args, **kwargs).numpy(), fn(*args, **kwargs).numpy(), rtol=1e-6)


# -- arguments ---------------------------------------------------------------------------------------------------------


def test_arguments_by_keyword_keep_their_places() -> None:
    """1 + 10 * 3 + 100 * 2 = 231 with z=3, y=2, in whatever order they are given."""

    def f(x: Any, z: Any, y: Any) -> Any:
        return x + 10 * z + 100 * y

    x, y, z = (ts.tensor([float(n)], requires_grad=True) for n in (1, 2, 3))
    fast = ts.compile(f)
    for call in ({"z": z, "y": y}, {"y": y, "z": z}):
        out = fast(x, **call)
        assert out.item() == 231.0
        out.backward(ts.ones(1))
        assert [t.grad.item() for t in (x, y, z)] == [1.0, 100.0, 10.0]
        for t in (x, y, z):
            t.grad = None
    assert fast(x, z, y).item() == fast(x, z, y=y).item() == 231.0
    assert ts.compile(lambda **kw: kw["b"] - kw["a"])(b=z, a=x).item() == 2.0


def test_arguments_of_other_shapes_by_keyword() -> None:
    fast = ts.compile(lambda *, wide, narrow: narrow.sum() + 0.0 * wide.sum())
    assert fast(wide=ts.ones(1000), narrow=ts.ones(2)).item() == 2.0
    assert fast(narrow=ts.ones(2), wide=ts.ones(1000)).item() == 2.0


def test_floats_are_inputs_and_keep_their_weak_promotion() -> None:
    """One float in both its uses: beside float32 it is float32, in Python's own arithmetic it is a double."""

    def f(x: Any, rate: float) -> Any:
        return x * rate + (1.0 - rate) / 3.0

    fast, x = ts.compile(f), ts.tensor(np.array([1.0, 2.0], np.float32))
    for rate in (0.1, 0.25, -3.0, 1e-8, float("inf")):
        out = fast(x, rate)
        assert out.dtype == np.float32
        np.testing.assert_allclose(out.numpy(), f(x, rate).numpy(), rtol=2e-7)
    assert fast.compilations == 1
    wide = ts.tensor(np.array([1.0]))
    assert fast(wide, 0.1).item() == f(wide, 0.1).item()
    counts = ts.tensor([1, 2, 3])
    half = ts.compile(lambda x, rate: (x * rate, x > rate))
    for rate in (0.5, 1.5, 2.0):
        scaled, over = half(counts, rate)
        assert (scaled.dtype, over.tolist()) == (np.float32, [n > rate for n in (1, 2, 3)])
    assert half.compilations == 1


def test_a_float_whose_value_decides_is_a_guard() -> None:
    def f(x: Any, p: float) -> Any:
        return x * 2.0 if p > 0.5 else x * p

    fast, x = ts.compile(f), ts.ones(2)
    for p in (0.1, 0.9, 0.1, 0.9):
        same(f, fast, x, p)
    assert fast.compilations == 2
    attribute = ts.compile(lambda x, low: ts.clip(x, low, 1.0))  # an attribute of an op
    for low in (-1.0, 0.5, -1.0):
        assert attribute(ts.tensor([0.0]), low).item() == max(low, 0.0)


def test_a_float_divides_as_python_does() -> None:
    f = ts.compile(lambda x, t: x * (1.0 / t))
    assert f(ts.ones(1), 2.0).item() == 0.5
    with pytest.raises(ZeroDivisionError):
        f(ts.ones(1), 0.0)
    assert f(ts.ones(1), 4.0).item() == 0.25


def test_numbers_of_numpy_promote_as_they_do_eagerly() -> None:
    def f(x: Any, rate: Any) -> Any:
        return x * rate

    fast, x = ts.compile(f), ts.ones(2)
    for rate in (np.float32(0.5), np.float64(0.25), np.float32(0.75), 0.5):
        out = fast(x, rate)
        assert (out.dtype, out.tolist()) == (f(x, rate).dtype, f(x, rate).tolist())
    assert fast.compilations == 3


@dataclasses.dataclass
class Settings:
    scale: float
    parts: list[float]


def test_the_contents_of_an_object_count() -> None:
    def f(x: Any, settings: Settings) -> Any:
        return x * settings.scale + sum(settings.parts)

    fast, x, settings = ts.compile(f), ts.ones(2), Settings(2.0, [1.0])
    same(f, fast, x, settings)
    settings.scale = 3.0
    same(f, fast, x, settings)
    settings.parts.append(5.0)
    same(f, fast, x, settings)
    assert fast.compilations == 3


def test_a_list_that_the_function_changes_is_refused() -> None:
    with pytest.raises(GraphError, match="among its arguments"):
        ts.compile(lambda x, seen: seen.append(1) or x)(ts.ones(1), [2])


# -- what lies outside -------------------------------------------------------------------------------------------------

RATE = 2.0


class Table:
    factor = 2.0


class Slotted:
    __slots__ = ("factor",)

    def __init__(self) -> None:
        self.factor = 2.0


class Scaled(nn.Module):
    def __init__(self) -> None:
        self.W, self.factor, self.table = nn.parameter(np.ones((1, 1), np.float32)), 2.0, {"k": [1.0]}

    def forward(self, x: Any) -> Any:
        return x @ self.W * self.factor + self.table["k"][0]

    @property
    def doubled(self) -> float:
        return self.factor * 2.0


def closure() -> tuple[Any, Any]:
    k = 2.0

    def change() -> None:
        nonlocal k
        k = 5.0

    return lambda x: x * k, change


def outside() -> dict[str, tuple[Any, Callable[[], Any]]]:
    """Functions, and what changes a value that they read."""
    model, other, slotted, table = Scaled(), Scaled(), Slotted(), {"a": {"b": 2.0}}
    array, holder, space = np.array([2.0]), [2.0], types.SimpleNamespace(deep=types.SimpleNamespace(k=2.0))
    first, changed = closure()
    helper = types.SimpleNamespace(fn=lambda x: x * 2.0)
    layer, norm, drop = nn.Linear(1, 1), nn.LayerNorm(2), nn.Dropout(0.5)
    named = functools.partial(lambda x, k: x * k[0], k=[2.0])
    default = [2.0]

    def with_default(x: Any, k: Any = default) -> Any:
        return x * k[0]

    def with_global(x: Any) -> Any:
        return x * RATE

    def counted(x: Any) -> Any:
        return x * counted.k  # type: ignore[attr-defined]

    counted.k = 2.0  # type: ignore[attr-defined]
    return {
        "attribute": (model, lambda: setattr(model, "factor", 5.0)),
        "attribute by getattr": (lambda x: x * getattr(model, "fac" + "tor"), lambda: setattr(model, "factor", 5.0)),
        "property": (lambda x: x * other.doubled, lambda: setattr(other, "factor", 5.0)),
        "nested list": (lambda x: model(x), lambda: model.table["k"].__setitem__(0, 7.0)),
        "weight": (other, lambda: setattr(other, "W", nn.parameter(np.full((1, 1), 3.0, np.float32)))),
        "closure": (first, changed),
        "global": (with_global, lambda: globals().__setitem__("RATE", 5.0)),
        "class attribute": (lambda x: x * Table().factor, lambda: setattr(Table, "factor", 5.0)),
        "slots": (lambda x: x * slotted.factor, lambda: setattr(slotted, "factor", 5.0)),
        "dict": (lambda x: x * table["a"]["b"], lambda: table["a"].__setitem__("b", 5.0)),
        "list": (lambda x: x * holder[0], lambda: holder.__setitem__(0, 5.0)),
        "array": (lambda x: x * array, lambda: array.__setitem__(0, 5.0)),
        "array as an index": (lambda x: x * float(array[0]), lambda: array.__setitem__(0, 5.0)),
        "namespace": (lambda x: x * space.deep.k, lambda: setattr(space.deep, "k", 5.0)),
        "helper": (lambda x: helper.fn(x), lambda: setattr(helper, "fn", lambda x: x * 5.0)),
        "bias": (layer, lambda: setattr(layer, "bias", None) or setattr(layer, "b", nn.parameter(np.ones(1)))),
        "eps": (lambda x: norm(ts.concat([x, 2.0 * x], -1)), lambda: setattr(norm, "eps", 1.0)),
        "p": (lambda x: (drop(ts.ones(1, 400)) == 0.0).sum() * x, lambda: setattr(drop, "p", 0.9)),
        "partial": (named, lambda: named.keywords["k"].__setitem__(0, 5.0)),
        "default": (with_default, lambda: default.__setitem__(0, 5.0)),
        "function attribute": (counted, lambda: setattr(counted, "k", 5.0)),
        "grad of a closure": (ts.grad(lambda x: (x * x * holder[0]).sum()), lambda: holder.__setitem__(0, 9.0)),
    }


@pytest.mark.parametrize("name", list(outside()))
def test_what_changes_outside_is_seen(name: str) -> None:
    global RATE
    try:
        fn, change = outside()[name]
        fast, x = ts.compile(fn), ts.ones(1, 1)
        for stage in range(3):
            if stage == 1:
                change()
            ts.seed(3)
            expected = fn(x)
            ts.seed(3)
            np.testing.assert_allclose(fast(x).numpy(), expected.numpy(), rtol=1e-5, err_msg=f"{name}, {stage}")
        assert fast.compilations in (1, 2)
    finally:
        RATE, Table.factor = 2.0, 2.0


def test_weights_that_are_tied_and_untied() -> None:
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)

    def f(x: Any) -> Any:
        return b(ts.tanh(a(x))).sum()

    fast, x = ts.compile(f), ts.ones(1, 2)
    for stage in range(3):
        if stage == 1:
            b.W = a.W
        if stage == 2:
            b.W = nn.parameter(np.ones((2, 2), np.float32))
        gradients = []
        for fn in (f, fast):
            fn(x).backward()
            gradients.append([p.grad.numpy().copy() for p in {a.W: 0, b.W: 0}])
            for p in (a.W, b.W):
                p.grad = None
        for eager, compiled in zip(*gradients, strict=True):
            np.testing.assert_allclose(compiled, eager, rtol=1e-5)


def test_a_tensor_outside_that_another_takes_the_place_of_is_an_input() -> None:
    h = ts.zeros(2)

    def f(x: Any) -> Any:
        return x + h

    fast = ts.compile(f)
    for step in range(20):
        assert fast(ts.ones(2)).tolist() == [1.0 + step] * 2
        h = h + 1.0
    assert fast.compilations == 1


def test_what_no_code_of_the_function_reads_compiles_nothing_anew() -> None:
    class Trainer:
        def __init__(self) -> None:
            self.model, self.epoch, self.history = nn.Linear(1, 1), 0, []

        def loss(self, x: Any) -> Any:
            return self.model(x).sum()

    trainer = Trainer()
    fast = ts.compile(trainer.loss)
    for epoch in range(10):
        trainer.epoch = epoch
        trainer.history.append(fast(ts.ones(1, 1)).item())
    assert fast.compilations == 1


class Keeps(nn.Module):
    def __init__(self) -> None:
        self.h, self.steps, self.seen = ts.zeros(1), 0, [0]

    def leak(self, x: Any) -> Any:
        self.h = self.h * 0.5 + x
        return self.h * 1.0

    def count(self, x: Any) -> Any:
        self.steps += 1
        return x * float(self.steps)

    def append(self, x: Any) -> Any:
        self.seen.append(len(self.seen))
        return x + 1.0


def effects() -> dict[str, Any]:
    keeps, acc, kept, total, numbers = Keeps(), [], [ts.zeros(1)], 0, iter(range(9))
    rng = np.random.default_rng(0)

    def held(x: Any) -> Any:
        kept[0] = kept[0] * 0.5 + x
        return kept[0]

    def counter(x: Any) -> Any:
        nonlocal total
        total += 1
        return x * total

    return {
        "self.h": keeps.leak,
        "self.steps": keeps.count,
        "self.seen": keeps.append,
        "kept": held,
        "acc": lambda x: acc.append(x * 2.0) or x,
        "total": counter,
        "next": lambda x: x * float(next(numbers)),
        "random": lambda x: x * random.random(),
        "numpy.random": lambda x: x * np.random.rand(),  # noqa: NPY002
        "rng": lambda x: x * float(rng.normal()),
        "layer": lambda x: nn.Linear(1, 1)(x),
    }


@pytest.mark.parametrize("name", list(effects()))
def test_what_a_plan_cannot_repeat_is_refused_at_the_users_line(name: str) -> None:
    fn = effects()[name]
    fast = ts.compile(fn)
    for _ in range(2):  # and nothing is left of the attempt
        with pytest.raises(GraphError) as caught:
            fast(ts.ones(1, 1))
        assert "test_contract.py" in str(caught.value)
        assert caught.value.fix
    if isinstance(getattr(fn, "__self__", None), Keeps):
        keeps = fn.__self__
        assert (keeps.h.tolist(), keeps.steps, keeps.seen) == ([0.0], 0, [0])


def test_a_state_that_is_declared_goes_on() -> None:
    class Leaky(nn.Module):
        def __init__(self) -> None:
            self.h = nn.buffer(np.zeros(1, np.float32))

        def forward(self, x: Any) -> Any:
            self.h.assign(self.h * 0.5 + x)
            return self.h * 1.0

    fast = ts.compile(Leaky())
    assert [fast(ts.ones(1)).item() for _ in range(3)] == [1.0, 1.5, 1.75]


def test_what_is_worked_out_once_and_kept_is_no_effect() -> None:
    class Lazy(nn.Module):
        def __init__(self) -> None:
            self.W, self.mask = nn.parameter(np.ones(3, np.float32)), None

        def forward(self, x: Any) -> Any:
            if self.mask is None:
                self.mask = np.array([1.0, 0.0, 1.0], np.float32)
            return x * self.W * self.mask

    fast = ts.compile(Lazy())
    assert [fast(ts.ones(3)).tolist() for _ in range(2)] == [[1.0, 0.0, 1.0]] * 2


# -- draws -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [ts.rand, ts.randn])
def test_draws_are_eagers_and_new_at_each_call(draw: Any) -> None:
    def f(x: Any) -> Any:
        return x + draw(3)

    def walk(xs: Any) -> Any:
        return ts.unroll(lambda x, h: (h + x + draw(1, 2),) * 2, xs, ts.zeros(1, 2))[0]

    for fn, x in ((f, ts.zeros(3)), (walk, ts.ones(1, 4, 2))):
        fast = ts.compile(fn)
        both = []
        for run in (fn, fast):
            ts.seed(5)
            both.append([run(x).numpy().copy() for _ in range(3)])
        np.testing.assert_allclose(both[1], both[0], rtol=1e-6, atol=1e-6)
        assert not np.allclose(both[1][0], both[1][1])
        assert fast.compilations == 1


# -- gradients ---------------------------------------------------------------------------------------------------------


def test_backward_inside_leaves_the_gradients_of_arguments() -> None:
    """d/dx (x * x * w).sum() = 2 x w, where x is an argument, closed over, or both; gradients add up."""
    x = ts.tensor([3.0, 4.0], requires_grad=True)

    def f(a: Any) -> Any:
        loss = (a * a * x).sum()
        loss.backward()
        return loss

    for fn in (f, ts.compile(f)):
        x.grad = None
        fn(x)
        assert x.grad.tolist() == [27.0, 48.0]  # 3 x^2
        fn(x)
        assert x.grad.tolist() == [54.0, 96.0]
        other = ts.tensor([1.0, 1.0], requires_grad=True)
        fn(other)
        assert other.grad.tolist() == [6.0, 8.0]
        assert x.grad.tolist() == [55.0, 97.0]


def test_backward_inside_goes_on_into_what_was_computed_outside() -> None:
    w = ts.tensor([2.0], requires_grad=True)

    def f(a: Any) -> Any:
        (a * a).sum().backward()
        return a * 1.0

    for fn in (f, ts.compile(f)):
        w.grad = None
        fn(w * 3.0)
        assert w.grad.item() == 36.0  # d (3 w)^2 / dw = 18 w


def test_second_derivatives_are_of_the_values_of_the_call() -> None:
    """d/dw w^3 at the call's w = 2 is 12, whatever w is given afterwards."""
    w = ts.tensor([2.0], requires_grad=True)
    y = ts.compile(lambda: (w * w * w).sum())()
    w.assign(ts.tensor([5.0]))
    (g,) = ts.gradients(y, [w], create_graph=True)
    assert g.item() == 12.0


def test_what_is_computed_without_recording_has_no_gradient() -> None:
    p = ts.tensor([1.0, 2.0], requires_grad=True)

    def f(x: Any) -> Any:
        with ts.no_grad():
            y = p * x
        (g,) = ts.gradients((p * p * p).sum(), [p])
        loss = (y * p).sum() + (g * p).sum()
        loss.backward()
        return loss

    for fn in (f, ts.compile(f)):
        p.grad = None
        fn(ts.ones(2))
        assert p.grad.tolist() == [4.0, 14.0]  # p + 3 p^2


def test_two_steps_in_one_compiled_function() -> None:
    ends = []
    for wrap in (lambda f: f, ts.compile):
        q = ts.tensor([1.0, 2.0], requires_grad=True)
        opt = optim.Adam([q], lr=0.1)

        def steps(x: Any, q: Any = q, opt: Any = opt) -> Any:
            for _ in range(2):
                loss = (q * q * x).sum()
                loss.backward()
                opt.step()
                opt.zero_grad()
            return loss

        fn = wrap(steps)
        losses = [fn(ts.ones(2)).item() for _ in range(3)]
        ends.append([*losses, *q.tolist()])
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-5)


def test_gradients_that_are_not_there_are_none() -> None:
    w, v = (ts.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    first, _ = ts.compile(lambda: ((w * 2.0).sum(), (v * 3.0).sum()))()
    first.backward()
    assert (w.grad.tolist(), v.grad) == ([2.0, 2.0], None)


def test_hyperparameters_of_an_optimiser_count() -> None:
    ends = []
    for wrap in (lambda f: f, ts.compile):
        p = ts.tensor([1.0], requires_grad=True)
        opt = optim.SGD([p], lr=0.1, momentum=0.5)

        def step(x: Any, p: Any = p, opt: Any = opt) -> Any:
            loss = (p * p * x).sum()
            loss.backward()
            opt.step()
            opt.zero_grad()
            return loss

        fn = wrap(step)
        for change in (lambda: None, lambda o=opt: setattr(o, "momentum", 0.9), lambda o=opt: setattr(o, "lr", 0.01)):
            change()
            for _ in range(2):
                fn(ts.ones(1))
        ends.append(p.item())
    assert ends[1] == pytest.approx(ends[0], rel=1e-6)


def test_a_step_has_no_second_gradient() -> None:
    w = ts.tensor([1.0], requires_grad=True)

    def f(x: Any) -> Any:
        (w * x).sum().backward()
        return w * x

    line = f.__code__.co_firstlineno + 1
    with pytest.raises(GraphError, match=rf"(?s)takes gradients itself.*at .*test_contract\.py:{line}\n"):
        (ts.compile(f)(ts.ones(1)).sum() + w.sum()).backward()


@pytest.mark.parametrize("second", [False, True])
def test_a_check_that_only_a_gradient_would_have_read_is_made(second: bool) -> None:
    target = ts.tensor([0.5, 0.25])

    def f(x: ts.Tensor, z: ts.Tensor) -> ts.Tensor:
        losses = nn.binary_cross_entropy(z, target, reduction="none")
        return (losses * losses).sum()

    gradient = ts.grad(lambda x, z: ts.grad(f)(x, z).sum()) if second else ts.grad(f)
    fast = ts.compile(gradient)
    x, z = ts.tensor([1.0]), ts.tensor([0.1, 0.2], requires_grad=True)
    assert fast(x, z).tolist() == [0.0]
    target.assign(ts.tensor([0.5, 2.5]))
    for call in (gradient, fast):
        with pytest.raises(DataError, match="a target is out of range"):
            call(x, z)


def test_no_gradient_flows_from_a_check_that_nothing_reads() -> None:
    labels = ts.tensor([1, 0])
    w = ts.tensor([[1.0], [2.0]], requires_grad=True)

    def f(x: ts.Tensor) -> ts.Tensor:
        nn.cross_entropy(x + w, labels)
        return ts.where(x > 0.1, x, 0.3).sum()

    for call in (f, ts.compile(f)):
        x = ts.tensor([[1.0, float("inf")], [0.0, 2.0]], requires_grad=True)
        call(x).backward()
        assert x.grad.tolist() == [[1.0, 1.0], [0.0, 1.0]]
        assert w.grad is None
    labels.assign(ts.tensor([1, 2]))
    with pytest.raises(DataError, match="a label is out of range"):
        ts.compile(f)(ts.ones((2, 2)))


@pytest.mark.parametrize("always", [False, True])
def test_what_another_thread_changes_while_it_is_compiled(monkeypatch: pytest.MonkeyPatch, always: bool) -> None:
    box = types.SimpleNamespace(k=2.0)
    compiled = function.CompiledFunction._compile

    def disturbed(*args: Any) -> Any:
        entry = compiled(*args)
        if always or box.k == 2.0:
            box.k += 1.0
        return entry

    monkeypatch.setattr(function.CompiledFunction, "_compile", disturbed)
    fast = ts.compile(lambda x: x * box.k)
    if always:
        with pytest.raises(GraphError, match="other threads change while it is compiled"):
            fast(ts.ones(2))
    else:
        assert fast(ts.ones(2)).tolist() == [3.0, 3.0]


# -- forms of compiled functions ---------------------------------------------------------------------------------------


def test_methods_and_options_as_a_decorator() -> None:
    class Model:
        def __init__(self, k: float) -> None:
            self.k = k

        @ts.compile
        def scaled(self, x: Any) -> Any:
            return x * self.k

        @ts.compile(recompute=True)
        def rolled(self, xs: Any) -> Any:
            return ts.unroll(lambda x, h: (h * self.k + x,) * 2, xs, ts.zeros(1, 2))[0]

    one, two = Model(2.0), Model(3.0)
    assert (one.scaled(ts.ones(1)).item(), two.scaled(ts.ones(1)).item()) == (2.0, 3.0)
    one.k = 4.0
    assert one.scaled(ts.ones(1)).item() == 4.0
    assert one.rolled(ts.ones(1, 3, 2)).shape == (1, 3, 2)


def test_bad_values_are_refused_as_eagerly() -> None:
    logits, good, bad = ts.zeros(2, 3), ts.tensor([0, 2]), ts.tensor([0, -1])
    fast = ts.compile(lambda x, t: nn.cross_entropy(x, t))
    fast(logits, good)
    with pytest.raises(DataError, match="out of range"):
        fast(logits, bad)
    assert fast(logits, good).item() == pytest.approx(2 * np.log(3.0))
    unused = ts.compile(lambda x, t: (nn.cross_entropy(x, t), x.sum())[1])  # nobody asks for the loss
    with pytest.raises(DataError, match="out of range"):
        unused(logits, bad)


# -- how often it compiles, and what it keeps --------------------------------------------------------------------------


def test_a_function_that_compiles_again_and_again_says_why() -> None:
    fast = ts.compile(lambda x, n: x * n)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for n in range(1, MANY + 2):
            fast(ts.ones(n), n)
    told = [str(w.message) for w in caught if w.category is CompileWarning]
    assert len(told) == 2
    assert "n (" in told[0]
    assert "x (float32(" in told[0]
    assert caught[-1].filename == __file__


def test_entries_are_bounded_and_eight_lengths_compile_once() -> None:
    fast = ts.compile(lambda x: x * 2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for length in itertools.islice(itertools.cycle(range(1, 9)), 40):
            assert fast(ts.ones(length)).shape == (length,)
        assert fast.compilations == 8
        for length in range(1, 3 * ENTRIES):
            fast(ts.ones(length))
    assert sum(map(len, fast.entries.values())) == ENTRIES


def test_lengths_share_their_memory_and_losses_give_theirs_back() -> None:
    cell = nn.LSTMCell(4, 8)
    fast = ts.compile(lambda xs: ts.unroll(cell, xs)[0].sum())
    for length in (50, 10, 20, 50, 30):
        fast(ts.ones(2, length, 4)).backward()
    slabs = {id(e.slab) for entries in fast.entries.values() for entry in entries for e in entry.idle}
    assert len(slabs) == 1
    losses = [fast(ts.ones(2, 50, 4)) for _ in range(12)]
    del losses
    gc.collect()
    idle = [e for entries in fast.entries.values() for entry in entries for e in entry.idle]
    assert len({id(e.slab) for e in idle}) <= 2


def test_compiled_functions_and_their_entries_can_be_copied_with_a_model() -> None:
    model = nn.Linear(2, 2)
    fast = ts.compile(model)
    fast(ts.ones(1, 2))
    other = copy.deepcopy(model)
    assert ts.compile(other)(ts.ones(1, 2)).tolist() == fast(ts.ones(1, 2)).tolist()


def test_every_refusal_is_of_the_family() -> None:
    for fn in (lambda x: x.numpy(), lambda x: 3, lambda x: None, lambda x: x if x.sum() > 0 else -x):
        with pytest.raises(TinyseqError):
            ts.compile(fn)(ts.ones(2))


# -- what is not there yet ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [[], {}, set(), collections.deque()], ids=lambda held: type(held).__name__)
def test_what_was_empty_is_looked_at_again(held: Any) -> None:
    held = copy.copy(held)
    fast, x = ts.compile(lambda x: x * float(1 + sum(held))), ts.ones(1)
    assert fast(x).item() == 1.0
    for part in (2, 3):
        held.update({part: None} if isinstance(held, dict) else {part}) if hasattr(held, "update") else held.append(
            part
        )
        assert fast(x).item() == 1.0 + sum(held)
    held.clear()
    assert fast(x).item() == 1.0


def test_what_comes_into_an_object_a_function_or_a_class_later() -> None:
    class Base:
        def scaled(self, x: Any) -> Any:
            return x * getattr(self, "factor", 2.0) * getattr(rule, "factor", 1.0)

    class Derived(Base):
        pass

    def rule(x: Any) -> Any:
        return thing.scaled(x)

    thing = Derived()
    fast, x = ts.compile(rule), ts.ones(1)
    assert fast(x).item() == 2.0
    thing.factor = 3.0  # type: ignore[attr-defined]
    assert fast(x).item() == 3.0
    rule.factor = 5.0  # type: ignore[attr-defined]
    assert fast(x).item() == 15.0
    Derived.scaled = lambda self, x: x * 7.0  # type: ignore[assignment, method-assign]
    assert fast(x).item() == 7.0
    del Derived.scaled
    assert fast(x).item() == 15.0


def test_names_that_a_module_gets_later() -> None:
    """``len`` of a module stands before Python's; a global that is set for the first time lives outside too."""
    module, settings = types.ModuleType("steps"), types.ModuleType("settings")
    source = (
        "def f(x): return x * float(len([1, 2])) * getattr(settings, 'rate', 1.0)\n"
        "def g(x):\n    global last\n    last = x * 2.0\n    return last\n"
    )
    module.__dict__.update(settings=settings)
    exec(compile(source, "steps.py", "exec"), module.__dict__)
    fast, x = ts.compile(module.f), ts.ones(1)
    assert fast(x).item() == 2.0
    module.len = lambda items: 5  # type: ignore[attr-defined]
    assert fast(x).item() == 5.0
    settings.rate = 3.0  # type: ignore[attr-defined]
    assert fast(x).item() == 15.0
    del module.len
    assert fast(x).item() == 6.0
    with pytest.raises(GraphError, match=r"changes last, which lives outside"):
        ts.compile(module.g)(x)
    assert not hasattr(module, "last")
