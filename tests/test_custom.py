"""Ops of one's own: eagerly, compiled, in loops, differentiated twice; what is missing is told with the op's name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn
from tinyseq.custom import CustomOp
from tinyseq.errors import DataError, GraphError, MutationError, ShapeError


def softsign() -> CustomOp:
    @ts.custom_op
    def softsign(x: Any) -> Any:
        return x / (1 + np.abs(x))

    @softsign.gradient
    def slope(g: Any, y: Any, x: Any) -> Any:
        return g / (1 + ts.abs(x)) ** 2

    return softsign


def product() -> CustomOp:
    @ts.custom_op
    def product(a: Any, b: Any) -> Any:
        return a * b

    @product.gradient
    def slopes(g: Any, y: Any, a: Any, b: Any) -> Any:
        return g * b, g * a

    return product


def test_values_and_both_derivatives_are_right() -> None:
    op, x = softsign(), ts.tensor([0.5, -2.0, 3.0], dtype=ts.float64)
    assert op(x).tolist() == [0.5 / 1.5, -2.0 / 3.0, 0.75]
    ts.testing.check_grads(lambda x: op(x).sum(), x)
    ts.testing.check_grads(lambda x: ts.grad(lambda q: op(q).sum())(x).sum(), x)


def test_several_inputs_broadcast_and_a_float_is_one() -> None:
    op = product()
    a, b = ts.randn(2, 3, dtype=ts.float64), ts.randn(3, dtype=ts.float64)
    ts.testing.check_grads(lambda a, b: (op(a, b) ** 2).sum(), a, b)
    assert op(a, 2.0).tolist() == (a * 2.0).tolist()


@pytest.mark.parametrize("backend", ["numpy", "llvm"])
@pytest.mark.parametrize("second", [False, True])
def test_compiled_in_a_loop_it_gives_eagers_numbers(backend: str, second: bool) -> None:
    if backend == "llvm":
        pytest.importorskip("llvmlite")
    op = softsign()
    W, U = (nn.parameter(np.random.default_rng(n).normal(size=(3, 3)), np.float64) for n in (0, 1))

    def step(x: ts.Tensor, h: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        h = op(x @ W + h @ U)
        return h, h

    def loss(xs: ts.Tensor, h: ts.Tensor) -> ts.Tensor:
        return (ts.unroll(step, xs, h)[0] ** 2).sum()

    def slope(xs: ts.Tensor, h: ts.Tensor) -> ts.Tensor:
        return (ts.grad(loss)(xs, h) ** 2).sum()

    fn = slope if second else loss
    got = []
    with ts.backend(backend):
        xs, h = ts.randn(2, 5, 3, dtype=ts.float64), ts.zeros(2, 3, dtype=ts.float64)
        for call in (fn, ts.compile(fn, verify=True)):
            W.grad = U.grad = None
            value = call(xs, h)
            value.backward()
            got.append([value.numpy(), W.grad.numpy(), U.grad.numpy()])
    for eager, compiled in zip(*got, strict=True):
        np.testing.assert_allclose(compiled, eager, rtol=1e-9, atol=1e-12)


def test_it_is_drawn_by_its_name() -> None:
    assert "softsign" in ts.draw(softsign()(ts.tensor([1.0], requires_grad=True))).svg


def test_a_second_definition_is_another_op() -> None:
    first, second = softsign(), softsign()
    x = ts.tensor([1.0], requires_grad=True)
    (first(x) + second(x)).sum().backward()
    assert x.grad.tolist() == [0.5]


def test_a_missing_rule_is_told_with_the_ops_name() -> None:
    @ts.custom_op
    def half(x: Any) -> Any:
        return x * 0.5

    x = ts.tensor([1.0], requires_grad=True)
    assert half(x).tolist() == [0.5]
    for call in (half, ts.compile(lambda x: half(x))):
        with pytest.raises(
            GraphError, match=r"half has no gradient[\s\S]*@half.gradient above a function of \(g, y, x\)"
        ):
            call(x).sum().backward()


def test_what_a_rule_returns_is_looked_at() -> None:
    op = product()
    a, b = ts.ones(2, 3), ts.ones(2, 3)
    a.requires_grad = True
    op.gradient(lambda g, y, a, b: g * b)
    with pytest.raises(GraphError, match=r"gradient of product[\s\S]*2, one an input"):
        op(a, b).sum().backward()
    op.gradient(lambda g, y, a, b: ((g * b).sum(0), None))
    with pytest.raises(ShapeError, match=r"gradient of product for input 0[\s\S]*\(2, 3\)"):
        op(a, b).sum().backward()
    op.gradient(lambda g, y, a, b: (g.numpy(), None))
    with pytest.raises(GraphError, match=r"gradient of product[\s\S]*tensors"):
        op(a, b).sum().backward()


def test_the_function_may_change_nothing_and_returns_an_array() -> None:
    @ts.custom_op
    def grows(x: Any) -> Any:
        x += 1
        return x

    @ts.custom_op
    def forgets(x: Any) -> Any:
        x * 2

    with pytest.raises((MutationError, ValueError), match="read-only"):
        grows(ts.ones(2))
    with pytest.raises(DataError, match=r"forgets: the function returns no array[\s\S]*NoneType"):
        forgets(ts.ones(2))


FACTOR, SLOPE = 1.0, 2.0


@pytest.mark.parametrize("within", [False, True])
def test_what_the_two_functions_read_is_looked_at_by_compiled_code(
    within: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    @ts.custom_op
    def scaled(x: Any) -> Any:
        return x * FACTOR

    scaled.gradient(lambda g, y, x: g * SLOPE)
    fn = (lambda x: ts.grad(lambda q: scaled(q).sum())(x).sum()) if within else (lambda x: scaled(x).sum())
    fast = ts.compile(fn)

    def shown(call: Any) -> tuple[float, Any]:
        x = ts.tensor([1.0, 2.0], requires_grad=True)
        y = call(x)
        if not within:
            y.backward()
        return float(y), x.grad if x.grad is None else x.grad.tolist()

    assert shown(fast) == shown(fn)
    for name, value in (("SLOPE", 3.0), ("FACTOR", 5.0)):
        monkeypatch.setitem(globals(), name, value)
        assert shown(fast) == shown(fn), name
    scaled.gradient(lambda g, y, x: g * 10.0)
    assert shown(fast) == shown(fn)
