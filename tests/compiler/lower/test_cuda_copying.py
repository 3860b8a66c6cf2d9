"""Arrays go into a plan's memory and out of it by one kernel; what anybody sees is the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import tinyseq as ts
from support import cuda_on_host
from support.cuda_on_host import needs_compiler
from support.device_training import Steps
from tinyseq.compiler.lower import arrays
from tinyseq.compiler.lower.cupy import copying

pytestmark = needs_compiler


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


def test_a_step_copies_no_array_by_itself(copied: dict[str, int]) -> None:
    with ts.backend("cuda-on-host"):
        steps, x = Steps(), ts.tensor(np.ones(1))
        for _ in range(3):
            _, x = steps.fast(x)
    assert copied == {"in": 0, "out": 0}


def test_many_arrays_take_a_few_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    names, start = [], cuda_on_host.Executable.start

    def counted(executable: Any, name: str, *rest: Any) -> None:
        names.append(name)
        start(executable, name, *rest)

    monkeypatch.setattr(cuda_on_host.Executable, "start", counted)
    with ts.backend("cuda-on-host"):
        given = [ts.tensor(np.full(i % 5 + 1, float(i))) for i in range(40)]
        for _ in range(2):
            names.clear()
            found = ts.compile(lambda *xs: [x * 2.0 for x in xs])(*given)
            assert [x.numpy().tolist() for x in found] == [(2.0 * x.numpy()).tolist() for x in given]
            assert names.count(copying.NAME) == 4


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
    assert copied == {"in": 3, "out": 3}
