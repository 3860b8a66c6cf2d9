"""What `tinyseq check` counts, against counts by hand; and gradients that are wrong on purpose."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.smallruns import write_config
from tinyseq.train import inspect
from tinyseq.train.config.run_config import load_config, parse_config

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_counts_are_those_of_the_textbook(tmp_path):
    """An LSTM of 12 units on 6 features: 4 (12 + 6 + 1) 12 parameters, twice so many FLOPs a token forward."""
    config = load_config(write_config(tmp_path), {"model.dropout": 0.0})
    found = inspect(config)
    vocabulary = found.data["vocabulary"]
    assert found.parameters == {
        "embedding": 6 * vocabulary, "dropout": 0, "recurrent": 4 * (12 + 6 + 1) * 12, "head": 13 * vocabulary,
    }  # fmt: skip
    assert found.tokens == 4 * 8
    numbers = sum(found.parameters.values())
    assert found.memory["parameters"] == found.memory["gradients"] == 4 * numbers
    assert found.memory["optimizer"] == 2 * 4 * numbers, "Adam keeps two moments"
    assert found.memory["plan"] > 0
    # A product of (1, a) and (a, b) is 2ab, and backward does two of that size; the element-wise rest is little.
    products = 6 * (4 * 12 * (12 + 6) + 12 * vocabulary)
    assert products < found.flops / found.tokens < 2 * products
    assert found.not_compiled == ""
    assert found.gradient.right
    assert found.steps == 12
    assert found.seconds > 0.0


@pytest.mark.parametrize("name", ["sunspots", "sort_transformer", "tagging"])
def test_gradients_of_examples_are_right(name):
    changes = {"data.count": 60} if name != "sunspots" else {}
    found = inspect(load_config(EXAMPLES / f"{name}.yaml", changes))
    assert found.gradient.right
    assert 0.0 < found.gradient.error < 1e-6


def test_what_is_trained_in_one_pass_follows_no_gradient():
    config = parse_config(
        {"task": "reservoir", "data": {"system": "narma10", "train": 600}, "model": {"hidden_size": 20}}
    )
    found = inspect(config)
    assert (found.gradient, found.flops, found.not_compiled) == (None, None, "trained in one pass")


WRONG = """
import tinyseq as ts
from tinyseq import nn

class Cut(nn.RNNCell):
    def step(self, x, h):
        y, h = super().step(x, h)
        return y, ts.stop_gradient(h) if {cut} else h
"""


@pytest.mark.parametrize("cut", [False, True])
def test_a_cell_that_cuts_its_gradient_is_found(tmp_path, cut):
    (tmp_path / "mine.py").write_text(WRONG.format(cut=cut))
    config = load_config(write_config(tmp_path), {"model.cell": f"{tmp_path / 'mine.py'}:Cut"})
    found = inspect(config)
    assert found.gradient.right is not cut
    if cut:
        assert any("recurrent" in name for name in found.gradient.wrong)
        assert not any("head" in name for name in found.gradient.wrong), "what comes after the cell is right"
