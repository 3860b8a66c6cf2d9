"""Loops in chunks: as one unroll over everything, whatever the length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from tinyseq.errors import ShapeError
from tinyseq.nn.chunked import ChunkedLoop


def step(x: Any, state: ts.Tensor, factor: float = 0.5) -> tuple[Any, ts.Tensor]:
    a, b = x["a"], x["b"]
    state = ts.tanh(state * factor + a)
    return (state, b + 1), state


def sequences(time: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(time)
    return {"a": rng.standard_normal((2, time, 3)), "b": rng.integers(0, 5, (2, time))}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("time", [1, 7, 8, 9, 16, 63, 64, 65, 97])
def test_chunks_are_one_loop(time: int, compiled: bool) -> None:
    xs, state = sequences(time), ts.ones(2, 3, dtype=ts.float64)
    found = list(ChunkedLoop(step, compiled=compiled, length=8)(xs, state))
    chunk = 8 if time < 64 else 32
    expected, _ = ts.unroll(step, {name: ts.tensor(x) for name, x in xs.items()}, state)
    assert [y.shape[1] for y, _ in found] == [min(chunk, time - start) for start in range(0, time, chunk)]
    for part, whole in zip(zip(*found, strict=True), expected, strict=True):
        np.testing.assert_allclose(np.concatenate(part, 1), whole.numpy(), rtol=1e-12)


def test_all_lengths_and_numbers_run_from_one_compilation() -> None:
    loop = ChunkedLoop(step, length=8)
    for time, factor in ((3, 0.5), (8, 0.25), (30, 0.125)):
        (y, _), *_ = loop(sequences(time), ts.ones(2, 3, dtype=ts.float64), factor)
        np.testing.assert_allclose(y[:, 0], np.tanh(factor + sequences(time)["a"][:, 0]))
    assert loop.function is not None
    assert loop.function.compilations == 1


def test_a_chunk_that_nobody_takes_is_not_run() -> None:
    ran: list[int] = []

    def counted(x: ts.Tensor, state: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        ran.append(1)
        return state, state + x

    next(iter(ChunkedLoop(counted, compiled=False, length=4)(np.ones((1, 30)), ts.zeros(1))))
    assert len(ran) == 4


def test_a_fault_of_the_step_itself_is_raised() -> None:
    loop = ChunkedLoop(lambda x, state: (x, state + ts.ones(7)))
    with pytest.raises(ShapeError, match="add: shapes do not broadcast"):
        list(loop(np.ones((1, 3)), ts.zeros(1, 3)))
    assert loop.function is not None


def test_a_state_that_grows_runs_eagerly(caplog: pytest.LogCaptureFixture) -> None:
    def grown(x: ts.Tensor, state: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        state = ts.concat([state, x.reshape(-1, 1)], 1)
        return state.sum(1), state

    with caplog.at_level("INFO", "tinyseq.compiler"):
        found = list(ChunkedLoop(grown, length=4)(np.arange(6.0)[None], ts.zeros(1, 1, dtype=ts.float64)))
    np.testing.assert_array_equal(np.concatenate(found, 1), [[0, 1, 3, 6, 10, 15]])
    assert "not compiled, runs eagerly: a state changes its shape" in caplog.text
