"""Reverse mode: accumulation, retained graphs, gradients of gradients, the functional forms, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.errors import GraphError, ShapeError
from tinyseq.graph import Graph, at_step


def leaf(*values: float, name: str | None = None) -> ts.Tensor:
    return ts.tensor(np.array(values), requires_grad=True, name=name)


def got(x: ts.Tensor) -> np.ndarray:
    assert x.grad is not None
    return x.grad.numpy()


# -- backward() --------------------------------------------------------------------------------------------------------


def test_backward_adds_up_over_calls() -> None:
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    np.testing.assert_array_equal(got(x), [2.0, 4.0])
    (x * 3.0).sum().backward()
    np.testing.assert_array_equal(got(x), [5.0, 7.0])
    x.grad = None
    (x * 3.0).sum().backward()
    np.testing.assert_array_equal(got(x), [3.0, 3.0])


def test_a_gradient_read_earlier_is_not_changed_by_a_later_backward() -> None:
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    first = x.grad
    assert first is not None
    kept = first.numpy().copy()
    (x * x).sum().backward()
    np.testing.assert_array_equal(first.numpy(), kept)
    np.testing.assert_array_equal(got(x), 2 * kept)


def test_a_retained_graph_swept_twice_gives_doubled_gradients() -> None:
    x, w = leaf(1.0, 2.0), leaf(3.0, -1.0)
    h = ts.tanh(x * w)
    loss = (h * h + h + ts.exp(h) * x).sum()
    loss.backward(retain_graph=True)
    once = [got(x).copy(), got(w).copy()]
    loss.backward(retain_graph=True)
    np.testing.assert_array_equal(got(x), 2 * once[0])
    np.testing.assert_array_equal(got(w), 2 * once[1])
    loss.backward()
    np.testing.assert_allclose(got(x), 3 * once[0], rtol=1e-15)


def test_the_two_operands_of_a_sum_get_arrays_of_their_own() -> None:
    """add's rule hands the same array to both sides; adding to one gradient must not change the other."""
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = a + b
    (y.sum() + (a * 2.0).sum()).backward()
    np.testing.assert_array_equal(got(a), [3.0, 3.0])
    np.testing.assert_array_equal(got(b), [1.0, 1.0])
    (a * 5.0).sum().backward()
    np.testing.assert_array_equal(got(a), [8.0, 8.0])
    np.testing.assert_array_equal(got(b), [1.0, 1.0])


@pytest.mark.parametrize("order", [0, 1])
def test_accumulation_inside_the_sweep_keeps_apart_what_is_shared(order: int) -> None:
    """Every op here passes its gradient on unchanged or as a view, and every value is used several times."""
    a, b = leaf(1.0, 2.0, 3.0, 4.0), leaf(5.0, 6.0, 7.0, 8.0)
    s = a + b
    t = ts.reshape(s, (2, 2))
    terms = [ts.reshape(t.T, -1) * leaf(1.0, 10.0, 100.0, 1000.0).detach(), s, a + s, ts.broadcast_to(b, (2, 4)).sum(0)]
    total = None
    for term in terms if order == 0 else terms[::-1]:
        total = term if total is None else total + term
    assert total is not None
    g = ts.tensor(np.array([1.0, 2.0, 3.0, 4.0]))
    total.backward(g)
    # d total / d s = (1, 10, 100, 1000) . permutation + 2, weighed by g; a has s and itself, b has s and twice itself
    down = np.array([1.0, 10.0, 100.0, 1000.0]) * g.numpy()
    through = down.reshape(2, 2).T.reshape(-1) + 2 * g.numpy()
    np.testing.assert_array_equal(got(a), through + g.numpy())
    np.testing.assert_array_equal(got(b), through + 2 * g.numpy())
    np.testing.assert_array_equal(g.numpy(), [1.0, 2.0, 3.0, 4.0])


def test_the_gradient_from_above_is_not_written() -> None:
    x = leaf(1.0, 2.0)
    above = np.array([3.0, 4.0])
    g = ts.Tensor(above)
    y = x + 0.0
    ((y + x) + x).backward(g)
    np.testing.assert_array_equal(above, [3.0, 4.0])
    np.testing.assert_array_equal(got(x), [9.0, 12.0])
    assert not np.shares_memory(got(x), above)


def test_a_leaf_that_is_the_output_gets_a_gradient_of_its_own() -> None:
    x = leaf(1.0, 2.0)
    g = ts.tensor(np.array([3.0, 4.0]))
    x.backward(g)
    x.backward(g)
    np.testing.assert_array_equal(got(x), [6.0, 8.0])
    np.testing.assert_array_equal(g.numpy(), [3.0, 4.0])


def test_diamonds() -> None:
    x = leaf(0.5)
    y = x
    expected = 1.0
    for _ in range(20):
        y = y + y * y  # two paths a level: 2^20 paths in all
    v = 0.5
    for _ in range(20):
        expected *= 1 + 2 * v
        v = v + v * v
        if not math.isfinite(v):
            break
    y.sum().backward()
    if math.isfinite(expected):
        np.testing.assert_allclose(got(x), [expected], rtol=1e-12)


def test_a_diamond_of_a_million_paths() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(20):
        y = y * 0.5 + y * 0.5
    y.sum().backward()
    np.testing.assert_array_equal(got(x), [1.0])


def test_a_leaf_used_many_times() -> None:
    x = leaf(2.0)
    total = x * 0.0
    for i in range(1000):
        total = total + x * float(i)
    total.sum().backward()
    np.testing.assert_array_equal(got(x), [float(sum(range(1000)))])


def test_the_same_tensor_on_both_sides() -> None:
    x = leaf(3.0)
    (x * x - x / x + x @ x).sum().backward()
    np.testing.assert_array_equal(got(x), [12.0])


@pytest.mark.parametrize("used", [[0], [2], [0, 2], [1, 1]])
def test_outputs_that_nothing_uses_count_as_zero(used: list[int]) -> None:
    for take_apart in (lambda x: ts.unstack(x, 0), lambda x: [p[0] for p in ts.split(x, (1, 1, 1), 0)]):
        x = ts.tensor(np.ones((3, 2)), requires_grad=True)
        parts = take_apart(x)
        total = parts[used[0]] * 1.0
        for i in used[1:]:
            total = total + parts[i] * 10.0
        total.sum().backward()
        expected = np.zeros((3, 2))
        for factor, i in zip([1.0, 10.0], used, strict=False):
            expected[i] += factor
        np.testing.assert_array_equal(got(x), expected)


def test_gradients_of_gradients_through_unused_outputs() -> None:
    ts.testing.check_grads(lambda x: ts.unstack(x, 0)[1] ** 3, ts.randn(3, 2, dtype=ts.float64))
    ts.testing.check_grads(lambda x: ts.split(x, (1, 2), 0)[1] ** 3, ts.randn(3, 2, dtype=ts.float64))


def test_nothing_flows_to_what_requires_nothing() -> None:
    x, constant = leaf(1.0), ts.tensor(np.array([2.0]))
    (x * constant).sum().backward()
    assert constant.grad is None
    assert not (constant * 2.0).requires_grad


def test_detach_stop_gradient_no_grad_and_enable_grad() -> None:
    x = leaf(3.0)
    assert not x.detach().requires_grad
    assert ts.detach({"h": (x * 2.0, None)})["h"][0]._node is None
    (x * x.detach() + x * ts.stop_gradient(x * x)).sum().backward()
    np.testing.assert_array_equal(got(x), [3.0 + 9.0])
    with ts.no_grad():
        assert not (x * 2.0).requires_grad
        with ts.enable_grad():
            assert (x * 2.0).requires_grad
        assert not (x * 2.0).requires_grad
        assert not any(part.requires_grad for part in ts.unstack(ts.stack([x, x]), 0))
    assert (x * 2.0).requires_grad


def test_modes_end_when_an_error_passes() -> None:
    with pytest.raises(KeyError), ts.no_grad():
        raise KeyError
    assert (leaf(1.0) * 2.0).requires_grad


def test_create_graph_leaves_a_gradient_that_can_be_differentiated() -> None:
    x = leaf(2.0)
    (x * x * x).sum().backward(create_graph=True)
    g = x.grad
    assert g is not None
    assert g.requires_grad
    x.grad = None
    g.sum().backward()
    np.testing.assert_array_equal(got(x), [12.0])


def test_a_gradient_without_create_graph_has_no_history() -> None:
    x = leaf(2.0)
    (g,) = ts.gradients((x * x).sum(), [x])
    assert g is not None
    assert not g.requires_grad


# -- gradients() -------------------------------------------------------------------------------------------------------


def test_gradients_of_intermediate_values() -> None:
    x = leaf(2.0)
    h = x * x
    y = h * h * 3.0
    found = ts.gradients(y.sum(), [h, x, y, leaf(1.0)])
    assert found[3] is None
    assert [g.item() for g in found[:3] if g is not None] == [24.0, 96.0, 1.0]
    assert x.grad is None


def test_gradients_with_one_given_from_above() -> None:
    x = leaf(1.0, 2.0)
    (g,) = ts.gradients(x * x, [x], ts.tensor(np.array([10.0, 100.0])))
    assert g is not None
    np.testing.assert_array_equal(g.numpy(), [20.0, 400.0])


def test_the_same_tensor_asked_for_twice() -> None:
    x = leaf(3.0)
    a, b = ts.gradients((x * x).sum(), [x, x])
    assert a is not None
    assert b is not None
    assert a.item() == b.item() == 6.0


def test_a_hessian_vector_product() -> None:
    rng = np.random.default_rng(0)
    matrix, v, at = rng.standard_normal((4, 4)), rng.standard_normal(4), rng.standard_normal(4)
    A = ts.tensor(matrix)
    x = ts.tensor(at, requires_grad=True)
    (g,) = ts.gradients(x @ A @ x, [x], create_graph=True)
    assert g is not None
    (h,) = ts.gradients(g, [x], ts.tensor(v))
    assert h is not None
    np.testing.assert_allclose(h.numpy(), (matrix + matrix.T) @ v, rtol=1e-12)


# -- grad() ------------------------------------------------------------------------------------------------------------


def test_grad_of_grad_of_grad_of_a_polynomial() -> None:
    """f = 2 x^4 - x^3 + 5: f' = 8 x^3 - 3 x^2, f'' = 24 x^2 - 6 x, f''' = 48 x - 6, f'''' = 48."""

    def f(x: ts.Tensor) -> ts.Tensor:
        return 2.0 * x**4 - x**3 + 5.0

    x, v = ts.tensor(np.array(1.5)), 1.5
    first, second, third, fourth = (
        ts.grad(f),
        ts.grad(ts.grad(f)),
        ts.grad(ts.grad(ts.grad(f))),
        ts.grad(ts.grad(ts.grad(ts.grad(f)))),
    )
    assert first(x).item() == 8 * v**3 - 3 * v**2
    assert second(x).item() == 24 * v**2 - 6 * v
    assert third(x).item() == pytest.approx(48 * v - 6, rel=1e-14)
    assert fourth(x).item() == pytest.approx(48.0, rel=1e-14)
    assert not first(x).requires_grad
    assert not third(x).requires_grad
    assert x.grad is None


def test_grad_of_grad_through_transcendentals() -> None:
    x = ts.tensor(np.array(0.7))
    second = ts.grad(ts.grad(lambda x: ts.sin(x) * ts.exp(x)))
    assert second(x).item() == pytest.approx(2 * math.cos(0.7) * math.exp(0.7), rel=1e-13)
    third = ts.grad(ts.grad(ts.grad(ts.tanh)))
    t = math.tanh(0.7)
    assert third(x).item() == pytest.approx((1 - t * t) * (6 * t * t - 2), rel=1e-12)


def test_grad_of_a_function_that_uses_grad_inside() -> None:
    """As in JAX: an inner derivative with respect to one variable, an outer one with respect to another."""

    def outer(x: ts.Tensor) -> ts.Tensor:
        def inner(y: ts.Tensor) -> ts.Tensor:
            return x * x * y * y * y

        return ts.grad(inner)(x * 2.0) + x  # 3 x^2 (2x)^2 + x = 12 x^4 + x

    assert ts.grad(outer)(ts.tensor(np.array(1.5))).item() == pytest.approx(48 * 1.5**3 + 1, rel=1e-14)


def test_perturbation_confusion() -> None:
    """d/dx (x * d/dy (x + y)) = d/dx x = 1 (Siskind and Pearlmutter 2005); a confused engine says 2."""
    x = ts.tensor(np.array(1.0))
    assert ts.grad(lambda x: x * ts.grad(lambda y: x + y)(ts.tensor(np.array(1.0))))(x).item() == 1.0


def test_the_inner_variable_may_be_the_outer_one() -> None:
    # d/dx [x g'(x)] with g = y^3: 3 x^3 -> 9 x^2; the inner argument is a followed tensor itself
    x = ts.tensor(np.array(2.0))
    assert ts.grad(lambda x: x * ts.grad(lambda y: y * y * y)(x))(x).item() == 36.0


def test_an_inner_grad_of_a_constant_function() -> None:
    x = ts.tensor(np.array(2.0))
    assert ts.grad(lambda x: x * 3.0 + ts.grad(lambda y: x * x)(x))(x).item() == 3.0


def test_stop_gradient_inside_nested_grads() -> None:
    x = ts.tensor(np.array(3.0))
    assert ts.grad(ts.grad(lambda x: x * x * ts.stop_gradient(x)))(x).item() == 6.0


def test_grad_inside_no_grad_still_differentiates() -> None:
    with ts.no_grad():
        assert ts.grad(lambda x: x * x)(ts.tensor(np.array(3.0))).item() == 6.0


def test_value_and_grad_of_several_arguments_and_trees() -> None:
    def f(params: dict[str, Any], x: ts.Tensor, scale: float) -> ts.Tensor:
        w, (b, unused) = params["w"], params["b"]
        assert unused is None
        return ((x * w + b) * scale).sum()

    params = {"w": ts.tensor(np.array([1.0, 2.0])), "b": (ts.tensor(np.array([0.5, 0.5])), None)}
    x = ts.tensor(np.array([3.0, 4.0]))
    value, g = ts.value_and_grad(f)(params, x, 2.0)
    assert value.item() == 24.0
    assert not value.requires_grad
    assert set(g) == {"w", "b"}
    np.testing.assert_array_equal(g["w"].numpy(), [6.0, 8.0])
    np.testing.assert_array_equal(g["b"][0].numpy(), [2.0, 2.0])
    assert g["b"][1] is None
    value, (gp, gx) = ts.value_and_grad(f, argnums=(0, 1))(params, x, scale=1.0)
    np.testing.assert_array_equal(gx.numpy(), [1.0, 2.0])
    np.testing.assert_array_equal(gp["w"].numpy(), [3.0, 4.0])
    only = ts.grad(f, argnums=1)(params, x, 1.0)
    np.testing.assert_array_equal(only.numpy(), [1.0, 2.0])


def test_an_argument_without_influence_has_a_zero_gradient() -> None:
    a, b = ts.ones(2), ts.ones(3)
    ga, gb = ts.grad(lambda a, b: a.sum(), argnums=(0, 1))(a, b)
    np.testing.assert_array_equal(ga.numpy(), [1.0, 1.0])
    np.testing.assert_array_equal(gb.numpy(), [0.0, 0.0, 0.0])
    np.testing.assert_array_equal(ts.grad(lambda a: ts.ones())(a).numpy(), [0.0, 0.0])


def test_grad_leaves_gradients_of_what_it_closes_over_alone() -> None:
    w = leaf(2.0)
    ts.grad(lambda x: (x * w).sum())(leaf(3.0))
    assert w.grad is None


def test_grad_stays_connected_to_parameters_it_closes_over() -> None:
    """A gradient penalty: the outer backward reaches weights that only the inner function mentions."""
    w = leaf(2.0)
    g = ts.grad(lambda x: (x * x * w * w).sum())(ts.tensor(np.array([3.0])))
    (g * g).sum().backward()  # (2 x w^2)^2 = 36 w^4 -> 144 w^3
    np.testing.assert_allclose(got(w), [144.0 * 8.0], rtol=1e-14)


# -- refused -----------------------------------------------------------------------------------------------------------


def test_backward_from_what_is_not_a_scalar() -> None:
    x = ts.ones(2, 3, requires_grad=True)
    with pytest.raises(GraphError) as caught:
        (x * 2.0).backward()
    assert "one element" in caught.value.required
    assert "(2, 3)" in caught.value.got
    assert "op mul" in caught.value.where
    assert "test_autodiff.py" in caught.value.where
    assert ".sum().backward()" in caught.value.fix


def test_one_element_of_any_shape_is_scalar_enough() -> None:
    x = ts.ones(1, 1, requires_grad=True)
    (x * 2.0).backward()
    np.testing.assert_array_equal(got(x), [[2.0]])


@pytest.mark.parametrize("make", [lambda: ts.ones(1), lambda: ts.ones(1) * 2.0, lambda: leaf(1.0).detach()])
def test_backward_from_what_depends_on_nothing(make: Any) -> None:
    with pytest.raises(GraphError) as caught:
        make().backward()
    assert "requires_grad=True" in caught.value.required


def test_backward_of_what_was_not_recorded() -> None:
    with ts.no_grad():
        y = leaf(1.0) * 2.0
    with pytest.raises(GraphError, match="no_grad"):
        y.backward()


def test_a_gradient_of_another_shape() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(ShapeError) as caught:
        (x * 2.0).backward(ts.ones(3))
    assert "(2,)" in caught.value.required
    assert "(3,)" in caught.value.got
    with pytest.raises(ShapeError):
        x.grad = ts.ones(3)
    with pytest.raises(GraphError, match="only a leaf"):
        (x * 2.0).grad = ts.ones(2)


def test_a_second_backward_says_how_to_keep_the_graph() -> None:
    x = leaf(1.0)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(GraphError) as caught:
        loss.backward()
    assert "retain_graph=True" in caught.value.fix
    assert "test_autodiff.py" in caught.value.where
    np.testing.assert_array_equal(got(x), [2.0])  # nothing is lost


def test_a_freed_part_below_is_found_and_named() -> None:
    x = leaf(2.0)
    with ts.scope("encoder"), at_step(3):
        h = x * x
    h.name = "h"
    (h * 2.0).sum().backward()
    before = got(x).copy()
    with pytest.raises(GraphError) as caught:
        (h * 3.0).sum().backward()
    assert "'h'" in str(caught.value)
    assert "scope encoder, step 3" in caught.value.where
    assert "detach" in caught.value.fix
    np.testing.assert_array_equal(got(x), before)


def test_a_failed_backward_leaves_the_graph_whole() -> None:
    """The refusal comes before anything is freed: with the freed part cut off, the rest still differentiates."""
    x, w = leaf(2.0), leaf(3.0)
    h = x * x
    h.sum().backward()
    y = w * w
    with pytest.raises(GraphError):
        (h * y).sum().backward()
    (h.detach() * y).sum().backward()
    np.testing.assert_array_equal(got(w), [24.0])


def test_grad_of_what_is_no_scalar_tensor() -> None:
    with pytest.raises(GraphError, match="no tensor"):
        ts.grad(lambda x: 3.0)(ts.ones(1))  # type: ignore[arg-type, return-value]
    with pytest.raises(GraphError, match="not a scalar"):
        ts.grad(lambda x: x * 2.0)(ts.ones(2))


def test_an_op_without_a_slope_cuts() -> None:
    x = leaf(1.0, 2.0)
    (g,) = ts.gradients((x * ts.sign(x) + ts.argmax(x)).sum(), [x])
    assert g is not None
    np.testing.assert_array_equal(g.numpy(), [1.0, 1.0])
    assert not (x > 1.0).requires_grad


def test_the_backward_graph_holds_no_more_than_it_needs() -> None:
    """d(x * c)/dx needs no gradient of c's side, so no node of it is made."""
    x, c = leaf(2.0), ts.tensor(np.array([3.0]))
    (g,) = ts.gradients((x * ts.exp(c * x)).sum(), [x], create_graph=True)
    assert g is not None
    assert all(node.shape in ((1,), ()) for node in Graph([g.node]).verify())


def test_within_no_grad_value_and_gradient_have_no_history() -> None:
    """As torch.func: a gradient within no_grad is taken, and is a constant. d/dx (w x)^2 = 2 w^2 x = 36 at w=3, x=2."""
    w, x = ts.tensor(3.0, requires_grad=True), ts.tensor(2.0)
    both = ts.value_and_grad(lambda x: (w * x) * (w * x))
    with ts.no_grad():
        value, slope = both(x)
    assert (value.item(), slope.item(), value.requires_grad, slope.requires_grad) == (36.0, 36.0, False, False)
    value, slope = both(x)
    assert (value.requires_grad, slope.requires_grad) == (True, True)
