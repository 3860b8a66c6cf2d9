"""What ops refuse, and what they say: what was required, what came, where, and what to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn
from tinyseq.errors import DataError, DtypeError, GraphError, ShapeError, TinyseqError
from tinyseq.ops import OPS, Op
from tinyseq.ops.base import BOOL

F = ts.ones(2, 3)
LONG = ts.tensor([0, 1])

REFUSED: dict[str, tuple[Callable[[], Any], type[TinyseqError], list[str]]] = {
    "add": (lambda: F + ts.ones(4), ShapeError, ["add", "(2, 3) and (4,)", "axis -1"]),
    "where": (lambda: ts.where(LONG > 0, F, F), ShapeError, ["where", "(2,) and (2, 3)"]),
    "matmul": (lambda: F @ F, ShapeError, ["matmul", "(2, 3) @ (2, 3)", "transpose"]),
    "matmul stacks": (lambda: ts.ones(2, 3, 4) @ ts.ones(3, 4, 5), ShapeError, ["matmul", "(2,) and (3,)"]),
    "matmul scalar": (lambda: F @ 2.0, ShapeError, ["matmul", "(2, 3) @ ()"]),
    "einsum extents": (lambda: ts.einsum("ij,jk->ik", F, F), ShapeError, ["einsum", "'j'", "3"]),
    "einsum ranks": (lambda: ts.einsum("ijk->i", F), ShapeError, ["einsum", "ijk", "(2, 3)"]),
    "einsum operands": (lambda: ts.einsum("ij,jk->ik", F), ShapeError, ["einsum", "2"]),
    "einsum output": (lambda: ts.einsum("ij->ix", F), ShapeError, ["einsum", "x"]),
    "einsum output twice": (lambda: ts.einsum("ij->ii", F), ShapeError, ["einsum", "output"]),
    "sum axis": (lambda: F.sum(2), ShapeError, ["sum", "no axis 2", "-2 <= axis < 2"]),
    "sum axis twice": (lambda: F.sum((0, -2)), ShapeError, ["sum", "twice"]),
    "max of nothing": (lambda: ts.zeros(0).max(), ShapeError, ["max", "(0,)"]),
    "min of nothing": (lambda: ts.zeros(2, 0).min(1), ShapeError, ["min", "(2, 0)"]),
    "logsumexp of nothing": (lambda: ts.zeros(0).logsumexp(), ShapeError, ["logsumexp", "(0,)"]),
    "argmax of nothing": (lambda: ts.zeros(0).argmax(), ShapeError, ["argmax", "(0,)"]),
    "softmax axis": (lambda: F.softmax(3), ShapeError, ["softmax", "no axis 3"]),
    "reshape": (lambda: F.reshape(4, 2), ShapeError, ["reshape", "6 elements", "(4, 2)"]),
    "reshape -1": (lambda: F.reshape(4, -1), ShapeError, ["reshape", "6 elements"]),
    "transpose": (lambda: F.transpose(0, 0), ShapeError, ["transpose", "each of 0..1 once"]),
    "broadcast_to": (lambda: ts.broadcast_to(F, (3, 3)), ShapeError, ["broadcast_to", "(2, 3)"]),
    "broadcast_to less": (lambda: ts.broadcast_to(F, (3,)), ShapeError, ["broadcast_to", "(2, 3)"]),
    "squeeze": (lambda: F.squeeze(0), ShapeError, ["squeeze", "1 on axis 0", "(2, 3)"]),
    "concat": (lambda: ts.concat([F, ts.ones(2, 4)]), ShapeError, ["concat", "(2, 3), (2, 4)"]),
    "concat ranks": (lambda: ts.concat([F, ts.ones(3)]), ShapeError, ["concat", "(2, 3), (3,)"]),
    "concat nothing": (lambda: ts.concat([]), ShapeError, ["concat of nothing"]),
    "stack": (lambda: ts.stack([F, ts.ones(2, 4)]), ShapeError, ["stack", "(2, 3), (2, 4)"]),
    "stack nothing": (lambda: ts.stack([]), ShapeError, ["stack of nothing"]),
    "split": (lambda: ts.split(F, (1, 1)), ShapeError, ["split", "a sum of 3", "(1, 1)"]),
    "split below 0": (lambda: ts.split(F, (-1, 4)), ShapeError, ["split", "(-1, 4)"]),
    "split unequal": (lambda: ts.split(F, 2), ShapeError, ["split", "a divisor of 3", "2"]),
    "pad": (lambda: ts.pad(F, ((1, 1),)), ShapeError, ["pad", "2 pairs"]),
    "pad below 0": (lambda: ts.pad(F, ((1, -1), (0, 0))), ShapeError, ["pad", "counts >= 0"]),
    "tril": (lambda: ts.tril(ts.ones(3)), ShapeError, ["tril", "2 axes"]),
    "slice": (lambda: F[2], ShapeError, ["slice", "(2, 3)"]),
    "slice axes": (lambda: F[0, 0, 0], ShapeError, ["slice", "(2, 3)"]),
    "index range": (lambda: F[[0, 2]], ShapeError, ["index", "2"]),
    "index floats": (lambda: F[ts.ones(2)], DtypeError, ["index", "integer", "float32"]),
    "index mask": (lambda: F[ts.tensor([True, False, True])], ShapeError, ["mask", "(2,)", "(3,)"]),
    "index bool": (lambda: F[True], DtypeError, ["index", "boolean"]),
    "gather": (lambda: ts.gather(F, LONG), ShapeError, ["gather", "2 axes", "(2,)"]),
    "take": (lambda: ts.take(F, ts.tensor([3])), ShapeError, ["index", "3"]),
    "embedding range": (lambda: ts.embedding(F, ts.tensor([0, 2])), DataError, ["embedding", "< 2", "2 at (1,)"]),
    "embedding dtype": (lambda: ts.embedding(F, ts.ones(2)), DtypeError, ["embedding", "integer", "float32"]),
    "dropout": (lambda: ts.dropout(F, 1.0, seed=0), DataError, ["dropout", "0 <= p < 1", "1.0"]),
    "cross_entropy": (lambda: ts.nn.cross_entropy(F, ts.tensor([0])), ShapeError, ["cross_entropy", "(2, 3) and (1,)"]),
    "cross_entropy label": (
        lambda: ts.nn.cross_entropy(F, ts.tensor([0, 3]), ignore_index=-1),
        DataError,
        ["0 <= label < 3", "-1", "3 at (1,)"],
    ),
    "cross_entropy dtype": (lambda: ts.nn.cross_entropy(F, ts.ones(2)), DtypeError, ["integer", "float32"]),
    "cross_entropy reduction": (
        lambda: ts.nn.cross_entropy(F, LONG, reduction="avg"),
        DataError,
        ["'avg'", "'sum', 'mean' or 'none'"],
    ),
    "cross_entropy weight": (lambda: ts.nn.cross_entropy(F, LONG, weight=[1.0]), ShapeError, ["(3,)", "(1,)"]),
    "operand": (lambda: F + "x", DtypeError, ["tensor", "str 'x'", "ts.tensor"]),
    "operand none": (lambda: F * None, DtypeError, ["tensor", "NoneType"]),
    "negative power": (lambda: ts.tensor([2]) ** -1, TinyseqError, ["pow", "negative"]),
    "bool minus": (lambda: -ts.tensor([True]), DtypeError, ["neg", "bool"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_words(name: str) -> None:
    call, family, words = REFUSED[name]
    with pytest.raises(family) as caught:
        call()
    text = str(caught.value)
    assert [word for word in words if word not in text] == []
    assert "required" in text or "got" in text or "nothing" in text


@pytest.mark.parametrize("name", ["add", "matmul", "reshape", "index range", "take", "operand"])
def test_a_refusal_names_the_line_scope_and_step(name: str) -> None:
    from tinyseq.graph import at_step

    call = REFUSED[name][0]
    with ts.scope("encoder"), ts.scope("lstm0"), at_step(7), pytest.raises(TinyseqError) as caught:
        call()
    where = caught.value.where
    assert "scope encoder/lstm0" in where
    assert "step 7" in where
    assert f"test_ops_errors.py:{call.__code__.co_firstlineno}" in where


TRACED = [
    "add",
    "where",
    "matmul",
    "matmul scalar",
    "einsum extents",
    "sum axis",
    "concat",
    "stack",
    "reshape",
    "slice",
]


@pytest.mark.parametrize("name", TRACED)
def test_tracing_refuses_the_same(name: str) -> None:
    """The message that eager mode takes from the shape rule is the message of tracing."""
    call, family, words = REFUSED[name]

    def fn(x: ts.Tensor) -> Any:
        old = call.__globals__["F"]
        call.__globals__["F"] = x
        try:
            return call()
        finally:
            call.__globals__["F"] = old

    with pytest.raises(family) as caught:
        ts.trace(fn, F)
    assert [word for word in words if word not in str(caught.value)] == []


def test_an_op_name_is_taken_once() -> None:
    before = dict(OPS)

    class Again(Op):
        name = "add"
        formula = "y = x"

    with pytest.raises(GraphError, match="defined already"):
        Again()
    assert before == OPS


def test_a_users_op_runs_in_every_mode() -> None:
    """A new op is a record and nothing else: eager, traced, verified, differentiated twice."""

    class Cube(Op):
        name = "test_cube"
        formula = "y = x^3"
        reads = "x"
        vjps = (lambda g, y, x: g * 3.0 * x * x,)

        def infer(self, *inputs: Any, **attrs: Any) -> Any:
            return inputs[0].shape, inputs[0].dtype

        def kernel(self, xp: Any, x: Any) -> Any:
            return x * x * x

    try:
        cube = Cube()
        ts.testing.check_grads(cube, ts.randn(3, dtype=ts.float64))
        assert ts.trace(cube, F).verify().outputs[0].shape == (2, 3)
    finally:
        del OPS["test_cube"]
    assert BOOL.kind == "b"


def test_plain_arrays_are_computed_and_not_recorded() -> None:
    a = np.array([1.0, 2.0])
    y = ts.exp(a)
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, np.exp(a))


def test_overflow_prints_nothing_under_pythons_own_filters() -> None:
    program = (
        "import numpy as np, tinyseq as ts\n"
        "x = ts.tensor([3e38, -3e38], requires_grad=True)\n"
        "for y in (x + x, x - -x, x * x, x @ x, x.sum() * 2.0, x.cumsum(), (x * x).mean(), ts.relu(x * x)):\n"
        "    y.sum().backward()\n"
        "ts.gradients((x * x).sum(), [x], create_graph=True)\n"
        "np.float32(3e38) * np.float32(10)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "tinyseq" not in done.stderr
    assert done.stderr.count("RuntimeWarning") == 1  # the user's own arithmetic warns as it did


@pytest.mark.parametrize("shape", [(3, 1), (2, 3, 1), (1, 4, 1)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_a_column_asks_for_the_axis(name: str, shape: tuple[int, ...]) -> None:
    """The lecture's vectors are columns: along the last axis all of softmax would be 1, and no gradient would flow."""
    x = ts.randn(*shape, requires_grad=True)
    function, method = getattr(ts, name), getattr(x, name)
    for call in (lambda: function(x), method, lambda: ts.trace(function, x), lambda: function(x.numpy())):
        with pytest.raises(ShapeError, match=r"one element[\s\S]*axis=0"):
            call()
    assert set(function(x, axis=-1).numpy().ravel()) == {1.0 if name == "softmax" else 0.0}  # obeyed in silence
    assert function(x, -1).shape == method(axis=-1).shape == shape
    y = function(x, axis=-2).numpy()
    np.testing.assert_allclose((np.exp(y) if name == "log_softmax" else y).sum(-2), 1.0, rtol=1e-6)


def test_attention_over_one_key_and_a_softmax_of_one_value_are_as_they_were() -> None:
    out = nn.MultiheadAttention(4, 2)(*[ts.randn(2, 1, 4)] * 3)
    assert (out[0] if isinstance(out, tuple) else out).shape == (2, 1, 4)
    assert ts.softmax(ts.ones(1)).tolist() == [1.0]
    assert ts.softmax(ts.ones(1, 1)).tolist() == [[1.0]]
    assert ts.softmax(ts.ones(0, 1)).shape == (0, 1)


def test_cross_entropy_of_a_column_says_how_it_is_meant() -> None:
    with pytest.raises(ShapeError, match=r"logits\.T"):
        nn.cross_entropy(ts.randn(5, 1), ts.tensor([2]))
