"""Ops against PyTorch: values and gradients, in float64 and float32, where the two mean the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinyseq as ts

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install tinyseq[parity])")
F = torch.nn.functional

pytestmark = pytest.mark.parity


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape) + len(shape)).standard_normal(shape)


X, Y = normal(3, 4), normal(4, 5)
EDGES = np.array([0.0, -1.0, 1.0, -2.0, 2.0, 1e4, -1e4, 0.5])
ZEROS = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 4.0], [1.5, 2.0, -3.0]])
TIES = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
IDS = np.array([[0, 2, 2], [1, 0, 2]])
LABELS = np.array([0, 3, 1, 3, 2])
LOGITS = normal(5, 4) * 3
WEIGHT = np.array([0.5, 2.0, 0.0, 1.5])

Pair = tuple[Callable[..., Any], Callable[..., Any], list[np.ndarray]]

PAIRS: dict[str, Pair] = {
    "add broadcast": (lambda a, b: a + b, lambda a, b: a + b, [X, normal(4)]),
    "div broadcast": (lambda a, b: a / b, lambda a, b: a / b, [X, np.abs(normal(3, 1)) + 0.5]),
    "pow": (lambda a, b: a**b, lambda a, b: a**b, [np.abs(X) + 0.1, normal(3, 4)]),
    "pow of 0": (lambda a: a**2 + a**1 + a**3, lambda a: a**2 + a**1 + a**3, [np.array([0.0, -2.0, 3.0])]),
    "pow 0 ** p": (lambda a, p: a**p, lambda a, p: a**p, [np.array([0.0, 0.0, 2.0]), np.array([2.0, 1.0, 0.5])]),
    "exp": (ts.exp, torch.exp, [X]),
    "expm1": (ts.expm1, torch.expm1, [X * 1e-3]),
    "log": (ts.log, torch.log, [np.abs(X) + 1e-3]),
    "log1p": (ts.log1p, torch.log1p, [X * 1e-3]),
    "sqrt": (ts.sqrt, torch.sqrt, [np.abs(X) + 1e-3]),
    "tanh": (ts.tanh, torch.tanh, [EDGES]),
    "sigmoid": (ts.sigmoid, torch.sigmoid, [EDGES]),
    "relu": (ts.relu, torch.relu, [EDGES]),
    "softplus": (ts.softplus, F.softplus, [EDGES]),
    "gelu": (ts.gelu, F.gelu, [np.linspace(-6, 6, 97)]),
    "gelu tanh": (
        lambda x: ts.gelu(x, approximate=True),
        lambda x: F.gelu(x, approximate="tanh"),
        [np.linspace(-6, 6, 97)],
    ),
    "erf": (ts.erf, torch.erf, [np.linspace(-5, 5, 201)]),
    "sin": (ts.sin, torch.sin, [X * 10]),
    "cos": (ts.cos, torch.cos, [X * 10]),
    "abs at 0": (ts.abs, torch.abs, [EDGES]),
    "clip at its bounds": (lambda x: ts.clip(x, -1.0, 1.0), lambda x: torch.clamp(x, -1.0, 1.0), [EDGES]),
    "clip below": (lambda x: ts.clip(x, low=0.5), lambda x: torch.clamp(x, min=0.5), [EDGES]),
    "maximum with ties": (ts.maximum, torch.maximum, [TIES, np.full((2, 3), 2.0)]),
    "minimum with ties": (ts.minimum, torch.minimum, [TIES, np.full((2, 3), 2.0)]),
    "max with ties": (lambda x: ts.max(x, 1), lambda x: torch.amax(x, 1), [TIES]),
    "min with ties": (lambda x: ts.min(x, (0, 1)), lambda x: torch.amin(x, (0, 1)), [TIES]),
    "where": (
        lambda a, b: ts.where(ts.tensor(TIES > 2), a, b),
        lambda a, b: torch.where(torch.tensor(TIES > 2), a, b),
        [normal(2, 3), normal(3)],
    ),
    "sum": (lambda x: ts.sum(x, (0, 2)), lambda x: x.sum((0, 2)), [normal(2, 3, 4)]),
    "mean": (lambda x: ts.mean(x, 1, keepdims=True), lambda x: x.mean(1, keepdim=True), [X]),
    "var": (lambda x: ts.var(x, 1), lambda x: x.var(1, correction=0), [X]),
    "var ddof 1": (lambda x: ts.var(x, 0, ddof=1), lambda x: x.var(0, correction=1), [X]),
    "var of all": (lambda x: ts.var(x, ddof=2), lambda x: x.var((0, 1), correction=2), [X]),
    "prod with zeros": (lambda x: ts.prod(x, 1), lambda x: x.prod(1), [ZEROS]),
    "prod along 0": (lambda x: ts.prod(x, 0), lambda x: x.prod(0), [ZEROS]),
    "logsumexp": (lambda x: ts.logsumexp(x, 1), lambda x: torch.logsumexp(x, 1), [X * 100]),
    "logsumexp of two axes": (lambda x: ts.logsumexp(x), lambda x: torch.logsumexp(x, (0, 1)), [X]),
    "softmax": (ts.softmax, lambda x: torch.softmax(x, -1), [X * 10]),
    "softmax along 0": (lambda x: ts.softmax(x, 0), lambda x: torch.softmax(x, 0), [X]),
    "log_softmax": (ts.log_softmax, lambda x: torch.log_softmax(x, -1), [X * 100]),
    "cumsum": (lambda x: ts.cumsum(x, 0), lambda x: torch.cumsum(x, 0), [X]),
    "matmul": (ts.matmul, torch.matmul, [X, Y]),
    "matmul batched": (ts.matmul, torch.matmul, [normal(2, 1, 3, 4), normal(5, 4, 2)]),
    "matmul stack by matrix": (ts.matmul, torch.matmul, [normal(2, 3, 4), Y]),
    "matmul vectors": (ts.matmul, torch.matmul, [normal(4), normal(4)]),
    "matmul vector by stack": (ts.matmul, torch.matmul, [normal(4), normal(2, 4, 3)]),
    "matmul stack by vector": (ts.matmul, torch.matmul, [normal(2, 3, 4), normal(4)]),
    "tril": (lambda x: ts.tril(x, -1), lambda x: torch.tril(x, -1), [X]),
    "triu": (lambda x: ts.triu(x, 1), lambda x: torch.triu(x, 1), [X]),
    "pad": (lambda x: ts.pad(x, ((0, 0), (2, 1)), 7.0), lambda x: F.pad(x, (2, 1), value=7.0), [X]),
    "flip": (lambda x: ts.flip(x, 1), lambda x: torch.flip(x, (1,)), [X]),
    "transpose": (lambda x: ts.transpose(x, 2, 0, 1), lambda x: x.permute(2, 0, 1), [normal(2, 3, 4)]),
    "concat and split": (
        lambda a, b: ts.split(ts.concat([a, b], 1), (1, 6), 1)[1],
        lambda a, b: torch.cat([a, b], 1).split((1, 6), 1)[1],
        [X, normal(3, 3)],
    ),
    "stack and unstack": (
        lambda a, b: ts.unstack(ts.stack([a, b], 1), 2)[1],
        lambda a, b: torch.stack([a, b], 1).unbind(2)[1],
        [X, normal(3, 4) * 2],
    ),
    "slicing": (lambda x: x[1:, ::2], lambda x: x[1:, ::2], [X]),
    "index with repeats": (lambda x: x[[0, 0, 2]], lambda x: x[[0, 0, 2]], [X]),
    "index of two arrays": (lambda x: x[[0, 0, 2], [1, 1, 3]], lambda x: x[[0, 0, 2], [1, 1, 3]], [X]),
    "boolean mask": (lambda x: x[X > 0], lambda x: x[torch.tensor(X > 0)], [X]),
    "gather": (
        lambda x: ts.gather(x, ts.tensor(IDS), 1),
        lambda x: torch.gather(x, 1, torch.tensor(IDS)),
        [normal(2, 3)],
    ),
    "embedding": (
        lambda w: ts.embedding(w, ts.tensor(IDS)),
        lambda w: F.embedding(torch.tensor(IDS), w),
        [normal(3, 2)],
    ),
    "index_add": (
        lambda x: ts.scatter_add(x, ts.tensor([1, 1, 0]), key=("array",), shape=(4, 4)),
        lambda x: torch.zeros(4, 4, dtype=x.dtype).index_add(0, torch.tensor([1, 1, 0]), x),
        [X],
    ),
}

for spec, shapes in {
    "ij,jk->ik": [(3, 4), (4, 5)],
    "bik,bjk->bij": [(2, 3, 4), (2, 5, 4)],
    "ii->i": [(3, 3)],
    "ii": [(3, 3)],
    "ij->": [(3, 4)],
    "i,j->ji": [(3,), (4,)],
    "...ij,jk->...ik": [(2, 3, 4), (4, 2)],
    "i,ij,j": [(3,), (3, 4), (4,)],
    "bhqd,bhkd->bhqk": [(2, 2, 3, 4), (2, 2, 5, 4)],
}.items():
    PAIRS[f"einsum {spec}"] = (
        lambda *xs, spec=spec: ts.einsum(spec, *xs),
        lambda *xs, spec=spec: torch.einsum(spec, *xs),
        [normal(*shape) for shape in shapes],
    )

for reduction in ("sum", "mean", "none"):
    for name, options in {
        "plain": {},
        "ignore_index": {"ignore_index": 3},
        "ignored everywhere but one": {"ignore_index": 3, "labels": np.array([3, 3, 1, 3, 3])},
        "negative ignore_index": {"ignore_index": -100, "labels": np.array([0, -100, 1, -100, 2])},
        "weights": {"weight": WEIGHT},
        "weights and ignore_index": {"weight": WEIGHT, "ignore_index": 1},
    }.items():
        given = dict(options)
        labels = given.pop("labels", LABELS)
        PAIRS[f"cross_entropy {name} {reduction}"] = (
            lambda x, labels=labels, given=given, reduction=reduction: ts.nn.cross_entropy(
                x,
                ts.tensor(labels),
                reduction=reduction,
                **{k: ts.tensor(v, dtype=x.dtype) if k == "weight" else v for k, v in given.items()},
            ),
            lambda x, labels=labels, given=given, reduction=reduction: F.cross_entropy(
                x,
                torch.tensor(labels),
                reduction=reduction,
                **{k: torch.tensor(v, dtype=x.dtype) if k == "weight" else v for k, v in given.items()},
            ),
            [LOGITS],
        )

PAIRS["cross_entropy large logits"] = (
    lambda x: ts.nn.cross_entropy(x, ts.tensor([0, 1, 2])),
    lambda x: F.cross_entropy(x, torch.tensor([0, 1, 2]), reduction="sum"),
    [np.array([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0], [1e4, 9999.0, 9998.0]])],
)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_values_and_gradients_are_pytorchs(name: str, dtype: Any) -> None:
    ours, theirs, arrays = PAIRS[name]
    rtol, atol = (1e-11, 1e-12) if dtype == np.float64 else (2e-4, 2e-5)
    xs = [ts.tensor(a, dtype=dtype, requires_grad=True) for a in arrays]
    zs = [torch.tensor(a.astype(dtype), requires_grad=True) for a in arrays]
    y, z = ours(*xs), theirs(*zs)
    assert y.shape == tuple(z.shape)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=rtol, atol=atol)
    above = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
    y.backward(ts.tensor(above))
    z.backward(torch.tensor(above))
    for x, other in zip(xs, zs, strict=True):
        assert x.grad is not None
        assert x.grad.dtype == dtype
        np.testing.assert_allclose(x.grad.numpy(), other.grad.numpy(), rtol=rtol, atol=atol)


def test_second_derivatives_of_a_cell_are_pytorchs() -> None:
    h, x, w = normal(2, 3), normal(2, 4), normal(7, 3) * 0.5
    ours = [ts.tensor(a, requires_grad=True) for a in (h, x, w)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (h, x, w)]
    y = ts.tanh(ts.concat([ours[0], ours[1]], -1) @ ours[2])
    z = torch.tanh(torch.cat([theirs[0], theirs[1]], -1) @ theirs[2])
    first = ts.gradients((y * y).sum(), ours, create_graph=True)
    first_theirs = torch.autograd.grad((z * z).sum(), theirs, create_graph=True)
    total = sum(((g * g).sum() for g in first if g is not None), ts.zeros(dtype=ts.float64))
    second = ts.gradients(total, ours)
    second_theirs = torch.autograd.grad(sum((g * g).sum() for g in first_theirs), theirs)
    for a, b in zip([*first, *second], [*first_theirs, *second_theirs], strict=True):
        assert a is not None
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-11, atol=1e-12)
