"""What a compiled function reads and changes of Python's, in the ways in which programs do: eager numbers, or words.

Each case is a program of its own, run eagerly and compiled; what it gives eagerly is the truth.
"""

from __future__ import annotations

import array
import collections
import contextvars
import copy
import functools
import itertools
import operator
import pickle
import threading
import types
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn, optim
from tinyseq.errors import GraphError
from tinyseq.unrolling import truncating

Jit = Callable[..., Any]
ONE = ts.ones(1)
RATE = 2.0
SEEN: list[Callable[[Jit], Any]] = []
REFUSED: list[tuple[Callable[[Jit], Any], str]] = []


def seen(program: Callable[[Jit], Any]) -> Callable[[Jit], Any]:
    SEEN.append(program)
    return program


def refused(words: str) -> Callable[[Callable[[Jit], Any]], Callable[[Jit], Any]]:
    def keep(program: Callable[[Jit], Any]) -> Callable[[Jit], Any]:
        REFUSED.append((program, words))
        return program

    return keep


@pytest.mark.parametrize("program", SEEN, ids=lambda program: program.__name__)
@pytest.mark.parametrize("backend", ["numpy", "llvm"])
def test_a_compiled_program_gives_eagers_numbers(program: Callable[[Jit], Any], backend: str) -> None:
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    with ts.backend(backend):
        assert program(ts.compile) == program(lambda fn, **_: fn)


@pytest.mark.parametrize(("program", "words"), REFUSED, ids=lambda part: getattr(part, "__name__", ""))
def test_what_a_plan_cannot_repeat_is_refused_at_its_line(program: Callable[[Jit], Any], words: str) -> None:
    with pytest.raises(GraphError, match=words) as caught:
        program(ts.compile)
    assert "test_seen.py" in str(caught.value)
    program(lambda fn, **_: fn)


# -- values of tensors that lie outside --------------------------------------------------------------------------------


def twice(fn: Callable[..., Any], change: Callable[[], Any], x: Any = ONE) -> list[Any]:
    """The result before a change and after it."""
    before = fn(x).tolist()
    change()
    return [before, fn(x).tolist()]


def _reader(read: Callable[[Any], Any]) -> None:
    def program(jit: Jit) -> Any:
        w = ts.tensor([3.0])
        return twice(jit(lambda x: x * read(w)), lambda: w.assign(ts.tensor([5.0])))

    program.__name__ = f"value_by_{len(SEEN)}"
    SEEN.append(program)


for _read in (
    lambda w: w.item(),
    float,
    lambda w: len(range(int(w))),
    lambda w: w.tolist()[0],
    lambda w: w.numpy(),
    lambda w: float(np.asarray(w)[0]),
    lambda w: len(str(w)) * 1.0,
    lambda w: ts.tensor(w.tolist()),
    copy.deepcopy,
    copy.copy,
    lambda w: pickle.loads(pickle.dumps(w)),
    lambda w: ts.from_dlpack(w),
    lambda w: len(str(w.item())) + w.item(),
):
    _reader(_read)


@seen
def a_mask_that_lies_outside(jit: Jit) -> Any:
    mask = ts.tensor([True, False, True])
    return twice(
        jit(lambda x: x[mask]), lambda: mask.assign(ts.tensor([True, True, False])), ts.tensor([1.0, 2.0, 3.0])
    )


# -- objects -----------------------------------------------------------------------------------------------------------


def _holder(make: Callable[[], Any], read: Callable[[Any], Any], change: Callable[[Any], Any]) -> None:
    def program(jit: Jit) -> Any:
        held = make()
        return twice(jit(lambda x: x * read(held)), lambda: change(held))

    program.__name__ = f"holder_{len(SEEN)}"
    SEEN.append(program)


class Flagged(dict):  # type: ignore[type-arg]
    rate = 2.0


class Number(float):
    rate = 2.0


class Slotted:
    __slots__ = ("__hidden", "later")

    def __init__(self) -> None:
        self.__hidden = 2.0

    def get(self) -> float:
        return self.__hidden * getattr(self, "later", 1.0)

    def change(self) -> None:
        self.__hidden, self.later = 3.0, 7.0


class Walker:
    """An iterator of one's own, of which only an attribute is read."""

    def __init__(self) -> None:
        self.rate = 2.0

    def __next__(self) -> float:
        return self.rate


class Parts:
    def times(self, k: float, x: Any) -> Any:
        return x * k * self.rate

    rate = 2.0
    half = functools.partialmethod(times, 0.5)


def _local() -> Any:
    held = threading.local()
    held.rate = 2.0
    return held


for _make, _get, _change in (
    (lambda: collections.UserDict(rate=2.0), lambda d: d["rate"], lambda d: d.update(rate=5.0)),
    (lambda: collections.UserList([2.0]), lambda d: d[0], lambda d: d.append(1.0) or d.__setitem__(0, 5.0)),
    (lambda: collections.ChainMap({"rate": 2.0}), lambda d: d["rate"], lambda d: d.update(rate=5.0)),
    (lambda: bytearray([2]), lambda d: d[0], lambda d: d.__setitem__(0, 5)),
    (lambda: array.array("d", [2.0]), lambda d: d[0], lambda d: d.__setitem__(0, 5.0)),
    (_local, lambda d: d.rate, lambda d: setattr(d, "rate", 5.0)),
    (lambda: contextvars.ContextVar("rate", default=2.0), lambda d: d.get(), lambda d: d.set(5.0)),
    (threading.local, lambda d: getattr(d, "rate", 2.0), lambda d: setattr(d, "rate", 5.0)),
    (threading.Event, lambda d: 3.0 if d.is_set() else 2.0, lambda d: d.set()),
    (lambda: Flagged(k=1.0), lambda d: d.rate, lambda d: setattr(d, "rate", 5.0)),
    (lambda: Number(3.0), lambda d: d.rate, lambda d: setattr(d, "rate", 5.0)),
    (Slotted, lambda d: d.get(), lambda d: d.change()),
    (Walker, lambda d: d.rate, lambda d: setattr(d, "rate", 5.0)),
    (lambda: [], lambda d: (lambda read: read())(d.__len__) + 1.0, lambda d: d.append(1)),
    (lambda: SimpleNamespace(a=SimpleNamespace(k=2.0)), operator.attrgetter("a.k"), lambda d: setattr(d.a, "k", 5.0)),
    (lambda: np.zeros(6), lambda d: d.shape[0], lambda d: setattr(d, "shape", (2, 3))),
):
    _holder(_make, _get, _change)


@seen
def a_proxy_of_a_mapping(jit: Jit) -> Any:
    behind = {"rate": 2.0}
    proxy = types.MappingProxyType(behind)
    return twice(jit(lambda x: x * proxy["rate"]), lambda: behind.update(rate=5.0))


@seen
def a_weak_reference(jit: Jit) -> Any:
    held = Walker()
    ref = weakref.ref(held)
    return twice(jit(lambda x: x * ref().rate), lambda: setattr(held, "rate", 5.0))


@seen
def parts_of_a_method(jit: Jit) -> Any:
    held = Parts()
    return twice(jit(lambda x: held.half(x)), lambda: setattr(held, "rate", 5.0))


@seen
def a_builtin_under_another_name(jit: Jit) -> Any:
    held, read, name = SimpleNamespace(rate=2.0), getattr, "rate"
    return twice(jit(lambda x: x * read(held, name)), lambda: setattr(held, "rate", 5.0))


@seen
def defaults_of_a_function(jit: Jit) -> Any:
    def scale(x: Any, k: float = 2.0) -> Any:
        return x * k

    return twice(jit(lambda x: scale(x)), lambda: setattr(scale, "__defaults__", (5.0,)))


@seen
def code_of_a_function(jit: Jit) -> Any:
    def scale(x: Any) -> Any:
        return x * 2.0

    def other(x: Any) -> Any:
        return x * 5.0

    return twice(jit(lambda x: scale(x)), lambda: setattr(scale, "__code__", other.__code__))


@seen
def a_global_by_its_name(jit: Jit) -> Any:
    globals()["RATE"] = 2.0
    return twice(jit(lambda x: x * globals()["RATE"]), lambda: globals().update(RATE=5.0))


@seen
def weights_in_a_container_of_a_library(jit: Jit) -> Any:
    held = collections.UserDict(w=ts.ones(1, requires_grad=True))
    fn = jit(lambda x: (x * held["w"] * held["w"]).sum())
    gradients = []
    for value in (2.0, 3.0):
        held["w"] = ts.tensor([value], requires_grad=True)
        fn(ONE).backward()
        gradients.append(held["w"].grad.tolist())
    return gradients


@seen
def a_layer_that_is_added(jit: Jit) -> Any:
    ts.seed(0)
    model = nn.Module()
    model.first = nn.Linear(2, 2)
    penalty = jit(lambda x: x * sum((p * p).sum() for p in model.parameters()))
    return [round(value[0], 5) for value in twice(penalty, lambda: setattr(model, "second", nn.Linear(2, 2)))]


@seen
def keys_that_are_equal(jit: Jit) -> Any:
    fn = jit(lambda x, table: x * float(len(str(next(iter(table))))))
    return [fn(ONE, {key: 0}).item() for key in (1, True, 1.0)]


@seen
def classes_of_arguments(jit: Jit) -> Any:
    class Bag(list):  # type: ignore[type-arg]
        pass

    bag = Bag([ts.ones(1)])
    bag.rate = 3.0
    table: Any = collections.defaultdict(lambda: ts.tensor([4.0]), a=ts.ones(1))
    one = jit(lambda t: t["a"] + t.default_factory())(table).tolist()
    return (
        one,
        jit(lambda t: t[0] * t.rate)(bag).tolist(),
        jit(lambda c: ONE * c["a"])(collections.Counter("aab")).tolist(),
    )


@seen
def names_of_a_record(jit: Jit) -> Any:
    fn = jit(lambda a: ONE * float(a[a.dtype.names[0]][0]))
    return [fn(np.array([(1.0, 2.0)], dtype=[("b", float), ("c", float)][::step])).tolist() for step in (1, -1)]


@seen
def a_number_of_numpys_beside_a_float(jit: Jit) -> Any:
    fn = jit(lambda x, a, b: x * (a + b))
    y = fn(ts.ones(1, dtype=np.float32), np.float32(0.3), 0.1)
    return str(y.dtype), round(y.item(), 6)


@seen
def results_by_mixed_keys(jit: Jit) -> Any:
    return {key: x.tolist() for key, x in jit(lambda x: {1: x, "b": x * 2.0})(ONE).items()}


@seen
def conditions_that_are_numbers(jit: Jit) -> Any:
    rows = []
    for kind in (np.int8, np.uint8, np.int64, np.float32, np.float64):
        c = ts.tensor(np.array([0, 2, 0, 1], kind))
        x = ts.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
        y = jit(lambda c, x: ts.where(c, x, -x))(c, x)
        y.sum().backward()
        rows.append((y.tolist(), x.grad.tolist()))
    return rows


@seen
def a_context_of_truncation(jit: Jit) -> Any:
    w = ts.tensor([0.5], requires_grad=True)
    fn = jit(lambda x: ts.unroll(lambda x, h: (h * w + x, h * w + x), x, ts.zeros(1, 1))[0].sum())
    gradients = []
    for every in (None, 1, 2):
        w.grad = None
        with truncating(every):
            fn(ts.ones(1, 4, 1)).backward()
        gradients.append(round(w.grad.item(), 5))
    return gradients


@seen
def an_optimiser_that_the_function_reads(jit: Jit) -> Any:
    w = ts.ones(1, requires_grad=True)
    opt = optim.SGD([w], lr=1.0)
    fn = jit(lambda x: x * opt.lr + opt.steps)
    return twice(fn, lambda: setattr(opt, "lr", 5.0))


@seen
def copies_of_a_compiled_function(jit: Jit) -> Any:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = ts.tensor([2.0], requires_grad=True)
            self.fast = jit(self.forward)

        def forward(self, x: Any) -> Any:
            return x * self.w

    model = Model()
    other = copy.deepcopy(model)
    other.w.assign(ts.tensor([7.0]))
    return model.fast(ONE).tolist(), other.fast(ONE).tolist()


@seen
def a_static_method(jit: Jit) -> Any:
    class Model:
        @jit
        @staticmethod
        def double(x: Any) -> Any:
            return x * 2.0

    return Model.double(ONE).tolist(), Model().double(ONE).tolist()


@seen
def results_that_are_kept(jit: Jit) -> Any:
    @functools.cache
    def mask(n: int) -> Any:
        return ts.ones(n) * 2.0

    y = jit(lambda x: x * mask(1))(ONE).tolist()
    return y, (mask(1) + 1.0).tolist()


@seen
def results_that_are_kept_in_two_ways(jit: Jit) -> Any:
    """What is kept as an attribute has the function traced once more; what is cached must not be of the first trace."""

    @functools.cache
    def scale() -> Any:
        return ts.tensor([2.0]) * 1.5

    held = SimpleNamespace(mask=None)

    def run(x: Any) -> Any:
        if held.mask is None:
            held.mask = np.ones(1, np.float32)
        return x * scale() * held.mask

    fn = jit(run)
    return [fn(ONE).tolist() for _ in range(2)], scale().tolist()


@seen
def labels_in_a_step_that_nobody_reads(jit: Jit) -> Any:
    def step(x: Any, h: Any) -> Any:
        nn.cross_entropy(h, ts.tensor([7]))
        return h + x, h + x

    try:
        jit(lambda x: ts.unroll(step, x, ts.zeros(1, 2))[0].sum())(ts.ones(1, 3, 2))
    except ts.TinyseqError as error:
        return str(error).splitlines()[0]
    return "not raised"


@seen
def a_divisor_of_numpys_that_is_zero(jit: Jit) -> Any:
    fn = jit(lambda x, k: x * (1.0 / k))
    with np.errstate(all="ignore"):
        return [fn(ONE, np.float32(k)).item() for k in (2.0, 0.0, 4.0)]


@seen
def integers_to_negative_powers(jit: Jit) -> Any:
    try:
        jit(lambda x: 2**x)(ts.tensor([1, -1]))
    except ts.TinyseqError as error:
        return str(error).splitlines()[0]
    return "not raised"


# -- refused -----------------------------------------------------------------------------------------------------------


@refused("a step of a loop changes count")
def a_counter_of_a_step(jit: Jit) -> Any:
    def run(x: Any) -> Any:
        count = 0

        def step(x: Any, h: Any) -> Any:
            nonlocal count
            count += 1
            return h + x * count, h + x * count

        return ts.unroll(step, x, ts.zeros(1, 1))[0]

    return jit(run)(ts.ones(1, 4, 1))


@refused("a step of a loop changes losses")
def losses_gathered_by_a_step(jit: Jit) -> Any:
    def run(x: Any) -> Any:
        losses: list[Any] = []

        def step(x: Any, h: Any) -> Any:
            losses.append((h * h).sum())
            return h + x, h + x

        return ts.unroll(step, x, ts.zeros(1, 1))[0].sum() + sum(losses)

    return jit(run)(ts.ones(1, 4, 1))


@refused("reads rates, which moves on")
def an_iterator_of_a_step(jit: Jit) -> Any:
    def run(x: Any) -> Any:
        rates = iter([1.0, 2.0, 3.0, 4.0])
        return ts.unroll(lambda x, h: (h + x * next(rates),) * 2, x, ts.zeros(1, 1))[0]

    return jit(run)(ts.ones(1, 4, 1))


@refused("the value of a traced tensor was asked for")
def a_refusal_that_is_passed_over(jit: Jit) -> Any:
    def run(x: Any) -> Any:
        try:
            return x * float(x.mean())
        except Exception:
            return x * 0.0

    return jit(run)(ONE)


@pytest.mark.parametrize(
    "make", [lambda: iter([1.0, 2.0]), lambda: (k for k in (1.0, 2.0)), itertools.count, lambda: map(float, "12")]
)
def test_an_iterator_outside_is_refused(make: Callable[[], Any]) -> None:
    rates = make()
    with pytest.raises(GraphError, match=r"rates, which moves on(.|\n)*test_seen.py"):
        ts.compile(lambda x: x * next(rates))(ONE)
    with pytest.raises(GraphError, match="which moves on"):
        ts.compile(lambda x, items: x * sum(items))(ONE, make())


@seen
def an_iterator_that_another_method_moves(jit: Jit) -> Any:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scores, self.pairs = iter([1.0, 2.0]), zip((1, 2), (3, 4), strict=True)

        def forward(self, x: Any) -> Any:
            return x * 2.0

        def summary(self) -> str:
            return f"{next(self.scores)} {next(self.pairs)}"

    model = Model()
    return twice(jit(model), model.summary)


@pytest.mark.parametrize(
    "make",
    [
        lambda: iter([1.0, 2.0, 3.0]),
        lambda: zip((1.0, 2.0, 3.0)),
        lambda: map(float, (1, 2, 3)),
        lambda: enumerate([1.0, 2.0, 3.0]),
        lambda: (k for k in (1.0, 2.0, 3.0)),
        lambda: itertools.count(1),
    ],
)
def test_an_iterator_of_an_attribute_is_refused_where_it_moves_on(make: Callable[[], Any]) -> None:
    held = SimpleNamespace(rates=make())

    def run(x: Any) -> Any:
        next(held.rates)
        return x * 1.0

    with pytest.raises(GraphError, match=r"changes held.rates"):
        ts.compile(run)(ONE)


@refused("changes opt.param_groups")
def a_rate_set_by_hand_within(jit: Jit) -> Any:
    w = ts.ones(1, requires_grad=True)
    opt = optim.SGD([w], lr=1.0)

    def step() -> Any:
        opt.param_groups[0]["lr"] = opt.lr * 0.5
        return w * 1.0

    return jit(step)()


@refused("changes .*lr")
def a_rate_set_within(jit: Jit) -> Any:
    w = ts.ones(1, requires_grad=True)
    opt = optim.SGD([w], lr=1.0)

    def step() -> Any:
        opt.lr = opt.lr * 0.5
        return w * 1.0

    return jit(step)()


@refused("ts.seed in a compiled function")
def a_seed_given_within(jit: Jit) -> Any:
    def run(x: Any) -> Any:
        ts.seed(0)
        return x + ts.rand(1)

    return jit(run)(ONE)


@refused("taken in a time step of a loop is differentiated again")
def a_gradient_of_a_gradient_of_a_step(jit: Jit) -> Any:
    w = ts.tensor([0.5], requires_grad=True)

    def step(x: Any, h: Any) -> Any:
        h = h * 0.5 + ts.grad(lambda q: (ts.tanh(q * w) * x).sum())(h + x)
        return h, h

    y = jit(lambda x: ts.unroll(step, x, ts.ones(1, 1))[0].sum())(ts.ones(1, 3, 1))
    y.backward()
    return y


@refused("backward.. in a time step")
def backward_within_a_step(jit: Jit) -> Any:
    w = ts.ones(1, requires_grad=True)

    def step(x: Any, h: Any) -> Any:
        (h * w).sum().backward()
        return h + x, h + x

    return jit(lambda x: ts.unroll(step, x, ts.zeros(1, 1))[0])(ts.ones(1, 2, 1))


@refused("enable_grad within")
def gradients_on_within_none(jit: Jit) -> Any:
    w = ts.ones(1, requires_grad=True)

    def run(x: Any) -> Any:
        with ts.enable_grad():
            return x * w

    with ts.no_grad():
        return jit(run)(ONE)


def test_a_refusal_leaves_nothing_behind() -> None:
    class Counted:
        n = 1

    held, frozen = SimpleNamespace(k=2.0), ts.ones(3).numpy()

    def counts(x: Any) -> Any:
        Counted.n += 1
        return x * frozen

    def deletes(x: Any) -> Any:
        k = held.k
        del held.k
        return x * k

    for fn, words in ((counts, "changes Counted.n"), (deletes, "changes held.k")):
        with pytest.raises(GraphError, match=words):
            ts.compile(fn)(ts.ones(3))
    assert (Counted.n, held.k) == (1, 2.0)


def test_a_compiled_function_looks_like_its_function() -> None:
    fast = ts.compile(a_static_method)
    assert (fast.__name__, fast.__qualname__, fast.__module__) == ("a_static_method", "a_static_method", __name__)


def _simple(x: Any, h: Any, w: Any, v: Any, b: Any) -> Any:
    return ts.tanh(x @ w[:, :4] + h @ v[:, :4] + b[:4])


def _from_one_matrix(x: Any, h: Any, w: Any, v: Any, b: Any) -> Any:
    return ts.tanh(h @ v[:, :4] + b[:4]) * ts.sigmoid(x @ w[:, 4:8])


def _gated(x: Any, h: Any, w: Any, v: Any, b: Any) -> Any:
    z, r, a = ts.split(x @ w[:, :12] + b[:12], (4, 4, 4), 1)
    p, q, c = ts.split(h @ v[:, :12], (4, 4, 4), 1)
    z = ts.sigmoid(z + p)
    return (1.0 - z) * ts.tanh(a + ts.sigmoid(r + q) * c) + z * h


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("step", [_simple, _from_one_matrix, _gated])
def test_one_row_of_inputs_beside_several_of_the_state(backend: str, step: Any) -> None:
    """NumPy's rule holds in a loop too; 1 of 40,000 random programs found a pass that took the rows to be as many."""
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    ts.seed(0)
    with ts.backend(backend):
        weights = [ts.tensor(ts.randn(*shape).numpy(), requires_grad=True) for shape in ((2, 16), (4, 16), (16,))]
        x, state = ts.randn(1, 5, 2), ts.randn(3, 4)

        def run(x: Any) -> Any:
            def cell(x: Any, h: Any) -> Any:
                new = step(x, h, *weights)
                return new, new

            return ts.unroll(cell, x, state)[0]

        results = []
        for fn in (run, ts.compile(run)):
            y = fn(x)
            (y * y).sum().backward()
            results.append([y.numpy(), *(p.grad.numpy() for p in weights)])
            for p in weights:
                p.grad = None
    for eager, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=2e-5, atol=2e-6)


@seen
def a_gradient_of_what_is_linear_does_not_lead_back(jit: Jit) -> Any:
    """d/dv Σ v w = w: eagerly the weights before v have no gradient, and no decay moves them."""
    before, w = (ts.tensor(np.full((3, 3), x), requires_grad=True) for x in (1.0, 2.0))
    opt = optim.SGD([before, w], lr=0.1, weight_decay=0.5)

    def step(x: ts.Tensor) -> None:
        slope = ts.grad(lambda v: (v @ w).sum())(x @ before)
        (slope * slope).mean().backward()
        opt.step()

    jit(step)(ts.ones(2, 3, dtype=ts.float64))
    return before.grad is None, before.tolist(), w.tolist()


@seen
def a_gradient_of_what_is_not_linear_does(jit: Jit) -> Any:
    """d/dv Σ v² w / 2 = v w."""
    before, w = (ts.tensor(np.full((3,), x), requires_grad=True) for x in (1.0, 2.0))

    def step(x: ts.Tensor) -> None:
        slope = ts.grad(lambda v: (v * v * w * 0.5).sum())(x * before)
        slope.sum().backward()

    jit(step)(ts.ones(3, dtype=ts.float64))
    return before.grad.tolist(), w.grad.tolist()


@seen
def after_a_step_a_gradient_leads_to_the_new_weights(jit: Jit) -> Any:
    """Two steps in one call: the second one's gradient is of what the first has written."""
    before, w = (ts.tensor(np.full((3,), x), requires_grad=True) for x in (1.0, 2.0))
    opt = optim.SGD([before, w], lr=0.1, weight_decay=0.5)

    def steps(x: ts.Tensor) -> None:
        for _ in range(2):
            opt.zero_grad()
            slope = ts.grad(lambda v: (v * w).sum())(x * before)
            (slope * slope).sum().backward()
            opt.step()

    jit(steps)(ts.ones(3, dtype=ts.float64))
    return before.grad is None, before.tolist(), w.tolist()
