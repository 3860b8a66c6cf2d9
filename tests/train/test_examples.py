"""Every example config trains to the same numbers compiled and eager, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyseq.train import load_config
from tinyseq.train.loop.progress import SilentProgress
from tinyseq.train.loop.train_step import TrainStep
from tinyseq.train.running import prepared

FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))


def trained(path: Path, steps: int, compiled: bool, dtype: str) -> tuple[list[float], list[np.ndarray], bool]:
    """The loss at each step and the weights after them, by the training loop's own steps."""
    config: Any = load_config(path, {"dtype": dtype})
    with prepared(config) as (task, model):
        if task.one_pass:
            task.fit(model)
            return [], [p.numpy() for p in model.parameters()], False
        train_step = TrainStep(task, model, config.train, SilentProgress(), compiled=compiled)
        batches, state, losses = task.batches(), None, []
        model.train()
        with np.errstate(all="ignore"):
            for _ in range(steps):
                result = train_step(next(batches), state)
                losses.append(result.loss)
                state = result.state
        return losses, [p.numpy() for p in model.parameters()], train_step.compiled


def compare(path: Path, steps: int, dtype: str = "float64", bound: float = 1e-9, least: float = 1e-10) -> None:
    if "source: digits" in path.read_text(encoding="utf-8"):
        pytest.importorskip("sklearn", reason='the digits come with scikit-learn: pip install "tinyseq[digits]"')
    losses, weights, compiled = trained(path, steps, True, dtype)
    eager_losses, eager_weights, _ = trained(path, steps, False, dtype)
    assert compiled == bool(losses), "an example that trains by steps is compiled"
    np.testing.assert_allclose(losses, eager_losses, rtol=bound)
    for got, expected in zip(weights, eager_weights, strict=True):
        # Attention does not depend on the bias of its keys: that gradient is 0 but for rounding, and so is the bias.
        noise = np.linalg.norm(expected) < least
        assert np.linalg.norm(got - expected) <= (least if noise else bound * np.linalg.norm(expected))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_compiles_to_the_same_numbers(path: Path) -> None:
    compare(path, 2)


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_fifty_steps_of_an_example(path: Path) -> None:
    compare(path, 50)


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_fifty_steps_of_an_example_in_float32(path: Path) -> None:
    """To 1 % of each tensor's norm: fifty steps of Adam amplify what rounding (6e-8) did to the first gradients."""
    compare(path, 50, "float32", 1e-2, 5e-3)
