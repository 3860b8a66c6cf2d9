"""``ts.compile`` as its user sees it: what is read anew, what compiles anew, what is refused and in which words."""

from __future__ import annotations

import functools
import inspect
import logging
import zlib
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinyseq as ts
from support.cells import FUNCTIONS, Case, Sizes, cell_case, recurrent, registered
from support.checking import TOLERANCE, arrays, assert_close, assert_equal, run, total
from tinyseq import nn, optim
from tinyseq.compiler.plan import Loop
from tinyseq.errors import DataError, GraphError, TinyseqError

F64 = np.float64


def model_and_loss(dropout: float = 0.0, layers: int = 1) -> tuple[nn.Module, nn.Module, Any]:
    ts.seed(3)
    model = nn.LSTM(2, 4, num_layers=layers, dropout=dropout).cast(F64)
    head = nn.Linear(4, 3).cast(F64)

    def loss(xs: Any, targets: Any) -> Any:
        ys, _ = model(xs)
        return nn.cross_entropy(head(ys), targets)

    return model, head, loss


def batch(time: int = 5, rows: int = 3, seed: int = 0) -> tuple[ts.Tensor, ts.Tensor]:
    rng = np.random.default_rng(seed)
    return ts.tensor(rng.normal(size=(rows, time, 2))), ts.tensor(rng.integers(0, 3, (rows, time)))


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_ten_training_steps_are_those_of_eager(dropout: float) -> None:
    """The optimiser gives the weights new values, the batches differ, dropout draws anew."""
    ends = []
    for compiling in (False, True):
        model, head, loss = model_and_loss(dropout, layers=2)
        fn = ts.compile(loss) if compiling else loss
        parameters = [*model.parameters(), *head.parameters()]
        opt = optim.Adam(parameters, lr=0.02)
        ts.seed(8)
        seen = []
        for step in range(10):
            value = fn(*batch(seed=step))
            value.backward()
            optim.clip_grad_norm(parameters, 1.0)
            opt.step()
            opt.zero_grad()
            seen.append(value.numpy().copy())
        ends.append([*seen, *(p.numpy().copy() for p in parameters)])
    for a, b in zip(*ends, strict=True):
        assert np.linalg.norm(a - b) <= 1e-9 * np.linalg.norm(b)


def test_weights_are_read_at_the_call_and_the_backward_pass_keeps_them() -> None:
    """New values between forward and backward do not reach into the call that came before."""
    w = ts.tensor(np.array([2.0, 3.0]), requires_grad=True)
    fast = ts.compile(lambda x: (w * w * x).sum())
    x = ts.tensor(np.array([1.0, 1.0]))
    before = fast(x)
    w.assign(ts.tensor(np.array([10.0, 10.0])))
    assert fast(x).item() == 200.0
    before.backward()
    np.testing.assert_allclose(w.grad.numpy(), [4.0, 6.0])
    assert before.item() == 13.0


def test_weights_loaded_from_a_state_dict_are_seen() -> None:
    model, _, loss = model_and_loss()
    fast, data = ts.compile(loss), batch()
    fast(*data)
    model.load_state_dict({path: value.numpy() * 0.5 for path, value in model.state_dict().items()})
    assert_close(arrays(fast(*data)), arrays(loss(*data)), "after loading")


def test_weights_cast_after_compiling_are_not_cut_back() -> None:
    layer = nn.Linear(2, 3)
    fast = ts.compile(lambda x: layer(x))
    x = ts.tensor(np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32))
    fast(x)
    layer.cast(F64)
    assert_close(arrays(fast(x)), arrays(layer(x)), "after a cast")


def test_weights_frozen_and_thawed_after_compiling() -> None:
    w, v = (ts.tensor(np.array(3.0), requires_grad=grad) for grad in (True, False))
    fast = ts.compile(lambda x: w * v * x)
    x = ts.tensor(np.array(2.0))
    fast(x).backward()
    assert (w.grad.item(), v.grad) == (6.0, None)
    w.grad = None
    for tensor, grad in ((w, False), (v, True)):
        tensor.requires_grad = tensor.node.requires_grad = grad
    fast(x).backward()
    assert (w.grad, v.grad.item()) == (None, 6.0)


# -- what compiles anew ------------------------------------------------------------------------------------------------


def test_new_shapes_compile_once_each(caplog: pytest.LogCaptureFixture) -> None:
    _, _, loss = model_and_loss()
    fast = ts.compile(loss)
    with caplog.at_level(logging.INFO, logger="tinyseq.compiler"):
        for time in (5, 3, 5, 3, 5):
            data = batch(time)
            assert_close(arrays(fast(*data)), arrays(loss(*data)), f"{time} steps")
    assert len(fast.entries) == 2
    assert len(caplog.records) == 2
    assert "(3, 5, 2)" in caplog.text


def test_dtypes_and_gradient_mode_are_told_apart() -> None:
    fast = ts.compile(lambda x: x * 2)
    assert fast(ts.tensor([1.0])).dtype == np.float32
    assert fast(ts.tensor(np.array([1.0]))).dtype == F64
    assert fast(ts.tensor([1])).dtype == np.int64
    assert fast(ts.tensor([1.0], requires_grad=True)).requires_grad
    with ts.no_grad():
        assert not fast(ts.tensor([1.0], requires_grad=True)).requires_grad
    assert fast(ts.tensor([1.0], requires_grad=True)).requires_grad


def drops(y: Any) -> bool:
    return bool((y.numpy() == 0.0).any())


class Holder:
    def __init__(self, model: Any) -> None:
        self.model = model
        self.parts = {"deep": [model]}

    def run(self, x: Any) -> Any:
        return self.model(x)

    def __call__(self, x: Any) -> Any:
        return self.model(x)


@pytest.mark.parametrize(
    "way",
    [
        "module",
        "closure",
        *(way for way in ("method", "attribute", "callable", "partial", "nested", "argument")),
    ],
)
def test_training_and_evaluation_are_told_apart_however_the_module_is_reached(way: str) -> None:
    drop = nn.Dropout(0.5)
    holder = Holder(drop)
    fns: dict[str, Any] = {
        "module": drop,
        "closure": lambda x: drop(x),
        "method": holder.run,
        "attribute": lambda x: holder.model(x),
        "callable": holder,
        "partial": functools.partial(lambda module, x: module(x), drop),
        "nested": lambda x: holder.parts["deep"][0](x),
        "argument": lambda module, x: module(x),
    }
    fast = ts.compile(fns[way])
    given = (drop,) if way == "argument" else ()
    x = ts.ones(20, 20)
    assert drops(fast(*given, x))
    drop.eval()
    assert not drops(fast(*given, x))
    drop.train()
    assert drops(fast(*given, x))


def test_a_module_as_an_argument_is_not_taken_for_another() -> None:
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    fast = ts.compile(lambda module, x: module(x))
    x = ts.ones(1, 2)
    assert_close(arrays(fast(one, x)), arrays(one(x)), "the first")
    assert_close(arrays(fast(two, x)), arrays(two(x)), "the second")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (2.0, 3.0),
        (True, False),
        ("sum", "mean"),
        (None, 1),
        (1, 1.0),
        (1, True),
        ([1, 2], [2, 1]),
        ((), (1,)),
        (0.0, -0.0),
    ],
    ids=repr,
)
def test_arguments_that_are_no_tensors_are_part_of_the_key(first: Any, second: Any) -> None:
    """What such an argument is decides what is computed: here, all that its ``repr`` tells."""

    def number(option: Any) -> int:
        return zlib.crc32(repr(option).encode()) % 1000

    def fn(x: Any, option: Any = None, *, word: Any = None) -> Any:
        return x * number(option if word is None else word)

    x = ts.tensor([1.0, 2.0])
    fast = ts.compile(fn)
    for option in (first, second, first, second):
        for call in ({"option": option}, {"word": option}):
            assert fast(x, **call).tolist() == fn(x, **call).tolist()
        assert fast(x, option).tolist() == fn(x, option).tolist()
    assert fast.compilations == 6


def test_long_arrays_that_are_no_tensors_are_told_apart() -> None:
    """The text of a long array leaves out its middle."""
    fast = ts.compile(lambda x, weights: (x * weights).sum())
    x, weights = ts.tensor(np.ones(3000)), np.ones(3000)
    assert fast(x, weights).item() == 3000.0
    other = weights.copy()
    other[1500] = 0.0
    assert fast(x, other).item() == 2999.0


def test_lengths_as_lists_and_arrays() -> None:
    case = registered("lstm")
    xs, state = case.args
    cell = nn.LSTMCell(2, 4).cast(F64)
    fast = ts.compile(lambda xs, lengths: ts.unroll(cell, xs, state, lengths=lengths))
    for lengths in ([5, 2, 0], [1, 2, 3], np.array([5, 2, 0])):
        assert_close(
            arrays(fast(xs, lengths)), arrays(ts.unroll(cell, xs, state, lengths=lengths)), f"lengths {lengths}"
        )


# -- structures and identities -----------------------------------------------------------------------------------------


class Pair(NamedTuple):
    a: Any
    b: Any


def test_structures_of_arguments_and_results() -> None:
    def fn(x: Any, *rest: Any, **named: Any) -> Any:
        return {"pair": Pair(x, [rest[0]["p"] * 2, None]), "zz": (named["q"] + x,)}

    x, p, q = (ts.tensor(np.array([float(n)]), requires_grad=True) for n in (1, 2, 3))
    out = ts.compile(fn)(x, {"p": p, "none": None}, q=q)
    assert isinstance(out["pair"], Pair)
    assert out["pair"].b[1] is None
    assert isinstance(out["zz"], tuple)
    assert [t.item() for t in (out["pair"].a, out["pair"].b[0], out["zz"][0])] == [1.0, 4.0, 4.0]
    total(out).backward()
    expected = {id(t): t.grad.item() for t in (x, p, q)}
    for t in (x, p, q):
        t.grad = None
    total(fn(x, {"p": p, "none": None}, q=q)).backward()
    assert {id(t): t.grad.item() for t in (x, p, q)} == expected


def test_one_tensor_in_two_places() -> None:
    x = ts.tensor(np.array([2.0, 3.0]), requires_grad=True)
    case = Case(lambda a, b: (a * b + x, a), (x, x))
    values, gradients = run(case.fn, case)
    fast = run(ts.compile(case.fn), case)
    assert_close(fast[0], values, "values")
    assert_close(fast[1], gradients, "gradients")


def test_gradients_flow_on_into_what_was_computed_before() -> None:
    case = cell_case("minimal_gated_unit")
    fast = ts.compile(case.fn)
    xs, state = case.args
    found = []
    for fn in (case.fn, fast):
        ys, last = fn(ts.tanh(xs * 2.0), state * 3.0)
        ys, _ = fn(xs, last + ys.mean())
        (ys * ys).sum().backward()
        found.append([x.grad.numpy().copy() for x in case.tensors()])
        for x in case.tensors():
            x.grad = None
    assert_close(found[1], found[0], "gradients")


def test_a_compiled_function_within_another() -> None:
    case = cell_case("minimal_gated_unit")
    inner = ts.compile(case.fn)
    outer = Case(lambda xs, state: ts.tanh(inner(xs * 2.0, state)[0]), case.args, case.weights)
    plain = Case(lambda xs, state: ts.tanh(case.fn(xs * 2.0, state)[0]), case.args, case.weights)
    values, gradients = run(plain.fn, plain)
    got = run(ts.compile(outer.fn), outer)
    assert_close(got[0], values, "values")
    assert_close(got[1], gradients, "gradients")


# -- backward passes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["two_layers_in_one_step", "dropout_in_the_step"])
def test_backward_twice_over_a_retained_graph(name: str) -> None:
    case = cell_case(name)
    _, gradients = run(case.fn, case)
    fast = ts.compile(case.fn)
    ts.seed(11)
    loss = total(fast(*case.args))
    loss.backward(retain_graph=True)
    run(fast, Case(case.fn, case.args))  # uses the buffers in between
    for x in case.tensors():
        x.grad = None
    loss.backward(retain_graph=True)
    assert_close([x.grad.numpy() for x in case.tensors()], gradients, "the second sweep")
    loss.backward()
    assert_close([x.grad.numpy() for x in case.tensors()], [2.0 * g for g in gradients], "the third adds to it")
    with pytest.raises(GraphError, match="freed"):
        loss.backward()


def test_each_output_alone() -> None:
    """Gradients of one output at a time, for one tensor at a time: nothing is kept from the sweep before."""
    a, b = (ts.tensor(np.array(n), requires_grad=True) for n in (2.0, 5.0))
    product, total_ = ts.compile(lambda x, y: (x * y, x + 3.0 * y))(a, b)
    assert [g.item() for g in ts.gradients(product, [b], retain_graph=True)] == [2.0]
    assert [g.item() for g in ts.gradients(total_, [b], retain_graph=True)] == [3.0]
    assert [g.item() for g in ts.gradients(total_, [a], retain_graph=True)] == [1.0]
    assert [g.item() for g in ts.gradients(product, [a])] == [5.0]


def test_losses_of_two_calls_in_one_backward_pass() -> None:
    case = cell_case("gate_fed_by_a_gate")
    fast = ts.compile(case.fn)
    found = []
    for fn in (case.fn, fast):
        first, second = fn(*case.args), fn(case.args[0] * 0.5, case.args[1])
        (total(first) * total(second)).backward()
        found.append([x.grad.numpy().copy() for x in case.tensors()])
        for x in case.tensors():
            x.grad = None
    assert_close(found[1], found[0], "gradients")


def test_forward_passes_that_are_dropped_give_their_buffers_back() -> None:
    _, _, loss = model_and_loss()
    fast, data = ts.compile(loss), batch()
    for _ in range(20):
        fast(*data)
    assert fast.last is not None
    assert len(fast.last.idle) <= 2


def test_gradients_of_gradients() -> None:
    case = cell_case("two_states_of_two_widths", Sizes(2, 3, 2, 3))
    xs, state = case.args

    def loss(xs: Any) -> Any:
        return total(case.fn(xs, state))

    def penalty(fn: Any) -> Any:
        return lambda xs: (ts.grad(fn)(xs) ** 2).sum()

    expected = ts.grad(penalty(loss))(xs)
    for name, fn in {
        "compiled inside": penalty(ts.compile(loss)),
        "compiled outside": ts.compile(penalty(loss)),
        "both": ts.compile(ts.grad(penalty(loss))),
    }.items():
        got = fn(xs) if name == "both" else ts.grad(fn)(xs)
        assert_close(arrays(got), arrays(expected), name)


# -- what is refused ---------------------------------------------------------------------------------------------------


def refused(fn: Any, *args: Any) -> str:
    with pytest.raises(GraphError) as caught:
        ts.compile(fn)(*args)
    assert ts.tensor([1.0]).sum().item() == 1.0  # tracing is over
    return str(caught.value)


def line_with(fn: Any, text: str) -> str:
    lines, start = inspect.getsourcelines(fn)
    return f"test_function.py:{start + next(i for i, line in enumerate(lines) if text in line)}"


def test_control_flow_on_values_is_refused_at_the_users_line() -> None:
    def branch(x: Any) -> Any:
        y = x * 2.0
        if y.sum() > 0:  # the branch
            return y
        return -y

    message = refused(branch, ts.ones(2))
    assert line_with(branch, "# the branch") in message
    assert "ts.where" in message


@pytest.mark.parametrize("how", ["bool", "float", "int", "item", "numpy", "tolist", "while", "and"])
def test_values_asked_for_while_tracing(how: str) -> None:
    def fn(x: Any) -> Any:
        if how == "while":
            while x.sum() < 3.0:
                x = x + 1.0
            return x
        if how == "and":
            return x if x.sum() > 0 and x.sum() < 1 else -x
        return x * {
            "bool": bool, "float": float, "int": int, "item": lambda t: t.item(),
            "numpy": lambda t: t.numpy().sum(), "tolist": lambda t: len(t.tolist()),
        }[how](x.sum())  # fmt: skip

    assert "test_function.py" in refused(fn, ts.ones(2))


def test_control_flow_within_a_step_is_refused_at_the_users_line() -> None:
    def step(x: Any, h: Any) -> Any:
        h = h + x
        return (h, h) if h.mean() > 0.0 else (x, h)

    message = refused(lambda xs: ts.unroll(step, xs, ts.zeros(2, 3)), ts.ones(2, 4, 3))
    assert line_with(step, "h.mean() > 0.0") in message


def test_results_that_are_no_tensors_are_refused() -> None:
    assert "tensors" in refused(lambda x: (x, 3), ts.ones(2))


def test_a_state_that_changes_its_form_is_refused() -> None:
    for step in (
        lambda x, h: (x, ts.concat([h, x], -1)),
        lambda x, h: (x, (h, h)),
        lambda x, h: (x, ts.cast(h, np.float32)),
    ):
        with pytest.raises(TinyseqError):
            ts.compile(lambda xs, step=step: ts.unroll(step, xs, ts.tensor(np.zeros((2, 3)))))(ts.ones(2, 4, 3))


def test_python_numbers_in_a_state_are_refused_in_words() -> None:
    with pytest.raises(TinyseqError):
        ts.compile(lambda xs: ts.unroll(lambda x, s: (x, (s[0] + x, s[1] + 1)), xs, (ts.zeros(2, 3), 0)))(
            ts.ones(2, 4, 3)
        )


def test_a_loop_within_a_step_is_written_out() -> None:
    def step(x: Any, h: Any) -> Any:
        ys, h = ts.unroll(lambda a, s: (a + s, a * s), ts.expand_dims(x, 2), h)
        return ys[:, :, 0], h

    w = ts.tensor(np.ones((2, 1)), requires_grad=True)
    fast = ts.compile(lambda xs: ts.unroll(step, xs, w))
    fast(ts.tensor(np.ones((2, 4, 3))))
    loops = [i for i in fast.plan.instructions if isinstance(i, Loop)]
    assert {loop.length for loop in loops} == {4}
    assert not any(isinstance(inner, Loop) for loop in loops for inner in loop.body)


def test_errors_in_the_function_are_its_own() -> None:
    def fn(x: Any) -> Any:
        raise KeyError("mine")

    fast = ts.compile(fn)
    for _ in range(2):
        with pytest.raises(KeyError, match="mine"):
            fast(ts.ones(2))
    assert (ts.ones(2) * 2).sum().item() == 4.0


def test_lengths_out_of_range_are_refused() -> None:
    rnn = nn.RNN(2, 3)
    with pytest.raises(DataError, match="length"):
        ts.compile(lambda xs: rnn(xs, lengths=[9, 1]))(ts.ones(2, 4, 2))


def test_nothing_is_compiled_before_the_first_call() -> None:
    with pytest.raises(GraphError, match="call"):
        _ = ts.compile(lambda x: x).plan


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_single_precision(kind: str) -> None:
    """Within a few roundings of eager: the sums are the same ones in another order."""
    case = recurrent(Sizes(4, 20, 8, 16), kind=kind)
    values, gradients = run(case.fn, case)
    for x in case.tensors():
        x.value = x.value.astype(np.float32)
        x._node = None
    got = run(ts.compile(case.fn), case)
    for a, b in zip([*got[0], *got[1]], [*values, *gradients], strict=True):
        assert a.dtype == np.float32 or b.dtype.kind != "f"
        assert np.linalg.norm(a - b) <= 2e-5 * np.linalg.norm(b)


def test_nan_and_infinity_pass_as_in_eager() -> None:
    x = ts.tensor(np.array([np.nan, np.inf, -np.inf, -0.0, 1e308]), requires_grad=True)
    case = Case(
        lambda x: (
            ts.relu(x),
            ts.where(x > 0, 0.0, -0.0) + x,
            x * 0.0 + 1.0,
            ts.maximum(x, 0.0),
            ts.log(x),
            x * 10.0 * 0.1,
        ),
        (x,),
    )
    values, _ = run(case.fn, case)
    assert_equal(run(ts.compile(case.fn), case)[0][:5], values[:5], "values")


def test_zeros_keep_their_signs() -> None:
    """0.0 and -0.0 are equal, and yet two values: two ops that differ in nothing else are not one."""
    fast = ts.compile(lambda x: (ts.where(x > 0, 0.0, x), ts.where(x > 0, -0.0, x)))
    assert [np.signbit(y).tolist() for y in arrays(fast(ts.ones(1)))] == [[False], [True]]


def test_random_numbers_are_drawn_anew_at_each_call() -> None:
    case = FUNCTIONS["loss_of_a_model"](Sizes())
    fast = ts.compile(case.fn)
    both = []
    for fn in (case.fn, fast):
        ts.seed(4)
        both.append([fn(*case.args)[0].item() for _ in range(4)])
    assert len(set(both[1])) == 4
    np.testing.assert_allclose(both[1], both[0], rtol=TOLERANCE)


def test_compiling_again_gives_the_same_bits() -> None:
    case = recurrent(kind="lstm", num_layers=2, bidirectional=True, dropout=0.2)
    first, second = run(ts.compile(case.fn), case), run(ts.compile(case.fn), case)
    assert_equal(second[0], first[0], "values")
    assert_equal(second[1], first[1], "gradients")


def test_many_threads_share_no_buffers() -> None:
    from concurrent.futures import ThreadPoolExecutor

    case = cell_case("minimal_gated_unit")
    fast = ts.compile(case.fn)
    xs, state = case.args
    inputs = [ts.tensor(xs.numpy() * k) for k in range(1, 9)]
    expected = [arrays(case.fn(x, state)) for x in inputs]
    fast(xs, state)
    with ThreadPoolExecutor(4) as pool:
        for got, right in zip(pool.map(lambda x: arrays(fast(x, state)), inputs * 5), expected * 5, strict=True):
            assert_close(got, right, "in a thread")
