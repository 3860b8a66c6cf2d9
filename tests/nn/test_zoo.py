"""The zoo: gradients, compiling, and agreement with forms of the same cells that are written in another way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support.modules import check_module_grads, draws, leaves, random_state, randomized
from tinyseq import nn
from tinyseq.errors import DataError, ShapeError
from tinyseq.nn.zoo import ZOO
from tinyseq.ops.scan import scan

B, T, I, H = 2, 7, 3, 4  # noqa: E741 - as the equations have it
MATRIX = ["retnet", "scalar_gla", "gla", "deltanet", "gated_deltanet"]
TIGHT = {"rtol": 1e-10, "atol": 1e-11}


def made(name: str, **options: Any) -> nn.Cell:
    """A cell with random weights; buffers, and what is an exponent's exponent, stay as they were made."""
    cell = nn.cell_factory(name, **options)(I, H)
    kept = {path: v.numpy() for path, v in cell.state_dict().items() if path in ("gamma", "nu", "theta")}
    randomized(cell)
    cell.load_state_dict({path: kept.get(path, v) for path, v in cell.state_dict().items()})
    return cell


def options_of(name: str) -> dict[str, Any]:
    return {"heads": 2} if name in MATRIX else {}


@pytest.mark.parametrize("name", ZOO)
def test_gradients(name: str) -> None:
    cell = made(name, **options_of(name))
    xs, state = draws(2, 3, I), random_state(cell, 2)

    def run(xs: ts.Tensor, *parts: ts.Tensor) -> list[ts.Tensor]:
        rest = iter(parts)
        ys, last = ts.unroll(cell, xs, ts.trees.map_leaves(lambda _: next(rest), state))
        return [ys, *leaves(last)]

    check_module_grads(cell, run, xs, *leaves(state), order=1)


@pytest.mark.parametrize("name", ZOO)
def test_compiled_in_pieces_and_with_lengths(name: str) -> None:
    cell = made(name, **options_of(name))
    xs, state = draws(B, T, I), random_state(cell, B)
    for options in ({}, {"lengths": [T, 3]}, {"reverse": True}):
        fast = ts.compile(lambda xs, s, options=options: ts.unroll(cell, xs, s, **options))
        for mine, theirs in zip(leaves(fast(xs, state)), leaves(ts.unroll(cell, xs, state, **options)), strict=True):
            np.testing.assert_allclose(mine.numpy(), theirs.numpy(), **TIGHT)
    ys, last = ts.unroll(cell, xs, state)
    first, between = ts.unroll(cell, xs[:, :2], state)
    second, end = ts.unroll(cell, xs[:, 2:], between)
    np.testing.assert_allclose(np.concatenate([first.numpy(), second.numpy()], 1), ys.numpy(), **TIGHT)
    for mine, theirs in zip(leaves(end), leaves(last), strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), **TIGHT)


@pytest.mark.parametrize("name", ZOO)
def test_every_cell_has_a_paper_and_equations_and_is_known_to_configurations(name: str) -> None:
    cell = nn.cell_factory(name)(I, H)
    assert any(year in type(cell).__doc__ for year in map(str, range(2015, 2026)))
    lines = nn.equations(cell)
    assert len(lines) >= 2
    assert not any("object" in line or "matmul" in line for line in lines)
    model = nn.Recurrent(name, I, H, num_layers=2)
    ys, _ = model(ts.randn(B, T, I))
    assert ys.shape == (B, T, H)


def test_a_name_that_is_neither_is_refused_with_the_closest() -> None:
    with pytest.raises(DataError, match="mingru"):
        nn.cell_factory("mingruu")


def test_heads_and_states_that_are_wrong() -> None:
    with pytest.raises(DataError, match="divisor of hidden_size 4"):
        nn.cell_factory("retnet", heads=3)(I, H)
    cell = nn.cell_factory("retnet", heads=2)(I, H)
    for x, state in ((ts.zeros((B, I + 1)), cell.initial_state(B)), (ts.zeros((B, I)), ts.zeros((B, H)))):
        with pytest.raises(ShapeError, match="RetNetCell"):
            cell.step(x, state)


# -- in another form ---------------------------------------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def heads_of(cell: Any, xs: np.ndarray) -> list[np.ndarray]:
    """k, v, q as (batch, heads, time, width)."""
    parts = [xs @ w.numpy() for w in (cell.W_k, cell.W_v, cell.W_q)]
    return [x.reshape(B, -1, cell.heads, cell.width).transpose(0, 2, 1, 3) for x in parts]


def flat(y: np.ndarray) -> np.ndarray:
    return y.transpose(0, 2, 1, 3).reshape(B, -1, H)


def test_retention_in_its_parallel_form() -> None:
    """(Q K^T * D) V with D_nm = gamma^(n-m) (Sun et al. 2023, eq. 5)."""
    cell: Any = made("retnet", heads=2)
    xs = draws(B, T, I)
    k, v, q = heads_of(cell, xs.numpy())
    n = np.arange(T)
    gamma = 1.0 - 2.0 ** (-5.0 - np.arange(2.0))
    decay = np.tril(gamma[:, None, None] ** np.maximum(n[:, None] - n, 0))
    y = (q @ k.swapaxes(-1, -2) / np.sqrt(cell.width) * decay) @ v
    np.testing.assert_allclose(ts.unroll(cell, xs)[0].numpy(), flat(y), rtol=1e-7)  # gamma was made in float32


def test_gated_linear_attention_in_its_parallel_form() -> None:
    """Products of (q b) and (k / b), b the cumulative product of the decays (Yang et al. 2024, section 4.1)."""
    cell: Any = made("gla", heads=2)
    xs = draws(B, T, I)
    k, v, q = heads_of(cell, xs.numpy())
    a = sigmoid(xs.numpy() @ cell.W_a.numpy() + cell.b_a.numpy()) ** (1 / 16)
    b = np.cumprod(a.reshape(B, T, 2, cell.width).transpose(0, 2, 1, 3), 2)
    y = np.tril((q * b) @ (k / b).swapaxes(-1, -2)) / np.sqrt(cell.width) @ v
    np.testing.assert_allclose(ts.unroll(cell, xs)[0].numpy(), flat(y), **TIGHT)


@pytest.mark.parametrize("name", ["deltanet", "gated_deltanet"])
def test_delta_rule_by_reflections(name: str) -> None:
    """S' = a (I - beta k^T k) S + beta k^T v, multiplied out (Yang et al. 2024; 2025, eq. 10)."""
    cell: Any = made(name, heads=2)
    xs = draws(B, T, I)
    k, v, q = heads_of(cell, xs.numpy())
    k = k / np.sqrt((k * k).sum(-1, keepdims=True) + 1e-6)
    beta = sigmoid(xs.numpy() @ cell.W_beta.numpy() + cell.b_beta.numpy()).transpose(0, 2, 1)[..., None]
    a = np.ones_like(beta)
    if name == "gated_deltanet":
        a = sigmoid(xs.numpy() @ cell.W_a.numpy() + cell.b_a.numpy()).transpose(0, 2, 1)[..., None]
    maps = a[..., None] * (np.eye(cell.width) - beta[..., None] * k[..., :, None] * k[..., None, :])
    y = np.zeros_like(q)
    for i in range(T):
        for j in range(i + 1):
            written = beta[:, :, j, :, None] * k[:, :, j, :, None] * v[:, :, j, None, :]
            for m in range(j + 1, i + 1):
                written = maps[:, :, m] @ written
            y[:, :, i] += (q[:, :, i, None] @ written)[:, :, 0]
    np.testing.assert_allclose(ts.unroll(cell, xs)[0].numpy(), flat(y), **TIGHT)


def test_lru_with_complex_numbers() -> None:
    cell: Any = made("lru")
    w = {path: v.numpy() for path, v in cell.state_dict().items()}
    xs = draws(B, T, I)
    eigenvalues = np.exp(-np.exp(w["nu"]) + 1j * np.exp(w["theta"]))
    states = np.zeros((B, H), complex)
    inputs = xs.numpy() @ (w["B_h"] + 1j * w["B_g"])
    for t, y in enumerate(ts.unroll(cell, xs)[0].numpy().swapaxes(0, 1)):
        states = sum(eigenvalues ** (t - j) * np.exp(w["gamma"]) * inputs[:, j] for j in range(t + 1))
        expected = (states @ (w["C_h"] + 1j * w["C_g"])).real + xs.numpy()[:, t] @ w["D"]
        np.testing.assert_allclose(y, expected, **TIGHT)


def test_lem_by_hand() -> None:
    """One unit, one step, weights of 1: d = e = σ(h + x), z' = (1 - d) z + d tanh(h + x), and h' reads z'."""
    cell = nn.cell_factory("lem")(1, 1).cast(np.float64)
    cell.load_state_dict({path: np.full(v.shape, float(path[0] == "W")) for path, v in cell.state_dict().items()})
    h, z, x = 0.3, -0.2, 0.5
    d = sigmoid(h + x)
    after = (1 - d) * z + d * np.tanh(h + x)
    given = [ts.tensor(np.array([[value]])) for value in (x, h, z)]
    y, state = cell.step(given[0], type(cell).State(*given[1:]))
    assert state.z.numpy().item() == pytest.approx(after, rel=1e-14)
    assert y.numpy().item() == pytest.approx((1 - d) * h + d * np.tanh(after + x), rel=1e-14)


@pytest.mark.parametrize("name", ["retnet", "scalar_gla"])
def test_matrix_states_go_in_chunks(name: str) -> None:
    cell = nn.cell_factory(name)(I, 16).cast(np.float64)
    xs = draws(B, 50, I)
    fast = ts.compile(lambda xs: ts.unroll(cell, xs)[0])
    np.testing.assert_allclose(fast(xs).numpy(), ts.unroll(cell, xs)[0].numpy(), rtol=1e-9, atol=1e-11)
    assert max(node.attrs["length"] for node in fast.graph.nodes if node.op is scan) == 16
