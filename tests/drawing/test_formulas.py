"""Formulas as plain text: LaTeX made readable, and local derivatives that compute what a difference quotient says."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.drawing.shared.formulas import arguments, derivative, plain, written
from tinyseq.graph import Node
from tinyseq.ops.base import OPS


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"y = \frac{1}{1 + e^{-x}}", "y = 1/(1 + e⁻ˣ)"),
        (r"s_t, y_t = f(s_{t-1}, x_t)", "sₜ, yₜ = f(sₜ₋₁, xₜ)"),
        (r"y_i = e^{x_i} / \sum_j e^{x_j}", "yᵢ = e^(xᵢ) / Σⱼ e^(xⱼ)"),
        (r"y = \textstyle\sum_{\mathrm{broadcast\ axes}} x", "y = Σ[broadcast axes] x"),
        (r"y = x,\quad \partial y / \partial x := 0", "y = x, ∂ y / ∂ x := 0"),
        (r"y = \frac{2}{\sqrt{\pi}} \int_0^x e^{-t^2} dt", "y = 2/√(π) ∫₀ˣ e^(-t²) dt"),
        (r"y = x^\top", "y = xᵀ"),
    ],
)
def test_latex_becomes_text(latex: str, text: str) -> None:
    assert plain(latex) == text


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_formula_reads_without_latex(name: str) -> None:
    text = plain(OPS[name].formula)
    assert not re.search(r"[\\{}_]", text), text
    assert "frac" not in text
    assert text.count("(") == text.count(")") or name == "uniform"  # [0, 1)


def op(function: Any, *shapes: tuple[int, ...]) -> Node:
    graph = ts.trace(lambda *xs: function(*xs), *(ts.ones(*shape) for shape in shapes))
    return graph.outputs[0]


CASES = {
    "tanh": (ts.tanh, [(2, 3)], ["g · (1 − y²)"]),
    "sigmoid": (ts.sigmoid, [(2, 3)], ["g · y · (1 − y)"]),
    "exp": (ts.exp, [(3,)], ["g · y"]),
    "mul": (lambda a, b: a * b, [(2, 3), (2, 3)], ["g · b", "g · a"]),
    "sub": (lambda a, b: a - b, [(2, 3), (2, 3)], ["g", "−g"]),
    "matmul": (lambda a, b: a @ b, [(2, 3), (3, 4)], ["g @ Bᵀ", "Aᵀ @ g"]),
    "concat": (lambda a, b: ts.concat([a, b], axis=-1), [(2, 3), (2, 4)], ["g[:, 0:3]", "g[:, 3:7]"]),
    "transpose": (lambda x: x.T, [(2, 3)], ["gᵀ"]),
    "div": (lambda a, b: a / b, [(3,), (3,)], ["g / b", "(−g) · y / b"]),
    "softplus": (ts.softplus, [(3,)], None),
    "relu": (ts.relu, [(5,)], ["g · (y > 0)"]),
}


@pytest.mark.parametrize("name", CASES)
def test_local_derivatives_read_as_a_textbook_writes_them(name: str) -> None:
    function, shapes, texts = CASES[name]
    if texts is not None:
        node = op(function, *shapes)
        assert [derivative(node, index) for index in range(len(shapes))] == texts


def evaluated(text: str, values: dict[str, Any]) -> Any:
    """Compute a printed derivative as Python, which knows nothing of how it was made."""
    code = text.replace("·", "*").replace("−", "-").replace("²", "**2").replace("ᵀ", ".T")
    code = code.replace("₀", "0").replace("₁", "1")
    names = {"exp": np.exp, "ln": np.log, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "where": np.where}
    return eval(code, {"__builtins__": {}}, names | values)


@pytest.mark.parametrize("name", CASES)
def test_a_printed_derivative_computes_the_gradient(name: str) -> None:
    function, shapes, _ = CASES[name]
    rng = np.random.default_rng(1)
    xs = [
        rng.uniform(0.3, 1.5, shape) * (rng.integers(0, 2, shape) * 2 - 1 if name == "relu" else 1) for shape in shapes
    ]
    node = op(function, *shapes)
    y = function(*map(ts.tensor, xs)).numpy()
    g = rng.standard_normal(y.shape)
    names = arguments(node)
    for index, x in enumerate(xs):
        written = evaluated(derivative(node, index), {"g": g, "y": y, **dict(zip(names, xs, strict=True))})
        numeric = np.zeros_like(x)
        for place in np.ndindex(x.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [other.copy() for other in xs]
                moved[index][place] += step
                ends.append(float((function(*map(ts.tensor, moved)).numpy() * g).sum()))
            numeric[place] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(np.broadcast_to(written, x.shape), numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda a, b, c: a - (b - c), "a − (b − c)"),
        (lambda a, b, c: a - b - c, "a − b − c"),
        (lambda a, b, c: a / (b * c), "a / (b · c)"),
        (lambda a, b, c: (a + b) * c, "(a + b) · c"),
        (lambda a, b, c: a * b + c, "a · b + c"),
        (lambda a, b, c: (a + b) ** 2 - c * c, "(a + b)² − c²"),
        (lambda a, b, c: a @ (b @ c), "a @ (b @ c)"),
        (lambda a, b, c: (a @ b).T @ c, "(a @ b)ᵀ @ c"),
        (lambda a, b, c: -(a + b) * c, "(−(a + b)) · c"),
        (lambda a, b, c: ts.where(a > b, c, -0.5), "where(a > b, c, −0.5)"),
    ],
)
def test_brackets_stand_where_they_must_and_nowhere_else(function: Any, text: str) -> None:
    graph = ts.trace(function, *(ts.ones(3, 3) for _ in range(3)))
    assert written(graph.outputs[0], dict(zip(graph.inputs, "abc", strict=True))) == text


def test_a_long_formula_is_cut() -> None:
    def long(a: Any) -> Any:
        for _ in range(60):
            a = a.exp() + a
        return a

    graph = ts.trace(long, ts.ones(2))
    text = written(graph.outputs[0], {graph.inputs[0]: "a"})
    assert len(text) <= 160
    assert text.endswith("…")


def test_inputs_are_called_as_in_the_formula() -> None:
    assert arguments(op(lambda a, b: a @ b, (2, 3), (3, 4))) == ("A", "B")
    assert arguments(op(lambda a, b: a + b, (2,), (2,))) == ("a", "b")
    assert arguments(op(lambda a, b: ts.stack([a, b]), (2,), (2,))) == ("x₀", "x₁")


def test_an_op_whose_rule_cannot_be_written_down_says_what_holds_for_any() -> None:
    class Odd(ts.ops.base.Op):  # type: ignore[name-defined, misc]
        name, formula, primitive = "odd", "y = o(x)", False

        def infer(self, *inputs: Any, **attrs: Any) -> Any:
            return inputs[0].shape, inputs[0].dtype

        def vjp(self, index: int, g: Any, y: Any, *inputs: Any, **attrs: Any) -> Any:
            raise ValueError("needs numbers")

    leaf = op(ts.tanh, (2,)).inputs[0]
    node = Node(Odd(), (leaf,), {}, leaf.shape, leaf.dtype)
    assert derivative(node, 0) == "(∂y/∂x)ᵀ g"
