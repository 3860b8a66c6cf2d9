"""A training step's weights leave a plan's memory, and come back, by one kernel each; what anybody sees is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cuda_support
import numpy as np
import pytest

import tinyseq as ts
from tinyseq import nn, optim
from tinyseq.compiler.lower import arrays
from tinyseq.compiler.lower.cupy import moving

pytestmark = pytest.mark.skipif(cuda_support.COMPILER is None, reason="no C++ compiler on this machine")
SHAPES = [(3, 5), (), (70, 1000), (1, 1, 4)]


class Steps:
    """Parameters of several shapes, moved by a compiled step of Adam; float64, and one of float32."""

    def __init__(self, **options: Any) -> None:
        rng = np.random.default_rng(0)
        self.parameters = [nn.parameter(rng.normal(size=shape)) for shape in SHAPES]
        self.parameters[0] = nn.parameter(rng.normal(size=SHAPES[0]).astype(np.float32))
        self.optimizer = optim.Adam(self.parameters, lr=0.1)
        self.fast = ts.compile(self.step)

    def step(self, x: ts.Tensor) -> tuple[ts.Tensor, ts.Tensor]:
        whole = sum(((p.cast(np.float64) - x) ** 2).sum() for p in self.parameters)
        whole.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return whole, x + 1.0

    def tensors(self) -> list[ts.Tensor]:
        return [*self.parameters, *(part for state in self.optimizer.state for part in state.values())]

    def values(self) -> list[np.ndarray]:
        return [x.numpy().copy() for x in self.tensors()]


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many arrays went one by one."""
    counts = {"in": 0, "out": 0}
    give, copy = arrays.Executable.give, arrays.Executable.copied

    def counted_give(executable: Any, values: Mapping[Any, Any]) -> None:
        counts["in"] += sum(value.ndim > 0 for value in values.values())
        give(executable, values)

    def counted_copy(executable: Any, x: Any) -> Any:
        counts["out"] += 1
        return copy(executable, x)

    monkeypatch.setattr(arrays.Executable, "give", counted_give)
    monkeypatch.setattr(arrays.Executable, "copied", counted_copy)
    return counts


def both(run: Any) -> None:
    """Run on NumPy and by generated kernels, and compare what comes out."""
    found = []
    for backend in ("numpy", "cuda-on-host"):
        with ts.backend(backend):
            found.append(run(Steps()))
    for wanted, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6 if got.dtype == np.float32 else 1e-12)


def test_after_the_first_step_only_what_is_new_is_copied_by_itself(copied: dict[str, int]) -> None:
    with ts.backend("cuda-on-host"):
        steps, x = Steps(), ts.tensor(np.ones(1))
        counted = []
        for _ in range(3):
            before = dict(copied)
            steps.fast(x)
            counted.append((copied["in"] - before["in"], copied["out"] - before["out"]))
    three = 3 * sum(shape != () for shape in SHAPES)
    # The second output is a state that the caller may keep without the weights of its time.
    assert counted == [(1 + three, 2), (1, 2), (1, 2)]


def test_steps_are_those_of_numpy() -> None:
    def run(steps: Steps) -> list[np.ndarray]:
        x = ts.tensor(np.ones(1))
        losses = []
        for _ in range(4):
            loss, x = steps.fast(x)
            losses.append(loss.numpy())
        return [*losses, x.numpy(), *steps.values()]

    both(run)


def test_what_was_given_out_stays_as_it_was() -> None:
    with ts.backend("cuda-on-host"):
        steps, x = Steps(), ts.tensor(np.ones(1))
        kept = []
        for _ in range(4):
            steps.fast(x)
            kept.append(([p.detach() for p in steps.tensors()], steps.values()))
        (executable,) = steps.fast.entry_of_last_call().idle
        for tensors, values in kept:
            for tensor, value in zip(tensors, values, strict=True):
                np.testing.assert_array_equal(tensor.numpy(), value)
                for memory in executable.memory.values():
                    assert not np.shares_memory(tensor.value, memory)


def test_weights_that_were_changed_in_between_are_taken() -> None:
    """One of them, all of them, and all as they were before the last step."""

    def run(steps: Steps) -> list[np.ndarray]:
        x = ts.tensor(np.ones(1))
        steps.fast(x)
        steps.parameters[2].assign(steps.parameters[2].detach() * 0.5)
        steps.fast(x)
        before = [p.value for p in steps.tensors()]
        steps.fast(x)
        for p, value in zip(steps.tensors(), before, strict=True):
            p.value = value
        again, _ = steps.fast(x)
        for p in steps.tensors():
            p.assign(p.detach() * 0.9)
        steps.fast(x)
        steps.fast(x)
        return [again.numpy(), *steps.values()]

    both(run)


def test_a_function_that_assigns_nothing_has_none_of_it() -> None:
    with ts.backend("cuda-on-host"):
        fast = ts.compile(lambda x: x * 2.0)
        fast(ts.ones(3))
        entry = fast.entry_of_last_call()
        (executable,) = entry.idle
        assert executable.moving is None
        assert moving.NAME + "(" not in executable.lowered.source


def test_arrays_of_odd_sizes_go_one_by_one(copied: dict[str, int]) -> None:
    """A kernel that copies words of four bytes is not for three booleans."""
    with ts.backend("cuda-on-host"):
        mask, weights = ts.tensor(np.array([True, False, True])), ts.tensor(np.arange(3.0))

        def step(x: ts.Tensor) -> ts.Tensor:
            weights.assign(weights + x)
            mask.assign(weights > 2.0)
            return x

        fast, x = ts.compile(step), ts.tensor(1.0)
        for turn in range(1, 4):
            fast(x)
            np.testing.assert_array_equal(weights.numpy(), np.arange(3.0) + turn)
            np.testing.assert_array_equal(mask.numpy(), np.arange(3.0) + turn > 2.0)
        (executable,) = fast.entry_of_last_call().idle
    assert len(executable.moving.moved) == 1
